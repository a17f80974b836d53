//! What is to be proved: what must be, who says and hears what, and how to come in.

use super::access::Access;
use super::watch::{Unwatched, Watch};
use crate::compile::desired::ServiceProcess;
use crate::compile::{Desired, DesiredServer};
use crate::declare::MessageKind;
use crate::identity::UserId;
use crate::identity::sets::inbox;
use crate::name::{MachineName, ServiceName, Subject};
use crate::plan;
use crate::resolve::{Domain, Spaces};
use crate::seed::Depth;
use std::collections::BTreeSet;
use std::time::Duration;

pub struct Target<'a> {
    pub desired: &'a Desired,
    pub access: &'a dyn Access,
    /// Under what the domain's subjects fall.
    pub spaces: &'a Spaces,
    /// Every service on the machines of `desired`.
    pub voices: Vec<Voice>,
    /// Every declared query.
    pub queries: Vec<Query>,
    /// The services that run now; a query is asked only where somebody can answer.
    pub running: BTreeSet<(MachineName, ServiceName)>,
    /// How thoroughly stored events are compared.
    pub depth: Depth,
    /// How long catching up may take, for each kind of check.
    pub patience: Duration,
    /// How long a link may take to come about.
    pub links: Duration,
    /// The domain's cluster, where only one machine is looked at and none of its members is in `desired`.
    pub hub: Option<MachineName>,
    /// Hears of it while it runs.
    pub watch: &'a dyn Watch,
}

/// A service on a machine, and what its contract lets it say.
#[derive(Clone, Debug)]
pub struct Voice {
    pub machine: MachineName,
    pub service: ServiceName,
    /// Commands and events that it sends; with a stream behind each.
    pub stored: BTreeSet<Subject>,
    /// Queries that it sends.
    pub asked: BTreeSet<Subject>,
    /// Queries that it answers.
    pub answered: BTreeSet<Subject>,
}

impl Voice {
    pub fn user(&self) -> UserId {
        UserId::Service(self.machine.clone(), self.service.clone())
    }

    pub fn inbox(&self) -> String {
        inbox(&self.machine, self.service.as_str())
    }
}

/// A query with the payload that its contract gives as the example.
#[derive(Clone, Debug)]
pub struct Query {
    pub message: String,
    pub subject: Subject,
    pub example: Option<serde_json::Value>,
}

impl<'a> Target<'a> {
    /// nats-server may wait 40 s before it asks a silent source or mirror again.
    pub const PATIENCE: Duration = Duration::from_secs(120);

    /// Everything that the domain declares of the machines in `desired`; running is what runs in the foreground.
    pub fn of(domain: &'a Domain, desired: &'a Desired, access: &'a dyn Access) -> Self {
        let voices = desired.servers.keys().flat_map(|machine| voices(domain, machine)).collect();
        let queries = domain.messages.values().filter(|message| message.kind == MessageKind::Query);
        let queries = queries.map(|message| Query {
            message: message.name.to_string(),
            subject: message.subject.clone(),
            example: message.example.clone(),
        });
        let processes =
            desired.servers.iter().flat_map(|(machine, server)| server.processes.iter().map(move |p| (machine, p)));
        let running = processes.filter(|(_, process)| process.foreground);
        Self {
            desired,
            access,
            spaces: &domain.spaces,
            voices,
            queries: queries.collect(),
            running: running.map(|(machine, process)| (machine.clone(), process.service.clone())).collect(),
            depth: Depth::Digest,
            patience: Self::PATIENCE,
            links: Self::PATIENCE,
            hub: None,
            watch: &Unwatched,
        }
    }

    /// One real machine of the domain, from itself: every service of it runs, and its cluster is out of sight.
    pub fn of_machine(domain: &'a Domain, desired: &'a Desired, access: &'a dyn Access) -> Self {
        let processes = |(machine, server): (&MachineName, &DesiredServer)| {
            let of = |process: &ServiceProcess| (machine.clone(), process.service.clone());
            server.processes.iter().map(of).collect::<Vec<_>>()
        };
        let running = desired.servers.iter().flat_map(processes).collect();
        let hub = domain.cluster.as_ref().map(|cluster| cluster.name.clone());
        Self { running, hub, ..Self::of(domain, desired, access) }
    }

    /// What the cluster is called, where the domain has one.
    pub(super) fn hub(&self) -> Option<&str> {
        let in_view = self.desired.cluster.as_ref().and_then(|_| plan::domain_of(self.desired, &plan::Scope::Cluster));
        in_view.or(self.hub.as_ref().map(MachineName::as_str))
    }
}

/// The services of one machine. A service whose contract is missing was a finding of `check`.
fn voices(domain: &Domain, machine: &MachineName) -> Vec<Voice> {
    let Some(machine) = domain.machines.iter().find(|known| known.name == *machine) else { return vec![] };
    let of = |(service, options): (&ServiceName, &crate::resolve::Service)| {
        let contract = domain.services.get(&options.contract)?;
        let subjects = |names: &[crate::name::MessageName], queries: bool| {
            let messages = names.iter().filter_map(|name| domain.messages.get(name));
            let messages = messages.filter(|message| (message.kind == MessageKind::Query) == queries);
            messages.map(|message| message.subject.clone()).collect::<BTreeSet<_>>()
        };
        Some(Voice {
            machine: machine.name.clone(),
            service: service.clone(),
            stored: subjects(&contract.sends, false),
            asked: subjects(&contract.sends, true),
            answered: subjects(&contract.receives, true),
        })
    };
    machine.options.services.iter().map(|(name, service)| (name, &**service)).filter_map(of).collect()
}
