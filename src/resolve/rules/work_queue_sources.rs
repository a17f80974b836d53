//! A work queue and `sources` do not go together well: drawing from it takes the work away from its consumers, and as a
//! target it forgets, once it is empty, how far it had come.

use super::holder::Holder;
use super::sources::by_domain;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Retention};

const CODE: Code = Code(318);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "work-queue-sources",
    title: "a work queue is a source, or has sources",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let holders = by_domain(domain);
    for holder in Holder::all(domain) {
        for (name, stream) in holder.streams() {
            if stream.retention == Retention::WorkQueue && !stream.sources.is_empty() {
                let says = "a work queue with sources forgets how far it had come when it is empty, and fetches the work again";
                let finding = Diagnostic::warning(CODE, holder.stream_span(name, "retention"), says);
                report.push(
                    finding
                        .also(holder.stream_span(name, "sources"), "its sources")
                        .help("write `retention = \"limits\"` and a `max_age`"),
                );
            }
            let mirror = stream.mirror.iter().map(|source| (source, "mirror"));
            for (source, field) in mirror.chain(stream.sources.iter().map(|source| (source, "sources"))) {
                let Some(origin) = holders.get(source.domain.as_deref().unwrap_or(holder.domain())) else { continue };
                let queue =
                    origin.streams().get(&source.stream).filter(|origin| origin.retention == Retention::WorkQueue);
                if queue.is_some() {
                    let says =
                        format!("`{}` is a work queue: what is drawn from it is gone for its consumers", source.stream);
                    let finding = Diagnostic::warning(CODE, holder.stream_span(name, field), says);
                    let finding =
                        finding.also(origin.stream_span(&source.stream, "retention"), "declared a work queue here");
                    report.push(finding.help("give that stream `retention = \"limits\"` and a `max_age`"));
                }
            }
        }
    }
}
