//! What goes back when an apply did not come to its end: the watchdog, the boot, the next apply. Three ways, one function.
//!
//! Refuses: going back from what is committed.

use super::apply::Talk;
use super::generation;
use super::history::{self, End, unwritten};
use super::link;
use super::rollback::monitor_of;
use crate::apply::machine::{self, Count, Generation, Returned, Wait, go_back};
use crate::host::door::Door as _;
use crate::host::machine::generations as records;
use crate::host::machine::lock::{self, Lock};
use crate::host::machine::real::{Boot, Link, Manager, NoLink, Real};
use crate::host::machine::register::{self, Mode, Phase, Register};
use crate::host::machine::transitions::AtBoot;
use crate::host::machine::{Home, room};
use crate::host::systemd::{Systemd, Verb};
use crate::plan::machine::{Content, MachinePlan, between, paths_and_units, secrets};
use anyhow::{Context as _, Result, bail};
use std::time::Duration;

/// An apply sees its own deadline; only one that does not is ended.
const GRACE: Duration = Duration::from_secs(5);
/// How long the way back may take: nats-server in lame duck mode takes its time.
const RETURNING: Duration = Duration::from_secs(300);
/// For a holder of the lock that was killed.
const DEAD: Duration = Duration::from_secs(10);
/// How long the gates of a generation have that was placed by a boot.
const AFTER_BOOT: Duration = Duration::from_secs(120);

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
fn overdue(register: &Register) -> Option<bool> {
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
async fn recover(
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
async fn back<L: Link>(
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
        if tries && pending.boot_id == Boot::this()?.id && overdue(&register) == Some(false) {
            bail!(
                "this boot tries generation {}, and its gates have not decided yet\nhelp: they have two minutes: journalctl -fu leafwright-confirm.service",
                pending.to
            );
        }
        let machine = register.machine.clone();
        let returned = recover(Manager::Runs, home, lock, register, "its apply ended before it was committed").await?;
        returned.into_iter().for_each(|returned| talk.say(&returned.to_string()));
        register = register::open(home, &machine)?;
    }
    unwritten(history::settle(home, lock, &register)).iter().for_each(|line| talk.say(line));
    let (Some(left), Some(active)) = (register.leaving, register.active_generation()) else { return Ok(register) };
    let (old, new) = generations(home, Some(left), active)?;
    let mut door = door(home, lock, register, Systemd::connect().await?, Manager::Runs)?;
    tidy(&mut door, old.as_ref(), &new).await?;
    Ok(door.register)
}

/// What is left on the machine of the generation before the commit goes. Nothing is started here: that is the next plan's business.
async fn tidy<L: Link>(door: &mut Real<'_, L>, old: Option<&Generation>, new: &Generation) -> Result<()> {
    let plan = plan_to(door, old.map(|old| &old.content), new).await?;
    let mut count = Count { done: 0, of: plan.last.len() };
    machine::carry_out(door, new.number, &plan.last, &mut count, &mut |_| ()).await?;
    door.tidied().await
}

fn generations(home: &Home, from: Option<u64>, to: u64) -> Result<(Option<Generation>, Generation)> {
    let old = from.map(|from| generation(home, from)).transpose()?;
    Ok((old, generation(home, to)?))
}

fn door<'a>(
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
    })
}

/// What a boot did before anything of ours was started.
#[derive(Debug)]
pub enum Booted {
    /// The machine is what it must be.
    AsItWas,
    Returned(Returned),
    /// A generation was placed that this boot is to try.
    Trying(u64),
}

/// Before anything of ours is started: the files of the generation that the machine is to be.
pub async fn at_boot(home: &Home) -> Result<Booted> {
    let lock = lock::take_within(home.state(), "boot", DEAD)?;
    let Some(mut register) = register::read(home)? else { return Ok(Booted::AsItWas) };
    let boot = Boot::this()?;
    // A machine starts whether its history can be written or not.
    let _told_by_the_next_apply = history::settle(home, &lock, &register);
    let before = register.clone();
    let what = register.boot(boot.watch(AFTER_BOOT)?)?;
    if register != before {
        // A disk that is full is no reason to be neither of both.
        room::give_back(home, &lock)?;
        register::write(home, &lock, &register)?;
    }
    if what == AtBoot::Stay {
        return Ok(Booted::AsItWas);
    }
    let pending = register.pending.clone().context("a boot has something to do, and nothing is pending")?;
    let (old, new) = generations(home, pending.from, pending.to)?;
    // No bus runs yet.
    let systemd = Systemd::connect_directly().await?;
    let mut door = door(home, &lock, register, systemd, Manager::Boots)?;
    if what == AtBoot::Return {
        let reason = match &pending.phase {
            Phase::Returning { reason } => reason.as_str(),
            Phase::Activating => "the machine was restarted",
        };
        let returned = back(&mut door, old.as_ref(), &new, reason).await.map(Booted::Returned);
        dismiss(&door.systemd, Some(&new.content), old.as_ref().map(|old| &old.content)).await;
        return returned;
    }
    // A boot goes on without it: nobody is there who could make room.
    let _without = room::keep(home, &lock);
    let (old, new) = (old.as_ref().map(|old| &old.content), &new);
    let plan = plan_to(&mut door, old, new).await?;
    // Jobs are systemd's own while it boots: the door knows.
    let steps: Vec<_> = plan.before.iter().chain(&plan.after).cloned().collect();
    let mut count = Count { done: 0, of: steps.len() };
    machine::carry_out(&mut door, new.number, &steps, &mut count, &mut |_| ()).await?;
    dismiss(&door.systemd, old, Some(&new.content)).await;
    Ok(Booted::Trying(pending.to))
}

