//! Several machines need a cluster to meet on.

use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;

const CODE: Code = Code(405);

pub const RULE: Rule =
    Rule { code: CODE, name: "missing-cluster", title: "several machines and no cluster", check: Check::Domain(check) };

fn check(domain: &Domain, report: &mut Report) {
    let (None, [first, _, ..]) = (&domain.cluster, &domain.machines[..]) else { return };
    let says = format!("{} machines, and no cluster on which they could meet", domain.machines.len());
    let help =
        format!("write `[clusters.hub]` with `members = [\"{}\"]`, or three machines, in domain.toml", first.name);
    report.push(Diagnostic::error(CODE, domain.origin, says).help(help));
}
