//! A small domain by hand: a cluster of three, a thermometer, the two sides of the to-do example, a person's machine.

use leafwright::declare::MessageKind;
use leafwright::diag::{Sources, Span, Spanned};
use leafwright::identity::{PublicIdentity, PublicUser, Signed};
use leafwright::name::*;
use leafwright::resolve::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The domain, the texts that its origins point into, and where machines listen.
pub struct Fixture {
    pub domain: Domain,
    pub sources: Sources,
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A name of any kind.
macro_rules! name {
    ($text:expr) => {
        serde_json::from_value(serde_json::Value::from($text)).unwrap()
    };
}
pub(crate) use name;

fn span(sources: &mut Sources, path: &str) -> Span {
    let text = format!("# {path}\n");
    let length = text.len();
    Span::new(sources.add(path, text), 0..length - 1)
}

pub fn options(machine: &str, domain: &str) -> Options {
    Options {
        network: Network { host: format!("{machine}.meadow.example") },
        leaf: Leaf {
            server_name: machine.to_owned(),
            domain: domain.to_owned(),
            listen: at("127.0.0.1:4222"),
            monitor: at("127.0.0.1:8222"),
            store: "/var/lib/nats".to_owned(),
            max_payload: ByteSize::bytes(1 << 20),
            max_pending: ByteSize::bytes(64 << 20),
            max_connections: 1000,
            memory_max: ByteSize::bytes(64 << 20),
            disk_max: ByteSize::bytes(1 << 30),
            sync_interval: "always".to_owned(),
            link: Link::Tls,
            credentials: "/etc/leafwright/credentials/leaf.creds".to_owned(),
            ca: "/etc/leafwright/ca.pem".to_owned(),
            limit_nofile: 8192,
        },
        credentials: Credentials::default(),
        cluster: ClusterMember {
            listen: at("0.0.0.0:6222"),
            leafnodes: at("0.0.0.0:7422"),
            link: Link::Tls,
            certificate: "/etc/leafwright/server.pem".to_owned(),
            key: "/etc/leafwright/credentials/server.key".to_owned(),
        },
        event_store: EventStore {
            enable: false,
            max_bytes: ByteSize::bytes(64 << 20),
            commands_max_bytes: ByteSize::bytes(16 << 20),
            commands_max_age: Duration::secs(86_400),
        },
        history: History { max_bytes: ByteSize::bytes(16 << 20), read: false },
        streams: BTreeMap::new(),
        buckets: BTreeMap::new(),
        services: BTreeMap::new(),
        users: BTreeMap::new(),
        units: BTreeMap::new(),
        files: BTreeMap::new(),
        gates: BTreeMap::new(),
        packages: BTreeMap::new(),
    }
}

pub fn service(contract: &str, exec: &[&str]) -> Service {
    Service {
        contract: name!(contract),
        description: format!("the {contract} service"),
        exec: exec.iter().map(|word| (*word).to_owned()).collect(),
        instances: 1,
        foreground: true,
        environment: BTreeMap::new(),
        egress: vec![],
        listen: BTreeMap::new(),
        memory_max: Some(ByteSize::bytes(64 << 20)),
        cpu_quota: None,
        restart_delay: Duration::secs(1),
        unit: Unit::new(),
    }
}

fn machine(sources: &mut Sources, text: &str, part: Part, options: Options) -> Machine {
    let origin = span(sources, &format!("machines/{text}.toml"));
    Machine {
        name: name!(text),
        part,
        zone: name!("home"),
        hardware: Hardware {
            name: name!("small"),
            arch: "x86_64".to_owned(),
            cores: 2,
            memory: ByteSize::bytes(1 << 30),
            disk: ByteSize::bytes(16 << 30),
            requires: Default::default(),
        },
        person: name!("ada"),
        events: vec![],
        modules: vec![name!("leaf")],
        options,
        templates: Arc::default(),
        origins: Origins { fallback: Some(origin), ..Origins::default() },
        origin,
    }
}

fn message(
    sources: &mut Sources,
    text: &str,
    kind: MessageKind,
    ends: (&[&str], &[&str]),
    outcomes: &[&str],
) -> Message {
    Message {
        name: name!(text),
        kind,
        subject: name!(format!("{}.meadow.{text}", kind.token())),
        senders: ends.0.iter().map(|end| name!(*end)).collect(),
        receivers: ends.1.iter().map(|end| name!(*end)).collect(),
        outcomes: outcomes.iter().map(|outcome| name!(*outcome)).collect(),
        schema: None,
        example: None,
        doc: None,
        origin: span(sources, &format!("contracts/{text}.toml")),
    }
}

fn contract(sources: &mut Sources, text: &str, sends: &[&str], receives: &[&str]) -> (ServiceName, ServiceContract) {
    let contract = ServiceContract {
        name: name!(text),
        sends: sends.iter().map(|message| name!(*message)).collect(),
        receives: receives.iter().map(|message| name!(*message)).collect(),
        origin: span(sources, &format!("contracts/{text}.toml")),
    };
    (name!(text), contract)
}

fn event(set: &str, number: usize, origin: Span) -> SeedEvent {
    let headers = [
        ("ce-id", format!("{set}-{number}")),
        ("ce-specversion", "1.0".to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    SeedEvent {
        id: format!("{set}-{number}").into(),
        subject: name!("evt.meadow.todos.added"),
        headers: headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        payload: format!("{{\"title\":\"number {number}\"}}").into_bytes().into(),
        origin,
    }
}

fn event_set(sources: &mut Sources, text: &str, count: usize) -> (EventSetName, Arc<EventSet>) {
    let origin = span(sources, &format!("events/{text}.jsonl"));
    let events = (1..=count).map(|number| event(text, number, origin)).collect();
    (name!(text), Arc::new(EventSet { name: name!(text), events, origin }))
}

fn leaves(sources: &mut Sources) -> Vec<Machine> {
    let mut thermo = machine(sources, "thermo", Part::Leaf, options("thermo", "thermo"));
    thermo.options.event_store.enable = true;
    thermo
        .options
        .services
        .insert(name!("thermometer"), service("thermometer", &["/bin/true", "--every", "5 s"]).into());
    let mut web = machine(sources, "web", Part::Leaf, options("web", "web"));
    web.options.event_store.enable = true;
    let mut page = service("web", &["/bin/true"]);
    page.listen.insert("http".to_owned(), Listen { address: at("127.0.0.1:8080"), reason: "the page".to_owned() });
    web.options.services.insert(name!("web"), page.into());
    let mut office = machine(sources, "office", Part::Leaf, options("office", "office"));
    office.options.event_store.enable = true;
    office.options.credentials.encrypted = true;
    office.events = vec![name!("todos")];
    office.options.services.insert(name!("todos"), Service { instances: 2, ..service("todos", &["/bin/true"]) }.into());
    let gate = |exec: Option<&str>, query: Option<&str>, current: Option<&str>| Gate {
        exec: exec.map(|program| vec![program.to_owned()]),
        query: query.map(str::to_owned),
        current: current.map(|stream| name!(stream)),
        within: None,
    };
    office.options.gates.insert("events".into(), gate(None, None, Some("EVT-office")));
    office.options.gates.insert("list".into(), gate(None, Some("todos.list"), None));
    office.options.packages.insert("chrony".into(), BTreeMap::new());
    office.options.packages.insert("dnsutils".into(), [("debian".into(), "bind9-dnsutils".into())].into());
    office.options.gates.insert("probe".into(), gate(Some("/bin/true"), None, None));
    office.options.streams.insert(
        name!("LETTERS"),
        Stream {
            subjects: vec![name!("letters.>")],
            immutable: true,
            max_bytes: Some(ByteSize::bytes(1 << 20)),
            replicas: 1,
            allow_direct: true,
            keepers: vec![name!("web")],
            ..Stream::default()
        }
        .into(),
    );
    office.options.buckets.insert(name!("office-settings"), bucket(BucketKind::KeyValue).into());
    office.options.buckets.insert(name!("office-papers"), bucket(BucketKind::Object).into());
    let mut desk = machine(sources, "desk", Part::Leaf, options("desk", "desk"));
    desk.options.history.read = true;
    desk.options.users.insert("ada".to_owned(), User { person: name!("ada") });
    desk.options.files.insert(
        "/etc/motd".to_owned(),
        File {
            text: None,
            template: Some("motd.tera".to_owned()),
            values: BTreeMap::from([("day".to_owned(), "one".into())]),
            mode: "0644".to_owned(),
        }
        .into(),
    );
    desk.templates = Arc::new(BTreeMap::from([("motd.tera".into(), "{{ machine.name }}, day {{ day }}\n".into())]));
    vec![desk, office, thermo, web]
}

fn bucket(kind: BucketKind) -> Bucket {
    Bucket {
        kind,
        description: None,
        history: 5,
        max_age: None,
        max_bytes: Some(ByteSize::bytes(1 << 20)),
        storage: Storage::File,
        compression: Compression::None,
        replicas: 1,
        copies: None,
        keepers: vec![],
    }
}

fn cluster(sources: &mut Sources) -> Cluster {
    let origin = span(sources, "domain.toml");
    Cluster {
        name: name!("hub"),
        members: vec![name!("oak"), name!("ash"), name!("elm")],
        options: ClusterOptions {
            event_store: Aggregate {
                shards: 1,
                copies: 4,
                replicas: 3,
                keepers: vec![name!("office")],
                max_bytes: ByteSize::bytes(128 << 20),
            },
            commands: Commands {
                replicas: 3,
                max_bytes: ByteSize::bytes(32 << 20),
                max_age: Duration::secs(7 * 86_400),
                ack_wait: Duration::secs(30),
                max_deliver: 5,
            },
            history: Histories { max_bytes: ByteSize::bytes(64 << 20) },
            streams: BTreeMap::new(),
            buckets: BTreeMap::new(),
        },
        origins: Origins { fallback: Some(origin), ..Origins::default() },
        origin,
    }
}

fn messages(sources: &mut Sources) -> BTreeMap<MessageName, Message> {
    use MessageKind::{Command, Event, Query};
    let all = [
        message(sources, "todos.add", Command, (&["web"], &["todos"]), &["todos.added", "todos.add-refused"]),
        message(sources, "todos.list", Query, (&["web"], &["todos"]), &[]),
        message(sources, "todos.added", Event, (&["todos"], &["web", "todos"]), &[]),
        message(sources, "todos.add-refused", Event, (&["todos"], &["web"]), &[]),
        message(sources, "thermometer.measured", Event, (&["thermometer"], &["web"]), &[]),
    ];
    all.into_iter().map(|message| (message.name.clone(), message)).collect()
}

/// The whole domain.
pub fn meadow() -> Fixture {
    let mut sources = Sources::default();
    let cluster = cluster(&mut sources);
    let origin = cluster.origin;
    let mut machines = leaves(&mut sources);
    for member in ["ash", "elm", "oak"] {
        machines.push(machine(&mut sources, member, Part::Member, options(member, "hub")));
    }
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    let ada = Person { name: name!("ada"), nkey: None, roles: vec![name!("reader")], ssh: vec![], origin };
    let reader = Role {
        name: name!("reader"),
        publish: vec![Spanned::new(name!("qry.meadow.>"), origin)],
        subscribe: vec![Spanned::new(name!("evt.meadow.>"), origin)],
        origin,
    };
    let services = [
        contract(&mut sources, "thermometer", &["thermometer.measured"], &[]),
        contract(
            &mut sources,
            "todos",
            &["todos.added", "todos.add-refused"],
            &["todos.add", "todos.list", "todos.added"],
        ),
        contract(
            &mut sources,
            "web",
            &["todos.add", "todos.list"],
            &["todos.added", "todos.add-refused", "thermometer.measured"],
        ),
    ];
    let domain = Domain {
        name: name!("meadow"),
        dns: name!("meadow.example"),
        account: name!("MEADOW"),
        cluster: Some(cluster),
        machines: machines.into_iter().map(Arc::new).collect(),
        messages: messages(&mut sources),
        services: BTreeMap::from(services),
        people: BTreeMap::from([(name!("ada"), ada)]),
        roles: BTreeMap::from([(name!("reader"), reader)]),
        events: BTreeMap::from([event_set(&mut sources, "todos", 12), event_set(&mut sources, "people", 3)]),
        domain_events: vec![name!("people")],
        spaces: Spaces {
            commands: name!("cmd.meadow.>"),
            queries: name!("qry.meadow.>"),
            events: name!("evt.meadow.>"),
        },
        origin,
    };
    Fixture { domain, sources }
}

/// One machine that stands alone: the office with both sides of the to-do example.
pub fn alone() -> Fixture {
    let mut fixture = meadow();
    fixture.domain.cluster = None;
    fixture.domain.domain_events = vec![];
    fixture.domain.machines.retain(|machine| machine.name.as_str() == "office");
    edit(&mut fixture.domain, "office", |office| {
        office.options.streams.values_mut().for_each(|stream| stream.keepers = vec![]);
        office.options.services.insert(name!("web"), service("web", &["/bin/true"]).into());
    });
    fixture
}

/// A cluster of one member, with two leaves.
pub fn one_member() -> Fixture {
    let mut fixture = meadow();
    fixture.domain.machines.retain(|machine| ["oak", "office", "web"].contains(&machine.name.as_str()));
    let cluster = fixture.domain.cluster.as_mut().unwrap();
    cluster.members = vec![name!("oak")];
    cluster.options.event_store.replicas = 1;
    cluster.options.event_store.copies = 2;
    cluster.options.commands.replicas = 1;
    fixture
}

/// Changes one machine of a domain that nobody shares yet.
pub fn edit(domain: &mut Domain, machine: &str, change: impl FnOnce(&mut Machine)) {
    let found = domain.machines.iter_mut().find(|one| one.name.as_str() == machine).unwrap();
    change(Arc::get_mut(found).unwrap());
}

/// A key that follows from its purpose; nobody outside these tests trusts it.
fn key(kind: nkeys::KeyPairType, purpose: &str) -> NKeyPublic {
    use sha2::{Digest, Sha256};
    let pair = nkeys::KeyPair::new_from_raw(kind, Sha256::digest(purpose).into()).unwrap();
    NKeyPublic::parse(&pair.public_key()).unwrap()
}

/// Public keys for everyone, the same at each run; the JWTs are stand-ins that no server reads.
pub fn identity(domain: &Domain) -> PublicIdentity {
    use nkeys::KeyPairType::{Account, Operator, User};
    let signed = |kind, purpose: &str| Signed { key: key(kind, purpose), jwt: format!("jwt.of.{purpose}") };
    let users = leafwright::compile::permissions(domain).into_keys().map(|user| {
        let jwt = user.issuer().map(|_| format!("jwt.of.{user}"));
        let public = PublicUser { key: key(User, &user.to_string()), jwt };
        (user, public)
    });
    PublicIdentity {
        generation: 1,
        operator: signed(Operator, "operator"),
        system_account: signed(Account, "system"),
        account: signed(Account, "account"),
        users: users.collect(),
        ca: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        certificates: BTreeMap::new(),
        enrolled: Default::default(),
        revoked: BTreeMap::new(),
    }
}
