//! Each member of the cluster is reached at an address of its own.
//!
//! Two that share one are dialled as one: routes and leaves reach whichever answers, and the other is a member in name only.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine, Part};
use std::collections::BTreeMap;

const CODE: Code = Code(415);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "member-addresses",
    title: "two members of the cluster are reached at one address",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let mut seen: BTreeMap<(String, u16), &Machine> = BTreeMap::new();
    for member in domain.machines.iter().filter(|machine| machine.part == Part::Member) {
        let cluster = &member.options.cluster;
        let host = member.options.network.host.to_ascii_lowercase();
        // Members on one host are told apart by their ports: `up` runs them so.
        for port in [cluster.listen.port(), cluster.leafnodes.port()] {
            let first = *seen.entry((host.clone(), port)).or_insert(member);
            if first.name == member.name {
                continue;
            }
            let (host, path) = (&member.options.network.host, "network.host");
            let says = format!("`{}` and `{}` are both reached at {host}, port {port}", first.name, member.name);
            report.push(
                Diagnostic::error(CODE, span(member, path), says)
                    .also(span(first, path), format!("`{}`", first.name))
                    .help(format!(
                        "give `{}` the name or address by which the others reach it, or leave `{path}` out",
                        member.name
                    )),
            );
            break;
        }
    }
}
