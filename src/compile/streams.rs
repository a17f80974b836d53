//! The streams that must be: what a leaf captures, what the cluster gathers, what keepers keep, what the seeder fills, what is declared.
//!
//! Refuses: creating anything that two domains would both capture. Events and commands cross machines by sources only.

use super::declared::{self, Drawer, blank, draw, draw_from, immutable, limit, window};
use super::desired::{Seed, SeedTarget};
use super::jetstream::{StreamConfig, StreamSource, SubjectTransform};
use super::layout;
use super::link::{Kept, Linked, captures_events};
use crate::diag::Spanned;
use crate::name::EventSetName;
use crate::resolve::{Cluster, EventSet, Machine, Part};

type Made = Vec<Spanned<StreamConfig>>;

/// Everything in the JetStream domain of a leaf, in the order in which it can be created (origins before what sources them).
pub fn of_leaf(linked: &Linked<'_>, machine: &Machine) -> Made {
    if machine.part == Part::Member {
        return vec![];
    }
    let at = |path: &str| machine.origins.of(path).unwrap_or(machine.origin);
    let mut made: Made = seed_streams(linked, machine.name.as_str(), &machine.events)
        .into_iter()
        .map(|config| Spanned::new(config, machine.origin))
        .collect();
    if captures_events(machine) {
        made.push(Spanned::new(event_store(linked, machine), at("event_store.enable")));
    }
    if linked.captures_commands(machine) {
        made.push(Spanned::new(commands(linked, machine), at("services")));
        if linked.domain.cluster.is_none() {
            let stream = layout::commands_of(&machine.name);
            let config = dead_letters(
                layout::dead_letters_of(&machine.name),
                &stream,
                machine.options.event_store.commands_max_bytes.as_bytes(),
            );
            made.push(Spanned::new(config, at("services")));
        }
    }
    made.push(Spanned::new(history(linked, machine), at("history.max_bytes")));
    made.extend(declared::of_machine(machine).into_iter().map(|stream| Spanned::new(stream.config, stream.origin)));
    made.extend(linked.keeps(&machine.name).iter().map(|kept| Spanned::new(keeper(machine, kept), kept.origin)));
    made
}

/// Everything in the JetStream domain of the cluster.
pub fn of_cluster(linked: &Linked<'_>, cluster: &Cluster) -> Made {
    let at = |path: &str| cluster.origins.of(path).unwrap_or(cluster.origin);
    let replicas = cluster.options.event_store.replicas.max(1);
    let mut made: Made = seed_streams(linked, layout::DOMAIN, &linked.domain.domain_events)
        .into_iter()
        .map(|config| Spanned::new(StreamConfig { num_replicas: replicas, ..config }, linked.domain.origin))
        .collect();
    made.extend(aggregates(linked, cluster).into_iter().map(|config| Spanned::new(config, at("event_store"))));
    made.extend(histories(linked, cluster).into_iter().map(|config| Spanned::new(config, at("history.max_bytes"))));
    let commands = work(linked, cluster);
    let letters = StreamConfig {
        num_replicas: cluster.options.commands.replicas.max(1),
        ..dead_letters(layout::DEAD_LETTERS.to_owned(), layout::COMMANDS, cluster.options.commands.max_bytes.as_bytes())
    };
    made.push(Spanned::new(commands, at("commands")));
    made.push(Spanned::new(letters, at("commands")));
    made.extend(declared::of_cluster(cluster).into_iter().map(|stream| Spanned::new(stream.config, stream.origin)));
    made
}

/// The event sets of `owner`, each with the stream that only the seeder writes.
pub fn seeds(linked: &Linked<'_>, owner: &str, sets: &[EventSetName]) -> Vec<Seed> {
    let sets = sets.iter().filter_map(|name| linked.domain.events.get(name).map(|events| (name, events)));
    sets.map(|(set, events)| Seed {
        set: set.clone(),
        target: SeedTarget {
            stream: layout::stream(&layout::seed_stream(owner, set)),
            prefix: layout::seed_prefix(owner, set),
        },
        events: events.clone(),
    })
    .collect()
}

