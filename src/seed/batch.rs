//! Atomic batches (ADR-50): up to 1,000 messages that are stored together, after exactly the message that was expected, or not at all.
//!
//! Refuses: batches larger than nats-server takes, and calling a batch stored before the server said so.
//! The guarantee is in two headers: `Nats-Expected-Last-Sequence` on the first message ties the batch to its place, and
//! the batch's own numbering makes a message that is lost on the way void the whole batch. So batches may be sent ahead
//! of each other's acknowledgements: when one is void, those behind it no longer fit and are refused too.

use super::api::{self, Failure};
use crate::resolve::SeedEvent;
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// nats-server's own limits: messages of a batch (`max_batch_size`), and what its ingest queue takes without trouble.
pub const MAX_MESSAGES: usize = 1_000;
pub const MAX_BYTES: usize = 4 << 20;

/// On a batch's last message: the digest of all events up to it.
pub const PREFIX_DIGEST: &str = "Leafwright-Prefix-Digest";

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");
const EXPECTED_LAST: HeaderName = HeaderName::from_static("Nats-Expected-Last-Sequence");
const DIGEST: HeaderName = HeaderName::from_static(PREFIX_DIGEST);

/// Where a batch must land, and what marks its end.
pub struct Place {
    /// The sequence of the stream's last message before it.
    pub after: u64,
    pub prefix_digest: String,
}

/// An acknowledged batch: the sequence of its last message.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Ack {
    pub seq: u64,
    #[serde(default)]
    pub batch: String,
}

/// Sends batches over one connection and hears of their fate in the order sent.
pub struct Publisher {
    client: Client,
    inbox: String,
    replies: Subscriber,
    sent: u64,
    /// Header names that were parsed once: a set has few names and many events.
    names: BTreeMap<Box<str>, HeaderName>,
}

impl Publisher {
    pub async fn new(client: &Client) -> Result<Self, Failure> {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await;
        let replies =
            replies.map_err(|error| Failure::Silent(format!("cannot listen for acknowledgements: {error}")))?;
        Ok(Self { client: client.clone(), inbox, replies, sent: 0, names: BTreeMap::new() })
    }

    /// Sends the batch without waiting for its acknowledgement.
    /// The id is this publisher's own: two seeders that shared one would mix their messages.
    pub async fn send(&mut self, place: &Place, prefix: &str, events: &[SeedEvent]) -> Result<(), Failure> {
        self.sent += 1;
        let id = format!("{}-{}", token(&self.inbox), self.sent);
        let reply = format!("{}.{}", self.inbox, self.sent);
        for (index, event) in events.iter().enumerate() {
            let mut headers = self.headers(event)?;
            headers.insert(BATCH_ID, id.as_str());
            headers.insert(BATCH_SEQUENCE, (index + 1).to_string());
            if index == 0 {
                headers.insert(EXPECTED_LAST, place.after.to_string());
            }
            let subject = format!("{prefix}.{}", event.subject);
            let payload = Bytes::copy_from_slice(&event.payload);
            let sent = if index + 1 == events.len() {
                headers.insert(BATCH_COMMIT, "1");
                headers.insert(DIGEST, place.prefix_digest.as_str());
                self.client.publish_with_reply_and_headers(subject, reply.clone(), headers, payload).await
            } else {
                self.client.publish_with_headers(subject, headers, payload).await
            };
            sent.map_err(|error| Failure::Silent(format!("a batch could not be sent: {error}")))?;
        }
        Ok(())
    }

    fn headers(&mut self, event: &SeedEvent) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in &event.headers {
            let fault =
                |error: &dyn std::fmt::Display| Failure::Garbled(format!("`{name}` cannot be a header: {error}"));
            if !self.names.contains_key(name) {
                self.names.insert(name.clone(), HeaderName::from_str(name).map_err(|error| fault(&error))?);
            }
            let value = HeaderValue::from_str(value).map_err(|error| fault(&error))?;
            headers.insert(self.names[name].clone(), value);
        }
        Ok(headers)
    }

    /// The fate of the oldest batch that has not been heard of.
    pub async fn heard(&mut self, patience: Duration) -> Result<Ack, Failure> {
        let message = tokio::time::timeout(patience, self.replies.next()).await;
        match message {
            Ok(Some(message)) if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) => {
                Err(Failure::Silent("no stream listens on the subject".into()))
            }
            Ok(Some(message)) => api::read(&message.payload),
            Ok(None) => Err(Failure::Silent("the connection was closed".into())),
            Err(_) => Err(Failure::Silent(format!("no acknowledgement within {} s", patience.as_secs()))),
        }
    }
}

/// A name from a fresh inbox, unlike that of every other seeder that runs now: the tail of its last token, which begins
/// at random in each process and then counts. Short, because every message of a batch carries it.
pub fn token(inbox: &str) -> &str {
    &inbox[inbox.len().saturating_sub(10)..]
}
