//! The resolved domain: what the floors above read. Everything here exists, has its type, and has passed the rules.
//!
//! The option tree of a machine (`Options`) is read by serde from the merged, typed values, field by field:
//! the core options in `resolve::core` and these structs describe the same tree, and a test compares them.

use super::hardware::Requires;
use super::places::Places;
use crate::declare::MessageKind;
use crate::diag::{Span, Spanned};
use crate::name::{
    AccountName, BucketName, ByteSize, DomainName, Duration, EventSetName, HostName, MachineName, MessageName,
    ModuleName, NKeyPublic, PersonName, RoleName, ServiceName, StreamName, Subject, SubjectPattern, ZoneName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The whole domain, resolved. Machines are sorted by name.
#[derive(Debug)]
pub struct Domain {
    pub name: DomainName,
    pub dns: HostName,
    pub account: AccountName,
    /// `None` for a domain of one machine that stands alone.
    pub cluster: Option<Cluster>,
    pub machines: Vec<Arc<Machine>>,
    pub messages: BTreeMap<MessageName, Message>,
    pub services: BTreeMap<ServiceName, ServiceContract>,
    pub people: BTreeMap<PersonName, Person>,
    pub roles: BTreeMap<RoleName, Role>,
    pub events: BTreeMap<EventSetName, Arc<EventSet>>,
    /// Event sets of the domain itself, loaded on the cluster.
    pub domain_events: Vec<EventSetName>,
    /// All subjects of the domain, by kind: `evt.meadow.>` and so on.
    pub spaces: Spaces,
    pub origin: Span,
}

/// The patterns under which every subject of a kind falls, from the grammar.
#[derive(Clone, Debug)]
pub struct Spaces {
    pub commands: SubjectPattern,
    pub queries: SubjectPattern,
    pub events: SubjectPattern,
}

/// The domain's cluster: its members in declared order, and the options of what lives on it.
#[derive(Debug)]
pub struct Cluster {
    /// Also the cluster's JetStream domain and nats-server's `cluster.name`.
    pub name: MachineName,
    pub members: Vec<MachineName>,
    pub options: ClusterOptions,
    pub origins: Origins,
    pub origin: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A member of the domain's cluster.
    Member,
    /// Everything else: a leaf of the cluster, or alone where there is none.
    Leaf,
}

#[derive(Debug)]
pub struct Machine {
    pub name: MachineName,
    pub part: Part,
    pub zone: ZoneName,
    pub hardware: Hardware,
    pub person: PersonName,
    /// Event sets of this machine, in declared order.
    pub events: Vec<EventSetName>,
    /// All modules, imports first, each once.
    pub modules: Vec<ModuleName>,
    pub options: Options,
    /// Templates of its modules: file name → text. Shared by machines with the same modules.
    pub templates: Arc<BTreeMap<Box<str>, Arc<str>>>,
    /// Where each option's value was written.
    pub origins: Origins,
    /// The machine's file.
    pub origin: Span,
}

/// Option path (`streams.orders.copies`) → where the winning definition stands.
/// A path that was not written falls back to its nearest written ancestor, then to the machine's file.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub places: Arc<Places>,
    /// The same, of the layers that machines share; `places` speaks first.
    pub base: Arc<Places>,
    pub fallback: Option<Span>,
}

