//! What a role may say and hear is something of this domain, and not everybody's answers.
//!
//! A subject of another domain's is a slip of the pen that no server tells. Whoever hears `_INBOX.>` hears every answer to everybody
//! (NATS by design: an inbox is a subject like any other), and `$JS.>` every request to JetStream and every delivery.

use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report, Span, Spanned};
use crate::name::SubjectPattern;
use crate::resolve::model::Domain;

const CODE: Code = Code(417);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "role-reach",
    title: "a role reaches nothing of this domain, or everybody's answers",
    check: Check::Domain(check),
};

const OF_OTHERS: [(&str, &str); 2] =
    [("_INBOX.>", "every answer to everybody"), ("$JS.>", "what JetStream is asked and what it delivers")];

fn check(domain: &Domain, report: &mut Report) {
    let mut warn = |place: Span, says: String, help: String| {
        report.push(Diagnostic::warning(CODE, place, says).help(help));
    };
    for role in domain.roles.values() {
        for Spanned { value: pattern, span } in role.publish.iter().chain(&role.subscribe) {
            if let Some(space) = elsewhere(domain, pattern) {
                let says = format!("`{pattern}`, which the role `{}` names, is nothing of this domain", role.name);
                warn(*span, says, format!("write `{space}`, or a part of that"));
            }
        }
        for Spanned { value: pattern, span } in &role.subscribe {
            let overlaps = |(subject, _): &&(&str, &str)| {
                SubjectPattern::parse(subject).is_ok_and(|of_others| of_others.overlaps(pattern))
            };
            if let Some((_, what)) = OF_OTHERS.iter().find(overlaps) {
                let says = format!("the role `{}` hears {what}: it subscribes to `{pattern}`", role.name);
                let spaces = &domain.spaces;
                warn(
                    *span,
                    says,
                    format!("subscribe to what it is to see: `{}`, `{}`", spaces.events, spaces.commands),
                );
            }
        }
    }
}

/// Of the domain's three kinds of subjects the one that the pattern begins like and does not meet.
fn elsewhere<'d>(domain: &'d Domain, pattern: &SubjectPattern) -> Option<&'d SubjectPattern> {
    let spaces = &domain.spaces;
    let kind = |pattern: &SubjectPattern| pattern.as_str().split('.').next().unwrap_or_default().to_owned();
    [&spaces.commands, &spaces.queries, &spaces.events]
        .into_iter()
        .find(|space| kind(space) == kind(pattern) && !space.overlaps(pattern))
}
