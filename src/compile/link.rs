//! What a machine needs to know of the others: who keeps what, who sources what, where work is pulled from. Computed once for a domain.
//!
//! Refuses: anything that grows with the number of machines in the closure of a machine whose job does not.

use super::{layout, permissions};
use crate::declare::MessageKind;
use crate::diag::Span;
use crate::name::{MachineName, MessageName, ServiceName, Subject};
use crate::resolve::{Domain, Machine, Part};
use std::collections::{BTreeMap, BTreeSet};

/// A stream that a machine mirrors so that nobody can purge it, roll it up or let it expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The stream's name where it is written.
    pub stream: String,
    /// The JetStream domain that holds it.
    pub domain: String,
    pub max_bytes: Option<u64>,
    pub origin: Span,
}

pub struct Linked<'a> {
    pub domain: &'a Domain,
    keeps: BTreeMap<MachineName, Vec<Kept>>,
    sourced: BTreeMap<String, BTreeSet<String>>,
    /// JetStream domain → leaves that draw from it.
    drawers: BTreeMap<String, BTreeSet<MachineName>>,
    askers: BTreeMap<Subject, BTreeSet<String>>,
}

impl<'a> Linked<'a> {
    pub fn new(domain: &'a Domain) -> Self {
        let mut linked = Self {
            domain,
            keeps: BTreeMap::new(),
            sourced: BTreeMap::new(),
            drawers: BTreeMap::new(),
            askers: BTreeMap::new(),
        };
        linked.link_cluster();
        for machine in domain.machines.iter().filter(|machine| machine.part == Part::Leaf) {
            linked.link_leaf(machine);
        }
        linked.askers = permissions::askers(domain, &linked);
        linked
    }

    fn link_cluster(&mut self) {
        let Some(cluster) = &self.domain.cluster else { return };
        let events = &cluster.options.event_store;
        let origin = cluster.origins.of("event_store.keepers").unwrap_or(cluster.origin);
        for name in layout::aggregates(events.shards) {
            let kept = Kept {
                stream: name,
                domain: cluster.name.to_string(),
                max_bytes: Some(events.max_bytes.as_bytes()),
                origin,
            };
            self.keep(&events.keepers, &kept);
        }
        let declared = super::declared::of_cluster(cluster);
        self.link_declared(cluster.name.as_str(), &declared);
    }

    fn link_leaf(&mut self, machine: &Machine) {
        let declared = super::declared::of_machine(machine);
        self.link_declared(&machine.options.leaf.domain, &declared);
        for source in declared.iter().flat_map(|stream| stream.config.sources.iter().chain(&stream.config.mirror)) {
            if let Some(domain) = source.external.as_ref().and_then(|external| domain_of(&external.api)) {
                self.drawers.entry(domain.to_owned()).or_default().insert(machine.name.clone());
            }
        }
    }

