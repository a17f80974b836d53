//! Makes a generation what a machine is: begun, carried out, proved, committed; or given back.
//!
//! Refuses: choices, calling a half success a success, and leaving a machine between two generations.

mod back;
mod gates;
mod steps;

pub use back::{Returned, go_back};
pub use gates::{Wait, before, hold};
pub use steps::{Count, StepFailed, carry_out, files_of, stopped};

use crate::host::door::{Attempt, Door};
use crate::host::machine::register::Mode;
use crate::plan::machine::gates::Gate;
use crate::plan::machine::{Content, MachinePlan, MachineStep};
use anyhow::{Error, Result};
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::timeout;

/// A generation: its number, and what its closure puts on the machine.
#[derive(Clone, Debug)]
pub struct Generation {
    pub number: u64,
    pub content: Content,
}

/// For a look that began in time: a gate says better what is missing. The watchdog waits a little longer.
const LOOKING: Duration = Duration::from_secs(4);

/// Everything that an activation is about. Nothing in it is left to decide.
pub struct Change<'a> {
    pub plan: &'a MachinePlan,
    /// The generation that is active; `None` on a fresh machine.
    pub old: Option<&'a Generation>,
    pub new: &'a Generation,
    pub mode: Mode,
    pub gates: &'a [Gate],
    /// For everything up to the commit, but for gates that have a time of their own.
    pub within: Duration,
    /// How long all gates must hold in one piece.
    pub steady: Duration,
}

impl Change<'_> {
    /// After this much time nobody is at work on it any more: gates with a time of their own have it after everything else.
    fn at_most(&self) -> Duration {
        let longest = self.gates.iter().filter_map(Gate::within).max();
        self.within + longest.map_or(Duration::ZERO, |longest| longest + 2 * self.steady)
    }
}

