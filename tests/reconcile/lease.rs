//! The lease of a domain: one holder at a time, none for ever, and nothing changed by whoever lost it.

use crate::common::bench::Bench;
use crate::common::plans::stream;
use crate::common::server::{Cluster, Server};
use crate::objects;
use leafwright::apply::{self, Live};
use leafwright::compile::jetstream::StreamConfig;
use leafwright::host::World as _;
use leafwright::host::jetstream::JetStream;
use leafwright::host::lease::{Lease, Terms};
use leafwright::plan::streams::GENERATION;
use leafwright::plan::{self, Scope};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const TERMS: Terms = Terms { ttl: Duration::from_secs(3), replicas: 1 };

/// A lease, and who was waited for.
async fn take(jetstream: &JetStream, by: &str) -> anyhow::Result<(Lease, Vec<String>)> {
    let mut whom = Vec::new();
    let lease = Lease::take(jetstream, TERMS, by, 0, &mut |by| whom.push(by.to_owned())).await?;
    Ok((lease, whom))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_one_holder_at_a_time() {
    let server = Arc::new(Server::start("hub").await);
    let inside = Arc::new(AtomicU32::new(0));
    let applies: Vec<_> = (0..6)
        .map(|n| {
            let (server, inside) = (server.clone(), inside.clone());
            tokio::spawn(async move {
                let jetstream = server.jetstream().await;
                let (lease, _) = take(&jetstream, &format!("run {n}")).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                tokio::time::sleep(Duration::from_millis(30)).await;
                lease.holds().unwrap();
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                let generation = lease.generation();
                lease.release().await;
                generation
            })
        })
        .collect();
    let mut generations = Vec::new();
    for apply in applies {
        generations.push(apply.await.unwrap());
    }
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), 6, "each has a generation of its own: {generations:?}");
}

/// Longer than it lasts without renewal, and whoever wants it meanwhile is told whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_renewed_stays() {
    let server = Server::start("hub").await;
    let jetstream = server.jetstream().await;
    let (lease, _) = take(&jetstream, "ada on oak").await.unwrap();
    let refused = take(&jetstream, "bob on elm").await.err().expect("somebody has it");
    let said = refused.to_string();
    assert!(said.starts_with("ada on oak is applying this domain") && said.contains("lets go by itself"), "{said}");
    lease.holds().unwrap();
    lease.release().await;
    let began = Instant::now();
    let (_next, whom) = take(&jetstream, "bob on elm").await.unwrap();
    assert!(whom.is_empty() && began.elapsed() < TERMS.ttl, "nobody is waited for");
    assert!(jetstream.observe().await.unwrap().streams.is_empty(), "the lease is nothing that one could declare");
}

/// A run that is stopped (SIGSTOP, a machine asleep) and goes on: here a runtime that nobody drives.
#[test]
fn what_slept_too_long_changes_nothing() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (awake, asleep) = (runtime(), runtime());
    let server = awake.block_on(Server::start("hub"));
    let with = |max| objects(vec![StreamConfig { max_msg_size: max, ..stream("S", &["s.>"]) }]);
    let first = Bench::cluster(awake.block_on(server.jetstream()));
    awake.block_on(first.apply(&first.desired(with(1000))));

    let sleeper = Bench::cluster(asleep.block_on(server.jetstream()));
    let desired = sleeper.desired(with(2000));
    let plan = asleep.block_on(sleeper.plan(&desired));
    let (lease, _) = asleep.block_on(take(sleeper.jetstream(), "the sleeper")).unwrap();
    let older = lease.generation();

    let (newer, whom) = awake.block_on(take(first.jetstream(), "the next")).unwrap();
    assert_eq!(whom, ["the sleeper"]);
    assert!(newer.generation() > older);
    let newest = newer.generation();
    let mut journal = first.journal();
    let third = first.desired(with(3000));
    let mut live = Live { lease: Some(newer), ..live_of(&first, &third) };
    let change = awake.block_on(first.plan(&third));
    awake.block_on(apply::run(&change, &mut live, &mut journal, |_| ())).unwrap();
    let there = || awake.block_on(first.jetstream().stream("S")).unwrap().unwrap().config;
    assert_eq!(there().metadata[GENERATION], newest.to_string());
    assert!(awake.block_on(first.plan(&third)).is_empty(), "a generation is no difference");

    // Past its first look, in the middle of a plan.
    let [plan::Step { action: plan::Action::UpdateStream { to, .. }, .. }] = plan.steps.as_slice() else {
        panic!("{}", plan::render::human(&plan));
    };
    let mut live = Live { lease: Some(lease), ..live_of(&sleeper, &desired) };
    let lost = asleep.block_on(live.update_stream(&Scope::Cluster, to)).unwrap_err().to_string();
    assert!(lost.contains("the lease of the domain was lost"), "{lost}");
    assert_eq!(there().max_msg_size, 3000);
}

