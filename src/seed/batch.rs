//! Atomic batches (ADR-50): up to 1,000 messages that are stored together, after exactly the message that was expected, or not at all.
//!
//! Refuses: batches larger than nats-server takes, and calling a batch stored before the server said so.
//! The guarantee is in two headers: `Nats-Expected-Last-Sequence` on the first message ties the batch to its place, and
//! the batch's own numbering makes a message that is lost on the way void the whole batch. So batches may be sent ahead
//! of each other's acknowledgements: when one is void, those behind it no longer fit and are refused too.
//!
//! The protocol is spoken by hand, over a connection of the publisher's own, one write a batch: a client library allocates some
//! twenty times for each message with headers, and loading through one is a third slower where no core is spare.

use super::api::{self, Failure};
use crate::host::endpoint::{Endpoint, connect_options};
use crate::resolve::SeedEvent;
use async_nats::{Client, ServerAddr};
use serde::Deserialize;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);

/// nats-server's own limits: messages of a batch (`max_batch_size`), and what its ingest queue takes without trouble.
pub const MAX_MESSAGES: usize = 1_000;
pub const MAX_BYTES: usize = 4 << 20;

/// On a batch's last message: the digest of all events up to it.
pub const PREFIX_DIGEST: &str = "Leafwright-Prefix-Digest";

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
    stream: BufReader<TcpStream>,
    /// What the ids of its batches begin with: its own, so that the batches of two seeders are never mixed.
    id: String,
    inbox: String,
    sent: u64,
    /// Reused from batch to batch.
    bytes: Vec<u8>,
    headers: Vec<u8>,
}

fn silent(what: &str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::Silent(format!("{what}: {error}"))
}

impl Publisher {
    /// Through the first address that opens. Acknowledgements come to an inbox below that of `client`, whose names are unlike
    /// those of every other seeder.
    pub async fn open(endpoint: &Endpoint, client: &Client) -> Result<Self, Failure> {
        let mut last = Failure::Silent("there is no address to connect to".into());
        for address in &endpoint.addresses {
            match timeout(PATIENCE, Self::login(address, endpoint, client.new_inbox())).await {
                Ok(Ok(publisher)) => return Ok(publisher),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::Silent(format!("{} does not answer", address.host())),
            }
        }
        Err(last)
    }

    async fn login(address: &ServerAddr, endpoint: &Endpoint, inbox: String) -> Result<Self, Failure> {
        let stream = TcpStream::connect((address.host(), address.port())).await.map_err(silent("cannot connect"))?;
        stream.set_nodelay(true).map_err(silent("cannot connect"))?;
        let stream = BufReader::new(stream);
        let id = token(&inbox);
        let mut publisher = Self { stream, id, inbox, sent: 0, bytes: vec![], headers: vec![] };
        let greeting = publisher.line().await?;
        let info = greeting.strip_prefix("INFO ").and_then(|json| serde_json::from_str(json).ok());
        let info = info.ok_or_else(|| Failure::Garbled(format!("{} is no nats-server", address.host())))?;
        let options = connect_options(&info, endpoint.login.as_ref()).map_err(Failure::Garbled)?;
        let commands = format!("CONNECT {options}\r\nSUB {}.* 1\r\nPING\r\n", publisher.inbox);
        publisher.stream.get_mut().write_all(commands.as_bytes()).await.map_err(silent("cannot log in"))?;
        loop {
            let line = publisher.line().await?;
            match line.split(' ').next() {
                Some("PONG") => return Ok(publisher),
                // Waiting does not heal this one.
                Some("-ERR") => {
                    return Err(Failure::Garbled(format!(
                        "{} refuses the login: {}",
                        address.host(),
                        line[4..].trim()
                    )));
                }
                _ => {}
            }
        }
    }

    /// Sends the batch without waiting for its acknowledgement.
    pub async fn send(&mut self, place: &Place, prefix: &str, events: &[SeedEvent]) -> Result<(), Failure> {
        self.sent += 1;
        self.render(place, prefix, events);
        let sent = timeout(PATIENCE * 4, self.stream.get_mut().write_all(&self.bytes)).await;
        let sent = sent.map_err(|_| Failure::Silent("the server takes no more".into()))?;
        sent.map_err(silent("a batch could not be sent"))
    }

