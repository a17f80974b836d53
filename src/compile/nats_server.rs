//! nats-server's configuration: typed structs for a member of the cluster (operator mode) and for a leaf (plain accounts).
//!
//! Refuses: secrets (it names their files), includes and environment references (they break build-time validation),
//! and JetStream across a shared system account. Its text is canonical JSON; drift is one digest.

use super::canonical::{self, Dialect, Printed};
use super::effects;
use super::layout;
use super::link::Linked;
use super::permissions::{self, Rights};
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::identity::{BEHIND, ConnectionType, Permissions, PublicIdentity, Rules, UserId};
use crate::resolve::{Link, Machine, Part};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The system account of a leaf. It has no users and is shared with nobody.
const LEAF_SYSTEM: &str = "SYS";

#[derive(Serialize)]
struct Config {
    server_name: String,
    listen: String,
    http: String,
    max_payload: u64,
    max_pending: u64,
    max_connections: u32,
    lame_duck_duration: &'static str,
    server_tags: Vec<String>,
    jetstream: JetStream,
    system_account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<BTreeMap<String, Account>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leafnodes: Option<Leafnodes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver_preload: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

#[derive(Serialize)]
struct JetStream {
    domain: String,
    store_dir: String,
    max_memory_store: u64,
    max_file_store: u64,
    sync_interval: String,
}

#[derive(Serialize)]
struct Account {
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<&'static str>,
    users: Vec<User>,
}

#[derive(Serialize)]
struct User {
    nkey: String,
    permissions: ServerPermissions,
    allowed_connection_types: BTreeSet<ConnectionType>,
}

#[derive(Serialize)]
struct ServerPermissions {
    publish: ServerRules,
    subscribe: ServerRules,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_responses: Option<Responses>,
}

#[derive(Serialize)]
struct ServerRules {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    allow: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    deny: BTreeSet<String>,
}

#[derive(Serialize)]
struct Responses {
    max: u32,
    expires: &'static str,
}

#[derive(Serialize)]
struct Cluster {
    name: String,
    listen: String,
    no_advertise: bool,
    routes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Default, Serialize)]
struct Leafnodes {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_advertise: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remotes: Vec<Remote>,
}

#[derive(Serialize)]
struct Remote {
    urls: Vec<String>,
    account: String,
    credentials: String,
    deny_exports: Vec<String>,
    deny_imports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
}

#[derive(Default, Serialize)]
struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    ca_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<bool>,
}

/// What a machine's configuration is made of, besides the domain.
pub struct Inputs<'a> {
    pub linked: &'a Linked<'a>,
    pub machine: &'a Machine,
    pub identity: &'a PublicIdentity,
    pub rights: &'a BTreeMap<UserId, Rights>,
}

/// The configuration's text and the digest of the part whose change needs a restart; `None` only with an error in the report.
pub fn print(inputs: &Inputs<'_>, report: &mut Report) -> Option<Printed> {
    let config = match inputs.machine.part {
        Part::Member => member(inputs),
        Part::Leaf => leaf(inputs, report),
    };
    let value =
        serde_json::to_value(&config).unwrap_or_else(|fault| unreachable!("structs of strings and numbers: {fault}"));
    match canonical::print(&value, Dialect::NatsServer) {
        Ok(printed) => Some(printed),
        Err(refused) => {
            let span = origin(inputs.machine, &refused.path);
            report.push(
                Diagnostic::error(Code(702), span, refused.message).label("ends up in nats-server's configuration"),
            );
            None
        }
    }
}

/// Where the value at `path` of the configuration was declared.
pub fn origin(machine: &Machine, path: &str) -> Span {
    let option = effects::key(path).map_or("leaf", |key| key.option);
    machine.origins.of(option).unwrap_or(machine.origin)
}

fn shared(inputs: &Inputs<'_>) -> Config {
    let Machine { options, zone, .. } = inputs.machine;
    let leaf = &options.leaf;
    Config {
        server_name: leaf.server_name.clone(),
        listen: leaf.listen.to_string(),
        http: leaf.monitor.to_string(),
        max_payload: leaf.max_payload.as_bytes(),
        max_pending: leaf.max_pending.as_bytes(),
        max_connections: leaf.max_connections,
        // The shortest that nats-server takes.
        lame_duck_duration: "30s",
        server_tags: vec![format!("zone:{zone}")],
        jetstream: JetStream {
            domain: leaf.domain.clone(),
            store_dir: leaf.store.clone(),
            max_memory_store: leaf.memory_max.as_bytes(),
            max_file_store: leaf.disk_max.as_bytes(),
            sync_interval: leaf.sync_interval.clone(),
        },
        system_account: LEAF_SYSTEM.to_owned(),
        accounts: None,
        leafnodes: None,
        operator: None,
        resolver: None,
        resolver_preload: None,
        cluster: None,
    }
}

fn member(inputs: &Inputs<'_>) -> Config {
    let PublicIdentity { operator, system_account, account, .. } = inputs.identity;
    let Machine { options, .. } = inputs.machine;
    let preload = [system_account, account].map(|signed| (signed.key.to_string(), signed.jwt.clone()));
    Config {
        operator: Some(operator.jwt.clone()),
        resolver: Some("MEMORY"),
        resolver_preload: Some(BTreeMap::from(preload)),
        system_account: system_account.key.to_string(),
        // nats-server refuses a cluster without routes when JetStream is on; one server alone needs none.
        cluster: (inputs.linked.members().count() > 1).then(|| cluster(inputs)),
        leafnodes: Some(Leafnodes {
            listen: Some(options.cluster.leafnodes.to_string()),
            // `isolate_leafnode_interest` stays off: with it a query from one leaf finds no responder on another (measured).
            // Leaves know every member's address from their own configuration; gossip would add addresses that no certificate names.
            no_advertise: Some(true),
            tls: (options.leaf.link == Link::Tls).then(|| server_tls(inputs.machine, None)),
            remotes: vec![],
        }),
        ..shared(inputs)
    }
}

