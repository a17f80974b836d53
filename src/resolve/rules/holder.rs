//! Whatever holds streams and buckets in one JetStream domain: the cluster, or a machine.
//!
//! Refuses: judging; it only finds.

use super::event_capture::sends_commands;
use crate::diag::Span;
use crate::name::{BucketName, MachineName, StreamName};
use crate::resolve::model::{Bucket, BucketKind, Cluster, Domain, Machine, Origins, Part, Stream};
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
pub enum Holder<'a> {
    Cluster(&'a Cluster),
    Machine(&'a Machine),
}

impl<'a> Holder<'a> {
    /// The cluster, then every machine.
    pub fn all(domain: &'a Domain) -> impl Iterator<Item = Holder<'a>> {
        let cluster = domain.cluster.iter().map(Holder::Cluster);
        cluster.chain(domain.machines.iter().map(|machine| Holder::Machine(machine)))
    }

    pub fn name(self) -> &'a MachineName {
        match self {
            Holder::Cluster(cluster) => &cluster.name,
            Holder::Machine(machine) => &machine.name,
        }
    }

    /// The JetStream domain.
    pub fn domain(self) -> &'a str {
        match self {
            Holder::Cluster(cluster) => cluster.name.as_str(),
            Holder::Machine(machine) => &machine.options.leaf.domain,
        }
    }

    pub fn streams(self) -> &'a BTreeMap<StreamName, Box<Stream>> {
        match self {
            Holder::Cluster(cluster) => &cluster.options.streams,
            Holder::Machine(machine) => &machine.options.streams,
        }
    }

    pub fn buckets(self) -> &'a BTreeMap<BucketName, Box<Bucket>> {
        match self {
            Holder::Cluster(cluster) => &cluster.options.buckets,
            Holder::Machine(machine) => &machine.options.buckets,
        }
    }

    fn origins(self) -> &'a Origins {
        match self {
            Holder::Cluster(cluster) => &cluster.origins,
            Holder::Machine(machine) => &machine.origins,
        }
    }

    /// Where an option was written, or what is nearest to it.
    pub fn span(self, path: &str) -> Span {
        self.origins().of(path).unwrap_or(match self {
            Holder::Cluster(cluster) => cluster.origin,
            Holder::Machine(machine) => machine.origin,
        })
    }

    pub fn stream_span(self, stream: &StreamName, field: &str) -> Span {
        self.span(&format!("streams.{stream}.{field}"))
    }

    pub fn bucket_span(self, bucket: &BucketName, field: &str) -> Span {
        self.span(&format!("buckets.{bucket}.{field}"))
    }

    /// Did somebody write this very option, or does it have its default?
    pub fn wrote(self, path: &str) -> bool {
        let origins = self.origins();
        origins.places.get(path).or_else(|| origins.base.get(path)).is_some()
    }

    /// The table in which the cluster's, or the machine's, streams are written.
    pub fn table(self) -> String {
        match self {
            Holder::Cluster(cluster) => format!("clusters.{}.settings", cluster.name),
            Holder::Machine(_) => "settings".to_owned(),
        }
    }

    /// Is there such a stream here: declared, of a bucket, or made by Leafwright?
    pub fn has_stream(self, name: &str, domain: &Domain) -> bool {
        let bucket = |prefix: &str, kind: BucketKind| {
            let bucket = name.strip_prefix(prefix).and_then(|bucket| self.buckets().get(bucket));
            bucket.is_some_and(|bucket| bucket.kind == kind)
        };
        self.streams().contains_key(name)
            || bucket("KV_", BucketKind::KeyValue)
            || bucket("OBJ_", BucketKind::Object)
            || self.makes_stream(name, domain)
    }

    fn makes_stream(self, name: &str, domain: &Domain) -> bool {
        match self {
            Holder::Cluster(cluster) => {
                let seed = |set: &str| domain.domain_events.iter().any(|event| event.as_str() == set);
                matches!(name, "CMD" | "DLQ")
                    || aggregate_index("EVT", name).or(aggregate_index("PRV", name)).is_some_and(|index| {
                        match (index, cluster.options.event_store.shards) {
                            (None, shards) => shards <= 1,
                            (Some(index), shards) => shards > 1 && index < shards,
                        }
                    })
                    || name.strip_prefix("SEED-domain-").is_some_and(seed)
            }
            Holder::Machine(machine) if machine.part == Part::Leaf => {
                let own = |prefix: &str| name.strip_prefix(prefix) == Some(machine.name.as_str());
                let seed = |rest: &str| {
                    let set = rest.strip_prefix(machine.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
                    machine.events.iter().any(|event| Some(event.as_str()) == set)
                };
                own("PRV-")
                    || (own("EVT-") && machine.options.event_store.enable)
                    || (own("CMD-") && sends_commands(machine, domain))
                    || name.strip_prefix("SEED-").is_some_and(seed)
                    || name.strip_prefix("KEEP-").is_some_and(|kept| keeps(machine, kept, domain))
            }
            Holder::Machine(_) => false,
        }
    }
}

/// Is this machine a keeper of a stream of this name, wherever it is written?
fn keeps(machine: &Machine, stream: &str, domain: &Domain) -> bool {
    Holder::all(domain).any(|holder| {
        let of = |keepers: &[MachineName]| keepers.contains(&machine.name);
        let aggregate = match holder {
            Holder::Cluster(cluster) => {
                of(&cluster.options.event_store.keepers) && aggregate_index("EVT", stream).is_some()
            }
            Holder::Machine(_) => false,
        };
        let bucket = stream.strip_prefix("KV_").or_else(|| stream.strip_prefix("OBJ_"));
        aggregate
            || holder.streams().get(stream).is_some_and(|stream| of(&stream.keepers))
            || bucket.and_then(|bucket| holder.buckets().get(bucket)).is_some_and(|bucket| of(&bucket.keepers))
    })
}

/// `EVT` → no index, `EVT-3` → 3; `None` for a name of another stem.
fn aggregate_index(stem: &str, name: &str) -> Option<Option<u32>> {
    match name.strip_prefix(stem)? {
        "" => Some(None),
        rest => Some(Some(rest.strip_prefix('-')?.parse().ok()?)),
    }
}

/// Machines are sorted by name.
pub fn machine<'a>(domain: &'a Domain, name: &MachineName) -> Option<&'a Machine> {
    let at = domain.machines.binary_search_by(|machine| machine.name.cmp(name)).ok()?;
    Some(&domain.machines[at])
}

pub fn members(domain: &Domain) -> impl Iterator<Item = &Machine> {
    domain.cluster.iter().flat_map(|cluster| &cluster.members).filter_map(|name| machine(domain, name))
}

pub fn leaves(domain: &Domain) -> impl Iterator<Item = &Machine> {
    domain.machines.iter().filter(|machine| machine.part == Part::Leaf).map(|machine| &**machine)
}

pub fn span(machine: &Machine, path: &str) -> Span {
    Holder::Machine(machine).span(path)
}
