//! Replicas lie on the members of one cluster: never more than there are members, at most five, and one on a leaf
//! (nats-server errors 10005, 10052, 10074).

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::resolve::model::Domain;

const CODE: Code = Code(311);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "replicas",
    title: "more replicas than there are servers to hold them",
    check: Check::Holder(check),
};

fn check(holder: Holder<'_>, domain: &Domain, report: &mut Report) {
    if let Holder::Cluster(cluster) = holder {
        let options = &cluster.options;
        judge(holder, domain, options.event_store.replicas, || holder.span("event_store.replicas"), report);
        judge(holder, domain, options.commands.replicas, || holder.span("commands.replicas"), report);
    }
    for (name, stream) in holder.streams() {
        judge(holder, domain, stream.replicas, || holder.stream_span(name, "replicas"), report);
    }
    for (name, bucket) in holder.buckets() {
        judge(holder, domain, bucket.replicas, || holder.bucket_span(name, "replicas"), report);
    }
}

fn judge(holder: Holder<'_>, domain: &Domain, replicas: u32, span: impl Fn() -> Span, report: &mut Report) {
    let members = match holder {
        Holder::Cluster(cluster) => cluster.members.len(),
        Holder::Machine(_) => 1,
    };
    if (1..=5).contains(&replicas) && replicas as usize <= members {
        return;
    }
    let finding = |says: String| Diagnostic::error(CODE, span(), says);
    report.push(match (holder, &domain.cluster) {
        _ if replicas == 0 => finding("a stream has at least one replica".to_owned()).help("write `replicas = 1`"),
        (Holder::Machine(_), Some(cluster)) => finding(format!("one server cannot hold {replicas} replicas"))
            .help(format!("declare it on the cluster, in `[clusters.{}.settings]`, or leave `replicas` out and write `copies` and `keepers`", cluster.name)),
        (Holder::Machine(_), None) => {
            finding(format!("one server cannot hold {replicas} replicas")).help("write `replicas = 1`; this domain has no cluster")
        }
        (Holder::Cluster(cluster), _) => {
            let most = members.min(5);
            finding(format!("{replicas} replicas on a cluster of {members}"))
                .also(cluster.origins.of("members").unwrap_or(cluster.origin), format!("its members: {}", names(cluster)))
                .help(format!("write `replicas = {most}`; `copies` and `keepers` add copies on other machines"))
        }
    });
}

fn names(cluster: &crate::resolve::model::Cluster) -> String {
    cluster.members.iter().map(|member| member.as_str()).collect::<Vec<_>>().join(", ")
}
