//! The whole way: plan, apply, plan again; seeds, pages, clusters, and what was done by hand.

use super::{MESSAGES, consume_one, immutable, place, source, transform, with_consumer};
use crate::common::bench::Bench;
use crate::common::plans::{consumer, seeds, stream};
use crate::common::server::{Cluster, Server};
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::{ConsumerConfig, External, Placement, StreamConfig, StreamSource};
use leafwright::host::jetstream::ApiError;
use leafwright::name::StreamName;
use leafwright::plan::{self, Because, Class};
use serde_json::{Value, json};

/// Every configuration that may come out of compiling is, once created, no difference any more.
#[tokio::test]
async fn what_is_created_is_what_was_declared() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let bucket = |name: &str, subjects: &[&str]| StreamConfig {
        discard: "new".into(),
        allow_rollup_hdrs: true,
        allow_direct: true,
        ..stream(name, subjects)
    };
    let streams = vec![
        stream("PLAIN", &["plain.>"]),
        StreamConfig { deny_delete: true, max_msgs_per_subject: 5, ..bucket("KV_notes", &["$KV.notes.>"]) },
        StreamConfig { max_age: 1_000_000_000, ..bucket("OBJ_files", &["$O.files.C.>", "$O.files.M.>"]) },
        StreamConfig { first_seq: 100, allow_msg_counter: true, ..stream("FIRST", &["first.>"]) },
        StreamConfig { allow_msg_schedules: true, allow_rollup_hdrs: true, ..stream("LATER", &["later.>"]) },
        StreamConfig { storage: "memory".into(), retention: "workqueue".into(), ..stream("WORK", &["work.>"]) },
        StreamConfig { persist_mode: Some("async".into()), compression: "s2".into(), ..stream("FAST", &["fast.>"]) },
        StreamConfig {
            mirror: Some(source("KV_notes")),
            deny_delete: true,
            deny_purge: true,
            ..stream("KEEP-KV", &[])
        },
        StreamConfig {
            mirror: Some(StreamSource {
                external: Some(External { api: "$JS.hub.API".into(), deliver: String::new() }),
                ..source("EVT")
            }),
            ..stream("KEEP-EVT", &[])
        },
        StreamConfig { sources: vec![source("PLAIN"), source("FIRST")], ..stream("ALL", &[]) },
        stream("DLQ", &["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.CMD.>"]),
    ];
    let consumers = vec![
        (StreamName::parse("PLAIN").unwrap(), consumer("all")),
        (
            StreamName::parse("PLAIN").unwrap(),
            ConsumerConfig {
                filter_subjects: vec!["plain.b".into(), "plain.a".into()],
                max_deliver: 5,
                backoff: vec![1_000_000_000, 2_000_000_000],
                ..consumer("some")
            },
        ),
        (
            StreamName::parse("WORK").unwrap(),
            ConsumerConfig {
                ack_wait: 5_000_000_000,
                max_ack_pending: 0,
                filter_subject: "work.a".into(),
                ..consumer("one")
            },
        ),
    ];
    let plan = bench.apply(&bench.desired(Objects { streams, consumers, ..Objects::default() })).await;
    assert_eq!(plan.steps.len(), 14);
}

#[tokio::test]
async fn events_are_loaded_once_and_grow() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let with = |count| {
        let mut seed = stream("SEED-one-start", &["seed.one.start.>"]);
        (seed.allow_atomic, seed.allow_direct) = (true, true);
        immutable(&mut seed);
        let mut events = stream("EVT-one", &["evt.meadow.>"]);
        events.sources = vec![StreamSource {
            subject_transforms: vec![transform("seed.one.start.>", ">")],
            ..source("SEED-one-start")
        }];
        let seeds = seeds("start", "SEED-one-start", "seed.one.start", count);
        bench.desired(Objects { streams: vec![events, seed], seeds, ..Objects::default() })
    };
    let plan = bench.apply(&with(3)).await;
    assert_eq!(plan.steps.len(), 3);
    assert_eq!(bench.until("EVT-one", |count| count == 3).await, 3);
    let plan = bench.apply(&with(5)).await;
    assert_eq!(plan.steps.iter().map(|step| &step.because).collect::<Vec<_>>(), [&Because::Grew { by: 2 }]);
    assert_eq!(bench.until("EVT-one", |count| count == 5).await, 5);
    assert_eq!(bench.plan(&with(4)).await.refused().count(), 1, "a set that shrank");
    bench.delete("SEED-one-start").await;
    assert_eq!(bench.plan(&with(5)).await.refused().count(), 1, "a seed stream that is gone behind its event store");
}

