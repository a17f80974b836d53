//! Every row of `plan::rules` against a real nats-server: what is called safe is accepted and loses nothing, what is called
//! impossible is refused, what is said to destroy or double messages does. After every apply the second plan is empty.
#![cfg(feature = "world")]

mod common;

use common::bench::Bench;
use common::plans::{consumer, seeds, stream};
use common::server::{Cluster, Server};
use futures_util::StreamExt;
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::{ConsumerConfig, External, Placement, Republish, StreamConfig, StreamSource, SubjectTransform};
use leafwright::host::jetstream::{ApiError, JetStream, codes};
use leafwright::name::StreamName;
use leafwright::plan::{self, Action, Because, Class, rules};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MESSAGES: u64 = 10;

fn objects(streams: Vec<StreamConfig>) -> Objects {
    Objects { streams, ..Objects::default() }
}

fn source(name: &str) -> StreamSource {
    StreamSource { name: name.into(), opt_start_seq: 0, filter_subject: String::new(), subject_transforms: vec![], external: None }
}

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

struct Case {
    field: &'static str,
    class: Class,
    before: fn(&mut StreamConfig),
    after: fn(&mut StreamConfig),
    proof: Proof,
}

fn case(field: &'static str, class: Class, before: fn(&mut StreamConfig), after: fn(&mut StreamConfig), proof: Proof) -> Case {
    Case { field, class, before, after, proof }
}

fn immutable(config: &mut StreamConfig) {
    (config.deny_delete, config.deny_purge, config.discard) = (true, true, "new".into());
    config.max_bytes = 10_000;
}

fn source_o(config: &mut StreamConfig) {
    (config.subjects, config.sources) = (vec![], vec![source("ORIGIN")]);
}

fn mirror_o(config: &mut StreamConfig) {
    (config.subjects, config.mirror) = (vec![], Some(source("ORIGIN")));
}