fn seed_streams(linked: &Linked<'_>, owner: &str, sets: &[EventSetName]) -> Vec<StreamConfig> {
    let sets = sets.iter().filter_map(|name| linked.domain.events.get(name));
    sets.map(|set| seed_stream(owner, set)).collect()
}

fn seed_stream(owner: &str, set: &EventSet) -> StreamConfig {
    let config = StreamConfig {
        subjects: vec![format!("{}.>", layout::seed_prefix(owner, &set.name))],
        allow_atomic: true,
        ..blank(layout::seed_stream(owner, &set.name))
    };
    immutable(config, seed_bytes(set))
}

/// Room for the whole set: twice its size with 256 bytes a message for what the store adds, in steps of powers of two from 1 MiB.
/// A set only grows, and so does this.
fn seed_bytes(set: &EventSet) -> u64 {
    let size = |event: &crate::resolve::SeedEvent| {
        let headers: usize = event.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        (event.subject.as_str().len() + headers + event.payload.len() + 256) as u64
    };
    let bytes: u64 = set.events.iter().map(size).sum();
    bytes.saturating_mul(2).checked_next_power_of_two().unwrap_or(u64::MAX).max(1 << 20)
}

/// Sources the seed streams of `owner`; the seeder's prefix falls off on the way.
fn seed_sources(linked: &Linked<'_>, owner: &str, sets: &[EventSetName]) -> Vec<StreamSource> {
    let sets = sets.iter().filter(|set| linked.domain.events.contains_key(*set));
    sets.map(|set| StreamSource {
        subject_transforms: vec![SubjectTransform {
            src: format!("{}.>", layout::seed_prefix(owner, set)),
            dest: ">".to_owned(),
        }],
        ..draw(&layout::seed_stream(owner, set))
    })
    .collect()
}

fn event_store(linked: &Linked<'_>, machine: &Machine) -> StreamConfig {
    let config = StreamConfig {
        description: Some(format!("events that services on {} publish", machine.name)),
        subjects: vec![linked.domain.spaces.events.to_string()],
        sources: seed_sources(linked, machine.name.as_str(), &machine.events),
        ..blank(layout::events_of(&machine.name))
    };
    immutable(config, machine.options.event_store.max_bytes.as_bytes())
}

/// What Leafwright says of this machine: only it writes here, and nobody takes anything away.
fn history(linked: &Linked<'_>, machine: &Machine) -> StreamConfig {
    let config = StreamConfig {
        description: Some(format!("what became of {}: applies, returns, drift", machine.name)),
        subjects: vec![format!("{}.>", layout::history_subject(&linked.domain.name, &machine.name))],
        ..blank(layout::history_of(&machine.name))
    };
    immutable(config, machine.options.history.max_bytes.as_bytes())
}

/// The same of the whole domain. Leaves are sourced; members, which have no stream of their own, are written about here.
fn histories(linked: &Linked<'_>, cluster: &Cluster) -> Vec<StreamConfig> {
    let shards = cluster.options.event_store.shards;
    let names = layout::histories(shards).into_iter();
    let mut streams: Vec<StreamConfig> = names
        .map(|name| {
            let config = StreamConfig {
                description: Some("what became of the machines: applies, returns, drift".to_owned()),
                num_replicas: cluster.options.event_store.replicas.max(1),
                ..blank(name)
            };
            immutable(config, cluster.options.history.max_bytes.as_bytes())
        })
        .collect();
    for member in linked.members() {
        let subject = format!("{}.>", layout::history_subject(&linked.domain.name, &member.name));
        streams[layout::shard_of(&member.name, shards)].subjects.push(subject);
    }
    let drawer = Drawer::Cluster(cluster.name.as_str());
    for leaf in linked.leaves() {
        let source = draw_from(&layout::history_of(&leaf.name), &leaf.options.leaf.domain, drawer);
        streams[layout::shard_of(&leaf.name, shards)].sources.push(source);
    }
    streams
}

