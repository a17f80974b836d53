//! Which events a stream has twice, by what CloudEvents calls an event's identity: `source` and `id`.
//!
//! Refuses: streams too long to be read for a message to a person.

use anyhow::{Context, Result};
use async_nats::Client;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longer streams are not read.
const LONGEST: u64 = 500_000;
const BATCH: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Events that are there more than once: how often too many, and the first of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Twice {
    pub count: u64,
    pub first: String,
}

/// Reads the headers of all `messages` of the stream. `None`: each event is there once, or there are too many to look.
pub async fn look(client: &Client, stream: &str, messages: u64) -> Result<Option<Twice>> {
    if messages > LONGEST {
        return Ok(None);
    }
    let config = json!({ "ack_policy": "none", "headers_only": true, "mem_storage": true, "inactive_threshold": 30_000_000_000u64 });
    let body = json!({ "stream_name": stream, "config": config }).to_string();
    let created = client.request(format!("$JS.API.CONSUMER.CREATE.{stream}"), body.into()).await?;
    let created: Value = serde_json::from_slice(&created.payload)?;
    let consumer = created["name"].as_str().context("nats-server made no consumer")?;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
    let mut tally = Tally::default();
    let mut left = messages;
    while left > 0 {
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await?;
        let batch = left.min(BATCH);
        client
            .publish_with_reply(next.clone(), inbox, json!({ "batch": batch, "no_wait": true }).to_string().into())
            .await?;
        for _ in 0..batch {
            let message = tokio::time::timeout(PATIENCE, replies.next()).await?.context("the connection was closed")?;
            // The server's own word: there is no more.
            if message.status.is_some() {
                return Ok(tally.twice());
            }
            let headers = message.headers.unwrap_or_default();
            let header = |name: &str| headers.get(name).map(|value| value.as_str());
            if let (Some(source), Some(id)) = (header("ce-source"), header("ce-id")) {
                tally.see(source, id);
            }
        }
        left -= batch;
    }
    Ok(tally.twice())
}

#[derive(Default)]
struct Tally {
    seen: BTreeSet<String>,
    count: u64,
    first: Option<String>,
}

impl Tally {
    fn see(&mut self, source: &str, id: &str) {
        if !self.seen.insert(format!("{source} {id}")) {
            self.count += 1;
            self.first.get_or_insert_with(|| format!("{id} of {source}"));
        }
    }

    fn twice(self) -> Option<Twice> {
        self.first.map(|first| Twice { count: self.count, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_its_source_and_its_id() {
        let mut tally = Tally::default();
        for (source, id) in [("/a", "1"), ("/b", "1"), ("/a", "2")] {
            tally.see(source, id);
        }
        assert_eq!(Tally::default().twice(), None);
        for (source, id) in [("/b", "1"), ("/a", "2")] {
            tally.see(source, id);
        }
        assert_eq!(tally.twice(), Some(Twice { count: 2, first: "1 of /b".into() }));
    }
}
