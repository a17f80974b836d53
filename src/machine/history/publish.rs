//! Publishes the events of this machine's history: the n-th of the file is the n-th of its stream, whatever dies on the way.
//!
//! Refuses: deciding from a lost acknowledgement, and waiting. What cannot go now goes next time.
//!
//! Only this machine writes its stream, and each event says behind which one it belongs. So the stream's last event tells how far
//! the file is published: nothing else is remembered. A file that was lost is begun anew behind what the stream has.

use crate::compile::history::{Histories, PATH};
use crate::compile::layout;
use crate::host::endpoint::Endpoint;
use crate::host::jetstream::JetStream;
use crate::host::keys::KeyStore;
use crate::host::machine::history::{self, Event};
use crate::host::machine::{Home, generations, register};
use crate::identity::UserId;
use crate::machine::link::own_server;
use crate::name::{DomainName, MachineName};
use crate::seed::api::{self, Failure, codes};
use anyhow::{Context as _, Result};
use async_nats::HeaderMap;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// For all of it: nobody waits longer for history.
const PATIENCE: Duration = Duration::from_secs(2);
/// For one answer; whatever stays away is asked about anew.
const ANSWER: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(20);
/// How far back in the stream an event of the file is looked for.
const LOOK_BACK: usize = 256;

/// What became of the publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Nothing was left to publish, or this machine has nowhere to.
    Nothing,
    All(usize),
    /// For the next time: how many are left, and why.
    Not {
        left: usize,
        why: String,
    },
}

impl Published {
    /// A line for a person, where there is something to say.
    pub fn told(&self) -> Option<String> {
        match self {
            Published::Nothing | Published::All(_) => None,
            Published::Not { left, why } => {
                let events = if *left == 1 { "1 event" } else { "events" };
                let many = if *left == 1 { events.to_owned() } else { format!("{left} {events}") };
                Some(format!("history: {many} of this machine could not be published and will be next time: {why}"))
            }
        }
    }
}

/// Where a machine's history goes.
pub struct Stream<'a> {
    pub jetstream: &'a JetStream,
    pub name: &'a str,
    /// `prv.meadow.office`
    pub subject: &'a str,
    /// CloudEvents `source`: `/meadow/office`.
    pub source: &'a str,
    pub writers: Writers,
}

/// Who writes the stream besides this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writers {
    Nobody,
    /// Others, below other subjects.
    Others,
}

