//! Streams and consumers: what INFO returns must be what is declared, by the planner's own comparison.

use super::access::{Connections, place};
use super::outcome::{Check, Finding};
use super::target::Target;
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::plan::{self, Change, Scope};
use crate::seed::api::{self, Failure};
use async_nats::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// What `STREAM.INFO` says, as far as verify reads it.
#[derive(Debug, Deserialize)]
pub struct StreamInfo {
    pub config: StreamConfig,
    pub state: State,
    pub cluster: Option<ClusterInfo>,
    pub mirror: Option<SourceInfo>,
    #[serde(default)]
    pub sources: Vec<SourceInfo>,
}

#[derive(Debug, Deserialize)]
pub struct State {
    pub messages: u64,
}

#[derive(Debug, Deserialize)]
pub struct ClusterInfo {
    #[serde(default)]
    pub leader: String,
    #[serde(default)]
    pub replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
pub struct Replica {
    pub name: String,
    #[serde(default)]
    pub current: bool,
    #[serde(default)]
    pub offline: bool,
}

#[derive(Debug, Deserialize)]
pub struct SourceInfo {
    pub name: String,
    #[serde(default)]
    pub lag: u64,
    /// Nanoseconds since something was heard; -1 when nothing ever was.
    #[serde(default)]
    pub active: i64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: ConsumerConfig,
}

pub async fn stream(client: &Client, name: &str) -> Result<StreamInfo, Failure> {
    info(client, format!("STREAM.INFO.{name}")).await
}

async fn info<T: DeserializeOwned>(client: &Client, call: String) -> Result<T, Failure> {
    api::ask(client, format!("$JS.API.{call}"), &serde_json::Value::Null, PATIENCE).await
}

pub async fn check(target: &Target<'_>, connections: &Connections) -> Vec<Finding> {
    let mut findings = vec![];
    for (scope, objects) in plan::scopes(target.desired) {
        let Some(client) = connections.of(&scope) else { continue };
        for config in &objects.streams {
            let seen = stream(client, &config.name).await.map(|info| plan::streams::diff(config, &info.config));
            findings.push(judged(Check::Stream, on(target, &scope, &config.name), seen));
        }
        for (stream, config) in &objects.consumers {
            let seen = info::<ConsumerInfo>(client, format!("CONSUMER.INFO.{stream}.{}", config.durable_name)).await;
            let name = format!("{stream}/{}", config.durable_name);
            let seen = seen.map(|info| plan::consumers::diff(config, &info.config));
            findings.push(judged(Check::Consumer, on(target, &scope, &name), seen));
        }
    }
    findings
}

/// `EVT on hub`
pub fn on(target: &Target<'_>, scope: &Scope, name: &str) -> String {
    format!("{name} on {}", place(target, scope))
}

fn judged(check: Check, subject: String, seen: Result<Change, Failure>) -> Finding {
    match seen {
        Ok(change) if change.is_empty() => Finding::passed(check, subject, "as declared"),
        Ok(change) => {
            let fields: Vec<_> = change
                .fields
                .iter()
                .map(|field| format!("{} is {}, declared {}", field.field, field.from, field.to))
                .collect();
            Finding::failed(check, subject, fields.join("; "))
        }
        Err(failure) => Finding::failed(check, subject, failure.to_string()),
    }
}
