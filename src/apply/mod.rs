//! Carries a plan out: step by step, journalled, and no further than the first failure.
//!
//! Refuses: choices, plans that hold a refusal, plans made against another world, and calling a half success a success.

pub mod journal;
pub mod live;
pub mod machine;

pub use journal::Journal;
pub use live::{Closures, Live};

use crate::host::World;
use crate::host::world::Load;
use crate::plan::{Action, Plan, Scope, Step, render};
use anyhow::{Error, Result, bail};

/// What is told while steps run; the terminal decides what to show of it.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    Begins { number: usize, of: usize, step: &'a Step },
    Done { number: usize, of: usize, step: &'a Step },
}

/// Why a plan was not carried out to its end.
#[derive(Debug)]
pub enum Failure {
    /// Nothing was done: the plan holds refusals. Each with its way out.
    Refused { refusals: String },
    /// Nothing was done: the plan is not about this world any more.
    NotBegun(String),
    /// A step failed; those before it are done, those after it are not begun.
    Step { number: usize, of: usize, sentence: String, error: Error },
    /// The journal could not be written, so no step was begun after that.
    Journal { done: usize, of: usize, error: Error },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused { refusals } => {
                write!(f, "nothing of this plan was done, for what it refuses:\n{refusals}")
            }
            Failure::NotBegun(why) => write!(f, "nothing was done: {why}"),
            Failure::Step { number, of, sentence, error } => {
                write!(f, "step {number} of {of} failed, {} done: {sentence}: {error:#}", number - 1)
            }
            Failure::Journal { done, of, error } => {
                write!(f, "stopped with {done} of {of} steps done, because the journal cannot be written: {error:#}")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// How many steps were done: all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub steps: usize,
}

/// Executes the steps in order. The next run plans anew from what is there, so whatever stopped this one, that one goes on.
pub async fn run<W: World>(
    plan: &Plan,
    world: &mut W,
    journal: &mut Journal,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Done, Failure> {
    may_begin(plan, world).await?;
    let of = plan.steps.len();
    let unwritten = |done| move |error| Failure::Journal { done, of, error };
    if of == 0 {
        // What an earlier run was stopped in turns out to be done.
        if journal.is_unfinished() {
            journal.end().map_err(unwritten(0))?;
        }
        return Ok(Done { steps: 0 });
    }
    journal.begin(plan).map_err(unwritten(0))?;
    for (at, step) in plan.steps.iter().enumerate() {
        let number = at + 1;
        progress(Progress::Begins { number, of, step });
        journal.step(&step.id).map_err(unwritten(at))?;
        if let Err(error) = carry_out(world, step).await {
            journal.failed(&step.id, &format!("{error:#}")).map_err(unwritten(at))?;
            return Err(Failure::Step { number, of, sentence: render::sentence(plan, step), error });
        }
        journal.done(&step.id).map_err(unwritten(number))?;
        progress(Progress::Done { number, of, step });
    }
    journal.end().map_err(unwritten(of))?;
    Ok(Done { steps: of })
}

async fn may_begin<W: World>(plan: &Plan, world: &mut W) -> Result<(), Failure> {
    if plan.refused().next().is_some() {
        return Err(Failure::Refused { refusals: render::refusals(plan) });
    }
    let observed = world.observe().await.map_err(|error| Failure::NotBegun(format!("{error:#}")))?;
    if !plan.fits(&observed) {
        let why = "the plan is stale: something changed since it was made; plan again";
        return Err(Failure::NotBegun(why.into()));
    }
    Ok(())
}

async fn carry_out<W: World>(world: &mut W, step: &Step) -> Result<()> {
    let on = &step.on;
    match &step.action {
        Action::WriteClosure { digest } => match on {
            Scope::Machine(machine) => world.write_closure(machine, digest).await,
            Scope::Cluster => bail!("a closure belongs to a machine"),
        },
        Action::CreateStream { config } => world.create_stream(on, config).await,
        Action::UpdateStream { to, .. } => world.update_stream(on, to).await,
        Action::CreateConsumer { stream, config } => world.create_consumer(on, stream.as_str(), config).await,
        Action::UpdateConsumer { stream, to, .. } => world.update_consumer(on, stream.as_str(), to).await,
        Action::LoadEvents { set, stream, from, to } => {
            world.load_events(on, Load { set, stream, from: *from, to: *to }).await
        }
        Action::Refuse { say, .. } => bail!("{say}"),
    }
}
