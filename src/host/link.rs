//! The link of this machine's nats-server to the domain, tried: a question that only the cluster answers.
//!
//! Refuses: taking a connection that somebody once made for one that carries now.

use super::keys::Secret;
use super::machine::real::Link;
use crate::identity::sets;
use crate::name::MachineName;
use anyhow::{Context as _, Result, bail};
use async_nats::{Client, ConnectOptions};
use std::net::SocketAddr;
use std::time::Duration;

/// For one question; the gate asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How to come in, and what to ask.
pub struct Login {
    pub machine: MachineName,
    pub listen: SocketAddr,
    pub seed: Secret,
    /// The cluster's JetStream domain.
    pub hub: String,
}

/// Over the link of this machine's own nats-server; `None` where there is none to prove.
pub struct OverLink {
    login: Option<Login>,
    client: Option<Client>,
}

impl OverLink {
    pub fn new(login: Option<Login>) -> Self {
        Self { login, client: None }
    }
}

impl Link for OverLink {
    async fn round_trip(&mut self) -> Result<()> {
        let Some(login) = &self.login else { bail!("this machine has no link to ask over") };
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let inbox = sets::inbox(&login.machine, "provisioner");
                let options = ConnectOptions::with_nkey(login.seed.reveal().to_owned()).custom_inbox_prefix(inbox);
                let connecting = options.name("leafwright").connect(format!("nats://{}", login.listen));
                let client = tokio::time::timeout(PATIENCE, connecting).await.context("nats-server does not answer")?;
                client.context("cannot connect to nats-server")?
            }
        };
        let asking = client.request(sets::link_check(&login.hub), "".into());
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
        answer.context("the domain does not answer")?;
        self.client = Some(client);
        Ok(())
    }
}
