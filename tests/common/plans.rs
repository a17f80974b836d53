//! Small desired states, built by hand.

use leafwright::compile::desired::{Desired, DesiredServer, Objects, Seed, SeedTarget};
use leafwright::compile::jetstream::{
    ConsumerConfig, External, Placement, Republish, StreamConfig, StreamSource, SubjectTransform,
};
use leafwright::diag::{SourceId, Span};
use leafwright::name::{EventSetName, MachineName, StreamName, Subject};
use leafwright::plan::{ObservedStream, Scope};
use leafwright::resolve::{EventSet, SeedEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn machine(name: &str) -> Scope {
    Scope::Machine(MachineName::parse(name).unwrap())
}

/// A file stream with nothing but its subjects.
pub fn stream(name: &str, subjects: &[&str]) -> StreamConfig {
    serde_json::from_value(serde_json::json!({
        "name": name, "subjects": subjects, "retention": "limits", "discard": "old", "storage": "file",
    }))
    .unwrap()
}

pub fn consumer(name: &str) -> ConsumerConfig {
    serde_json::from_value(serde_json::json!({
        "durable_name": name, "deliver_policy": "all", "ack_policy": "explicit", "replay_policy": "instant",
    }))
    .unwrap()
}

pub fn observed(config: &StreamConfig) -> ObservedStream {
    ObservedStream { config: config.clone(), extra: BTreeMap::new(), messages: 0, last_sequence: 0 }
}

pub fn seeds(set: &str, stream: &str, prefix: &str, count: usize) -> Vec<Seed> {
    let origin = Span::new(SourceId(0), 0..0);
    let event = |n: usize| SeedEvent {
        id: format!("{set}-{n}").into(),
        subject: Subject::parse("evt.meadow.readings.taken").unwrap(),
        headers: BTreeMap::new(),
        payload: Box::from(n.to_string().as_bytes()),
        origin,
    };
    let set = EventSetName::parse(set).unwrap();
    let events = Arc::new(EventSet { name: set.clone(), events: (0..count).map(event).collect(), origin });
    let target = SeedTarget { stream: StreamName::parse(stream).unwrap(), prefix: prefix.into() };
    vec![Seed { set, target, events }]
}

/// A leaf is its own domain, a member has the cluster's.
fn server(name: &str, domain: &str, objects: Objects) -> DesiredServer {
    let loopback = ([127, 0, 0, 1], 0).into();
    DesiredServer {
        machine: MachineName::parse(name).unwrap(),
        closure_digest: format!("closure-{name}"),
        closure_files: BTreeMap::from([("etc/nats/nats-server.json".to_owned(), format!("config-{name}"))]),
        listen: loopback,
        monitor: loopback,
        domain: domain.into(),
        member: name != domain,
        objects,
        processes: vec![],
    }
}

pub fn leaf(name: &str, objects: Objects) -> DesiredServer {
    server(name, name, objects)
}

/// Leaves, and a cluster as (name, member, objects).
pub fn desired(leaves: Vec<DesiredServer>, cluster: Option<(&str, &str, Objects)>) -> Desired {
    let mut servers: BTreeMap<_, _> = leaves.into_iter().map(|server| (server.machine.clone(), server)).collect();
    let mut desired = Desired::default();
    if let Some((name, member, objects)) = cluster {
        let member = server(member, name, Objects::default());
        desired.cluster_members.push(member.machine.clone());
        servers.insert(member.machine.clone(), member);
        desired.cluster = Some(objects);
    }
    desired.servers = servers;
    desired
}

/// Every field away from what serde leaves out.
pub fn full_stream() -> StreamConfig {
    let source = StreamSource {
        name: "O".into(),
        opt_start_seq: 0,
        filter_subject: String::new(),
        subject_transforms: vec![],
        external: None,
    };
    StreamConfig {
        description: Some("d".into()),
        discard_new_per_subject: true,
        duplicate_window: 1,
        placement: Some(Placement { cluster: "c".into(), tags: vec![] }),
        mirror: Some(source.clone()),
        sources: vec![source],
        compression: "s2".into(),
        first_seq: 1,
        subject_transform: Some(SubjectTransform { src: "a".into(), dest: "b".into() }),
        republish: Some(Republish { src: "a".into(), dest: "b".into(), headers_only: false }),
        allow_msg_ttl: true,
        allow_msg_counter: true,
        allow_msg_schedules: true,
        allow_atomic: true,
        persist_mode: Some("async".into()),
        metadata: BTreeMap::from([("a".into(), "b".into())]),
        ..stream("S", &["s"])
    }
}

pub fn full_consumer() -> ConsumerConfig {
    ConsumerConfig {
        name: Some("c".into()),
        description: Some("d".into()),
        ack_wait: 1,
        backoff: vec![1],
        filter_subject: "a".into(),
        filter_subjects: vec!["a".into()],
        metadata: BTreeMap::from([("a".into(), "b".into())]),
        ..consumer("c")
    }
}

/// The domain of the tests: leaf `thermo` with a seed, cluster `hub` that aggregates it, a keeper on `office`.
pub fn meadow() -> Desired {
    let source = |name: &str, domain: Option<&str>| StreamSource {
        name: name.into(),
        opt_start_seq: 0,
        filter_subject: String::new(),
        subject_transforms: vec![],
        external: domain.map(|domain| External { api: format!("$JS.{domain}.API"), deliver: String::new() }),
    };
    let mut events = stream("EVT-thermo", &["evt.meadow.>"]);
    events.sources = vec![source("SEED-thermo-start", None)];
    let thermo = Objects {
        streams: vec![events, stream("SEED-thermo-start", &["seed.thermo.start.>"])],
        seeds: seeds("start", "SEED-thermo-start", "seed.thermo.start", 3),
        ..Objects::default()
    };
    let keeper = StreamConfig { mirror: Some(source("EVT", Some("hub"))), ..stream("KEEP-EVT", &[]) };
    let office = Objects { streams: vec![keeper], ..Objects::default() };
    let aggregate = StreamConfig { sources: vec![source("EVT-thermo", Some("thermo"))], ..stream("EVT", &[]) };
    let cluster = Objects {
        streams: vec![aggregate],
        consumers: vec![(StreamName::parse("EVT").unwrap(), consumer("web"))],
        ..Objects::default()
    };
    desired(vec![leaf("thermo", thermo), leaf("office", office)], Some(("hub", "oak", cluster)))
}
