//! Where a machine writes its history, and where that of the domain is read: all that `status --history` must know of a domain.
//!
//! Refuses: other machines. Which shard another one's history is in follows from its name.

use super::canonical::{self, Dialect};
use super::layout;
use super::link::Linked;
use crate::resolve::{Machine, Part};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// In the closure; it is not placed on the machine.
pub const PATH: &str = "nats/history.json";

/// Read again by a rollback and a boot, also of what a newer Leafwright wrote: fields that are not known pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histories {
    pub machine: String,
    pub domain: String,
    /// This machine's own nats-server.
    pub server: SocketAddr,
    /// The stream that only this machine's Leafwright writes; `None` on a member, which has no JetStream of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// The cluster's JetStream domain; `None` where there is no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// The streams of the cluster that hold every machine's history, by shard.
    pub all: Vec<String>,
}

pub fn of_machine(linked: &Linked<'_>, machine: &Machine) -> Histories {
    Histories {
        machine: machine.name.to_string(),
        domain: linked.domain.name.to_string(),
        server: machine.options.leaf.listen,
        own: (machine.part == Part::Leaf).then(|| layout::history_of(&machine.name)),
        hub: linked.work_domain().map(str::to_owned),
        all: linked.histories(),
    }
}

pub fn print(histories: &Histories) -> String {
    let value = serde_json::to_value(histories).unwrap_or_default();
    canonical::print(&value, Dialect::Json).map(|printed| printed.text).unwrap_or_default()
}
