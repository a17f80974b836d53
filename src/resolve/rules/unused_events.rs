//! An event set is there to be loaded: one that nobody names was forgotten.
//!
//! It looks at what was written, and at nothing as long as somebody's file could not be read.

use crate::declare::Declared;
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::name::EventSetName;
use std::collections::BTreeSet;

const CODE: Code = Code(419);

/// Finds event sets that neither a machine nor the domain names.
pub fn unused_events(declared: &Declared) -> Report {
    let mut report = Report::default();
    let Some(domain) = &declared.domain else { return report };
    if declared.is_broken("machines/") || declared.is_broken("domain.toml") {
        return report;
    }
    let of_machines = declared.machines.values().flat_map(|machine| &machine.events);
    let named: BTreeSet<&EventSetName> = domain.events.iter().chain(of_machines).map(|set| &set.value).collect();
    for set in declared.events.values().filter(|set| !named.contains(&set.name)) {
        let says = format!("nobody loads the event set `{}`", set.name);
        let help =
            format!("write `events = [\"{}\"]` in the file of the machine where it arose, or in domain.toml", set.name);
        report.push(Diagnostic::warning(CODE, Span::new(set.source, 0..0), says).help(help));
    }
    report
}
