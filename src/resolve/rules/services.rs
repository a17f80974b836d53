//! A service has a contract that exists and a program that can be started.

use super::holder::span;
use super::{Check, Rule};
use crate::declare::nearest;
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine};

const CODE: Code = Code(408);

pub const RULE: Rule =
    Rule { code: CODE, name: "services", title: "a service cannot run", check: Check::Machine(check) };

fn check(machine: &Machine, domain: &Domain, report: &mut Report) {
    for (name, service) in &machine.options.services {
        let refuse = |field: &str, says: String| {
            Diagnostic::error(CODE, span(machine, &format!("services.{name}.{field}")), says)
        };
        if !domain.services.contains_key(&service.contract) {
            let finding = refuse("contract", format!("there is no contract `{}`", service.contract));
            let near = nearest(service.contract.as_str(), domain.services.keys().map(|contract| contract.as_str()));
            report.push(match near {
                Some(near) => finding.help(format!("write `contract = \"{near}\"`")),
                None => finding.help(format!(
                    "write `contracts/{}.toml`, which says what the service sends and receives",
                    service.contract
                )),
            });
        }
        match service.exec.first() {
            None => report.push(
                refuse("exec", format!("the service `{name}` has no program")).help("write `exec = [\"/usr/bin/…\"]`"),
            ),
            Some(program) if !program.starts_with('/') => {
                let finding = refuse("exec", format!("`{program}` is not an absolute path, and no shell looks for it"));
                let name = program.rsplit('/').next().unwrap_or_default();
                report.push(finding.help(format!("say where it is on the machine: `exec = [\"/usr/bin/{name}\", …]`")));
            }
            Some(_) => {}
        }
    }
}