/// The rows of the stream table, by field. Streams are called `S` and capture `s.>`; `ORIGIN` and `ORIGIN2` hold ten messages each.
fn stream_cases() -> Vec<Case> {
    use Class::{DestroysData, DoublesData, Impossible, MovesData, Safe};
    use Proof::{Becomes, Doubles, Kept, Loses, LosesBy, NoStep, Otherwise, Refused};
    let same = |_: &mut StreamConfig| ();
    let update = codes::STREAM_UPDATE;
    vec![
        case("description", Safe, same, |c| c.description = Some("ten messages".into()), Kept),
        case("subjects", Safe, same, |c| c.subjects = vec!["t.>".into()], Kept),
        case("subjects", Safe, |c| c.subjects = vec!["t".into(), "s.>".into()], |c| c.subjects = vec!["s.>".into(), "t".into()], NoStep),
        case("subjects", Impossible, same, |c| c.subjects = vec![], Otherwise),
        case("retention", DestroysData, same, |c| c.retention = "interest".into(), Loses),
        case("retention", Impossible, same, |c| c.retention = "workqueue".into(), Refused(update)),
        case("retention", Impossible, |c| c.retention = "workqueue".into(), |c| c.retention = "limits".into(), Refused(update)),
        case("max_consumers", Safe, same, |c| c.max_consumers = 1, Kept),
        case("max_msgs", DestroysData, same, |c| c.max_msgs = 2, Loses),
        case("max_msgs", Safe, |c| c.max_msgs = 20, |c| c.max_msgs = 30, Kept),
        case("max_msgs", Safe, |c| c.max_msgs = 20, |c| c.max_msgs = 0, Kept),
        case("max_bytes", DestroysData, same, |c| c.max_bytes = 200, Loses),
        case("max_bytes", Safe, immutable, |c| c.max_bytes = 20_000, Kept),
        case("max_bytes", DestroysData, immutable, |c| c.max_bytes = 200, LosesBy(Attack::Full)),
        case("max_bytes", Safe, |c| c.discard = "new".into(), |c| c.max_bytes = 200, Kept),
        case("max_msgs", Safe, |c| c.discard = "new".into(), |c| c.max_msgs = 2, Kept),
        case("max_msgs", DestroysData, |c| c.discard = "new".into(), |c| (c.max_msgs, c.discard) = (2, "old".into()), Loses),
        case("max_age", DestroysData, immutable, |c| (c.max_age, c.duplicate_window) = (100_000_000, 100_000_000), Loses),
        case("max_msgs_per_subject", DestroysData, |c| c.discard = "new".into(), |c| c.max_msgs_per_subject = 3, Loses),
        case("max_age", DestroysData, same, |c| (c.max_age, c.duplicate_window) = (100_000_000, 100_000_000), Loses),
        case("max_age", Safe, |c| c.max_age = 3_600_000_000_000, |c| c.max_age = 0, Kept),
        case("max_msgs_per_subject", DestroysData, same, |c| c.max_msgs_per_subject = 3, Loses),
        case("max_msgs_per_subject", Safe, |c| c.max_msgs_per_subject = 50, |c| c.max_msgs_per_subject = -1, Kept),
        case("max_msg_size", Safe, same, |c| c.max_msg_size = 1, Kept),
        case("discard", Safe, same, |c| c.discard = "new".into(), Kept),
        case("discard", DestroysData, immutable, |c| c.discard = "old".into(), LosesBy(Attack::Overflow)),
        case("discard_new_per_subject", Safe, |c| (c.discard, c.max_msgs_per_subject) = ("new".into(), 50), |c| c.discard_new_per_subject = true, Kept),
        case("storage", Impossible, same, |c| c.storage = "memory".into(), Refused(update)),
        case("num_replicas", MovesData, same, |c| c.num_replicas = 3, Refused(codes::REPLICAS_WITHOUT_CLUSTER)),
        case("duplicate_window", Safe, same, |c| c.duplicate_window = 1_000_000_000, Kept),
        case("placement", MovesData, same, |c| c.placement = Some(Placement { cluster: "elsewhere".into(), tags: vec![] }), Kept),
        case("mirror", Impossible, same, mirror_o, Refused(codes::STREAM_MIRROR_UPDATE)),
        case("mirror", Impossible, mirror_o, |c| c.mirror = Some(source("ORIGIN2")), Refused(codes::STREAM_MIRROR_UPDATE)),
        case("mirror", Safe, mirror_o, |c| (c.mirror, c.subjects) = (None, vec!["s.>".into()]), Kept),
        case("sources", Safe, same, |c| c.sources.push(source("ORIGIN")), Becomes(2 * MESSAGES)),
        case("sources", Safe, source_o, |c| (c.sources, c.subjects) = (vec![], vec!["s.>".into()]), Kept),
        case("sources", Safe, source_o, |c| c.sources.push(source("ORIGIN2")), Becomes(2 * MESSAGES)),
        case("sources", DoublesData, source_o, |c| c.sources[0].filter_subject = "o.x".into(), Doubles),
        case("sources", DoublesData, source_o, |c| c.sources[0].subject_transforms = vec![transform("o.>", "p.>")], Doubles),
        case("compression", Safe, same, |c| c.compression = "s2".into(), Kept),
        case("compression", Safe, |c| c.compression = "s2".into(), |c| c.compression = "none".into(), Kept),
        case("first_seq", Safe, same, |c| c.first_seq = 100, NoStep),
        case("subject_transform", Safe, same, |c| c.subject_transform = Some(transform("s.>", "t.>")), Kept),
        case("republish", Safe, same, |c| c.republish = Some(Republish { src: ">".into(), dest: "again.>".into(), headers_only: false }), Kept),
        case("sealed", Safe, same, |c| c.sealed = true, Kept),
        case("sealed", Impossible, same, |c| c.sealed = false, NoStep),
        case("deny_delete", Safe, same, |c| c.deny_delete = true, Kept),
        case("deny_delete", Impossible, |c| c.deny_delete = true, |c| c.deny_delete = false, Refused(update)),
        case("deny_purge", Safe, same, |c| c.deny_purge = true, Kept),
        case("deny_purge", Impossible, |c| c.deny_purge = true, |c| c.deny_purge = false, Refused(update)),
        case("allow_rollup_hdrs", Safe, same, |c| c.allow_rollup_hdrs = true, Kept),
        case("allow_rollup_hdrs", Safe, |c| c.allow_rollup_hdrs = true, |c| c.allow_rollup_hdrs = false, Kept),
        case("allow_rollup_hdrs", Impossible, immutable, |c| c.allow_rollup_hdrs = true, Refused(update)),
        case("allow_direct", Safe, same, |c| c.allow_direct = true, Kept),
        case("mirror_direct", Safe, mirror_o, |c| c.mirror_direct = true, NoStep),
        case("allow_msg_ttl", Safe, same, |c| c.allow_msg_ttl = true, Kept),
        case("allow_msg_ttl", Impossible, |c| c.allow_msg_ttl = true, |c| c.allow_msg_ttl = false, Refused(update)),
        case("allow_msg_ttl", DestroysData, immutable, |c| c.allow_msg_ttl = true, LosesBy(Attack::Ttl)),
        case("allow_msg_counter", Impossible, same, |c| c.allow_msg_counter = true, Refused(update)),
        case("allow_msg_schedules", Safe, |c| c.allow_rollup_hdrs = true, |c| c.allow_msg_schedules = true, Kept),
        case("allow_msg_schedules", Impossible, |c| (c.allow_msg_schedules, c.allow_rollup_hdrs) = (true, true), |c| c.allow_msg_schedules = false, Refused(update)),
        case("allow_atomic", Safe, same, |c| c.allow_atomic = true, Kept),
        case("allow_atomic", Safe, |c| c.allow_atomic = true, |c| c.allow_atomic = false, Kept),
        case("persist_mode", Impossible, same, |c| c.persist_mode = Some("async".into()), Refused(update)),
        case("persist_mode", Safe, same, |c| c.persist_mode = Some("default".into()), NoStep),
        case("metadata", Safe, same, |c| drop(c.metadata.insert("a".into(), "b".into())), Kept),
        case("metadata", Safe, |c| drop(c.metadata.insert("a".into(), "b".into())), |c| c.metadata.clear(), Kept),
    ]
}

