//! What is declared for a service's environment can be written there, and takes nothing away that Leafwright says there.
//!
//! systemd.exec(5), "EnvironmentFile=": a name is a word, a value is one line.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine};
use crate::resolve::val::path_key;

const CODE: Code = Code(416);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "environment",
    title: "a service cannot be given this environment",
    check: Check::Machine(check),
};

/// Names of docs/services.md: a service finds its leaf by them.
const OURS: [&str; 3] = ["NATS_URL", "NATS_INBOX_PREFIX", "NATS_NKEY_SEED_FILE"];

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    for (service, declared) in &machine.options.services {
        for (name, value) in &declared.environment {
            let place = span(machine, &format!("services.{service}.environment.{}", path_key(name)));
            let refuse = |says: String| Diagnostic::error(CODE, place, says);
            if !is_variable(name) {
                let says = format!("`{}` is not the name of an environment variable", name.escape_debug());
                report.push(refuse(says).help("letters, digits and `_`, and no digit first: `LOG_LEVEL = \"debug\"`"));
            } else if OURS.contains(&name.as_str()) || name.starts_with("LEAFWRIGHT_") {
                let says = format!("`{name}` is what Leafwright tells the service `{service}`");
                report
                    .push(refuse(says).help("take it away, or use another name: a service talks to its own leaf only"));
            } else if let Some(bad) = value.chars().find(|c| c.is_control() && *c != '\t') {
                let says = format!("the value of `{name}` has {} in it, and stands in one line", bad.escape_debug());
                report.push(refuse(says).help("put longer text into a file (`files.\"/etc/…\"`), and name that"));
            }
        }
    }
}

/// Can an environment variable be called this?
pub fn is_variable(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(rest)
}
