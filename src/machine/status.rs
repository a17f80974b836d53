//! `status`: the machine against the generation that it is: files, links, users, directories, units and where they listen, nats-server's
//! configuration, its streams and consumers, what is pending.
//!
//! Refuses: changing anything but the history. What differs is a plan that `apply` would carry out.

use super::generation;
use super::history;
use super::objects::beside;
use super::rollback::monitor_of;
use super::stored::Stored;
use crate::compile::units::NATS;
use crate::host::machine::history::Kind;
use crate::host::machine::real::{Look, observe};
use crate::host::machine::register::{self, Register};
use crate::host::machine::store::{self, Damage};
use crate::host::machine::{Home, boot_units, generations, lock, own_program};
use crate::host::packages;
use crate::host::systemd::Systemd;
use crate::host::{credentials, listeners};
use crate::name::MachineName;
use crate::plan::machine::drop_ins;
use crate::plan::machine::listeners::strays as strangers;
use crate::plan::machine::packages as wanted;
use crate::plan::machine::{MachinePlan, Observation, Stray, between, changed_users, paths_and_units, render, secrets};
use crate::plan::{self, Plan};
use anyhow::Result;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// For a nats-server that runs; one that was just started recovers first.
const ANSWER: Duration = Duration::from_secs(5);

/// What the machine is, and how far it is from that.
#[derive(Debug)]
pub struct Status {
    pub register: Register,
    /// Who is at work on it now.
    pub busy: Option<lock::Holder>,
    /// What would mend it; empty where nothing differs.
    pub drift: Option<MachinePlan>,
    pub objects: Objects,
    /// What differs and `apply` leaves alone.
    pub strays: Vec<Stray>,
    /// What is wrong with the units that lead a boot, which no generation has; `apply` writes them again.
    pub boot: Vec<String>,
    /// Another leafwright is installed than the generation was made by: the next `apply` makes a generation of that.
    pub upgraded: bool,
    /// Where nats-server is monitored, if it runs and does not answer there.
    pub silent: Option<SocketAddr>,
    /// Processes of ours that nobody could look into, and why.
    hidden: Vec<String>,
    /// What is wrong with the closure of its generation; nothing is compared with a damaged one.
    pub damages: Vec<Damage>,
    /// Units that have failed, ours and others'.
    pub failed: BTreeSet<String>,
}

/// Streams and consumers of the machine's own nats-server.
#[derive(Debug)]
pub enum Objects {
    /// It has none of its own: a member of the cluster, or no generation.
    None,
    /// What would mend them.
    Compared(Plan),
    /// nats-server does not run, which is a difference by itself.
    Stopped,
    /// It runs and could not be asked.
    Unanswered(String),
}

impl Objects {
    fn is_sound(&self) -> bool {
        match self {
            Objects::None | Objects::Stopped => true,
            Objects::Compared(plan) => plan.is_empty(),
            Objects::Unanswered(_) => false,
        }
    }

    pub fn plan(&self) -> Option<&Plan> {
        if let Objects::Compared(plan) = self { Some(plan) } else { None }
    }

    fn unseen(&self) -> Option<String> {
        match self {
            Objects::None | Objects::Compared(_) => None,
            Objects::Stopped => Some("its streams and consumers: nats-server does not run".to_owned()),
            Objects::Unanswered(why) => Some(format!("its streams and consumers: {why}")),
        }
    }
}

impl Status {
    fn of(register: Register, busy: Option<lock::Holder>, failed: BTreeSet<String>) -> Self {
        let (objects, strays, boot, hidden) = (Objects::None, vec![], vec![], vec![]);
        Self {
            register,
            busy,
            drift: None,
            objects,
            strays,
            boot,
            upgraded: false,
            silent: None,
            hidden,
            damages: vec![],
            failed,
        }
    }

    /// Is it what its generation says, and nothing half done?
    pub fn is_sound(&self) -> bool {
        self.register.pending.is_none()
            // Whoever is at work takes away what the commit left.
            && (self.register.leaving.is_none() || self.busy.is_some())
            && self.damages.is_empty()
            && self.drift.as_ref().is_none_or(MachinePlan::is_empty)
            && self.objects.is_sound()
            && self.strays.is_empty()
            && self.boot.is_empty()
            && self.silent.is_none()
    }

    /// Where nobody could look, and why.
    pub fn unseen(&self) -> impl Iterator<Item = String> {
        let silent = self.silent.map(|monitor| format!("what nats-server runs: no answer at http://{monitor}/varz"));
        self.objects.unseen().into_iter().chain(silent).chain(self.hidden.iter().cloned())
    }
}

