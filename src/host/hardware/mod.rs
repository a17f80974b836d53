//! What this machine is made of: read from `/proc`, `/sys`, DMI and the device tree, below any root.
//!
//! Refuses: what changes by itself (free memory, temperatures, links that are up), names that the kernel gives anew at each
//! boot, and serial numbers in the report: those go to the private part alone. What cannot be read is said, and left out.

mod cpu;
mod disks;
mod dmi;
mod memory;
mod nics;
mod place;
mod system;
mod tree;
mod write;

pub use write::{Put, put};

use crate::compile::canonical::{self, Dialect};
use crate::declare::report::Report;
use crate::name::FileFormat;
use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use std::path::Path;
use tree::Tree;

/// What was found, and what could not be.
pub struct Detected {
    pub report: Report,
    pub private: Private,
    /// One sentence for each thing that is there and could not be read; sorted, each once.
    pub unread: Vec<String>,
}

/// What names this very machine: serial numbers, UUIDs, addresses. Never shown, only written to a file of the owner's.
#[derive(Default)]
pub struct Private {
    system: Map<String, Value>,
    disks: Vec<Value>,
    nics: Vec<Value>,
}

impl Private {
    /// Canonical JSON.
    pub fn text(&self) -> Result<String> {
        let Self { system, disks, nics } = self;
        written(&json!({ "format": FileFormat::Hardware.version(), "system": system, "disks": disks, "nics": nics }))
    }
}

/// Canonical JSON: the same machine is always the same bytes.
pub fn text(report: &Report) -> Result<String> {
    written(&serde_json::to_value(report).context("cannot write the report as JSON")?)
}

fn written(value: &Value) -> Result<String> {
    let printed = canonical::print(value, Dialect::Json);
    printed.map(|printed| printed.text).map_err(|refused| anyhow!("{}: {}", refused.path, refused.message))
}

/// Looks below `root`. `arch` is what this program was compiled for: a kernel that does not say is taken to be of it.
pub fn detect(root: &Path, arch: &str) -> Result<Detected> {
    let mut tree = Tree::open(root)?;
    let mut private = Private::default();
    let arch = tree.word("proc/sys/kernel/arch").unwrap_or_else(|| arch.to_owned());
    let whole = system::system(&mut tree, &arch, &mut private.system);
    let report = Report {
        format: FileFormat::Hardware.version(),
        cpu: cpu::cpu(&mut tree),
        memory: memory::memory(&mut tree, whole.virtualisation),
        disks: disks::disks(&mut tree, &mut private.disks),
        nics: nics::nics(&mut tree, &mut private.nics),
        system: whole.system,
        firmware: whole.firmware,
        tpm: system::tpm(&mut tree),
        virtualisation: whole.virtualisation,
        container: system::container(&mut tree),
        arch,
    };
    Ok(Detected { report, private, unread: tree.unread() })
}
