//! Immutable means that every attack fails: no limit that deletes, no header that deletes, no full disk that deletes.
//!
//! `deny_delete` and `deny_purge` alone stop none of these (NATS-FACTS part 2, 4).

use super::holder::Holder;
use super::rows::{self, Row};
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::ByteSize;
use crate::resolve::model::{Discard, Domain, PersistMode, Retention, Storage, Stream};

const CODE: Code = Code(310);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "immutable-streams",
    title: "an immutable stream could lose messages",
    check: Check::Holder(check),
};

pub const ROWS: &[Row<Stream>] = &[
    Row {
        name: "expires",
        field: "max_age",
        wrong: |s| s.immutable && s.max_age.is_some(),
        says: "an immutable stream has no maximum age, which deletes",
        help: "drop `max_age`, or drop `immutable`",
    },
    Row {
        name: "counts-out",
        field: "max_msgs",
        wrong: |s| s.immutable && s.max_msgs.is_some(),
        says: "an immutable stream is bounded by bytes, not by a number of messages",
        help: "write `max_bytes` in place of `max_msgs`",
    },
    Row {
        name: "replaces",
        field: "max_msgs_per_subject",
        wrong: |s| s.immutable && s.max_msgs_per_subject.is_some() && !s.discard_new_per_subject,
        says: "a limit per subject deletes the older message of an immutable stream",
        help: "write `discard_new_per_subject = true` beside it: then a second message is refused",
    },
    Row {
        name: "lets-go",
        field: "retention",
        wrong: |s| s.immutable && s.retention != Retention::Limits,
        says: "an immutable stream keeps what was consumed",
        help: "leave `retention` out: `limits` is the default",
    },
    Row {
        name: "unbounded",
        field: "immutable",
        wrong: |s| s.immutable && s.max_bytes.is_none(),
        says: "an immutable stream has a limit in bytes, at which it refuses and alarms before the disk is full",
        help: "write `max_bytes = \"1GiB\"`, or what it may hold; it can grow later",
    },
    Row {
        name: "nothing",
        field: "max_bytes",
        wrong: |s| s.immutable && s.max_bytes.is_some_and(|size| size.as_bytes() == 0),
        says: "a limit of zero bytes is none to nats-server, and an immutable stream has one",
        help: "write `max_bytes = \"1GiB\"`, or what it may hold; it can grow later",
    },
    Row {
        name: "rolls-up",
        field: "allow_rollup_hdrs",
        wrong: |s| s.immutable && s.allow_rollup_hdrs,
        says: "any publisher can empty a stream that allows roll-ups",
        help: "drop `allow_rollup_hdrs`; a snapshot belongs in a stream of its own",
    },
    Row {
        name: "single-messages-expire",
        field: "allow_msg_ttl",
        wrong: |s| s.immutable && s.allow_msg_ttl,
        says: "any publisher can let its message expire in a stream that allows `Nats-TTL`",
        help: "drop `allow_msg_ttl`",
    },
    Row {
        name: "schedules",
        field: "allow_msg_schedules",
        wrong: |s| s.immutable && s.allow_msg_schedules,
        says: "schedules switch roll-ups on, and a roll-up empties an immutable stream",
        help: "drop `allow_msg_schedules`, or give the schedules a stream of their own",
    },
    Row {
        name: "in-memory",
        field: "storage",
        wrong: |s| s.immutable && s.storage == Storage::Memory,
        says: "what is in memory is gone after a restart",
        help: "leave `storage` out: `file` is the default",
    },
    Row {
        name: "acknowledges-before-writing",
        field: "persist_mode",
        wrong: |s| s.immutable && s.persist_mode == PersistMode::Async,
        says: "an immutable stream is written before it is acknowledged",
        help: "leave `persist_mode` out",
    },
];

fn check(holder: Holder<'_>, _: &Domain, report: &mut Report) {
    for (option, size) in stores(holder) {
        if size.as_bytes() == 0 {
            let says = format!("`{option}` is zero, which is no limit to nats-server");
            let error = Diagnostic::error(CODE, holder.span(option), says);
            report.push(error.help("write how much it may hold, such as \"1GiB\", or leave it out; it can grow later"));
        }
    }
    for (name, stream) in holder.streams().iter().filter(|(_, stream)| stream.immutable) {
        let path = || format!("streams.{name}");
        rows::check(ROWS, stream, path, holder, CODE, report);
        // `discard = "old"` is the option's default, and immutable overrides the default; it contradicts what was written.
        let discard = format!("streams.{name}.discard");
        if stream.discard == Discard::Old && holder.wrote(&discard) {
            let says = "an immutable stream refuses new messages when it is full, it never discards old ones";
            report.push(
                Diagnostic::error(CODE, holder.span(&discard), says)
                    .help("drop `discard`: `new` follows from `immutable`"),
            );
        }
    }
}

/// The sizes of the stores that follow from options, and fill up instead of losing anything.
fn stores(holder: Holder<'_>) -> [(&'static str, ByteSize); 3] {
    match holder {
        Holder::Cluster(cluster) => [
            ("event_store.max_bytes", cluster.options.event_store.max_bytes),
            ("commands.max_bytes", cluster.options.commands.max_bytes),
            ("history.max_bytes", cluster.options.history.max_bytes),
        ],
        Holder::Machine(machine) => [
            ("event_store.max_bytes", machine.options.event_store.max_bytes),
            ("event_store.commands_max_bytes", machine.options.event_store.commands_max_bytes),
            ("history.max_bytes", machine.options.history.max_bytes),
        ],
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::name::Duration;

    type Case = (&'static str, fn(&mut Stream));

    const CASES: &[Case] = &[
        ("expires", |s| s.max_age = Some(Duration::secs(60))),
        ("counts-out", |s| s.max_msgs = Some(1000)),
        ("replaces", |s| s.max_msgs_per_subject = Some(1)),
        ("lets-go", |s| s.retention = Retention::WorkQueue),
        ("unbounded", |s| s.max_bytes = None),
        ("nothing", |s| s.max_bytes = Some(ByteSize::bytes(0))),
        ("rolls-up", |s| s.allow_rollup_hdrs = true),
        ("single-messages-expire", |s| s.allow_msg_ttl = true),
        ("schedules", |s| s.allow_msg_schedules = true),
        ("in-memory", |s| s.storage = Storage::Memory),
        ("acknowledges-before-writing", |s| s.persist_mode = PersistMode::Async),
    ];

    #[test]
    fn every_row_has_a_case_that_breaks_it_alone() {
        let mut good = super::super::fixture::stream("orders.>");
        good.immutable = true;
        good.max_bytes = Some(ByteSize::bytes(1 << 30));
        let rows: Vec<_> = ROWS.iter().map(|row| (row.name, row.wrong)).collect();
        super::super::fixture::each_case_breaks_its_row_alone(&good, &rows, CASES);
    }
}
