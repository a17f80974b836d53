//! References to secrets: what each is called, where it is found, who reads it. Never a secret.
//!
//! Refuses: bytes of any kind of key.

use super::canonical::{self, Dialect};
use super::environment::CREDENTIAL;
use super::link::Linked;
use super::units;
use crate::name::ServiceName;
use crate::resolve::{Link, Machine, Part};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// `leaf.creds`, `server.key`, `service-<service>.nk`
    pub name: String,
    /// Absolute path on the machine.
    pub path: String,
    /// Octal: `0400`.
    pub mode: String,
    pub owner: String,
    /// Units that read it.
    pub readers: Vec<String>,
    pub what: String,
    /// The name that is in it where it is encrypted for the machine; systemd hands it over under no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_as: Option<String>,
}

/// Beside the hub credential: `/etc/leafwright/credentials` unless the declarations say otherwise.
fn directory(machine: &Machine) -> &str {
    let file = machine.options.leaf.credentials.as_str();
    file.rsplit_once('/').map_or("/etc/leafwright/credentials", |(directory, _)| directory)
}

/// Where the JWT lies that belongs into `leaf.creds`: below the closure, and on the machine.
pub const LEAF_JWT: &str = "etc/leafwright/leaf.jwt";

/// Where the seed of a service's key lies on the machine. An encrypted one lies beside: a generation that is gone back to finds
/// its own.
pub fn service_file(machine: &Machine, service: &ServiceName) -> String {
    let encrypted = if machine.options.credentials.encrypted { ".cred" } else { "" };
    format!("{}/service-{service}.nk{encrypted}", directory(machine))
}

/// The directive by which a unit loads it.
pub fn directive(machine: &Machine) -> &'static str {
    if machine.options.credentials.encrypted { "LoadCredentialEncrypted" } else { "LoadCredential" }
}

pub fn of_machine(linked: &Linked<'_>, machine: &Machine) -> Vec<Credential> {
    let options = &machine.options;
    let mut all = vec![];
    let server = |name: &str, path: &str, what: &str| Credential {
        name: name.to_owned(),
        path: path.to_owned(),
        mode: "0400".to_owned(),
        owner: "nats".to_owned(),
        readers: vec![units::NATS.to_owned()],
        what: what.to_owned(),
        encrypted_as: None,
    };
    match machine.part {
        Part::Member if options.cluster.link == Link::Tls || options.leaf.link == Link::Tls => {
            all.push(server("server.key", &options.cluster.key, "the private key of this server's certificate"));
        }
        Part::Leaf if linked.domain.cluster.is_some() => {
            all.push(server("leaf.creds", &options.leaf.credentials, "the credential of this leaf on the cluster"));
        }
        Part::Member | Part::Leaf => {}
    }
    if machine.part == Part::Leaf {
        all.extend(options.services.keys().map(|service| Credential {
            name: format!("service-{service}.nk"),
            path: service_file(machine, service),
            mode: "0400".to_owned(),
            owner: "root".to_owned(),
            readers: vec![units::service_unit(service)],
            what: "the seed of a service's key; systemd hands it over".to_owned(),
            encrypted_as: options.credentials.encrypted.then(|| CREDENTIAL.to_owned()),
        }));
    }
    all.sort();
    all
}

pub fn print(credentials: &[Credential]) -> String {
    let value = serde_json::to_value(credentials).unwrap_or_default();
    canonical::print(&value, Dialect::Json).map(|printed| printed.text).unwrap_or_default()
}
