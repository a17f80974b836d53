//! `rollback`: a generation of the store becomes what the machine is, with the same steps, gates and way back as any other.
//!
//! Refuses: streams, events, keys and packages: they go forward only.

use super::apply::{Order, Outcome, Talk};
use super::generation;
use super::history::{self, Begin, End, unwritten};
use super::link;
use super::recover::settled;
use crate::apply::machine::{self, Change, Generation, Objects};
use crate::host::door::Door as _;
use crate::host::machine::history::Kind;
use crate::host::machine::real::{Boot, Manager, Real};
use crate::host::machine::register::Mode;
use crate::host::machine::{Home, generations, own_program, register};
use crate::host::systemd::Systemd;
use crate::plan::machine::gates;
use crate::plan::machine::{between, paths_and_units, secrets};
use anyhow::{Context as _, Result};

/// Streams and events have no part in it.
struct Nothing;

impl Objects for Nothing {
    async fn reconcile(&mut self) -> Result<usize> {
        Ok(0)
    }
}

/// To the generation that is named, else to the one that the active one came from.
pub async fn rollback(home: &Home, named: Option<u64>, order: &Order, talk: &mut dyn Talk) -> Result<Outcome> {
    let lock = home.lock("rollback")?;
    let missing = || format!("nothing was ever applied on this machine: {} is not there", home.register().display());
    let register = register::read(home)?.with_context(missing)?;
    let was_pending = register.pending.is_some();
    let register = settled(home, &lock, register, talk).await?;
    // Who says `rollback` to what did not come to its end has it by now.
    if let (true, None, Some(generation)) = (was_pending, named, register.active_generation()) {
        return Ok(Outcome::NothingToDo { generation, plan: None });
    }
    let target = generations::rollback(home, &register, named)?;
    let new = generation(home, target.number)?;
    let old: Option<Generation> = register.active_generation().map(|active| generation(home, active)).transpose()?;
    let (link, reach) = link::of_generation(home, new.number).unwrap_or_else(|error| {
        // The way back must not depend on a key.
        talk.say(&format!("the link is not proved: {error:#}"));
        link::nowhere()
    });
    let mut door = Real {
        home,
        lock: &lock,
        register,
        systemd: Systemd::connect().await?,
        manager: Manager::Runs,
        boot: Boot::this()?,
        monitor: monitor_of(&new),
        keys: home.state().join("keys"),
        link,
        before: old.as_ref().and_then(|old| link::before(home, old.number)),
        monitor_before: old.as_ref().and_then(monitor_of),
    };
    let (paths, units) = paths_and_units(old.as_ref().map(|old| &old.content), &new.content);
    let seen = door.observe_before(&paths, &units).await?;
    let plan = between(old.as_ref().map(|old| &old.content), &new.content, &seen);
    let plan = secrets::with(plan, &door.stale(new.number).await?, &seen);
    if own_program::is_new(home, &target) {
        talk.say(&format!("leafwright {} takes the place of this one again", target.leafwright));
    }
    talk.plan(&plan, None);
    if !talk.agree()? {
        return Ok(Outcome::NotAgreed);
    }
    let from = if order.mode == Mode::Boot { door.register.current } else { door.register.active_generation() };
    if order.mode == Mode::Boot {
        door.register.stage(new.number)?;
    }
    let begin =
        Begin { kind: Kind::RolledBack, person: &order.person, from, to: new.number, plan: &plan, objects: None };
    unwritten(history::begin(home, &lock, &begin)).iter().for_each(|line| talk.say(line));
    if order.mode == Mode::Boot {
        register::write(home, &lock, &door.register)?;
        return Ok(Outcome::Staged { generation: new.number });
    }
    let gates = gates::of(&new.content, reach);
    let change = Change {
        plan: &plan,
        old: old.as_ref(),
        new: &new,
        mode: order.mode,
        gates: &gates,
        within: order.within,
        steady: order.steady,
    };
    let done = machine::activate(&mut door, &mut Nothing, &change, &mut |progress| talk.progress(progress)).await;
    unwritten(history::ended(home, &lock, from, new.number, &End::of(&done))).iter().for_each(|line| talk.say(line));
    let done = done?;
    Ok(Outcome::Applied { generation: target.number, steps: done.steps, mode: order.mode })
}

/// Where the nats-server of a generation is monitored: `http` in its configuration.
pub(super) fn monitor_of(generation: &Generation) -> Option<std::net::SocketAddr> {
    generation.content.server.get("http").and_then(|http| http.as_str()).and_then(|http| http.parse().ok())
}
