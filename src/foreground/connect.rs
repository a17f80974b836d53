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
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(10);
const NO_CLUSTER: &str = "cannot connect to the cluster";

/// One JetStream handle a scope: each leaf that is running, and the cluster. All are opened at once.
pub async fn all(
    compiled: &Compiled,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<BTreeMap<Scope, JetStream>> {
    opening(compiled, store, identity)?.those(|_| true).await
}

fn opening(compiled: &Compiled, store: &KeyStore, identity: &PublicIdentity) -> Result<Opening> {
    let servers = compiled.desired.servers.values();
    let (members, leaves): (Vec<_>, Vec<_>) = servers.partition(|server| server.member);
    let mut opening = Opening::default();
    for server in leaves {
        opening.leaf(&server.machine, server.listen, store)?;
    }
    if !members.is_empty() {
        opening.cluster(members.iter().map(|server| server.listen), store, identity)?;
    }
    Ok(opening)
}

/// Connections that are being opened, while whoever wants them does something else.
#[derive(Default)]
pub struct Opening(BTreeMap<Scope, JoinHandle<Result<JetStream>>>);

impl Opening {
    pub fn leaf(&mut self, machine: &MachineName, listen: SocketAddr, store: &KeyStore) -> Result<()> {
        let user = UserId::LocalProvisioner(machine.clone());
        let key = KeyId::User(user.clone());
        let key = store.nkey(&key)?.with_context(|| format!("the key store has no key of {user}"))?;
        let endpoint = Endpoint::at([listen]).login(Login::NKey(key.seed()?)).inbox(inbox(machine, "provisioner"));
        self.open(Scope::Machine(machine.clone()), endpoint, format!("cannot connect to {machine}"));
        Ok(())
    }

    pub fn cluster(
        &mut self,
        members: impl Iterator<Item = SocketAddr>,
        store: &KeyStore,
        identity: &PublicIdentity,
    ) -> Result<()> {
        let endpoint = provisioner(members, store, identity)?;
        self.open(Scope::Cluster, endpoint, NO_CLUSTER.to_owned());
        Ok(())
    }

    fn open(&mut self, scope: Scope, endpoint: Endpoint, failed: String) {
        let opening = async move { JetStream::open(Arc::new(endpoint), None, PATIENCE).await.context(failed) };
        self.0.insert(scope, tokio::spawn(opening));
    }

    /// Those that are wanted after all; the others are not waited for.
    pub async fn those(self, wanted: impl Fn(&Scope) -> bool) -> Result<BTreeMap<Scope, JetStream>> {
        let mut handles = BTreeMap::new();
        for (scope, opening) in self.0 {
            if wanted(&scope) {
                handles.insert(scope, opening.await.context("cannot connect")??);
            }
        }
        Ok(handles)
    }
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
