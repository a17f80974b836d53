//! Two configurations of one durable pull consumer, normalised and compared; and settings that somebody else made.
//!
//! Refuses: recreating a consumer, which would forget what was delivered and acknowledged.

use super::model::{Change, Class, FieldChange, Refusal};
use super::rules::{self, Row, Rule};
use super::streams::{fields, own_metadata};
use crate::compile::jetstream::ConsumerConfig;
use serde_json::Value;
use std::collections::BTreeMap;

/// nats-server's defaults of a pull consumer (measured): 30 s, 1,000 pending, 512 waiting.
const ACK_WAIT: u64 = 30_000_000_000;
const MAX_ACK_PENDING: i64 = 1_000;
const MAX_WAITING: i64 = 512;

/// The configuration as INFO would return it, one form for each meaning.
pub fn normalise(config: &ConsumerConfig) -> ConsumerConfig {
    let mut it = config.clone();
    it.name = Some(it.durable_name.clone());
    it.description = it.description.filter(|text| !text.is_empty());
    if let Some(first) = it.backoff.first() {
        it.ack_wait = *first;
    }
    if it.ack_wait == 0 && it.ack_policy != "none" {
        it.ack_wait = ACK_WAIT;
    }
    if it.max_deliver <= 0 {
        it.max_deliver = -1;
    }
    if it.max_ack_pending == 0 && it.ack_policy != "none" {
        it.max_ack_pending = MAX_ACK_PENDING;
    }
    if it.max_waiting == 0 {
        it.max_waiting = MAX_WAITING;
    }
    if !it.filter_subject.is_empty() {
        it.filter_subjects = vec![std::mem::take(&mut it.filter_subject)];
    }
    it.filter_subjects.sort();
    it.metadata = own_metadata(&it.metadata);
    it
}

/// What must change on the observed consumer so that it is the desired one.
pub fn diff(desired: &ConsumerConfig, observed: &ConsumerConfig) -> Change {
    let (old, new) = (fields(&normalise(observed)), fields(&normalise(desired)));
    let get = |map: &BTreeMap<String, Value>, field: &str| map.get(field).cloned().unwrap_or(Value::Null);
    let mut change = Change::default();
    for row in rules::CONSUMER {
        let (from, to) = (get(&old, row.field), get(&new, row.field));
        if from != to {
            let (class, refusal) = judge(row, &from);
            change.fields.push(FieldChange { field: row.field.into(), from, to, class, refusal, place: None });
        }
    }
    change
}

/// Settings that our structs do not know, of a stream or a consumer: an update drops them, if they can be dropped.
pub fn extra(rows: &'static [Row], extra: &BTreeMap<String, Value>) -> Change {
    let changes = extra.iter().map(|(field, from)| {
        let (class, refusal) = match rules::find(rows, field) {
            Some(row) => judge(row, from),
            None => refuse(field, from, "leafwright does not know this setting, which somebody made by hand"),
        };
        FieldChange { field: field.clone(), from: from.clone(), to: Value::Null, class, refusal, place: None }
    });
    Change { fields: changes.collect() }
}

fn judge(row: &Row, from: &Value) -> (Class, Option<Refusal>) {
    match row.rule {
        Rule::Never => refuse(row.field, from, "it is fixed when the object is created"),
        Rule::Moves => (Class::MovesData, None),
        _ => (Class::Safe, None),
    }
}

fn refuse(field: &str, from: &Value, why: &str) -> (Class, Option<Refusal>) {
    let refusal = Refusal {
        say: format!("`{field}` cannot be changed: {why}"),
        way_out: format!(
            "leave `{field}` at {from}, or remove the object by hand when nothing in it is needed, and plan again"
        ),
    };
    (Class::Impossible, Some(refusal))
}
