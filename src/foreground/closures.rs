//! Where the closures of `up` lie: a store in the state directory, and one link a machine.
//!
//! Refuses: closures that were not compiled in this run.

use super::state::State;
use crate::apply::live::Closures;
use crate::compile::{self, Closure, Compiled};
use crate::diag::Sources;
use crate::host::{closure, disk};
use crate::name::MachineName;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

pub struct InState<'a> {
    pub state: &'a State,
    pub compiled: &'a Compiled,
    /// For the origins in the manifest.
    pub sources: &'a Sources,
}

impl InState<'_> {
    /// Are all files of the closure in the store, and none other? The manifest is for people and tells of lines, which move.
    fn is_whole(&self, content: &Closure) -> bool {
        let place = self.state.store().join(closure::directory_name(content));
        closure::differences(content, "", &place).is_ok_and(|found| found.keys().all(|path| path == "manifest.json"))
    }
}

impl Closures for InState<'_> {
    fn current(&self, machine: &MachineName) -> Result<Option<String>> {
        let current = self.state.current(machine.as_str());
        // One that is what was compiled must also be whole.
        let same = self.compiled.machines.get(machine).filter(|content| current.as_ref() == Some(&content.digest));
        Ok(current.filter(|_| same.is_none_or(|content| self.is_whole(content))))
    }

    fn files(&self, machine: &MachineName) -> BTreeMap<String, String> {
        let manifest = self.state.machine(machine.as_str()).join("current/manifest.json");
        std::fs::read(manifest).map(|manifest| compile::files_of_manifest(&manifest)).unwrap_or_default()
    }

    fn write(&mut self, machine: &MachineName, digest: &str) -> Result<()> {
        let content = self.compiled.machines.get(machine).with_context(|| format!("{machine} was not compiled"))?;
        ensure!(content.digest == digest, "the plan is about another closure of {machine}");
        let manifest = compile::manifest(content, self.sources);
        let place = self.state.store().join(closure::directory_name(content));
        if place.is_dir() && !self.is_whole(content) {
            disk::remove_tree(&place)?;
        }
        let placed = closure::put(&self.state.store(), content, &manifest)?;
        closure::switch(&self.state.machine(machine.as_str()).join("current"), &placed)
    }
}
