//! A subject is captured on one machine only: links carry what is captured elsewhere too, and it would be stored twice
//! (NATS-FACTS part 2, 6). Events and commands are exempt, because links do not carry them.

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::{StreamName, SubjectPattern};
use crate::resolve::model::Domain;
use std::collections::BTreeMap;

const CODE: Code = Code(308);

pub const RULE: Rule =
    Rule { code: CODE, name: "subject-owners", title: "two machines capture one subject", check: Check::Domain(check) };

#[derive(Clone, Copy)]
struct Capture<'a> {
    holder: Holder<'a>,
    stream: &'a StreamName,
    subject: &'a SubjectPattern,
}

/// Patterns by their tokens, so that ten thousand machines are looked through once and not once for each other.
#[derive(Default)]
struct Node<'a> {
    below: BTreeMap<&'a str, Box<Node<'a>>>,
    ends: Option<Capture<'a>>,
}

fn check(domain: &Domain, report: &mut Report) {
    let mut root = Node::default();
    let unlinked = [&domain.spaces.events, &domain.spaces.commands];
    for holder in Holder::all(domain) {
        for (stream, config) in holder.streams() {
            for subject in &config.subjects {
                if unlinked.iter().any(|space| space.covers(subject)) {
                    continue;
                }
                let capture = Capture { holder, stream, subject };
                let tokens: Vec<&str> = subject.as_str().split('.').collect();
                if let Some(first) = find(&root, &tokens, holder) {
                    report.push(finding(first, capture));
                }
                insert(&mut root, &tokens, capture);
            }
        }
    }
}

/// A pattern of another holder that shares a subject with this one.
fn find<'a>(node: &Node<'a>, tokens: &[&str], holder: Holder<'_>) -> Option<Capture<'a>> {
    let other = |node: &Node<'a>| node.ends.filter(|capture| capture.holder.name() != holder.name());
    let Some((token, rest)) = tokens.split_first() else { return other(node) };
    if let Some(capture) = node.below.get(">").and_then(|below| other(below)) {
        return Some(capture);
    }
    match *token {
        ">" => node.below.values().find_map(|below| any(below, holder)),
        "*" => node.below.values().find_map(|below| find(below, rest, holder)),
        word => ["*", word]
            .into_iter()
            .filter_map(|token| node.below.get(token))
            .find_map(|below| find(below, rest, holder)),
    }
}

fn any<'a>(node: &Node<'a>, holder: Holder<'_>) -> Option<Capture<'a>> {
    let own = node.ends.filter(|capture| capture.holder.name() != holder.name());
    own.or_else(|| node.below.values().find_map(|below| any(below, holder)))
}

fn insert<'a>(node: &mut Node<'a>, tokens: &[&'a str], capture: Capture<'a>) {
    match tokens.split_first() {
        Some((token, rest)) => insert(node.below.entry(*token).or_default(), rest, capture),
        None => {
            node.ends.get_or_insert(capture);
        }
    }
}

fn finding(first: Capture<'_>, second: Capture<'_>) -> Diagnostic {
    let says = format!(
        "`{}` is captured on `{}` and on `{}`, so it would be stored twice",
        second.subject,
        first.holder.name(),
        second.holder.name()
    );
    Diagnostic::error(CODE, second.holder.stream_span(second.stream, "subjects"), says)
        .also(first.holder.stream_span(first.stream, "subjects"), format!("`{}` captures `{}` here", first.holder.name(), first.subject))
        .help("put the machine's name into the subject, as in `readings.${machine.name}.>`, or capture it in one place and use `sources` in the other")
}
