//! Seeding against real nats-servers: exactly once, in order, whatever is killed, repeated or run twice at once.
#![cfg(feature = "world")]

mod kill;
#[path = "../common/ports.rs"]
mod ports;
mod servers;

use leafwright::compile::Seed;
use leafwright::host::jetstream::JetStream;
use leafwright::seed::{self, Depth, SeedError, synthetic};
use leafwright::verify::twice;
use servers::{Servers, Sync, create, seed_stream};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

fn of(count: usize) -> Seed {
    synthetic::seed("SEED", synthetic::events(count))
}

fn servers(count: usize) -> Servers {
    Servers::start(count, Sync::Default)
}

async fn load(jetstream: &JetStream, seed: &Seed) -> Result<seed::Loaded, SeedError> {
    seed::load(jetstream, seed, |_| ()).await
}

/// What the stream holds is the set: count, order and content.
async fn complete(jetstream: &JetStream, seed: &Seed) {
    let stored = seed::check(jetstream.client(), jetstream.prefix(), seed, Depth::Full).await.expect("equal");
    assert_eq!(stored, seed.events.events.len() as u64);
}

#[tokio::test]
async fn a_set_is_loaded_once_and_then_never_again_and_grows_at_its_end() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 1)).await;
    let mut told = vec![];
    let loaded = seed::load(&jetstream, &of(2_500), |progress| told.push(progress.stored)).await.unwrap();
    assert_eq!((loaded.total, loaded.before, loaded.added, loaded.resyncs), (2_500, 0, 2_500, 0));
    assert_eq!(told, [0, 1_000, 2_000, 2_500]);
    let again = load(&jetstream, &of(2_500)).await.unwrap();
    assert_eq!((again.before, again.added), (2_500, 0));
    let grown = load(&jetstream, &of(2_501)).await.unwrap();
    assert_eq!((grown.before, grown.added), (2_500, 1));
    let through = load(&jetstream, &of(4_000)).await.unwrap();
    assert_eq!((through.before, through.added, through.resyncs), (2_501, 1_499, 0));
    complete(&jetstream, &of(4_000)).await;
    assert_eq!(
        load(&jetstream, &of(0)).await.unwrap_err().to_string(),
        "stream `SEED` holds 4000 events and the set has 0; an event set only grows"
    );
}

#[tokio::test]
async fn a_set_that_changed_is_refused_at_the_first_line_that_differs() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 1)).await;
    load(&jetstream, &of(1_500)).await.unwrap();
    let mut events = synthetic::events(3_000);
    events[700].payload = Box::from(*b"{}");
    events[900].payload = Box::from(*b"{}");
    let changed = synthetic::seed("SEED", events);
    for _ in 0..2 {
        let SeedError::Differs { difference, .. } = load(&jetstream, &changed).await.unwrap_err() else {
            panic!("it differs")
        };
        assert_eq!((difference.number, &*difference.what), (701, "the payload"));
    }
    complete(&jetstream, &of(1_500)).await;
}

#[tokio::test]
async fn a_line_that_was_taken_out_is_told_apart_from_a_missing_end() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 1)).await;
    load(&jetstream, &of(20)).await.unwrap();
    let mut events = synthetic::events(20);
    events.remove(2);
    let without = load(&jetstream, &synthetic::seed("SEED", events)).await.unwrap_err();
    let SeedError::Differs { difference, .. } = without else { panic!("{without}") };
    assert_eq!(difference.number, 3);
    assert!(matches!(load(&jetstream, &of(19)).await.unwrap_err(), SeedError::Longer { stored: 20, .. }));
}

#[tokio::test]
async fn what_someone_else_wrote_there_is_found() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 1)).await;
    load(&jetstream, &of(10)).await.unwrap();
    // Its acknowledgement is waited for: the seeder comes by another connection.
    jetstream.client().request("seed.x.s.evt.meadow.todos.added", "intruder".into()).await.unwrap();
    let SeedError::Differs { difference, .. } = load(&jetstream, &of(20)).await.unwrap_err() else {
        panic!("it differs")
    };
    assert_eq!(difference.number, 11);
}

