//! Waits until every gate holds, or is at least no worse than before, in one piece for a while.
//!
//! Refuses: waiting longer than the deadline.

use super::steps::StepFailed;
use super::{Generation, Progress};
use crate::compile::gates::DeclaredGate;
use crate::host::door::Door;
use crate::plan::machine::gates::{self, Gate, Seen, Verdict};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks; short at first, because most gates hold at once.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(250);
/// Before a change, of what is not answered in time.
const TRIES: usize = 3;
const LATE: Duration = Duration::from_secs(1);

/// Every gate as it is now.
pub async fn look<D: Door>(door: &mut D, gates: &[Gate]) -> BTreeMap<Gate, Seen> {
    let mut seen = BTreeMap::new();
    for gate in gates {
        seen.insert(gate.clone(), door.probe(gate).await);
    }
    seen
}

/// The gates of a change that could be seen before it: a declared one only where the old generation had it too, because a
/// new one must hold.
fn known_before(gates: &[Gate], old: Option<&Generation>) -> Vec<Gate> {
    let same = |one: &DeclaredGate, other: &DeclaredGate| (&one.name, &one.proof) == (&other.name, &other.proof);
    let had =
        |declared: &DeclaredGate| old.is_some_and(|old| old.content.gates.iter().any(|before| same(before, declared)));
    let known = |gate: &&Gate| if let Gate::Declared(declared) = gate { had(declared) } else { true };
    gates.iter().filter(known).cloned().collect()
}

/// What can be seen of the gates of a generation that is yet to come. Who did not answer in time is asked again: one answer that is
/// late must not excuse what comes. Who says at once that nobody is there is believed.
pub async fn before<D: Door>(door: &mut D, gates: &[Gate], old: Option<&Generation>) -> BTreeMap<Gate, Seen> {
    let mut seen = BTreeMap::new();
    for gate in known_before(gates, old) {
        let mut tries = if gates::may_fail_as_before(&gate) { TRIES } else { 1 };
        let now = loop {
            let asked = door.clock();
            let now = door.probe_before(&gate).await;
            tries -= 1;
            let late = door.clock().saturating_sub(asked) >= LATE;
            if tries == 0 || !late || matches!(now, Seen::Holds { .. }) {
                break now;
            }
        };
        seen.insert(gate, now);
    }
    seen
}

/// What is waited for.
pub struct Wait<'a> {
    pub gates: &'a [Gate],
    /// As they were before the apply.
    pub before: &'a BTreeMap<Gate, Seen>,
    pub within: Duration,
    /// `within` from when the apply began, by the door's clock.
    pub end: Duration,
    /// How long all gates must hold in one piece.
    pub steady: Duration,
}

/// Until no gate is worse than before and what holds has not changed for a while. What does not hold even so, as before.
pub async fn hold<D: Door>(
    door: &mut D,
    wait: &Wait<'_>,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Vec<(Gate, String)>, StepFailed> {
    let began = door.clock();
    let mut pause = FIRST;
    let mut holding: Option<(Duration, BTreeMap<Gate, Seen>)> = None;
    // A gate that takes its own time leaves some for all to stay up.
    let own_time = wait.gates.iter().any(|gate| gate.within().is_some());
    let mut settled: Option<Duration> = None;
    loop {
        let now = look(door, wait.gates).await;
        let time = door.clock();
        match worst(&now, wait, began) {
            Some((gate, what, end)) if time >= end => {
                return Err(failed(gate, what, gate.within().unwrap_or(wait.within)));
            }
            Some((gate, what, _)) => {
                tell(Progress::Waiting { gate, what });
                holding = None;
            }
            None => {
                let more = if own_time { time + 2 * wait.steady } else { wait.end };
                let end = *settled.get_or_insert(wait.end.max(more));
                let (now, failing) = parted(now);
                let since = holding.filter(|(_, seen)| *seen == now).map_or(time, |(since, _)| since);
                if time.saturating_sub(since) >= wait.steady {
                    return Ok(failing);
                }
                if time >= end {
                    let time = time.saturating_sub(began).as_secs().max(wait.within.as_secs());
                    let error = anyhow::anyhow!("it was started again and again for {time} s");
                    return Err(StepFailed { what: "what was started does not stay up".to_owned(), error });
                }
                holding = Some((since, now));
            }
        }
        door.pause(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// What holds, and what does not.
fn parted(seen: BTreeMap<Gate, Seen>) -> (BTreeMap<Gate, Seen>, Vec<(Gate, String)>) {
    let mut failing = vec![];
    let holds = seen.into_iter().filter_map(|(gate, seen)| match seen {
        Seen::Holds { .. } => Some((gate, seen)),
        Seen::Fails { what } => {
            failing.push((gate, what));
            None
        }
    });
    (holds.collect(), failing)
}

/// Of the gates that are worse than before the one whose time is over first, and when that is.
fn worst<'a>(now: &'a BTreeMap<Gate, Seen>, wait: &Wait<'_>, began: Duration) -> Option<(&'a Gate, &'a str, Duration)> {
    let worse = now.iter().filter_map(|(gate, seen)| match seen {
        Seen::Fails { what } if gates::verdict(gate, wait.before.get(gate), seen) == Verdict::Worse => {
            let end = gate.within().map_or(wait.end, |within| began + within);
            Some((gate, what.as_str(), end))
        }
        _ => None,
    });
    worse.min_by_key(|(_, _, end)| *end)
}

fn failed(gate: &Gate, what: &str, within: Duration) -> StepFailed {
    StepFailed {
        what: format!("the gate \"{}\" does not hold", gate.name()),
        error: anyhow::anyhow!("{what}, after {} s", within.as_secs()),
    }
}