impl Origins {
    /// Where `path` was written, or its nearest ancestor; `None` only when nothing at all is known.
    pub fn of(&self, path: &str) -> Option<Span> {
        let mut path = path;
        loop {
            if let Some(span) = self.places.get(path).or_else(|| self.base.get(path)) {
                return Some(span);
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return self.fallback,
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Hardware {
    pub name: MachineName,
    pub arch: String,
    pub cores: u32,
    pub memory: ByteSize,
    pub disk: ByteSize,
    pub requires: Requires,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub name: PersonName,
    pub nkey: Option<NKeyPublic>,
    pub roles: Vec<RoleName>,
    pub ssh: Vec<String>,
    pub origin: Span,
}

#[derive(Clone, Debug)]
pub struct Role {
    pub name: RoleName,
    pub publish: Vec<Spanned<SubjectPattern>>,
    pub subscribe: Vec<Spanned<SubjectPattern>>,
    /// Its first subject, or its name.
    pub origin: Span,
}

/// A message, with everyone who sends and receives it.
#[derive(Debug)]
pub struct Message {
    pub name: MessageName,
    pub kind: MessageKind,
    pub subject: Subject,
    pub senders: Vec<ServiceName>,
    pub receivers: Vec<ServiceName>,
    pub outcomes: Vec<MessageName>,
    /// Canonical JSON of the payload's schema, if it has one.
    pub schema: Option<String>,
    pub example: Option<serde_json::Value>,
    pub doc: Option<String>,
    pub origin: Span,
}

/// A service type and its messages, from its contract.
#[derive(Debug)]
pub struct ServiceContract {
    pub name: ServiceName,
    pub sends: Vec<MessageName>,
    pub receives: Vec<MessageName>,
    pub origin: Span,
}

/// An event set, checked against schemas and turned into messages.
#[derive(Debug)]
pub struct EventSet {
    pub name: EventSetName,
    pub events: Vec<SeedEvent>,
    pub origin: Span,
}

/// One message to store, CloudEvents binary mode: attributes become `ce-` headers, `data` the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedEvent {
    pub id: Box<str>,
    pub subject: Subject,
    /// Header name → value, sorted: `ce-id`, `ce-source`, `ce-specversion`, `ce-type`, …, `content-type`.
    pub headers: BTreeMap<Box<str>, Box<str>>,
    pub payload: Box<[u8]>,
    pub origin: Span,
}

// ---- the option tree of a machine ------------------------------------------------------------------------

/// Everything that a machine becomes. Keys are spelled as NATS and systemd spell them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    pub network: Network,
    pub leaf: Leaf,
    pub credentials: Credentials,
    pub cluster: ClusterMember,
    pub event_store: EventStore,
    pub history: History,
    pub streams: BTreeMap<StreamName, Box<Stream>>,
    pub buckets: BTreeMap<BucketName, Box<Bucket>>,
    pub services: BTreeMap<ServiceName, Box<Service>>,
    pub users: BTreeMap<String, User>,
    pub units: BTreeMap<String, Unit>,
    pub files: BTreeMap<String, Box<File>>,
    pub gates: BTreeMap<String, Gate>,
    /// Packages of the distribution: name → `ID` of /etc/os-release → name there.
    pub packages: BTreeMap<String, BTreeMap<String, String>>,
}

/// `network.*`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The name or address by which other machines reach this one. Default `${machine.name}.${domain.dns}`.
    pub host: String,
}

/// `leaf.*`: this machine's nats-server, leaf or member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// Default the machine's name.
    pub server_name: String,
    /// The JetStream domain. Default the machine's name; a member's is the cluster's name.
    pub domain: String,
    /// Where services connect. Loopback, always. Default 127.0.0.1:4222.
    pub listen: SocketAddr,
    /// HTTP monitoring. Loopback, always. Default 127.0.0.1:8222.
    pub monitor: SocketAddr,
    /// JetStream's directory. Default /var/lib/nats.
    pub store: String,
    pub max_payload: ByteSize,
    pub max_pending: ByteSize,
    pub max_connections: u32,
    /// JetStream `max_memory_store` / `max_file_store`; from the hardware.
    pub memory_max: ByteSize,
    pub disk_max: ByteSize,
    /// `always` or a duration.
    pub sync_interval: String,
    /// How the link to the cluster is protected.
    pub link: Link,
    /// Secret reference: the creds file of the hub credential. Default `/etc/leafwright/credentials/leaf.creds`.
    pub credentials: String,
    /// The domain CA's certificate. Default `/etc/leafwright/ca.pem`.
    pub ca: String,
    pub limit_nofile: u32,
}

/// `credentials.*`: how units get what is secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// `LoadCredentialEncrypted=`, with the key of the machine's systemd; else `LoadCredential=` of a file for root alone.
    pub encrypted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    #[default]
    Tls,
    /// Only inside one zone.
    Plain,
}

/// `cluster.*`: what a member of the cluster has besides. Ignored on leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterMember {
    /// Route port. Default 0.0.0.0:6222.
    pub listen: SocketAddr,
    /// Where leaves connect. Default 0.0.0.0:7422.
    pub leafnodes: SocketAddr,
    /// How routes between members are protected.
    pub link: Link,
    /// This server's certificate and key file (the key is a secret reference).
    pub certificate: String,
    pub key: String,
}

/// `event_store.*` of a leaf: what it captures of its own services' messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStore {
    /// Module `event-store` turns it on.
    pub enable: bool,
    /// Grows only; full refuses and alarms.
    pub max_bytes: ByteSize,
    /// The stream that captures commands that this machine's services send.
    pub commands_max_bytes: ByteSize,
    pub commands_max_age: Duration,
}

/// `history.*` of a machine: what is kept of its applies, returns and drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// Grows only; full refuses and alarms.
    pub max_bytes: ByteSize,
    /// May read the histories of all machines.
    pub read: bool,
}

/// `history.*` of a cluster: the histories of all machines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histories {
    /// Grows only; full refuses and alarms.
    pub max_bytes: ByteSize,
}

/// The options of a cluster: `[clusters.<name>.settings]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterOptions {
    pub event_store: Aggregate,
    pub commands: Commands,
    pub history: Histories,
    pub streams: BTreeMap<StreamName, Box<Stream>>,
    pub buckets: BTreeMap<BucketName, Box<Bucket>>,
}

/// `event_store.*` of a cluster: the aggregates that source every leaf's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Aggregates; a leaf belongs to one by hash of its name. Changing it later is refused by the planner.
    pub shards: u32,
    /// Copies wanted, on distinct machines: `replicas` plus keepers.
    pub copies: u32,
    pub replicas: u32,
    /// Leaves that hold a mirror which nobody can purge, roll up or expire.
    pub keepers: Vec<MachineName>,
    pub max_bytes: ByteSize,
}

