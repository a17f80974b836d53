//! Reads history: this machine's own from its file, that of the domain over this machine's own link.
//!
//! Refuses: needing a server for the own one.

use super::publish::{histories, own_endpoint, shard};
use crate::compile::layout;
use crate::host::machine::Home;
use crate::host::machine::history::{self, Event};
use crate::identity::sets;
use crate::name::{DomainName, MachineName, StreamName};
use crate::seed::api::{self, Failure};
use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::Client;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// For the connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the next message of those that are there, and how often all is read from its beginning.
const NEXT: Duration = Duration::from_secs(2);
const TRIES: u32 = 3;
/// How long the cluster remembers a reader that asks no more.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Messages that one request asks for.
const BATCH: u64 = 256;

/// Events, the oldest first, and how many messages are none, or of a newer Leafwright.
#[derive(Debug, Default)]
pub struct History {
    pub events: Vec<Event>,
    pub strange: usize,
}

/// Of this machine; works without any server.
pub fn own(home: &Home) -> Result<History> {
    Ok(History { events: history::read(home)?, strange: 0 })
}

/// Of one machine of the domain, or of all: what the cluster has of them, asked over this machine's own link.
pub async fn of_domain(home: &Home, keys: &Path, machine: Option<&MachineName>) -> Result<History> {
    let histories = histories(home)?.context(
        "this machine does not know where the history of the domain is\nhelp: apply it with this leafwright first",
    )?;
    let Some(hub) = histories.hub.as_deref().filter(|_| !histories.all.is_empty()) else {
        bail!("this machine stands alone: its own history is all there is\nhelp: leave --of out");
    };
    if histories.own.is_none() {
        bail!("{} is a member of the cluster and has no user to ask as\nhelp: ask on a leaf", histories.machine);
    }
    let domain = DomainName::parse(&histories.domain).map_err(|fault| anyhow!("{fault}"))?;
    let (streams, subject) = match machine {
        Some(machine) => (shard(&histories, machine).into_iter().collect(), layout::history_subject(&domain, machine)),
        None => (histories.all.clone(), format!("{}.{domain}", layout::HISTORY)),
    };
    let endpoint = own_endpoint(&histories, keys)?;
    let client = endpoint.connect(PATIENCE).await;
    let client = client.with_context(|| format!("nats-server does not answer at {}", histories.server))?;
    let own = MachineName::parse(&histories.machine).map_err(|fault| anyhow!("{fault}"))?;
    let mut found = History::default();
    for stream in streams {
        let stream = StreamName::parse(&stream).map_err(|fault| anyhow!("{fault}"))?;
        let [create, next, delete] = sets::reading(hub, &stream, &own);
        let reader = Reader { client: &client, create, next, delete };
        let read = reader.whole(stream.as_str(), own.as_str(), &format!("{subject}.>"), &mut found).await;
        // Left behind, it is gone after a minute by itself.
        let _gone = reader.ask(&reader.delete, &Value::Null).await;
        read?;
    }
    // Streams of several machines are in the order in which they came there.
    let mut seen = BTreeSet::new();
    // A leaf that was taken over can have copies stored, and nothing else.
    found.events.retain(|event| seen.insert(event.id.clone()));
    found.events.sort_by(|a, b| a.time.cmp(&b.time));
    Ok(found)
}

/// Reads by a consumer of its own, made anew each time; `identity::sets::reading` says why by nothing else.
struct Reader<'a> {
    client: &'a Client,
    create: String,
    next: String,
    delete: String,
}

#[derive(Deserialize)]
struct Made {
    #[serde(default)]
    num_pending: u64,
}

impl Reader<'_> {
    async fn ask(&self, subject: &str, body: &Value) -> Result<Made, Failure> {
        api::ask(self.client, subject.to_owned(), body, PATIENCE).await
    }

    /// Everything below a subject. The servers of a cluster hear of a consumer one after the other: a question that comes before
    /// that is lost, and so is what came for it. It is read again from the beginning.
    async fn whole(&self, stream: &str, own: &str, subject: &str, found: &mut History) -> Result<()> {
        let (events, strange) = (found.events.len(), found.strange);
        for _ in 1..TRIES {
            match self.all(stream, own, subject, found).await {
                Err(error) if error.is::<Short>() => {
                    found.events.truncate(events);
                    found.strange = strange;
                }
                other => return other,
            }
        }
        self.all(stream, own, subject, found).await
    }

    async fn all(&self, stream: &str, own: &str, subject: &str, found: &mut History) -> Result<()> {
        let config = json!({
            "stream_name": stream, "action": "create", "config": {
                "name": own, "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant", "mem_storage": true,
                "num_replicas": 1, "inactive_threshold": FORGOTTEN.as_nanos() as u64, "filter_subjects": [subject],
            },
        });
        // One that was left behind would go on where it was.
        let known = self.ask(&self.delete, &Value::Null).await;
        if let Err(failure @ Failure::Silent(_)) = known {
            bail!(silent(&failure));
        }
        let made = self.ask(&self.create, &config).await;
        let mut left = made.with_context(|| format!("`{stream}` cannot be read"))?.num_pending;
        while left > 0 {
            left = left.saturating_sub(self.batch(BATCH.min(left), found).await?);
        }
        Ok(())
    }

    /// The next messages, as many as there are up to `count`, which must be there.
    async fn batch(&self, count: u64, found: &mut History) -> Result<u64> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.context("cannot listen")?;
        let asked = json!({ "batch": count, "expires": NEXT.as_nanos() as u64 }).to_string();
        self.client.publish_with_reply(self.next.clone(), inbox, asked.into()).await.context("cannot ask")?;
        for got in 0..count {
            let answer = timeout(NEXT, answers.next()).await;
            let answer = answer.ok().flatten().ok_or(Short { got, of: count })?;
            if let Some(status) = answer.status {
                bail!("{} was refused: {} ({status})", self.next, answer.description.unwrap_or_default());
            }
            let headers = answer.headers.unwrap_or_default();
            let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned()).unwrap_or_default();
            match Event::of_stream(&header("ce-id"), &header("ce-type"), &header("ce-time"), &answer.payload) {
                Ok(event) => found.events.push(event),
                Err(_) => found.strange += 1,
            }
        }
        Ok(count)
    }
}

/// Less came than there is.
#[derive(Debug)]
struct Short {
    got: u64,
    of: u64,
}

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "only {} of {} events came", self.got, self.of)
    }
}

impl std::error::Error for Short {}

fn silent(failure: &Failure) -> String {
    format!(
        "the domain does not answer: {failure}\nhelp: only a machine with `history.read = true` may read it, a person's has that; or the link of this one is down"
    )
}
