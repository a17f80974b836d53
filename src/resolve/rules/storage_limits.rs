//! What the streams of a machine may grow to fits into what JetStream has there, and that fits into the hardware.
//!
//! nats-server reserves a stream's `max_bytes` when it is made, and refuses the stream that no longer fits (error 10047).

use super::event_capture::sends_commands;
use super::holder::{Holder, members, span};
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::name::{BucketName, ByteSize, MachineName, StreamName};
use crate::resolve::model::{Cluster, Domain, Machine, Part, Storage};
use std::collections::BTreeMap;

const CODE: Code = Code(313);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "storage-limits",
    title: "more is promised than the machine has",
    check: Check::Domain(check),
};

/// An option path, spelled out only where something is wrong with it.
#[derive(Clone, Copy)]
enum Path<'a> {
    Option(&'static str),
    Stream(&'a StreamName),
    Bucket(&'a BucketName),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Option(path) => f.write_str(path),
            Path::Stream(name) => write!(f, "streams.{name}.max_bytes"),
            Path::Bucket(name) => write!(f, "buckets.{name}.max_bytes"),
        }
    }
}

/// One stream's share: how much, of what, by which option.
#[derive(Clone)]
struct Share<'a> {
    holder: Holder<'a>,
    path: Path<'a>,
    storage: Storage,
    bytes: u64,
}

impl Share<'_> {
    fn span(&self) -> Span {
        self.holder.span(&self.path.to_string())
    }
}

fn check(domain: &Domain, report: &mut Report) {
    let mut kept: BTreeMap<&MachineName, Vec<Share<'_>>> = BTreeMap::new();
    for holder in Holder::all(domain) {
        keep(holder, &mut kept);
    }
    for machine in &domain.machines {
        hardware(machine, report);
        if machine.part == Part::Leaf {
            let mut shares = shares_of_leaf(machine, domain);
            shares.extend(kept.remove(&machine.name).unwrap_or_default());
            for (storage, limit, path) in limits(machine) {
                fits(&shares, storage, limit.as_bytes(), (span(machine, path), path), report);
            }
        }
    }
    if let Some(cluster) = &domain.cluster {
        cluster_fits(cluster, domain, report);
    }
}

fn limits(machine: &Machine) -> [(Storage, ByteSize, &'static str); 2] {
    let leaf = &machine.options.leaf;
    [(Storage::File, leaf.disk_max, "leaf.disk_max"), (Storage::Memory, leaf.memory_max, "leaf.memory_max")]
}

fn hardware(machine: &Machine, report: &mut Report) {
    let has = [(machine.hardware.disk, "disk"), (machine.hardware.memory, "memory")];
    for ((_, limit, path), (has, what)) in limits(machine).into_iter().zip(has) {
        if limit > has {
            let (limit, has) = (near(limit.as_bytes()), near(has.as_bytes()));
            let says = format!("`{path}` is {limit}, and the hardware `{}` has {has} of {what}", machine.hardware.name);
            let help = format!("leave `{path}` out: it follows from the hardware");
            report.push(Diagnostic::error(CODE, span(machine, path), says).help(help));
        }
    }
}

fn declared(holder: Holder<'_>) -> impl Iterator<Item = (Share<'_>, &[MachineName], u32)> {
    let streams = holder.streams().iter().filter_map(move |(name, stream)| {
        let share =
            Share { holder, path: Path::Stream(name), storage: stream.storage, bytes: stream.max_bytes?.as_bytes() };
        Some((share, &stream.keepers[..], stream.replicas))
    });
    let buckets = holder.buckets().iter().filter_map(move |(name, bucket)| {
        let share =
            Share { holder, path: Path::Bucket(name), storage: bucket.storage, bytes: bucket.max_bytes?.as_bytes() };
        Some((share, &bucket.keepers[..], bucket.replicas))
    });
    streams.chain(buckets)
}

fn shares_of_leaf<'a>(machine: &'a Machine, domain: &Domain) -> Vec<Share<'a>> {
    let holder = Holder::Machine(machine);
    let store = &machine.options.event_store;
    let file = |path: &'static str, bytes: ByteSize| Share {
        holder,
        path: Path::Option(path),
        storage: Storage::File,
        bytes: bytes.as_bytes(),
    };
    let mut shares: Vec<_> = declared(holder).map(|(share, _, _)| share).collect();
    shares.push(file("history.max_bytes", machine.options.history.max_bytes));
    if store.enable {
        shares.push(file("event_store.max_bytes", store.max_bytes));
        if sends_commands(machine, domain) {
            shares.push(file("event_store.commands_max_bytes", store.commands_max_bytes));
        }
    }
    shares
}