/// Where the clocks are wrong, the mark on the object decides.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_generation_changed_is_left_alone() {
    let server = Server::start("hub").await;
    let bench = Bench::cluster(server.jetstream().await);
    let with = |max| objects(vec![StreamConfig { max_msg_size: max, ..stream("S", &["s.>"]) }]);
    bench.apply(&bench.desired(with(1000))).await;
    let desired = bench.desired(with(2000));
    let plan = bench.plan(&desired).await;
    let [plan::Step { action: plan::Action::UpdateStream { to, .. }, .. }] = plan.steps.as_slice() else {
        panic!("{}", plan::render::human(&plan));
    };
    let (lease, _) = take(bench.jetstream(), "ada").await.unwrap();
    let mut newer = json!(bench.jetstream().stream("S").await.unwrap().unwrap().config);
    newer["metadata"][GENERATION] = json!((lease.generation() + 1).to_string());
    bench.raw("STREAM.UPDATE.S", &newer).await.unwrap();
    let mut live = Live { lease: Some(lease), ..live_of(&bench, &desired) };
    let error = live.update_stream(&Scope::Cluster, to).await.unwrap_err().to_string();
    assert!(error.contains("has changed it since"), "{error}");
    assert_eq!(bench.jetstream().stream("S").await.unwrap().unwrap().config.max_msg_size, 1000);
    live.lease.take().unwrap().release().await;

    // A mark that no run can have made is not one.
    let above = Lease::take(bench.jetstream(), TERMS, "eve", 0, &mut |_| ()).await.unwrap();
    let made_up = std::collections::BTreeMap::from([(GENERATION.to_owned(), u64::MAX.to_string())]);
    above.sign(Some(&made_up), &mut Default::default()).unwrap();
    above.release().await;
    // The next one is above everything that it saw.
    let next = Lease::take(bench.jetstream(), TERMS, "bob", 1000, &mut |_| ()).await.unwrap();
    assert_eq!(next.generation(), 1001);
}

/// A key that somebody removed, or took: from the next renewal on nothing more is done, however much time was left.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_to_be_lost_is_not_believed() {
    let server = Server::start("hub").await;
    let bench = Bench::cluster(server.jetstream().await);
    let terms = Terms { ttl: Duration::from_secs(6), replicas: 1 };
    let lease = Lease::take(bench.jetstream(), terms, "ada", 0, &mut |_| ()).await.unwrap();
    let began = Instant::now();
    bench.raw("STREAM.PURGE.KV_leafwright", &json!({})).await.unwrap();
    // What takes longer than the lease lasts ends with it.
    let ended = lease.watch().during(std::future::pending::<anyhow::Result<()>>()).await.unwrap_err().to_string();
    assert!(ended.contains("it is not ours any more"), "{ended}");
    assert!(began.elapsed() < terms.ttl, "{:?}", began.elapsed());
    assert!(lease.holds().is_err());
    lease.release().await;
}

/// A lease that was renewed by a request whose answer nobody waited for is let go all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_go_is_gone() {
    let server = Server::start("hub").await;
    let jetstream = server.jetstream().await;
    let (lease, _) = take(&jetstream, "ada").await.unwrap();
    let client = jetstream.client();
    let bucket = async_nats::jetstream::new(client.clone()).get_key_value("leafwright").await.unwrap();
    let same = bucket.get("domain").await.unwrap().unwrap();
    bucket.put("domain", same).await.unwrap();
    lease.release().await;
    assert!(bucket.get("domain").await.unwrap().is_none(), "it is still there");
}

/// A bucket that keeps its keys for ever would keep the lease of a run that died.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_made_by_hand_is_not_trusted() {
    let server = Server::start("hub").await;
    let bench = Bench::cluster(server.jetstream().await);
    let bucket = json!({ "name": "KV_leafwright", "subjects": ["$KV.leafwright.>"], "max_msgs_per_subject": 1, "storage": "file" });
    bench.raw("STREAM.CREATE.KV_leafwright", &bucket).await.unwrap();
    let refused = format!("{:#}", take(bench.jetstream(), "ada").await.err().expect("it is not ours"));
    assert!(refused.contains("for 0 s and not for 3 s") && refused.contains("nats kv rm leafwright"), "{refused}");
    bench.delete("KV_leafwright").await;
    let terms = json!({ "max_age": 3_000_000_000_u64, "storage": "memory" });
    let mut memory = bucket.as_object().unwrap().clone();
    memory.extend(terms.as_object().unwrap().clone());
    bench.raw("STREAM.CREATE.KV_leafwright", &memory.into()).await.unwrap();
    let refused = format!("{:#}", take(bench.jetstream(), "ada").await.err().expect("a restart would lose it"));
    assert!(refused.contains("is in memory and not in files"), "{refused}");
    bench.delete("KV_leafwright").await;
    take(bench.jetstream(), "ada").await.unwrap().0.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_outlives_a_member_of_its_cluster() {
    let mut cluster = Cluster::start("hub").await;
    let jetstream = cluster.jetstream().await;
    let terms = Terms { replicas: 3, ..TERMS };
    let lease = Lease::take(&jetstream, terms, "ada", 0, &mut |_| ()).await.unwrap();
    cluster.members[2].kill();
    tokio::time::sleep(TERMS.ttl * 2).await;
    // An election may take the time of one renewal, and the next holder is told.
    let first = lease.generation();
    lease.release().await;
    let next = Lease::take(&jetstream, terms, "bob", 0, &mut |_| ()).await.unwrap();
    assert!(next.generation() > first);
}

fn live_of<'a>(bench: &Bench, desired: &'a leafwright::compile::Desired) -> Live<'a, crate::common::bench::InPlace> {
    Live::new(desired, crate::common::bench::InPlace, bench.jetstreams.clone(), bench.journal().made())
}
