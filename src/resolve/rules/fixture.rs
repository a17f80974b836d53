//! A small sound domain in memory, for the tests of single rules: the cluster hub of oak, ash and elm, and three leaves.

use crate::declare::MessageKind;
use crate::diag::{SourceId, Span};
use crate::name::*;
use crate::resolve::hardware::Requires;
use crate::resolve::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn at(start: usize) -> Span {
    Span::new(SourceId(0), start..start + 1)
}

pub fn stream(subject: &str) -> Stream {
    Stream { subjects: vec![SubjectPattern::parse(subject).unwrap()], replicas: 1, ..Stream::default() }
}

pub fn bucket() -> Bucket {
    Bucket {
        kind: BucketKind::KeyValue,
        description: None,
        history: 1,
        max_age: None,
        max_bytes: None,
        storage: Storage::File,
        compression: Compression::None,
        replicas: 1,
        copies: None,
        keepers: vec![],
    }
}

pub fn service(contract: &str) -> Service {
    Service {
        contract: ServiceName::parse(contract).unwrap(),
        description: "a service".into(),
        exec: vec!["/usr/bin/true".into()],
        instances: 1,
        foreground: false,
        environment: BTreeMap::new(),
        egress: vec![],
        listen: BTreeMap::new(),
        memory_max: None,
        cpu_quota: None,
        restart_delay: Duration::secs(1),
        unit: Unit::new(),
    }
}

