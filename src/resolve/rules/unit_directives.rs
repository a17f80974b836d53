//! A directive that systemd does not know is passed over by it, with a line in the journal that nobody reads: what was to be
//! forbidden is allowed. So it is told before.
//!
//! A warning, because the machine's systemd may be newer than our list; it is asked before anything is applied (`systemd-analyze verify`, pre-checks).

use super::holder::span;
use super::unit_names::units;
use super::{Check, Rule};
use crate::declare::nearest;
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::directives::{self, is_word};
use crate::resolve::model::{Domain, Machine};
use crate::resolve::val::path_key;

const CODE: Code = Code(418);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "unit-directives",
    title: "a directive that systemd does not know",
    check: Check::Machine(check),
};

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    for declared in units(machine) {
        let of_all = || ["Unit", "Install"].into_iter().chain(declared.own);
        for (section, written) in declared.unit {
            let Some(known) = directives::of_section(section).filter(|_| of_all().any(|name| name == section)) else {
                continue;
            };
            let known: Vec<_> = known.collect();
            // What is not even a word is told by LW0703.
            let passes = |name: &str| known.contains(&name) || name.starts_with("X-") || !is_word(name);
            for directive in written.keys().filter(|written| !passes(written)) {
                let place = span(machine, &format!("{}.{}.{directive}", declared.path, path_key(section)));
                let says = format!("systemd knows no directive `{directive}` in `[{section}]`, and would pass over it");
                let has = |name: &&str| {
                    directives::of_section(name).is_some_and(|mut known| known.any(|known| known == directive))
                };
                let help = match (of_all().find(has), nearest(directive, known.iter().copied())) {
                    (Some(other), _) => format!("it belongs to `[{other}]`"),
                    (None, Some(near)) => format!("write `{near}`"),
                    (None, None) => "systemd.directives(7) has all of them; one for others begins with `X-`".to_owned(),
                };
                report.push(Diagnostic::warning(CODE, place, says).help(help));
            }
        }
    }
}
