//! Is what the stream holds the beginning of the set? By the digest on its last message, or event by event.
//!
//! Refuses: guessing. Where the digest does not settle it, all events are read, and the first that differs is named.

use super::api::Failure;
use super::digest::Prefixes;
use super::error::{Difference, SeedError};
use super::stored::{self, Place, Stored};
use crate::compile::Seed;
use crate::resolve::SeedEvent;
use futures_util::{StreamExt, stream};

/// How much is read to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The digest on the last message: one read.
    Digest,
    /// Every event.
    Full,
}

/// How many single reads are on their way at once.
const READS: usize = 256;

/// Compares what is stored with the set and answers how many of its events are there.
pub async fn check(client: &async_nats::Client, api: &str, seed: &Seed, depth: Depth) -> Result<u64, SeedError> {
    let place = Place { client, api, stream: seed.target.stream.as_str() };
    prefix(place, seed, &mut Prefixes::of(&seed.events.events), depth).await
}

/// As `check`, with the digests that were computed before.
pub(super) async fn prefix(
    place: Place<'_>,
    seed: &Seed,
    prefixes: &mut Prefixes<'_>,
    depth: Depth,
) -> Result<u64, SeedError> {
    let told = |failure| SeedError::from_failure(place.stream, 0, failure);
    let info = stored::info(place).await.map_err(told)?;
    let declared = seed.events.events.len() as u64;
    let stored = match fit(place.stream, &info, declared) {
        // A line that was taken out of the middle is told, and not that the end is missing.
        Err(longer @ SeedError::Longer { .. }) => {
            let difference = first_difference(place, seed, declared).await.map_err(told)?;
            let differs = |difference| SeedError::Differs { stream: place.stream.to_owned(), difference };
            return Err(difference.map_or(longer, differs));
        }
        fit => fit?,
    };
    if stored == 0 {
        return Ok(0);
    }
    let last = stored::message(place, stored).await.map_err(told)?;
    let declared = usize::try_from(stored).ok().and_then(|count| prefixes.at(count));
    if depth == Depth::Digest && last.prefix_digest.is_some() && last.prefix_digest == declared {
        return Ok(stored);
    }
    match first_difference(place, seed, stored).await.map_err(told)? {
        Some(difference) => Err(SeedError::Differs { stream: place.stream.to_owned(), difference }),
        None => Ok(stored),
    }
}

/// How many events are stored, if the stream is one that can be loaded exactly once.
fn fit(stream: &str, info: &stored::Info, declared: u64) -> Result<u64, SeedError> {
    let stream = stream.to_owned();
    let unfit = |why: String| SeedError::Unfit { stream: stream.clone(), why };
    let state = info.state;
    if !info.config.allow_atomic {
        return Err(unfit("it takes no atomic batches (`allow_atomic`)".into()));
    }
    if state.messages != state.last_seq {
        return Err(unfit(format!(
            "{} of its {} events were removed",
            state.last_seq - state.messages,
            state.last_seq
        )));
    }
    if state.last_seq > declared {
        return Err(SeedError::Longer { stream, stored: state.last_seq, declared });
    }
    Ok(state.last_seq)
}

/// Reads the first `count` stored events in order and stops at the first that is not its declared twin.
async fn first_difference(place: Place<'_>, seed: &Seed, count: u64) -> Result<Option<Difference>, Failure> {
    let reads = stream::iter(1..=count).map(|number| async move { (number, stored::message(place, number).await) });
    let mut reads = reads.buffered(READS);
    let mut declared = seed.events.events.iter();
    while let (Some((number, stored)), Some(event)) = (reads.next().await, declared.next()) {
        if let Some(what) = differs(&seed.target.prefix, event, &stored?) {
            let (id, origin) = (event.id.to_string(), event.origin);
            return Ok(Some(Difference { number, id, origin, what }));
        }
    }
    Ok(None)
}

/// What differs between a declared event and its stored twin, in words.
fn differs(prefix: &str, event: &SeedEvent, stored: &Stored) -> Option<String> {
    let own = stored.subject.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    if own != Some(event.subject.as_str()) {
        return Some("the subject".into());
    }
    let names = event.headers.keys().chain(stored.headers.keys());
    if let Some(name) = names.into_iter().find(|name| event.headers.get(*name) != stored.headers.get(*name)) {
        return Some(format!("header `{name}`"));
    }
    (*event.payload != *stored.payload).then(|| "the payload".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::stored::{Info, InfoConfig, State};
    use crate::seed::synthetic;

    fn info(messages: u64, last_seq: u64) -> Info {
        Info { config: InfoConfig { allow_atomic: true }, state: State { messages, first_seq: 1, last_seq } }
    }

    #[test]
    fn a_stream_that_cannot_be_loaded_once_is_refused() {
        assert_eq!(fit("S", &info(5, 5), 9), Ok(5));
        assert_eq!(fit("S", &info(0, 0), 0), Ok(0));
        for (seen, word) in [
            (Info { config: InfoConfig { allow_atomic: false }, ..info(5, 5) }, "allow_atomic"),
            (info(4, 5), "1 of its 5"),
            (info(9, 9), "only grows"),
        ] {
            let refused = fit("S", &seen, 5).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn every_part_of_a_stored_event_is_compared() {
        let event = &synthetic::events(1)[0];
        let twin = || Stored {
            subject: format!("seed.x.s.{}", event.subject),
            headers: event.headers.clone(),
            payload: event.payload.to_vec(),
            prefix_digest: None,
        };
        assert_eq!(differs("seed.x.s", event, &twin()), None);
        assert_eq!(differs("seed.x", event, &twin()), Some("the subject".into()));
        assert_eq!(differs("seed.x.s", event, &Stored { payload: vec![], ..twin() }), Some("the payload".into()));
        let mut more = twin();
        more.headers.insert("ce-more".into(), "1".into());
        assert_eq!(differs("seed.x.s", event, &more), Some("header `ce-more`".into()));
        let mut less = twin();
        less.headers.remove("ce-id");
        assert_eq!(differs("seed.x.s", event, &less), Some("header `ce-id`".into()));
    }
}
