//! Questions to this machine's nats-server, and over its link to the domain: is there somebody who answers now?
//!
//! Refuses: taking a connection that somebody once made for one that carries now.

use super::endpoint::Endpoint;
use super::machine::real::Link;
use crate::compile::gates::Proof;
use crate::identity::sets;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_nats::{Client, Message};
use serde::Deserialize;
use std::time::Duration;

/// For one question; the gate asks again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where to come in, and what to ask.
pub struct Way {
    pub endpoint: Endpoint,
    /// The cluster's JetStream domain; `None` for a machine that stands alone.
    pub hub: Option<String>,
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
        let hub =
            self.way.as_ref().and_then(|way| way.hub.as_deref()).context("this machine has no link to ask over")?;
        self.answer(sets::link_check(hub), "").await.context("the domain does not answer").map(drop)
    }

    async fn proved(&mut self, proof: &Proof) -> Result<()> {
        match proof {
            Proof::Program { .. } => bail!("a program is not asked over messages"),
            Proof::Query { subject, payload } => {
                let answer = self.answer(subject.clone(), payload).await?;
                let headers = answer.headers.unwrap_or_default();
                match headers.get("Nats-Service-Error") {
                    Some(error) => bail!("it is answered with an error: {error}"),
                    None => Ok(()),
                }
            }
            Proof::Current { stream } => {
                let answer = self.answer(format!("$JS.API.STREAM.INFO.{stream}"), "").await?;
                let info: StreamInfo = serde_json::from_slice(&answer.payload).context("the answer is none")?;
                info.current()
            }
        }
    }
}

impl OverLink {
    /// One question as this machine's provisioner, over one connection for all.
    async fn answer(&mut self, subject: String, payload: &str) -> Result<Message> {
        let way = self.way.as_ref().context("there is no key to ask with")?;
        let client = match self.client.take() {
            Some(client) => client,
            None => way.endpoint.connect(PATIENCE).await.context("cannot connect to nats-server")?,
        };
        let asking = client.request(subject, payload.to_owned().into());
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        self.client = Some(client);
        let answer = answer.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
        // Its causes say the same again, and so does its text.
        answer.map_err(|error| anyhow!("{}", error.kind()))
    }
}

/// The parts of `STREAM.INFO` that tell whether a copy has everything.
#[derive(Deserialize)]
struct StreamInfo {
    error: Option<Refusal>,
    mirror: Option<Origin>,
    #[serde(default)]
    sources: Vec<Origin>,
}

#[derive(Deserialize)]
struct Refusal {
    description: String,
}

#[derive(Deserialize)]
struct Origin {
    name: String,
    lag: u64,
    /// Nanoseconds since something was heard of it; -1 when nothing ever was.
    active: i64,
}

impl StreamInfo {
    fn current(&self) -> Result<()> {
        if let Some(refusal) = &self.error {
            bail!("{}", refusal.description);
        }
        for Origin { name, lag, active } in self.mirror.iter().chain(&self.sources) {
            ensure!(*active >= 0, "nothing was heard of {name} yet");
            ensure!(*lag == 0, "{lag} messages of {name} are missing");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_current_when_nothing_is_missing() {
        let said = |info: &str| serde_json::from_str::<StreamInfo>(info).unwrap().current().map_err(|e| e.to_string());
        assert_eq!(said(r#"{"mirror":{"name":"EVT","lag":0,"active":5}}"#), Ok(()));
        assert_eq!(
            said(r#"{"sources":[{"name":"A","lag":0,"active":5},{"name":"B","lag":3,"active":5}]}"#),
            Err("3 messages of B are missing".into())
        );
        assert_eq!(
            said(r#"{"mirror":{"name":"EVT","lag":0,"active":-1}}"#),
            Err("nothing was heard of EVT yet".into())
        );
        assert_eq!(said(r#"{"error":{"description":"stream not found"}}"#), Err("stream not found".into()));
    }
}
