//! What must hold before a generation is committed: no gate may be worse than it was before the apply.
//!
//! Refuses: probing. Whoever looks says what it saw; here is what must be looked at, and what that means.

use super::content::Content;
use super::server_digest;
use crate::compile::gates::{DeclaredGate, Proof};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing that is looked at again and again until it holds, or the deadline is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "kebab-case")]
pub enum Gate {
    /// The unit is active, and systemd did not have to start it again meanwhile.
    Unit { unit: String },
    /// The unit, which may end by itself, has not failed.
    NotFailed { unit: String },
    /// nats-server runs the configuration with this digest, with JetStream.
    Server { digest: String },
    /// All that is stored was recovered. Not of a member of the cluster: that waits for the others, the first one for all.
    Recovered,
    /// A round trip to the domain over the link of this machine's nats-server.
    Link,
    /// What a module or the machine declares: a program, a query, a stream.
    Declared(DeclaredGate),
}

impl Gate {
    /// As people say it.
    pub fn name(&self) -> String {
        match self {
            Gate::Unit { unit } => format!("{unit} is active"),
            Gate::NotFailed { unit } => format!("{unit} has not failed"),
            Gate::Server { .. } => "nats-server runs this configuration".to_owned(),
            Gate::Recovered => "what nats-server stored is recovered".to_owned(),
            Gate::Link => "the domain answers over the link".to_owned(),
            Gate::Declared(DeclaredGate { name, proof, .. }) => match proof {
                Proof::Program { exec } => format!("gate {name}: {} ends with 0", exec.join(" ")),
                Proof::Query { subject, .. } => format!("gate {name}: {subject} is answered"),
                Proof::Current { stream } => format!("gate {name}: {stream} has all that its origins have"),
            },
        }
    }
}

impl Gate {
    /// How long it may take from when everything was started, if it says so itself.
    pub fn within(&self) -> Option<Duration> {
        match self {
            Gate::Declared(declared) => declared.within_ms.map(Duration::from_millis),
            Gate::Unit { .. } | Gate::NotFailed { .. } | Gate::Server { .. } | Gate::Recovered | Gate::Link => None,
        }
    }
}

/// What was seen of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// It holds; the mark changes when what holds is not the same any more (a process that was started again).
    Holds { mark: String },
    /// It does not, and this is what is there instead.
    Fails { what: String },
}

/// The gates of a generation, as far as whoever looks can see.
pub fn of(content: &Content, reach: Reach) -> Vec<Gate> {
    let (all, steady) = (content.concrete(), content.steady());
    // What is steady has the stricter gate.
    let passing = all.into_iter().filter(|unit| !steady.contains(unit)).map(|unit| Gate::NotFailed { unit });
    let mut gates: Vec<Gate> = steady.iter().cloned().map(|unit| Gate::Unit { unit }).chain(passing).collect();
    let server = (!content.server.is_null()).then(|| server_digest(&content.server));
    gates.extend(server.map(|digest| Gate::Server { digest }));
    let alone = !content.server.is_null() && content.server.get("cluster").is_none();
    gates.extend(alone.then_some(Gate::Recovered));
    gates.extend((reach == Reach::Link).then_some(Gate::Link));
    let seen = |gate: &&DeclaredGate| reach != Reach::Machine || matches!(gate.proof, Proof::Program { .. });
    gates.extend(content.gates.iter().filter(seen).cloned().map(Gate::Declared));
    gates
}

/// How far one sees who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Units, nats-server, programs. Without the machine's keys there is no more, and a member of the cluster has no user.
    Machine,
    /// And what is answered on this machine's nats-server.
    Messages,
    /// And the domain, over the link. The cluster's first machine has none to prove.
    Link,
}

/// One gate before the apply and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    /// It failed before, too: an outage elsewhere must not stand in the way of a repair.
    NoWorse,
    Worse,
}

/// May it fail if it failed before? What runs here is this machine's own business: it must run, whatever was before. A job that failed
/// last night stands in nobody's way.
pub fn may_fail_as_before(gate: &Gate) -> bool {
    matches!(gate, Gate::Link | Gate::Declared(_) | Gate::NotFailed { .. })
}

/// `before` is `None` for a gate that the old generation did not have: then it must hold.
pub fn verdict(gate: &Gate, before: Option<&Seen>, now: &Seen) -> Verdict {
    match (now, before) {
        (Seen::Holds { .. }, _) => Verdict::Holds,
        (Seen::Fails { .. }, Some(Seen::Fails { .. })) if may_fail_as_before(gate) => Verdict::NoWorse,
        (Seen::Fails { .. }, _) => Verdict::Worse,
    }
}
