//! What a closure puts on a machine: files at absolute paths, units as typed models, the server's configuration.
//!
//! Refuses: what is data for the planner alone (streams, permissions, events); it is not placed.

use crate::compile::artefact::{ArtefactKind, Effect};
use crate::resolve::Unit;
use serde_json::Value;
use std::collections::BTreeMap;

/// The content of one closure, typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The machine's name.
    pub name: String,
    /// The closure's digest.
    pub digest: String,
    /// By absolute path on the machine.
    pub files: BTreeMap<String, Placed>,
    /// Units by name, as they are printed.
    pub units: BTreeMap<String, Unit>,
    /// nats-server's configuration; null where there is none.
    pub server: Value,
}

/// A file of a closure and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub kind: ArtefactKind,
    /// Below the closure.
    pub from: String,
    pub mode: u32,
    /// Lower-case hex SHA-256 of its bytes.
    pub digest: String,
    /// What its change asks for at most.
    pub effect: Effect,
}

/// Where an artefact goes; `None` for data that is not placed.
pub fn destination(kind: ArtefactKind, path: &str) -> Option<String> {
    match kind {
        ArtefactKind::Streams
        | ArtefactKind::Consumers
        | ArtefactKind::Permissions
        | ArtefactKind::Events
        | ArtefactKind::Credentials => None,
        ArtefactKind::Unit | ArtefactKind::Sysusers | ArtefactKind::Tmpfiles => {
            path.strip_prefix("lib/").map(|below| format!("/etc/{below}"))
        }
        ArtefactKind::NatsServerConfig
        | ArtefactKind::Environment
        | ArtefactKind::File
        | ArtefactKind::Certificate
        | ArtefactKind::AccountJwt
        | ArtefactKind::UserJwt => Some(format!("/{path}")),
    }
}
