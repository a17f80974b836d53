//! Streams do not source each other in a circle, not across JetStream domains either.
//!
//! nats-server finds a circle within one account and domain; across domains it copies for ever (ADR-59).

use super::holder::Holder;
use super::sources::by_domain;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::StreamName;
use crate::resolve::model::Domain;
use std::collections::BTreeMap;

const CODE: Code = Code(317);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "source-cycles",
    title: "streams source each other in a circle",
    check: Check::Domain(check),
};

struct Node<'a> {
    holder: Holder<'a>,
    stream: &'a StreamName,
    /// Where it draws from, as places in the list of nodes.
    from: Vec<usize>,
}

/// Only declared streams draw from what may draw from them: what Leafwright makes flows from leaf to cluster to keeper.
fn check(domain: &Domain, report: &mut Report) {
    let nodes = nodes(domain);
    let mut done = vec![false; nodes.len()];
    for start in 0..nodes.len() {
        if let Some(circle) = walk(&nodes, start, &mut done) {
            report.push(finding(&nodes, &circle));
        }
    }
}

fn nodes(domain: &Domain) -> Vec<Node<'_>> {
    let holders = by_domain(domain);
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut nodes = vec![];
    for holder in holders.values() {
        for (stream, config) in holder.streams() {
            if config.mirror.is_some() || !config.sources.is_empty() {
                places.insert((holder.domain(), stream.as_str()), nodes.len());
                nodes.push(Node { holder: *holder, stream, from: vec![] });
            }
        }
    }
    for node in &mut nodes {
        let config = &node.holder.streams()[node.stream];
        let own = node.holder.domain();
        let sources = config.sources.iter().chain(&config.mirror);
        node.from = sources
            .filter_map(|source| {
                places.get(&(source.domain.as_deref().unwrap_or(own), source.stream.as_str())).copied()
            })
            .collect();
    }
    nodes
}

/// Goes against the stream from `start`; the circle it runs into, if any. Every node is left for good once.
fn walk(nodes: &[Node<'_>], start: usize, done: &mut [bool]) -> Option<Vec<usize>> {
    let mut path: Vec<(usize, usize)> = vec![];
    if !done[start] {
        path.push((start, 0));
    }
    while let Some((node, next)) = path.pop() {
        let Some(from) = nodes[node].from.get(next) else {
            done[node] = true;
            continue;
        };
        path.push((node, next + 1));
        if let Some(at) = path.iter().position(|(on_path, _)| on_path == from) {
            let circle = path[at..].iter().map(|(node, _)| *node).collect();
            for (node, _) in path {
                done[node] = true;
            }
            return Some(circle);
        }
        if !done[*from] {
            path.push((*from, 0));
        }
    }
    None
}

fn finding(nodes: &[Node<'_>], circle: &[usize]) -> Diagnostic {
    let name = |at: &usize| format!("`{}` on `{}`", nodes[*at].stream, nodes[*at].holder.name());
    let place = |at: &usize| nodes[*at].holder.stream_span(nodes[*at].stream, "sources");
    let mut names: Vec<String> = circle.iter().map(name).collect();
    names.push(name(&circle[0]));
    let says = format!("streams source each other in a circle: {}", names.join(" from "));
    let finding = Diagnostic::error(CODE, place(&circle[0]), says);
    let finding =
        circle[1..].iter().fold(finding, |finding, at| finding.also(place(at), format!("{} is part of it", name(at))));
    finding.help("take one of the sources away; a message comes round once and is stored again, without end")
}