/// `commands.*` of a cluster: the work stream that sources every leaf's commands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    pub replicas: u32,
    pub max_bytes: ByteSize,
    pub max_age: Duration,
    /// Consumers: how long a service may work on a command, how often it is tried before the dead-letter stream.
    pub ack_wait: Duration,
    pub max_deliver: u32,
}

/// `streams.<name>`: a JetStream stream. Absent limits are unlimited (`None`), as nats-server's -1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub description: Option<String>,
    pub subjects: Vec<SubjectPattern>,
    pub retention: Retention,
    pub storage: Storage,
    pub discard: Discard,
    pub discard_new_per_subject: bool,
    pub max_age: Option<Duration>,
    pub max_bytes: Option<ByteSize>,
    pub max_msgs: Option<u64>,
    pub max_msgs_per_subject: Option<u64>,
    pub max_msg_size: Option<ByteSize>,
    pub max_consumers: Option<u64>,
    pub duplicate_window: Option<Duration>,
    /// Never changes once written: sets the deny flags, refuses every way around them.
    pub immutable: bool,
    pub deny_delete: bool,
    pub deny_purge: bool,
    pub allow_rollup_hdrs: bool,
    pub allow_direct: bool,
    pub allow_msg_ttl: bool,
    pub allow_msg_counter: bool,
    pub allow_msg_schedules: bool,
    pub allow_atomic: bool,
    pub compression: Compression,
    pub persist_mode: PersistMode,
    pub mirror: Option<StreamSource>,
    pub sources: Vec<StreamSource>,
    pub republish: Option<Republish>,
    /// R replicas in the cluster; 1 on a leaf.
    pub replicas: u32,
    /// `replicas` plus max(1, copies − replicas) keepers; `None` asks for nothing.
    pub copies: Option<u32>,
    pub keepers: Vec<MachineName>,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSource {
    pub stream: StreamName,
    /// The JetStream domain that holds it; absent means this one.
    pub domain: Option<String>,
    pub filter: Option<SubjectPattern>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Republish {
    pub source: SubjectPattern,
    pub destination: SubjectPattern,
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $first:ident, $($other:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { #[default] $first, $($other),* }
    };
}
choice!(/// When a stream lets go of messages.
    Retention { Limits, Interest, WorkQueue });
choice!(Storage { File, Memory });
choice!(Discard { Old, New });
choice!(Compression { None, S2 });
choice!(PersistMode { Default, Async });

/// `buckets.<name>`: a key-value or object bucket (ADR-8, ADR-20), compiled to its stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    pub kind: BucketKind,
    pub description: Option<String>,
    /// Values kept for a key, 1 to 64; key-value only.
    pub history: u32,
    pub max_age: Option<Duration>,
    pub max_bytes: Option<ByteSize>,
    pub storage: Storage,
    pub compression: Compression,
    pub replicas: u32,
    pub copies: Option<u32>,
    pub keepers: Vec<MachineName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BucketKind {
    KeyValue,
    Object,
}

/// `services.<name>`: a program with a contract, run as a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The contract; default the service's own name.
    pub contract: ServiceName,
    pub description: String,
    /// Program and arguments, no shell.
    pub exec: Vec<String>,
    pub instances: u32,
    /// Started by `up` too.
    pub foreground: bool,
    pub environment: BTreeMap<String, String>,
    /// Addresses (CIDR) outside this machine that it may reach. Empty: localhost only.
    pub egress: Vec<String>,
    /// Ports that it listens on, with the reason; loopback only.
    pub listen: BTreeMap<String, Listen>,
    pub memory_max: Option<ByteSize>,
    pub cpu_quota: Option<String>,
    pub restart_delay: Duration,
    /// Directives that are laid over the rendered unit: section → directive → values.
    pub unit: Unit,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    pub address: SocketAddr,
    pub reason: String,
}

/// `users.<name>`: a person who may connect to this machine's nats-server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub person: PersonName,
}

/// `units."<name>"`: section → directive → values. A list value repeats the directive.
pub type Unit = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// `gates.<name>`: what must hold before a generation is committed, besides what always must. Exactly one of its three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// A program and its arguments, which ends with 0; no shell.
    pub exec: Option<Vec<String>>,
    /// A query that is answered when it is asked on this machine.
    pub query: Option<String>,
    /// A mirror or a sourcing stream of this machine that has all that its origins have.
    pub current: Option<StreamName>,
    /// How long it may take until it holds, from when everything was started. An hour at most.
    pub within: Option<Duration>,
}

/// `files."<absolute path>"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Exactly one of `text` and `template`.
    pub text: Option<String>,
    /// A `*.tera` file beside the module that names it.
    pub template: Option<String>,
    /// What the template sees, besides `machine`.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Octal, such as "0644".
    pub mode: String,
}
