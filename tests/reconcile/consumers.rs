//! The rows of consumers: what they say, and what nats-server does.

use super::{MESSAGES, consume_one, objects, place, with_consumer};
use crate::common::bench::Bench;
use crate::common::plans::{consumer, stream};
use crate::common::server::Server;
use leafwright::compile::jetstream::ConsumerConfig;
use leafwright::host::jetstream::codes;
use leafwright::plan::{self, Action, Because, rules};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What nats-server makes of an update.
enum Proof {
    /// Accepted; the consumer goes on where it was; the second plan is empty.
    Kept,
    Refused(u64),
    /// No difference is seen, so nothing is sent.
    NoStep,
}

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
        case(
            "backoff",
            |c| (c.max_deliver, c.backoff) = (5, vec![1_000_000_000, 60_000_000_000]),
            |c| c.backoff.clear(),
            Kept,
        ),
        case("filter_subjects", same, |c| c.filter_subjects = vec!["s.x".into(), "s.y".into()], Kept),
        case(
            "filter_subjects",
            |c| c.filter_subject = "s.x".into(),
            |c| (c.filter_subject, c.filter_subjects) = (String::new(), vec!["s.x".into()]),
            NoStep,
        ),
        case(
            "filter_subjects",
            |c| c.filter_subjects = vec!["s.x".into()],
            |c| c.filter_subjects = vec!["s.x".into(), "s.z".into()],
            Kept,
        ),
        case("replay_policy", same, |c| c.replay_policy = "original".into(), never()),
        case("max_ack_pending", same, |c| c.max_ack_pending = 7, Kept),
        case("max_waiting", same, |c| c.max_waiting = 7, never()),
        case("num_replicas", same, |c| c.num_replicas = 1, Kept),
        case("metadata", same, |c| drop(c.metadata.insert("a".into(), "b".into())), Kept),
    ]
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
                assert!(
                    matches!(&applied.steps[0].because, Because::Changed { changes } if changes.iter().any(|change| change.field == case.field))
                );
                assert_eq!(place(&bench).await, json!([1, 1]), "it goes on where it was");
            }
            Proof::Refused(code) => {
                assert_eq!(plan.refused().count(), 1, "{}", plan::render::human(&plan));
                let body = json!({ "stream_name": "S", "config": after, "action": "update", "pedantic": true });
                assert_eq!(bench.raw("CONSUMER.CREATE.S.c", &body).await.unwrap_err().err_code(), Some(*code));
            }
        }
        bench.raw("CONSUMER.DELETE.S.c", &Value::Null).await.unwrap();
    }
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
        bench
            .raw("CONSUMER.CREATE.S.c", &json!({ "stream_name": "S", "config": by_hand, "action": "create" }))
            .await
            .unwrap();
        let desired = bench.desired(with_consumer(ConsumerConfig { max_ack_pending: 1000, ..consumer("c") }));
        let plan = bench.plan(&desired).await;
        let rule = rules::find(rules::CONSUMER_EXTRA, field).unwrap().rule;
        if rule == rules::Rule::Never {
            assert_eq!(plan.refused().count(), 1, "{}", plan::render::human(&plan));
            let body = json!({ "stream_name": "S", "config": consumer("c"), "action": "update" });
            assert_eq!(
                bench.raw("CONSUMER.CREATE.S.c", &body).await.unwrap_err().err_code(),
                Some(codes::CONSUMER_CREATE)
            );
        } else {
            let plan = bench.apply(&desired).await;
            assert!(matches!(plan.steps[0].action, Action::UpdateConsumer { .. }), "{plan:?}");
        }
        bench.delete("S").await;
    }
}
