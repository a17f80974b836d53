//! Event sets are complete by digest, and every stream that sources others has all of theirs, once.
//!
//! Refuses: comparing counts of streams that let messages go (limits by age), and counts of origins that were not asked for.

use super::access::Connections;
use super::objects::{self, on};
use super::outcome::{Check, Finding};
use super::poll;
use super::target::Target;
use crate::compile::jetstream::{StreamConfig, StreamSource};
use crate::plan::{self, Scope};
use crate::seed;
use std::time::Instant;

pub async fn check(target: &Target<'_>, connections: &Connections) -> Vec<Finding> {
    let mut findings = seeds(target, connections).await;
    let deadline = Instant::now() + target.patience;
    for (scope, objects) in plan::scopes(target.desired) {
        for config in objects.streams.iter().filter(|config| !config.sources.is_empty()) {
            let look = async || vec![aggregate(target, connections, &scope, config).await];
            findings.extend(poll::until(deadline, look).await);
        }
    }
    findings
}

async fn seeds(target: &Target<'_>, connections: &Connections) -> Vec<Finding> {
    let mut findings = vec![];
    for (scope, objects) in plan::scopes(target.desired) {
        let Some(client) = connections.of(&scope) else { continue };
        for seed in &objects.seeds {
            let subject = on(target, &scope, seed.set.as_str());
            let total = seed.events.events.len() as u64;
            findings.push(match seed::check(client, "$JS.API", seed, target.depth).await {
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
    findings
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
    let waiting = info.sources.iter().find(|source| source.active < 0 || source.lag > 0);
    let after = origins(target, connections, scope, config).await;
    let has = info.state.messages;
    match (waiting, before, after) {
        (Some(source), ..) if source.active < 0 => failed(format!("nothing heard of `{}` yet", source.name)),
        (Some(source), ..) => failed(format!("{} messages of `{}` are still to come", source.lag, source.name)),
        (None, Some(before), _) if has < before => failed(format!("{has} messages, its origins have {before}")),
        (None, _, Some(after)) if config.subjects.is_empty() && has > after => {
            failed(format!("{has} messages, its origins have only {after}: some came twice, or an origin lost some"))
        }
        (None, before, _) => {
            let each = if before.is_some() { ", each once" } else { "" };
            Finding::passed(
                Check::Aggregate,
                subject,
                format!("{has} messages of {} sources{each}", info.sources.len()),
            )
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
        let client = connections.of(&home(target, scope, source)?)?;
        sum += objects::stream(client, &source.name).await.ok()?.state.messages;
    }
    Some(sum)
}

/// Where a source's origin lives: the scope whose JetStream domain the source names.
fn home(target: &Target<'_>, scope: &Scope, source: &StreamSource) -> Option<Scope> {
    let Some(external) = &source.external else { return Some(scope.clone()) };
    let domain = external.api.strip_prefix("$JS.")?.strip_suffix(".API")?;
    plan::scopes(target.desired)
        .map(|(scope, _)| scope)
        .find(|scope| plan::domain_of(target.desired, scope) == Some(domain))
}
