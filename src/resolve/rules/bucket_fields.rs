//! What a key-value or object bucket can be (ADR-8, ADR-20).

use super::holder::Holder;
use super::rows::{self, Row};
use super::{Check, Rule};
use crate::diag::{Code, Report};
use crate::resolve::model::{Bucket, BucketKind, Domain};

const CODE: Code = Code(309);

pub const RULE: Rule =
    Rule { code: CODE, name: "bucket-fields", title: "a bucket cannot be so", check: Check::Holder(check) };

pub const ROWS: &[Row<Bucket>] = &[
    Row {
        name: "history-out-of-range",
        field: "history",
        wrong: |b| b.kind == BucketKind::KeyValue && !(1..=64).contains(&b.history),
        says: "a key-value bucket keeps 1 to 64 values of a key",
        help: "write `history = 64` or less; a longer history is a stream",
    },
    Row {
        name: "history-of-objects",
        field: "history",
        wrong: |b| b.kind == BucketKind::Object && b.history > 1,
        says: "an object bucket keeps one version of an object",
        help: "leave `history` out, or put the version into the object's name",
    },
    Row {
        name: "age-too-short",
        field: "max_age",
        wrong: |b| b.max_age.is_some_and(|age| age.as_nanos() < 100_000_000),
        says: "a maximum age is at least 100ms",
        help: "write `max_age = \"100ms\"` or more, or leave it out for no limit",
    },
    Row {
        name: "zero-bytes",
        field: "max_bytes",
        wrong: |b| b.max_bytes.is_some_and(|size| size.as_bytes() == 0),
        says: "nats-server reads 0 bytes as no limit",
        help: "leave `max_bytes` out if no limit is meant",
    },
    Row {
        name: "long-description",
        field: "description",
        wrong: |b| b.description.as_ref().is_some_and(|text| text.len() > 4096),
        says: "a description has at most 4096 bytes",
        help: "put the rest into the module's README",
    },
];

fn check(holder: Holder<'_>, _: &Domain, report: &mut Report) {
    for (name, bucket) in holder.buckets() {
        rows::check(ROWS, bucket, || format!("buckets.{name}"), holder, CODE, report);
    }
}

#[cfg(test)]
mod cases {
    use super::*;
    use crate::name::{ByteSize, Duration};

    type Case = (&'static str, fn(&mut Bucket));

    const CASES: &[Case] = &[
        ("history-out-of-range", |b| b.history = 65),
        ("history-of-objects", |b| (b.kind, b.history) = (BucketKind::Object, 2)),
        ("age-too-short", |b| b.max_age = Some(Duration::nanos(1))),
        ("zero-bytes", |b| b.max_bytes = Some(ByteSize::bytes(0))),
        ("long-description", |b| b.description = Some("x".repeat(4097))),
    ];

    #[test]
    fn every_row_has_a_case_that_breaks_it_alone() {
        let good = super::super::fixture::bucket();
        let rows: Vec<_> = ROWS.iter().map(|row| (row.name, row.wrong)).collect();
        super::super::fixture::each_case_breaks_its_row_alone(&good, &rows, CASES);
    }
}