fn transform(src: &str, dest: &str) -> SubjectTransform {
    SubjectTransform { src: src.into(), dest: dest.into() }
}

#[tokio::test]
async fn every_row_of_the_stream_table_is_true() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    for (origin, subject) in [("ORIGIN", "o"), ("ORIGIN2", "oo")] {
        bench.apply(&bench.desired(objects(vec![stream(origin, &[&format!("{subject}.>")])]))).await;
        bench.publish(&format!("{subject}.x"), MESSAGES as usize).await;
    }
    let cases = stream_cases();
    let covered: BTreeSet<_> = cases.iter().map(|case| case.field).collect();
    let rows: BTreeSet<_> = rules::STREAM.iter().map(|row| row.field).collect();
    assert_eq!(covered, rows, "each row has a case");
    for (number, case) in cases.iter().enumerate() {
        let mut before = stream("S", &["s.>"]);
        (case.before)(&mut before);
        let mut after = before.clone();
        (case.after)(&mut after);
        eprintln!("case {number}: {} is {:?}", case.field, case.class);
        bench.apply(&bench.desired(objects(vec![before.clone()]))).await;
        if before.sources.is_empty() && before.mirror.is_none() {
            bench.publish("s.x", MESSAGES as usize).await;
        }
        assert_eq!(bench.until("S", |count| count == MESSAGES).await, MESSAGES);
        prove(&bench, case, &after).await;
        bench.delete("S").await;
    }
}

