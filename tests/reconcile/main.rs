//! Every row of `plan::rules` against a real nats-server: what is called safe is accepted and loses nothing, what is called
//! impossible is refused, what is said to destroy or double messages does. After every apply the second plan is empty.
#![cfg(feature = "world")]

#[path = "../common/mod.rs"]
mod common;

mod consumers;
mod lease;
mod streams;
mod whole;

use async_nats::StatusCode;
use common::bench::{Bench, DEADLINE};
use common::plans::stream;
use futures_util::StreamExt;
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::{ConsumerConfig, StreamConfig, StreamSource, SubjectTransform};
use leafwright::name::StreamName;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What is in each stream before it is changed.
const MESSAGES: u64 = 10;

fn objects(streams: Vec<StreamConfig>) -> Objects {
    Objects { streams, ..Objects::default() }
}

fn source(name: &str) -> StreamSource {
    StreamSource {
        name: name.into(),
        opt_start_seq: 0,
        filter_subject: String::new(),
        subject_transforms: vec![],
        external: None,
    }
}

fn transform(src: &str, dest: &str) -> SubjectTransform {
    SubjectTransform { src: src.into(), dest: dest.into() }
}

fn immutable(config: &mut StreamConfig) {
    (config.deny_delete, config.deny_purge, config.discard) = (true, true, "new".into());
    config.max_bytes = 10_000;
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
    let since = Instant::now();
    loop {
        client.publish_with_reply("$JS.API.CONSUMER.MSG.NEXT.S.c", inbox.clone(), "1".into()).await.unwrap();
        let next = messages.next().await.unwrap();
        // As with a new stream, not every server of a cluster knows yet who listens.
        if next.status == Some(StatusCode::NO_RESPONDERS) && since.elapsed() < DEADLINE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        client.request(next.reply.unwrap(), "+ACK".into()).await.unwrap();
        return;
    }
}

async fn place(bench: &Bench) -> Value {
    let info = bench.raw("CONSUMER.INFO.S.c", &Value::Null).await.unwrap();
    json!([info["delivered"]["stream_seq"], info["ack_floor"]["stream_seq"]])
}
