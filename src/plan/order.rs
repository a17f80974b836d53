//! The order of steps: what makes room, then what comes, origins before what reads them, then consumers, then events.
//!
//! Refuses: an order that depends on anything but the declarations.

use super::model::{Action, Scope, Step};
use super::{domain_of, scopes};
use crate::compile::Desired;
use crate::compile::jetstream::StreamConfig;
use std::collections::{BTreeMap, BTreeSet};

/// Closures; updates that give subjects up; creations; other updates; consumers; events; refusals last, for they stop all.
pub(super) fn sorted(desired: &Desired, mut steps: Vec<Step>) -> Vec<Step> {
    let rank = ranks(desired);
    let of = |step: &Step, stream: &str| rank.get(&(step.on.clone(), stream.to_owned())).copied().unwrap_or(usize::MAX);
    steps.sort_by_cached_key(|step| {
        let (phase, rank) = match &step.action {
            Action::WriteClosure { .. } => (0, 0),
            Action::UpdateStream { from, to, .. } if gives_up_subjects(from, to) => (1, of(step, &to.name)),
            Action::CreateStream { config } => (2, of(step, &config.name)),
            Action::UpdateStream { to, .. } => (3, of(step, &to.name)),
            Action::CreateConsumer { stream, .. } | Action::UpdateConsumer { stream, .. } => {
                (4, of(step, stream.as_str()))
            }
            Action::LoadEvents { stream, .. } => (5, of(step, stream.as_str())),
            Action::Refuse { .. } => (6, 0),
        };
        (phase, rank, step.on.clone(), step.id.clone())
    });
    steps
}

fn gives_up_subjects(from: &StreamConfig, to: &StreamConfig) -> bool {
    from.subjects.iter().any(|subject| !to.subjects.contains(subject))
}

/// Each stream's place in an order in which every origin precedes its mirrors and aggregates.
fn ranks(desired: &Desired) -> BTreeMap<(Scope, String), usize> {
    let mut by_domain = BTreeMap::new();
    let mut streams = Vec::new();
    for (scope, objects) in scopes(desired) {
        if let Some(domain) = domain_of(desired, &scope) {
            by_domain.insert(format!("$JS.{domain}.API"), scope.clone());
        }
        streams.extend(objects.streams.iter().map(|config| (scope.clone(), config)));
    }
    let known: BTreeMap<_, _> =
        streams.iter().map(|(scope, config)| ((scope.clone(), config.name.clone()), *config)).collect();
    let mut walk = Walk { by_domain, known: &known, seen: BTreeSet::new(), ranks: BTreeMap::new() };
    for (scope, config) in &streams {
        walk.visit(scope, config);
    }
    walk.ranks
}

struct Walk<'a> {
    by_domain: BTreeMap<String, Scope>,
    known: &'a BTreeMap<(Scope, String), &'a StreamConfig>,
    seen: BTreeSet<(Scope, String)>,
    ranks: BTreeMap<(Scope, String), usize>,
}

impl Walk<'_> {
    /// Depth first, origins before the stream itself. A cycle (which `check` refuses) is cut where it closes.
    fn visit(&mut self, scope: &Scope, config: &StreamConfig) {
        let key = (scope.clone(), config.name.clone());
        if !self.seen.insert(key.clone()) {
            return;
        }
        let known = self.known;
        for source in config.mirror.iter().chain(&config.sources) {
            let at = match &source.external {
                None => Some(scope.clone()),
                Some(external) => self.by_domain.get(&external.api).cloned(),
            };
            let origin = at.and_then(|at| known.get_key_value(&(at, source.name.clone())));
            if let Some(((at, _), origin)) = origin {
                self.visit(at, origin);
            }
        }
        let rank = self.ranks.len();
        self.ranks.insert(key, rank);
    }
}
