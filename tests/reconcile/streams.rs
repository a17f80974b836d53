//! The rows of streams: what they say, and what nats-server does.

use super::{MESSAGES, immutable, objects, source, transform};
use crate::common::bench::Bench;
use crate::common::plans::stream;
use crate::common::server::Server;
use leafwright::compile::jetstream::{Placement, Republish, StreamConfig};
use leafwright::host::jetstream::codes;
use leafwright::plan::{self, Action, Because, Class, rules};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What nats-server makes of an update that is sent to it as it is.
enum Proof {
    /// Accepted; as many messages as before; the second plan is empty.
    Kept,
    /// Accepted, and in the end there are so many messages.
    Becomes(u64),
    /// Accepted, and messages are lost at once.
    Loses,
    /// Accepted, and messages are lost when this happens.
    LosesBy(Attack),
    /// Accepted, and messages are stored twice.
    Doubles,
    Refused(u64),
    /// Accepted, and something else than declared comes of it.
    Otherwise,
    /// No difference is seen, so nothing is sent.
    NoStep,
}

enum Attack {
    /// A publisher's message with a time to live.
    Ttl,
    /// More messages than fit: the oldest go.
    Overflow,
    /// More messages than fit: the new ones are refused.
    Full,
}

type Edit = fn(&mut StreamConfig);
/// Field, its class, the stream before, the edit, and what nats-server makes of it.
type Case = (&'static str, Class, Edit, Edit, Proof);

fn same(_: &mut StreamConfig) {}

fn source_o(config: &mut StreamConfig) {
    (config.subjects, config.sources) = (vec![], vec![source("ORIGIN")]);
}

fn mirror_o(config: &mut StreamConfig) {
    (config.subjects, config.mirror) = (vec![], Some(source("ORIGIN")));
}

/// The rows of the stream table. The stream is called `S` and captures `s.>`; `ORIGIN` and `ORIGIN2` hold ten messages each.
fn cases() -> Vec<Case> {
    [limits(), origins(), places(), flags()].into_iter().flatten().collect()
}

/// What is kept, and for how long.
fn limits() -> Vec<Case> {
    use Class::{DestroysData, Impossible, Safe};
    use Proof::{Kept, Loses, LosesBy, Refused};
    let update = codes::STREAM_UPDATE;
    vec![
        ("retention", DestroysData, same, |c| c.retention = "interest".into(), Loses),
        ("retention", Impossible, same, |c| c.retention = "workqueue".into(), Refused(update)),
        (
            "retention",
            Impossible,
            |c| c.retention = "workqueue".into(),
            |c| c.retention = "limits".into(),
            Refused(update),
        ),
        ("max_consumers", Safe, same, |c| c.max_consumers = 1, Kept),
        ("max_msgs", DestroysData, same, |c| c.max_msgs = 2, Loses),
        ("max_msgs", Safe, |c| c.max_msgs = 20, |c| c.max_msgs = 30, Kept),
        ("max_msgs", Safe, |c| c.max_msgs = 20, |c| c.max_msgs = 0, Kept),
        ("max_bytes", DestroysData, same, |c| c.max_bytes = 200, Loses),
        ("max_bytes", Safe, immutable, |c| c.max_bytes = 20_000, Kept),
        ("max_bytes", DestroysData, immutable, |c| c.max_bytes = 200, LosesBy(Attack::Full)),
        ("max_bytes", Safe, |c| c.discard = "new".into(), |c| c.max_bytes = 200, Kept),
        ("max_msgs", Safe, |c| c.discard = "new".into(), |c| c.max_msgs = 2, Kept),
        (
            "max_msgs",
            DestroysData,
            |c| c.discard = "new".into(),
            |c| (c.max_msgs, c.discard) = (2, "old".into()),
            Loses,
        ),
        ("max_age", DestroysData, immutable, |c| (c.max_age, c.duplicate_window) = (100_000_000, 100_000_000), Loses),
        ("max_msgs_per_subject", DestroysData, |c| c.discard = "new".into(), |c| c.max_msgs_per_subject = 3, Loses),
        ("max_age", DestroysData, same, |c| (c.max_age, c.duplicate_window) = (100_000_000, 100_000_000), Loses),
        ("max_age", Safe, |c| c.max_age = 3_600_000_000_000, |c| c.max_age = 0, Kept),
        ("max_msgs_per_subject", DestroysData, same, |c| c.max_msgs_per_subject = 3, Loses),
        ("max_msgs_per_subject", Safe, |c| c.max_msgs_per_subject = 50, |c| c.max_msgs_per_subject = -1, Kept),
        ("max_msg_size", Safe, same, |c| c.max_msg_size = 1, Kept),
        ("discard", Safe, same, |c| c.discard = "new".into(), Kept),
        ("discard", DestroysData, immutable, |c| c.discard = "old".into(), LosesBy(Attack::Overflow)),
        (
            "discard_new_per_subject",
            Safe,
            |c| (c.discard, c.max_msgs_per_subject) = ("new".into(), 50),
            |c| c.discard_new_per_subject = true,
            Kept,
        ),
        ("duplicate_window", Safe, same, |c| c.duplicate_window = 1_000_000_000, Kept),
    ]
}

/// Where messages come from and where they go.
fn origins() -> Vec<Case> {
    use Class::{DoublesData, Impossible, Safe};
    use Proof::{Becomes, Doubles, Kept, NoStep, Otherwise, Refused};
    vec![
        ("subjects", Safe, same, |c| c.subjects = vec!["t.>".into()], Kept),
        (
            "subjects",
            Safe,
            |c| c.subjects = vec!["t".into(), "s.>".into()],
            |c| c.subjects = vec!["s.>".into(), "t".into()],
            NoStep,
        ),
        ("subjects", Impossible, same, |c| c.subjects = vec![], Otherwise),
        ("mirror", Impossible, same, mirror_o, Refused(codes::STREAM_MIRROR_UPDATE)),
        ("mirror", Impossible, mirror_o, |c| c.mirror = Some(source("ORIGIN2")), Refused(codes::STREAM_MIRROR_UPDATE)),
        ("mirror", Safe, mirror_o, |c| (c.mirror, c.subjects) = (None, vec!["s.>".into()]), Kept),
        ("sources", Safe, same, |c| c.sources.push(source("ORIGIN")), Becomes(2 * MESSAGES)),
        ("sources", Safe, source_o, |c| (c.sources, c.subjects) = (vec![], vec!["s.>".into()]), Kept),
        ("sources", Safe, source_o, |c| c.sources.push(source("ORIGIN2")), Becomes(2 * MESSAGES)),
        ("sources", DoublesData, source_o, |c| c.sources[0].filter_subject = "o.x".into(), Doubles),
        (
            "sources",
            DoublesData,
            source_o,
            |c| c.sources[0].subject_transforms = vec![transform("o.>", "p.>")],
            Doubles,
        ),
        ("first_seq", Safe, same, |c| c.first_seq = 100, NoStep),
        ("subject_transform", Safe, same, |c| c.subject_transform = Some(transform("s.>", "t.>")), Kept),
        (
            "republish",
            Safe,
            same,
            |c| c.republish = Some(Republish { src: ">".into(), dest: "again.>".into(), headers_only: false }),
            Kept,
        ),
        ("mirror_direct", Safe, mirror_o, |c| c.mirror_direct = true, NoStep),
    ]
}

/// How and where they are stored.
fn places() -> Vec<Case> {
    use Class::{Impossible, MovesData, Safe};
    use Proof::{Kept, NoStep, Refused};
    let update = codes::STREAM_UPDATE;
    vec![
        ("description", Safe, same, |c| c.description = Some("ten messages".into()), Kept),
        ("storage", Impossible, same, |c| c.storage = "memory".into(), Refused(update)),
        ("num_replicas", MovesData, same, |c| c.num_replicas = 3, Refused(codes::REPLICAS_WITHOUT_CLUSTER)),
        (
            "placement",
            MovesData,
            same,
            |c| c.placement = Some(Placement { cluster: "elsewhere".into(), tags: vec![] }),
            Kept,
        ),
        ("compression", Safe, same, |c| c.compression = "s2".into(), Kept),
        ("compression", Safe, |c| c.compression = "s2".into(), |c| c.compression = "none".into(), Kept),
        ("persist_mode", Impossible, same, |c| c.persist_mode = Some("async".into()), Refused(update)),
        ("persist_mode", Safe, same, |c| c.persist_mode = Some("default".into()), NoStep),
        ("metadata", Safe, same, |c| drop(c.metadata.insert("a".into(), "b".into())), Kept),
        ("metadata", Safe, |c| drop(c.metadata.insert("a".into(), "b".into())), |c| c.metadata.clear(), Kept),
    ]
}

/// What may be done to them.
fn flags() -> Vec<Case> {
    use Class::{DestroysData, Impossible, Safe};
    use Proof::{Kept, LosesBy, NoStep, Refused};
    let update = codes::STREAM_UPDATE;
    vec![
        ("sealed", Safe, same, |c| c.sealed = true, Kept),
        ("sealed", Impossible, same, |c| c.sealed = false, NoStep),
        ("deny_delete", Safe, same, |c| c.deny_delete = true, Kept),
        ("deny_delete", Impossible, |c| c.deny_delete = true, |c| c.deny_delete = false, Refused(update)),
        ("deny_purge", Safe, same, |c| c.deny_purge = true, Kept),
        ("deny_purge", Impossible, |c| c.deny_purge = true, |c| c.deny_purge = false, Refused(update)),
        ("allow_rollup_hdrs", Safe, same, |c| c.allow_rollup_hdrs = true, Kept),
        ("allow_rollup_hdrs", Safe, |c| c.allow_rollup_hdrs = true, |c| c.allow_rollup_hdrs = false, Kept),
        ("allow_rollup_hdrs", Impossible, immutable, |c| c.allow_rollup_hdrs = true, Refused(update)),
        ("allow_direct", Safe, same, |c| c.allow_direct = true, Kept),
        ("allow_msg_ttl", Safe, same, |c| c.allow_msg_ttl = true, Kept),
        ("allow_msg_ttl", Impossible, |c| c.allow_msg_ttl = true, |c| c.allow_msg_ttl = false, Refused(update)),
        ("allow_msg_ttl", DestroysData, immutable, |c| c.allow_msg_ttl = true, LosesBy(Attack::Ttl)),
        ("allow_msg_counter", Impossible, same, |c| c.allow_msg_counter = true, Refused(update)),
        ("allow_msg_schedules", Safe, |c| c.allow_rollup_hdrs = true, |c| c.allow_msg_schedules = true, Kept),
        (
            "allow_msg_schedules",
            Impossible,
            |c| (c.allow_msg_schedules, c.allow_rollup_hdrs) = (true, true),
            |c| c.allow_msg_schedules = false,
            Refused(update),
        ),
        ("allow_atomic", Safe, same, |c| c.allow_atomic = true, Kept),
        ("allow_atomic", Safe, |c| c.allow_atomic = true, |c| c.allow_atomic = false, Kept),
    ]
}

#[tokio::test]
async fn every_row_of_the_stream_table_is_true() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    for (origin, subject) in [("ORIGIN", "o"), ("ORIGIN2", "oo")] {
        bench.apply(&bench.desired(objects(vec![stream(origin, &[&format!("{subject}.>")])]))).await;
        bench.publish(&format!("{subject}.x"), MESSAGES as usize).await;
    }
    let cases = cases();
    let covered: BTreeSet<_> = cases.iter().map(|case| case.0).collect();
    let rows: BTreeSet<_> = rules::STREAM.iter().map(|row| row.field).collect();
    assert_eq!(covered, rows, "each row has a case");
    for (number, (field, class, before_edit, edit, proof)) in cases.iter().enumerate() {
        let mut before = stream("S", &["s.>"]);
        before_edit(&mut before);
        let mut after = before.clone();
        edit(&mut after);
        eprintln!("case {number}: {} is {:?}", field, class);
        bench.apply(&bench.desired(objects(vec![before.clone()]))).await;
        if before.sources.is_empty() && before.mirror.is_none() {
            bench.publish("s.x", MESSAGES as usize).await;
        }
        assert_eq!(bench.until("S", |count| count == MESSAGES).await, MESSAGES);
        prove(&bench, (field, *class), proof, &after).await;
        bench.delete("S").await;
    }
}

