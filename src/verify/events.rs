//! Event sets are complete by digest, and every stream that sources others has all of theirs, once.
//!
//! Refuses: comparing counts of streams that let messages go (limits by age), and counts of origins that were not asked for.

use super::access::{Connections, place};
use super::objects::{self, on};
use super::outcome::{Check, Finding};
use super::poll;
use super::target::Target;
use super::twice::{self, Twice};
use crate::compile::jetstream::StreamConfig;
use crate::plan::{self, Scope};
use crate::seed::{self, SeedError};
use std::collections::BTreeSet;
use std::time::Instant;

/// An event set: how many of its events are stored, in order and to the byte, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub set: String,
    pub place: String,
    pub stored: u64,
    pub wanted: u64,
}

pub async fn check(target: &Target<'_>, connections: &Connections) -> (Vec<Finding>, Vec<Loaded>) {
    let (mut findings, loaded) = seeds(target, connections).await;
    let deadline = Instant::now() + target.patience;
    for (scope, objects) in plan::scopes(target.desired) {
        for config in objects.streams.iter().filter(|config| !config.sources.is_empty()) {
            if config.sources.iter().any(|source| plan::home(target.desired, &scope, source).is_some()) {
                let look = async || vec![aggregate(target, connections, &scope, config).await];
                findings.extend(poll::until(target, deadline, look).await);
            }
            findings.extend(absent(target, &scope, config));
        }
    }
    (findings, loaded)
}

async fn seeds(target: &Target<'_>, connections: &Connections) -> (Vec<Finding>, Vec<Loaded>) {
    let (mut findings, mut loaded) = (vec![], vec![]);
    for (scope, objects) in plan::scopes(target.desired) {
        for seed in &objects.seeds {
            let subject = on(target, &scope, seed.set.as_str());
            let total = seed.events.events.len() as u64;
            let mut row = Loaded { set: seed.set.to_string(), place: place(target, &scope), stored: 0, wanted: total };
            let Some(client) = connections.of(&scope) else {
                loaded.push(row);
                continue;
            };
            let seen = seed::check(client, "$JS.API", seed, target.depth).await;
            row.stored = good(&seen);
            loaded.push(row);
            findings.push(match seen {
                Ok(stored) if stored == total => {
                    Finding::passed(Check::Events, subject, format!("{stored} of {total} in `{}`", seed.target.stream))
                }
                Ok(stored) => {
                    Finding::failed(Check::Events, subject, format!("{stored} of {total} in `{}`", seed.target.stream))
                }
                Err(error) => Finding::failed(Check::Events, subject, error.to_string()),
            });
        }
    }
    (findings, loaded)
}

/// The events from the first on that are what they must be.
fn good(seen: &Result<u64, SeedError>) -> u64 {
    match seen {
        Ok(stored) => *stored,
        Err(SeedError::Longer { stored, .. }) => *stored,
        Err(SeedError::Differs { difference, .. }) => difference.number.saturating_sub(1),
        Err(_) => 0,
    }
}

/// The sources whose machines do not run here: nothing can be said of them.
fn absent(target: &Target<'_>, scope: &Scope, config: &StreamConfig) -> Option<Finding> {
    let gone = config.sources.iter().filter(|source| plan::home(target.desired, scope, source).is_none());
    let gone: Vec<&str> = gone.filter_map(|source| plan::domain_named(source)).collect();
    let why = match gone.as_slice() {
        [] => return None,
        [one] => format!("{one} does not run here"),
        [most @ .., last] => format!("{} and {last} do not run here", most.join(", ")),
    };
    Some(Finding::skipped(Check::Aggregate, format!("sources of {}", on(target, scope, &config.name)), why))
}

/// Has the stream caught up with all its sources, and has it their messages once each?
async fn aggregate(target: &Target<'_>, connections: &Connections, scope: &Scope, config: &StreamConfig) -> Finding {
    let subject = on(target, scope, &config.name);
    let failed = |detail: String| Finding::failed(Check::Aggregate, subject.clone(), detail);
    let Some(client) = connections.of(scope) else { return failed("not connected".into()) };
    // Origins before, aggregate, origins after: events that come meanwhile are allowed for on both sides.
    let before = origins(target, connections, scope, config).await;
    let info = match objects::stream(client, &config.name).await {
        Ok(info) => info,
        Err(failure) => return failed(failure.to_string()),
    };
    let here = config.sources.iter().filter(|source| plan::home(target.desired, scope, source).is_some());
    let here: BTreeSet<&str> = here.map(|source| source.name.as_str()).collect();
    let mut sources = info.sources.iter().filter(|source| here.contains(source.name.as_str()));
    let waiting = sources.find(|source| source.active < 0 || source.lag > 0);
    let after = origins(target, connections, scope, config).await;
    let has = info.state.messages;
    match (waiting, before, after) {
        (Some(source), ..) if source.active < 0 => failed(format!("nothing heard of `{}` yet", source.name)),
        (Some(source), ..) => failed(format!("{} messages of `{}` are still to come", source.lag, source.name)),
        (None, Some(before), _) if has < before => failed(format!("{has} messages, its origins have {before}")),
        (None, _, Some(after)) if config.subjects.is_empty() && has > after => {
            let more = match twice::look(client, &config.name, has).await {
                Ok(Some(Twice { count, first })) => {
                    format!("{count} events are there twice, first {first}; readers know them by ce-source and ce-id")
                }
                _ => "some came twice, or an origin lost some".to_owned(),
            };
            failed(format!("{has} messages, its origins have only {after}: {more}"))
        }
        (None, before, _) => {
            let each = if before.is_some() { ", each once" } else { "" };
            Finding::passed(Check::Aggregate, subject, format!("{has} messages of {} sources{each}", here.len()))
        }
    }
}

/// How many messages all origins have. `None` where counts say nothing: messages are let go, or an origin is out of sight.
async fn origins(target: &Target<'_>, connections: &Connections, scope: &Scope, config: &StreamConfig) -> Option<u64> {
    if !(config.deny_delete && config.deny_purge) {
        return None;
    }
    let mut sum = 0;
    for source in &config.sources {
        let client = connections.of(&plan::home(target.desired, scope, source)?)?;
        sum += objects::stream(client, &source.name).await.ok()?.state.messages;
    }
    Some(sum)
}
