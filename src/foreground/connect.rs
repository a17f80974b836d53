//! Connections of Leafwright itself: to each leaf as its local provisioner, to the cluster as the domain's provisioner.
//!
//! Refuses: waiting without end. A server that does not answer in time is an error that names it.

use crate::compile::{Compiled, Desired};
use crate::host::endpoint::{Endpoint, Login};
use crate::host::jetstream::JetStream;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::sets::inbox;
use crate::identity::{PublicIdentity, UserId};
use crate::name::MachineName;
use crate::plan::Scope;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);
const NO_CLUSTER: &str = "cannot connect to the cluster";

/// Where each scope is reached: each leaf at its own address, the cluster at those of its members.
pub type Ways = BTreeMap<Scope, BTreeSet<SocketAddr>>;

pub fn ways(desired: &Desired) -> Ways {
    let mut ways = Ways::new();
    for server in desired.servers.values() {
        let scope = if server.member { Scope::Cluster } else { Scope::Machine(server.machine.clone()) };
        ways.entry(scope).or_default().insert(server.listen);
    }
    ways
}

/// One JetStream handle a scope: each leaf that is running, and the cluster. All are opened at once.
pub async fn all(
    compiled: &Compiled,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<BTreeMap<Scope, JetStream>> {
    let mut handles = BTreeMap::new();
    for (scope, (_, opening)) in Opening::begin(&ways(&compiled.desired), store, identity)?.0 {
        handles.insert(scope, opening.await.context("cannot connect")??);
    }
    Ok(handles)
}

/// Connections that are being opened, while whoever wants them does something else.
#[derive(Default)]
pub struct Opening(BTreeMap<Scope, (BTreeSet<SocketAddr>, JoinHandle<Result<JetStream>>)>);

impl Opening {
    pub fn begin(ways: &Ways, store: &KeyStore, identity: &PublicIdentity) -> Result<Self> {
        let mut opening = BTreeMap::new();
        for (scope, addresses) in ways {
            let to = addresses.iter().copied();
            let (endpoint, failed) = match scope {
                Scope::Machine(machine) => (leaf(machine, to, store)?, format!("cannot connect to {machine}")),
                Scope::Cluster => (provisioner(to, store, identity)?, NO_CLUSTER.to_owned()),
            };
            let handle = async move { JetStream::open(Arc::new(endpoint), None, PATIENCE).await.context(failed) };
            opening.insert(scope.clone(), (addresses.clone(), tokio::spawn(handle)));
        }
        Ok(Self(opening))
    }

    /// Those that are wanted; others are not waited for. `None` where one of them was not opened, or leads elsewhere.
    pub async fn those(mut self, wanted: &Ways) -> Result<Option<BTreeMap<Scope, JetStream>>> {
        let mut handles = BTreeMap::new();
        for (scope, addresses) in wanted {
            let Some((_, opening)) = self.0.remove(scope).filter(|(opened, _)| opened == addresses) else {
                return Ok(None);
            };
            handles.insert(scope.clone(), opening.await.context("cannot connect")??);
        }
        Ok(Some(handles))
    }
}

fn leaf(machine: &MachineName, at: impl Iterator<Item = SocketAddr>, store: &KeyStore) -> Result<Endpoint> {
    let user = UserId::LocalProvisioner(machine.clone());
    let key = KeyId::User(user.clone());
    let key = store.nkey(&key)?.with_context(|| format!("the key store has no key of {user}"))?;
    Ok(Endpoint::at(at).login(Login::NKey(key.seed()?)).inbox(inbox(machine, "provisioner")))
}

/// The cluster's JetStream, through any of its members.
pub async fn cluster(desired: &Desired, store: &KeyStore, identity: &PublicIdentity) -> Result<JetStream> {
    let members = desired.servers.values().filter(|server| server.member).map(|server| server.listen);
    let endpoint = provisioner(members, store, identity)?;
    JetStream::open(Arc::new(endpoint), None, PATIENCE).await.context(NO_CLUSTER)
}

fn provisioner(
    members: impl Iterator<Item = SocketAddr>,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<Endpoint> {
    let user = UserId::Provisioner;
    let jwt = identity.users.get(&user).and_then(|user| user.jwt.as_deref()).context("the provisioner has no JWT")?;
    Ok(Endpoint::at(members).login(Login::Creds(store.creds(&user, jwt)?)))
}
