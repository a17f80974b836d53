//! Copies counted where they are: on distinct machines, and only those that are current.
//!
//! Refuses: counting a replica that lags, a keeper that has not caught up, and two copies on one machine as two.

use super::access::Connections;
use super::objects::{self, StreamInfo, on};
use super::outcome::{Check, Finding};
use super::poll;
use super::target::Target;
use crate::name::MachineName;
use crate::plan::{self, Scope};
use std::collections::BTreeSet;
use std::time::Instant;

/// The copies of one stream of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    pub stream: String,
    /// Replicas and keepers as declared.
    pub wanted: usize,
    /// Where a whole, current copy is; server names are machine names.
    pub machines: BTreeSet<String>,
    /// What is missing, in words.
    pub missing: Vec<String>,
}

pub async fn check(target: &Target<'_>, connections: &Connections) -> Vec<Finding> {
    let deadline = Instant::now() + target.patience;
    poll::until(target, deadline, async || {
        counted(target, connections).await.into_iter().map(|copies| judged(target, copies)).collect()
    })
    .await
}

/// The copies of every stream of the cluster, for a summary: connects by itself.
pub async fn copies(target: &Target<'_>) -> Vec<Copies> {
    counted(target, &Connections::open(target).await.0).await
}

fn judged(target: &Target<'_>, copies: Copies) -> Finding {
    let subject = on(target, &Scope::Cluster, &copies.stream);
    let reached = copies.machines.len();
    let detail = format!("{reached} of {} copies on {reached} machines", copies.wanted);
    if reached >= copies.wanted {
        return Finding::passed(Check::Copies, subject, detail);
    }
    Finding::failed(Check::Copies, subject, format!("{detail}: {}", copies.missing.join(", ")))
}

async fn counted(target: &Target<'_>, connections: &Connections) -> Vec<Copies> {
    let (Some(objects), Some(client)) = (&target.desired.cluster, connections.of(&Scope::Cluster)) else {
        return vec![];
    };
    let mut all = vec![];
    for config in &objects.streams {
        let mut copies = Copies {
            stream: config.name.clone(),
            wanted: usize::try_from(config.num_replicas).unwrap_or(1),
            machines: BTreeSet::new(),
            missing: vec![],
        };
        match objects::stream(client, &config.name).await {
            Ok(info) => replicas(&info, &mut copies),
            Err(failure) => copies.missing.push(failure.to_string()),
        }
        keepers(target, connections, &mut copies).await;
        all.push(copies);
    }
    all
}

fn replicas(info: &StreamInfo, copies: &mut Copies) {
    let Some(cluster) = &info.cluster else {
        copies.machines.insert("the only member".into());
        return;
    };
    if cluster.leader.is_empty() {
        copies.missing.push("it has no leader".into());
    } else {
        copies.machines.insert(cluster.leader.clone());
    }
    for replica in &cluster.replicas {
        if replica.current && !replica.offline {
            copies.machines.insert(replica.name.clone());
        } else {
            copies.missing.push(format!(
                "the replica on {} is {}",
                replica.name,
                if replica.offline { "offline" } else { "behind" }
            ));
        }
    }
}

/// Mirrors of the stream on leaves.
async fn keepers(target: &Target<'_>, connections: &Connections, copies: &mut Copies) {
    let api = plan::domain_of(target.desired, &Scope::Cluster).map(|domain| format!("$JS.{domain}.API"));
    for (scope, objects) in plan::scopes(target.desired) {
        let Scope::Machine(machine) = &scope else { continue };
        for keeper in &objects.streams {
            let Some(mirror) = &keeper.mirror else { continue };
            let from_here = mirror.external.as_ref().map(|external| &external.api) == api.as_ref();
            if from_here && mirror.name == copies.stream {
                copies.wanted += 1;
                let seen = match connections.of(&scope) {
                    Some(client) => objects::stream(client, &keeper.name).await.map_err(|failure| failure.to_string()),
                    None => Err("not connected".into()),
                };
                keep(machine, seen, copies);
            }
        }
    }
}

fn keep(machine: &MachineName, seen: Result<StreamInfo, String>, copies: &mut Copies) {
    match seen.map(|info| info.mirror) {
        Ok(Some(mirror)) if mirror.active >= 0 && mirror.lag == 0 => drop(copies.machines.insert(machine.to_string())),
        Ok(Some(mirror)) if mirror.active >= 0 => {
            copies.missing.push(format!("the keeper on {machine} lags {} messages", mirror.lag))
        }
        Ok(_) => copies.missing.push(format!("the keeper on {machine} has heard nothing yet")),
        Err(why) => copies.missing.push(format!("the keeper on {machine}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(json: serde_json::Value) -> StreamInfo {
        let mut whole = serde_json::json!({
            "config": { "name": "EVT", "retention": "limits", "discard": "new", "storage": "file" },
            "state": { "messages": 1 },
        });
        for (key, value) in json.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn only_current_copies_on_distinct_machines_count() {
        let mut copies = Copies { stream: "EVT".into(), wanted: 3, machines: BTreeSet::new(), missing: vec![] };
        let seen = serde_json::json!({ "cluster": { "leader": "oak", "replicas": [
            { "name": "ash", "current": true }, { "name": "elm", "current": false }, { "name": "oak", "current": true },
        ]}});
        replicas(&info(seen), &mut copies);
        assert_eq!(copies.machines, ["ash".to_owned(), "oak".to_owned()].into());
        assert_eq!(copies.missing, ["the replica on elm is behind"]);
        let desk = MachineName::parse("desk").unwrap();
        for (lag, active) in [(7, 0), (0, -1)] {
            keep(
                &desk,
                Ok(info(serde_json::json!({ "mirror": { "name": "EVT", "lag": lag, "active": active } }))),
                &mut copies,
            );
        }
        assert_eq!(copies.machines.len(), 2);
        keep(&desk, Ok(info(serde_json::json!({ "mirror": { "name": "EVT", "lag": 0, "active": 5 } }))), &mut copies);
        assert!(copies.machines.contains("desk"));
    }
}
