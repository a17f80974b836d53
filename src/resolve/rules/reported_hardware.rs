//! Where a report lies beside a machine, it has what the machine's profile says.
//!
//! It looks at what was written: `hardware = "detected"` is its own report and lacks nothing.

use crate::declare::{Declared, Hardware, Machine, Reported};
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::resolve::hardware::{Unmet, required, unmet};

const CODE: Code = Code(420);

/// Compares every report with its machine's profile.
pub fn reported_hardware(declared: &Declared) -> Report {
    let mut report = Report::default();
    for reported in declared.reports.values() {
        let Some(machine) = declared.machines.get(&reported.machine) else { continue };
        // A profile that is not there is said where the reference is followed.
        let Some(profile) = declared.hardware.get(&machine.hardware.value) else { continue };
        for unmet in unmet(&required(profile), &reported.report) {
            report.push(finding(machine, profile, reported, &unmet));
        }
    }
    report
}

fn finding(machine: &Machine, profile: &Hardware, reported: &Reported, unmet: &Unmet) -> Diagnostic {
    let name = &machine.name;
    let (found, says) = match reported.place(unmet.part()) {
        Some(found) => (found, "found here"),
        None => (Span::new(reported.source, 0..0), "not in this report"),
    };
    Diagnostic::error(CODE, written(profile, unmet.field()), format!("`{name}` has {unmet}"))
        .label("required here")
        .also(found, says)
        .help(format!("let `{name}` name a profile that it fulfils, or write `hardware = \"detected\"`"))
        .help(format!(
            "if it was changed since: `leafwright hardware detect --out machines/{name}.hardware.json` there"
        ))
}

/// Where the profile asks for it; what it does not write is its `disk`.
fn written(profile: &Hardware, field: &str) -> Span {
    match field {
        "arch" => profile.arch.span,
        "cores" => profile.cores.span,
        "memory" => profile.memory.span,
        _ => profile.requires.place(field).unwrap_or(profile.disk.span),
    }
}
