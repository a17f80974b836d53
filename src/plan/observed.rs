//! What is: servers, JetStream objects, stored seeds; filled by `host`, compared by `between`.
//!
//! Refuses: telling "nothing there" from "could not look": who observes fails instead of leaving something out.

use super::model::{Scope, hex};
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::name::{EventSetName, MachineName};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub servers: BTreeMap<MachineName, ObservedServer>,
    /// A scope that is absent here was never provisioned: nothing exists there.
    pub objects: BTreeMap<Scope, ObservedObjects>,
    /// What the seeder says about event sets; where it says nothing, the seed stream's last sequence counts.
    pub seeds: BTreeMap<(Scope, EventSetName), StoredSeed>,
    /// Ids of creation steps that the journal says were done before: tells `Missing` from `New`.
    pub made: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObservedServer {
    /// Digest of the closure that is on disk and current.
    pub closure: Option<String>,
    /// The digest of each of its files, by path; it says no more than the closure's own, only where.
    #[serde(skip)]
    pub files: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ObservedObjects {
    pub streams: BTreeMap<String, ObservedStream>,
    /// Durable consumers by stream, then name.
    pub consumers: BTreeMap<String, BTreeMap<String, ObservedConsumer>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObservedStream {
    pub config: StreamConfig,
    /// Settings that `StreamConfig` does not know and that are not at their default.
    pub extra: BTreeMap<String, Value>,
    #[serde(skip)]
    pub messages: u64,
    #[serde(skip)]
    pub last_sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObservedConsumer {
    pub config: ConsumerConfig,
    pub extra: BTreeMap<String, Value>,
}

/// How what is stored of an event set compares with its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredSeed {
    /// The first `n` events of the file, equal in everything.
    Prefix(u64),
    /// Stored event `n` (0-based) is not the file's.
    Differs(u64),
}

impl Observed {
    /// Over everything that only a plan or a hand changes, so not over the counts of messages.
    pub fn digest(&self) -> String {
        let objects: Vec<_> = self.objects.iter().collect();
        let seeds: Vec<_> = self.seeds.iter().collect();
        hex(&serde_json::to_vec(&(&self.servers, objects, seeds)).unwrap_or_default())
    }

    pub fn stream(&self, scope: &Scope, name: &str) -> Option<&ObservedStream> {
        self.objects.get(scope)?.streams.get(name)
    }

    pub fn consumer(&self, scope: &Scope, stream: &str, name: &str) -> Option<&ObservedConsumer> {
        self.objects.get(scope)?.consumers.get(stream)?.get(name)
    }
}
