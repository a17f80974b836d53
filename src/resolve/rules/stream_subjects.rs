//! Subjects that a stream must not capture: nats-server's own, the inboxes of replies, the seeder's, and those of histories.
//!
//! nats-server takes `>` and `$JS.>` only from streams that acknowledge nothing, which no stream of ours is (NATS-FACTS B.2).

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::SubjectPattern;
use crate::resolve::model::Domain;

const CODE: Code = Code(306);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "stream-subjects",
    title: "a stream captures subjects that are not its to capture",
    check: Check::Holder(check),
};

/// First tokens, and what they are for.
const TAKEN: [(&str, &str); 10] = [
    ("$JS", "JetStream's own requests"),
    ("$JSC", "JetStream's own traffic"),
    ("$NRG", "replication between servers"),
    ("$SYS", "the system account"),
    ("$KV", "key-value buckets"),
    ("$O", "object buckets"),
    ("$SRV", "questions about services"),
    ("_INBOX", "replies"),
    ("seed", "the loading of events"),
    ("prv", "the history of machines"),
];

/// Subjects below a taken token that a stream may capture all the same: what servers announce.
const ALLOWED: [&str; 2] = ["$JS.EVENT.", "$SYS.ACCOUNT."];

fn check(holder: Holder<'_>, _: &Domain, report: &mut Report) {
    for (name, stream) in holder.streams() {
        for subject in &stream.subjects {
            if let Some((says, help)) = judge(subject) {
                report.push(Diagnostic::error(CODE, holder.stream_span(name, "subjects"), says).help(help));
            }
        }
    }
}

fn judge(subject: &SubjectPattern) -> Option<(String, String)> {
    let text = subject.as_str();
    let first = text.split('.').next().unwrap_or_default();
    if matches!(first, "*" | ">") {
        let says = format!("`{text}` captures nats-server's own subjects and every reply");
        return Some((says, "begin with a word: `orders.>`".to_owned()));
    }
    if ALLOWED.iter().any(|beginning| text.starts_with(beginning)) {
        return None;
    }
    let (token, whose) = TAKEN.iter().find(|(token, _)| *token == first)?;
    let help = match *token {
        "$KV" | "$O" => "declare a bucket: `[settings.buckets.<name>]`",
        "prv" => "every machine has a stream for it already: `leafwright status --history`",
        "seed" => "name the event set in `events`; it is loaded and stored without more",
        _ => "capture the domain's own subjects only",
    };
    Some((format!("`{text}` lies in `{token}.>`, which is for {whose}"), help.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_refused_and_announcements_are_not() {
        let taken = |text: &str| judge(&SubjectPattern::parse(text).unwrap()).is_some();
        for text in [
            ">",
            "*.orders",
            "$JS.API.>",
            "$JSC.>",
            "$NRG.>",
            "$SYS.>",
            "$KV.a.>",
            "$O.a.>",
            "_INBOX.>",
            "seed.x.>",
            "prv.>",
        ] {
            assert!(taken(text), "{text}");
        }
        for text in ["orders.>", "seeds.>", "$JS.EVENT.ADVISORY.>", "$SYS.ACCOUNT.A.>", "a.*.c"] {
            assert!(!taken(text), "{text}");
        }
    }
}