/// Why a lost seed stream is refused: made anew, it is read from its start.
#[tokio::test]
async fn a_recreated_origin_is_stored_twice() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let all = StreamConfig { sources: vec![source("ORIGIN")], ..stream("ALL", &[]) };
    let desired = bench.desired(Objects { streams: vec![stream("ORIGIN", &["o.>"]), all], ..Objects::default() });
    bench.apply(&desired).await;
    bench.publish("o.x", MESSAGES as usize).await;
    assert_eq!(bench.until("ALL", |count| count == MESSAGES).await, MESSAGES);
    bench.delete("ORIGIN").await;
    bench.apply(&desired).await;
    bench.publish("o.x", MESSAGES as usize).await;
    assert_eq!(bench.until("ALL", |count| count == 2 * MESSAGES).await, 2 * MESSAGES);
}

#[tokio::test]
async fn a_domain_that_nobody_serves_is_unreachable() {
    let server = Server::start("one").await;
    let nowhere = server.jetstream_of(Some("nowhere")).await;
    let error = nowhere.request::<Value>("STREAM.NAMES", &Value::Null).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
    let here = server.jetstream_of(Some("one")).await;
    assert!(here.observe().await.unwrap().streams.is_empty());
    let varz = leafwright::host::monitor::varz(server.monitor).await.unwrap();
    assert_eq!(varz.server_name, "one");
    assert!(varz.config_digest.starts_with("sha256:"));
    leafwright::host::monitor::require_version(&varz.server_name, &varz.version).unwrap();
}

/// More streams than one page of a list holds (256).
#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let streams =
        (0..300).map(|n| StreamConfig { storage: "memory".into(), ..stream(&format!("S{n}"), &[&format!("s{n}")]) });
    let consumers = (0..300).map(|n| (StreamName::parse("S0").unwrap(), consumer(&format!("c{n}"))));
    let desired =
        bench.desired(Objects { streams: streams.collect(), consumers: consumers.collect(), ..Objects::default() });
    assert_eq!(bench.apply(&desired).await.steps.len(), 600);
}

#[tokio::test]
async fn a_cluster_is_scaled_repaired_and_put_back() {
    let cluster = Cluster::start("hub").await;
    let bench = Bench::cluster(cluster.jetstream().await);
    let objects = |replicas, cluster: &str| {
        let placement = Some(Placement { cluster: cluster.into(), tags: vec![] });
        let mut objects = with_consumer(consumer("c"));
        objects.streams[0] = StreamConfig { num_replicas: replicas, placement, ..objects.streams[0].clone() };
        bench.desired(objects)
    };
    bench.apply(&objects(1, "")).await;
    bench.publish("s.x", MESSAGES as usize).await;
    consume_one(&bench).await;
    for (replicas, placed, what) in [(3, "", "num_replicas"), (3, "hub", "placement"), (1, "hub", "num_replicas")] {
        let plan = bench.apply(&objects(replicas, placed)).await;
        let [step] = plan.steps.as_slice() else { panic!("{}", plan::render::human(&plan)) };
        let Because::Changed { changes } = &step.because else { panic!("{step:?}") };
        assert_eq!((changes[0].field.as_str(), changes[0].class), (what, Class::MovesData));
        assert_eq!(bench.until("S", |count| count == MESSAGES).await, MESSAGES);
        assert_eq!(place(&bench).await, json!([1, 1]));
    }
    // Edited by hand, then deleted by hand.
    let mut by_hand = json!(bench.jetstream().stream("S").await.unwrap().unwrap().config);
    by_hand["max_msg_size"] = json!(100);
    bench.raw("STREAM.UPDATE.S", &by_hand).await.unwrap();
    let plan = bench.apply(&objects(1, "hub")).await;
    assert!(matches!(plan.steps[0].because, Because::Drifted { .. }), "{plan:?}");
    bench.delete("S").await;
    let plan = bench.apply(&objects(1, "hub")).await;
    assert_eq!(plan.steps.iter().map(|step| &step.because).collect::<Vec<_>>(), [&Because::Missing, &Because::Missing]);
}
