//! Event sets of any size for tests and the bench: small, distinct, the same every time.
//!
//! Refuses: randomness and the clock.

use crate::compile::{Seed, SeedTarget};
use crate::diag::{SourceId, Span};
use crate::name::{EventSetName, StreamName, Subject};
use crate::resolve::{EventSet, SeedEvent};
use std::sync::Arc;

fn nowhere() -> Span {
    Span::new(SourceId(0), 0..0)
}

/// The `n`th event (from 1): binary-mode CloudEvents headers and 256 bytes of payload.
fn event(subject: &Subject, n: usize) -> SeedEvent {
    let header = |name: &str, value: &str| (Box::from(name), Box::from(value));
    let id = format!("e-{n:08}");
    SeedEvent {
        headers: [
            header("ce-id", &id),
            header("ce-source", "/meadow/bench"),
            header("ce-specversion", "1.0"),
            header("ce-type", "todos.added"),
            header("content-type", "application/json"),
        ]
        .into(),
        id: id.into(),
        subject: subject.clone(),
        payload: format!("{{\"n\":{n:08},\"text\":\"{:x<231}\"}}", "").into_bytes().into(),
        origin: nowhere(),
    }
}

/// `count` events on `evt.meadow.todos.added`.
#[expect(clippy::expect_used, reason = "the names are literals of this file")]
pub fn events(count: usize) -> Vec<SeedEvent> {
    let subject = Subject::parse("evt.meadow.todos.added").expect("a literal subject");
    (1..=count).map(|n| event(&subject, n)).collect()
}

/// A seed of the events for the stream `stream`, published below `seed.x.s`.
#[expect(clippy::expect_used, reason = "the names are literals of the callers")]
pub fn seed(stream: &str, events: Vec<SeedEvent>) -> Seed {
    let set = EventSetName::parse("s").expect("a literal name");
    Seed {
        set: set.clone(),
        target: SeedTarget { stream: StreamName::parse(stream).expect("a literal name"), prefix: "seed.x.s".into() },
        events: Arc::new(EventSet { name: set, events, origin: nowhere() }),
    }
}
