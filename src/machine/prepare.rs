//! From the domain's text to what an apply needs of one machine: its closure, what it must be, its keys.
//!
//! Refuses: touching the machine.

use super::link::own_server;
use super::objects::OwnObjects;
use crate::compile::{Closure, Desired};
use crate::diag::{Checked, Report, Sources};
use crate::foreground::Fault;
use crate::host::closure;
use crate::host::credentials::{self, References};
use crate::host::keys::KeyStore;
use crate::host::link::{OverLink, Way};
use crate::host::machine::Home;
use crate::load;
use crate::name::MachineName;
use crate::plan::machine::gates::Reach;
use crate::resolve::{Domain, Machine, Part};
use anyhow::Result as AnyResult;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One machine of a domain that was judged and compiled.
pub struct Prepared {
    pub sources: Sources,
    /// Warnings; errors never come this far.
    pub report: Report,
    pub domain: Domain,
    pub machine: Arc<Machine>,
    pub closure: Closure,
    /// Of this machine alone.
    pub desired: Desired,
    /// The machine's own keys, and where they lie.
    pub keys: Option<KeyStore>,
    pub key_store: PathBuf,
}

/// What a machine of this domain is compiled to: `<digest>-<machine>`. Needs no key.
pub fn closure_name(root: &Path, name: &str) -> Result<String, Fault> {
    let prepared = prepare(root, name, Path::new(""))?;
    Ok(closure::directory_name(&prepared.closure))
}

/// Reads and judges the domain, and compiles the machine; `keys` is where this machine's own keys lie.
pub fn prepare(root: &Path, name: &str, keys: &Path) -> Result<Prepared, Fault> {
    let sources = load::domain(root)?;
    let Checked { value, report } = crate::judge(&sources);
    let Some(judged) = value.filter(|_| !report.has_errors()) else { return Err(Fault::unsound(report, &sources)) };
    let machine = find(&judged.domain, name)?;
    let Checked { value, report: more } = crate::build_machine(&judged, &machine);
    let mut report = report;
    report.absorb(more);
    let Some((closure, server)) = value.filter(|_| !report.has_errors()) else {
        return Err(Fault::unsound(report, &sources));
    };
    let desired = Desired { servers: BTreeMap::from([(machine.name.clone(), server)]), ..Desired::default() };
    let key_store = keys.to_owned();
    let keys = if keys.is_dir() { Some(KeyStore::open(keys)?) } else { None };
    let (domain, report) = (judged.domain, report.sorted());
    Ok(Prepared { sources, report, domain, machine, closure, desired, keys, key_store })
}

fn find(domain: &Domain, name: &str) -> Result<Arc<Machine>, Fault> {
    let machine = MachineName::parse(name).map_err(|fault| Fault::Usage(fault.to_string()))?;
    let found = domain.machines.iter().find(|known| known.name == machine);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = domain.machines.iter().map(|machine| machine.name.as_str()).collect();
        Fault::Usage(format!("there is no machine {name}; there are {}", known.join(", ")))
    })
}

impl Prepared {
    /// Streams, consumers and events of this machine.
    pub fn objects(&self, home: &Home) -> OwnObjects<'_> {
        OwnObjects {
            machine: &self.machine.name,
            desired: &self.desired,
            sources: &self.sources,
            keys: self.keys.as_ref(),
            journal: home.state().join("journal.jsonl"),
            runs_at: None,
        }
    }

    /// How this machine's nats-server is asked, and the domain over its link; nothing where there is no key to ask with.
    pub fn link(&self) -> AnyResult<OverLink> {
        let server = self.desired.servers.get(&self.machine.name);
        let (Some(server), Part::Leaf) = (server, &self.machine.part) else { return Ok(OverLink::new(None)) };
        let Some(keys) = &self.keys else { return Ok(OverLink::new(None)) };
        let Some(endpoint) = own_server(&self.machine.name, server.listen, keys)? else {
            return Ok(OverLink::new(None));
        };
        let hub = self.domain.cluster.as_ref().map(|cluster| cluster.name.to_string());
        Ok(OverLink::new(Some(Way { endpoint, hub })))
    }

    /// What can be proved from here.
    pub fn reach(&self) -> Reach {
        match (&self.machine.part, &self.domain.cluster) {
            (Part::Leaf, Some(_)) => Reach::Link,
            (Part::Leaf, None) => Reach::Messages,
            (Part::Member, _) => Reach::Machine,
        }
    }

    /// What its closure says of secrets.
    pub fn references(&self) -> AnyResult<References> {
        credentials::of(&self.closure, &self.machine.name)
    }

    pub fn monitor(&self) -> Option<SocketAddr> {
        self.desired.servers.get(&self.machine.name).map(|server| server.monitor)
    }
}