fn options(name: &str, part: &Part) -> Options {
    let size = |gib: u64| ByteSize::bytes(gib << 30);
    Options {
        network: Network { host: format!("{name}.meadow.example") },
        leaf: Leaf {
            server_name: name.into(),
            domain: if *part == Part::Member { "hub".into() } else { name.into() },
            listen: "127.0.0.1:4222".parse().unwrap(),
            monitor: "127.0.0.1:8222".parse().unwrap(),
            store: "/var/lib/nats".into(),
            max_payload: ByteSize::bytes(1 << 20),
            max_pending: ByteSize::bytes(64 << 20),
            max_connections: 1000,
            memory_max: size(1),
            disk_max: size(50),
            sync_interval: "always".into(),
            link: Link::Tls,
            credentials: "/etc/leafwright/credentials/leaf.creds".into(),
            ca: "/etc/leafwright/ca.pem".into(),
            limit_nofile: 8192,
        },
        credentials: Credentials::default(),
        cluster: ClusterMember {
            listen: "0.0.0.0:6222".parse().unwrap(),
            leafnodes: "0.0.0.0:7422".parse().unwrap(),
            link: Link::Tls,
            certificate: "/etc/leafwright/server.pem".into(),
            key: "/etc/leafwright/server.key".into(),
        },
        event_store: EventStore {
            enable: *part == Part::Leaf,
            max_bytes: size(4),
            commands_max_bytes: ByteSize::bytes(256 << 20),
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

pub fn machine(name: &str, zone: &str, part: Part) -> Machine {
    let modules = if part == Part::Member { vec!["leaf", "cluster"] } else { vec!["leaf", "event-store"] };
    Machine {
        name: MachineName::parse(name).unwrap(),
        zone: ZoneName::parse(zone).unwrap(),
        hardware: Hardware {
            name: MachineName::parse("rack-server").unwrap(),
            arch: "x86_64".into(),
            cores: 4,
            memory: ByteSize::bytes(8 << 30),
            disk: ByteSize::bytes(200 << 30),
            requires: Requires::default(),
        },
        person: PersonName::parse("ada").unwrap(),
        events: vec![],
        modules: modules.into_iter().map(|module| ModuleName::parse(module).unwrap()).collect(),
        options: options(name, &part),
        templates: Arc::default(),
        origins: Origins::default(),
        origin: at(name.bytes().map(usize::from).sum()),
        part,
    }
}

fn cluster() -> Cluster {
    Cluster {
        name: MachineName::parse("hub").unwrap(),
        members: ["oak", "ash", "elm"].map(|name| MachineName::parse(name).unwrap()).to_vec(),
        options: ClusterOptions {
            event_store: Aggregate {
                shards: 1,
                copies: 4,
                replicas: 3,
                keepers: vec![MachineName::parse("office").unwrap()],
                max_bytes: ByteSize::bytes(16 << 30),
            },
            commands: Commands {
                replicas: 3,
                max_bytes: ByteSize::bytes(1 << 30),
                max_age: Duration::secs(7 * 86_400),
                ack_wait: Duration::secs(30),
                max_deliver: 5,
            },
            history: Histories { max_bytes: ByteSize::bytes(64 << 20) },
            streams: BTreeMap::new(),
            buckets: BTreeMap::new(),
        },
        origins: Origins {
            places: Arc::new([("event_store.copies", at(4))].into_iter().collect()),
            ..Origins::default()
        },
        origin: at(1),
    }
}

/// A domain that no rule finds fault with.
pub fn meadow() -> Domain {
    let subject = |text: &str| SubjectPattern::parse(text).unwrap();
    let mut machines = vec![
        machine("oak", "north", Part::Member),
        machine("ash", "east", Part::Member),
        machine("elm", "south", Part::Member),
        machine("thermo", "home", Part::Leaf),
        machine("web", "home", Part::Leaf),
        machine("office", "home", Part::Leaf),
    ];
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    let add = MessageName::parse("todos.add").unwrap();
    let [web, todos] = ["web", "todos"].map(|name| ServiceName::parse(name).unwrap());
    let contract = |name: &ServiceName, sends: &[&MessageName], receives: &[&MessageName]| ServiceContract {
        name: name.clone(),
        sends: sends.iter().map(|name| (*name).clone()).collect(),
        receives: receives.iter().map(|name| (*name).clone()).collect(),
        origin: at(2),
    };
    let services = [contract(&web, &[&add], &[]), contract(&todos, &[], &[&add])];
    let message = Message {
        name: add.clone(),
        kind: MessageKind::Command,
        subject: Subject::parse("cmd.meadow.todos.add").unwrap(),
        senders: vec![web],
        receivers: vec![todos],
        outcomes: vec![],
        schema: None,
        example: None,
        doc: None,
        origin: at(3),
    };
    Domain {
        name: DomainName::parse("meadow").unwrap(),
        dns: HostName::parse("meadow.example").unwrap(),
        account: AccountName::parse("MEADOW").unwrap(),
        cluster: Some(cluster()),
        machines: machines.into_iter().map(Arc::new).collect(),
        messages: BTreeMap::from([(add, message)]),
        services: services.into_iter().map(|contract| (contract.name.clone(), contract)).collect(),
        people: BTreeMap::new(),
        roles: BTreeMap::new(),
        events: BTreeMap::new(),
        domain_events: vec![],
        spaces: Spaces {
            commands: subject("cmd.meadow.>"),
            queries: subject("qry.meadow.>"),
            events: subject("evt.meadow.>"),
        },
        origin: at(0),
    }
}

/// Changes one machine of the domain.
pub fn on(domain: &mut Domain, name: &str, change: impl FnOnce(&mut Machine)) {
    let machine = domain.machines.iter_mut().find(|machine| machine.name.as_str() == name).unwrap();
    change(Arc::get_mut(machine).unwrap());
}

/// A named row of a rule's table: what is wrong with a `T`.
type Row<T> = (&'static str, fn(&T) -> bool);

/// The name of a row, and how to break it.
type Case<T> = (&'static str, fn(&mut T));

/// Holds a table to its cases: one for each row, which breaks that row and no other.
pub fn each_case_breaks_its_row_alone<T: Clone>(good: &T, rows: &[Row<T>], cases: &[Case<T>]) {
    let broken = |it: &T| rows.iter().filter(|(_, wrong)| wrong(it)).map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(broken(good), Vec::<&str>::new());
    let names = |(name, _): &(&'static str, _)| *name;
    assert_eq!(cases.iter().map(|(name, _)| *name).collect::<Vec<_>>(), rows.iter().map(names).collect::<Vec<_>>());
    for (name, change) in cases {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(broken(&bad), vec![*name]);
    }
}
