//! What became of a machine, as data: the shape of an event, on disk, on the wire and in `status --history --json`.
//!
//! Refuses: secrets. What stands here is a number, a name, a time, or a sentence that a plan had already shown.

use serde::{Deserialize, Serialize};

/// One line of `history.jsonl`, and one CloudEvent (binary mode): `id`, `type` and `time` are its headers, `data` its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub format: u32,
    /// 32 hex digits, unlike those of every other event: `ce-id`.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    /// RFC 3339 in UTC, by the machine's own clock: `ce-time`.
    pub time: String,
    pub data: Data,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A generation was committed: the first, another one, or the same one that was mended.
    #[serde(rename = "machine.applied")]
    Applied,
    /// A person went back to a generation, and it was committed.
    #[serde(rename = "machine.rolled-back")]
    RolledBack,
    /// A generation was given up, and the machine is what it was before; `reason` says why.
    #[serde(rename = "machine.returned")]
    Returned,
    /// An attempt ended otherwise: it was not begun, or the machine could not go back yet; `reason` says why.
    #[serde(rename = "machine.failed")]
    Failed,
    /// The machine differs from its generation, in another way than when it was last looked at.
    #[serde(rename = "machine.drifted")]
    Drifted,
    /// What differed does so no more.
    #[serde(rename = "machine.repaired")]
    Repaired,
}

impl Kind {
    /// `rolled-back`: the last token of its subject.
    pub fn token(self) -> &'static str {
        match self {
            Kind::Applied => "applied",
            Kind::RolledBack => "rolled-back",
            Kind::Returned => "returned",
            Kind::Failed => "failed",
            Kind::Drifted => "drifted",
            Kind::Repaired => "repaired",
        }
    }

    /// `machine.rolled-back`: `ce-type`.
    pub fn name(self) -> String {
        format!("machine.{}", self.token())
    }
}

/// What an event says. Fields that are not known are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    pub machine: String,
    /// Who ran it: a person of the domain, or a user of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    pub generation: Change,
    /// The closure of the generation that it became or stayed: SHA-256, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Milliseconds from the beginning of the attempt, by the machine's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    pub steps: Steps,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Generations by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it was; of a return, what was given up. `None`: nothing of ours.
    pub from: Option<u64>,
    /// What it is. `None`: nothing of ours.
    pub to: Option<u64>,
}

/// What was planned, or what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    pub count: u64,
    /// One each, at most `Steps::TOLD` of them.
    pub sentences: Vec<String>,
}

impl Steps {
    /// A message has an end.
    pub const TOLD: usize = 200;

    pub fn of(sentences: impl IntoIterator<Item = String>) -> Self {
        let mut sentences: Vec<String> = sentences.into_iter().collect();
        let count = sentences.len() as u64;
        sentences.truncate(Self::TOLD);
        Self { count, sentences }
    }
}

/// `attempt.json`: what was begun, so that whoever ends it, in this process or after a power cut, can say all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub format: u32,
    /// Of the event that will tell of it, so that it is told once.
    pub id: String,
    /// `Applied` or `RolledBack`, if it succeeds.
    pub kind: Kind,
    pub person: String,
    /// RFC 3339.
    pub began: String,
    #[serde(default)]
    pub from: Option<u64>,
    pub to: u64,
    pub steps: Steps,
}
