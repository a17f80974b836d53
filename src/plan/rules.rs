//! How each field of a stream and of a consumer may change: one row a field, with the source of the rule.
//!
//! Refuses: rules in code where a row does. Every row is proved against a real nats-server in `tests/reconcile.rs`.

/// Measured on nats-server 2.15.1; `configUpdateCheckLocked` is in its `server/stream.go`, consumers' in `server/consumer.go`.
pub struct Row {
    pub field: &'static str,
    pub rule: Rule,
    pub source: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Changes freely, every message stays.
    Free,
    /// Never changes after creation.
    Never,
    /// From false to true only.
    OneWay,
    /// One way too, and on an immutable stream it opens a way to lose messages.
    OpensDeletion,
    /// A limit on what is stored: lowering it deletes at once. Unlimited is -1 (or 0 for ages).
    Limit,
    /// The servers move replicas.
    Moves,
    /// `limits` → `interest` deletes what no consumer waits for; `workqueue` never changes.
    Retention,
    /// May be removed (promotion), never added or changed.
    Mirror,
    /// Whole sources come and go; one that is changed starts again and stores everything twice.
    Sources,
    /// May be anything but empty.
    Subjects,
    /// On an immutable stream `new` → `old` lets new messages push out old ones.
    Discard,
    /// Says how the stream began; no effect later, so no difference.
    History,
}

const UPDATE: &str = "stream.go configUpdateCheckLocked, 10052";
const FREE: &str = "measured: update accepted, messages stay";

const fn row(field: &'static str, rule: Rule, source: &'static str) -> Row {
    Row { field, rule, source }
}

pub const STREAM: &[Row] = &[
    row("description", Rule::Free, FREE),
    row("subjects", Rule::Subjects, "measured: an empty list becomes the stream's name"),
    row("retention", Rule::Retention, "measured: limits to interest deletes all; to or from workqueue 10052"),
    row("max_consumers", Rule::Free, "measured; blocked up to 2.12.4 (nats-server#7724)"),
    row("max_msgs", Rule::Limit, "measured: deletes at once"),
    row("max_bytes", Rule::Limit, "measured: deletes at once"),
    row("max_age", Rule::Limit, "measured: deletes at once"),
    row("max_msgs_per_subject", Rule::Limit, "measured: deletes at once"),
    row("max_msg_size", Rule::Free, "measured: what is stored stays, new messages are refused"),
    row("discard", Rule::Discard, "measured: accepted even with deny_delete and deny_purge"),
    row("discard_new_per_subject", Rule::Free, FREE),
    row("storage", Rule::Never, UPDATE),
    row("num_replicas", Rule::Moves, "measured: scaled in place; 10074 without a cluster"),
    row("duplicate_window", Rule::Free, FREE),
    row("placement", Rule::Moves, "stream.go, one move at a time"),
    row("mirror", Rule::Mirror, "10055; removal is ADR-8's promotion, 2.12"),
    row(
        "sources",
        Rule::Sources,
        "measured: another filter or transform is another source, and starts at the beginning",
    ),
    row("compression", Rule::Free, FREE),
    row("first_seq", Rule::History, "measured: accepted and without effect after creation"),
    row("subject_transform", Rule::Free, FREE),
    row("republish", Rule::Free, FREE),
    row("sealed", Rule::OneWay, UPDATE),
    row("deny_delete", Rule::OneWay, UPDATE),
    row("deny_purge", Rule::OneWay, UPDATE),
    row("allow_rollup_hdrs", Rule::Free, "measured; with deny_purge 10052"),
    row("allow_direct", Rule::Free, FREE),
    row("mirror_direct", Rule::Free, FREE),
    row("allow_msg_ttl", Rule::OpensDeletion, UPDATE),
    row("allow_msg_counter", Rule::Never, UPDATE),
    row("allow_msg_schedules", Rule::OneWay, UPDATE),
    row("allow_atomic", Rule::Free, FREE),
    row("persist_mode", Rule::Never, UPDATE),
    row("metadata", Rule::Free, FREE),
];

/// Settings of a stream that we never write; somebody else may have.
pub const STREAM_EXTRA: &[Row] = &[
    row("consumer_limits", Rule::Free, FREE),
    row("allow_batched", Rule::Free, FREE),
    row("no_ack", Rule::Free, FREE),
];

pub const CONSUMER: &[Row] = &[
    row("description", Rule::Free, FREE),
    row("deliver_policy", Rule::Never, "10012"),
    row("ack_policy", Rule::Never, "10012"),
    row("ack_wait", Rule::Free, FREE),
    row("max_deliver", Rule::Free, FREE),
    row("backoff", Rule::Free, FREE),
    row("filter_subjects", Rule::Free, FREE),
    row("replay_policy", Rule::Never, "10012"),
    row("max_ack_pending", Rule::Free, FREE),
    row("max_waiting", Rule::Never, "10012"),
    row("num_replicas", Rule::Moves, "measured: scaled in place; 10074 without a cluster"),
    row("metadata", Rule::Free, FREE),
];

/// Settings of a consumer that we never write.
pub const CONSUMER_EXTRA: &[Row] = &[
    row("headers_only", Rule::Free, FREE),
    row("inactive_threshold", Rule::Free, FREE),
    row("sample_freq", Rule::Free, FREE),
    row("max_batch", Rule::Free, FREE),
    row("max_expires", Rule::Free, FREE),
    row("max_bytes", Rule::Free, FREE),
    row("mem_storage", Rule::Never, "10012"),
    row("deliver_subject", Rule::Never, "10012"),
    row("opt_start_seq", Rule::Never, "10012"),
    row("opt_start_time", Rule::Never, "10012"),
];

pub fn find(rows: &'static [Row], field: &str) -> Option<&'static Row> {
    rows.iter().find(|row| row.field == field)
}
