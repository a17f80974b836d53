//! Writes down what became of this machine: who did what, from which generation to which, in how many steps, how long it took, why not.
//!
//! Refuses: standing in the way. What cannot be written down is said, and the apply goes on.

mod publish;
mod read;

pub(super) use publish::histories_of;
pub use publish::{Published, Stream, Writers, publish, publish_member, send};
pub use read::{History, of_domain, own};

use crate::apply::machine::{Done, Failure};
use crate::host::machine::generations;
use crate::host::machine::history::{self, Attempt, Change, Data, Event, Kind, Steps};
use crate::host::machine::lock::Lock;
use crate::host::machine::register::{Register, Returned};
use crate::host::machine::{Home, register};
use crate::name::FileFormat;
use crate::plan::machine::{MachinePlan, render};
use crate::plan::{self, Plan};
use anyhow::{Context as _, Result};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Committed {
        /// What is not as it should be all the same.
        but: Option<String>,
    },
    Returned {
        reason: String,
    },
    NotBegun {
        reason: String,
    },
    /// It could not go back either; whoever tries again tells how that ended.
    Stuck {
        reason: String,
    },
}

impl End {
    pub fn of(done: &Result<Done, Failure>) -> Self {
        match done {
            Ok(_) => End::Committed { but: None },
            Err(Failure::Untidy(error)) => {
                End::Committed { but: Some(format!("not all of the generation before is gone: {error:#}")) }
            }
            Err(Failure::Returned(returned)) => End::Returned { reason: returned.reason.clone() },
            Err(failure @ (Failure::NotBegun(_) | Failure::NotInstalled(_))) => {
                End::NotBegun { reason: failure.to_string() }
            }
            Err(failure @ Failure::Stuck { .. }) => End::Stuck { reason: failure.to_string() },
        }
    }
}

/// What is about to begin.
pub(super) struct Begin<'a> {
    pub kind: Kind,
    pub person: &'a str,
    pub from: Option<u64>,
    pub to: u64,
    pub plan: &'a MachinePlan,
    pub objects: Option<&'a Plan>,
}

/// Written down before the first effect.
pub(super) fn begin(home: &Home, lock: &Lock, begin: &Begin<'_>) -> Result<()> {
    let Begin { kind, person, from, to, plan, objects } = *begin;
    let own = plan.steps().map(render::sentence);
    let objects = objects.into_iter();
    let objects = objects.flat_map(|plan| plan.steps.iter().map(|step| plan::render::sentence(plan, step)));
    let attempt = Attempt {
        format: FileFormat::Attempt.version(),
        id: history::new_id()?,
        kind,
        person: person.to_owned(),
        began: now()?,
        from,
        to,
        steps: Steps::of(own.chain(objects)),
    };
    history::begin(home, lock, &attempt)
}

fn now() -> Result<String> {
    let now = OffsetDateTime::now_utc();
    let seconds = now.replace_nanosecond(0).ok().and_then(|seconds| seconds.format(&Rfc3339).ok());
    let seconds = seconds.context("there is no time")?;
    // Always as long: so times have the order of their texts.
    Ok(format!("{}.{:03}Z", seconds.trim_end_matches('Z'), now.millisecond()))
}

/// The end of the change from `from` to `to`, with what was written down when it began; what a boot or a watchdog ends and
/// nobody wrote down is told as far as the generation's record knows it.
pub(super) fn ended(home: &Home, lock: &Lock, from: Option<u64>, to: u64, end: &End) -> Result<()> {
    let attempt = history::attempt(home)?.filter(|attempt| attempt.to == to);
    let event = event(home, attempt.as_ref(), from, to, end)?;
    history::append(home, lock, &event)?;
    if attempt.is_some() && !matches!(end, End::Stuck { .. }) {
        history::end(home, lock)?;
    }
    Ok(())
}

