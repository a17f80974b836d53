//! After `up`: everything that was promised is tried, and told in a summary.
//!
//! Refuses: calling a domain up that is not green.

use super::contexts;
use super::summary::{CopiesRow, EventsRow, MachineRow, Summary, Totals};
use super::{Prepared, Running};
use crate::compile::{Desired, DesiredServer};
use crate::declare::MessageKind;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::{PublicIdentity, UserId};
use crate::plan::{self, Scope};
use crate::resolve::{Domain, Machine};
use crate::seed::Depth;
use crate::verify::{self, Access, Copies, Login, Outcome, Target};
use anyhow::Result;
use std::time::Duration;

/// The version of the summary's JSON.
const FORMAT: u32 = 1;

/// What `verify` found, and the copies of every stream of the cluster.
pub struct Proof {
    pub outcome: Outcome,
    pub copies: Vec<Copies>,
}

/// Tries everything that was promised.
pub async fn prove(prepared: &Prepared, depth: Depth) -> Proof {
    let keys = Keys { store: &prepared.store, identity: &prepared.identity };
    let mut target = Target::of(&prepared.domain, &prepared.compiled.desired, &keys);
    target.depth = depth;
    let outcome = verify::run(&target).await;
    Proof { outcome, copies: verify::copies(&target).await }
}

/// The logins of the throwaway identity.
struct Keys<'a> {
    store: &'a KeyStore,
    identity: &'a PublicIdentity,
}

impl Access for Keys<'_> {
    fn login(&self, user: &UserId) -> Option<Login> {
        match self.identity.users.get(user)?.jwt.as_deref() {
            Some(jwt) => self.store.creds(user, jwt).ok().map(Login::Creds),
            None => self.store.nkey(&KeyId::User(user.clone())).ok()??.seed().ok().map(Login::NKey),
        }
    }
}

/// The summary of a domain that is up.
pub fn summarise(prepared: &Prepared, running: &Running, proof: &Proof, took: Duration) -> Result<Summary> {
    let Prepared { domain, state, store, identity, compiled, .. } = prepared;
    let desired = &compiled.desired;
    let machines = desired.servers.values().filter_map(|server| {
        let machine = domain.machines.iter().find(|machine| machine.name == server.machine)?;
        Some(machine_row(domain, machine, server))
    });
    Ok(Summary {
        format: FORMAT,
        domain: domain.name.to_string(),
        cluster: domain.cluster.as_ref().map(|cluster| cluster.name.to_string()),
        seconds: took.as_secs_f64(),
        steps: running.steps,
        machines: machines.collect(),
        events: events(desired),
        copies: proof.copies.iter().filter(|copies| copies.wanted > 1).map(copies_row).collect(),
        verify: totals(&proof.outcome),
        contexts: contexts::write(state, &domain.name, desired, store, identity)?,
        query: domain
            .messages
            .values()
            .find(|message| message.kind == MessageKind::Query)
            .map(|query| query.name.to_string()),
        state: state.root().to_string_lossy().into_owned(),
    })
}

fn machine_row(domain: &Domain, machine: &Machine, server: &DesiredServer) -> MachineRow {
    let part = match (&domain.cluster, server.member) {
        (Some(cluster), true) => cluster.name.as_str(),
        _ => "leaf",
    };
    let runs = |service| server.processes.iter().any(|process| process.service == service && process.foreground);
    let services = machine.options.services.iter().filter(|(name, _)| runs((*name).clone())).map(|(name, service)| {
        let addresses: Vec<String> = service.listen.values().map(|listen| listen.address.to_string()).collect();
        if addresses.is_empty() { name.to_string() } else { format!("{name} at http://{}", addresses.join(" and ")) }
    });
    MachineRow {
        name: machine.name.to_string(),
        part: part.to_owned(),
        zone: machine.zone.to_string(),
        nats: format!("nats://{}", server.listen),
        monitor: format!("http://{}", server.monitor),
        services: services.collect(),
    }
}

/// Every event set is complete once the plan was carried out: a load that is not is a failed step.
fn events(desired: &Desired) -> Vec<EventsRow> {
    let rows = plan::scopes(desired).flat_map(|(scope, objects)| {
        let place = match scope {
            Scope::Machine(machine) => machine.to_string(),
            Scope::Cluster => plan::domain_of(desired, &scope).unwrap_or("the cluster").to_owned(),
        };
        objects.seeds.iter().map(move |seed| EventsRow {
            set: seed.set.to_string(),
            place: place.clone(),
            stored: seed.events.events.len() as u64,
            wanted: seed.events.events.len() as u64,
        })
    });
    rows.collect()
}

fn copies_row(copies: &Copies) -> CopiesRow {
    CopiesRow {
        stream: copies.stream.clone(),
        reached: copies.machines.len(),
        wanted: copies.wanted,
        machines: copies.machines.iter().cloned().collect(),
    }
}

fn totals(outcome: &Outcome) -> Totals {
    let [passed, failed, skipped] = [verify::Verdict::Passed, verify::Verdict::Failed, verify::Verdict::Skipped]
        .map(|verdict| outcome.count(verdict));
    Totals { passed, failed, skipped }
}
