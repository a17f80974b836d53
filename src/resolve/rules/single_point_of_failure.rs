//! Where one failure stops the whole domain, it is said: a cluster of one, or a cluster in one zone of several.

use super::holder::members;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;
use std::collections::BTreeSet;

const CODE: Code = Code(402);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "single-point-of-failure",
    title: "one failure stops the whole domain",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let Some(cluster) = &domain.cluster else { return };
    let place = cluster.origins.of("members").unwrap_or(cluster.origin);
    if cluster.members.len() == 1 && domain.machines.len() > 1 {
        let says = format!("the cluster is `{}` alone: without it no message leaves its machine", cluster.members[0]);
        return report.push(
            Diagnostic::warning(CODE, place, says).help("name three members, in three zones if there are as many"),
        );
    }
    let theirs: BTreeSet<_> = members(domain).map(|member| &member.zone).collect();
    let zones: BTreeSet<_> = domain.machines.iter().map(|machine| &machine.zone).collect();
    if let (1, Some(zone), true) = (theirs.len(), theirs.first(), zones.len() > 2) {
        let says = format!("all members of the cluster are in the zone `{zone}`");
        report.push(Diagnostic::warning(CODE, place, says).help("spread the members over the zones of the domain"));
    }
}
