//! The flow of `apply` on the machine itself: recover → store → observe → plan → ask → pre-check → activate.
//!
//! Refuses: starting a second one beside the first, and doing anything that the plan did not say.

use super::objects::OwnObjects;
use super::precheck;
use super::recover::recover;
use super::{Prepared, generation};
use crate::apply::machine::{self, Change, Failure, Generation, Progress};
use crate::compile;
use crate::host::door::{Door as _, Mode};
use crate::host::machine::lock::Lock;
use crate::host::machine::real::{Boot, Manager, Real};
use crate::host::machine::register::{self, Register};
use crate::host::machine::{Home, boot_units, generations, go_on, store};
use crate::host::nats_link::OverLink;
use crate::host::systemd::Systemd;
use crate::plan::Plan;
use crate::plan::machine::gates::{self, HasLink};
use crate::plan::machine::{Content, MachinePlan, between, paths_and_units};
use crate::resolve::Part;
use anyhow::{Context as _, Result};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How an apply is to go.
#[derive(Clone, Debug)]
pub struct Order {
    pub mode: Mode,
    pub asked: Asked,
    /// For everything up to the commit.
    pub within: Duration,
    /// How long what was started must stay up before the commit.
    pub steady: Duration,
}

/// How far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Looks, and touches nothing.
    Plan,
    /// As far as the pre-checks.
    DryRun,
    /// The whole way, if the person agrees.
    All,
}

/// Whoever listens and answers.
pub trait Talk: Send {
    fn say(&mut self, line: &str);
    fn plan(&mut self, plan: &MachinePlan, objects: Option<&Plan>);
    fn agree(&mut self) -> Result<bool>;
    fn progress(&mut self, progress: Progress<'_>);
}

/// How it ended, when it ended well.
#[derive(Debug)]
pub enum Outcome {
    NothingToDo { generation: u64 },
    /// There is something to do, and it was not asked for.
    Planned(Box<MachinePlan>),
    /// The person said no.
    NotAgreed,
    Applied { generation: u64, steps: usize, mode: Mode },
    /// For the next boot.
    Staged { generation: u64 },
}

/// What was found and what shall be.
struct Found {
    old: Option<Generation>,
    new: Content,
    plan: MachinePlan,
    objects: Option<Plan>,
}

pub async fn apply(home: &Home, prepared: &Prepared, order: &Order, talk: &mut dyn Talk) -> Result<Outcome> {
    let machine = prepared.machine.name.as_str();
    let lock = home.lock(&format!("apply of {machine}"))?;
    let mut register = register::open(home, machine)?;
    if register.pending.is_some() && order.asked == Asked::All {
        let returned = recover(home, &lock, register, "its apply ended before it was committed").await?;
        returned.into_iter().for_each(|returned| talk.say(&returned.to_string()));
        register = register::open(home, machine)?;
    }
    let systemd = Systemd::connect().await?;
    let mut door = Real {
        home,
        lock: &lock,
        register,
        systemd,
        manager: Manager::Runs,
        boot: Boot::this()?,
        monitor: prepared.desired.servers.values().next().map(|server| server.monitor),
        link: OverLink::of(prepared.link_parts()),
    };
    let mut objects = prepared.objects(home);
    let found = find(home, prepared, &mut door, &objects).await?;
    let active = door.register.active_generation();
    let more = found.objects.as_ref().is_some_and(|plan| !plan.is_empty());
    let same = found.old.as_ref().is_some_and(|old| old.content.digest == found.new.digest);
    if let (true, false, true, Some(generation)) = (found.plan.is_empty(), more, same, active) {
        return Ok(Outcome::NothingToDo { generation });
    }
    talk.plan(&found.plan, found.objects.as_ref());
    if order.asked == Asked::Plan {
        return Ok(Outcome::Planned(Box::new(found.plan)));
    }
    precheck::all(home, prepared, &found.new).await?;
    if order.asked == Asked::DryRun {
        return Ok(Outcome::Planned(Box::new(found.plan)));
    }
    if !talk.agree()? {
        return Ok(Outcome::NotAgreed);
    }
    prepared.place_credentials(home)?;
    let number = if same { active.context("nothing is active")? } else { store_it(home, &lock, prepared, order, &mut door.register)? };
    boot_units::install(home, &mut door.systemd).await?;
    if order.mode == Mode::Boot {
        door.register.stage(number)?;
        register::write(home, &lock, &door.register)?;
        return Ok(Outcome::Staged { generation: number });
    }
    let new = Generation { number, content: found.new };
    let gates = prepared.gates(&new.content).await?;
    let change = Change {
        plan: &found.plan,
        old: found.old.as_ref(),
        new: &new,
        mode: order.mode,
        gates: &gates,
        within: order.within,
        steady: order.steady,
    };
    let done = machine::activate(&mut door, &mut objects, &change, &mut |progress| talk.progress(progress)).await?;
    Ok(Outcome::Applied { generation: number, steps: done.steps, mode: order.mode })
}
