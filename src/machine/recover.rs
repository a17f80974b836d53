//! What goes back when an apply did not come to its end: the watchdog and the next apply here, a boot in `boot`. Three ways, one function.
//!
//! Refuses: going back from what is committed.

use super::apply::Talk;
use super::history::{self, End, unwritten};
use super::{generation, on_its_way_out};
use crate::apply::machine::{self, Count, Generation, Returned, go_back};
use crate::host::door::{Door as _, Job};
use crate::host::machine::boot_units::CONFIRM;
use crate::host::machine::lock::{self, Lock};
use crate::host::machine::real::{Boot, Link, Manager, NoLink, Real};
use crate::host::machine::register::{self, Mode, Phase, Register};
use crate::host::machine::{Home, own_program};
use crate::host::systemd::{Systemd, Verb};
use crate::plan::machine::{Act, Content, MachinePlan, MachineStep, between, paths_and_units, secrets};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::time::Duration;

/// An apply sees its own deadline; only one that does not is ended.
const GRACE: Duration = Duration::from_secs(5);
/// How long the way back may take: nats-server in lame duck mode takes its time.
const RETURNING: Duration = Duration::from_secs(300);
/// For a holder of the lock that was killed.
pub(super) const DEAD: Duration = Duration::from_secs(10);

/// The watchdog: waits for the lock, which is free when the apply has ended, however it ended. When the time is over it ends
/// the apply. `None`: everything was in order.
pub async fn watch(home: &Home, within: Duration) -> Result<Option<Returned>> {
    let lock = match lock::take_within(home.state(), "watchdog", within + GRACE) {
        Ok(lock) => lock,
        Err(error) if error.is::<lock::Busy>() => after_the_deadline(home)?,
        Err(error) => return Err(error),
    };
    let Some(register) = register::read(home)? else { return Ok(None) };
    let reason = match overdue(&register) {
        Some(true) => "it was not committed in time",
        Some(false) => "its apply ended before it was committed",
        None => return history::settle(home, &lock, &register).map(|()| None),
    };
    recover(Manager::RunsWatchdog, home, &lock, register, reason).await
}

/// An apply that is on its way back is left to it for a while; any other one has hung.
fn after_the_deadline(home: &Home) -> Result<Lock> {
    let returning = register::read(home)?.and_then(|register| register.pending);
    let returning = returning.is_some_and(|pending| matches!(pending.phase, Phase::Returning { .. }));
    let taken = lock::take_within(home.state(), "watchdog", if returning { RETURNING } else { Duration::ZERO });
    match taken {
        Ok(lock) => return Ok(lock),
        Err(error) => match error.downcast_ref::<lock::Busy>() {
            Some(busy) => end(busy)?,
            None => return Err(error),
        },
    }
    lock::take_within(home.state(), "watchdog", DEAD)
}

/// Is what is pending overdue?
pub(super) fn overdue(register: &Register) -> Option<bool> {
    let boot = Boot::this().ok()?;
    let now = u64::try_from(boot.uptime().as_millis()).unwrap_or(u64::MAX);
    register.pending.as_ref().map(|pending| pending.is_overdue(&boot.id, now))
}

/// Kills whoever holds the lock for too long.
fn end(busy: &lock::Busy) -> Result<()> {
    let process = busy.holder.process.and_then(|process| i32::try_from(process).ok());
    let process = process.and_then(rustix::process::Pid::from_raw);
    let process = process.with_context(|| format!("the lock is held by {}", busy.holder))?;
    // It may end between the question and the signal.
    let _gone = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    Ok(())
}

/// Goes back from what is pending; `None` where nothing is.
pub(super) async fn recover(
    manager: Manager,
    home: &Home,
    lock: &Lock,
    register: Register,
    reason: &str,
) -> Result<Option<Returned>> {
    let Some(pending) = &register.pending else { return Ok(None) };
    let (from, to) = (pending.from, pending.to);
    let (old, new) = generations(home, from, to)?;
    let systemd = Systemd::connect().await?;
    let mut door = door(home, lock, register, systemd, manager)?;
    back(&mut door, old.as_ref(), &new, reason).await.map(Some)
}

/// Goes back, and writes down that it did and why. Not being able to write is said, and does not undo it.
pub(super) async fn back<L: Link>(
    door: &mut Real<'_, L>,
    old: Option<&Generation>,
    new: &Generation,
    reason: &str,
) -> Result<Returned> {
    let mut returned = go_back(door, old, new, reason, &mut |_| ()).await?;
    // The first reason that was given stands.
    if let Some(first) = &door.register.returned {
        returned.reason.clone_from(&first.reason);
    }
    let end = End::Returned { reason: returned.reason.clone() };
    let written = history::ended(door.home, door.lock, returned.to, returned.from, &end);
    returned.unwritten = unwritten(written);
    Ok(returned)
}

