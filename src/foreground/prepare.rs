//! From the domain's text to everything that `up` needs before the first process: resolved, compiled, with ports and keys.
//!
//! Refuses: starting anything.

use super::connect::{Opening, Ways};
use super::identity;
use super::overlay;
use super::state::{self, State};
use super::{Fault, Request};
use crate::compile::{self, Compiled};
use crate::declare::{self, Declared};
use crate::diag::{Checked, Report, Sources};
use crate::host::keys::KeyStore;
use crate::identity::PublicIdentity;
use crate::load;
use crate::name::{DomainName, MachineName};
use crate::plan::Scope;
use crate::resolve::{self, Domain, Part};
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// All that is known before the first process starts.
pub struct Prepared {
    pub sources: Sources,
    /// Warnings; errors never come this far.
    pub report: Report,
    pub domain: Domain,
    pub machines: Vec<MachineName>,
    pub state: State,
    pub store: KeyStore,
    pub identity: PublicIdentity,
    /// With the `desired` of the machines that are to run, and of no others.
    pub compiled: Compiled,
}

/// Reads, judges and compiles the domain twice: as declared, to learn who is there, and with the `<foreground>` layer.
pub fn prepare(request: &Request) -> Result<Prepared, Fault> {
    let texts = load::domain(&request.root)?;
    let mut sources = without_identity(&texts);
    let declared = judged(declare::all(&sources), &sources)?;
    let plain = judged(resolve::domain(&declared), &sources)?;
    let machines = chosen(&plain, &request.machines)?;
    let state = State::open(&request.state_directory(), plain.name.as_str())?;
    for machine in &machines {
        state.prepare(machine.as_str())?;
    }
    add_generated(&mut sources, &plain, &machines, &state)?;
    let declared = judged(declare::all(&sources), &sources)?;
    let Checked { value, report } = resolve::domain(&declared);
    let domain = judged(Checked { value, report: report.clone() }, &sources)?;
    let before = public_identity(&declared, &sources)?;
    let (store, identity) = identity::provide(&state, &domain, before.as_ref())?;
    identity::place(&state, &store, &identity, &machines)?;
    let mut compiled = judged(compile::domain(&domain, &identity), &sources)?;
    compiled.desired.servers.retain(|machine, _| machines.contains(machine));
    Ok(Prepared { sources, report, domain, machines, state, store, identity, compiled })
}

/// A domain that an `up` runs now, with its ports and its identity, as far as it is known before it is resolved.
pub struct Visit {
    sources: Sources,
    declared: Declared,
    state: State,
    store: KeyStore,
    identity: PublicIdentity,
    named: Vec<MachineName>,
}

/// As `prepare`, for a domain that an `up` runs now, and without changing anything. `None` where no `up` runs.
pub fn visit(request: &Request) -> Result<Option<Visit>, Fault> {
    let texts = load::domain(&request.root)?;
    let mut sources = without_identity(&texts);
    // A domain without a name is told of by `prepare`, with everything else that is wrong.
    let Some(name) = name_of(&sources) else { return Ok(None) };
    let Some(state) = State::visit(&request.state_directory(), name.as_str())? else { return Ok(None) };
    let layer = fs::read_to_string(state.root().join("foreground.toml"))?;
    sources.add(overlay::SOURCE, layer);
    add_files(&mut sources, &state.root().join(identity::DIRECTORY), identity::DIRECTORY)?;
    let declared = judged(declare::all(&sources), &sources)?;
    let identity = public_identity(&declared, &sources)?.context("the state directory has no identity")?;
    let store = KeyStore::open(&state.keys())?;
    Ok(Some(Visit { sources, declared, state, store, identity, named: request.machines.clone() }))
}

/// What `domain.toml` calls the domain, read alone: all files take a while, and are read with what an `up` added.
fn name_of(sources: &Sources) -> Option<DomainName> {
    let mut alone = Sources::default();
    let id = sources.ids().find(|id| sources.path(*id) == "domain.toml")?;
    alone.add("domain.toml", sources.text(id));
    Some(declare::all(&alone).value?.domain?.name.value)
}

