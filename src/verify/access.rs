//! How verify comes in: logins from outside, one connection for each place that holds JetStream objects.
//!
//! Refuses: knowing where keys lie. Whoever runs it hands out logins; nothing here prints one.

use super::outcome::{Check, Finding};
use super::target::Target;
use crate::identity::UserId;
use crate::name::MachineName;
use crate::plan::Scope;
use anyhow::{Context, Result};
use async_nats::Client;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::host::endpoint::Login;

/// Hands out logins; `None` where this machine has no key of that user.
pub trait Access {
    fn login(&self, user: &UserId) -> Option<Login>;
}

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connects as `user`; with `inbox` as the prefix of its inboxes where the user may hear that only.
pub async fn connect(access: &dyn Access, user: &UserId, address: SocketAddr, inbox: Option<String>) -> Result<Client> {
    let login = access.login(user).with_context(|| format!("there is no key of {user} here"))?;
    let options = login.options().with_context(|| format!("cannot be {user}"))?;
    let options = match inbox {
        Some(prefix) => options.custom_inbox_prefix(prefix),
        None => options,
    };
    let options = options.connection_timeout(PATIENCE).name("leafwright verify");
    let client = options.connect(address.to_string()).await;
    client.with_context(|| format!("cannot connect to {address} as {user}"))
}

/// One provisioner's connection a scope: each leaf, and the cluster through whichever member answers.
pub struct Connections {
    clients: BTreeMap<Scope, Client>,
}

impl Connections {
    pub async fn open(target: &Target<'_>) -> (Self, Vec<Finding>) {
        let mut clients = BTreeMap::new();
        let mut failures = vec![];
        for (scope, _) in crate::plan::scopes(target.desired) {
            match open(target, &scope).await {
                Ok(client) => drop(clients.insert(scope, client)),
                Err(error) => {
                    failures.push(Finding::failed(Check::Connection, place(target, &scope), format!("{error:#}")))
                }
            }
        }
        (Self { clients }, failures)
    }

    /// `None`: it could not be opened, which was told.
    pub fn of(&self, scope: &Scope) -> Option<&Client> {
        self.clients.get(scope)
    }

    /// The scopes that are there, with their clients.
    pub fn all(&self) -> impl Iterator<Item = (&Scope, &Client)> {
        self.clients.iter()
    }
}

async fn open(target: &Target<'_>, scope: &Scope) -> Result<Client> {
    let servers = &target.desired.servers;
    let (doors, user): (Vec<SocketAddr>, UserId) = match scope {
        Scope::Machine(machine) => (servers.get(machine).map(|s| s.listen).into_iter().collect(), local(machine)),
        Scope::Cluster => (servers.values().filter(|s| s.member).map(|s| s.listen).collect(), UserId::Provisioner),
    };
    let mut last = anyhow::anyhow!("none of its servers is among the machines that were asked for");
    for door in doors {
        match connect(target.access, &user, door, None).await {
            Ok(client) => return Ok(client),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn local(machine: &MachineName) -> UserId {
    UserId::LocalProvisioner(machine.clone())
}

/// The scope as people call it: the machine, or the cluster's name.
pub fn place(target: &Target<'_>, scope: &Scope) -> String {
    match scope {
        Scope::Machine(machine) => machine.to_string(),
        Scope::Cluster => target.hub().unwrap_or("the cluster").to_owned(),
    }
}
