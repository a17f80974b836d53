//! Bucket names are unique across the domain.
//!
//! Object data travels on `$O.<bucket>.>`, which no JetStream domain keeps apart: two buckets of one name store each
//! other's objects (NATS-FACTS part 2, 7).

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;
use std::collections::BTreeMap;

const CODE: Code = Code(302);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "bucket-names",
    title: "one bucket name is used in two places",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let mut seen: BTreeMap<&str, Holder<'_>> = BTreeMap::new();
    for holder in Holder::all(domain) {
        for name in holder.buckets().keys() {
            let Some(first) = seen.insert(name.as_str(), holder) else { continue };
            seen.insert(name.as_str(), first);
            let path = format!("buckets.{name}");
            let says = format!("the bucket `{name}` is on `{}` and on `{}`", first.name(), holder.name());
            report.push(
                Diagnostic::error(CODE, holder.span(&path), says)
                    .also(first.span(&path), "first declared here")
                    .help(format!("put the machine's name in front: `{}-{name}`", holder.name())),
            );
        }
    }
}
