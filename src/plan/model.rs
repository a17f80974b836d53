//! A plan: steps in order, each with its typed reason; what is refused with a way out; what nobody declared.
//!
//! Refuses: references to the declarations. A plan is a file: places are written out, configurations are whole.

use super::observed::Observed;
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::diag::Place;
use crate::name::{EventSetName, FileFormat, MachineName, StreamName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The version of a plan's JSON.
pub const FORMAT: u32 = FileFormat::Plan.version();

/// Where a step happens: one machine (its files, its own JetStream domain), or the domain's cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Machine(MachineName),
    Cluster,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub format: u32,
    /// Digest of what was observed, without counts that change by themselves: a plan against another one is stale.
    pub parent: String,
    /// What people call the cluster; `None` where there is none.
    pub cluster: Option<String>,
    pub steps: Vec<Step>,
    /// Objects that exist and that nobody declared: reported, never touched.
    pub undeclared: Vec<Undeclared>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Stable: place, object, verb (`thermo/stream/EVT-thermo/create`).
    pub id: String,
    pub on: Scope,
    pub action: Action,
    pub because: Because,
}

/// What a step does. Nothing in it is left to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    WriteClosure {
        digest: String,
    },
    CreateStream {
        config: Box<StreamConfig>,
    },
    UpdateStream {
        from: Box<StreamConfig>,
        to: Box<StreamConfig>,
        changes: Vec<FieldChange>,
    },
    CreateConsumer {
        stream: StreamName,
        config: Box<ConsumerConfig>,
    },
    UpdateConsumer {
        stream: StreamName,
        from: Box<ConsumerConfig>,
        to: Box<ConsumerConfig>,
        changes: Vec<FieldChange>,
    },
    /// Events `from..to` of the set (0-based) are still to be stored.
    LoadEvents {
        set: EventSetName,
        stream: StreamName,
        from: u64,
        to: u64,
    },
    /// What must not or cannot be done. A plan with such a step is not applied at all.
    Refuse {
        object: Object,
        remedy: Remedy,
        changes: Vec<FieldChange>,
        say: String,
        way_out: String,
    },
}

/// What would bring the object to what is declared, and is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// A new stream beside the old one, filled from it, then switched to.
    CopyAndSwitch,
    /// Delete and create: forgets what was delivered.
    RecreateConsumer,
    /// Only the declaration can change.
    Declare,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    Stream(String),
    Consumer(String, String),
    Events(EventSetName),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// It does not exist yet.
    New,
    /// It was made before and is gone.
    Missing,
    /// The declaration says something else than before.
    Changed { changes: Vec<FieldChange> },
    /// The declaration is as before; somebody changed the object.
    Drifted { changes: Vec<FieldChange> },
    /// An event set has more events than are stored.
    Grew { by: u64 },
}

/// How a change acts on what is stored; ordered by harm. Up to `MovesData` it is done in place, above it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    Safe,
    /// Replicas are made, dropped or moved by the servers themselves; every message stays.
    MovesData,
    /// Messages would be stored a second time.
    DoublesData,
    /// Messages would be lost: stored ones at once, or later ones by what is allowed from then on.
    DestroysData,
    /// No update leads there: the server refuses it, or makes something else of it.
    Impossible,
}

impl Class {
    pub fn is_refused(self) -> bool {
        self > Class::MovesData
    }
}

/// One field of one object: as it is, as it must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub field: String,
    pub from: Value,
    pub to: Value,
    pub class: Class,
    /// What is wrong with it, and what to do instead; of refused changes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Where the declaration says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub say: String,
    pub way_out: String,
}

/// All differences of one object; empty when there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub fields: Vec<FieldChange>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The worst of its fields.
    pub fn class(&self) -> Class {
        self.fields.iter().map(|field| field.class).max().unwrap_or(Class::Safe)
    }
}

/// An object that exists and is not declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Undeclared {
    pub on: Scope,
    pub object: Object,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub fn refused(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.action, Action::Refuse { .. }))
    }

    /// Was the plan made against what is there now?
    pub fn fits(&self, observed: &Observed) -> bool {
        self.parent == observed.digest()
    }

    /// Which plan this is: SHA-256 of its JSON.
    pub fn digest(&self) -> String {
        hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Lower-case hex SHA-256.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}
