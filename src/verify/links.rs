//! Links and JetStream domains, by the servers' own monitoring ports: each leaf linked, each member routed to all others.

use super::outcome::{Check, Finding};
use super::poll;
use super::target::Target;
use crate::compile::DesiredServer;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Leafz {
    #[serde(default)]
    leafs: Vec<Peer>,
}

#[derive(Deserialize)]
struct Routez {
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Peer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    account: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    remote_name: String,
}

/// JetStream as it is now. What `/varz` says of its configuration is what was so when `/varz` was asked for the first time: of a
/// server that was asked before its JetStream began, that it has none, for as long as it lives (`monitor.go`, `HandleVarz`).
#[derive(Deserialize)]
struct Jsz {
    #[serde(default)]
    disabled: bool,
    config: JetstreamConfig,
}

#[derive(Deserialize)]
struct JetstreamConfig {
    #[serde(default)]
    domain: String,
}

pub async fn check(target: &Target<'_>) -> Vec<Finding> {
    poll::until(target, Instant::now() + target.links, async || look(target).await).await
}

async fn look(target: &Target<'_>) -> Vec<Finding> {
    let mut findings = vec![];
    let clustered = target.hub().is_some();
    for server in target.desired.servers.values() {
        findings.push(domain(server).await);
        if server.member {
            findings.extend(routes(target, server).await);
        } else if clustered {
            findings.push(leaf(target, server).await);
        }
    }
    findings
}

async fn domain(server: &DesiredServer) -> Finding {
    let name = server.machine.as_str();
    match ask::<Jsz>(server.monitor, "jsz").await {
        Ok(Jsz { disabled: true, .. }) => Finding::failed(Check::Domain, name, "JetStream is off"),
        Ok(Jsz { config, .. }) if config.domain == server.domain => {
            Finding::passed(Check::Domain, name, format!("JetStream domain `{}`", server.domain))
        }
        Ok(Jsz { config, .. }) => Finding::failed(
            Check::Domain,
            name,
            format!("JetStream domain `{}`, declared is `{}`", config.domain, server.domain),
        ),
        Err(error) => Finding::failed(Check::Domain, name, format!("{error:#}")),
    }
}

async fn routes(target: &Target<'_>, server: &DesiredServer) -> Vec<Finding> {
    let others = target.desired.cluster_members.iter().filter(|member| **member != server.machine);
    let seen: Result<BTreeSet<String>> = ask::<Routez>(server.monitor, "routez")
        .await
        .map(|routez| routez.routes.into_iter().map(|route| route.remote_name).collect());
    let of = |member: &crate::name::MachineName| {
        let subject = format!("{} → {member}", server.machine);
        match &seen {
            Ok(seen) if seen.contains(member.as_str()) => Finding::passed(Check::Link, subject, "route"),
            Ok(_) => Finding::failed(Check::Link, subject, "no route"),
            Err(error) => Finding::failed(Check::Link, subject, format!("{error:#}")),
        }
    };
    others.map(of).collect()
}

async fn leaf(target: &Target<'_>, server: &DesiredServer) -> Finding {
    let subject = format!("{} → {}", server.machine, super::access::place(target, &crate::plan::Scope::Cluster));
    let links = match ask::<Leafz>(server.monitor, "leafz").await {
        Ok(leafz) => leafz.leafs,
        Err(error) => return Finding::failed(Check::Link, subject, format!("{error:#}")),
    };
    match links.as_slice() {
        [] => Finding::failed(Check::Link, subject, "no link"),
        [link] => Finding::passed(Check::Link, subject, format!("linked to {} in account {}", link.name, link.account)),
        links => Finding::failed(Check::Link, subject, format!("{} links where one is declared", links.len())),
    }
}

/// One page of a monitoring port.
async fn ask<T: serde::de::DeserializeOwned + Send + 'static>(monitor: SocketAddr, page: &'static str) -> Result<T> {
    let get = move || -> Result<T> {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build();
        let agent = ureq::Agent::new_with_config(config);
        let mut response = agent.get(format!("http://{monitor}/{page}")).call()?;
        Ok(serde_json::from_slice(&response.body_mut().read_to_vec()?)?)
    };
    tokio::task::spawn_blocking(get).await?.with_context(|| format!("no answer from http://{monitor}/{page}"))
}
