//! A plan that somebody looked at and kept in a file: carried out as it stands there, or not at all.
//!
//! Refuses: I/O, and doing almost the same. What moved since then is told as one of a few reasons, the first in their order.

use super::model::{FORMAT, MachinePlan, MachineStep};
use super::render::sentence;
use crate::name::{FileFormat, Unread};
use crate::plan::{self, Plan};
use serde::{Deserialize, Serialize};

/// A machine's plan, and that of its streams and events where nats-server could be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reviewed {
    pub format: u32,
    pub machine: MachinePlan,
    pub objects: Option<Plan>,
}

/// What is no longer as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The file is no plan, or a newer Leafwright wrote it.
    File { why: String },
    /// It is a plan of another machine.
    Machine { planned: String, this: String },
    /// Somebody applied or went back meanwhile. Numbers of generations; `None` where there was none.
    Generation { planned: Option<u64>, now: Option<u64> },
    /// The declarations lead to another closure. Digests.
    Declarations { planned: String, now: String },
    /// The machine was changed: a step that is wanted now and was not, or the other way round, as a sentence.
    State { step: String, is_new: bool },
    /// Streams, consumers or events were changed: likewise.
    Objects { step: String, is_new: bool },
}

impl Moved {
    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Moved::File { .. } => "file",
            Moved::Machine { .. } => "machine",
            Moved::Generation { .. } => "generation",
            Moved::Declarations { .. } => "declarations",
            Moved::State { .. } => "state",
            Moved::Objects { .. } => "objects",
        }
    }
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: &Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        let step = |what: &str, is_new: bool| match is_new {
            true => format!("it would now also {what}"),
            false => format!("it would no longer {what}"),
        };
        // A file that was never a plan is not a stale one.
        if !matches!(self, Moved::File { .. }) {
            write!(f, "the plan is stale ({}): ", self.kind())?;
        }
        match self {
            Moved::File { why } => f.write_str(why),
            Moved::Machine { planned, this } => write!(f, "it is for {planned}, and this is {this}"),
            Moved::Generation { planned, now } => {
                write!(f, "it starts from generation {}, and the machine is at {}", number(planned), number(now))
            }
            Moved::Declarations { planned, now } => {
                write!(f, "the declarations lead to closure {} now, and led to {}", short(now), short(planned))
            }
            Moved::State { step: what, is_new } | Moved::Objects { step: what, is_new } => {
                f.write_str(&step(what, *is_new))
            }
        }
    }
}

impl std::error::Error for Moved {}

impl Reviewed {
    pub fn new(machine: MachinePlan, objects: Option<Plan>) -> Self {
        Self { format: FORMAT, machine, objects: objects.filter(|plan| !plan.is_empty()) }
    }

    /// Stable JSON with `"format": 1`.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    pub fn parse(text: &str) -> Result<Self, Moved> {
        FileFormat::Plan.parse(text.as_bytes()).map_err(|unread| Moved::File {
            why: match unread {
                Unread::Newer { .. } => format!("the file was {unread}"),
                Unread::Never | Unread::Damaged(_) => format!("the file is no plan of a machine: {unread}"),
            },
        })
    }

    /// Is what would be done now what was looked at? Steps are compared with their reasons.
    pub fn still(&self, now: &Self) -> Result<(), Moved> {
        let (planned, this) = (&self.machine, &now.machine);
        if planned.machine != this.machine {
            return Err(Moved::Machine { planned: planned.machine.clone(), this: this.machine.clone() });
        }
        if planned.from != this.from {
            let number = |plan: &MachinePlan| plan.from.as_ref().map(|(number, _)| *number);
            return Err(Moved::Generation { planned: number(planned), now: number(this) });
        }
        if planned.to != this.to {
            return Err(Moved::Declarations { planned: planned.to.clone(), now: this.to.clone() });
        }
        let steps = |plan: &MachinePlan| plan.steps().cloned().collect::<Vec<MachineStep>>();
        if let Some((step, is_new)) = difference(&steps(planned), &steps(this)) {
            return Err(Moved::State { step: sentence(step), is_new });
        }
        let objects = |of: &Self| of.objects.iter().flat_map(|plan| plan.steps.clone()).collect::<Vec<plan::Step>>();
        let (planned, this) = (objects(self), objects(now));
        if let Some((step, is_new)) = difference(&planned, &this) {
            let of = if is_new { &now.objects } else { &self.objects };
            let step = of.as_ref().map_or_else(|| step.id.clone(), |plan| plan::render::sentence(plan, step));
            return Err(Moved::Objects { step, is_new });
        }
        Ok(())
    }
}

