//! `status`: the machine against the generation that it is: files, links, units, nats-server's configuration, what is pending.
//!
//! Refuses: changing anything but the history. What differs is a plan that `apply` would carry out.

use super::generation;
use super::history;
use super::rollback::monitor_of;
use crate::host::credentials;
use crate::host::machine::history::Kind;
use crate::host::machine::real::{Look, observe};
use crate::host::machine::register::{self, Register};
use crate::host::machine::store::{self, Damage};
use crate::host::machine::{Home, generations, lock};
use crate::host::packages;
use crate::host::systemd::Systemd;
use crate::name::MachineName;
use crate::plan::machine::packages as wanted;
use crate::plan::machine::{MachinePlan, between, paths_and_units, render, secrets};
use anyhow::Result;
use std::collections::BTreeSet;

/// What the machine is, and how far it is from that.
#[derive(Debug)]
pub struct Status {
    pub register: Register,
    /// Who is at work on it now.
    pub busy: Option<lock::Holder>,
    /// What would mend it; empty where nothing differs.
    pub drift: Option<MachinePlan>,
    /// What is wrong with the closure of its generation; nothing is compared with a damaged one.
    pub damages: Vec<Damage>,
    /// Units that have failed, ours and others'.
    pub failed: BTreeSet<String>,
}

impl Status {
    /// Is it what its generation says, and nothing half done?
    pub fn is_sound(&self) -> bool {
        self.register.pending.is_none()
            && self.damages.is_empty()
            && self.drift.as_ref().is_none_or(MachinePlan::is_empty)
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
    let told = history::looked_at(home, &lock, &status.register, damages.chain(drift).collect())?;
    Ok(Some((status, told.map_or(Recorded::NoNews, Recorded::News))))
}

/// `None` on a machine where nothing was ever applied.
pub async fn status(home: &Home) -> Result<Option<Status>> {
    let Some(register) = register::read(home)? else { return Ok(None) };
    let busy = lock::holder(home.state())?;
    let systemd = Systemd::connect().await?;
    let failed = systemd.failed().await?;
    let Some(active) = register.active_generation() else {
        return Ok(Some(Status { register, busy, drift: None, damages: vec![], failed }));
    };
    let entry = home.entry(&generations::read(home, active)?.closure);
    let damages = store::verify(&entry)?;
    if !damages.is_empty() {
        return Ok(Some(Status { register, busy, drift: None, damages, failed }));
    }
    let active = generation(home, active)?;
    let (paths, units) = paths_and_units(Some(&active.content), &active.content);
    let look = Look { home, register: &register, systemd: &systemd, monitor: monitor_of(&active) };
    let mut seen = observe(look, &paths, &units).await?;
    seen.packages = Some(packages::look(home.root(), &wanted::names(&active.content))?);
    let references = credentials::read(&entry, &MachineName::parse(&register.machine)?)?;
    let stale = credentials::stale(&references, &home.state().join("keys"), home.root())?;
    let drift = secrets::with(between(Some(&active.content), &active.content, &seen), &stale, &seen);
    Ok(Some(Status { register, busy, drift: Some(drift), damages, failed }))
}
