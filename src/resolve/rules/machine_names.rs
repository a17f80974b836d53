//! A machine is not called what something else of the domain is called.

use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;

const CODE: Code = Code(411);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "machine-names",
    title: "a machine has a name that is taken",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    for machine in &domain.machines {
        let refuse = |says: String| Diagnostic::error(CODE, machine.origin, says).help("rename the machine's file");
        if machine.name.as_str() == "domain" {
            report.push(refuse(
                "a machine cannot be called `domain`: the domain's own event sets go by that name".to_owned(),
            ));
        }
        if let Some(cluster) = domain.cluster.as_ref().filter(|cluster| cluster.name == machine.name) {
            let finding = refuse(format!("the machine `{}` has the name of the cluster", machine.name));
            report.push(finding.also(cluster.origin, "the cluster"));
        }
    }
    if domain.account.as_str() == "SYS" {
        let finding = Diagnostic::error(CODE, domain.origin, "the account `SYS` is nats-server's own on every machine");
        report.push(finding.help(format!("leave `account` out: it is `{}` then", domain.name.as_str().to_uppercase())));
    }
}
