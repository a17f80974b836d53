//! Why an event set could not be loaded, by what the reader has to do about it.

use super::api::{ApiError, Failure};
use crate::diag::Span;
use std::fmt;

/// The first event whose stored twin is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// From 1: the event's place in the set, which is its sequence in the stream.
    pub number: u64,
    /// CloudEvents `id` of the declared event.
    pub id: String,
    /// The line of the event file.
    pub origin: Span,
    /// What differs: `the payload`, `header ce-type`, `the subject`.
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedError {
    /// The stream is not there.
    NoStream { stream: String },
    /// The stream cannot be loaded exactly once: it takes no atomic batches, or messages were removed from it.
    Unfit { stream: String, why: String },
    /// More is stored than the set has: sets only grow.
    Longer { stream: String, stored: u64, declared: u64 },
    /// What is stored is not the beginning of the set: sets only grow at the end.
    Differs { stream: String, difference: Difference },
    /// An event that cannot be a NATS message.
    Unsendable { id: String, origin: Span, why: String },
    /// The server refused for good.
    Refused { stream: String, stored: u64, error: ApiError },
    /// The server did not answer in all the time that was given to it.
    Unreachable { stream: String, stored: u64, why: String },
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SeedError::NoStream { stream } => write!(f, "there is no stream `{stream}`"),
            SeedError::Unfit { stream, why } => write!(f, "stream `{stream}` cannot be loaded exactly once: {why}"),
            SeedError::Longer { stream, stored, declared } => {
                write!(f, "stream `{stream}` holds {stored} events and the set has {declared}; an event set only grows")
            }
            SeedError::Differs { stream, difference: Difference { number, id, what, .. } } => write!(
                f,
                "stream `{stream}` does not hold the beginning of the set: {what} of event {number} (`{id}`) differs; an event set only grows at its end"
            ),
            SeedError::Unsendable { id, why, .. } => write!(f, "event `{id}` cannot be sent: {why}"),
            SeedError::Refused { stream, stored, error } => {
                write!(f, "stream `{stream}` refused events after {stored}: {error}")
            }
            SeedError::Unreachable { stream, stored, why } => {
                write!(
                    f,
                    "stream `{stream}` stopped answering after {stored} events: {why}; the next run goes on from there"
                )
            }
        }
    }
}

impl std::error::Error for SeedError {}

impl SeedError {
    /// The line of the event file that is to blame, where there is one.
    pub fn origin(&self) -> Option<Span> {
        match self {
            SeedError::Differs { difference, .. } => Some(difference.origin),
            SeedError::Unsendable { origin, .. } => Some(*origin),
            _ => None,
        }
    }

    pub(super) fn from_failure(stream: &str, stored: u64, failure: Failure) -> Self {
        let stream = stream.to_owned();
        match failure {
            Failure::Refused(error) if error.err_code == super::api::codes::STREAM_NOT_FOUND => {
                SeedError::NoStream { stream }
            }
            Failure::Refused(error) => SeedError::Refused { stream, stored, error },
            Failure::Silent(why) | Failure::Garbled(why) => SeedError::Unreachable { stream, stored, why },
        }
    }
}