#[tokio::test]
async fn a_stream_that_cannot_hold_the_guarantee_is_refused() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    let none = load(&jetstream, &of(10)).await.unwrap_err();
    assert_eq!(none, SeedError::NoStream { stream: "SEED".into() });
    let mut config = seed_stream("SEED", 1);
    config["allow_atomic"] = false.into();
    create(&jetstream, config).await;
    assert!(matches!(load(&jetstream, &of(10)).await.unwrap_err(), SeedError::Unfit { .. }));
}

#[tokio::test]
async fn a_full_stream_refuses_and_keeps_whole_batches() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    let mut config = seed_stream("SEED", 1);
    config["max_bytes"] = 1_000_000.into();
    create(&jetstream, config).await;
    let full = load(&jetstream, &of(5_000)).await.unwrap_err();
    assert!(matches!(full, SeedError::Refused { .. }), "{full}");
    let stored = seed::check(jetstream.client(), jetstream.prefix(), &of(5_000), Depth::Full).await.unwrap();
    assert_eq!(stored % 1_000, 0);
}

#[tokio::test]
async fn two_seeders_at_once_store_one_set() {
    for servers in [servers(1), servers(3)] {
        let (one, two) = (servers.jetstream().await, servers.jetstream().await);
        create(&one, seed_stream("SEED", servers.members.len())).await;
        let seed = of(20_000);
        let (first, second) = tokio::join!(load(&one, &seed), load(&two, &seed));
        first.unwrap();
        second.unwrap();
        complete(&one, &seed).await;
    }
}

/// Loads in the background; tells how far it is.
fn loading(jetstream: &JetStream, seed: &Arc<Seed>) -> (JoinHandle<seed::Loaded>, UnboundedReceiver<u64>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let (jetstream, seed) = (jetstream.clone(), seed.clone());
    let progress = move |progress: seed::Progress| {
        let _ = tell.send(progress.stored);
    };
    (tokio::spawn(async move { seed::load(&jetstream, &seed, progress).await.unwrap() }), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_its_leader_is_loaded_once() {
    let mut servers = servers(3);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 3)).await;
    let seed = Arc::new(of(30_000));
    let (load, mut told) = loading(&jetstream, &seed);
    while told.recv().await.is_some_and(|stored| stored < 5_000) {}
    let leader = leader(&jetstream).await;
    servers.members[leader].kill();
    assert_eq!(load.await.unwrap().total, 30_000);
    servers.members[leader].start();
    complete(&jetstream, &seed).await;
}

/// The number of the member that leads the stream.
async fn leader(jetstream: &JetStream) -> usize {
    let reply = jetstream.client().request("$JS.API.STREAM.INFO.SEED", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).unwrap();
    info["cluster"]["leader"].as_str().unwrap()[1..].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_is_loaded_once() {
    let mut servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, seed_stream("SEED", 1)).await;
    let seed = Arc::new(of(30_000));
    let (load, mut told) = loading(&jetstream, &seed);
    for at in [5_000, 15_000] {
        while told.recv().await.is_some_and(|stored| stored < at) {}
        servers.members[0].kill();
        servers.members[0].start();
    }
    assert_eq!(load.await.unwrap().total, 30_000);
    complete(&jetstream, &seed).await;
}

/// An event that is there a second time is named; `verify` says so of an aggregate that has more than its origins.
#[tokio::test]
async fn an_event_that_is_there_twice_is_named() {
    let servers = servers(1);
    let jetstream = servers.jetstream().await;
    create(&jetstream, serde_json::json!({ "name": "T", "subjects": ["t"] })).await;
    // More than are read at once.
    let count = 10_500;
    let publish = async |n: usize| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("ce-source", "/meadow/bench");
        headers.insert("ce-id", format!("e-{n}"));
        jetstream.client().publish_with_headers("t", headers, "".into()).await.unwrap();
    };
    for n in 1..=count {
        publish(n).await;
    }
    let stored = async || jetstream.stream("T").await.unwrap().unwrap().messages;
    let look = async || {
        jetstream.client().flush().await.unwrap();
        twice::look(jetstream.client(), "T", stored().await).await.unwrap()
    };
    assert_eq!(look().await, None);
    for n in [count, 7] {
        publish(n).await;
    }
    let end = std::time::Instant::now() + servers::DEADLINE;
    while stored().await < count as u64 + 2 {
        assert!(std::time::Instant::now() < end, "they do not arrive");
    }
    assert_eq!(look().await, Some(twice::Twice { count: 2, first: format!("e-{count} of /meadow/bench") }));
}
