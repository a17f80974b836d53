//! What every service needs of NATS: connect for ever, publish until it is stored, pull and acknowledge.
//!
//! Refuses: managing streams and consumers, which are declared and made by Leafwright; a service only uses them.

use anyhow::{Context, Result, anyhow, bail};
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Subject};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use std::future::Future;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A pull request asks for this many messages, and waits this long for them.
const BATCH: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
const SERVICE_ERROR: &str = "Nats-Service-Error";
/// After a failure that another try may mend.
pub const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Bus {
    pub client: Client,
    /// The CloudEvents `source` of what this service says: `/meadow/office/todos`.
    source: String,
}

/// A stream and this service's durable consumer on it, wherever they live.
pub struct Feed {
    next: String,
}

/// What becomes of a message that was pulled.
pub enum Verdict {
    Done,
    /// Deliver it again, after a while.
    Later,
    /// It can never be handled; do not deliver it again.
    Never,
}

pub fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}

/// The subject of a message of this service's contract: `todos.add-refused` stands in `LEAFWRIGHT_SUBJECT_TODOS_ADD_REFUSED`.
pub fn subject(message: &str) -> Result<String> {
    variable(&format!("LEAFWRIGHT_SUBJECT_{}", message.to_uppercase().replace(['.', '-'], "_")))
}

/// The connection comes back by itself, from the first attempt on and without end.
pub async fn connect() -> Result<Bus> {
    let file = variable("NATS_NKEY_SEED_FILE")?;
    let seed = std::fs::read_to_string(&file).with_context(|| format!("cannot read the key file {file}"))?;
    let service = variable("LEAFWRIGHT_SERVICE")?;
    let client = ConnectOptions::with_nkey(seed.trim().to_owned())
        .name(&service)
        .custom_inbox_prefix(variable("NATS_INBOX_PREFIX")?)
        .request_timeout(Some(Duration::from_secs(2)))
        .retry_on_initial_connect()
        .event_callback(|event| async move { eprintln!("nats: {event}") })
        .connect(variable("NATS_URL")?)
        .await
        .context("cannot use the connection settings")?;
    let source = format!("/{}/{}/{service}", variable("LEAFWRIGHT_DOMAIN")?, variable("LEAFWRIGHT_MACHINE")?);
    Ok(Bus { client, source })
}

/// Sends what is still in the buffer, and goes.
pub async fn leave(bus: &Bus) {
    // A server that is away must not keep the service from stopping: nothing unacknowledged is counted as done.
    let _ = tokio::time::timeout(PAUSE, bus.client.flush()).await;
}

/// 128 random bits in hexadecimal: an id for something new.
pub fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// The id of a message that was pulled.
pub fn id_of(message: &Message) -> Option<String> {
    Some(message.headers.as_ref()?.get("ce-id")?.as_str().to_owned())
}

/// Publishes a CloudEvent in binary mode and waits until a stream has stored it. Trying again with the same id within
/// the stream's window stores it once; beyond that its readers know the id.
pub async fn store(bus: &Bus, kind: &str, id: &str, data: &impl Serialize) -> Result<()> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-source", &bus.source),
        ("ce-type", kind),
        ("ce-time", &OffsetDateTime::now_utc().format(&Rfc3339)?),
        ("content-type", "application/json"),
        ("Nats-Msg-Id", id),
    ] {
        headers.insert(name, value);
    }
    let payload = Bytes::from(serde_json::to_vec(data)?);
    let reply = bus.client.request_with_headers(subject(kind)?, headers, payload).await?;
    let answer: serde_json::Value = serde_json::from_slice(&reply.payload).context("no stream answered")?;
    match answer.get("error") {
        Some(error) => bail!("the stream refused {kind}: {error}"),
        None => Ok(()),
    }
}

/// Answers a query. What no message can carry (`max_payload`) is refused, in the words of NATS services (ADR-32).
pub async fn answer(bus: &Bus, reply: Subject, data: &impl Serialize) -> Result<()> {
    let payload = Bytes::from(serde_json::to_vec(data)?);
    let most = bus.client.max_payload();
    if payload.len() <= most {
        return Ok(bus.client.publish(reply, payload).await?);
    }
    let mut headers = HeaderMap::new();
    let why = format!("the answer has {} bytes, and a message at most {most}", payload.len());
    headers.insert(SERVICE_ERROR, &*why);
    headers.insert("Nats-Service-Error-Code", "413");
    Ok(bus.client.publish_with_headers(reply, headers, Bytes::new()).await?)
}

/// Asks a query: whoever answers it, on whichever machine.
pub async fn ask(bus: &Bus, query: &str, data: &impl Serialize) -> Result<Bytes> {
    let reply = bus.client.request(subject(query)?, serde_json::to_vec(data)?.into()).await?;
    match reply.headers.as_ref().and_then(|headers| headers.get(SERVICE_ERROR)) {
        Some(why) => bail!("{query} was not answered: {why}"),
        None => Ok(reply.payload),
    }
}

/// `what` is `COMMANDS` or `EVENTS`.
pub fn feed(what: &str) -> Result<Feed> {
    let api = variable(&format!("LEAFWRIGHT_{what}_API"))?;
    let stream = variable(&format!("LEAFWRIGHT_{what}"))?;
    let consumer = variable("LEAFWRIGHT_CONSUMER")?;
    Ok(Feed { next: format!("{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}") })
}

/// Hands each message of the feed to `handle`, in order, and acknowledges it as `handle` says. Never ends well.
pub async fn pull<F: Future<Output = Verdict>>(
    bus: &Bus,
    feed: &Feed,
    mut handle: impl FnMut(Message) -> F,
) -> Result<()> {
    let inbox = bus.client.new_inbox();
    let mut messages = bus.client.subscribe(inbox.clone()).await?;
    let request = serde_json::json!({ "batch": BATCH, "expires": PATIENCE.as_nanos() as u64 }).to_string();
    loop {
        bus.client.publish_with_reply(feed.next.clone(), inbox.clone(), request.clone().into()).await?;
        for _ in 0..BATCH {
            // The server says when a request is over; if the request itself was lost, silence does.
            let Ok(message) = tokio::time::timeout(PATIENCE + PAUSE, messages.next()).await else { break };
            let message = message.context("the connection is closed")?;
            if let Some(status) = message.status {
                if status.as_u16() != 408 {
                    tokio::time::sleep(PAUSE).await;
                }
                break;
            }
            let Some(reply) = message.reply.clone() else { continue };
            let answer = match handle(message).await {
                Verdict::Done => "+ACK",
                Verdict::Later => r#"-NAK {"delay": 2000000000}"#,
                Verdict::Never => "+TERM",
            };
            bus.client.publish(reply, answer.into()).await?;
        }
    }
}