fn event(home: &Home, attempt: Option<&Attempt>, from: Option<u64>, to: u64, end: &End) -> Result<Event> {
    let register = register::read(home)?.context("this machine has no register")?;
    let (kind, generation, reason) = match end {
        End::Committed { but } => {
            let kind = attempt.map_or(Kind::Applied, |attempt| attempt.kind);
            (kind, Change { from, to: Some(to) }, but.clone())
        }
        End::Returned { reason } => (Kind::Returned, Change { from: Some(to), to: from }, Some(reason.clone())),
        End::NotBegun { reason } | End::Stuck { reason } => {
            (Kind::Failed, Change { from, to: Some(to) }, Some(reason.clone()))
        }
    };
    let record = |number: u64| generations::read(home, number).ok();
    let time = now()?;
    let began = attempt.map(|attempt| attempt.began.as_str());
    let duration_ms = began.and_then(|began| {
        let [began, time] = [began, &time].map(|time| OffsetDateTime::parse(time, &Rfc3339));
        u64::try_from((time.ok()? - began.ok()?).whole_milliseconds()).ok()
    });
    let person = attempt.map(|attempt| attempt.person.clone());
    let data = Data {
        machine: register.machine,
        person: person.or_else(|| Some(record(to)?.person)),
        generation,
        digest: generation.to.and_then(record).map(|record| record.digest().to_owned()),
        duration_ms,
        steps: attempt.map(|attempt| attempt.steps.clone()).unwrap_or_default(),
        reason,
    };
    let own = attempt.filter(|_| !matches!(end, End::Stuck { .. }));
    let id = own.map_or_else(history::new_id, |attempt| Ok(attempt.id.clone()))?;
    Ok(Event { format: FileFormat::History.version(), id, kind, time, data })
}

/// An attempt that ended before its end was written down (a power cut between the two): the register knows how.
pub(super) fn settle(home: &Home, lock: &Lock, register: &Register) -> Result<()> {
    let Some(attempt) = history::attempt(home)? else { return Ok(()) };
    if register.pending.is_some() || register.next == Some(attempt.to) {
        return Ok(());
    }
    let Attempt { from, to, .. } = attempt;
    // A boot goes back further than to a test.
    let whence = |returned: &&Returned| returned.to == from || returned.to == register.current;
    let returned = register.returned.as_ref().filter(|returned| returned.from == to).filter(whence);
    let committed = register.active_generation() == Some(to) && (from != Some(to) || returned.is_none());
    match (committed, returned) {
        (true, _) => ended(home, lock, from, to, &End::Committed { but: None }),
        (false, Some(returned)) => ended(home, lock, from, to, &End::Returned { reason: returned.reason.clone() }),
        // It was never begun.
        (false, None) => history::end(home, lock),
    }
}

/// What was looked at by `status --record`, if it is news.
pub(super) fn looked_at(home: &Home, lock: &Lock, register: &Register, differs: Vec<String>) -> Result<Option<Kind>> {
    let last =
        history::read(home)?.into_iter().rev().find(|event| matches!(event.kind, Kind::Drifted | Kind::Repaired));
    let known = last.filter(|event| event.kind == Kind::Drifted).map(|event| event.data);
    let steps = Steps::of(differs);
    let active = register.active_generation();
    let kind = match (&known, steps.count) {
        (None, 0) => return Ok(None),
        (Some(_), 0) => Kind::Repaired,
        (Some(known), _) if known.steps == steps && known.generation.to == active => return Ok(None),
        _ => Kind::Drifted,
    };
    let data = Data {
        machine: register.machine.clone(),
        person: None,
        generation: Change { from: active, to: active },
        digest: active.and_then(|active| Some(generations::read(home, active).ok()?.digest().to_owned())),
        duration_ms: None,
        steps,
        reason: None,
    };
    let format = FileFormat::History.version();
    history::append(home, lock, &Event { format, id: history::new_id()?, kind, time: now()?, data })?;
    Ok(Some(kind))
}

/// A sentence for what could not be written down; an apply goes on without.
pub(super) fn unwritten(written: Result<()>) -> Option<String> {
    written.err().map(|error| format!("the history of this machine lacks what was just done: {error:#}"))
}
