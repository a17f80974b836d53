//! Streams and buckets that Leafwright makes of its own accord keep their names, and a name leaves room for what is put before it.

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;

const CODE: Code = Code(304);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "reserved-names",
    title: "a stream or bucket has a name that is taken",
    check: Check::Holder(check),
};

/// The beginning, and whose it is.
const TAKEN: [(&str, &str); 8] = [
    ("EVT-", "event stores"),
    ("CMD-", "streams of commands"),
    ("DLQ-", "dead-letter streams"),
    ("PRV-", "histories of machines"),
    ("SEED-", "streams of event sets"),
    ("KEEP-", "keepers"),
    ("KV_", "key-value buckets"),
    ("OBJ_", "object buckets"),
];

const TAKEN_WHOLE: [(&str, &str); 4] = [
    ("EVT", "the domain's event store"),
    ("PRV", "the history of all machines"),
    ("CMD", "the domain's commands"),
    ("DLQ", "the dead-letter stream"),
];

const TAKEN_BUCKET: &str = "leafwright";

/// nats-server's longest name, less the longest prefix of ours (`KEEP-OBJ_`).
const LONGEST: usize = 255 - 9;

fn check(holder: Holder<'_>, domain: &Domain, report: &mut Report) {
    for name in holder.streams().keys() {
        let text = name.as_str();
        let prefix = TAKEN.iter().find(|(prefix, _)| text.starts_with(prefix));
        if let Some((taken, whose)) = prefix.or_else(|| TAKEN_WHOLE.iter().find(|(whole, _)| text == *whole)) {
            let finding = Diagnostic::error(
                CODE,
                holder.span(&format!("streams.{name}")),
                format!("`{taken}` is the name of {whose}"),
            );
            let rest = text.strip_prefix(taken).filter(|rest| !rest.is_empty());
            report.push(match (*taken, rest) {
                ("KV_" | "OBJ_", Some(bucket)) => {
                    finding.help(format!("declare the bucket: `[{}.buckets.{bucket}]`", holder.table()))
                }
                (_, Some(rest)) => finding.help(format!("call it `{}`", rest.to_uppercase())),
                _ => finding.help(format!("call it after its content, such as `{}-ORDERS`", domain.account)),
            });
        }
        too_long(holder, &format!("streams.{name}"), text, report);
    }
    for name in holder.buckets().keys() {
        if name.as_str() == TAKEN_BUCKET {
            let says = format!("`{name}` is the name of the bucket in which the domain's lease is kept");
            let help = format!("call it after its content, such as `{}-settings`", domain.name);
            report.push(Diagnostic::error(CODE, holder.span(&format!("buckets.{name}")), says).help(help));
        }
        too_long(holder, &format!("buckets.{name}"), name.as_str(), report);
    }
}

fn too_long(holder: Holder<'_>, path: &str, text: &str, report: &mut Report) {
    if text.len() > LONGEST {
        let says =
            format!("this name has {} bytes, {LONGEST} are the most with the prefix of a keeper before it", text.len());
        report.push(Diagnostic::error(CODE, holder.span(path), says).help("shorten it"));
    }
}
