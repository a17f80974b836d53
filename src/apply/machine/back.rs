//! Going back: the generation that the attempt came from is placed again, as if it were new.
//!
//! Refuses: undoing steps one by one; what was half done is made whole, whatever it was.

use super::{Change, Failure, Generation, Progress, gates, steps};
use crate::host::door::Door;
use crate::plan::machine::gates::{Gate, Seen};
use crate::plan::machine::{Content, back_between, paths_and_units, secrets};
use anyhow::{Context as _, Result};

/// A machine that is back where it was.
#[derive(Debug)]
pub struct Returned {
    pub from: u64,
    /// `None`: the machine has nothing of ours any more, as before.
    pub to: Option<u64>,
    pub reason: String,
    /// Gates of the old generation that do not hold now.
    pub failing: Vec<(Gate, String)>,
    /// Why the Leafwright of the old generation is not the machine's own again.
    pub not_own: Option<String>,
    /// Why the history lacks it.
    pub unwritten: Option<String>,
}

impl std::fmt::Display for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to = self.to.map_or("what it was before".to_owned(), |to| format!("generation {to}"));
        write!(f, "generation {} was given up and the machine is back at {to}, because {}", self.from, self.reason)?;
        for (gate, what) in &self.failing {
            write!(f, "\nnot as before: the gate \"{}\" does not hold: {what}", gate.name())?;
        }
        if let Some(why) = &self.not_own {
            write!(f, "\nnot as before: leafwright itself: {why}")?;
        }
        if let Some(unwritten) = &self.unwritten {
            write!(f, "\n{unwritten}")?;
        }
        Ok(())
    }
}

/// After a step failed.
pub(super) async fn after<D: Door>(
    door: &mut D,
    change: &Change<'_>,
    failed: &steps::StepFailed,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Failure {
    let reason = failed.to_string();
    tell(Progress::GoingBack { reason: &reason });
    match go_back(door, change.old, change.new, &reason, tell).await {
        Ok(returned) => Failure::Returned(Box::new(returned)),
        Err(error) => Failure::Stuck { reason, error },
    }
}

/// From the attempt `new` back to `old`. May be called again at any time until it succeeded.
pub async fn go_back<D: Door>(
    door: &mut D,
    old: Option<&Generation>,
    new: &Generation,
    reason: &str,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Returned> {
    door.begin_return(reason).await.context("the return cannot be written down")?;
    let nothing = Content::default();
    let target = old.map_or(&nothing, |old| &old.content);
    let (paths, units) = paths_and_units(Some(&new.content), target);
    let seen = door.observe(&paths, &units).await.context("cannot look at the machine")?;
    let plan = back_between(&new.content, target, &seen);
    // A key that is not there must not stand in the way of everything else.
    let stale = match old {
        Some(old) => door.stale(old.number).await.unwrap_or_default(),
        None => vec![],
    };
    let plan = secrets::with(plan, &stale, &seen);
    let number = old.map_or(new.number, |old| old.number);
    let mut count = steps::Count::of(&plan);
    let mut unwilling = vec![];
    for phase in [&plan.before, &plan.after, &plan.last] {
        unwilling.extend(steps::carry_back(door, number, phase, &mut count, tell).await?);
    }
    let not_own = match old {
        Some(old) => door.own_program(old.number).await.err().map(|error| format!("{error:#}")),
        None => None,
    };
    door.let_go(&new.content.units_gone(target), &steps::stopped(&plan).collect()).await;
    // A hidden file that nobody reads is no reason to be neither of both.
    let _left = door.sweep(&paths).await;
    door.end_return().await.context("the end of the return cannot be written down")?;
    door.unwatch().await?;
    let mut failing: Vec<(Gate, String)> =
        unwilling.into_iter().map(|(unit, what)| (Gate::Unit { unit }, what)).collect();
    if let Some(old) = old {
        let also = failing_gates(door, old).await;
        let told: Vec<Gate> = failing.iter().map(|(gate, _)| gate.clone()).collect();
        failing.extend(also.into_iter().filter(|(gate, _)| !told.contains(gate)));
    }
    Ok(Returned {
        from: new.number,
        to: old.map(|old| old.number),
        reason: reason.to_owned(),
        failing,
        not_own,
        unwritten: None,
    })
}

async fn failing_gates<D: Door>(door: &mut D, old: &Generation) -> Vec<(Gate, String)> {
    let wanted: Vec<Gate> = old.content.steady().into_iter().map(|unit| Gate::Unit { unit }).collect();
    let seen = gates::look(door, &wanted).await;
    seen.into_iter()
        .filter_map(|(gate, seen)| if let Seen::Fails { what } = seen { Some((gate, what)) } else { None })
        .collect()
}
