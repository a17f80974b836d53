//! After `up`: everything that was promised is tried, and told in a summary.
//!
//! Refuses: calling a domain up that is not green.

use super::Prepared;
use super::contexts;
use super::summary::{CopiesRow, Ending, EventsRow, MachineRow, QueryRow, Summary, Totals};
use crate::compile::{self, Deed, Desired, DesiredServer};
use crate::declare::MessageKind;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::{PublicIdentity, UserId};
use crate::resolve::{Domain, Machine, Message};
use crate::seed::{Depth, talk};
use crate::verify::{self, Access, Copies, Loaded, Login, Outcome, Target, Watch};
use anyhow::Result;
use std::time::Duration;

/// The version of the summary's JSON.
const FORMAT: u32 = 1;

/// What the run itself knows for its summary.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Steps that were carried out.
    pub steps: usize,
    pub took: Duration,
    pub ending: Ending,
}

/// What `verify` found, and the copies of every stream of the cluster.
pub struct Proof {
    pub outcome: Outcome,
    pub copies: Vec<Copies>,
}

/// Tries everything that was promised.
pub async fn prove(prepared: &Prepared, depth: Depth, watch: &dyn Watch) -> Proof {
    let keys = Keys { store: &prepared.store, identity: &prepared.identity };
    let mut target = Target::of(&prepared.domain, &prepared.compiled.desired, &keys);
    target.depth = depth;
    target.watch = watch;
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

/// The summary of a domain that was brought up.
pub fn summarise(prepared: &Prepared, proof: &Proof, run: &Run) -> Result<Summary> {
    let Prepared { domain, state, store, identity, compiled, .. } = prepared;
    let desired = &compiled.desired;
    let failed = proof.outcome.findings.iter().filter(|finding| finding.is_failed());
    let machines = desired.servers.values().filter_map(|server| {
        let machine = domain.machines.iter().find(|machine| machine.name == server.machine)?;
        Some(machine_row(domain, machine, server))
    });
    Ok(Summary {
        format: FORMAT,
        domain: domain.name.to_string(),
        cluster: domain.cluster.as_ref().map(|cluster| cluster.name.to_string()),
        ending: run.ending,
        seconds: run.took.as_secs_f64(),
        steps: run.steps,
        machines: machines.collect(),
        events: proof.outcome.loaded.iter().map(events_row).collect(),
        copies: proof.copies.iter().filter(|copies| copies.wanted > 1).map(copies_row).collect(),
        verify: totals(&proof.outcome),
        failures: failed.map(|finding| format!("{}: {}", finding.subject, finding.detail)).collect(),
        contexts: contexts::write(state, &domain.name, desired, store, identity)?,
        query: query(domain, desired),
        state: state.root().to_string_lossy().into_owned(),
        program: super::summary::program(),
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

fn events_row(loaded: &Loaded) -> EventsRow {
    let Loaded { set, place, stored, wanted } = loaded.clone();
    EventsRow { set, place, stored, wanted }
}

/// A query that somebody here may ask, that somebody here answers, and whose payload is known.
fn query(domain: &Domain, desired: &Desired) -> Option<QueryRow> {
    let queries = domain.messages.values().filter(|message| message.kind == MessageKind::Query);
    let mut queries = queries.filter(|query| is_answered(domain, desired, query));
    queries.find_map(|query| {
        let payload = query.example.clone().or_else(|| talk::payload(query, &[]).ok())?;
        let people = compile::people_who_may(domain, Deed::Say, &query.subject.pattern());
        let (machine, person) = people.into_iter().find(|(machine, _)| desired.servers.contains_key(machine))?;
        Some(QueryRow {
            message: query.name.to_string(),
            payload: payload.as_object().is_none_or(|fields| !fields.is_empty()).then(|| payload.to_string()),
            context: contexts::name(&domain.name, &machine, person.as_str()),
        })
    })
}

/// Does a service run here that receives it?
fn is_answered(domain: &Domain, desired: &Desired, query: &Message) -> bool {
    desired.servers.values().any(|server| {
        let machine = domain.machines.iter().find(|machine| machine.name == server.machine);
        server.processes.iter().filter(|process| process.foreground).any(|process| {
            let service = machine.and_then(|machine| machine.options.services.get(&process.service));
            service.is_some_and(|service| query.receivers.contains(&service.contract))
        })
    })
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