/// The streams and events of this machine: additive, forward only, and no part of going back.
pub trait Objects: Send {
    /// How many steps were done.
    fn reconcile(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

/// What is told while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    Step {
        number: usize,
        of: usize,
        step: &'a MachineStep,
    },
    Objects {
        steps: usize,
    },
    /// Now comes this one.
    Begins {
        step: &'a MachineStep,
    },
    /// A gate that does not hold yet.
    Waiting {
        gate: &'a Gate,
        what: &'a str,
    },
    Committed,
    /// A gate that did not stand in the way of the commit, because it did not hold before either.
    AsBefore {
        gate: &'a Gate,
        what: &'a str,
    },
    /// A unit of others that failed meanwhile.
    Failed {
        unit: &'a str,
    },
    /// The Leafwright of the generation could not be made the machine's own again.
    NotOwn {
        why: &'a str,
    },
    GoingBack {
        reason: &'a str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub steps: usize,
}

/// How an activation ended that did not end well.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was done.
    NotBegun(Error),
    /// A package was not installed, so nothing else was done; those that were installed stay.
    NotInstalled(StepFailed),
    /// The machine is what it was before; why, and whether the old gates hold again.
    Returned(Box<Returned>),
    /// It could not go back either; the watchdog, the next boot or the next apply tries again.
    Stuck { reason: String, error: Error },
    /// The generation is committed, and something of the old one could not be removed; the next apply tries again.
    Untidy(Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NotBegun(error) => write!(f, "nothing was done: {error:#}"),
            Failure::NotInstalled(failed) => write!(f, "nothing was changed but packages: {failed}"),
            Failure::Returned(returned) => write!(f, "{returned}"),
            Failure::Stuck { reason, error } => {
                write!(f, "{reason}; and the machine could not go back: {error:#}")
            }
            Failure::Untidy(error) => {
                write!(f, "the generation is committed, but not all of the old one is gone: {error:#}")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// The packages that a plan names, before anything is begun: they stay, whatever becomes of the rest.
pub async fn install<D: Door>(
    door: &mut D,
    generation: u64,
    plan: &MachinePlan,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(), Failure> {
    let mut count = steps::Count { done: 0, ..steps::Count::of(plan) };
    steps::carry_out(door, generation, &plan.first, &mut count, tell).await.map_err(Failure::NotInstalled)
}

/// Carries the plan out, but for what comes `first`. On a failure, or when it is stopped before the commit, the machine has gone
/// back when this returns.
pub async fn activate<D: Door, O: Objects>(
    door: &mut D,
    objects: &mut O,
    change: &Change<'_>,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Done, Failure> {
    let before = gates::before(door, change.gates, change.old).await;
    let failed_before = door.failed().await;
    let from = change.old.map(|old| old.number);
    let stop = door.stop();
    let attempt = Attempt { from, to: change.new.number, mode: change.mode, within: change.at_most() };
    door.begin(&attempt).await.map_err(Failure::NotBegun)?;
    let doing = Mutex::new(None);
    let forward = async {
        let tell = &mut |progress: Progress<'_>| {
            if let Ok(mut doing) = doing.lock() {
                match progress {
                    Progress::Begins { step } => *doing = Some(step.id.clone()),
                    Progress::Step { .. } => *doing = None,
                    _ => {}
                }
            }
            tell(progress);
        };
        let end = door.clock() + change.within;
        door.watch(change.at_most()).await.map_err(StepFailed::watchdog)?;
        let mut count = steps::Count::of(change.plan);
        steps::carry_out(door, change.new.number, &change.plan.before, &mut count, tell).await?;
        if let Err(error) = door.own_program(change.new.number).await {
            tell(Progress::NotOwn { why: &format!("{error:#}") });
        }
        let made = objects.reconcile().await.map_err(StepFailed::objects)?;
        tell(Progress::Objects { steps: made });
        steps::carry_out(door, change.new.number, &change.plan.after, &mut count, tell).await?;
        let Change { gates, within, steady, .. } = *change;
        let failing = gates::hold(door, &Wait { gates, before: &before, within, end, steady }, tell).await?;
        Ok::<_, StepFailed>((count, made, failing))
    };
    // What is cut short by it is observed anew on the way back, as after a kill.
    let proved = match select(pin!(stop), pin!(timeout(change.at_most() + LOOKING, forward))).await {
        Either::Left(_) => Err(StepFailed::stopped()),
        Either::Right((Ok(proved), _)) => proved,
        // Before the watchdog, which tells nobody where it stood.
        Either::Right((Err(_), _)) => {
            let doing = doing.lock().ok().and_then(|mut doing| doing.take());
            Err(StepFailed::late(change.at_most(), doing.as_deref()))
        }
    };
    let committed = match proved {
        Ok(proved) => door.commit().await.map(|()| proved).map_err(StepFailed::commit),
        Err(failed) => Err(failed),
    };
    let (mut count, made, failing) = match committed {
        Ok(done) => done,
        Err(failed) => return Err(back::after(door, change, &failed, tell).await),
    };
    tell(Progress::Committed);
    failing.iter().for_each(|(gate, what)| tell(Progress::AsBefore { gate, what }));
    // Of ours the gates have decided; what else is on the machine may have failed by itself.
    let new = door.failed().await;
    let of = |generation: &Generation, unit: &str| generation.content.definition(unit).is_some();
    let ours = |unit: &str| of(change.new, unit) || change.old.is_some_and(|old| of(old, unit));
    let others = new.difference(&failed_before).filter(|unit| !ours(unit));
    others.for_each(|unit| tell(Progress::Failed { unit }));
    let tidy = async {
        door.unwatch().await?;
        steps::carry_out(door, change.new.number, &change.plan.last, &mut count, tell).await?;
        if let Some(old) = change.old {
            let ran = stopped(change.plan).collect();
            door.let_go(&old.content.units_gone(&change.new.content), &ran).await;
        }
        door.tidied().await
    };
    tidy.await.map_err(Failure::Untidy)?;
    Ok(Done { steps: change.plan.steps().count() + made })
}
