//! Text becomes what was written: every file alone, every value with its place.
//!
//! Refuses: knowing other files. A name here is a well-formed name, not yet a thing that exists; that is `resolve`'s.

pub mod contract;
pub mod domain;
pub mod event;
pub mod hardware;
pub mod identity;
pub mod machine;
pub mod module;
pub mod report;
pub mod value;

mod draft;
mod files;
mod syntax;
mod table;

pub use contract::{Contract, Message, MessageKind, Schema};
pub use domain::{Cluster, Domain, Role, Zone};
pub use event::{Event, EventSet};
pub use identity::Identity;

pub use files::{Expected, FOREGROUND, STANDARD, all, expected};
pub use hardware::{DETECTED, Hardware, HardwareName};
pub use machine::{Machine, Person};
pub use module::{Block, Body, Check, Module, OptionDecl};
pub use report::Reported;
pub use table::nearest;
pub use value::{Entry, Table, Value};

use crate::name::{EventSetName, MachineName, ModuleName, PersonName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Everything that was written, by kind and name. Files that did not parse are missing here and named in the report.
#[derive(Debug, Default)]
pub struct Declared {
    pub domain: Option<Domain>,
    pub machines: BTreeMap<MachineName, Machine>,
    /// Standard modules and the user's own; the user's shadow the standard ones.
    pub modules: BTreeMap<ModuleName, Module>,
    pub hardware: BTreeMap<HardwareName, Hardware>,
    /// What was found on the machines themselves.
    pub reports: BTreeMap<MachineName, Reported>,
    pub people: BTreeMap<PersonName, Person>,
    pub events: BTreeMap<EventSetName, EventSet>,
    pub contracts: BTreeMap<ServiceName, Contract>,
    /// JSON Schemas by path below `contracts/`.
    pub schemas: BTreeMap<String, Schema>,
    /// Options by machine, stronger than all that was written: what `up` generates.
    pub foreground: BTreeMap<MachineName, Table>,
    /// Paths of files that gave nothing because of their mistakes; a name that only they define is not "unknown".
    pub unread: BTreeSet<String>,
    /// Paths of files in which something is wrong, these and others: what is missing in them may have been meant.
    pub broken: BTreeSet<String>,
    /// `identity/`; absent until `keys sign` wrote it.
    pub identity: Option<Identity>,
}

impl Declared {
    /// `identity/` is there, and nothing can be made of it.
    #[must_use]
    pub fn identity_is_broken(&self) -> bool {
        self.identity.is_none() && self.broken.iter().any(|path| path.starts_with("identity/"))
    }

    /// Is the file, or one of the folder, broken? What it would say is not known, and so nothing is said to be missing.
    pub fn is_broken(&self, path: &str) -> bool {
        self.broken
            .range::<str, _>((Bound::Included(path), Bound::Unbounded))
            .next()
            .is_some_and(|broken| broken.starts_with(path))
    }
}

#[cfg(test)]
mod tests;