async fn prove(bench: &Bench, case: &Case, after: &StreamConfig) {
    let desired = bench.desired(objects(vec![after.clone()]));
    let plan = bench.plan(&desired).await;
    if matches!(case.proof, Proof::NoStep) {
        assert!(plan.is_empty(), "{}", plan::render::human(&plan));
        return;
    }
    let [step] = plan.steps.as_slice() else { panic!("{}", plan::render::human(&plan)) };
    let (Because::Changed { changes } | Because::Drifted { changes }) = &step.because else { panic!("{step:?}") };
    let class = changes.iter().map(|change| change.class).max().unwrap();
    assert_eq!(class, case.class, "{}", plan::render::human(&plan));
    assert!(changes.iter().any(|change| change.field == case.field), "{}", plan::render::human(&plan));
    assert_eq!(matches!(step.action, Action::Refuse { .. }), class.is_refused());
    // What a plan would never send is sent here by hand.
    let mut raw = json!(after);
    raw["pedantic"] = json!(true);
    let send = async || bench.raw("STREAM.UPDATE.S", &raw).await;
    match &case.proof {
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

// ---- consumers -------------------------------------------------------------------------------------------------

struct ConsumerCase {
    field: &'static str,
    before: fn(&mut ConsumerConfig),
    after: fn(&mut ConsumerConfig),
    proof: Proof,
}

fn consumer_cases() -> Vec<ConsumerCase> {
    use Proof::{Kept, NoStep, Refused};
    let same = |_: &mut ConsumerConfig| ();
    let case = |field, before, after, proof| ConsumerCase { field, before, after, proof };
    let never = || Refused(codes::CONSUMER_CREATE);
    vec![
        case("description", same, |c| c.description = Some("d".into()), Kept),
        case("deliver_policy", same, |c| c.deliver_policy = "new".into(), never()),
        case("ack_policy", same, |c| c.ack_policy = "all".into(), never()),
        case("ack_wait", same, |c| c.ack_wait = 60_000_000_000, Kept),
        case("max_deliver", same, |c| c.max_deliver = 5, Kept),
        case("backoff", |c| c.max_deliver = 5, |c| c.backoff = vec![1_000_000_000, 60_000_000_000], Kept),
        case("backoff", |c| (c.max_deliver, c.backoff) = (5, vec![1_000_000_000, 60_000_000_000]), |c| c.backoff.clear(), Kept),
        case("filter_subjects", same, |c| c.filter_subjects = vec!["s.x".into(), "s.y".into()], Kept),
        case("filter_subjects", |c| c.filter_subject = "s.x".into(), |c| (c.filter_subject, c.filter_subjects) = (String::new(), vec!["s.x".into()]), NoStep),
        case("filter_subjects", |c| c.filter_subjects = vec!["s.x".into()], |c| c.filter_subjects = vec!["s.x".into(), "s.z".into()], Kept),
        case("replay_policy", same, |c| c.replay_policy = "original".into(), never()),
        case("max_ack_pending", same, |c| c.max_ack_pending = 7, Kept),
        case("max_waiting", same, |c| c.max_waiting = 7, never()),
        case("num_replicas", same, |c| c.num_replicas = 1, Kept),
        case("metadata", same, |c| drop(c.metadata.insert("a".into(), "b".into())), Kept),
    ]
}

fn with_consumer(config: ConsumerConfig) -> Objects {
    Objects {
        streams: vec![stream("S", &["s.>"])],
        consumers: vec![(StreamName::parse("S").unwrap(), config)],
        ..Objects::default()
    }
}

/// Delivers one message and acknowledges it, so that the consumer has a place that could be lost.
async fn consume_one(bench: &Bench) {
    let client = bench.jetstream().client();
    // What comes keeps its own subject, so a request would not recognise it as its answer.
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.S.c", inbox, "1".into()).await.unwrap();
    let next = messages.next().await.unwrap();
    client.request(next.reply.unwrap(), "+ACK".into()).await.unwrap();
}

async fn place(bench: &Bench) -> Value {
    let info = bench.raw("CONSUMER.INFO.S.c", &Value::Null).await.unwrap();
    json!([info["delivered"]["stream_seq"], info["ack_floor"]["stream_seq"]])
}

#[tokio::test]
async fn every_row_of_the_consumer_table_is_true() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let cases = consumer_cases();
    let covered: BTreeSet<_> = cases.iter().map(|case| case.field).collect();
    let rows: BTreeSet<_> = rules::CONSUMER.iter().map(|row| row.field).collect();
    assert_eq!(covered, rows, "each row has a case");
    bench.apply(&bench.desired(objects(vec![stream("S", &["s.>"])]))).await;
    bench.publish("s.x", MESSAGES as usize).await;
    for case in &cases {
        eprintln!("case {}", case.field);
        let mut before = ConsumerConfig { max_ack_pending: 100, ..consumer("c") };
        (case.before)(&mut before);
        let mut after = before.clone();
        (case.after)(&mut after);
        bench.apply(&bench.desired(with_consumer(before))).await;
        consume_one(&bench).await;
        assert_eq!(place(&bench).await, json!([1, 1]));
        let desired = bench.desired(with_consumer(after.clone()));
        let plan = bench.plan(&desired).await;
        match &case.proof {
            Proof::NoStep => assert!(plan.is_empty(), "{}", plan::render::human(&plan)),
            Proof::Kept => {
                let applied = bench.apply(&desired).await;
                assert!(matches!(&applied.steps[0].because, Because::Changed { changes } if changes.iter().any(|change| change.field == case.field)));
                assert_eq!(place(&bench).await, json!([1, 1]), "it goes on where it was");
            }
            Proof::Refused(code) => {
                assert_eq!(plan.refused().count(), 1, "{}", plan::render::human(&plan));
                let body = json!({ "stream_name": "S", "config": after, "action": "update", "pedantic": true });
                assert_eq!(bench.raw("CONSUMER.CREATE.S.c", &body).await.unwrap_err().err_code(), Some(*code));
            }
            _ => unreachable!("consumers have no such proof"),
        }
        bench.raw("CONSUMER.DELETE.S.c", &Value::Null).await.unwrap();
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
        assert!(matches!(&plan.steps[0].because, Because::Drifted { changes } if changes[0].field == *field), "{plan:?}");
        bench.delete("S").await;
    }
    assert_eq!(extras.as_object().unwrap().len(), rules::STREAM_EXTRA.len());
}

#[tokio::test]
async fn consumer_settings_of_others_are_drift() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let extras = json!({
        "headers_only": true, "inactive_threshold": 3_600_000_000_000_u64, "sample_freq": "50", "max_batch": 10,
        "max_expires": 5_000_000_000_u64, "max_bytes": 4096, "mem_storage": true, "deliver_subject": "push.c",
        "opt_start_seq": 1, "opt_start_time": "2020-01-01T00:00:00Z",
    });
    assert_eq!(extras.as_object().unwrap().len(), rules::CONSUMER_EXTRA.len());
    for (field, value) in extras.as_object().unwrap() {
        eprintln!("{field}");
        let mut by_hand = json!(consumer("c"));
        by_hand[field] = value.clone();
        match field.as_str() {
            "deliver_subject" => drop(by_hand.as_object_mut().unwrap().remove("max_waiting")),
            "opt_start_seq" => by_hand["deliver_policy"] = json!("by_start_sequence"),
            "opt_start_time" => by_hand["deliver_policy"] = json!("by_start_time"),
            _ => {}
        }
        bench.apply(&bench.desired(objects(vec![stream("S", &["s.>"])]))).await;
        bench.raw("CONSUMER.CREATE.S.c", &json!({ "stream_name": "S", "config": by_hand, "action": "create" })).await.unwrap();
        let desired = bench.desired(with_consumer(ConsumerConfig { max_ack_pending: 1000, ..consumer("c") }));
        let plan = bench.plan(&desired).await;
        let rule = rules::find(rules::CONSUMER_EXTRA, field).unwrap().rule;
        if rule == rules::Rule::Never {
            assert_eq!(plan.refused().count(), 1, "{}", plan::render::human(&plan));
            let body = json!({ "stream_name": "S", "config": consumer("c"), "action": "update" });
            assert_eq!(bench.raw("CONSUMER.CREATE.S.c", &body).await.unwrap_err().err_code(), Some(codes::CONSUMER_CREATE));
        } else {
            let plan = bench.apply(&desired).await;
            assert!(matches!(plan.steps[0].action, Action::UpdateConsumer { .. }), "{plan:?}");
        }
        bench.delete("S").await;
    }
}

