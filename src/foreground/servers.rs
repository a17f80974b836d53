//! The nats-servers of the machines: started, ready, linked. Whether they are is asked of the servers themselves.
//!
//! Refuses: sleeping for luck. Every wait polls, has a deadline, and ends in an error that says what was missing.

use super::state::State;
use crate::compile::{Desired, DesiredServer};
use crate::host::monitor;
use crate::host::process::{Spec, last_words};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);
/// A server answers within a tenth of a second; recovery of a large store may take longer.
const READY: Duration = Duration::from_secs(60);
/// A leaf dials again after a second; an election of the meta leader takes up to five.
const LINKED: Duration = Duration::from_secs(60);

/// The configuration's place below a closure.
pub const CONFIG: &str = "etc/nats/nats-server.json";

/// How the server of one machine is started.
pub fn spec(state: &State, server: &DesiredServer, program: &Path) -> Spec {
    let machine = server.machine.as_str();
    let config = state.machine(machine).join("current").join(CONFIG);
    Spec {
        name: process_name(server),
        program: program.to_owned(),
        args: vec!["-c".to_owned(), config.to_string_lossy().into_owned()],
        environment: BTreeMap::new(),
        directory: state.machine(machine),
        log: state.log(machine, "nats-server"),
    }
}

pub fn process_name(server: &DesiredServer) -> String {
    format!("{}/nats-server", server.machine)
}

/// Waits until the server that answers on the monitoring port is the one that was started, and is healthy enough to be asked.
pub async fn ready(state: &State, server: &DesiredServer) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        let missing = match monitor::varz(server.monitor).await {
            Ok(varz) if varz.server_name == server.machine.as_str() => {
                return monitor::require_version(server.machine.as_str(), &varz.version);
            }
            Ok(varz) => bail!("{} answers in the place of {}", varz.server_name, server.machine),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            let words = last_words(&state.log(server.machine.as_str(), "nats-server"), 5);
            bail!("the nats-server of {} does not answer ({missing}); the end of its log:\n{words}", server.machine);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until every member sees every other one and a meta leader, and every leaf sees the cluster.
pub async fn linked(state: &State, desired: &Desired, servers: &[&DesiredServer]) -> Result<()> {
    let deadline = Instant::now() + LINKED;
    loop {
        let Some(missing) = what_is_not_linked(desired, servers).await? else { return Ok(()) };
        if Instant::now() > deadline {
            bail!("{missing}; the logs are in {}/machines/<machine>/log/", state.root().display());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The first link that is not there, as a phrase.
async fn what_is_not_linked(desired: &Desired, servers: &[&DesiredServer]) -> Result<Option<String>> {
    let members = desired.cluster_members.len();
    for server in servers {
        let missing = match server.member {
            true => member_misses(server, members).await?,
            false if members > 0 => leaf_misses(server).await?,
            false => None,
        };
        if missing.is_some() {
            return Ok(missing);
        }
    }
    Ok(None)
}

async fn member_misses(server: &DesiredServer, members: usize) -> Result<Option<String>> {
    let machine = &server.machine;
    if members > 1 {
        let routez = monitor::routez(server.monitor).await?;
        let others: std::collections::BTreeSet<&str> =
            routez.routes.iter().map(|route| route.remote_name.as_str()).collect();
        if others.len() < members - 1 {
            return Ok(Some(format!("{machine} is linked to {} of {} other members", others.len(), members - 1)));
        }
        let jsz = monitor::jsz(server.monitor).await?;
        if jsz.meta_cluster.is_none_or(|meta| meta.leader.is_empty()) {
            return Ok(Some(format!("{machine} knows no JetStream leader of the cluster")));
        }
    }
    let health = monitor::healthz(server.monitor).await?;
    Ok((health.status != "ok").then(|| format!("{machine} is not healthy: {}", health.error)))
}

async fn leaf_misses(server: &DesiredServer) -> Result<Option<String>> {
    let leafz = monitor::leafz(server.monitor).await?;
    Ok((leafz.leafnodes == 0).then(|| format!("{} is not linked to the cluster", server.machine)))
}
