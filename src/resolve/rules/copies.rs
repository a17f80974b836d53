//! Copies are counted on distinct machines: N copies are R replicas and max(1, N − R) keepers.
//!
//! A keeper is a mirror that nobody can purge, roll up or expire; replicas alone follow every roll-up and purge. An
//! unreplicated origin is no copy: where R is 1, all N copies are keepers.

use super::holder::{Holder, machine, members};
use super::{Check, Rule};
use crate::declare::nearest;
use crate::diag::{Code, Diagnostic, Report};
use crate::name::{MachineName, ZoneName};
use crate::resolve::model::{BucketKind, Domain, Part};
use std::collections::{BTreeMap, BTreeSet};

const CODE: Code = Code(312);

pub const RULE: Rule =
    Rule { code: CODE, name: "copies", title: "the copies that are wanted are not there", check: Check::Domain(check) };

/// What is to be kept: a stream or bucket, or the event store.
struct Wanted<'a> {
    holder: Holder<'a>,
    /// `streams.orders`
    path: String,
    /// The stream's own name, on which its keepers' names are built.
    stream: String,
    replicas: u32,
    copies: Option<u32>,
    keepers: &'a [MachineName],
}

impl Wanted<'_> {
    fn span(&self, field: &str) -> crate::diag::Span {
        self.holder.span(&format!("{}.{field}", self.path))
    }

    fn keepers_needed(&self) -> u32 {
        let counted = if self.replicas > 1 { self.replicas } else { 0 };
        self.copies.map_or(0, |copies| copies.saturating_sub(counted).max(1))
    }
}

fn check(domain: &Domain, report: &mut Report) {
    let zones: BTreeSet<&ZoneName> = domain.machines.iter().map(|machine| &machine.zone).collect();
    let mut kept: BTreeMap<(&MachineName, String), Wanted<'_>> = BTreeMap::new();
    for holder in Holder::all(domain) {
        for wanted in wanted(holder) {
            enough(&wanted, report);
            keepers_are_leaves(&wanted, domain, report);
            if zones.len() > 1 && wanted.copies.is_some() {
                spread(&wanted, domain, report);
            }
            one_name_once(wanted, &mut kept, report);
        }
    }
}

