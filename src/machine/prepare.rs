//! From the domain's text to what an apply needs of one machine: its closure, what it must be, its keys.
//!
//! Refuses: touching the machine.

use crate::compile::{Closure, Desired};
use crate::diag::{Checked, Report, Sources};
use crate::foreground::Fault;
use crate::host::keys::KeyStore;
use crate::identity::PublicIdentity;
use crate::load;
use crate::name::MachineName;
use crate::resolve::{Domain, Machine};
use std::path::Path;
use std::sync::Arc;

/// One machine of a domain that was judged and compiled.
pub struct Prepared {
    pub sources: Sources,
    /// Warnings; errors never come this far.
    pub report: Report,
    pub domain: Domain,
    pub machine: Arc<Machine>,
    pub closure: Closure,
    pub identity: PublicIdentity,
    /// Of this machine alone.
    pub desired: Desired,
    /// The machine's own keys.
    pub keys: Option<KeyStore>,
}

/// Reads, judges and compiles the domain; `keys` is where this machine's own keys lie.
pub fn prepare(root: &Path, name: &str, keys: &Path) -> Result<Prepared, Fault> {
    let sources = load::domain(root)?;
    let Checked { value, report } = crate::judge(&sources);
    let Some(judged) = value.filter(|_| !report.has_errors()) else { return Err(Fault::unsound(report, &sources)) };
    let machine = find(&judged.domain, name)?;
    let built = crate::identity_of(&judged);
    let mut report = report;
    report.absorb(built.report);
    let Some(identity) = built.value.filter(|_| !report.has_errors()) else {
        return Err(Fault::unsound(report, &sources));
    };
    let Checked { value, report: more } = crate::build_for(&judged.domain, &identity);
    report.absorb(more);
    let Some(mut compiled) = value.filter(|_| !report.has_errors()) else { return Err(Fault::unsound(report, &sources)) };
    let closure = compiled.machines.remove(&machine.name);
    let closure = closure.ok_or_else(|| anyhow::anyhow!("{} was not compiled", machine.name))?;
    let mut desired = compiled.desired;
    desired.servers.retain(|server, _| *server == machine.name);
    desired.cluster = None;
    let keys = if keys.is_dir() { Some(KeyStore::open(keys)?) } else { None };
    Ok(Prepared { sources, report: report.sorted(), domain: judged.domain, machine, closure, identity, desired, keys })
}

fn find(domain: &Domain, name: &str) -> Result<Arc<Machine>, Fault> {
    let machine = MachineName::parse(name).map_err(|fault| Fault::Usage(fault.to_string()))?;
    let found = domain.machines.iter().find(|known| known.name == machine);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = domain.machines.iter().map(|machine| machine.name.as_str()).collect();
        Fault::Usage(format!("there is no machine {name}; there are {}", known.join(", ")))
    })
}
