//! Closures: artefacts in order, their digest, the manifest beside them, and the way from a line of an artefact back to its declaration.
//!
//! Refuses: two artefacts at one path, artefacts without origin, and letting an origin into the digest.

use super::artefact::{Artefact, ArtefactKind, Closure, Effect};
use super::canonical::{self, Dialect};
use crate::diag::{Code, Diagnostic, Report, Sources, Span};
use crate::name::FileFormat;
use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A new artefact; `lines` says for each line of the text where it was declared, if that is known so exactly.
pub fn artefact(kind: ArtefactKind, path: impl Into<String>, text: impl Into<Vec<u8>>, origins: Vec<Span>) -> Artefact {
    let effect = effect_of(kind);
    Artefact { kind, path: path.into(), mode: 0o644, bytes: text.into(), origins, lines: vec![], effect }
}

/// What a change of an artefact does at most; `effects` and the planner know better for single keys.
fn effect_of(kind: ArtefactKind) -> Effect {
    match kind {
        ArtefactKind::NatsServerConfig | ArtefactKind::Unit | ArtefactKind::Environment => Effect::Restart,
        ArtefactKind::Certificate => Effect::Reload,
        ArtefactKind::Sysusers
        | ArtefactKind::Tmpfiles
        | ArtefactKind::File
        | ArtefactKind::Streams
        | ArtefactKind::Consumers
        | ArtefactKind::Permissions
        | ArtefactKind::Events
        | ArtefactKind::Credentials
        | ArtefactKind::Gates
        // They are installed before anything else, and never removed.
        | ArtefactKind::Packages
        | ArtefactKind::History
        | ArtefactKind::AccountJwt
        // It is put into the creds file; whoever puts it there knows who reads that.
        | ArtefactKind::UserJwt => Effect::None,
    }
}

/// Sorts, refuses two artefacts at one path, and digests.
pub fn close(name: impl Into<String>, mut artefacts: Vec<Artefact>, report: &mut Report) -> Closure {
    artefacts.sort_by(|a, b| a.path.cmp(&b.path));
    for pair in artefacts.windows(2).filter(|pair| pair[0].path == pair[1].path) {
        let (first, second) = (origin(&pair[0]), origin(&pair[1]));
        if let (Some(first), Some(second)) = (first, second) {
            report.push(
                Diagnostic::error(Code(704), second, format!("`/{}` is written twice", pair[1].path))
                    .also(first, "it is already made of this")
                    .help("a unit is changed by `units.\"<name>\"`, not by a file"),
            );
        }
    }
    artefacts.dedup_by(|a, b| a.path == b.path);
    let digest = digest(&artefacts);
    Closure { name: name.into(), artefacts, digest }
}

fn origin(artefact: &Artefact) -> Option<Span> {
    artefact.origins.first().copied()
}

fn digest(artefacts: &[Artefact]) -> String {
    let mut digesting = Digesting::default();
    for artefact in artefacts {
        digesting.put(&artefact.path, artefact.mode, &artefact.bytes);
    }
    digesting.finish()
}

/// A closure's digest while its artefacts pass by, so that a closure on disk is digested as it was when it was compiled.
/// SHA-256 over the canonical form: for each artefact in the order of paths its path, mode and bytes, each behind its length.
#[derive(Clone, Debug)]
pub struct Digesting(Sha256);

impl Default for Digesting {
    fn default() -> Self {
        let mut hash = Sha256::new();
        hash.update(b"leafwright closure 1\n");
        Self(hash)
    }
}

impl Digesting {
    /// The next artefact; they come in the order of their paths.
    pub fn put(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        for part in [path.as_bytes(), &mode.to_be_bytes(), bytes] {
            self.0.update((part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }

    pub fn finish(self) -> String {
        HEXLOWER.encode(&self.0.finalize())
    }
}

pub fn digest_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// The digest of each file, by path: what tells two closures apart.
pub fn files(closure: &Closure) -> BTreeMap<String, String> {
    closure.artefacts.iter().map(|artefact| (artefact.path.clone(), digest_of(&artefact.bytes))).collect()
}

/// The same, from a manifest; nothing where it is none.
pub fn files_of_manifest(manifest: &[u8]) -> BTreeMap<String, String> {
    let value: serde_json::Value = serde_json::from_slice(manifest).unwrap_or_default();
    let artefacts = value["artefacts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let file = |artefact: &serde_json::Value| {
        Some((artefact["path"].as_str()?.to_owned(), artefact["digest"].as_str()?.to_owned()))
    };
    artefacts.iter().filter_map(file).collect()
}

/// `manifest.json`: what is in the closure and where it comes from. Written beside the artefacts, outside the digest.
pub fn manifest(closure: &Closure, sources: &Sources) -> String {
    let artefacts = closure.artefacts.iter().map(|artefact| {
        let mut origins: Vec<_> = artefact.origins.iter().map(|span| sources.place(*span)).collect();
        origins.sort();
        origins.dedup();
        json!({
            "kind": artefact.kind,
            "path": artefact.path,
            "mode": format!("{:04o}", artefact.mode),
            "digest": digest_of(&artefact.bytes),
            "effect": artefact.effect,
            "origins": origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    let value = json!({
        "format": FileFormat::Manifest.version(),
        "name": closure.name,
        "digest": closure.digest,
        "artefacts": artefacts.collect::<Vec<_>>(),
    });
    canonical::print(&value, Dialect::Json).map(|printed| printed.text).unwrap_or_default()
}

/// A shorter value stands in many sentences by chance.
const SPEAKING: usize = 6;

/// The line of an artefact (from 1) that a fault speaks of: by its number, as in `nats-server.json:7:`; else the one whose value it quotes.
pub fn spoken_of(artefact: &Artefact, fault: &str) -> Option<u32> {
    let name = artefact.path.rsplit('/').next().unwrap_or(&artefact.path);
    let number = fault.split_once(&format!("{name}:")).and_then(|(_, rest)| rest.split(':').next()?.parse().ok());
    let text = std::str::from_utf8(&artefact.bytes).ok()?;
    let quoted = |line: &str| {
        let values = line.split('"').filter(|value| value.len() >= SPEAKING && fault.contains(value));
        values.map(str::len).max()
    };
    let quoting = || {
        let lines = text.lines().zip(1..).filter_map(|(line, number)| Some((quoted(line)?, number)));
        lines.max_by_key(|(length, _)| *length).map(|(_, number)| number)
    };
    number.or_else(quoting)
}

/// What in an artefact a fault speaks of, and the declaration that caused it.
pub fn spoken_line<'a>(artefact: &'a Artefact, fault: &str) -> Option<(&'a str, Span)> {
    let number = spoken_of(artefact, fault)?;
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    let line = std::str::from_utf8(&artefact.bytes).ok()?.lines().nth(at)?;
    Some((line.trim().trim_end_matches(','), blame(artefact, number)?))
}

/// The declaration that caused a line of an artefact (lines count from 1), for faults that nats-server or systemd found there.
pub fn blame(artefact: &Artefact, line: u32) -> Option<Span> {
    let at = usize::try_from(line).unwrap_or(0).checked_sub(1);
    at.and_then(|at| artefact.lines.get(at).copied()).or_else(|| origin(artefact))
}
