//! A nats-server's monitoring port, read over loopback HTTP into types; and whether the server is new enough.
//!
//! Refuses: other hosts than those it is told, redirects, and waiting long.

use super::nats_server::{MINIMUM, Version};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;

const ANSWER: Duration = Duration::from_secs(2);

/// `/varz`: the server itself. Not its JetStream: of that, `/varz` says what was so when it was asked for the first time.
#[derive(Clone, Debug, Deserialize)]
pub struct Varz {
    pub server_id: String,
    pub server_name: String,
    pub version: String,
    /// `sha256:…` of the configuration that is in force.
    #[serde(default)]
    pub config_digest: String,
    #[serde(default)]
    pub connections: u64,
}

/// `/leafz`: links of leaf nodes, seen from either end.
#[derive(Clone, Debug, Deserialize)]
pub struct Leafz {
    pub leafnodes: u64,
    #[serde(default)]
    pub leafs: Vec<Leaf>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Leaf {
    /// The other end's server name.
    pub name: String,
    pub account: String,
    #[serde(default)]
    pub is_spoke: bool,
    #[serde(default)]
    pub rtt: String,
}

/// `/routez`: links between the members of a cluster. A pair of servers has several.
#[derive(Clone, Debug, Deserialize)]
pub struct Routez {
    pub num_routes: u64,
    #[serde(default)]
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    pub remote_id: String,
    #[serde(default)]
    pub remote_name: String,
}

/// `/healthz`: `ok`, or what is not.
#[derive(Clone, Debug, Deserialize)]
pub struct Healthz {
    pub status: String,
    #[serde(default)]
    pub error: String,
}

/// `/jsz`: JetStream as a whole.
#[derive(Clone, Debug, Deserialize)]
pub struct Jsz {
    #[serde(default)]
    pub streams: u64,
    #[serde(default)]
    pub consumers: u64,
    #[serde(default)]
    pub messages: u64,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub meta_cluster: Option<MetaCluster>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct MetaCluster {
    pub name: String,
    #[serde(default)]
    pub leader: String,
    pub cluster_size: u64,
}

pub async fn varz(monitor: SocketAddr) -> Result<Varz> {
    get(monitor, "varz").await
}

pub async fn leafz(monitor: SocketAddr) -> Result<Leafz> {
    get(monitor, "leafz").await
}

pub async fn routez(monitor: SocketAddr) -> Result<Routez> {
    get(monitor, "routez").await
}

pub async fn jsz(monitor: SocketAddr) -> Result<Jsz> {
    get(monitor, "jsz").await
}

/// JetStream is on; whether it has recovered, or the others of its cluster are there, is not asked
/// (`js-enabled-only`, nats-server `monitor.go`).
pub async fn healthz_of_jetstream(monitor: SocketAddr) -> Result<Healthz> {
    get(monitor, "healthz?js-enabled-only=true").await
}

/// An unhealthy server answers too: 503 with the reason.
pub async fn healthz(monitor: SocketAddr) -> Result<Healthz> {
    get(monitor, "healthz").await
}

async fn get<T: DeserializeOwned + Send + 'static>(monitor: SocketAddr, page: &'static str) -> Result<T> {
    let url = format!("http://{monitor}/{page}");
    let read = move || -> Result<T> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        let mut answer = ureq::Agent::from(config).get(&url).call().with_context(|| format!("no answer from {url}"))?;
        let text = answer.body_mut().read_to_string().with_context(|| format!("no whole answer from {url}"))?;
        serde_json::from_str(&text).with_context(|| format!("{url} answered something else than expected"))
    };
    tokio::task::spawn_blocking(read).await?
}

/// What was measured holds from this version on; older ones lose events silently (NATS-FACTS, part 2, 9).
pub fn require_version(server: &str, version: &str) -> Result<()> {
    let found: Version =
        version.parse().map_err(|()| anyhow::anyhow!("{server} says version {version:?}, which is none"))?;
    if found < MINIMUM {
        bail!(
            "{server} runs nats-server {found}, and {MINIMUM} is the oldest that works\nhelp: replace it and start it again"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_named_with_what_is_needed() {
        assert!(require_version("oak", "2.15.1").is_ok());
        assert!(require_version("oak", "2.16.0-RC.1").is_ok());
        let said = require_version("oak", "2.9.10").unwrap_err().to_string();
        assert!(said.contains("oak runs nats-server 2.9.10, and 2.15.1 is the oldest"), "{said}");
        assert!(require_version("oak", "hello").is_err());
    }
}