/// What was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// What differs, or that nothing does any more.
    News(Kind),
    /// It is as it was when it was last looked at.
    NoNews,
    /// Somebody is at work on it: what differs now says nothing.
    AtWork,
}

/// Looks, and writes into the history what differs now and did not when it was last looked at, or that nothing does any more.
pub async fn record(home: &Home) -> Result<Option<(Status, Recorded)>> {
    if register::read(home)?.is_none() {
        return Ok(None);
    }
    let lock = match home.lock("a look at the machine") {
        Ok(lock) => Some(lock),
        Err(error) if error.is::<lock::Busy>() => None,
        Err(error) => return Err(error),
    };
    let Some(mut status) = status(home).await? else { return Ok(None) };
    let Some(lock) = lock.filter(|_| status.register.pending.is_none()) else {
        return Ok(Some((status, Recorded::AtWork)));
    };
    // The holder is this very look.
    status.busy = None;
    history::settle(home, &lock, &status.register)?;
    let damages = status.damages.iter().map(|damage| format!("the closure of its generation is damaged: {damage}"));
    let drift = status.drift.iter().flat_map(MachinePlan::steps).map(render::sentence);
    let objects = status.objects.plan().into_iter();
    let objects = objects.flat_map(|plan| plan.steps.iter().map(|step| plan::render::sentence(plan, step)));
    let strays = status.strays.iter().map(ToString::to_string);
    let silent = status.silent.map(|_| "nats-server runs and does not answer".to_owned());
    let own = status.boot.iter().cloned().chain(silent);
    let all = damages.chain(drift).chain(objects).chain(strays).chain(own).collect();
    let told = history::looked_at(home, &lock, &status.register, all)?;
    Ok(Some((status, told.map_or(Recorded::NoNews, Recorded::News))))
}

/// `None` on a machine where nothing was ever applied.
pub async fn status(home: &Home) -> Result<Option<Status>> {
    let Some(register) = register::read(home)? else { return Ok(None) };
    let busy = lock::holder(home.state())?;
    let systemd = Systemd::connect().await?;
    let failed = systemd.failed().await?;
    let Some(active) = register.active_generation() else {
        return Ok(Some(Status::of(register, busy, failed)));
    };
    let record = generations::read(home, active)?;
    let upgraded = own_program::is_new(home, &record);
    let entry = home.entry(&record.closure);
    let damages = store::verify(&entry)?;
    if !damages.is_empty() {
        return Ok(Some(Status { damages, ..Status::of(register, busy, failed) }));
    }
    let active = generation(home, active)?;
    let (paths, units) = paths_and_units(Some(&active.content), &active.content);
    let monitor = monitor_of(&active);
    let look = Look { home, register: &register, systemd: &systemd, monitor };
    let stored = Stored::read(&entry, &MachineName::parse(&register.machine)?, &active.content)?;
    let question = async {
        match &stored {
            Some(stored) => stored.plan(home, ANSWER).await,
            None => Ok(None),
        }
    };
    let runs = |seen: &Observation| seen.units.get(NATS).is_some_and(|unit| unit.runs());
    let (mut seen, answer) = beside(observe(look, &paths, &units), question, runs).await?;
    seen.packages = Some(packages::look(home.root(), &wanted::names(&active.content))?);
    let references = credentials::read(&entry, &MachineName::parse(&register.machine)?)?;
    let stale = credentials::stale(&references, &home.state().join("keys"), home.root())?;
    let drift = secrets::with(between(Some(&active.content), &active.content, &seen), &stale, &seen);
    let objects = match (stored, answer) {
        (None, _) | (_, Some(Ok(None))) => Objects::None,
        (_, None) => Objects::Stopped,
        (_, Some(Ok(Some(plan)))) => Objects::Compared(plan),
        (_, Some(Err(error))) => Objects::Unanswered(format!("{error:#}")),
    };
    let running: Vec<&String> = seen.units.iter().filter(|(_, unit)| unit.runs()).map(|(name, _)| name).collect();
    let heard = listeners::look(&systemd.control_groups(&running).await?);
    let mut strays = changed_users(&active.content, &seen);
    strays.extend(drop_ins::strays(&active.content, &seen));
    strays.extend(strangers(&active.content, &heard.listening));
    let silent = monitor.filter(|_| seen.server_digest.is_none() && runs(&seen));
    let (drift, hidden, boot) = (Some(drift), heard.unseen, boot_units::faults(home)?);
    Ok(Some(Status { drift, objects, strays, boot, upgraded, silent, hidden, ..Status::of(register, busy, failed) }))
}
