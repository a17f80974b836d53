//! The JetStream API as requests and answers in JSON, with our own structs; what exists in a domain, and single changes to it.
//!
//! Refuses: blind creation. A change is asked for in full, pedantically, and believed only when it is read back.

use super::endpoint::Endpoint;
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::compile::layout;
use crate::plan::{Change, ObservedConsumer, ObservedObjects, ObservedStream, consumers, rules, streams};
use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The API level of nats-server 2.15, in which recreated origins of sources are noticed.
const API_LEVEL: &str = "5";
/// How long one answer may take; a cluster without a leader answers late or not at all.
const ANSWER: Duration = Duration::from_secs(5);
/// How long an election, or a stream that a list does not show yet, is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// How many lists of consumers are asked for at once.
const LISTS: usize = 32;

/// Errors by nats-server's own `err_code` (its `server/errors.json`).
pub mod codes {
    pub const STREAM_NOT_FOUND: u64 = 10059;
    pub const CONSUMER_NOT_FOUND: u64 = 10014;
    pub const CLUSTER_NOT_AVAILABLE: u64 = 10008;
    pub const CLUSTER_NO_PEERS: u64 = 10005;
    pub const STREAM_OFFLINE: u64 = 10118;
    pub const STREAM_MOVE_IN_PROGRESS: u64 = 10124;
    pub const REPLICAS_WITHOUT_CLUSTER: u64 = 10074;
    pub const STREAM_UPDATE: u64 = 10052;
    pub const STREAM_MIRROR_UPDATE: u64 = 10055;
    pub const CONSUMER_CREATE: u64 = 10012;
}

/// Why a request did not do what it asked for.
#[derive(Debug)]
pub enum ApiError {
    /// Nobody answers for this domain: the server, its JetStream or the link to it is away.
    Unreachable {
        subject: String,
    },
    Late {
        subject: String,
    },
    Refused {
        subject: String,
        code: u16,
        err_code: u64,
        description: String,
    },
    /// The connection failed, or the answer was none that we know.
    Broken {
        subject: String,
        why: String,
    },
    /// The server said yes, and what it holds is something else.
    Differs {
        object: String,
        change: Box<Change>,
    },
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApiError::Unreachable { subject } => {
                write!(f, "nobody answers on {subject}: is the server up and its link there?")
            }
            ApiError::Late { subject } => write!(f, "no answer on {subject} in time"),
            ApiError::Refused { subject, err_code, description, .. } => {
                write!(f, "nats-server refused {subject}: {description} ({err_code})")
            }
            ApiError::Broken { subject, why } => write!(f, "request on {subject} failed: {why}"),
            ApiError::Differs { object, change } => {
                let fields: Vec<_> = change.fields.iter().map(|field| field.field.as_str()).collect();
                write!(f, "{object} was accepted and is not what was sent: {}", fields.join(", "))
            }
        }
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    pub fn err_code(&self) -> Option<u64> {
        match self {
            ApiError::Refused { err_code, .. } => Some(*err_code),
            _ => None,
        }
    }

    /// Can waiting help? Elections, servers that start, replicas that move.
    fn passes(&self) -> bool {
        match self {
            ApiError::Unreachable { .. } | ApiError::Late { .. } => true,
            ApiError::Refused { code, err_code, description, .. } => {
                let passing = [codes::CLUSTER_NOT_AVAILABLE, codes::STREAM_OFFLINE, codes::STREAM_MOVE_IN_PROGRESS];
                // A leader that was just elected has not heard of every member yet. No room, or no such tag, stays.
                let unheard = *err_code == codes::CLUSTER_NO_PEERS && description.contains("peer offline");
                *code == 503 || passing.contains(err_code) || unheard
            }
            ApiError::Broken { .. } | ApiError::Differs { .. } => false,
        }
    }
}

/// One JetStream domain, as seen from a client.
#[derive(Clone)]
pub struct JetStream {
    client: Client,
    prefix: String,
    endpoint: Arc<Endpoint>,
}

/// What must be found when it is read back.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Stream(&'a StreamConfig),
    Consumer(&'a str, &'a ConsumerConfig),
}

impl std::fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wanted::Stream(config) => write!(f, "stream {}", config.name),
            Wanted::Consumer(stream, config) => write!(f, "consumer {} of {stream}", config.durable_name),
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    streams: Vec<StreamInfo>,
    #[serde(default)]
    consumers: Vec<ConsumerInfo>,
    /// Objects whose servers did not answer the one that we asked.
    #[serde(default)]
    missing: Vec<String>,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Value,
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    last_seq: u64,
    #[serde(default)]
    consumer_count: u64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Value,
}

