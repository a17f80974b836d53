//! The loading itself: see what is stored, send the rest in batches ahead of their acknowledgements, and on any doubt see again.
//!
//! Refuses: deciding from a lost acknowledgement. What happened is read from the stream, never assumed.

use super::api::{Failure, codes};
use super::batch::{self, MAX_BYTES, MAX_MESSAGES, Publisher};
use super::compare::{self, Depth};
use super::digest::Prefixes;
use super::error::SeedError;
use super::stored::Place;
use crate::compile::Seed;
use crate::host::endpoint::Endpoint;
use crate::host::jetstream::JetStream;
use crate::resolve::SeedEvent;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Batches on their way at once. nats-server takes 50 open batches a stream; some suffice to keep it busy.
const AHEAD: usize = 8;
/// How long one acknowledgement may take.
const ACK: Duration = Duration::from_secs(5);
/// How long the stream may make no progress before the load gives up: an election takes up to ten seconds,
/// and a dead seeder's open batches count for ten.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at a stream that does not answer, or that another seeder writes too.
const PAUSE: Duration = Duration::from_millis(20);

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stored: u64,
    pub total: u64,
}

/// A set that is complete in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub total: u64,
    /// Events that were there before.
    pub before: u64,
    /// Events that came while it ran; by another seeder too, if there was one.
    pub added: u64,
    /// How often the stream had to be read again: lost acknowledgements, elections, another seeder.
    pub resyncs: u32,
}

/// Loads what is missing of the set into its stream in this JetStream domain, whose subjects must be reachable from there.
/// The batches go over a connection of their own to the same endpoint.
pub async fn load(jetstream: &JetStream, seed: &Seed, mut progress: impl FnMut(Progress)) -> Result<Loaded, SeedError> {
    let place = Place { client: jetstream.client(), api: jetstream.prefix(), stream: seed.target.stream.as_str() };
    let total = seed.events.events.len() as u64;
    let mut prefixes = Prefixes::of(&seed.events.events);
    let mut loaded = Loaded { total, before: 0, added: 0, resyncs: 0 };
    let mut known: Option<u64> = None;
    let mut since = Instant::now();
    loop {
        let at = match compare::prefix(place, seed, &mut prefixes, Depth::Digest).await {
            Ok(at) => at,
            Err(error) => {
                pause(error, known.unwrap_or(0), since).await?;
                continue;
            }
        };
        if known.is_none() {
            (loaded.before, loaded.added) = (at, total - at);
        }
        if known != Some(at) {
            (known, since) = (Some(at), Instant::now());
        }
        progress(Progress { stored: at, total });
        if at == total {
            return Ok(loaded);
        }
        match send_rest(place, jetstream.endpoint(), seed, &mut prefixes, at, &mut progress).await {
            Ok(()) => return Ok(loaded),
            Err(Halt::ForGood(error)) => return Err(error),
            Err(Halt::Doubt(why)) => {
                loaded.resyncs += 1;
                pause(SeedError::Unreachable { stream: place.stream.to_owned(), stored: at, why }, at, since).await?;
            }
        }
    }
}

/// Waits a moment where waiting can help and time is left; else the error stands.
async fn pause(error: SeedError, stored: u64, since: Instant) -> Result<(), SeedError> {
    let passes = match &error {
        SeedError::Unreachable { .. } => true,
        SeedError::Refused { error, .. } => Failure::Refused(error.clone()).passes(),
        _ => false,
    };
    if passes && since.elapsed() < PATIENCE {
        tokio::time::sleep(PAUSE).await;
        return Ok(());
    }
    Err(match error {
        SeedError::Unreachable { stream, why, .. } => SeedError::Unreachable { stream, stored, why },
        other => other,
    })
}

/// Why sending stopped.
enum Halt {
    /// Something did not arrive or did not fit, in words: the stream knows what is true.
    Doubt(String),
    ForGood(SeedError),
}

