//! A cluster has one, three or five members: an even number votes no better than one fewer, and more than five only vote slower.

use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;
use std::collections::BTreeSet;

const CODE: Code = Code(401);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "cluster-size",
    title: "a cluster has one, three or five members",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let Some(cluster) = &domain.cluster else { return };
    let count = cluster.members.len();
    let place = cluster.origins.of("members").unwrap_or(cluster.origin);
    if !matches!(count, 1 | 3 | 5) {
        let better = if count > 5 { 5 } else { 3 };
        let says = format!("the cluster `{}` has {count} members", cluster.name);
        report.push(Diagnostic::error(CODE, place, says).help(match count {
            0 => "name the machines that form it, such as `members = [\"oak\"]`, or remove the cluster".to_owned(),
            _ => format!("name {better} members; every other machine is a leaf"),
        }));
    }
    let mut seen = BTreeSet::new();
    for member in cluster.members.iter().filter(|member| !seen.insert(*member)) {
        report.push(
            Diagnostic::error(CODE, place, format!("the member `{member}` is named twice"))
                .help("name another machine"),
        );
    }
}
