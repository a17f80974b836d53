//! A unit that is declared has a name that systemd takes, sections that a unit of its kind has, and directives that are words.
//!
//! systemd.unit(5), systemd.service(5) and the pages of the other kinds. `X-` sections and directives are for others, and pass.
//! Whether systemd knows the directive is another rule's (LW0418).

use super::holder::span;
use super::{Check, Rule};
use crate::declare::nearest;
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::Unit;
use crate::resolve::directives::{is_word, own_section};
use crate::resolve::model::{Domain, Machine};
use crate::resolve::val::path_key;

const CODE: Code = Code(703);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "unit-names",
    title: "not the name of a unit, a section or a directive",
    check: Check::Machine(check),
};

/// A unit whose name systemd takes, or what is laid over a service's.
pub(super) struct Declared<'m> {
    /// The option that declares its sections.
    pub(super) path: String,
    /// The section of its own kind; a target has none.
    pub(super) own: Option<&'static str>,
    pub(super) unit: &'m Unit,
}

/// All of a machine's, but those whose names systemd does not take.
pub(super) fn units(machine: &Machine) -> impl Iterator<Item = Declared<'_>> {
    let units = machine.options.units.iter().filter_map(|(name, unit)| {
        let own = own_section(name).ok()?;
        Some(Declared { path: unit_path(name), own, unit })
    });
    units.chain(machine.options.services.iter().map(|(name, service)| {
        let path = format!("services.{name}.unit");
        Declared { path, own: Some("Service"), unit: &service.unit }
    }))
}

fn unit_path(name: &str) -> String {
    format!("units.{}", path_key(name))
}

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    for name in machine.options.units.keys() {
        if let Err(way_out) = own_section(name) {
            let says = format!("`{}` is not the name of a unit", name.escape_debug());
            report.push(Diagnostic::error(CODE, span(machine, &unit_path(name)), says).help(way_out));
        }
    }
    for declared in units(machine) {
        sections(machine, &declared, report);
    }
}

fn sections(machine: &Machine, Declared { path, own, unit }: &Declared<'_>, report: &mut Report) {
    let known = || ["Unit", "Install"].into_iter().chain(*own);
    let of_others = |section: &str| section.starts_with("X-") && is_word(section);
    let passes = |section: &str| known().any(|known| known == section) || of_others(section);
    for section in unit.keys().filter(|section| !passes(section)) {
        let says = format!("a unit of this kind has no section `{}`", section.escape_debug());
        let finding = Diagnostic::error(CODE, span(machine, &format!("{path}.{}", path_key(section))), says);
        report.push(match nearest(section, known()) {
            Some(near) => finding.help(format!("write `{near}`")),
            None => finding.help(format!("it has {}", known().collect::<Vec<_>>().join(", "))),
        });
    }
    let directives = unit.iter().flat_map(|(section, directives)| directives.keys().map(move |name| (section, name)));
    for (section, directive) in directives.filter(|(_, directive)| !is_word(directive)) {
        let place = span(machine, &format!("{path}.{}.{}", path_key(section), path_key(directive)));
        let says = format!("`{}` is not the name of a directive", directive.escape_debug());
        report
            .push(Diagnostic::error(CODE, place, says).help("letters, digits and `-`: `ExecStart = [\"/usr/bin/…\"]`"));
    }
}