/// Sends all events after the first `at`, some batches ahead of their acknowledgements.
async fn send_rest(
    place: Place<'_>,
    endpoint: &Endpoint,
    seed: &Seed,
    prefixes: &mut Prefixes<'_>,
    at: u64,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Halt> {
    let events = &seed.events.events;
    let mut publisher =
        Publisher::open(endpoint, place.client).await.map_err(|failure| judged(place.stream, at, failure))?;
    let mut next = usize::try_from(at).unwrap_or(usize::MAX);
    let mut acknowledged = at;
    let mut expected: VecDeque<u64> = VecDeque::with_capacity(AHEAD);
    loop {
        while next < events.len() && expected.len() < AHEAD {
            let end = next + batch_length(&events[next..]);
            sendable(&events[next..end], place.client.max_payload()).map_err(Halt::ForGood)?;
            let prefix_digest = prefixes.at(end).unwrap_or_default();
            publisher
                .send(&batch::Place { after: next as u64, prefix_digest }, &seed.target.prefix, &events[next..end])
                .await
                .map_err(doubt)?;
            expected.push_back(end as u64);
            next = end;
        }
        let Some(end) = expected.pop_front() else { return Ok(()) };
        let ack = publisher.heard(ACK).await.map_err(|failure| judged(place.stream, acknowledged, failure))?;
        if ack.seq != end {
            return Err(Halt::Doubt(format!("batch `{}` ended at {} and not at {end}", ack.batch, ack.seq)));
        }
        acknowledged = end;
        progress(Progress { stored: end, total: events.len() as u64 });
    }
}

fn doubt(failure: Failure) -> Halt {
    Halt::Doubt(failure.to_string())
}

/// What heals by looking again, and what never does.
fn judged(stream: &str, stored: u64, failure: Failure) -> Halt {
    let elsewhere = [codes::WRONG_LAST_SEQUENCE, codes::BATCH_INCOMPLETE, codes::DUPLICATE[0], codes::DUPLICATE[1]];
    let heals = failure.passes() || elsewhere.into_iter().any(|code| failure.is(code));
    if heals { doubt(failure) } else { Halt::ForGood(SeedError::from_failure(stream, stored, failure)) }
}

/// How many of the events go into one batch.
fn batch_length(events: &[SeedEvent]) -> usize {
    let mut bytes = 0;
    let fits = events.iter().take(MAX_MESSAGES).take_while(|event| {
        let headers: usize = event.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        bytes += event.payload.len() + headers;
        bytes <= MAX_BYTES
    });
    fits.count().max(1)
}

/// Every event that is a NATS message that the server takes; the first that is not is told before its batch is sent.
fn sendable(events: &[SeedEvent], max_payload: usize) -> Result<(), SeedError> {
    events.iter().try_for_each(|event| {
        let unsendable = |why| SeedError::Unsendable { id: event.id.to_string(), origin: event.origin, why };
        // The batch's own headers and the message id need up to 450 bytes and the event's id of the same limit.
        let mut size = event.payload.len() + event.id.len() + 450;
        for (name, value) in &event.headers {
            let named = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
            if !named || value.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
                return Err(unsendable(format!("`{name}` cannot be a header")));
            }
            size += name.len() + value.len() + 4;
        }
        if size > max_payload {
            return Err(unsendable(format!("it has {size} bytes, the server takes {max_payload} (`max_payload`)")));
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::synthetic;

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes_and_never_empty() {
        assert_eq!(batch_length(&synthetic::events(5)), 5);
        assert_eq!(batch_length(&synthetic::events(1_001)), 1_000);
        let mut large = synthetic::events(10);
        for event in &mut large {
            event.payload = vec![0; 1 << 20].into();
        }
        assert_eq!(batch_length(&large), 3);
        large[0].payload = vec![0; 8 << 20].into();
        assert_eq!(batch_length(&large), 1);
    }

    #[test]
    fn an_event_that_is_no_message_is_refused_before_anything_is_sent() {
        let mut events = synthetic::events(2);
        assert!(sendable(&events, 1 << 20).is_ok());
        assert!(sendable(&events, 500).is_err_and(|e| e.to_string().contains("max_payload")));
        for (name, value) in [("ce-x", "a\r\nb"), ("ce x", "a"), ("", "a"), ("a:b", "c")] {
            events[1].headers = [(name.into(), value.into())].into();
            assert!(sendable(&events, 1 << 20).is_err_and(|e| e.to_string().contains("cannot be a header")), "{name}");
        }
    }
}