/// Sends what the stream does not have; how many that were. Ends with the first refusal; else the caller's time ends it.
pub async fn send(stream: &Stream<'_>, events: &[Event]) -> Result<usize, Failure> {
    let mut sent = 0;
    let elsewhere = [codes::WRONG_LAST_SEQUENCE, codes::WRONG_LAST_SEQUENCE_SOON];
    loop {
        match send_rest(stream, events, &mut sent).await {
            Ok(()) => return Ok(sent),
            Err(failure) if failure.passes() || elsewhere.iter().any(|code| failure.is(*code)) => {
                tokio::time::sleep(PAUSE).await
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn send_rest(stream: &Stream<'_>, events: &[Event], sent: &mut usize) -> Result<(), Failure> {
    let (mut sequence, from) = stored(stream, events).await?;
    for event in &events[from..] {
        sequence = put(stream, event, sequence).await?;
        *sent += 1;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Got {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    seq: u64,
    #[serde(default)]
    hdrs: String,
}

/// The sequence of the last event of this machine in the stream, and how many events of the file it has. Its leader is asked.
async fn stored(stream: &Stream<'_>, events: &[Event]) -> Result<(u64, usize), Failure> {
    let place = |id: &str| events.iter().position(|event| event.id == id).map(|at| at + 1);
    let Some(last) = message(stream, &json!({ "last_by_subj": format!("{}.>", stream.subject) })).await? else {
        return Ok((0, 0));
    };
    let after = last.sequence;
    let mut seen = last;
    // A file that was brought back from a copy does not know what is last, and knows what is before; one that was begun anew,
    // because the old one was lost, is younger than all of it.
    for _ in 0..LOOK_BACK {
        if let Some(from) = place(&seen.id) {
            return Ok((after, from));
        }
        if seen.sequence <= 1 || events.first().is_none_or(|first| seen.time < first.time) {
            return Ok((after, 0));
        }
        match message(stream, &json!({ "seq": seen.sequence - 1 })).await? {
            Some(before) => seen = before,
            None => return Ok((after, 0)),
        }
    }
    Err(Failure::Garbled(format!(
        "`{}` has {LOOK_BACK} events and more that history.jsonl lacks; move it away, and a new one is begun",
        stream.name
    )))
}

/// What matters of a stored event.
struct Stored {
    sequence: u64,
    id: String,
    time: String,
}

async fn message(stream: &Stream<'_>, which: &serde_json::Value) -> Result<Option<Stored>, Failure> {
    let subject = format!("{}.STREAM.MSG.GET.{}", stream.jetstream.prefix(), stream.name);
    match api::ask::<Got>(stream.jetstream.client(), subject, which, ANSWER).await {
        Ok(Got { message: Message { seq, hdrs } }) => {
            Ok(Some(Stored { sequence: seq, id: header(&hdrs, "ce-id"), time: header(&hdrs, "ce-time") }))
        }
        Err(failure) if failure.is(codes::MESSAGE_NOT_FOUND) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// One of a message's headers, which are in base64; empty where there is none.
fn header(headers: &str, wanted: &str) -> String {
    let bytes = BASE64.decode(headers.as_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| *name == wanted).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

#[derive(Deserialize)]
struct Ack {
    seq: u64,
}

/// Behind the message `after`, or not at all.
async fn put(stream: &Stream<'_>, event: &Event, after: u64) -> Result<u64, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &event.id),
        ("ce-source", stream.source),
        ("ce-type", &event.kind.name()),
        ("ce-time", &event.time),
        ("content-type", "application/json"),
        ("Nats-Expected-Stream", stream.name),
    ] {
        headers.insert(name, value);
    }
    match stream.writers {
        Writers::Nobody => headers.insert("Nats-Expected-Last-Sequence", after.to_string()),
        Writers::Others => {
            headers.insert("Nats-Expected-Last-Subject-Sequence", after.to_string());
            headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", format!("{}.>", stream.subject));
        }
    }
    let payload = serde_json::to_vec(&event.data).map_err(|error| Failure::Garbled(error.to_string()))?;
    let request = async_nats::Request::new().headers(headers).payload(payload.into()).timeout(Some(ANSWER));
    let subject = format!("{}.{}", stream.subject, event.kind.token());
    let reply = stream.jetstream.client().send_request(subject.clone(), request).await;
    let reply = reply.map_err(|error| Failure::Silent(format!("`{subject}`: {error}")))?;
    Ok(api::read::<Ack>(&reply.payload)?.seq)
}

/// Whatever is not published yet, within two seconds, through this machine's own nats-server; `keys` are the machine's own.
/// A member has none: its history goes with `apply domain`.
pub async fn publish(home: &Home, keys: &Path) -> Published {
    let left = match unpublished(home) {
        Ok(events) if events.is_empty() => return Published::Nothing,
        Ok(events) => events,
        Err(error) => return Published::Not { left: 1, why: format!("{error:#}") },
    };
    let histories = match histories(home) {
        Ok(Some(histories)) if histories.own.is_some() => histories,
        Ok(_) => return Published::Nothing,
        Err(error) => return Published::Not { left: left.len(), why: format!("{error:#}") },
    };
    let publishing = async {
        let endpoint = own_endpoint(&histories, keys)?;
        let jetstream = JetStream::open(Arc::new(endpoint), None, PATIENCE)
            .await
            .with_context(|| format!("nats-server does not answer at {}", histories.server))?;
        let name = histories.own.as_deref().unwrap_or_default();
        to_stream(home, &histories, &jetstream, name, Writers::Nobody, &left).await
    };
    ended(timeout(PATIENCE, publishing).await, left.len())
}

fn ended(done: Result<Result<usize>, tokio::time::error::Elapsed>, left: usize) -> Published {
    match done {
        Ok(Ok(sent)) => Published::All(sent),
        Ok(Err(error)) => Published::Not { left, why: format!("{error:#}") },
        Err(_) => Published::Not { left, why: format!("it took longer than {} s", PATIENCE.as_secs()) },
    }
}

/// The history of the member that this runs on, into that of the domain, as the domain's provisioner.
pub async fn publish_member(home: &Home, endpoint: Arc<Endpoint>) -> Published {
    let (Ok(left), Ok(Some(histories))) = (unpublished(home), histories(home)) else { return Published::Nothing };
    let Some(name) = MachineName::parse(&histories.machine).ok().and_then(|machine| shard(&histories, &machine)) else {
        return Published::Nothing;
    };
    if left.is_empty() || histories.own.is_some() {
        return Published::Nothing;
    }
    let publishing = async {
        let jetstream = JetStream::open(endpoint, None, PATIENCE).await.context("the cluster does not answer")?;
        to_stream(home, &histories, &jetstream, &name, Writers::Others, &left).await
    };
    ended(timeout(PATIENCE, publishing).await, left.len())
}

/// The stream of the cluster that has the history of this machine.
pub(super) fn shard(histories: &Histories, machine: &MachineName) -> Option<String> {
    let shards = u32::try_from(histories.all.len()).ok()?;
    histories.all.get(layout::shard_of(machine, shards)).cloned()
}

async fn to_stream(
    home: &Home,
    histories: &Histories,
    jetstream: &JetStream,
    name: &str,
    writers: Writers,
    left: &[Event],
) -> Result<usize> {
    let (domain, machine) = (DomainName::parse(&histories.domain), MachineName::parse(&histories.machine));
    let (Ok(domain), Ok(machine)) = (domain, machine) else { anyhow::bail!("{PATH} of the closure is damaged") };
    let subject = layout::history_subject(&domain, &machine);
    let source = format!("/{domain}/{machine}");
    let stream = Stream { jetstream, name, subject: &subject, source: &source, writers };
    let all = history::read(home)?;
    let sent = send(&stream, &all).await?;
    if let Some(last) = left.last() {
        // Lost, it costs a look at the stream the next time.
        let _hint = history::set_last_published(home, &last.id);
    }
    Ok(sent)
}

fn unpublished(home: &Home) -> Result<Vec<Event>> {
    let events = history::read(home)?;
    let hint = history::last_published(home);
    let from = hint.and_then(|id| events.iter().position(|event| event.id == id)).map_or(0, |at| at + 1);
    Ok(events[from..].to_vec())
}

/// What the active generation knows of histories; `None` for one that a Leafwright without history made.
pub(super) fn histories(home: &Home) -> Result<Option<Histories>> {
    let active = register::read(home)?.and_then(|register| register.active_generation());
    active.map_or(Ok(None), |active| histories_of(home, active))
}

pub(crate) fn histories_of(home: &Home, generation: u64) -> Result<Option<Histories>> {
    let path = home.entry(&generations::read(home, generation)?.closure).join(PATH);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", path.display())),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Leafwright itself on this machine's nats-server.
pub(super) fn own_endpoint(histories: &Histories, keys: &Path) -> Result<Endpoint> {
    let machine = MachineName::parse(&histories.machine).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    let endpoint = own_server(&machine, histories.server, &KeyStore::open(keys)?)?;
    endpoint.with_context(|| format!("{} has no key of {}", keys.display(), UserId::LocalProvisioner(machine)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_among_others() {
        let text = "NATS/1.0\r\nce-source: /meadow/office\r\nce-id: 00ff\r\n\r\n";
        assert_eq!(header(&BASE64.encode(text.as_bytes()), "ce-id"), "00ff");
        assert_eq!((header("", "ce-id"), header("#", "ce-id")), (String::new(), String::new()));
    }

    #[test]
    fn what_is_left_is_one_line() {
        let not = |left| Published::Not { left, why: "nobody answers".into() }.told().unwrap();
        assert!(not(1).contains("1 event of") && not(3).contains("3 events of"), "{}", not(1));
        assert_eq!(Published::All(3).told(), None);
    }
}
