//! The content of `identity/`: public keys and signed JWTs, written by `keys sign` only, read by everything.

use crate::name::{MachineName, NKeyPublic, PersonName, ServiceName};
use std::collections::BTreeMap;

/// Who has a key. The text form is the path of the key in the key store and in `identity/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserId {
    /// The hub credential of a leaf (a JWT user of the cluster, connection type LEAFNODE).
    Leaf(MachineName),
    /// Leafwright itself on the cluster (a JWT user): manages streams, loads events.
    Provisioner,
    /// Leafwright itself on one machine's leaf (an NKey user there).
    LocalProvisioner(MachineName),
    /// A service on a machine (an NKey user of its leaf).
    Service(MachineName, ServiceName),
    /// A person on a machine (an NKey user of its leaf).
    Person(MachineName, PersonName),
    /// The system account's user on the cluster: monitoring, resolver pushes.
    System,
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            UserId::Leaf(machine) => write!(f, "machines/{machine}/leaf"),
            UserId::Provisioner => f.write_str("domain/provisioner"),
            UserId::LocalProvisioner(machine) => write!(f, "machines/{machine}/provisioner"),
            UserId::Service(machine, service) => write!(f, "machines/{machine}/service-{service}"),
            UserId::Person(machine, person) => write!(f, "machines/{machine}/person-{person}"),
            UserId::System => f.write_str("domain/system"),
        }
    }
}

/// A public key and the JWT that speaks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub key: NKeyPublic,
    pub jwt: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUser {
    pub key: NKeyPublic,
    /// Users of the cluster have one; NKey users of a leaf have none.
    pub jwt: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicIdentity {
    /// Grows by one with each signing that changed something; the `iat` of the JWTs of that signing.
    pub generation: u64,
    pub operator: Signed,
    pub system_account: Signed,
    pub account: Signed,
    pub users: BTreeMap<UserId, PublicUser>,
    /// PEM of the domain CA's certificate.
    pub ca: String,
}
