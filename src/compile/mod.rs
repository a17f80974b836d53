//! What must be: the closures of all machines and of the domain itself.
//!
//! Refuses: I/O, and choices that the declarations did not make. Templates only print.

mod behind;
pub mod artefact;
pub mod canonical;
pub mod credentials;
pub mod desired;
pub mod effects;
pub mod gates;
pub mod history;
pub mod jetstream;
pub mod layout;
pub mod packages;
pub mod units;

mod accounts;
mod closure;
mod consumers;
mod declared;
mod environment;
mod events;
mod files;
mod hardening;
mod leaks;
mod link;
mod machine;
mod nats_server;
mod permissions;
pub(crate) mod quote;
mod streams;
mod template;
mod whole;

pub use artefact::{Artefact, ArtefactKind, Closure, Effect};
pub use closure::{Digesting, blame, digest_of, files_of_manifest, manifest, spoken_line, spoken_of};
pub use desired::{Desired, DesiredServer, Endpoint, Seed, SeedTarget, ServiceProcess};
pub use effects::{effect_between, forgets_streams};
pub use leaks::leaks;
pub use link::Linked;
pub use machine::server_like;
pub use permissions::{Deed, Rights, of_domain as permissions, people_who_may};

use crate::diag::{Checked, Report};
use crate::identity::{PublicIdentity, Wanted};
use crate::name::MachineName;
use crate::resolve::{Domain, Machine};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What must be signed: the rights of every user, and the names that the certificates of the cluster's members stand for.
pub fn wanted(domain: &Domain) -> Wanted {
    let linked = Linked::new(domain);
    let members = linked.members().map(|member| {
        let names = BTreeSet::from([member.options.network.host.clone(), member.name.to_string()]);
        (member.name.clone(), names)
    });
    // A person who declares a public key keeps the private half; nobody makes another one.
    let mut users = permissions(domain);
    users.retain(|user, _| permissions::declared_key(domain, user).is_none());
    Wanted { domain: domain.name.clone(), account: domain.account.clone(), servers: members.collect(), users }
}

/// Everything that follows from the declarations.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub machines: BTreeMap<MachineName, Closure>,
    /// What belongs to no single machine.
    pub domain: Closure,
    pub desired: Desired,
}

/// All machines, in parallel, and what belongs to none of them. There is a value only if nothing is wrong with any of them.
pub fn domain(domain: &Domain, identity: &PublicIdentity) -> Checked<Compiled> {
    of_machines(domain, &domain.machines.iter().map(AsRef::as_ref).collect::<Vec<_>>(), identity)
}

/// What compiling finds wrong with files, gates and packages, without an identity and without the rest of it.
pub fn faults(domain: &Domain) -> Report {
    let machines: Vec<_> = domain.machines.iter().filter(|machine| machine::declares(machine)).collect();
    let mut report = Report::default();
    if machines.is_empty() {
        return report;
    }
    let linked = Linked::new(domain);
    let found: Vec<Report> = machines
        .par_iter()
        .map(|machine| {
            let mut report = Report::default();
            machine::declared(&linked, machine, &mut report);
            report
        })
        .collect();
    found.into_iter().for_each(|found| report.absorb(found));
    report
}

/// These machines alone, and what belongs to none.
pub fn some(domain: &Domain, names: &[MachineName], identity: &PublicIdentity) -> Checked<Compiled> {
    let named = domain.machines.iter().map(AsRef::as_ref).filter(|machine: &&Machine| names.contains(&machine.name));
    of_machines(domain, &named.collect::<Vec<_>>(), identity)
}

fn of_machines(domain: &Domain, machines: &[&Machine], identity: &PublicIdentity) -> Checked<Compiled> {
    let linked = Linked::new(domain);
    let compiled: Vec<_> = machines.par_iter().map(|machine| self::machine(&linked, machine, identity)).collect();
    let mut report = Report::default();
    let mut machines = BTreeMap::new();
    let mut desired = Desired::default();
    for checked in compiled {
        report.absorb(checked.report);
        if let Some((closure, server)) = checked.value {
            machines.insert(server.machine.clone(), closure);
            desired.servers.insert(server.machine.clone(), server);
        }
    }
    let whole = whole::compile(&linked, identity, &mut report);
    if let Some(cluster) = &domain.cluster {
        desired.cluster = Some(whole::objects(&linked, cluster));
        desired.cluster_members = cluster.members.clone();
    }
    let sound = !report.has_errors();
    Checked::new(sound.then_some(Compiled { machines, domain: whole, desired }), report)
}

/// One machine: its closure and what the planner compares with the world.
pub fn machine(linked: &Linked<'_>, machine: &Machine, identity: &PublicIdentity) -> Checked<(Closure, DesiredServer)> {
    let mut report = Report::default();
    let closure = machine::compile(linked, machine, identity, &mut report);
    report.absorb(leaks(&closure));
    let server = machine::desired(linked, machine, &closure);
    let sound = !report.has_errors();
    Checked::new(sound.then_some((closure, server)), report)
}
