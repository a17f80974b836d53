//! `gates.*`: what modules and machines want to hold before a generation is committed, as data that goes with the closure.
//!
//! Refuses: what nobody could ever answer on this machine.

use super::artefact::{Artefact, ArtefactKind};
use super::closure::artefact;
use super::link::Linked;
use super::streams;
use crate::declare::MessageKind;
use crate::diag::{Code, Diagnostic, Report};
use crate::name::Duration;
use crate::resolve::val::path_key;
use crate::resolve::{Gate, Machine, Message, Part};
use serde::{Deserialize, Serialize};

/// One row of `gates.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeclaredGate {
    /// As it was declared: `gates.<name>`.
    pub name: String,
    /// Milliseconds until it must hold, from when everything was started; unset: what all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    pub proof: Proof,
}

/// The longest that one gate may take: nobody looks at an apply for longer.
const LONGEST: Duration = Duration::secs(3600);

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Proof {
    /// The program ends with 0.
    Program { exec: Vec<String> },
    /// Somebody answers, and not with an error of a service (`Nats-Service-Error`).
    Query { subject: String, payload: String },
    /// The stream's mirror and sources lag by nothing.
    Current { stream: String },
}

/// `gates.json`, where there is anything in it.
pub fn of_machine(linked: &Linked<'_>, machine: &Machine, report: &mut Report) -> Option<Artefact> {
    let mut gates = vec![];
    let mut origins = vec![];
    for (name, gate) in &machine.options.gates {
        let origin = machine.origins.of(&format!("gates.{}", path_key(name))).unwrap_or(machine.origin);
        match within(gate).and_then(|within_ms| Ok((within_ms, proof(linked, machine, gate)?))) {
            Ok((within_ms, proof)) => {
                gates.push(DeclaredGate { name: name.clone(), within_ms, proof });
                origins.push(origin);
            }
            Err((fault, help)) => {
                let fault = format!("the gate `{}` of {} {fault}", name.escape_debug(), machine.name);
                report.push(Diagnostic::error(Code(706), origin, fault).help(help));
            }
        }
    }
    let text = serde_json::to_string_pretty(&gates).unwrap_or_default();
    (!gates.is_empty()).then(|| artefact(ArtefactKind::Gates, "gates.json", text + "\n", origins))
}

/// A fault, and the way out.
type Fault = (String, String);

fn within(gate: &Gate) -> Result<Option<u64>, Fault> {
    match gate.within {
        Some(within) if within > LONGEST => Err((
            format!("may take {within}, and {LONGEST} is the most that an apply waits"),
            "take a shorter `within`, or prove something that comes sooner".to_owned(),
        )),
        Some(within) if within < Duration::secs(1) => Err((
            format!("may take {within}, in which nothing can be looked at"),
            "a second is the least: `within = \"1s\"`; without `within` it has the time that all have".to_owned(),
        )),
        within => Ok(within.map(|within| within.as_nanos() / 1_000_000)),
    }
}

fn proof(linked: &Linked<'_>, machine: &Machine, gate: &Gate) -> Result<Proof, Fault> {
    let fault = |fault: &str, help: &str| Err((fault.to_owned(), help.to_owned()));
    let own = machine.part == Part::Leaf;
    match (&gate.exec, &gate.query, &gate.current) {
        (Some(exec), None, None) if exec.first().is_some_and(|program| program.starts_with('/')) => {
            Ok(Proof::Program { exec: exec.clone() })
        }
        (Some(_), None, None) => {
            fault("names no program by an absolute path", "the first of `exec` begins with `/`: nothing is looked for")
        }
        (None, Some(_), None) | (None, None, Some(_)) if !own => fault(
            "asks over messages, which a member of the cluster cannot",
            "a member has no user of its own; use `exec` there",
        ),
        (None, Some(query), None) => asked(linked, machine, query),
        (None, None, Some(stream)) => {
            let streams = streams::of_leaf(linked, machine);
            let draws = streams.iter().map(|made| &made.value).filter(|s| s.mirror.is_some() || !s.sources.is_empty());
            let names: Vec<&str> = draws.map(|config| config.name.as_str()).collect();
            match names.contains(&stream.as_str()) {
                true => Ok(Proof::Current { stream: stream.to_string() }),
                false => Err((
                    format!("waits for `{stream}`, and this machine has no such stream that mirrors or sources"),
                    match names.is_empty() {
                        true => "this machine has none".to_owned(),
                        false => format!("there are {}", names.join(", ")),
                    },
                )),
            }
        }
        (None, None, None) => fault("proves nothing", "give it one of `exec`, `query` and `current`"),
        _ => fault(
            "has more than one of `exec`, `query` and `current`, all layers together",
            "give the second one a name of its own; `leafwright explain` shows where each is from",
        ),
    }
}

fn asked(linked: &Linked<'_>, machine: &Machine, query: &str) -> Result<Proof, Fault> {
    let found = linked.domain.messages.values().find(|message| message.name.as_str() == query);
    let Some(message) = found.filter(|message| message.kind == MessageKind::Query) else {
        let queries = linked.domain.messages.values().filter(|message| message.kind == MessageKind::Query);
        let names: Vec<&str> = queries.map(|message| message.name.as_str()).collect();
        return Err((
            format!("asks `{query}`, and no contract has such a query"),
            format!("there are {}", names.join(", ")),
        ));
    };
    let contracts = machine.options.services.values().map(|service| &service.contract);
    let speaks = contracts
        .filter_map(|name| linked.domain.services.get(name))
        .any(|contract| contract.sends.contains(&message.name) || contract.receives.contains(&message.name));
    if !speaks {
        return Err((
            format!("asks `{query}`, which nobody on this machine sends or answers"),
            "ask a query of a service that runs here: the link carries no other".to_owned(),
        ));
    }
    Ok(Proof::Query { subject: message.subject.to_string(), payload: payload(message) })
}

/// The contract's example; without one an empty object.
fn payload(message: &Message) -> String {
    message.example.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string)
}