// ---- the whole way ----------------------------------------------------------------------------------------------

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
        StreamConfig { mirror: Some(source("KV_notes")), deny_delete: true, deny_purge: true, ..stream("KEEP-KV", &[]) },
        StreamConfig {
            mirror: Some(StreamSource { external: Some(External { api: "$JS.hub.API".into(), deliver: String::new() }), ..source("EVT") }),
            ..stream("KEEP-EVT", &[])
        },
        StreamConfig { sources: vec![source("PLAIN"), source("FIRST")], ..stream("ALL", &[]) },
        stream("DLQ", &["$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.CMD.>"]),
    ];
    let consumers = vec![
        (StreamName::parse("PLAIN").unwrap(), consumer("all")),
        (StreamName::parse("PLAIN").unwrap(), ConsumerConfig { filter_subjects: vec!["plain.b".into(), "plain.a".into()], max_deliver: 5, backoff: vec![1_000_000_000, 2_000_000_000], ..consumer("some") }),
        (StreamName::parse("WORK").unwrap(), ConsumerConfig { ack_wait: 5_000_000_000, max_ack_pending: 0, filter_subject: "work.a".into(), ..consumer("one") }),
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
        events.sources = vec![StreamSource { subject_transforms: vec![transform("seed.one.start.>", ">")], ..source("SEED-one-start") }];
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

#[tokio::test]
async fn a_domain_that_nobody_serves_is_unreachable() {
    let server = Server::start("one").await;
    let nowhere = JetStream::new(server.client().await, Some("nowhere"));
    let error = nowhere.request::<Value>("STREAM.NAMES", &Value::Null).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
    let here = JetStream::new(server.client().await, Some("one"));
    assert!(here.observe().await.unwrap().streams.is_empty());
    let varz = leafwright::host::monitor::varz(server.monitor).await.unwrap();
    assert_eq!((varz.server_name.as_str(), varz.jetstream.config.unwrap().domain.as_str()), ("one", "one"));
    assert!(varz.config_digest.starts_with("sha256:"));
    leafwright::host::monitor::require_version(&varz.server_name, &varz.version).unwrap();
}

/// More streams than one page of a list holds (256).
#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let server = Server::start("one").await;
    let bench = Bench::alone(server.jetstream().await);
    let streams = (0..300).map(|n| StreamConfig { storage: "memory".into(), ..stream(&format!("S{n}"), &[&format!("s{n}")]) });
    let consumers = (0..300).map(|n| (StreamName::parse("S0").unwrap(), consumer(&format!("c{n}"))));
    let desired = bench.desired(Objects { streams: streams.collect(), consumers: consumers.collect(), ..Objects::default() });
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
