//! What a closure puts on a machine: files at absolute paths, units as typed models, the server's configuration.
//!
//! Refuses: what is data for the planner alone (streams, permissions, events); it is not placed. And a manifest that it cannot
//! read whole: of another format, with a kind of artefact that nobody knows, without a text that it needs.

use super::accounts::{self, Directory, SystemUser};
use super::enablement;
use super::graph::{self, Graph};
use super::read_unit::read_unit;
use crate::compile::artefact::{ArtefactKind, Closure, Effect};
use crate::compile::credentials::Credential;
use crate::compile::gates::DeclaredGate;
use crate::compile::packages::DeclaredPackage;
use crate::name::{FileFormat, Unread};
use crate::plan::model::hex;
use crate::resolve::Unit;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Where units of ours lie on a machine.
pub const UNITS: &str = "/etc/systemd/system/";

/// The content of one closure, typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The machine's name.
    pub name: String,
    /// The closure's digest.
    pub digest: String,
    /// By absolute path on the machine.
    pub files: BTreeMap<String, Placed>,
    /// Units by name, as they are printed; templates as `name@.service`.
    pub units: BTreeMap<String, Unit>,
    /// nats-server's configuration; null where there is none.
    pub server: Value,
    /// What its modules want to hold before it is committed.
    pub gates: Vec<DeclaredGate>,
    /// Its secret files, as references.
    pub credentials: Vec<Credential>,
    /// Packages of the distribution that must be there before it.
    pub packages: Vec<DeclaredPackage>,
    /// What its sysusers.d and tmpfiles.d make.
    pub users: Vec<SystemUser>,
    pub directories: Vec<Directory>,
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

/// Why a closure cannot be read: a lowercase phrase, and a way out where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// `manifest.json`, as far as the planner needs it; origins are for people.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    digest: String,
    artefacts: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    kind: ArtefactKind,
    path: String,
    /// Octal.
    mode: String,
    digest: String,
    effect: Effect,
}

impl Content {
    /// The content of a closure that was just compiled.
    pub fn of(closure: &Closure) -> Result<Self, Unreadable> {
        let mut content = Self::named(&closure.name, &closure.digest);
        for artefact in &closure.artefacts {
            let placed = Placed {
                kind: artefact.kind,
                from: artefact.path.clone(),
                mode: artefact.mode,
                digest: hex(&artefact.bytes),
                effect: artefact.effect,
            };
            content.put(placed, || std::str::from_utf8(&artefact.bytes).ok().map(str::to_owned))?;
        }
        Ok(content)
    }

    /// The content of a closure from the store: its `manifest.json`, and `text_of` for the texts that have a meaning here
    /// (units, nats-server's configuration, gates, credentials, packages), by their path below the closure.
    pub fn read(manifest: &str, text_of: impl Fn(&str) -> Option<String>) -> Result<Self, Unreadable> {
        Self::parse(manifest, text_of, |put| put)
    }

    /// What a damaged closure still tells: which files, units and links it has. For what goes, never for what comes.
    pub fn read_damaged(manifest: &str, text_of: impl Fn(&str) -> Option<String>) -> Result<Self, Unreadable> {
        Self::parse(manifest, text_of, |_| Ok(()))
    }

    fn parse(
        manifest: &str,
        text_of: impl Fn(&str) -> Option<String>,
        judge: impl Fn(Result<(), Unreadable>) -> Result<(), Unreadable>,
    ) -> Result<Self, Unreadable> {
        let refuse = |unread: Unread| {
            Unreadable(match unread {
                Unread::Newer { .. } => format!("the manifest was {unread}"),
                Unread::Never | Unread::Damaged(_) => format!("the manifest cannot be read: {unread}"),
            })
        };
        let manifest: Manifest = FileFormat::Manifest.parse(manifest.as_bytes()).map_err(refuse)?;
        let mut content = Self::named(&manifest.name, &manifest.digest);
        for row in manifest.artefacts {
            let mode = u32::from_str_radix(&row.mode, 8)
                .map_err(|_| Unreadable(format!("`{}` is not the mode of `{}`", row.mode, row.path)))?;
            let path = row.path.clone();
            let placed = Placed { kind: row.kind, from: row.path, mode, digest: row.digest, effect: row.effect };
            judge(content.put(placed, || text_of(&path)))?;
        }
        Ok(content)
    }

    /// Of what has these files and links, and nobody knows more: for what goes, never for what comes.
    pub fn of_paths(paths: impl IntoIterator<Item = String>) -> Self {
        let mut content = Self::default();
        for path in paths {
            if let Some(unit) = unit_at(&path) {
                content.units.entry(unit.to_owned()).or_default();
            }
            let (kind, effect) = (ArtefactKind::File, Effect::Restart);
            let placed = Placed { kind, from: String::new(), mode: 0, digest: String::new(), effect };
            content.files.insert(path, placed);
        }
        content
    }