/// What a boot starts was settled when it began: units that only the generation has that is left would still come. Not waited for;
/// one that is not there is no matter.
async fn dismiss(systemd: &Systemd, left: Option<&Content>, stays: Option<&Content>) {
    let instances = stays.map(Content::steady).unwrap_or_default();
    // An instance stays if it is one of those that are wanted, a unit if it is defined.
    let stays = |unit: &String| match unit.contains('@') {
        true => instances.contains(unit),
        false => stays.is_some_and(|stays| stays.definition(unit).is_some()),
    };
    let units = left.map(Content::steady).unwrap_or_default();
    for unit in units.into_iter().filter(|unit| !stays(unit)) {
        let _not_there = systemd.later(Verb::Stop, &unit).await;
    }
}

async fn plan_to<L: Link>(door: &mut Real<'_, L>, old: Option<&Content>, new: &Generation) -> Result<MachinePlan> {
    let (paths, units) = paths_and_units(old, &new.content);
    let seen = door.observe(&paths, &units).await?;
    // A key that is not there must not stand in the way of everything else.
    let stale = door.stale(new.number).await.unwrap_or_default();
    Ok(secrets::with(between(old, &new.content, &seen), &stale, &seen))
}

/// After a boot that placed a generation: its gates decide. `None`: this boot tries nothing.
pub async fn confirm(home: &Home, within: Duration, steady: Duration) -> Result<Option<Confirmed>> {
    let lock = lock::take_within(home.state(), "confirmation after a boot", DEAD)?;
    let Some(register) = register::read(home)? else { return Ok(None) };
    let Some(pending) = register.pending.clone() else { return Ok(None) };
    if pending.mode != Mode::Boot || pending.phase != Phase::Activating {
        return recover(Manager::Runs, home, &lock, register, "its boot ended before it was committed")
            .await
            .map(|it| it.map(Confirmed::Returned));
    }
    let (old, new) = generations(home, pending.from, pending.to)?;
    let mut door = door(home, &lock, register, Systemd::connect().await?, Manager::Runs)?;
    let failing = records::read(home, new.number)?.failing;
    // Where nobody looked before the boot, the link decides nothing, and neither does a key that cannot be read.
    let link = match failing {
        Some(_) => link::of_generation(home, new.number),
        None => Ok(link::nowhere()),
    };
    let (link, reach) = match link {
        Ok(link) => link,
        // What cannot be proved is not kept.
        Err(error) => {
            let reason = format!("its link cannot be proved: {error:#}");
            return back(&mut door, old.as_ref(), &new, &reason).await.map(|it| Some(Confirmed::Returned(it)));
        }
    };
    let mut door = door.with_link(link);
    door.monitor = monitor_of(&new);
    let left = machine::files_of(&plan_to(&mut door, old.as_ref().map(|old| &old.content), &new).await?).len();
    if left > 0 {
        let reason = format!("the boot could not place it: {left} of its files differ");
        return back(&mut door, old.as_ref(), &new, &reason).await.map(|it| Some(Confirmed::Returned(it)));
    }
    let (gates, before) = link::before_boot(&new.content, failing.as_ref(), reach);
    let end = door.clock() + within;
    let wait = Wait { gates: &gates, before: &before, within, end, steady };
    match machine::hold(&mut door, &wait, &mut |_| ()).await {
        Ok(_as_before) => {
            door.commit().await?;
            let committed = End::Committed { but: None };
            let _told_by_the_next_apply = history::ended(home, &lock, pending.from, pending.to, &committed);
            tidy(&mut door, old.as_ref(), &new).await?;
            Ok(Some(Confirmed::Committed(new.number)))
        }
        Err(failed) => {
            let returned = back(&mut door, old.as_ref(), &new, &failed.to_string()).await?;
            Ok(Some(Confirmed::Returned(returned)))
        }
    }
}

/// What became of a generation that a boot tried.
#[derive(Debug)]
pub enum Confirmed {
    Committed(u64),
    Returned(Returned),
}