fn wanted(holder: Holder<'_>) -> impl Iterator<Item = Wanted<'_>> {
    let aggregate = match holder {
        Holder::Cluster(cluster) => Some(&cluster.options.event_store),
        Holder::Machine(_) => None,
    };
    let store = aggregate.map(|store| Wanted {
        holder,
        path: "event_store".to_owned(),
        stream: "EVT".to_owned(),
        replicas: store.replicas,
        // By default the copies are those that there are: nobody asked for any.
        copies: holder.wrote("event_store.copies").then_some(store.copies),
        keepers: &store.keepers,
    });
    let streams = holder.streams().iter().filter(|(_, s)| s.copies.is_some() || !s.keepers.is_empty());
    let streams = streams.map(move |(name, stream)| Wanted {
        holder,
        path: format!("streams.{name}"),
        stream: name.to_string(),
        replicas: stream.replicas,
        copies: stream.copies,
        keepers: &stream.keepers,
    });
    let buckets = holder.buckets().iter().filter(|(_, b)| b.copies.is_some() || !b.keepers.is_empty());
    let buckets = buckets.map(move |(name, bucket)| Wanted {
        holder,
        path: format!("buckets.{name}"),
        stream: match bucket.kind {
            BucketKind::KeyValue => format!("KV_{name}"),
            BucketKind::Object => format!("OBJ_{name}"),
        },
        replicas: bucket.replicas,
        copies: bucket.copies,
        keepers: &bucket.keepers,
    });
    store.into_iter().chain(streams).chain(buckets)
}

fn enough(wanted: &Wanted<'_>, report: &mut Report) {
    let Some(copies) = wanted.copies else { return };
    let refuse = |says: String| Diagnostic::error(CODE, wanted.span("copies"), says);
    if copies == 1 && wanted.replicas <= 1 && wanted.keepers.is_empty() {
        let finding = refuse("one copy is the stream itself, which is no copy".to_owned());
        return report.push(finding.help("leave `copies` out, or write `copies = 2` and name two `keepers`"));
    }
    if copies < wanted.replicas {
        let finding = refuse(format!("{copies} copies are fewer than the {} replicas", wanted.replicas));
        return report
            .push(finding.help(format!("write `copies = {}`: the replicas and one keeper", wanted.replicas + 1)));
    }
    let distinct: BTreeSet<_> = wanted.keepers.iter().collect();
    let (needed, there) = (wanted.keepers_needed(), distinct.len());
    if there < needed as usize {
        let says = match wanted.replicas {
            0 | 1 => format!("{copies} copies of an unreplicated stream are {needed} keepers, and {there} are named"),
            many => format!("{copies} copies are {many} replicas and {needed} keepers, and {there} are named"),
        };
        report.push(refuse(says).also(wanted.span("keepers"), "the keepers").help(format!(
            "name {} in `keepers`; a replica follows every purge, a keeper follows none",
            match needed as usize - there {
                1 => "one more leaf".to_owned(),
                more => format!("{more} more leaves"),
            }
        )));
    }
}

fn keepers_are_leaves(wanted: &Wanted<'_>, domain: &Domain, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for keeper in wanted.keepers {
        let refuse = |says: String, help: String| Diagnostic::error(CODE, wanted.span("keepers"), says).help(help);
        if !seen.insert(keeper) {
            report.push(refuse(format!("the keeper `{keeper}` is named twice"), "name another machine".to_owned()));
            continue;
        }
        match machine(domain, keeper) {
            None => {
                let near = nearest(keeper.as_str(), domain.machines.iter().map(|m| m.name.as_str()));
                let help =
                    near.map_or_else(|| "name a leaf of this domain".to_owned(), |near| format!("there is `{near}`"));
                report.push(refuse(format!("the keeper `{keeper}` is no machine of this domain"), help));
            }
            Some(found) if found.part == Part::Member => {
                let help = "name a leaf: members hold the replicas".to_owned();
                report.push(refuse(format!("`{keeper}` is a member of the cluster, not a leaf"), help));
            }
            Some(_) if *keeper == *wanted.holder.name() => {
                let help = "name another leaf".to_owned();
                report.push(refuse(format!("`{keeper}` holds the stream itself and cannot be its keeper"), help));
            }
            Some(_) => {}
        }
    }
}

/// All copies in one zone are lost together.
fn spread(wanted: &Wanted<'_>, domain: &Domain, report: &mut Report) {
    let keepers = wanted.keepers.iter().filter_map(|name| machine(domain, name));
    let replicas = members(domain).filter(|_| wanted.replicas > 1 && matches!(wanted.holder, Holder::Cluster(_)));
    let zones: BTreeSet<&ZoneName> = keepers.chain(replicas).map(|machine| &machine.zone).collect();
    if let (1, Some(zone)) = (zones.len(), zones.first()) {
        let says = format!("all copies are in the zone `{zone}`, and would be lost with it");
        report.push(Diagnostic::warning(CODE, wanted.span("keepers"), says).help("name a keeper in another zone"));
    }
}

/// A keeper is called `KEEP-<stream>`: two streams of one name have no room on one machine.
fn one_name_once<'a>(
    wanted: Wanted<'a>,
    kept: &mut BTreeMap<(&'a MachineName, String), Wanted<'a>>,
    report: &mut Report,
) {
    for keeper in wanted.keepers {
        let key = (keeper, wanted.stream.clone());
        if let Some(first) = kept.get(&key).filter(|first| first.holder.name() != wanted.holder.name()) {
            let says = format!("`{keeper}` would keep two streams as `KEEP-{}`", wanted.stream);
            report.push(
                Diagnostic::error(CODE, wanted.span("keepers"), says)
                    .also(first.span("keepers"), format!("kept here already, from `{}`", first.holder.name()))
                    .help("rename one of the streams, or name another keeper"),
            );
            continue;
        }
        let Wanted { holder, path, stream, replicas, copies, keepers } = &wanted;
        let note = Wanted {
            holder: *holder,
            path: path.clone(),
            stream: stream.clone(),
            replicas: *replicas,
            copies: *copies,
            keepers,
        };
        kept.insert(key, note);
    }
}