/// Commands wait here until the cluster has them; full refuses, so that the sender knows.
fn commands(linked: &Linked<'_>, machine: &Machine) -> StreamConfig {
    let store = &machine.options.event_store;
    let max_age = store.commands_max_age.as_nanos();
    StreamConfig {
        description: Some(format!("commands that {} sends", machine.name)),
        subjects: vec![linked.domain.spaces.commands.to_string()],
        max_age,
        max_bytes: limit(store.commands_max_bytes.as_bytes()),
        duplicate_window: window(None, max_age),
        discard: "new".to_owned(),
        ..blank(layout::commands_of(&machine.name))
    }
}

fn aggregates(linked: &Linked<'_>, cluster: &Cluster) -> Vec<StreamConfig> {
    let events = &cluster.options.event_store;
    let mut sources: Vec<Vec<StreamSource>> = vec![vec![]; events.shards.max(1) as usize];
    sources[0] = seed_sources(linked, layout::DOMAIN, &linked.domain.domain_events);
    for leaf in linked.leaves().filter(|leaf| captures_events(leaf)) {
        let shard = layout::shard_of(&leaf.name, events.shards);
        sources[shard].push(draw_from(
            &layout::events_of(&leaf.name),
            &leaf.options.leaf.domain,
            Drawer::Cluster(cluster.name.as_str()),
        ));
    }
    let names = layout::aggregates(events.shards).into_iter().zip(sources);
    names
        .map(|(name, sources)| {
            let config = StreamConfig {
                description: Some("events of the whole domain".to_owned()),
                sources,
                num_replicas: events.replicas.max(1),
                ..blank(name)
            };
            immutable(config, events.max_bytes.as_bytes())
        })
        .collect()
}

/// The work stream has limits retention: a work queue as the target of sources forgets how far it had come.
fn work(linked: &Linked<'_>, cluster: &Cluster) -> StreamConfig {
    let commands = &cluster.options.commands;
    let max_age = commands.max_age.as_nanos();
    let senders = linked.leaves().filter(|leaf| linked.captures_commands(leaf));
    let drawer = Drawer::Cluster(cluster.name.as_str());
    StreamConfig {
        description: Some("commands of the whole domain".to_owned()),
        sources: senders
            .map(|leaf| draw_from(&layout::commands_of(&leaf.name), &leaf.options.leaf.domain, drawer))
            .collect(),
        max_age,
        max_bytes: limit(commands.max_bytes.as_bytes()),
        duplicate_window: window(None, max_age),
        discard: "new".to_owned(),
        num_replicas: commands.replicas.max(1),
        ..blank(layout::COMMANDS)
    }
}

/// Advisories are a few hundred bytes and name the message: a sixteenth of the work stream's room is plenty.
fn dead_letters(name: String, work: &str, work_bytes: u64) -> StreamConfig {
    StreamConfig {
        description: Some("commands that were delivered too often".to_owned()),
        subjects: vec![format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{work}.>")],
        max_bytes: limit((work_bytes / 16).max(1 << 20)),
        ..blank(name)
    }
}

/// A mirror has no subjects of its own and no window; it lets nothing be deleted, purged, rolled up or expire.
fn keeper(machine: &Machine, kept: &Kept) -> StreamConfig {
    let drawer = Drawer::Leaf { domain: &machine.options.leaf.domain, machine: &machine.name };
    StreamConfig {
        description: Some(format!("keeps {} of {}", kept.stream, kept.domain)),
        mirror: Some(draw_from(&kept.stream, &kept.domain, drawer)),
        duplicate_window: 0,
        deny_delete: true,
        deny_purge: true,
        discard: "new".to_owned(),
        max_bytes: kept.max_bytes.map_or(-1, limit),
        ..blank(layout::keeper_of(&kept.stream))
    }
}