/// A keeper has the limit of what it keeps, and lies in a file.
fn keep<'a>(holder: Holder<'a>, kept: &mut BTreeMap<&'a MachineName, Vec<Share<'a>>>) {
    let mut note = |keepers: &'a [MachineName], share: &Share<'a>| {
        for keeper in keepers {
            kept.entry(keeper).or_default().push(Share { storage: Storage::File, ..share.clone() });
        }
    };
    for (share, keepers, _) in declared(holder) {
        note(keepers, &share);
    }
    if let Holder::Cluster(cluster) = holder {
        note(&cluster.options.event_store.keepers, &aggregate(cluster));
    }
}

fn aggregate(cluster: &Cluster) -> Share<'_> {
    let store = &cluster.options.event_store;
    let bytes = store.max_bytes.as_bytes().saturating_mul(u64::from(store.shards.max(1)));
    Share {
        holder: Holder::Cluster(cluster),
        path: Path::Option("event_store.max_bytes"),
        storage: Storage::File,
        bytes,
    }
}

/// Each stream lies on as many members as it has replicas; on average a member has room for its part of all of them.
fn cluster_fits(cluster: &Cluster, domain: &Domain, report: &mut Report) {
    let holder = Holder::Cluster(cluster);
    let options = &cluster.options;
    let file =
        |path: &'static str, bytes: u64| Share { holder, path: Path::Option(path), storage: Storage::File, bytes };
    let commands = file("commands.max_bytes", options.commands.max_bytes.as_bytes());
    let shards = u64::from(options.event_store.shards.max(1));
    let histories = file("history.max_bytes", options.history.max_bytes.as_bytes().saturating_mul(shards));
    let mut shares: Vec<_> = declared(holder).map(|(share, _, replicas)| times(share, replicas)).collect();
    shares.push(times(aggregate(cluster), options.event_store.replicas));
    shares.push(times(histories, options.event_store.replicas));
    shares.push(times(commands, options.commands.replicas));
    let smallest = |storage: Storage, path: &'static str| {
        let room = |machine: &Machine| {
            limits(machine).into_iter().find(|(kind, ..)| *kind == storage).map_or(0, |(_, limit, _)| limit.as_bytes())
        };
        members(domain).min_by_key(|machine| room(machine)).map(|machine| (room(machine), span(machine, path)))
    };
    for (storage, path) in [(Storage::File, "leaf.disk_max"), (Storage::Memory, "leaf.memory_max")] {
        if let Some((room, place)) = smallest(storage, path) {
            fits(&shares, storage, room.saturating_mul(cluster.members.len() as u64), (place, path), report);
        }
    }
}

fn times(share: Share<'_>, replicas: u32) -> Share<'_> {
    Share { bytes: share.bytes.saturating_mul(u64::from(replicas.max(1))), ..share }
}

fn fits(shares: &[Share<'_>], storage: Storage, room: u64, limit: (Span, &str), report: &mut Report) {
    let mine = || shares.iter().filter(|share| share.storage == storage);
    let sum = mine().fold(0u64, |sum, share| sum.saturating_add(share.bytes));
    let Some(largest) = mine().max_by_key(|share| share.bytes).filter(|_| sum > room) else { return };
    let says = format!("the streams here may grow to {}, and there is room for {}", near(sum), near(room));
    let parts: Vec<String> = mine().map(|share| format!("{} {}", share.path, near(share.bytes))).take(6).collect();
    report.push(
        Diagnostic::error(CODE, largest.span(), says)
            .label("the largest of them")
            .also(limit.0, format!("`{}` comes from here", limit.1))
            .help(format!("lower these or raise `{}`: {}", limit.1, parts.join(", "))),
    );
}

/// Sizes for people: two digits are enough to see what is too large.
fn near(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes}B"),
        Some((name, unit)) if bytes.is_multiple_of(*unit) => format!("{}{name}", bytes / unit),
        Some((name, unit)) => format!("{}.{}{name}", bytes / unit, (bytes % unit) * 10 / unit),
    }
}