async fn prove(bench: &Bench, (field, class): (&str, Class), proof: &Proof, after: &StreamConfig) {
    let desired = bench.desired(objects(vec![after.clone()]));
    let plan = bench.plan(&desired).await;
    if matches!(proof, Proof::NoStep) {
        assert!(plan.is_empty(), "{}", plan::render::human(&plan));
        return;
    }
    let [step] = plan.steps.as_slice() else { panic!("{}", plan::render::human(&plan)) };
    let (Because::Changed { changes } | Because::Drifted { changes }) = &step.because else { panic!("{step:?}") };
    let worst = changes.iter().map(|change| change.class).max().unwrap();
    assert_eq!(worst, class, "{}", plan::render::human(&plan));
    assert!(changes.iter().any(|change| change.field == field), "{}", plan::render::human(&plan));
    assert_eq!(matches!(step.action, Action::Refuse { .. }), class.is_refused());
    // What a plan would never send is sent here by hand.
    let mut raw = json!(after);
    raw["pedantic"] = json!(true);
    let send = async || bench.raw("STREAM.UPDATE.S", &raw).await;
    match proof {
        Proof::Kept => {
            bench.apply(&desired).await;
            assert_eq!(bench.messages("S").await, MESSAGES);
        }
        Proof::Becomes(count) => {
            bench.apply(&desired).await;
            assert_eq!(bench.until("S", |seen| seen >= *count).await, *count);
        }
        Proof::Refused(code) => {
            let error = send().await.expect_err("nats-server refuses it");
            assert_eq!(error.err_code(), Some(*code), "{error}");
            assert_eq!(bench.messages("S").await, MESSAGES);
        }
        Proof::Loses => {
            send().await.unwrap();
            assert!(bench.until("S", |count| count < MESSAGES).await < MESSAGES);
        }
        Proof::LosesBy(attack) => {
            send().await.unwrap();
            assert_eq!(bench.messages("S").await, MESSAGES);
            lose(bench, attack).await;
        }
        Proof::Doubles => {
            send().await.unwrap();
            assert!(bench.until("S", |count| count > MESSAGES).await > MESSAGES);
        }
        Proof::Otherwise => {
            send().await.unwrap();
            let there = bench.jetstream().stream("S").await.unwrap().unwrap().config;
            assert_eq!(there.subjects, ["S"]);
        }
        Proof::NoStep => unreachable!("returned above"),
    }
}