impl Visit {
    /// Begins to connect to what will probably be asked: on this machine that takes as long as resolving. What turns out to lead
    /// elsewhere is not used, so a guess by the recorded ports is good enough.
    pub fn connect(&self) -> Opening {
        let Self { declared, state, store, identity, named, .. } = self;
        let ports = state.recorded_ports();
        let clusters = declared.domain.iter().flat_map(|domain| domain.clusters.values());
        let members: BTreeSet<&MachineName> = clusters.flat_map(|cluster| &cluster.members).map(|m| &m.value).collect();
        let mut ways = Ways::new();
        for machine in declared.foreground.keys() {
            let is_member = members.contains(machine);
            let is_asked = is_member || named.is_empty() || named.contains(machine);
            if let Some(port) = ports.get(&overlay::listen(machine)).filter(|_| is_asked) {
                let scope = if is_member { Scope::Cluster } else { Scope::Machine(machine.clone()) };
                ways.entry(scope).or_default().insert(state::loopback(*port));
            }
        }
        // Whatever is wrong is told when it is needed.
        Opening::begin(&ways, store, identity).unwrap_or_default()
    }

    /// Resolves the domain, and compiles only what was asked for.
    pub fn prepare(self) -> Result<Prepared, Fault> {
        let Self { sources, declared, state, store, identity, named } = self;
        // Those that run are those that have ports.
        let running = &declared.foreground;
        let Checked { value, report } = resolve::domain_in_foreground(&declared);
        let domain = judged(Checked { value, report: report.clone() }, &sources)?;
        let machines = chosen(&domain, &named)?.into_iter().filter(|name| running.contains_key(name));
        let machines: Vec<MachineName> = machines.collect();
        let compiled = judged(compile::some(&domain, &machines, &identity), &sources)?;
        Ok(Prepared { sources, report, domain, machines, state, store, identity, compiled })
    }
}

/// The value, or the findings that stand in its way.
fn judged<T>(checked: Checked<T>, sources: &Sources) -> Result<T, Fault> {
    match checked.value {
        Some(value) if !checked.report.has_errors() => Ok(value),
        _ => Err(Fault::unsound(checked.report, sources)),
    }
}

fn public_identity(declared: &Declared, sources: &Sources) -> Result<Option<PublicIdentity>, Fault> {
    declared.identity.as_ref().map(|identity| judged(crate::identity::from_declared(identity), sources)).transpose()
}

/// The domain's real identity has no part in the foreground.
fn without_identity(texts: &Sources) -> Sources {
    let mut sources = Sources::default();
    for id in texts.ids().filter(|id| !texts.path(*id).starts_with("identity/")) {
        sources.add(texts.path(id), texts.text(id));
    }
    sources
}

/// The layer of ports and directories, and the throwaway identity of last time.
fn add_generated(sources: &mut Sources, plain: &Domain, machines: &[MachineName], state: &State) -> Result<()> {
    let ports = state.ports(&overlay::ports_wanted(plain, machines))?;
    let text = overlay::text(plain, machines, &ports, state.root());
    state::write(&state.root().join("foreground.toml"), text.as_bytes(), 0o600)?;
    sources.add(overlay::SOURCE, text);
    add_files(sources, &state.root().join(identity::DIRECTORY), identity::DIRECTORY)
}

fn add_files(sources: &mut Sources, directory: &Path, path: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_files(sources, &entry.path(), &path)?;
        } else {
            sources.add(path, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

/// The machines that were named, and the cluster with them; all if none was named.
fn chosen(domain: &Domain, named: &[MachineName]) -> Result<Vec<MachineName>, Fault> {
    for name in named {
        if !domain.machines.iter().any(|machine| machine.name == *name) {
            let known: Vec<&str> = domain.machines.iter().map(|machine| machine.name.as_str()).collect();
            return Err(Fault::Usage(format!("there is no machine {name}; there are {}", known.join(", "))));
        }
    }
    let wanted =
        |machine: &resolve::Machine| named.is_empty() || machine.part == Part::Member || named.contains(&machine.name);
    Ok(domain.machines.iter().filter(|machine| wanted(machine)).map(|machine| machine.name.clone()).collect())
}
