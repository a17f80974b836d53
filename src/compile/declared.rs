//! Declared streams and buckets as JetStream's own configuration, with what nats-server would fill in silently already written.
//!
//! Refuses: judging them; the rules of `resolve` did that.

use super::jetstream::{External, Republish, StreamConfig, StreamSource};
use super::layout;
use crate::diag::Span;
use crate::identity::sets;
use crate::name::{BucketName, Duration, MachineName, StreamName};
use crate::resolve::{
    self, Bucket, BucketKind, Cluster, Compression, Discard, Machine, Origins, PersistMode, Retention, Storage, Stream,
};
use std::collections::BTreeMap;

/// nats-server's own default duplicate window.
pub const WINDOW: u64 = Duration::secs(120).as_nanos();

/// A stream that somebody wrote down.
pub struct Declared<'a> {
    pub config: StreamConfig,
    pub keepers: &'a [MachineName],
    pub origin: Span,
}

pub fn of_machine(machine: &Machine) -> Vec<Declared<'_>> {
    let options = &machine.options;
    all(
        &options.streams,
        &options.buckets,
        &machine.origins,
        machine.origin,
        Drawer::Leaf { domain: &options.leaf.domain, machine: &machine.name },
    )
}

pub fn of_cluster(cluster: &Cluster) -> Vec<Declared<'_>> {
    let options = &cluster.options;
    all(&options.streams, &options.buckets, &cluster.origins, cluster.origin, Drawer::Cluster(cluster.name.as_str()))
}

/// Who draws: decides where the other domain delivers what is drawn, so that no machine can speak or listen in another's name.
#[derive(Clone, Copy)]
pub enum Drawer<'a> {
    Cluster(&'a str),
    Leaf { domain: &'a str, machine: &'a MachineName },
}

fn all<'a>(
    streams: &'a BTreeMap<StreamName, Box<Stream>>,
    buckets: &'a BTreeMap<BucketName, Box<Bucket>>,
    origins: &Origins,
    fallback: Span,
    drawer: Drawer<'_>,
) -> Vec<Declared<'a>> {
    let place = |path: String| origins.of(&path).unwrap_or(fallback);
    let streams = streams.iter().map(|(name, stream)| Declared {
        config: self::stream(name, stream, drawer),
        keepers: &stream.keepers,
        origin: place(format!("streams.{name}")),
    });
    let buckets = buckets.iter().map(|(name, bucket)| Declared {
        config: self::bucket(name, bucket),
        keepers: &bucket.keepers,
        origin: place(format!("buckets.{name}")),
    });
    streams.chain(buckets).collect()
}

/// A stream without limits, subjects or sources, as nats-server returns it.
pub fn blank(name: impl Into<String>) -> StreamConfig {
    StreamConfig {
        name: name.into(),
        description: None,
        subjects: vec![],
        retention: "limits".to_owned(),
        max_consumers: -1,
        max_msgs: -1,
        max_bytes: -1,
        max_age: 0,
        max_msgs_per_subject: -1,
        max_msg_size: -1,
        discard: "old".to_owned(),
        discard_new_per_subject: false,
        storage: "file".to_owned(),
        num_replicas: 1,
        duplicate_window: WINDOW,
        placement: None,
        mirror: None,
        sources: vec![],
        compression: "none".to_owned(),
        first_seq: 0,
        subject_transform: None,
        republish: None,
        sealed: false,
        deny_delete: false,
        deny_purge: false,
        allow_rollup_hdrs: false,
        allow_direct: true,
        mirror_direct: false,
        allow_msg_ttl: false,
        allow_msg_counter: false,
        allow_msg_schedules: false,
        allow_atomic: false,
        persist_mode: None,
        metadata: BTreeMap::from([("leafwright".to_owned(), "managed".to_owned())]),
    }
}

/// Never changes once written: the flags, refusal when full, and a limit in bytes that only grows.
pub fn immutable(config: StreamConfig, max_bytes: u64) -> StreamConfig {
    StreamConfig {
        deny_delete: true,
        deny_purge: true,
        discard: "new".to_owned(),
        max_bytes: limit(max_bytes),
        ..config
    }
}

/// 0 means unlimited to nats-server and comes back as -1.
pub fn limit(value: u64) -> i64 {
    match value {
        0 => -1,
        some => i64::try_from(some).unwrap_or(i64::MAX),
    }
}

fn limit_of(value: Option<u64>) -> i64 {
    limit(value.unwrap_or(0))
}

/// `duplicate_window` absent means 2 minutes, or the maximum age where that is shorter; a mirror has none.
pub fn window(declared: Option<Duration>, max_age: u64) -> u64 {
    match (declared.map(Duration::as_nanos), max_age) {
        (Some(window), _) if window > 0 => window,
        (_, 0) => WINDOW,
        (_, age) => WINDOW.min(age),
    }
}

