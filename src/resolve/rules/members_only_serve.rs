//! A member of the cluster serves the domain and does nothing besides: no services, no streams or events of its own.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine, Part};

const CODE: Code = Code(404);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "members-only-serve",
    title: "a member of the cluster does a leaf's work",
    check: Check::Machine(check),
};

fn check(machine: &Machine, domain: &Domain, report: &mut Report) {
    let (Part::Member, Some(cluster)) = (&machine.part, &domain.cluster) else { return };
    let options = &machine.options;
    let table = format!("[clusters.{}.settings", cluster.name);
    let mut refuse = |path: String, says: String, help: String| {
        report.push(Diagnostic::error(CODE, span(machine, &path), says).help(help));
    };
    for name in options.services.keys() {
        let says = format!("the service `{name}` is on a member of the cluster");
        refuse(format!("services.{name}"), says, "put it on a leaf".to_owned());
    }
    for name in options.streams.keys() {
        let says = format!("the stream `{name}` is declared on a member, and its JetStream is the cluster's");
        refuse(
            format!("streams.{name}"),
            says,
            format!("declare it as `{table}.streams.{name}]` in domain.toml, or on a leaf"),
        );
    }
    for name in options.buckets.keys() {
        let says = format!("the bucket `{name}` is declared on a member, and its JetStream is the cluster's");
        refuse(
            format!("buckets.{name}"),
            says,
            format!("declare it as `{table}.buckets.{name}]` in domain.toml, or on a leaf"),
        );
    }
    if options.event_store.enable {
        let says = format!("`{}` is a member of the cluster and has an event store of its own", machine.name);
        refuse(
            "event_store.enable".to_owned(),
            says,
            format!("the cluster's event store is `{table}.event_store]`; take the module `event-store` away"),
        );
    }
    for set in &machine.events {
        let says = format!("the event set `{set}` is loaded on a member of the cluster");
        refuse("events".to_owned(), says, "name it in `events` of domain.toml, or of a leaf".to_owned());
    }
}
