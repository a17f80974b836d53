//! Artefacts and closures: paths, modes, bytes, origins; digests over the canonical form.

use crate::diag::Span;
use serde::{Deserialize, Serialize};

/// What kind of thing an artefact is; its directory in the closure follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtefactKind {
    NatsServerConfig,
    Unit,
    Sysusers,
    Tmpfiles,
    Environment,
    File,
    Streams,
    Consumers,
    Permissions,
    Events,
    Credentials,
    History,
    Certificate,
    AccountJwt,
    UserJwt,
    Gates,
    Packages,
}

/// What a change of the artefact does to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    None,
    Reload,
    Restart,
    Reboot,
    Refuse,
}

#[derive(Clone, Debug)]
pub struct Artefact {
    pub kind: ArtefactKind,
    /// Below the closure, `/` between parts: `etc/nats/nats-server.json`.
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
    /// The declarations that caused it; never empty. Outside the digest.
    pub origins: Vec<Span>,
    /// For each line of the text the declaration behind it, where that is known so exactly; else empty. Outside the digest.
    pub lines: Vec<Span>,
    pub effect: Effect,
}

/// All artefacts of one machine (or of the domain), sorted by path, and their digest.
#[derive(Clone, Debug)]
pub struct Closure {
    /// The machine's name, or `domain`.
    pub name: String,
    pub artefacts: Vec<Artefact>,
    /// Lower-case hex SHA-256 over paths, modes and bytes.
    pub digest: String,
}
