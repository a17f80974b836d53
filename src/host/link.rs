//! The link of this machine's nats-server to the domain, tried: a question that only the cluster answers.
//!
//! Refuses: taking a connection that somebody once made for one that carries now.

use super::endpoint::Endpoint;
use super::machine::real::Link;
use crate::identity::sets;
use anyhow::{Context as _, Result, bail};
use async_nats::Client;
use std::time::Duration;

/// For one question; the gate asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to come in, and what to ask.
pub struct Way {
    pub endpoint: Endpoint,
    /// The cluster's JetStream domain.
    pub hub: String,
}

/// Over the link of this machine's own nats-server; `None` where there is none to prove.
pub struct OverLink {
    way: Option<Way>,
    client: Option<Client>,
}

impl OverLink {
    pub fn new(way: Option<Way>) -> Self {
        Self { way, client: None }
    }
}

impl Link for OverLink {
    async fn round_trip(&mut self) -> Result<()> {
        let Some(way) = &self.way else { bail!("this machine has no link to ask over") };
        let client = match self.client.take() {
            Some(client) => client,
            None => way.endpoint.connect(PATIENCE).await.context("cannot connect to nats-server")?,
        };
        let asking = client.request(sets::link_check(&way.hub), "".into());
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
        answer.context("the domain does not answer")?;
        self.client = Some(client);
        Ok(())
    }
}