    /// The batch as the protocol has it. Formatting is kept out of the loop: it was the largest part of it.
    fn render(&mut self, place: &Place, prefix: &str, events: &[SeedEvent]) {
        let Self { headers, bytes, id, inbox, sent, .. } = self;
        bytes.clear();
        let mut number = itoa::Buffer::new();
        let batch = format!("Nats-Batch-Id: {id}{sent}\r\nNats-Batch-Sequence: ");
        let begin = format!("Nats-Expected-Last-Sequence: {}\r\n", place.after);
        let commit = format!("Nats-Batch-Commit: 1\r\n{PREFIX_DIGEST}: {}\r\n", place.prefix_digest);
        let reply = format!(" {inbox}.{sent}");
        for (index, event) in events.iter().enumerate() {
            let is_last = index + 1 == events.len();
            headers.clear();
            headers.extend_from_slice(b"NATS/1.0\r\n");
            for (name, value) in &event.headers {
                put(headers, [name, ": ", value, "\r\n"]);
            }
            put(headers, ["Nats-Msg-Id: ", prefix, "/", &event.id, "\r\n"]);
            put(headers, [&batch, number.format(index + 1), "\r\n"]);
            put(headers, [if index == 0 { &begin } else { "" }, if is_last { &commit } else { "" }, "\r\n"]);
            put(bytes, ["HPUB ", prefix, ".", event.subject.as_str(), if is_last { &reply } else { "" }]);
            put(bytes, [" ", number.format(headers.len())]);
            put(bytes, [" ", number.format(headers.len() + event.payload.len()), "\r\n"]);
            bytes.extend_from_slice(headers);
            bytes.extend_from_slice(&event.payload);
            bytes.extend_from_slice(b"\r\n");
        }
    }

    /// The fate of the oldest batch that has not been heard of.
    pub async fn heard(&mut self, patience: Duration) -> Result<Ack, Failure> {
        match timeout(patience, self.acknowledgement()).await {
            Ok(ack) => ack,
            Err(_) => Err(Failure::Silent(format!("no acknowledgement within {} s", patience.as_secs()))),
        }
    }

    async fn acknowledgement(&mut self) -> Result<Ack, Failure> {
        loop {
            let line = self.line().await?;
            match line.split(' ').next() {
                Some("MSG") => return api::read(&self.payload(&line).await?),
                // The server's own word without a body: no stream listens.
                Some("HMSG") => {
                    self.payload(&line).await?;
                    return Err(Failure::Silent("no stream listens on the subject".into()));
                }
                Some("PING") => self.stream.get_mut().write_all(b"PONG\r\n").await.map_err(silent("connection"))?,
                Some("-ERR") => return Err(Failure::Silent(line[4..].trim().to_owned())),
                _ => {}
            }
        }
    }

    async fn payload(&mut self, line: &str) -> Result<Vec<u8>, Failure> {
        let length = line.rsplit(' ').next().and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or_else(|| Failure::Garbled("a message without a length".into()))?;
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).await.map_err(silent("connection"))?;
        bytes.truncate(length);
        Ok(bytes)
    }

    async fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) => Err(Failure::Silent("the server closed the connection".into())),
            Ok(_) => {
                line.truncate(line.trim_end().len());
                Ok(line)
            }
            Err(error) => Err(silent("connection")(error)),
        }
    }
}

fn put<const N: usize>(bytes: &mut Vec<u8>, parts: [&str; N]) {
    parts.iter().for_each(|part| bytes.extend_from_slice(part.as_bytes()));
}

/// A name from a fresh inbox, unlike that of every other seeder that runs now: the tail of its last token, which begins
/// at random in each process and then counts. Short, because every message of a batch carries it; it ends with no digit,
/// because a number follows.
fn token(inbox: &str) -> String {
    format!("{}.", &inbox[inbox.len().saturating_sub(6)..])
}