    fn named(name: &str, digest: &str) -> Self {
        Self { name: name.to_owned(), digest: digest.to_owned(), ..Self::default() }
    }

    fn put(&mut self, placed: Placed, text: impl Fn() -> Option<String>) -> Result<(), Unreadable> {
        let text = || text().ok_or_else(|| Unreadable(format!("the closure has no text at `{}`", placed.from)));
        let unreadable = |fault: serde_json::Error| Unreadable(format!("`{}` cannot be read: {fault}", placed.from));
        if placed.kind == ArtefactKind::Gates {
            self.gates = serde_json::from_str(&text()?).map_err(unreadable)?;
        }
        if placed.kind == ArtefactKind::Credentials {
            self.credentials = serde_json::from_str(&text()?).map_err(unreadable)?;
        }
        if placed.kind == ArtefactKind::Packages {
            self.packages = serde_json::from_str(&text()?).map_err(unreadable)?;
        }
        let Some(path) = destination(placed.kind, &placed.from) else { return Ok(()) };
        // With nothing in it, until its text is there.
        self.files.insert(path.clone(), placed.clone());
        if let Some(unit) = unit_at(&path) {
            let known = self.units.entry(unit.to_owned()).or_default();
            *known = read_unit(&text()?);
        }
        if matches!(placed.kind, ArtefactKind::Sysusers | ArtefactKind::Tmpfiles) {
            accounts::read(self, &placed, &text()?);
        }
        if placed.kind == ArtefactKind::NatsServerConfig {
            self.server = serde_json::from_str(&text()?).map_err(unreadable)?;
        }
        Ok(())
    }

    /// The links that enable its units: path → what the link says.
    pub fn links(&self) -> BTreeMap<String, String> {
        enablement::of(self).links
    }

    /// Every path that it owns, files, links and directories: what an observation must look at.
    pub fn paths(&self) -> BTreeSet<String> {
        let directories = self.directories.iter().map(|directory| directory.path.clone());
        self.files.keys().cloned().chain(self.links().into_keys()).chain(directories).collect()
    }

    /// The units that can be loaded: those with a file of their own, and the instances that something of ours wants.
    /// Other instances of `templates` may run too; an observation has them all.
    pub fn concrete(&self) -> BTreeSet<String> {
        Graph::of(self, &BTreeSet::new()).units
    }

    /// The units that ought to be active and stay so: what is wanted on a booted machine and does not end by itself.
    pub fn steady(&self) -> BTreeSet<String> {
        let stays = |name: &String| self.definition(name).is_some_and(|unit| !super::units::ends_by_itself(unit));
        Graph::of(self, &BTreeSet::new()).ought.into_iter().filter(stays).collect()
    }

    /// The units that it has and `stays` has not.
    pub fn units_gone(&self, stays: &Content) -> Vec<String> {
        let instances = stays.concrete();
        // An instance stays if it is one of those that are wanted, a unit if it is defined.
        let stays = |unit: &String| match unit.contains('@') {
            true => instances.contains(unit),
            false => stays.definition(unit).is_some(),
        };
        self.concrete().into_iter().filter(|unit| !stays(unit)).collect()
    }

    /// `todos@.service`
    pub fn templates(&self) -> impl Iterator<Item = &String> {
        self.units.keys().filter(|name| graph::is_template(name))
    }

    /// What a unit is by: its own file, or its template's.
    pub fn definition(&self, name: &str) -> Option<&Unit> {
        self.units.get(name).or_else(|| self.units.get(&graph::template_of(name)?))
    }
}

/// Where an artefact goes; `None` for data that is not placed.
pub fn destination(kind: ArtefactKind, path: &str) -> Option<String> {
    match kind {
        ArtefactKind::Streams
        | ArtefactKind::Consumers
        | ArtefactKind::Permissions
        | ArtefactKind::Events
        | ArtefactKind::Credentials
        | ArtefactKind::Gates
        | ArtefactKind::Packages
        | ArtefactKind::History => None,
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

/// The unit whose file lies at `path`: also one that `files.*` puts there.
pub fn unit_at(path: &str) -> Option<&str> {
    path.strip_prefix(UNITS).filter(|name| graph::is_unit(name))
}

/// The unit that a file below `<unit>.d/` adds to.
pub fn dropped_into(path: &str) -> Option<&str> {
    let (directory, file) = path.strip_prefix(UNITS)?.split_once('/')?;
    let unit = directory.strip_suffix(".d")?;
    (file.ends_with(".conf") && !file.contains('/') && graph::is_unit(unit)).then_some(unit)
}
