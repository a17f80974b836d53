//! The digest of a prefix of an event set: SHA-256 over the canonical form of events 1 to k, in order.
//!
//! Refuses: I/O, and every header that the server or the seeder adds. Two prefixes with one digest are one text.

use crate::resolve::SeedEvent;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Stands before the first event, so that no other digest of the project can be mistaken for this one.
const FORM: &[u8] = b"leafwright event prefix 1\n";

/// The running digest of the first `count` events.
#[derive(Clone)]
struct Chain {
    hasher: Sha256,
    count: usize,
}

/// Prefix digests of one event set. Remembers the places it was asked for, so that going on from one is cheap.
pub struct Prefixes<'a> {
    events: &'a [SeedEvent],
    marks: Vec<Chain>,
    /// Reused for the canonical form of one event.
    form: Vec<u8>,
}

/// Every part is preceded by its length: no two different events have one form.
fn part(form: &mut Vec<u8>, bytes: &[u8]) {
    form.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    form.extend_from_slice(bytes);
}

fn canonical(event: &SeedEvent, form: &mut Vec<u8>) {
    form.clear();
    part(form, event.subject.as_str().as_bytes());
    form.extend_from_slice(&(event.headers.len() as u64).to_be_bytes());
    for (name, value) in &event.headers {
        part(form, name.as_bytes());
        part(form, value.as_bytes());
    }
    part(form, &event.payload);
}

impl<'a> Prefixes<'a> {
    pub fn of(events: &'a [SeedEvent]) -> Self {
        let start = Chain { hasher: Sha256::new_with_prefix(FORM), count: 0 };
        Self { events, marks: vec![start], form: Vec::with_capacity(1024) }
    }

    /// Lower-case hex of the digest of the first `count` events; `None` when there are not so many.
    pub fn at(&mut self, count: usize) -> Option<String> {
        if count > self.events.len() {
            return None;
        }
        let place = match self.marks.binary_search_by_key(&count, |mark| mark.count) {
            Ok(place) => place,
            Err(place) => {
                let mark = self.extended(place, count);
                self.marks.insert(place, mark);
                place
            }
        };
        Some(HEXLOWER.encode(&self.marks[place].hasher.clone().finalize()))
    }

    /// From the last mark before `place` on to `count`. There always is one: the first mark is at 0.
    fn extended(&mut self, place: usize, count: usize) -> Chain {
        let mut chain = self.marks[place - 1].clone();
        for event in &self.events[chain.count..count] {
            canonical(event, &mut self.form);
            chain.hasher.update(&self.form);
        }
        chain.count = count;
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::synthetic;

    #[test]
    fn a_prefix_has_one_digest_whatever_was_asked_before() {
        let events = synthetic::events(20);
        let mut forwards = Prefixes::of(&events);
        let mut backwards = Prefixes::of(&events);
        let up: Vec<_> = (0..=20).map(|n| forwards.at(n)).collect();
        let mut down: Vec<_> = (0..=20).rev().map(|n| backwards.at(n)).collect();
        down.reverse();
        assert_eq!(up, down);
        assert_eq!(forwards.at(21), None);
        let distinct: std::collections::BTreeSet<_> = up.iter().collect();
        assert_eq!(distinct.len(), 21);
    }

    #[test]
    fn every_part_of_an_event_counts() {
        let base = synthetic::events(3);
        let digest = |events: &[SeedEvent]| Prefixes::of(events).at(3);
        let changed = |change: fn(&mut SeedEvent)| {
            let mut events = base.clone();
            change(&mut events[1]);
            digest(&events)
        };
        assert_eq!(changed(|_| ()), digest(&base));
        assert_ne!(changed(|e| e.payload = Box::from(*b"other")), digest(&base));
        assert_ne!(changed(|e| e.subject = crate::name::Subject::parse("evt.other").unwrap()), digest(&base));
        assert_ne!(changed(|e| drop(e.headers.insert("ce-id".into(), "x".into()))), digest(&base));
        assert_ne!(changed(|e| drop(e.headers.insert("ce-new".into(), "".into()))), digest(&base));
    }

    #[test]
    fn where_a_part_ends_counts() {
        let one = |name: &str, value: &str| {
            let mut events = synthetic::events(1);
            events[0].headers = [(name.into(), value.into())].into();
            Prefixes::of(&events).at(1)
        };
        assert_ne!(one("ab", "c"), one("a", "bc"));
    }
}