fn stream(name: &StreamName, stream: &Stream, drawer: Drawer<'_>) -> StreamConfig {
    let max_age = stream.max_age.map_or(0, Duration::as_nanos);
    let mut metadata = stream.metadata.clone();
    metadata.insert("leafwright".to_owned(), "managed".to_owned());
    let new = stream.immutable || stream.discard == Discard::New;
    StreamConfig {
        description: stream.description.clone(),
        subjects: stream.subjects.iter().map(ToString::to_string).collect(),
        retention: retention(stream.retention).to_owned(),
        max_consumers: limit_of(stream.max_consumers),
        max_msgs: limit_of(stream.max_msgs),
        max_bytes: limit_of(stream.max_bytes.map(|size| size.as_bytes())),
        max_age,
        max_msgs_per_subject: limit_of(stream.max_msgs_per_subject),
        max_msg_size: limit_of(stream.max_msg_size.map(|size| size.as_bytes())),
        discard: if new { "new" } else { "old" }.to_owned(),
        discard_new_per_subject: stream.discard_new_per_subject,
        storage: storage(stream.storage).to_owned(),
        num_replicas: stream.replicas.max(1),
        duplicate_window: if stream.mirror.is_some() { 0 } else { window(stream.duplicate_window, max_age) },
        mirror: stream.mirror.as_ref().map(|source| self::source(source, drawer)),
        sources: stream.sources.iter().map(|source| self::source(source, drawer)).collect(),
        compression: compression(stream.compression).to_owned(),
        republish: stream.republish.as_ref().map(|republish| Republish {
            src: republish.source.to_string(),
            dest: republish.destination.to_string(),
            headers_only: false,
        }),
        deny_delete: stream.immutable || stream.deny_delete,
        deny_purge: stream.immutable || stream.deny_purge,
        allow_rollup_hdrs: stream.allow_rollup_hdrs,
        allow_direct: stream.allow_direct,
        allow_msg_ttl: stream.allow_msg_ttl,
        allow_msg_counter: stream.allow_msg_counter,
        allow_msg_schedules: stream.allow_msg_schedules,
        allow_atomic: stream.allow_atomic,
        persist_mode: (stream.persist_mode == PersistMode::Async).then(|| "async".to_owned()),
        metadata,
        ..blank(name.as_str())
    }
}

fn source(source: &resolve::StreamSource, drawer: Drawer<'_>) -> StreamSource {
    let filter_subject = source.filter.as_ref().map(ToString::to_string).unwrap_or_default();
    let drawn = match &source.domain {
        Some(domain) => draw_from(source.stream.as_str(), domain, drawer),
        None => draw(source.stream.as_str()),
    };
    StreamSource { filter_subject, ..drawn }
}

/// Everything of a stream in the same domain.
pub fn draw(stream: &str) -> StreamSource {
    StreamSource {
        name: stream.to_owned(),
        opt_start_seq: 0,
        filter_subject: String::new(),
        subject_transforms: vec![],
        external: None,
    }
}

/// Everything of `stream` in `domain`. A leaf's domain is named after its machine.
pub fn draw_from(stream: &str, domain: &str, drawer: Drawer<'_>) -> StreamSource {
    let deliver = match drawer {
        Drawer::Cluster(own) | Drawer::Leaf { domain: own, .. } if own == domain => return draw(stream),
        Drawer::Cluster(_) => match MachineName::parse(domain) {
            Ok(leaf) => sets::source_delivery(&leaf),
            Err(_) => String::new(),
        },
        Drawer::Leaf { machine, .. } => sets::mirror_delivery(machine),
    };
    StreamSource { external: Some(External { api: layout::api(Some(domain)), deliver }), ..draw(stream) }
}

/// A key-value or object bucket's stream (ADR-8, ADR-20).
fn bucket(name: &BucketName, bucket: &Bucket) -> StreamConfig {
    let max_age = bucket.max_age.map_or(0, Duration::as_nanos);
    let shared = StreamConfig {
        description: bucket.description.clone(),
        max_age,
        max_bytes: limit_of(bucket.max_bytes.map(|size| size.as_bytes())),
        storage: storage(bucket.storage).to_owned(),
        compression: compression(bucket.compression).to_owned(),
        num_replicas: bucket.replicas.max(1),
        duplicate_window: window(None, max_age),
        discard: "new".to_owned(),
        allow_rollup_hdrs: true,
        ..blank("")
    };
    match bucket.kind {
        BucketKind::KeyValue => StreamConfig {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_msgs_per_subject: i64::from(bucket.history.max(1)),
            deny_delete: true,
            ..shared
        },
        BucketKind::Object => StreamConfig {
            name: format!("OBJ_{name}"),
            subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
            ..shared
        },
    }
}

fn retention(retention: Retention) -> &'static str {
    match retention {
        Retention::Limits => "limits",
        Retention::Interest => "interest",
        Retention::WorkQueue => "workqueue",
    }
}

fn storage(storage: Storage) -> &'static str {
    match storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    }
}

fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::S2 => "s2",
    }
}