impl JetStream {
    /// Connects within `patience`. `None` is the domain of the server at the endpoint.
    pub async fn open(endpoint: Arc<Endpoint>, domain: Option<&str>, patience: Duration) -> anyhow::Result<Self> {
        let prefix = domain.map_or_else(|| "$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        Ok(Self { client: endpoint.connect(patience).await?, prefix, endpoint })
    }

    /// Where the connection came in, for whoever needs another one.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One request, one answer, an error of its own type for each way to fail.
    pub async fn request<T: DeserializeOwned>(&self, call: &str, body: &Value) -> Result<T, ApiError> {
        let subject = format!("{}.{call}", self.prefix);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Required-Api-Level", API_LEVEL);
        let payload = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        let request = async_nats::Request::new().headers(headers).payload(payload.into()).timeout(Some(ANSWER));
        let answer = self.client.send_request(subject.clone(), request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => ApiError::Unreachable { subject: subject.clone() },
            RequestErrorKind::TimedOut => ApiError::Late { subject: subject.clone() },
            _ => ApiError::Broken { subject: subject.clone(), why: error.to_string() },
        })?;
        let broken = |error: serde_json::Error| ApiError::Broken { subject: subject.clone(), why: error.to_string() };
        let mut value: Value = serde_json::from_slice(&answer.payload).map_err(broken)?;
        if let Some(error) = value.get_mut("error").map(Value::take).filter(|error| !error.is_null()) {
            let Refusal { code, err_code, description } = serde_json::from_value(error).map_err(broken)?;
            return Err(ApiError::Refused { subject, code, err_code, description });
        }
        serde_json::from_value(value).map_err(broken)
    }

    /// As `request`, waiting through elections: only for what can be asked twice.
    async fn ask<T: DeserializeOwned>(&self, call: &str, body: &Value) -> Result<T, ApiError> {
        let since = Instant::now();
        loop {
            match self.request(call, body).await {
                Err(error) if error.passes() && since.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                other => return other,
            }
        }
    }

    /// Everything in this domain: all streams, all their durable consumers, page by page.
    pub async fn observe(&self) -> Result<ObservedObjects, ApiError> {
        let mut infos = self.pages("STREAM.LIST", |page| page.streams).await?;
        // It comes and goes with whoever applies.
        infos.retain(|info| info.config["name"] != layout::LEASE_STREAM);
        let mut lists = Vec::new();
        for info in infos.iter().filter(|info| info.state.consumer_count > 0) {
            lists.extend(info.config["name"].as_str().map(|stream| self.durable_consumers(stream.to_owned())));
        }
        let consumers = stream::iter(lists).buffered(LISTS).try_collect().await?;
        let streams = infos.into_iter().map(|info| {
            let stream = self.observed_stream("STREAM.LIST", info)?;
            Ok((stream.config.name.clone(), stream))
        });
        Ok(ObservedObjects { streams: streams.collect::<Result<_, ApiError>>()?, consumers })
    }

    async fn durable_consumers(
        &self,
        stream: String,
    ) -> Result<(String, BTreeMap<String, ObservedConsumer>), ApiError> {
        let call = format!("CONSUMER.LIST.{stream}");
        let infos = self.pages(&call, |page| page.consumers).await?;
        let durable = infos.into_iter().filter(|info| info.config.get("durable_name").is_some());
        let consumers = durable.map(|info| {
            let consumer = self.observed_consumer(&call, info)?;
            Ok((consumer.config.durable_name.clone(), consumer))
        });
        Ok((stream, consumers.collect::<Result<_, ApiError>>()?))
    }

