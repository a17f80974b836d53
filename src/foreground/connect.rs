//! Connections of Leafwright itself: to each leaf as its local provisioner, to the cluster as the domain's provisioner.
//!
//! Refuses: waiting without end. A server that does not answer in time is an error that names it.

use crate::compile::{Compiled, Desired, DesiredServer};
use crate::host::endpoint::{Endpoint, Login};
use crate::host::jetstream::JetStream;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::sets::inbox;
use crate::identity::{PublicIdentity, UserId};
use crate::plan::Scope;
use anyhow::{Context, Result};
use futures_util::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// One JetStream handle a scope: each leaf that is running, and the cluster. All are opened at once.
pub async fn all(
    compiled: &Compiled,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<BTreeMap<Scope, JetStream>> {
    let servers = &compiled.desired.servers;
    let leaves: Vec<&DesiredServer> = servers.values().filter(|server| !server.member).collect();
    let members = servers.values().any(|server| server.member);
    let opening = join_all(leaves.iter().map(|server| leaf(server, store)));
    let (opened, cluster) = join(opening, async {
        if members { cluster(&compiled.desired, store, identity).await.map(Some) } else { Ok(None) }
    })
    .await;
    let mut handles = BTreeMap::new();
    for (server, jetstream) in leaves.iter().zip(opened) {
        handles.insert(Scope::Machine(server.machine.clone()), jetstream?);
    }
    handles.extend(cluster?.map(|jetstream| (Scope::Cluster, jetstream)));
    Ok(handles)
}

async fn leaf(server: &DesiredServer, store: &KeyStore) -> Result<JetStream> {
    let user = UserId::LocalProvisioner(server.machine.clone());
    let key = KeyId::User(user.clone());
    let key = store.nkey(&key)?.with_context(|| format!("the key store has no key of {user}"))?;
    let endpoint = Endpoint::at([server.listen]).login(Login::NKey(key.seed()?));
    let endpoint = Arc::new(endpoint.inbox(inbox(&server.machine, "provisioner")));
    JetStream::open(endpoint, None, PATIENCE).await.with_context(|| format!("cannot connect to {}", server.machine))
}

/// The cluster's JetStream, through any of its members.
pub async fn cluster(desired: &Desired, store: &KeyStore, identity: &PublicIdentity) -> Result<JetStream> {
    let members = desired.servers.values().filter(|server| server.member).map(|server| server.listen);
    let user = UserId::Provisioner;
    let jwt = identity.users.get(&user).and_then(|user| user.jwt.as_deref()).context("the provisioner has no JWT")?;
    let endpoint = Endpoint::at(members).login(Login::Creds(store.creds(&user, jwt)?));
    JetStream::open(Arc::new(endpoint), None, PATIENCE).await.context("cannot connect to the cluster")
}
