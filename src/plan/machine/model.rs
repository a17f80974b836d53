//! A machine's plan: steps in order, each with its typed reason; and what was observed of the machine.
//!
//! Refuses: bytes. Steps name files of the store by path and digest.

use super::packages::SeenPackages;
use crate::compile::Effect;
use crate::name::FileFormat;
use crate::plan::model::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The version of a machine plan's JSON.
pub const FORMAT: u32 = FileFormat::Plan.version();

/// What was seen on the machine: whoever looks fails rather than leave something out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The active generation's number and closure digest; `None` on a machine that never had one.
    pub active: Option<(u64, String)>,
    /// Every path of the old and the new content (`Content::paths`), links not followed; absent paths are absent here.
    pub files: BTreeMap<String, SeenFile>,
    /// Every unit of the old and the new content that systemd has loaded: `Content::concrete`, and all instances of `Content::templates`.
    pub units: BTreeMap<String, SeenUnit>,
    /// Units that had failed before anything was done, ours and others'.
    pub failed: BTreeSet<String>,
    /// `config_digest` of the nats-server that runs, from its monitoring port.
    pub server_digest: Option<String>,
    /// The packages of `packages::names`; `None` where nobody looked: then none is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<SeenPackages>,
    /// Every user of the machine; `None` where nobody looked, and then directories of users say nothing either.
    #[serde(skip)]
    pub users: Option<BTreeMap<String, SeenUser>>,
}

/// A user as passwd(5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenUser {
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
    /// Groups that it is a member of besides its own.
    pub groups: BTreeSet<String>,
}

/// Something that is not as declared and that no step mends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// `the user nats`, `todos@1.service`
    pub about: String,
    pub what: String,
    /// What a person can do about it.
    pub way_out: String,
}

/// A path as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeenFile {
    File {
        digest: String,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Link {
        to: String,
    },
    Directory {
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A socket, a device.
    Other,
}

/// A unit as systemd says: `LoadState`, `ActiveState`, `SubState`, `UnitFileState`, `FragmentPath` (org.freedesktop.systemd1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeenUnit {
    /// `loaded`, `masked`, `bad-setting`, …; `not-found` for one that still runs and whose file is gone.
    pub load: String,
    pub active: String,
    pub sub: String,
    pub file_state: String,
    pub fragment: String,
    /// Paths, in the order in which they count: `DropInPaths`.
    pub drop_ins: Vec<String>,
    pub needs_reload: bool,
    pub main_pid: u32,
    /// Another one whenever it was started again; empty for one that never ran.
    pub invocation: String,
    /// Microseconds since the boot; zero for one that never was active.
    pub active_since: u64,
    /// How often systemd restarted it by itself.
    pub restarts: u32,
    /// `success`, `exit-code`, `signal`, `start-limit-hit`, …
    pub result: String,
    /// Of the main process that ended last: its exit code, or the signal that killed it.
    pub exit_status: i32,
}

/// What one step does. Nothing in it is left to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Act {
    /// Installs a package of the distribution, by the name that it has there; it was declared as `declared`.
    Install {
        package: String,
        declared: String,
    },
    /// Puts the file `from` of the closure at `path`.
    Place {
        path: String,
        from: String,
        mode: u32,
        digest: String,
    },
    /// Makes a symbolic link: how a unit is enabled.
    Link {
        path: String,
        to: String,
    },
    /// Removes a file or link of ours; what it replaced comes back.
    Remove {
        path: String,
    },
    /// `systemd-sysusers` with our file.
    Users,
    /// `systemd-tmpfiles --create` with our file.
    Directories,
    /// Makes secret files of the machine's own keys, and puts them where the closure says; by name.
    Credentials {
        names: Vec<String>,
    },
    /// Removes a secret file that nothing names any more.
    RemoveCredential {
        path: String,
    },
    /// The manager reads unit files again.
    DaemonReload,
    Stop {
        unit: String,
    },
    Reload {
        unit: String,
    },
    Restart {
        unit: String,
    },
    Start {
        unit: String,
    },
    /// What must not be done. A plan with such a step is not applied at all; it stands before all others.
    Refuse {
        path: String,
        say: String,
        way_out: String,
    },
}

/// Why a step is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Why {
    /// The new generation has it, the old one had not.
    New,
    /// The old generation had it, the new one has not.
    Gone,
    /// These fields are not what they were: `service.MemoryMax`, `/max_payload`.
    Changed { fields: Vec<FieldEffect> },
    /// The generation is as before; somebody changed the thing by hand.
    Drifted { what: String },
    /// It ought to run and does not.
    NotRunning { state: String },
    /// It ought to be installed and is not.
    NotInstalled,
    /// Something that it reads or needs is changed by these steps.
    Follows { what: Vec<String> },
}

/// One changed field and what its change asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldEffect {
    pub field: String,
    pub from: Value,
    pub to: Value,
    pub effect: Effect,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineStep {
    /// Stable: `file/etc/nats/nats-server.json/place`, `unit/nats-server.service/reload`.
    pub id: String,
    pub act: Act,
    pub why: Why,
}

/// The steps of one machine, in order, in the phases of an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachinePlan {
    pub format: u32,
    pub machine: String,
    /// Generation and closure it starts from; `None` on a fresh machine.
    pub from: Option<(u64, String)>,
    /// The closure that it leads to.
    pub to: String,
    /// Digest of the observation: a plan against another one is stale.
    pub parent: String,
    /// Packages: before anything is begun, because they stay whatever becomes of the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<MachineStep>,
    /// Refusals; stops of what goes and of what its old definition must stop; files, links, users, directories, daemon-reload; then
    /// nats-server itself with what it stands on.
    pub before: Vec<MachineStep>,
    /// After streams and events: all other units.
    pub after: Vec<MachineStep>,
    /// After the commit: what shrinks or goes.
    pub last: Vec<MachineStep>,
}

impl MachinePlan {
    pub fn is_empty(&self) -> bool {
        self.steps().next().is_none()
    }

    /// All steps, in the order in which they are done.
    pub fn steps(&self) -> impl Iterator<Item = &MachineStep> {
        self.first.iter().chain(&self.before).chain(&self.after).chain(&self.last)
    }

    /// What must not be done, each with a way out.
    pub fn refused(&self) -> impl Iterator<Item = &MachineStep> {
        self.steps().filter(|step| matches!(step.act, Act::Refuse { .. }))
    }

    /// Was the plan made against what is there now?
    pub fn fits(&self, seen: &Observation) -> bool {
        self.parent == seen.digest()
    }

    /// Which plan this is: SHA-256 of its JSON.
    pub fn digest(&self) -> String {
        hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Observation {
    /// Which state of the machine this is: without what changes by itself while nothing else does (process ids, sub-states, the
    /// failures of others).
    pub fn digest(&self) -> String {
        let mut same = self.clone();
        same.failed.clear();
        for unit in same.units.values_mut() {
            unit.main_pid = 0;
            unit.sub.clear();
            if unit.runs() {
                unit.active = "active".to_owned();
            }
        }
        hex(&serde_json::to_vec(&same).unwrap_or_default())
    }
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.about, self.what)
    }
}

impl SeenFile {
    /// Directories and devices never are.
    pub fn can_be_replaced(&self) -> bool {
        matches!(self, SeenFile::File { .. } | SeenFile::Link { .. })
    }
}

impl SeenUnit {
    /// Does it run, or is it about to?
    pub fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "activating" | "reloading" | "refreshing")
    }
}
