//! Fields of a stream that nats-server refuses together, or reads otherwise than they are written (NATS-FACTS B.2).

use super::holder::Holder;
use super::rows::{self, Row};
use super::{Check, Rule};
use crate::diag::{Code, Report};
use crate::name::Duration;
use crate::resolve::model::{Discard, Domain, PersistMode, Retention, Storage, Stream};

const CODE: Code = Code(305);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "stream-fields",
    title: "fields of a stream exclude each other",
    check: Check::Holder(check),
};

/// The shortest age and window that nats-server takes: 100 ms.
const SHORTEST: Duration = Duration::nanos(100_000_000);

fn too_short(duration: Option<Duration>) -> bool {
    duration.is_some_and(|duration| duration.as_nanos() > 0 && duration < SHORTEST)
}

fn window_outlives_age(stream: &Stream) -> bool {
    match (stream.duplicate_window, stream.max_age) {
        (Some(window), Some(age)) => age.as_nanos() > 0 && window > age,
        _ => false,
    }
}

fn republishes_into_itself(stream: &Stream) -> bool {
    stream
        .republish
        .as_ref()
        .is_some_and(|republish| stream.subjects.iter().any(|own| own.overlaps(&republish.destination)))
}

pub const ROWS: &[Row<Stream>] = &[
    Row {
        name: "window-longer-than-age",
        field: "duplicate_window",
        wrong: window_outlives_age,
        says: "the duplicate window is longer than the maximum age",
        help: "shorten `duplicate_window`, or leave it out: it is two minutes or the maximum age, whichever is less",
    },
    Row {
        name: "window-too-short",
        field: "duplicate_window",
        wrong: |s| too_short(s.duplicate_window),
        says: "a duplicate window is at least 100ms",
        help: "write `duplicate_window = \"100ms\"` or more",
    },
    Row {
        name: "age-too-short",
        field: "max_age",
        wrong: |s| too_short(s.max_age),
        says: "a maximum age is at least 100ms",
        help: "write `max_age = \"100ms\"` or more, or leave it out for no limit",
    },
    Row {
        name: "zero-age",
        field: "max_age",
        wrong: |s| s.max_age.is_some_and(|age| age.as_nanos() == 0),
        says: "nats-server reads a maximum age of 0 as no limit",
        help: "leave `max_age` out if no limit is meant",
    },
    Row {
        name: "zero-bytes",
        field: "max_bytes",
        wrong: |s| s.max_bytes.is_some_and(|size| size.as_bytes() == 0),
        says: "nats-server reads 0 bytes as no limit",
        help: "leave `max_bytes` out if no limit is meant",
    },
    Row {
        name: "zero-messages",
        field: "max_msgs",
        wrong: |s| s.max_msgs == Some(0),
        says: "nats-server reads 0 messages as no limit",
        help: "leave `max_msgs` out if no limit is meant",
    },
    Row {
        name: "zero-messages-per-subject",
        field: "max_msgs_per_subject",
        wrong: |s| s.max_msgs_per_subject == Some(0),
        says: "nats-server reads 0 messages per subject as no limit",
        help: "leave `max_msgs_per_subject` out if no limit is meant",
    },
    Row {
        name: "zero-message-size",
        field: "max_msg_size",
        wrong: |s| s.max_msg_size.is_some_and(|size| size.as_bytes() == 0),
        says: "nats-server reads a message size of 0 as no limit",
        help: "leave `max_msg_size` out if no limit is meant",
    },
    Row {
        name: "zero-consumers",
        field: "max_consumers",
        wrong: |s| s.max_consumers == Some(0),
        says: "nats-server reads 0 consumers as no limit",
        help: "leave `max_consumers` out if no limit is meant",
    },
    Row {
        name: "rollup-without-purge",
        field: "allow_rollup_hdrs",
        wrong: |s| s.allow_rollup_hdrs && s.deny_purge && !s.immutable,
        says: "a roll-up is a purge, and this stream denies purges",
        help: "drop `allow_rollup_hdrs` or `deny_purge`; a snapshot belongs in a stream of its own",
    },
    Row {
        name: "counter-discards-new",
        field: "discard",
        wrong: |s| s.allow_msg_counter && s.discard == Discard::New,
        says: "a stream of counters cannot discard new messages",
        help: "leave `discard` out: `old` is the default",
    },
    Row {
        name: "counter-with-ttl",
        field: "allow_msg_ttl",
        wrong: |s| s.allow_msg_counter && s.allow_msg_ttl,
        says: "a stream of counters cannot let single messages expire",
        help: "drop `allow_msg_ttl` or `allow_msg_counter`",
    },
    Row {
        name: "counter-with-schedules",
        field: "allow_msg_schedules",
        wrong: |s| s.allow_msg_counter && s.allow_msg_schedules,
        says: "a stream of counters cannot hold schedules",
        help: "drop `allow_msg_schedules` or `allow_msg_counter`",
    },
    Row {
        name: "counter-without-limits-retention",
        field: "retention",
        wrong: |s| s.allow_msg_counter && s.retention != Retention::Limits,
        says: "a stream of counters has limits retention",
        help: "leave `retention` out: `limits` is the default",
    },
    Row {
        name: "per-subject-discards-old",
        field: "discard_new_per_subject",
        wrong: |s| s.discard_new_per_subject && s.discard != Discard::New && !s.immutable,
        says: "`discard_new_per_subject` needs a stream that discards new messages",
        help: "write `discard = \"new\"` beside it",
    },
    Row {
        name: "per-subject-without-limit",
        field: "discard_new_per_subject",
        wrong: |s| s.discard_new_per_subject && s.max_msgs_per_subject.is_none_or(|most| most == 0),
        says: "`discard_new_per_subject` needs a limit per subject",
        help: "write `max_msgs_per_subject = 1`, or as many as a subject may hold",
    },
    Row {
        name: "schedules-discard-new",
        field: "allow_msg_schedules",
        wrong: |s| s.allow_msg_schedules && s.discard == Discard::New,
        says: "a stream of schedules cannot discard new messages",
        help: "leave `discard` out: `old` is the default",
    },
    Row {
        name: "schedules-in-a-mirror",
        field: "allow_msg_schedules",
        wrong: |s| s.allow_msg_schedules && s.mirror.is_some(),
        says: "a mirror cannot hold schedules",
        help: "drop `allow_msg_schedules`; the stream that is mirrored may have it",
    },
    Row {
        name: "schedules-with-sources",
        field: "allow_msg_schedules",
        wrong: |s| s.allow_msg_schedules && !s.sources.is_empty(),
        says: "a stream with sources cannot hold schedules",
        help: "drop `allow_msg_schedules`, or give the schedules a stream of their own",
    },
    Row {
        name: "schedules-without-purge",
        field: "allow_msg_schedules",
        wrong: |s| s.allow_msg_schedules && s.deny_purge && !s.immutable,
        says: "schedules switch roll-ups on, and this stream denies purges",
        help: "drop `allow_msg_schedules` or `deny_purge`",
    },
    Row {
        name: "async-in-memory",
        field: "persist_mode",
        wrong: |s| s.persist_mode == PersistMode::Async && s.storage == Storage::Memory,
        says: "`persist_mode` speaks of files, and this stream is in memory",
        help: "leave `persist_mode` out, or write `storage = \"file\"`",
    },
    Row {
        name: "async-replicated",
        field: "persist_mode",
        wrong: |s| s.persist_mode == PersistMode::Async && s.replicas > 1,
        says: "a replicated stream cannot be written asynchronously",
        help: "leave `persist_mode` out, or write `replicas = 1`",
    },
    Row {
        name: "async-with-batches",
        field: "persist_mode",
        wrong: |s| s.persist_mode == PersistMode::Async && s.allow_atomic,
        says: "a stream that takes atomic batches cannot be written asynchronously",
        help: "leave `persist_mode` out, or drop `allow_atomic`",
    },
    Row {
        name: "mirror-with-subjects",
        field: "subjects",
        wrong: |s| s.mirror.is_some() && !s.subjects.is_empty(),
        says: "a mirror has no subjects of its own",
        help: "drop `subjects`, or write `sources` in place of `mirror`",
    },
    Row {
        name: "mirror-with-sources",
        field: "sources",
        wrong: |s| s.mirror.is_some() && !s.sources.is_empty(),
        says: "a stream is a mirror or has sources, never both",
        help: "name the mirrored stream among the `sources` and drop `mirror`",
    },
    Row {
        name: "mirror-with-counter",
        field: "allow_msg_counter",
        wrong: |s| s.mirror.is_some() && s.allow_msg_counter,
        says: "a mirror cannot count",
        help: "drop `allow_msg_counter`; the stream that is mirrored may have it",
    },
    Row {
        name: "mirror-with-batches",
        field: "allow_atomic",
        wrong: |s| s.mirror.is_some() && s.allow_atomic,
        says: "nobody writes a mirror, so it takes no batches",
        help: "drop `allow_atomic`; the stream that is mirrored may have it",
    },
    Row {
        name: "republish-into-itself",
        field: "republish",
        wrong: republishes_into_itself,
        says: "this stream would capture what it republishes",
        help: "republish to a subject that the stream does not capture",
    },
    Row {
        name: "no-subjects",
        field: "subjects",
        wrong: |s| s.subjects.is_empty() && s.mirror.is_none() && s.sources.is_empty(),
        says: "without subjects, mirror or sources nats-server takes the stream's name for its subject",
        help: "write `subjects = [\"…\"]`",
    },
    Row {
        name: "long-description",
        field: "description",
        wrong: |s| s.description.as_ref().is_some_and(|text| text.len() > 4096),
        says: "a description has at most 4096 bytes",
        help: "put the rest into the module's README",
    },
    Row {
        name: "long-metadata",
        field: "metadata",
        wrong: |s| s.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > 128 * 1024,
        says: "the metadata of a stream has at most 128 KiB in all",
        help: "metadata names things; keep the things in a bucket",
    },
    Row {
        name: "reserved-metadata",
        field: "metadata",
        wrong: |s| s.metadata.keys().any(|key| key.starts_with("_nats") || key.starts_with("leafwright")),
        says: "metadata keys that begin with `_nats` or `leafwright` are taken",
        help: "choose another key",
    },
];

