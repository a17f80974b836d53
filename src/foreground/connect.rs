//! Connections of Leafwright itself: to each leaf as its local provisioner, to the cluster as the domain's provisioner.
//!
//! Refuses: waiting without end. A server that does not answer in time is an error that names it.

use crate::compile::{Compiled, Desired, DesiredServer};
use crate::host::jetstream::JetStream;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::sets::inbox;
use crate::identity::{PublicIdentity, UserId};
use crate::plan::Scope;
use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// One JetStream handle a scope: each leaf that is running, and the cluster.
pub async fn all(
    compiled: &Compiled,
    store: &KeyStore,
    identity: &PublicIdentity,
) -> Result<BTreeMap<Scope, JetStream>> {
    let mut handles = BTreeMap::new();
    for server in compiled.desired.servers.values().filter(|server| !server.member) {
        let client = leaf(server, store).await?;
        handles.insert(Scope::Machine(server.machine.clone()), JetStream::new(client, None));
    }
    if compiled.desired.servers.values().any(|server| server.member) {
        handles.insert(Scope::Cluster, cluster(&compiled.desired, store, identity).await?);
    }
    Ok(handles)
}

async fn leaf(server: &DesiredServer, store: &KeyStore) -> Result<Client> {
    let user = UserId::LocalProvisioner(server.machine.clone());
    let key = KeyId::User(user.clone());
    let key = store.nkey(&key)?.with_context(|| format!("the key store has no key of {user}"))?;
    let seed = key.seed()?;
    let options =
        ConnectOptions::with_nkey(seed.reveal().to_owned()).custom_inbox_prefix(inbox(&server.machine, "provisioner"));
    open(options, &[server.listen]).await.with_context(|| format!("cannot connect to {}", server.machine))
}

/// The cluster's JetStream, through any of its members.
pub async fn cluster(desired: &Desired, store: &KeyStore, identity: &PublicIdentity) -> Result<JetStream> {
    let members: Vec<SocketAddr> =
        desired.servers.values().filter(|server| server.member).map(|server| server.listen).collect();
    let user = UserId::Provisioner;
    let jwt = identity.users.get(&user).and_then(|user| user.jwt.as_deref()).context("the provisioner has no JWT")?;
    let creds = store.creds(&user, jwt)?;
    let options = ConnectOptions::with_credentials(creds.reveal())?;
    let client = open(options, &members).await.context("cannot connect to the cluster")?;
    Ok(JetStream::new(client, None))
}

async fn open(options: ConnectOptions, servers: &[SocketAddr]) -> Result<Client> {
    let urls: Vec<String> = servers.iter().map(|server| format!("nats://{server}")).collect();
    let connecting = options.name("leafwright").ignore_discovered_servers().connection_timeout(PATIENCE).connect(urls);
    tokio::time::timeout(PATIENCE, connecting).await.context("no answer in time")?.map_err(Into::into)
}
