//! Two configurations of one stream: normalised as nats-server does, compared field by field, each change classed.
//!
//! Refuses: deciding what is done with a change; `between` does, by its class.

use super::model::{Change, Class, FieldChange, Refusal};
use super::rules::{self, Row, Rule};
use super::units::written;
use crate::compile::jetstream::{StreamConfig, StreamSource};
use serde_json::Value;
use std::collections::BTreeMap;

/// Holds the digest of the configuration as it was declared when it was applied: tells drift from a new declaration.
pub const DECLARED: &str = "leafwright.declared";

/// Holds the generation of the lease under which an object of the cluster was changed last.
pub const GENERATION: &str = "leafwright.generation";

/// Two minutes: nats-server's `duplicate_window` where none is given.
const DUPLICATE_WINDOW: u64 = 120_000_000_000;

/// The configuration as INFO would return it, without what the server and this tool add, lists that are sets in order.
pub fn normalise(config: &StreamConfig) -> StreamConfig {
    let mut it = config.clone();
    for limit in
        [&mut it.max_consumers, &mut it.max_msgs, &mut it.max_bytes, &mut it.max_msgs_per_subject, &mut it.max_msg_size]
    {
        *limit = unlimited(*limit);
    }
    it.num_replicas = it.num_replicas.max(1);
    let original = it.mirror.is_none() && it.sources.is_empty();
    if original && it.duplicate_window == 0 {
        it.duplicate_window = if it.max_age == 0 { DUPLICATE_WINDOW } else { DUPLICATE_WINDOW.min(it.max_age) };
    }
    if original && it.subjects.is_empty() {
        it.subjects = vec![it.name.clone()];
    }
    if it.mirror.is_some() {
        // Copied from the origin by the server, which may not be there yet when the mirror is made.
        it.mirror_direct = false;
    }
    if it.sealed {
        (it.max_age, it.discard) = (0, "new".into());
        (it.deny_delete, it.deny_purge, it.allow_rollup_hdrs) = (true, true, false);
    }
    it.placement = it.placement.filter(|placement| !placement.cluster.is_empty() || !placement.tags.is_empty());
    it.description = it.description.filter(|text| !text.is_empty());
    it.persist_mode = it.persist_mode.filter(|mode| mode != "default" && !mode.is_empty());
    if it.compression == "none" {
        it.compression.clear();
    }
    it.first_seq = 0;
    it.subjects.sort();
    it.sources.sort_by_key(source_key);
    it.metadata = own_metadata(&it.metadata);
    it
}

fn unlimited(limit: i64) -> i64 {
    if limit <= 0 { -1 } else { limit }
}

fn source_key(source: &StreamSource) -> (String, String, String) {
    let api = source.external.as_ref().map(|external| external.api.clone()).unwrap_or_default();
    (source.name.clone(), api, serde_json::to_string(source).unwrap_or_default())
}

/// Without the keys that nats-server adds and those that this tool adds when it applies.
pub(super) fn own_metadata(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = |key: &str| !key.starts_with("_nats.") && key != DECLARED && key != GENERATION;
    metadata.iter().filter(|(key, _)| own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What must change on the observed stream so that it is the desired one.
pub fn diff(desired: &StreamConfig, observed: &StreamConfig) -> Change {
    let pair = Pair { old: &normalise(observed), new: &normalise(desired), declared: desired };
    let (old, new) = (fields(pair.old), fields(pair.new));
    let get = |map: &BTreeMap<String, Value>, field: &str| map.get(field).cloned().unwrap_or(Value::Null);
    let mut change = Change::default();
    for row in rules::STREAM {
        let (from, to) = (get(&old, row.field), get(&new, row.field));
        if from != to {
            let (class, refusal) = judge(row, &pair, &from, &to);
            change.fields.push(FieldChange { field: row.field.into(), from, to, class, refusal, place: None });
        }
    }
    change
}

/// The fields by name. What serde leaves out is at its default, on both sides.
pub(super) fn fields(config: &impl serde::Serialize) -> BTreeMap<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

struct Pair<'a> {
    old: &'a StreamConfig,
    new: &'a StreamConfig,
    /// The desired one before it was normalised.
    declared: &'a StreamConfig,
}

impl Pair<'_> {
    fn immutable(&self) -> bool {
        [self.old, self.new].iter().any(|config| config.deny_delete && config.deny_purge)
    }
}

type Verdict = (Class, Option<Refusal>);

fn refuse(class: Class, say: impl Into<String>, way_out: impl Into<String>) -> Verdict {
    (class, Some(Refusal { say: say.into(), way_out: way_out.into() }))
}

