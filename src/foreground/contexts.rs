//! `nats` contexts: files with which the `nats` command connects to what runs, as each person and as the provisioner.
//!
//! Refuses: secrets in the file. It names the key's file.

use super::state::{self, State};
use super::summary::ContextRow;
use crate::compile::Desired;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::sets::inbox;
use crate::identity::{PublicIdentity, UserId};
use crate::name::{DomainName, MachineName};
use anyhow::{Context, Result};
use serde_json::json;

/// How the context of somebody on a machine is called.
pub fn name(domain: &DomainName, machine: &MachineName, who: &str) -> String {
    format!("{domain}-{machine}-{who}")
}

/// Where the contexts lie in a state directory.
pub const DIRECTORY: &str = "nats/context";

/// Writes one context for each person on a running machine, then one for each leaf's provisioner.
/// The `nats` command finds them with `XDG_CONFIG_HOME` set to the state directory.
pub fn write(
    state: &State,
    domain: &DomainName,
    desired: &Desired,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<Vec<ContextRow>> {
    let directory = state.root().join(DIRECTORY);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let mut rows = Vec::new();
    let people = identity.users.keys().filter(|user| matches!(user, UserId::Person(..)));
    let provisioners = identity.users.keys().filter(|user| matches!(user, UserId::LocalProvisioner(_)));
    for user in people.chain(provisioners) {
        let (machine, who) = match user {
            UserId::Person(machine, person) => (machine, person.as_str()),
            UserId::LocalProvisioner(machine) => (machine, "provisioner"),
            _ => continue,
        };
        let Some(server) = desired.servers.get(machine) else { continue };
        let name = name(domain, machine, who);
        let context = json!({
            "description": format!("{who} on {machine}, brought up by leafwright"),
            "url": format!("nats://{}", server.listen),
            "nkey": store.path(&KeyId::User(user.clone())).to_string_lossy(),
            "inbox_prefix": inbox(machine, who),
        });
        let path = directory.join(format!("{name}.json"));
        state::write(&path, serde_json::to_string_pretty(&context)?.as_bytes(), 0o600)?;
        rows.push(ContextRow { name, who: format!("{who} on {machine}") });
    }
    Ok(rows)
}
