//! The streams and consumers of a generation, from its closure in the store: what `status` compares, which has no declarations.
//!
//! Refuses: events: their sets are compared by who has the text, `apply` and `verify`.

use super::objects::OwnObjects;
use crate::compile::Desired;
use crate::compile::DesiredServer;
use crate::compile::desired::Objects;
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::diag::Sources;
use crate::host::keys::KeyStore;
use crate::host::machine::Home;
use crate::name::{MachineName, StreamName};
use crate::plan::Plan;
use crate::plan::machine::Content;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A machine with a JetStream of its own.
pub struct Stored {
    machine: MachineName,
    desired: Desired,
}

/// A row of `consumers.json`.
#[derive(Deserialize)]
struct Consumer {
    stream: StreamName,
    config: ConsumerConfig,
}

impl Stored {
    /// `None` on a member of the cluster, and where no nats-server is declared.
    pub fn read(entry: &Path, machine: &MachineName, content: &Content) -> Result<Option<Self>> {
        let server = &content.server;
        if server.is_null() || server.get("cluster").is_some() {
            return Ok(None);
        }
        let address = |key: &str| server.get(key).and_then(|text| text.as_str()).and_then(|text| text.parse().ok());
        let (Some(listen), Some(monitor)) = (address("listen"), address("http")) else { return Ok(None) };
        let consumers: Vec<Consumer> = list(&entry.join("nats/consumers.json"))?;
        let objects = Objects {
            streams: list::<StreamConfig>(&entry.join("nats/streams.json"))?,
            consumers: consumers.into_iter().map(|consumer| (consumer.stream, consumer.config)).collect(),
            ..Objects::default()
        };
        let server = DesiredServer {
            machine: machine.clone(),
            closure_digest: content.digest.clone(),
            closure_files: BTreeMap::new(),
            listen,
            monitor,
            domain: server["jetstream"]["domain"].as_str().unwrap_or(machine.as_str()).to_owned(),
            member: false,
            objects,
            processes: vec![],
        };
        let servers = BTreeMap::from([(machine.clone(), server)]);
        Ok(Some(Self { machine: machine.clone(), desired: Desired { servers, ..Desired::default() } }))
    }

    /// What `apply` would do with them, by this machine's own key.
    pub async fn plan(&self, home: &Home, patience: Duration) -> Result<Option<Plan>> {
        let keys = home.state().join("keys");
        let keys = if keys.is_dir() { Some(KeyStore::open(&keys)?) } else { None };
        let journal = home.state().join("journal.jsonl");
        let sources = Sources::default();
        let own = OwnObjects {
            machine: &self.machine,
            desired: &self.desired,
            sources: &sources,
            keys: keys.as_ref(),
            journal,
            runs_at: None,
        };
        own.plan(patience).await
    }
}

fn list<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}