    /// Notes the keepers of declared streams, and which streams of other domains they draw from.
    fn link_declared(&mut self, owner: &str, declared: &[super::declared::Declared<'_>]) {
        for stream in declared {
            let kept = Kept {
                stream: stream.config.name.clone(),
                domain: owner.to_owned(),
                max_bytes: u64::try_from(stream.config.max_bytes).ok(),
                origin: stream.origin,
            };
            self.keep(stream.keepers, &kept);
            for source in stream.config.sources.iter().chain(&stream.config.mirror) {
                if let Some(domain) = source.external.as_ref().and_then(|external| domain_of(&external.api)) {
                    self.sourced.entry(domain.to_owned()).or_default().insert(source.name.clone());
                }
            }
        }
    }

    fn keep(&mut self, keepers: &[MachineName], kept: &Kept) {
        for keeper in keepers {
            self.keeps.entry(keeper.clone()).or_default().push(kept.clone());
            self.drawers.entry(kept.domain.clone()).or_default().insert(keeper.clone());
            self.sourced.entry(kept.domain.clone()).or_default().insert(kept.stream.clone());
        }
    }

    pub fn keeps(&self, machine: &MachineName) -> &[Kept] {
        self.keeps.get(machine).map_or(&[], Vec::as_slice)
    }

    /// The streams of a leaf that other domains draw from: its history, its event store, its commands, and what is declared or kept elsewhere.
    pub fn drawn_from(&self, machine: &Machine) -> BTreeSet<String> {
        let mut streams = self.sourced.get(&machine.options.leaf.domain).cloned().unwrap_or_default();
        if self.domain.cluster.is_some() {
            streams.insert(layout::history_of(&machine.name));
            streams.extend(captures_events(machine).then(|| layout::events_of(&machine.name)));
            streams.extend(self.captures_commands(machine).then(|| layout::commands_of(&machine.name)));
        }
        streams
    }

    /// Leaves that mirror or source streams of this one.
    pub fn drawers_of(&self, machine: &Machine) -> impl Iterator<Item = &MachineName> {
        self.drawers.get(&machine.options.leaf.domain).into_iter().flatten()
    }

    /// Who asks any of these queries, by the names in their inbox prefixes; Leafwright itself asks each when it verifies.
    pub fn askers_of(&self, queries: &BTreeSet<Subject>) -> BTreeSet<String> {
        if queries.is_empty() {
            return BTreeSet::new();
        }
        let names = queries.iter().filter_map(|query| self.askers.get(query)).flatten().cloned();
        names.chain([permissions::PROVISIONER.to_owned()]).collect()
    }

    /// The JetStream domain where services find their work, as they must address it; `None` is the own one.
    pub fn work_domain(&self) -> Option<&str> {
        self.domain.cluster.as_ref().map(|cluster| cluster.name.as_str())
    }

    /// The stream that holds the commands for the services of `machine`.
    pub fn commands_stream(&self, machine: &MachineName) -> String {
        match self.domain.cluster {
            Some(_) => layout::COMMANDS.to_owned(),
            None => layout::commands_of(machine),
        }
    }

    /// The streams that hold the events for the services of `machine`.
    pub fn events_streams(&self, machine: &MachineName) -> Vec<String> {
        match &self.domain.cluster {
            Some(cluster) => layout::aggregates(cluster.options.event_store.shards),
            None => vec![layout::events_of(machine)],
        }
    }

    /// The streams that hold the histories of all machines; none where there is no cluster.
    pub fn histories(&self) -> Vec<String> {
        let cluster = self.domain.cluster.iter();
        cluster.flat_map(|cluster| layout::histories(cluster.options.event_store.shards)).collect()
    }

    /// Does a service of this machine send a command, or may a person here? Then its leaf captures commands.
    pub fn captures_commands(&self, machine: &Machine) -> bool {
        let commands = &self.domain.spaces.commands;
        let a_service_does = machine.options.services.values().any(|service| {
            self.sends(&service.contract).iter().any(|message| self.kind(message) == Some(MessageKind::Command))
        });
        a_service_does
            || machine.options.users.values().any(|user| {
                let (publish, _) = permissions::of_roles(self.domain, &user.person);
                publish.iter().any(|pattern| pattern.overlaps(commands))
            })
    }

    pub fn machine(&self, name: &MachineName) -> Option<&'a Machine> {
        let machines = &self.domain.machines;
        machines.binary_search_by(|machine| machine.name.cmp(name)).ok().map(|at| &*machines[at])
    }

    pub fn kind(&self, message: &MessageName) -> Option<MessageKind> {
        self.domain.messages.get(message).map(|message| message.kind)
    }

    /// What a service publishes: what it says it sends, and the outcomes of the commands that it receives.
    pub fn sends(&self, contract: &ServiceName) -> BTreeSet<&'a MessageName> {
        let Some(contract) = self.domain.services.get(contract) else { return BTreeSet::new() };
        let commands = contract.receives.iter().filter_map(|name| self.domain.messages.get(name));
        let outcomes = commands.flat_map(|message| &message.outcomes);
        contract.sends.iter().chain(outcomes).collect()
    }

    pub fn receives(&self, contract: &ServiceName, kind: MessageKind) -> Vec<&'a crate::resolve::Message> {
        let Some(contract) = self.domain.services.get(contract) else { return vec![] };
        let messages = contract.receives.iter().filter_map(|name| self.domain.messages.get(name));
        messages.filter(|message| message.kind == kind).collect()
    }

    pub fn leaves(&self) -> impl Iterator<Item = &'a Machine> + use<'a> {
        self.domain.machines.iter().filter(|machine| machine.part == Part::Leaf).map(|machine| &**machine)
    }

    pub fn members(&self) -> impl Iterator<Item = &'a Machine> + '_ {
        self.domain.cluster.iter().flat_map(|cluster| &cluster.members).filter_map(|name| self.machine(name))
    }
}

pub fn captures_events(machine: &Machine) -> bool {
    machine.options.event_store.enable
}

/// `$JS.hub.API` → `hub`
pub fn domain_of(api: &str) -> Option<&str> {
    api.strip_prefix("$JS.")?.strip_suffix(".API")
}

/// The option path of a service, for origins.
pub fn service_path(name: &ServiceName) -> String {
    format!("services.{name}")
}
