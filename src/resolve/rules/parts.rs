//! A member of the cluster is configured as one, and a leaf as a leaf.

use super::holder::machine;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine, Part};

const CODE: Code = Code(403);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "parts",
    title: "a machine's configuration and its part in the domain differ",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    for machine in &domain.machines {
        judge(machine, domain, report);
    }
    if let Some(cluster) = &domain.cluster {
        let place = cluster.origins.of("members").unwrap_or(cluster.origin);
        for member in cluster.members.iter().filter(|member| machine(domain, member).is_none()) {
            let finding = Diagnostic::error(CODE, place, format!("the member `{member}` is no machine of this domain"));
            report.push(finding.help(format!("write `machines/{member}.toml`, or name another machine")));
        }
    }
}

fn judge(machine: &Machine, domain: &Domain, report: &mut Report) {
    let has = |module: &str| machine.modules.iter().any(|name| name.as_str() == module);
    let place = machine.origins.of("configuration").unwrap_or(machine.origin);
    let members = domain.cluster.as_ref().and_then(|cluster| cluster.origins.of("members"));
    match (machine.part, has("cluster")) {
        (Part::Member, false) => {
            let says = format!("`{}` is a member of the cluster and lacks the module `cluster`", machine.name);
            let finding = Diagnostic::error(CODE, place, says).help("write `configuration = [\"cluster\"]`");
            report.push(match members {
                Some(members) => finding.also(members, "its members are named here"),
                None => finding,
            });
        }
        (Part::Leaf, true) => {
            let says = format!("`{}` has the module `cluster` and is no member of the cluster", machine.name);
            let finding = Diagnostic::error(CODE, place, says);
            report.push(match &domain.cluster {
                Some(cluster) => {
                    finding.also(members.unwrap_or(cluster.origin), "its members are named here").help(format!(
                        "add \"{}\" to `members` of `[clusters.{}]`, or use the module `leaf`",
                        machine.name, cluster.name
                    ))
                }
                None => finding.help(format!(
                    "write `[clusters.hub]` with `members = [\"{}\"]` in domain.toml, or use the module `leaf`",
                    machine.name
                )),
            });
        }
        (Part::Leaf, false) if !has("leaf") => {
            let says = format!("`{}` has no nats-server: none of its modules brings the module `leaf`", machine.name);
            report.push(Diagnostic::error(CODE, place, says).help("add \"leaf\" to `configuration`"));
        }
        _ => {}
    }
}
