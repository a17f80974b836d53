//! Whoever connects to a leaf has a name there of his own: inboxes, credentials and permissions go by it.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::ServiceName;
use crate::resolve::model::{Domain, Machine};

const CODE: Code = Code(410);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "user-names",
    title: "two users of one machine have one name",
    check: Check::Machine(check),
};

/// The name of the user by which Leafwright itself connects.
const PROVISIONER: &str = "provisioner";

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    let options = &machine.options;
    let refuse = |path: String, says: String| Diagnostic::error(CODE, span(machine, &path), says);
    for name in options.services.keys().filter(|name| name.as_str() == PROVISIONER) {
        let says = format!("`{PROVISIONER}` is the user by which Leafwright connects");
        report.push(refuse(format!("services.{name}"), says).help("give the service another name"));
    }
    for (name, user) in &options.users {
        let path = format!("users.{name}");
        if let Err(fault) = ServiceName::parse(name) {
            let finding = refuse(
                path,
                format!(
                    "the user `{name}` cannot be called so: {}",
                    fault.message.replace("a service name", "a user name")
                ),
            );
            report.push(finding.help(format!("call it `{}`", user.person)));
        } else if name == PROVISIONER {
            let says = format!("`{PROVISIONER}` is the user by which Leafwright connects");
            report.push(refuse(path, says).help(format!("call it `{}`", user.person)));
        } else if options.services.contains_key(name.as_str()) {
            let finding = refuse(path, format!("the user `{name}` has the name of a service on this machine"));
            report.push(
                finding
                    .also(span(machine, &format!("services.{name}")), "the service")
                    .help("give one of them another name"),
            );
        }
    }
}