fn judge(row: &Row, pair: &Pair<'_>, from: &Value, to: &Value) -> Verdict {
    let safe = (Class::Safe, None);
    let name = &pair.old.name;
    match row.rule {
        Rule::Free if row.field == "allow_rollup_hdrs" && pair.immutable() && *to == Value::Bool(true) => refuse(
            Class::Impossible,
            "roll-ups purge, and this stream denies that for ever",
            "keep snapshots in a stream of their own",
        ),
        Rule::Free | Rule::History => safe,
        Rule::Never => never(row.field, name, from),
        Rule::OneWay if is_set(to) => safe,
        Rule::OpensDeletion if is_set(to) && pair.immutable() => refuse(
            Class::DestroysData,
            "a publisher could then let its messages vanish from an immutable stream",
            format!("leave `{}` out, or use a stream that is not immutable", row.field),
        ),
        Rule::OpensDeletion if is_set(to) => safe,
        Rule::OneWay | Rule::OpensDeletion => refuse(
            Class::Impossible,
            format!("`{}` cannot be taken back once it is set", row.field),
            format!("declare `{} = true`, or declare a stream with another name", row.field),
        ),
        Rule::Limit => limit(row.field, pair, from, to),
        Rule::Moves => (Class::MovesData, None),
        Rule::Retention => retention(name, from, to),
        Rule::Mirror if to.is_null() => safe,
        Rule::Mirror => never(row.field, name, from),
        Rule::Sources => sources(pair),
        Rule::Subjects if pair.declared.subjects.is_empty() && pair.new.subjects == [name.as_str()] => refuse(
            Class::Impossible,
            "a stream without subjects, sources or mirror captures the subject that is its own name",
            "declare the subjects that it captures, or a source",
        ),
        Rule::Subjects => safe,
        Rule::Discard if pair.immutable() && to == "old" => refuse(
            Class::DestroysData,
            "new messages would push old ones out of an immutable stream",
            "keep `discard = \"new\"` and let the stream grow (`max_bytes`)",
        ),
        Rule::Discard => safe,
    }
}

fn is_set(value: &Value) -> bool {
    value == &Value::Bool(true)
}

fn never(field: &str, stream: &str, from: &Value) -> Verdict {
    refuse(
        Class::Impossible,
        format!("`{field}` is fixed when a stream is created, and copying to a new stream is not done by leafwright"),
        format!(
            "leave `{field}` at {}, or declare a stream with another name that sources `{stream}`",
            written(field, from)
        ),
    )
}

fn limit(field: &str, pair: &Pair<'_>, from: &Value, to: &Value) -> Verdict {
    let unlimited = |value: &Value| value.as_i64().is_none_or(|number| number <= 0);
    let lower = !unlimited(to) && (unlimited(from) || to.as_u64() < from.as_u64());
    // With `discard = "new"` a stream that is over its count or size keeps what it has and takes nothing more (measured).
    let keeps = pair.new.discard == "new" && matches!(field, "max_msgs" | "max_bytes");
    let name = &pair.old.name;
    match (lower, pair.immutable(), keeps) {
        (false, _, _) | (true, false, true) => (Class::Safe, None),
        (true, true, _) => refuse(
            Class::DestroysData,
            format!("the limits of an immutable stream only grow, and lowering `{field}` loses messages"),
            format!("leave `{field}` at {}", written(field, from)),
        ),
        (true, false, false) => {
            let is = written(field, from);
            let flag = field.replace('_', "-");
            let by_hand = if field == "max_age" { format!("{to}ns") } else { to.to_string() };
            refuse(
                Class::DestroysData,
                format!("lowering `{field}` deletes messages at once"),
                format!(
                    "leave `{field}` at {is}, or delete knowingly by hand: `nats stream edit {name} --{flag}={by_hand}`"
                ),
            )
        }
    }
}

fn retention(stream: &str, from: &Value, to: &Value) -> Verdict {
    match (from.as_str(), to.as_str()) {
        (Some("interest"), Some("limits")) => (Class::Safe, None),
        (Some("limits"), Some("interest")) => refuse(
            Class::DestroysData,
            "every message that no consumer waits for would be deleted at once",
            format!("keep `retention = \"limits\"`, or declare a stream with another name that sources `{stream}`"),
        ),
        _ => never("retention", stream, from),
    }
}

/// A source is told from another by all of its configuration: the same stream with another filter starts at its first message.
fn sources(pair: &Pair<'_>) -> Verdict {
    let same = |a: &StreamSource, b: &StreamSource| {
        (&a.filter_subject, &a.subject_transforms, &a.external)
            == (&b.filter_subject, &b.subject_transforms, &b.external)
    };
    for new in &pair.new.sources {
        let mut before =
            pair.old.sources.iter().filter(|old| old.name == new.name && domain(old) == domain(new)).peekable();
        if before.peek().is_some() && !before.any(|old| same(old, new)) {
            return refuse(
                Class::DoublesData,
                format!("source `{}` with another filter or transform is read from its first message again", new.name),
                format!(
                    "leave the source as it is, or declare a stream with another name that sources `{}` anew",
                    new.name
                ),
            );
        }
    }
    (Class::Safe, None)
}

fn domain(source: &StreamSource) -> Option<&str> {
    source.external.as_ref().map(|external| external.api.as_str())
}
