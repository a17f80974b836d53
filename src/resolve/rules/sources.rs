//! A mirror and a source name a stream that exists, in a JetStream domain that exists.
//!
//! nats-server accepts any name and waits for it for ever.

use super::holder::Holder;
use super::{Check, Rule};
use crate::declare::nearest;
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::resolve::model::{Domain, StreamSource};
use std::collections::BTreeMap;

const CODE: Code = Code(316);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "sources",
    title: "a mirror or source is of something that does not exist",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let holders = by_domain(domain);
    for holder in Holder::all(domain) {
        for (name, stream) in holder.streams() {
            let mirror = stream.mirror.iter().map(|source| (source, "mirror"));
            for (source, field) in mirror.chain(stream.sources.iter().map(|source| (source, "sources"))) {
                judge(source, holder, &holders, domain, || holder.stream_span(name, field), report);
            }
        }
    }
}

/// JetStream domain → its holder. Members share the cluster's domain, whose streams the cluster holds.
pub fn by_domain(domain: &Domain) -> BTreeMap<&str, Holder<'_>> {
    let mut holders = BTreeMap::new();
    for holder in Holder::all(domain) {
        holders.entry(holder.domain()).or_insert(holder);
    }
    holders
}

fn judge(
    source: &StreamSource,
    holder: Holder<'_>,
    holders: &BTreeMap<&str, Holder<'_>>,
    domain: &Domain,
    span: impl Fn() -> Span,
    report: &mut Report,
) {
    let name = source.domain.as_deref().unwrap_or(holder.domain());
    let Some(origin) = holders.get(name) else {
        let finding = Diagnostic::error(CODE, span(), format!("there is no JetStream domain `{name}`"));
        return report.push(match nearest(name, holders.keys().copied()) {
            Some(near) => finding.help(format!("there is `{near}`")),
            None => finding.help("name the cluster or a machine, or leave `domain` out for a stream beside this one"),
        });
    };
    if origin.has_stream(source.stream.as_str(), domain) {
        return;
    }
    let finding = Diagnostic::error(
        CODE,
        span(),
        format!("there is no stream `{}` in the JetStream domain `{name}`", source.stream),
    );
    let elsewhere = holders.iter().find(|(_, other)| other.has_stream(source.stream.as_str(), domain));
    let near = nearest(source.stream.as_str(), origin.streams().keys().map(|stream| stream.as_str()));
    report.push(match (near, elsewhere) {
        (Some(near), _) => finding.help(format!("there is `{near}`")),
        (None, Some((other, _))) => {
            finding.help(format!("it is in the JetStream domain `{other}`: write `domain = \"{other}\"`"))
        }
        (None, None) => finding.help(format!("declare it: `[{}.streams.{}]`", origin.table(), source.stream)),
    });
}
