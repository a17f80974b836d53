//! What `plan` compares with the world: servers, JetStream objects, seeds, processes; the typed twin of the closures.

use super::jetstream::{ConsumerConfig, StreamConfig};
use crate::identity::UserId;
use crate::name::{EventSetName, MachineName, ServiceName, StreamName};
use crate::resolve::{EventSet, Origins};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Everything that must be, for the machines that were asked for and for the domain's cluster.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    pub servers: BTreeMap<MachineName, DesiredServer>,
    /// JetStream objects on the cluster; created through any of its members.
    pub cluster: Option<Objects>,
    pub cluster_members: Vec<MachineName>,
}

/// One machine's nats-server and what lives on it.
#[derive(Clone, Debug)]
pub struct DesiredServer {
    pub machine: MachineName,
    pub closure_digest: String,
    /// The digest of each file of the closure, by path.
    pub closure_files: BTreeMap<String, String>,
    pub listen: SocketAddr,
    pub monitor: SocketAddr,
    /// The JetStream domain; the cluster's name on a member.
    pub domain: String,
    pub member: bool,
    /// Objects in the machine's own JetStream domain; empty on members.
    pub objects: Objects,
    pub processes: Vec<ServiceProcess>,
}

#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub streams: Vec<StreamConfig>,
    pub consumers: Vec<(StreamName, ConsumerConfig)>,
    pub seeds: Vec<Seed>,
    /// Where each was declared: `<stream>`, `<stream>.<field>`, `<stream>.consumers.<consumer>.<field>`; for the reasons in plans.
    pub origins: Origins,
}

/// An event set and the stream that only the seeder writes.
#[derive(Clone, Debug)]
pub struct Seed {
    pub set: EventSetName,
    pub target: SeedTarget,
    pub events: Arc<EventSet>,
}

/// The seeder publishes event `e` on `{prefix}.{e.subject}` into `stream`; the event store sources it without the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedTarget {
    pub stream: StreamName,
    pub prefix: String,
}

/// A service as a process: what the unit starts, for hosts without systemd.
#[derive(Clone, Debug)]
pub struct ServiceProcess {
    pub service: ServiceName,
    pub instance: u32,
    pub user: UserId,
    pub exec: Vec<String>,
    /// Environment without secrets; files are named below `$CREDENTIALS_DIRECTORY`.
    pub environment: BTreeMap<String, String>,
    pub foreground: bool,
}

/// Where one connects: for contexts and summaries.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub machine: MachineName,
    pub user: UserId,
    pub address: SocketAddr,
}