    /// All pages of a list; a page that misses objects (their leaders did not answer) is asked for again.
    async fn pages<T>(&self, call: &str, items: fn(Page) -> Vec<T>) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        let since = Instant::now();
        loop {
            let page: Page = self.ask(call, &json!({ "offset": all.len() })).await?;
            if !page.missing.is_empty() {
                if since.elapsed() > PATIENCE {
                    let why = format!("no leader answers for {}", page.missing.join(", "));
                    return Err(ApiError::Broken { subject: format!("{}.{call}", self.prefix), why });
                }
                tokio::time::sleep(PAUSE).await;
                all.clear();
                continue;
            }
            let total = page.total;
            let page = items(page);
            let last = page.is_empty();
            all.extend(page);
            if last || all.len() >= total {
                return Ok(all);
            }
        }
    }

    pub async fn stream(&self, name: &str) -> Result<Option<ObservedStream>, ApiError> {
        let call = format!("STREAM.INFO.{name}");
        let info = absent(self.ask::<StreamInfo>(&call, &Value::Null).await, codes::STREAM_NOT_FOUND)?;
        info.map(|info| self.observed_stream(&call, info)).transpose()
    }

    pub async fn consumer(&self, stream: &str, name: &str) -> Result<Option<ObservedConsumer>, ApiError> {
        let call = format!("CONSUMER.INFO.{stream}.{name}");
        let info = absent(self.ask::<ConsumerInfo>(&call, &Value::Null).await, codes::CONSUMER_NOT_FOUND)?;
        info.map(|info| self.observed_consumer(&call, info)).transpose()
    }

    /// Creates what is not there. Where an unanswered request did create it, reading it back settles that.
    pub async fn create_stream(&self, config: &StreamConfig) -> Result<(), ApiError> {
        if self.stream(&config.name).await?.is_none() {
            self.change(&format!("STREAM.CREATE.{}", config.name), &stream_request(config)).await?;
        }
        self.prove(Wanted::Stream(config)).await
    }

    /// Updates in place what differs; an update that changes nothing is never sent.
    pub async fn update_stream(&self, config: &StreamConfig) -> Result<(), ApiError> {
        self.change(&format!("STREAM.UPDATE.{}", config.name), &stream_request(config)).await?;
        self.prove(Wanted::Stream(config)).await
    }

    pub async fn create_consumer(&self, stream: &str, config: &ConsumerConfig) -> Result<(), ApiError> {
        if self.consumer(stream, &config.durable_name).await?.is_none() {
            let call = format!("CONSUMER.CREATE.{stream}.{}", config.durable_name);
            self.change(&call, &consumer_request(stream, config, "create")).await?;
        }
        self.prove(Wanted::Consumer(stream, config)).await
    }

    pub async fn update_consumer(&self, stream: &str, config: &ConsumerConfig) -> Result<(), ApiError> {
        let call = format!("CONSUMER.CREATE.{stream}.{}", config.durable_name);
        self.change(&call, &consumer_request(stream, config, "update")).await?;
        self.prove(Wanted::Consumer(stream, config)).await
    }

    /// A refusal that passes is waited for; a late answer is no failure yet, what is read back decides.
    async fn change(&self, call: &str, body: &Value) -> Result<(), ApiError> {
        let since = Instant::now();
        loop {
            match self.request::<Value>(call, body).await {
                Ok(_) | Err(ApiError::Late { .. }) => return Ok(()),
                Err(error @ ApiError::Refused { .. }) if error.passes() && since.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads back until it is as sent: in a cluster, INFO may be answered by one who is a moment behind.
    async fn prove(&self, wanted: Wanted<'_>) -> Result<(), ApiError> {
        let since = Instant::now();
        loop {
            let late = since.elapsed() > ANSWER;
            match self.difference(wanted).await? {
                Some(change) if change.is_empty() => return Ok(()),
                Some(change) if late => {
                    return Err(ApiError::Differs { object: wanted.to_string(), change: Box::new(change) });
                }
                None if late => {
                    return Err(ApiError::Broken {
                        subject: self.prefix.clone(),
                        why: format!("{wanted} is not there"),
                    });
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn difference(&self, wanted: Wanted<'_>) -> Result<Option<Change>, ApiError> {
        Ok(match wanted {
            Wanted::Stream(config) => {
                self.stream(&config.name).await?.map(|observed| streams::diff(config, &observed.config))
            }
            Wanted::Consumer(stream, config) => {
                let observed = self.consumer(stream, &config.durable_name).await?;
                observed.map(|observed| consumers::diff(config, &observed.config))
            }
        })
    }

    fn observed_stream(&self, call: &str, info: StreamInfo) -> Result<ObservedStream, ApiError> {
        let extra = unknown(&info.config, rules::STREAM, &["name"]);
        let config = self.parsed(call, info.config)?;
        Ok(ObservedStream { config, extra, messages: info.state.messages, last_sequence: info.state.last_seq })
    }

    fn observed_consumer(&self, call: &str, info: ConsumerInfo) -> Result<ObservedConsumer, ApiError> {
        let extra = unknown(&info.config, rules::CONSUMER, &["name", "durable_name", "filter_subject"]);
        Ok(ObservedConsumer { config: self.parsed(call, info.config)?, extra })
    }

    fn parsed<T: DeserializeOwned>(&self, call: &str, value: Value) -> Result<T, ApiError> {
        let subject = format!("{}.{call}", self.prefix);
        serde_json::from_value(value).map_err(|error| ApiError::Broken { subject, why: error.to_string() })
    }
}

fn absent<T>(answer: Result<T, ApiError>, code: u64) -> Result<Option<T>, ApiError> {
    match answer {
        Err(error) if error.err_code() == Some(code) => Ok(None),
        other => other.map(Some),
    }
}

/// Settings that are neither in our structs nor at their default.
fn unknown(config: &Value, rows: &'static [rules::Row], keys: &[&str]) -> BTreeMap<String, Value> {
    let Value::Object(fields) = config else { return BTreeMap::new() };
    let known = |field: &str| keys.contains(&field) || rules::find(rows, field).is_some();
    fields
        .iter()
        .filter(|(field, value)| !known(field) && !is_default(value))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect()
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

fn stream_request(config: &StreamConfig) -> Value {
    let mut body = json!(config);
    // A mirror copies `mirror_direct` from its origin, which pedantry calls a mistake of ours (10157).
    body["pedantic"] = json!(config.mirror.is_none());
    body
}

fn consumer_request(stream: &str, config: &ConsumerConfig, action: &str) -> Value {
    json!({ "stream_name": stream, "config": config, "action": action, "pedantic": true })
}
