//! What the seed stream holds: its state, its last prefix digest, single messages. Always asked of the stream's leader.
//!
//! Refuses: direct gets (a replica that lags would answer from the past), and judging what it read.

use super::api::{self, Failure};
use super::batch::PREFIX_DIGEST;
use async_nats::Client;
use data_encoding::BASE64;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// For one read; the loader asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a stream is asked about: the connection, the API prefix (`$JS.API`, `$JS.oak.API`), the name.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub client: &'a Client,
    pub api: &'a str,
    pub stream: &'a str,
}

#[derive(Debug, Deserialize)]
pub struct Info {
    pub config: InfoConfig,
    pub state: State,
}

#[derive(Debug, Deserialize)]
pub struct InfoConfig {
    #[serde(default)]
    pub allow_atomic: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    pub messages: u64,
    pub first_seq: u64,
    pub last_seq: u64,
}

/// A stored message with its headers as the publisher wrote them, those of the server and of the seeder apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub subject: String,
    pub headers: BTreeMap<Box<str>, Box<str>>,
    pub payload: Vec<u8>,
    /// The digest of everything up to this message, where a batch ended here.
    pub prefix_digest: Option<String>,
}

#[derive(Deserialize)]
struct Got {
    message: Raw,
}

#[derive(Deserialize)]
struct Raw {
    subject: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

pub async fn info(place: Place<'_>) -> Result<Info, Failure> {
    let subject = format!("{}.STREAM.INFO.{}", place.api, place.stream);
    api::ask(place.client, subject, &serde_json::Value::Null, PATIENCE).await
}

pub async fn message(place: Place<'_>, sequence: u64) -> Result<Stored, Failure> {
    let subject = format!("{}.STREAM.MSG.GET.{}", place.api, place.stream);
    let got: Got = api::ask(place.client, subject, &serde_json::json!({ "seq": sequence }), PATIENCE).await?;
    read(got.message)
}

fn read(raw: Raw) -> Result<Stored, Failure> {
    let decode = |text: &str| {
        BASE64
            .decode(text.as_bytes())
            .map_err(|error| Failure::Garbled(format!("a stored message is not base64: {error}")))
    };
    let mut headers = headers(&String::from_utf8_lossy(&decode(&raw.hdrs)?));
    let prefix_digest = headers.remove(PREFIX_DIGEST).map(String::from);
    headers.retain(|name, _| !name.starts_with("Nats-"));
    Ok(Stored { subject: raw.subject, headers, payload: decode(&raw.data)?, prefix_digest })
}

/// `NATS/1.0`, then `name: value` lines (ADR-4).
fn headers(text: &str) -> BTreeMap<Box<str>, Box<str>> {
    let lines = text.split("\r\n").skip(1);
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.into(), value.strip_prefix(' ').unwrap_or(value).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_server_and_the_seeder_are_not_the_publishers() {
        let text = "NATS/1.0\r\nce-id: a: b\r\nNats-Batch-Id: x\r\nLeafwright-Prefix-Digest: 00ff\r\nempty: \r\n\r\n";
        let stored =
            read(Raw { subject: "s".into(), hdrs: BASE64.encode(text.as_bytes()), data: BASE64.encode(b"{}") });
        let stored = stored.unwrap();
        assert_eq!(stored.headers, [("ce-id".into(), "a: b".into()), ("empty".into(), "".into())].into());
        assert_eq!(stored.prefix_digest.as_deref(), Some("00ff"));
        assert_eq!(stored.payload, b"{}");
    }

    #[test]
    fn a_message_without_headers_is_read() {
        let stored = read(Raw { subject: "s".into(), hdrs: String::new(), data: String::new() }).unwrap();
        assert!(stored.headers.is_empty() && stored.payload.is_empty());
    }
}