async fn lose(bench: &Bench, attack: &Attack) {
    let client = bench.jetstream().client();
    match attack {
        Attack::Ttl => {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-TTL", "1s");
            client.request_with_headers("s.x", headers, "gone soon".into()).await.unwrap();
            assert_eq!(bench.messages("S").await, MESSAGES + 1);
            assert_eq!(bench.until("S", |count| count == MESSAGES).await, MESSAGES, "it is gone");
        }
        Attack::Full => {
            let ack = client.request("s.x", "no place".into()).await.unwrap();
            assert!(String::from_utf8_lossy(&ack.payload).contains("10077"), "{ack:?}");
        }
        Attack::Overflow => {
            bench.publish("s.x", 400).await;
            let state: Value = bench.raw("STREAM.INFO.S", &Value::Null).await.unwrap();
            assert!(state["state"]["first_seq"].as_u64().unwrap() > 1, "the oldest are gone: {}", state["state"]);
        }
    }
}

/// Settings that leafwright never writes, made by hand: those that can be taken back are, the others are refused.
#[tokio::test]
async fn settings_of_others_are_drift() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let extras = json!({ "consumer_limits": { "max_ack_pending": 5_000 }, "allow_batched": true, "no_ack": true });
    for (field, value) in extras.as_object().unwrap() {
        assert!(rules::find(rules::STREAM_EXTRA, field).is_some());
        let desired = bench.desired(objects(vec![stream("S", &["s.>"])]));
        bench.apply(&desired).await;
        let mut by_hand = json!(bench.jetstream().stream("S").await.unwrap().unwrap().config);
        by_hand[field] = value.clone();
        bench.raw("STREAM.UPDATE.S", &by_hand).await.unwrap();
        let plan = bench.apply(&desired).await;
        assert!(
            matches!(&plan.steps[0].because, Because::Drifted { changes } if changes[0].field == *field),
            "{plan:?}"
        );
        bench.delete("S").await;
    }
    assert_eq!(extras.as_object().unwrap().len(), rules::STREAM_EXTRA.len());
}
