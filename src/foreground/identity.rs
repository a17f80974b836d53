//! The throwaway identity of `up`: keys and a CA in the state directory, and the files that the servers read.
//!
//! Refuses: the domain's real key store and its `identity/`. What is made here is worth nothing elsewhere.

use super::state::{self, State};
use crate::compile;
use crate::host::keys::{KeyId, KeyStore, put_secret};
use crate::host::provision;
use crate::identity::{self, PublicIdentity, UserId};
use crate::name::MachineName;
use crate::resolve::Domain;
use anyhow::{Context, Error, Result, anyhow};
use std::fs;

/// Where the public half lies in the state directory, as `identity/` does in a domain.
pub const DIRECTORY: &str = "identity";

/// Keys, JWTs and certificates for everyone in the domain; the same ones as last time where nothing changed.
pub fn provide(state: &State, domain: &Domain, before: Option<&PublicIdentity>) -> Result<(KeyStore, PublicIdentity)> {
    let store = KeyStore::create(&state.keys())?;
    let identity = provision(&store, &compile::wanted(domain), before, time::OffsetDateTime::now_utc());
    let identity = identity.map_err(|error| beyond_repair(state, &error))?;
    let directory = state.root().join(DIRECTORY);
    for (path, text) in identity::files(&identity) {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(&directory);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        write_if_changed(&path, text.as_bytes())?;
    }
    write_if_changed(&state.root().join("ca.pem"), identity.ca.as_bytes())?;
    Ok((store, identity))
}

/// What is stored belongs to an account, and nobody but the holder of its key can speak for it.
fn beyond_repair(state: &State, error: &Error) -> Error {
    let (keys, root) = (state.keys(), state.root().display());
    anyhow!(
        "{error:#}\nhelp: put {} back as it was; or begin anew with `rm -r {root}`: events are loaded again from their files, \
         and what services stored since is lost",
        keys.display()
    )
}

/// Puts the files that nats-server reads where the `<foreground>` layer says they are.
pub fn place(state: &State, store: &KeyStore, identity: &PublicIdentity, machines: &[MachineName]) -> Result<()> {
    for machine in machines {
        let directory = state.machine(machine.as_str()).join("credentials");
        if let Some(certificate) = identity.certificates.get(machine) {
            write_if_changed(&directory.join("server.pem"), certificate.pem.as_bytes())?;
            let key = store.read(&KeyId::Server(machine.clone()))?;
            let key = key.with_context(|| format!("the key store has no server key of {machine}"))?;
            put_secret(&directory.join("server.key"), &key, 0o400)?;
        }
        let user = UserId::Leaf(machine.clone());
        if let Some(jwt) = identity.users.get(&user).and_then(|user| user.jwt.as_deref()) {
            put_secret(&directory.join("leaf.creds"), &store.creds(&user, jwt)?, 0o400)?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    state::write(path, bytes, 0o600)
}