fn check(holder: Holder<'_>, _: &Domain, report: &mut Report) {
    for (name, stream) in holder.streams() {
        rows::check(ROWS, stream, || format!("streams.{name}"), holder, CODE, report);
    }
}

#[cfg(test)]
pub mod cases {
    //! For each row, the smallest change that makes a good stream break it.
    use super::*;
    use crate::name::{ByteSize, StreamName, SubjectPattern};
    use crate::resolve::model::{Republish, StreamSource};

    pub type Case = (&'static str, fn(&mut Stream));

    fn source() -> StreamSource {
        StreamSource { stream: StreamName::parse("EVT").unwrap(), domain: Some("hub".into()), filter: None }
    }

    fn mirror(s: &mut Stream) {
        s.subjects.clear();
        s.mirror = Some(source());
    }

    pub const CASES: &[Case] = &[
        ("window-longer-than-age", |s| {
            s.max_age = Some(Duration::secs(60));
            s.duplicate_window = Some(Duration::secs(61));
        }),
        ("window-too-short", |s| s.duplicate_window = Some(Duration::nanos(99_999_999))),
        ("age-too-short", |s| s.max_age = Some(Duration::nanos(99_999_999))),
        ("zero-age", |s| s.max_age = Some(Duration::nanos(0))),
        ("zero-bytes", |s| s.max_bytes = Some(ByteSize::bytes(0))),
        ("zero-messages", |s| s.max_msgs = Some(0)),
        ("zero-messages-per-subject", |s| s.max_msgs_per_subject = Some(0)),
        ("zero-message-size", |s| s.max_msg_size = Some(ByteSize::bytes(0))),
        ("zero-consumers", |s| s.max_consumers = Some(0)),
        ("rollup-without-purge", |s| (s.allow_rollup_hdrs, s.deny_purge) = (true, true)),
        ("counter-discards-new", |s| (s.allow_msg_counter, s.discard) = (true, Discard::New)),
        ("counter-with-ttl", |s| (s.allow_msg_counter, s.allow_msg_ttl) = (true, true)),
        ("counter-with-schedules", |s| (s.allow_msg_counter, s.allow_msg_schedules) = (true, true)),
        ("counter-without-limits-retention", |s| (s.allow_msg_counter, s.retention) = (true, Retention::Interest)),
        ("per-subject-discards-old", |s| (s.discard_new_per_subject, s.max_msgs_per_subject) = (true, Some(1))),
        ("per-subject-without-limit", |s| (s.discard_new_per_subject, s.discard) = (true, Discard::New)),
        ("schedules-discard-new", |s| (s.allow_msg_schedules, s.discard) = (true, Discard::New)),
        ("schedules-in-a-mirror", |s| {
            mirror(s);
            s.allow_msg_schedules = true;
        }),
        ("schedules-with-sources", |s| (s.allow_msg_schedules, s.sources) = (true, vec![source()])),
        ("schedules-without-purge", |s| (s.allow_msg_schedules, s.deny_purge) = (true, true)),
        ("async-in-memory", |s| (s.persist_mode, s.storage) = (PersistMode::Async, Storage::Memory)),
        ("async-replicated", |s| (s.persist_mode, s.replicas) = (PersistMode::Async, 3)),
        ("async-with-batches", |s| (s.persist_mode, s.allow_atomic) = (PersistMode::Async, true)),
        ("mirror-with-subjects", |s| s.mirror = Some(source())),
        ("mirror-with-sources", |s| {
            mirror(s);
            s.sources = vec![source()];
        }),
        ("mirror-with-counter", |s| {
            mirror(s);
            s.allow_msg_counter = true;
        }),
        ("mirror-with-batches", |s| {
            mirror(s);
            s.allow_atomic = true;
        }),
        ("republish-into-itself", |s| {
            let destination = SubjectPattern::parse("orders.copy.>").unwrap();
            s.republish = Some(Republish { source: SubjectPattern::parse(">").unwrap(), destination });
        }),
        ("no-subjects", |s| s.subjects.clear()),
        ("long-description", |s| s.description = Some("x".repeat(4097))),
        ("long-metadata", |s| s.metadata = [("k".to_owned(), "x".repeat(128 * 1024))].into()),
        ("reserved-metadata", |s| s.metadata = [("_nats.level".to_owned(), "1".to_owned())].into()),
    ];

    #[test]
    fn every_row_has_a_case_that_breaks_it_alone() {
        let good = super::super::fixture::stream("orders.>");
        let rows: Vec<_> = ROWS.iter().map(|row| (row.name, row.wrong)).collect();
        super::super::fixture::each_case_breaks_its_row_alone(&good, &rows, CASES);
    }
}
