//! The content of `identity/`: public keys and signed JWTs, written by `keys sign` only, read by everything.

use crate::name::{MachineName, NKeyPublic, PersonName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

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

/// Which account's key signs a user's JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    Account,
    SystemAccount,
}

impl UserId {
    /// Users of the cluster have a JWT; NKey users of a leaf have none.
    pub fn issuer(&self) -> Option<Issuer> {
        match self {
            UserId::Leaf(_) | UserId::Provisioner => Some(Issuer::Account),
            UserId::System => Some(Issuer::SystemAccount),
            UserId::LocalProvisioner(_) | UserId::Service(..) | UserId::Person(..) => None,
        }
    }

    /// The machine on which the key may be made, because the machine itself uses it.
    /// Persons keep their own; Leafwright's on the cluster is the operator's.
    pub fn made_on(&self) -> Option<&MachineName> {
        match self {
            UserId::Leaf(machine) | UserId::LocalProvisioner(machine) | UserId::Service(machine, _) => Some(machine),
            UserId::Person(..) | UserId::Provisioner | UserId::System => None,
        }
    }

    /// The machine that the user is of; none for Leafwright's own on the cluster.
    pub fn machine(&self) -> Option<&MachineName> {
        match self {
            UserId::Leaf(machine)
            | UserId::LocalProvisioner(machine)
            | UserId::Service(machine, _)
            | UserId::Person(machine, _) => Some(machine),
            UserId::Provisioner | UserId::System => None,
        }
    }

    /// The inverse of the text form.
    pub fn parse(text: &str) -> Option<UserId> {
        match text {
            "domain/provisioner" => return Some(UserId::Provisioner),
            "domain/system" => return Some(UserId::System),
            _ => {}
        }
        let (machine, who) = text.strip_prefix("machines/")?.split_once('/')?;
        let machine = MachineName::parse(machine).ok()?;
        match who {
            "leaf" => Some(UserId::Leaf(machine)),
            "provisioner" => Some(UserId::LocalProvisioner(machine)),
            _ => match who.split_once('-')? {
                ("service", name) => Some(UserId::Service(machine, ServiceName::parse(name).ok()?)),
                ("person", name) => Some(UserId::Person(machine, PersonName::parse(name).ok()?)),
                _ => None,
            },
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
    /// Of the servers that others connect to: the cluster's members.
    pub certificates: BTreeMap<MachineName, Certificate>,
    /// Machines whose keys were made on them: their private halves are in no key store here.
    pub enrolled: BTreeSet<MachineName>,
    /// Keys of the cluster's users that others took the place of, with the generation: what was signed for them until then is void.
    pub revoked: BTreeMap<NKeyPublic, u64>,
}

/// A server's certificate, signed by the domain CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Host names and IP addresses that it stands for.
    pub names: BTreeSet<String>,
    /// RFC 3339, UTC.
    pub not_after: String,
    pub pem: String,
    /// PEM of the request that it was made from, where the key was made on the machine; it is renewed from this.
    pub request: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_a_user_reads_back() {
        let machine = MachineName::parse("thermo").unwrap();
        for user in [
            UserId::Leaf(machine.clone()),
            UserId::Provisioner,
            UserId::System,
            UserId::LocalProvisioner(machine.clone()),
            UserId::Service(machine.clone(), ServiceName::parse("to-dos").unwrap()),
            UserId::Person(machine, PersonName::parse("ada").unwrap()),
        ] {
            assert_eq!(UserId::parse(&user.to_string()), Some(user));
        }
        for text in ["", "machines", "machines/thermo", "machines/Thermo/leaf", "machines/thermo/service-", "domain/x"]
        {
            assert_eq!(UserId::parse(text), None, "{text}");
        }
    }
}