/// The first step that one of both has and the other has not, or has elsewhere; whether it is new.
fn difference<'a, T: PartialEq>(planned: &'a [T], now: &'a [T]) -> Option<(&'a T, bool)> {
    let added = now.iter().find(|step| !planned.contains(step)).map(|step| (step, true));
    let gone = || planned.iter().find(|step| !now.contains(step)).map(|step| (step, false));
    let moved = || planned.iter().zip(now).find(|(planned, now)| planned != now).map(|(_, now)| (now, true));
    added.or_else(gone).or_else(moved)
}

#[cfg(test)]
mod tests {
    use super::super::model::{Act, Why};
    use super::*;

    fn step(unit: &str) -> MachineStep {
        MachineStep { id: format!("unit/{unit}/start"), act: Act::Start { unit: unit.into() }, why: Why::New }
    }

    fn plan() -> Reviewed {
        let machine = MachinePlan {
            format: FORMAT,
            machine: "pi".into(),
            from: Some((3, "aaaa".into())),
            to: "bbbb".into(),
            parent: "cccc".into(),
            first: vec![],
            before: vec![step("a.service")],
            after: vec![step("b.service")],
            last: vec![],
        };
        Reviewed::new(machine, None)
    }

    #[test]
    fn a_kept_plan_is_read_back_and_holds_while_nothing_moves() {
        let kept = Reviewed::parse(&plan().json()).unwrap();
        assert_eq!(kept, plan());
        assert_eq!(kept.still(&plan()), Ok(()));
        // Another observation that leads to the same steps.
        let mut same = plan();
        same.machine.parent = "dddd".into();
        assert_eq!(kept.still(&same), Ok(()));
    }

    #[test]
    fn each_way_to_move_has_its_own_reason() {
        let moved = |change: fn(&mut MachinePlan)| {
            let mut now = plan();
            change(&mut now.machine);
            plan().still(&now).unwrap_err()
        };
        assert_eq!(moved(|now| now.machine = "web".into()).kind(), "machine");
        assert_eq!(
            moved(|now| now.from = Some((4, "eeee".into()))).to_string(),
            "the plan is stale (generation): it starts from generation 3, and the machine is at 4"
        );
        assert_eq!(moved(|now| now.to = "ffff".into()).kind(), "declarations");
        assert_eq!(
            moved(|now| now.after.push(step("c.service"))).to_string(),
            "the plan is stale (state): it would now also start c.service, because it is new"
        );
        assert_eq!(
            moved(|now| now.before.clear()).to_string(),
            "the plan is stale (state): it would no longer start a.service, because it is new"
        );
        let swapped = moved(|now| std::mem::swap(&mut now.before, &mut now.after));
        assert_eq!(swapped.kind(), "state");
    }

    #[test]
    fn what_is_no_plan_is_refused_in_words() {
        for (text, word) in
            [("", "no plan"), ("{}", "no plan"), (r#"{"format":99}"#, "format 99"), (r#"{"format":1}"#, "no plan")]
        {
            let refused = Reviewed::parse(text).unwrap_err();
            assert!(
                refused.kind() == "file"
                    && refused.to_string().starts_with("the file ")
                    && refused.to_string().contains(word),
                "{refused}"
            );
        }
    }
}
