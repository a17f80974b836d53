//! Waits until every gate holds, or is at least no worse than before, in one piece for a while.
//!
//! Refuses: waiting longer than the deadline.

use super::steps::StepFailed;
use super::{Change, Progress};
use crate::host::door::Door;
use crate::plan::machine::gates::{self, Gate, Seen, Verdict};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks; short at first, because most gates hold at once.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(250);

/// Every gate as it is now.
pub async fn look<D: Door>(door: &mut D, gates: &[Gate]) -> BTreeMap<Gate, Seen> {
    let mut seen = BTreeMap::new();
    for gate in gates {
        seen.insert(gate.clone(), door.probe(gate).await);
    }
    seen
}

/// All gates, until none is worse than `before` and none has changed its mark for `steady`.
pub async fn hold<D: Door>(
    door: &mut D,
    change: &Change<'_>,
    before: &BTreeMap<Gate, Seen>,
    end: Duration,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(), StepFailed> {
    let mut pause = FIRST;
    let mut last: Option<(Duration, BTreeMap<Gate, Seen>)> = None;
    loop {
        let now = look(door, change.gates).await;
        let time = door.clock();
        match first_worse(&now, before) {
            Some((gate, what)) => {
                if time >= end {
                    return Err(failed(gate, what, change.within));
                }
                tell(Progress::Waiting { gate, what });
                last = None;
            }
            None => {
                let since = match &last {
                    Some((since, seen)) if *seen == now => *since,
                    _ => time,
                };
                if time.saturating_sub(since) >= change.steady {
                    return Ok(());
                }
                last = Some((since, now));
                if time >= end {
                    return Err(StepFailed {
                        what: "what was started does not stay up".to_owned(),
                        error: anyhow::anyhow!("not within {} s", change.within.as_secs()),
                    });
                }
            }
        }
        door.pause(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

fn first_worse<'a>(now: &'a BTreeMap<Gate, Seen>, before: &BTreeMap<Gate, Seen>) -> Option<(&'a Gate, &'a str)> {
    now.iter().find_map(|(gate, seen)| match seen {
        Seen::Fails { what } if gates::verdict(gate, before.get(gate), seen) == Verdict::Worse => {
            Some((gate, what.as_str()))
        }
        _ => None,
    })
}

fn failed(gate: &Gate, what: &str, within: Duration) -> StepFailed {
    StepFailed {
        what: format!("the gate \"{}\" does not hold", gate.name()),
        error: anyhow::anyhow!("{what}, after {} s", within.as_secs()),
    }
}