/// Whatever an earlier apply left behind is put right: what is pending is given back, and what a commit left goes.
pub(super) async fn settled(home: &Home, lock: &Lock, register: Register, talk: &mut dyn Talk) -> Result<Register> {
    let mut register = register;
    if let Some(pending) = &register.pending {
        // Somebody was faster than the gates of this boot.
        let tries = pending.mode == Mode::Boot && pending.phase == Phase::Activating;
        let decides = tries && pending.boot_id == Boot::this()?.id && overdue(&register) == Some(false);
        if decides && is_confirmed().await? {
            bail!(
                "this boot tries generation {}, and its gates have not decided yet\nhelp: they have two minutes from the end of the boot: journalctl -fu leafwright-confirm.service",
                pending.to
            );
        }
        let machine = register.machine.clone();
        let returned = recover(Manager::Runs, home, lock, register, "its apply ended before it was committed").await?;
        returned.into_iter().for_each(|returned| talk.say(&returned.to_string()));
        register = register::open(home, &machine)?;
    }
    unwritten(history::settle(home, lock, &register)).iter().for_each(|line| talk.say(line));
    let register = left(home, lock, register).await?;
    ensure!(
        !own_program::was_replaced(home),
        "{} was put back, which this generation was made by, in the place of the one that runs\nhelp: say it again, to that one",
        own_program::PROGRAM
    );
    Ok(register)
}

/// Is somebody there who lets the gates of this boot decide, or is to come?
async fn is_confirmed() -> Result<bool> {
    let systemd = Systemd::connect().await?;
    let booting = systemd.is_booting().await?;
    let seen = systemd.units(&[CONFIRM]).await?;
    Ok(booting || seen.get(CONFIRM).is_some_and(|unit| matches!(unit.active.as_str(), "active" | "activating")))
}

/// What a change left on the machine goes.
pub(super) async fn left(home: &Home, lock: &Lock, register: Register) -> Result<Register> {
    if register.leaving.is_none() {
        return Ok(register);
    }
    let active = register.active_generation().map(|active| generation(home, active)).transpose()?;
    let mut door = door(home, lock, register, Systemd::connect().await?, Manager::Runs)?;
    tidy(&mut door, active.as_ref()).await?;
    Ok(door.register)
}

/// What is left on the machine of a generation that is neither active nor comes: it is stopped, and its files go. Nothing is started
/// here: that is the next plan's business.
pub(super) async fn tidy<L: Link>(door: &mut Real<'_, L>, stays: Option<&Generation>) -> Result<()> {
    let Some(left) = door.register.leaving else { return Ok(()) };
    let left = on_its_way_out(door.home, left)?;
    let nothing = Generation { number: left.number, content: Content::default() };
    let stays = stays.unwrap_or(&nothing);
    let plan = plan_to(door, Some(&left.content), stays).await?;
    let units = left.content.units_gone(&stays.content);
    let ran: BTreeSet<String> = machine::stopped(&plan).filter(|unit| units.contains(unit)).collect();
    for unit in &ran {
        door.job(Job::Stop, unit).await?;
    }
    let removes = |step: &&MachineStep| matches!(step.act, Act::Remove { .. });
    let early: Vec<MachineStep> = plan.before.iter().filter(removes).cloned().collect();
    let mut count = Count { done: 0, of: early.len() + plan.last.len() };
    machine::carry_out(door, left.number, &early, &mut count, &mut |_| ()).await?;
    machine::carry_out(door, left.number, &plan.last, &mut count, &mut |_| ()).await?;
    if !early.is_empty() {
        door.daemon_reload().await?;
    }
    dismiss(door, &units).await;
    door.let_go(&units, &ran).await;
    door.tidied().await
}

/// What a boot starts was settled when it began: units that only the generation has that is left would still come. Not waited for;
/// one that is not there is no matter, and one that is the distribution's by now comes as it would without us.
pub(super) async fn dismiss<L: Link>(door: &Real<'_, L>, units: &[String]) {
    if door.manager == Manager::Boots {
        for unit in units {
            if !door.is_of_others(unit).await {
                let _not_there = door.systemd.later(Verb::Stop, unit).await;
            }
        }
    }
}

/// Where a change came from, which must be whole, and what it was to become.
pub(super) fn generations(home: &Home, from: Option<u64>, to: u64) -> Result<(Option<Generation>, Generation)> {
    let old = from.map(|from| generation(home, from)).transpose()?;
    Ok((old, on_its_way_out(home, to)?))
}

pub(super) fn door<'a>(
    home: &'a Home,
    lock: &'a Lock,
    register: Register,
    systemd: Systemd,
    manager: Manager,
) -> Result<Real<'a, NoLink>> {
    let keys = home.state().join("keys");
    Ok(Real {
        home,
        lock,
        register,
        systemd,
        manager,
        boot: Boot::this()?,
        monitor: None,
        keys,
        link: NoLink,
        before: None,
        monitor_before: None,
    })
}

pub(super) async fn plan_to<L: Link>(
    door: &mut Real<'_, L>,
    old: Option<&Content>,
    new: &Generation,
) -> Result<MachinePlan> {
    let (paths, units) = paths_and_units(old, &new.content);
    let seen = door.observe(&paths, &units).await?;
    // A key that is not there must not stand in the way of everything else.
    let stale = door.stale(new.number).await.unwrap_or_default();
    Ok(secrets::with(between(old, &new.content, &seen), &stale, &seen))
}