fn cluster(inputs: &Inputs<'_>) -> Cluster {
    let mine = &inputs.machine.options.cluster;
    let others = inputs.linked.members().filter(|other| other.name != inputs.machine.name);
    let scheme = scheme(mine.link, "nats-route");
    let routes = others.map(|other| url(scheme, other, other.options.cluster.listen.port()));
    Cluster {
        name: inputs.linked.domain.cluster.as_ref().map_or_else(String::new, |cluster| cluster.name.to_string()),
        listen: mine.listen.to_string(),
        no_advertise: true,
        routes: routes.collect(),
        tls: (mine.link == Link::Tls).then(|| server_tls(inputs.machine, Some(true))),
    }
}

fn server_tls(machine: &Machine, verify: Option<bool>) -> Tls {
    let options = &machine.options;
    Tls {
        cert_file: Some(options.cluster.certificate.clone()),
        key_file: Some(options.cluster.key.clone()),
        ca_file: options.leaf.ca.clone(),
        verify,
    }
}

fn leaf(inputs: &Inputs<'_>, report: &mut Report) -> Config {
    let domain = inputs.linked.domain;
    let users = users(inputs, report);
    let account = Account { jetstream: Some("enabled"), users };
    let system = Account { jetstream: None, users: vec![] };
    let accounts = [(domain.account.to_string(), account), (LEAF_SYSTEM.to_owned(), system)];
    Config {
        accounts: Some(BTreeMap::from(accounts)),
        leafnodes: domain.cluster.as_ref().map(|_| Leafnodes { remotes: vec![remote(inputs)], ..Leafnodes::default() }),
        ..shared(inputs)
    }
}

/// One remote with all members; events, commands, histories and seeds cross by streams only.
fn remote(inputs: &Inputs<'_>) -> Remote {
    let domain = inputs.linked.domain;
    let leaf = &inputs.machine.options.leaf;
    let scheme = scheme(leaf.link, "nats-leaf");
    let urls = inputs.linked.members().map(|member| url(scheme, member, member.options.cluster.leafnodes.port()));
    let spaces = [&domain.spaces.commands, &domain.spaces.events].map(ToString::to_string);
    let local: Vec<String> =
        spaces.into_iter().chain([format!("{}.>", layout::HISTORY), "seed.>".to_owned()]).collect();
    Remote {
        urls: urls.collect(),
        account: domain.account.to_string(),
        credentials: leaf.credentials.clone(),
        deny_exports: local.clone(),
        deny_imports: local,
        tls: (leaf.link == Link::Tls).then(|| Tls { ca_file: leaf.ca.clone(), ..Tls::default() }),
    }
}

/// The NKey users of a leaf, sorted by who they are.
fn users(inputs: &Inputs<'_>, report: &mut Report) -> Vec<User> {
    let mut users = vec![];
    for (user, (rights, connections)) in inputs.rights {
        if !permissions::is_local(user) {
            continue;
        }
        let declared = permissions::declared_key(inputs.linked.domain, user);
        let signed = inputs.identity.users.get(user).map(|user| user.key.clone());
        let Some(key) = declared.or(signed) else {
            report.push(missing_key(inputs, user));
            continue;
        };
        users.push(User {
            nkey: key.to_string(),
            permissions: server_permissions(rights),
            allowed_connection_types: connections.clone(),
        });
    }
    users
}

fn missing_key(inputs: &Inputs<'_>, user: &UserId) -> Diagnostic {
    let machine = inputs.machine;
    let path = match user {
        UserId::Service(_, service) => super::link::service_path(service),
        UserId::Person(..) => "users".to_owned(),
        _ => String::new(),
    };
    let span = machine.origins.of(&path).unwrap_or(machine.origin);
    Diagnostic::error(BEHIND, span, format!("identity/ has no public key for `{user}`"))
        .label("needs a user of its own")
        .help("run `leafwright keys sign`")
}

/// An empty allow list would mean everything to nats-server, so it becomes a deny of everything.
fn server_permissions(permissions: &Permissions) -> ServerPermissions {
    let rules = |rules: &Rules| match rules.allow.is_empty() {
        true => ServerRules { allow: BTreeSet::new(), deny: BTreeSet::from([">".to_owned()]) },
        false => ServerRules { allow: rules.allow.clone(), deny: rules.deny.clone() },
    };
    ServerPermissions {
        publish: rules(&permissions.publish),
        subscribe: rules(&permissions.subscribe),
        allow_responses: permissions.allow_responses.map(|max| Responses { max, expires: "2m" }),
    }
}

fn scheme(link: Link, plain: &'static str) -> &'static str {
    match link {
        Link::Tls => "tls",
        Link::Plain => plain,
    }
}

fn url(scheme: &str, machine: &Machine, port: u16) -> String {
    let host = &machine.options.network.host;
    // An IPv6 address in a URL stands in brackets.
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("{scheme}://[{address}]:{port}"),
        Err(_) => format!("{scheme}://{host}:{port}"),
    }
}
