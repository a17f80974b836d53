//! Event sets: how many events are still to be stored, and what must never be loaded twice.
//!
//! Refuses: sets that shrank or changed, and seed streams that were lost while the event store kept their events.

use super::between::View;
use super::model::{Action, Because, Object, Refusal, Step};
use super::observed::StoredSeed;
use crate::compile::Seed;
use crate::compile::jetstream::StreamSource;

pub(super) fn step(view: &View<'_>, seed: &Seed) -> Option<Step> {
    let stream = seed.target.stream.as_str();
    let name = format!("events/{}", seed.set);
    let to = seed.events.events.len() as u64;
    let observed = view.observed.seeds.get(&(view.scope.clone(), seed.set.clone())).cloned();
    let observed = observed.unwrap_or_else(|| {
        StoredSeed::Prefix(view.observed.stream(view.scope, stream).map_or(0, |stream| stream.last_sequence))
    });
    let refuse = |say: String, way_out: String| {
        Some(view.refusal(Object::Events(seed.set.clone()), &name, Refusal { say, way_out }))
    };
    if lost(view, stream).is_some() {
        return None;
    }
    match observed {
        StoredSeed::Differs(at) => refuse(
            format!("event {} of `{}` is not the one that is stored: event sets are append-only", at + 1, seed.set),
            format!("restore line {} of events/{}.jsonl and append a correcting event instead", at + 1, seed.set),
        ),
        StoredSeed::Prefix(from) if from > to => refuse(
            format!("{from} events of `{}` are stored and the file has {to}: event sets are append-only", seed.set),
            match from - to {
                1 => format!("restore the last line of events/{}.jsonl", seed.set),
                more => format!("restore the last {more} lines of events/{}.jsonl", seed.set),
            },
        ),
        StoredSeed::Prefix(from) if from == to => None,
        StoredSeed::Prefix(from) => {
            let action = Action::LoadEvents { set: seed.set.clone(), stream: seed.target.stream.clone(), from, to };
            let id = view.id(&name, "load");
            let because = if from == 0 { view.missing_or_new(&id) } else { Because::Grew { by: to - from } };
            Some(view.step(id, action, because))
        }
    }
}

/// A seed stream that is gone while its events may be elsewhere. Made anew and filled again, every event would reach the
/// streams that source it a second time: nats-server sees a recreated origin and starts over.
pub(super) fn lost(view: &View<'_>, stream: &str) -> Option<Refusal> {
    let seed = view.objects.seeds.iter().find(|seed| seed.target.stream.as_str() == stream)?;
    if view.observed.stream(view.scope, stream).is_some() {
        return None;
    }
    let store = behind(view, stream)?;
    Some(Refusal {
        say: format!(
            "`{stream}` is gone while `{store}` has messages: loading again would double the events of `{}`",
            seed.set
        ),
        way_out: format!("take `{}` out of `events` if `{store}` holds its events, or restore `{stream}`", seed.set),
    })
}

/// A stream that has messages and sources the lost one: directly; or, where the journal knows that the set was loaded,
/// by way of this machine's streams.
fn behind<'a>(view: &View<'a>, lost: &str) -> Option<&'a str> {
    let here = view.observed.objects.get(view.scope).into_iter().flat_map(|objects| objects.streams.values());
    let mut direct = here
        .filter(|stream| stream.config.sources.iter().any(|source| source.name == lost && source.external.is_none()));
    if let Some(stream) = direct.find(|stream| stream.messages > 0) {
        return Some(&stream.config.name);
    }
    let seed = view.objects.seeds.iter().find(|seed| seed.target.stream.as_str() == lost)?;
    if !view.observed.made.contains(&view.id(&format!("events/{}", seed.set), "load")) {
        return None;
    }
    let api = format!("$JS.{}.API", view.domain?);
    let ours = |source: &StreamSource| source.external.as_ref().is_some_and(|external| external.api == api);
    let everywhere = view.observed.objects.values().flat_map(|objects| objects.streams.values());
    let mut aggregates = everywhere.filter(|stream| stream.messages > 0 && stream.config.sources.iter().any(ours));
    aggregates.next().map(|stream| stream.config.name.as_str())
}
