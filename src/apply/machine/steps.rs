//! Steps in their order: files that stand together are changed together, packages are installed together, everything else one by one.
//!
//! Refuses: going on after the first failure.

use super::Progress;
use crate::host::door::{Accounts, Door, Job};
use crate::plan::machine::{Act, MachinePlan, MachineStep};
use anyhow::{Error, Result, anyhow, bail};
use std::time::Duration;

/// What failed, with how much was done before.
#[derive(Debug)]
pub struct StepFailed {
    pub what: String,
    pub error: Error,
}

impl StepFailed {
    pub(super) fn watchdog(error: Error) -> Self {
        Self { what: "the watchdog cannot be started".to_owned(), error }
    }

    pub(super) fn objects(error: Error) -> Self {
        Self { what: "streams and events".to_owned(), error }
    }

    /// `doing`: what had begun and not ended.
    pub(super) fn late(within: Duration, doing: Option<&str>) -> Self {
        let doing = doing.map_or(String::new(), |doing| format!("{doing} had not ended; "));
        let error = anyhow!("{doing}not all of it was done within {} s; --within gives it more", within.as_secs());
        Self { what: "it took too long".to_owned(), error }
    }

    pub(super) fn stopped() -> Self {
        Self { what: "it was stopped".to_owned(), error: anyhow!("Ctrl-C") }
    }

    pub(super) fn commit(error: Error) -> Self {
        Self { what: "the commit cannot be written".to_owned(), error }
    }
}

impl std::fmt::Display for StepFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:#}", self.what, self.error)
    }
}

impl std::error::Error for StepFailed {}

/// How many steps there are, and how many are done.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    pub done: usize,
    pub of: usize,
}

impl Count {
    /// After what comes first: whoever installs packages does it before anything is begun.
    pub fn of(plan: &MachinePlan) -> Self {
        Self { done: plan.first.len(), of: plan.steps().count() }
    }
}

/// `generation` is whose files are placed.
pub async fn carry_out<D: Door>(
    door: &mut D,
    generation: u64,
    steps: &[MachineStep],
    count: &mut Count,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(), StepFailed> {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        let alike = |step: &&MachineStep| kind(&step.act).is_some_and(|own| Some(own) == kind(&first.act));
        let together = rest.iter().take_while(alike).count().max(1);
        let (now, later) = rest.split_at(together);
        let failed = |error| StepFailed {
            what: format!("step {} of {} failed, {} done: {}", count.done + 1, count.of, count.done, first.id),
            error,
        };
        tell(Progress::Begins { step: first });
        one(door, generation, now).await.map_err(failed)?;
        for step in now {
            count.done += 1;
            tell(Progress::Step { number: count.done, of: count.of, step });
        }
        rest = later;
    }
    Ok(())
}

/// A unit that did not do what it was told, and what it says.
pub type Unwilling = (String, String);

/// As `carry_out`, on the way back: a unit that does not start again is handed on and stands in nobody's way, because the machine
/// could never be changed again; what is wrong with a file still does.
pub async fn carry_back<D: Door>(
    door: &mut D,
    generation: u64,
    steps: &[MachineStep],
    count: &mut Count,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Vec<Unwilling>, StepFailed> {
    let mut unwilling = vec![];
    for steps in steps.chunk_by(|one, next| unit(&one.act).is_none() && unit(&next.act).is_none()) {
        let carried = carry_out(door, generation, steps, count, tell).await;
        match (carried, steps.first().and_then(|step| unit(&step.act))) {
            (Err(failed), Some(unit)) => {
                count.done += 1;
                unwilling.push((unit.to_owned(), format!("{:#}", failed.error)));
            }
            (carried, _) => carried?,
        }
    }
    Ok(unwilling)
}

/// Whose job it is.
fn unit(act: &Act) -> Option<&str> {
    match act {
        Act::Stop { unit } | Act::Reload { unit } | Act::Restart { unit } | Act::Start { unit } => Some(unit),
        _ => None,
    }
}

/// The units that a plan stops: they ran.
pub fn stopped(plan: &MachinePlan) -> impl Iterator<Item = String> {
    let stopped = |step: &MachineStep| if let Act::Stop { unit } = &step.act { Some(unit.clone()) } else { None };
    plan.steps().filter_map(stopped)
}

/// The steps on files of the phases before a commit: what is done where nothing runs, and refusals.
pub fn files_of(plan: &MachinePlan) -> Vec<MachineStep> {
    let wanted = |step: &&MachineStep| is_of_files(&step.act) || matches!(step.act, Act::Refuse { .. });
    plan.before.iter().chain(&plan.after).filter(wanted).cloned().collect()
}

/// What is done together with its like.
#[derive(PartialEq, Eq)]
enum Kind {
    Files,
    Packages,
}

fn kind(act: &Act) -> Option<Kind> {
    match act {
        Act::Place { .. } | Act::Link { .. } | Act::Remove { .. } => Some(Kind::Files),
        Act::Install { .. } => Some(Kind::Packages),
        _ => None,
    }
}

fn is_of_files(act: &Act) -> bool {
    kind(act) == Some(Kind::Files)
}

/// One step, or files or packages that go together.
async fn one<D: Door>(door: &mut D, generation: u64, steps: &[MachineStep]) -> Result<()> {
    let Some(step) = steps.first() else { return Ok(()) };
    match &step.act {
        Act::Install { .. } => {
            let package = |step: &MachineStep| {
                if let Act::Install { package, .. } = &step.act { Some(package.clone()) } else { None }
            };
            door.install(&steps.iter().filter_map(package).collect::<Vec<_>>()).await
        }
        Act::Place { .. } | Act::Link { .. } | Act::Remove { .. } => {
            let acts: Vec<&Act> = steps.iter().map(|step| &step.act).collect();
            door.files(generation, &acts).await
        }
        Act::Users => door.accounts(Accounts::Users).await,
        Act::Directories => door.accounts(Accounts::Directories).await,
        Act::Credentials { .. } => door.credentials(generation).await,
        Act::RemoveCredential { path } => door.remove_credential(path).await,
        Act::DaemonReload => door.daemon_reload().await,
        Act::Stop { unit } => door.job(Job::Stop, unit).await,
        Act::Reload { unit } => door.job(Job::Reload, unit).await,
        Act::Restart { unit } => door.job(Job::Restart, unit).await,
        Act::Refuse { path, say, .. } => bail!("{path}: {say}"),
        Act::Start { unit } => door.job(Job::Start, unit).await,
    }
}
