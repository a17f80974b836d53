//! Sources that were tried before their origin was linked are tried again at once.
//!
//! A stream of the cluster asks its origins when its leader is elected. Where an origin was not linked yet the request is lost, and
//! nats-server (`stream.go`, `setupSourceConsumer`) waits half a minute and more before it asks again. A new leader asks at once,
//! so the leader of such a stream is asked to step down: nothing changes but who leads.
//!
//! Refuses: more than one attempt. A stream that stays silent is `verify`'s to report.

use crate::compile::Desired;
use crate::host::jetstream::JetStream;
use crate::plan::{self, Scope};
use anyhow::Result;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    /// Nanoseconds since something was heard; -1 when nothing ever was.
    active: i64,
}

/// Asks the leaders of silent streams to step down.
pub async fn silent_sources(desired: &Desired, handles: &BTreeMap<Scope, JetStream>) -> Result<()> {
    let (Some(objects), Some(cluster)) = (&desired.cluster, handles.get(&Scope::Cluster)) else { return Ok(()) };
    let sourcing = objects.streams.iter().filter(|config| !config.sources.is_empty() && config.num_replicas > 1);
    for config in sourcing {
        let info: Info = cluster.request(&format!("STREAM.INFO.{}", config.name), &Value::Null).await?;
        // One whose machine does not run stays silent, whoever leads.
        let here = config.sources.iter().filter(|source| plan::home(desired, &Scope::Cluster, source).is_some());
        let here: BTreeSet<&str> = here.map(|source| source.name.as_str()).collect();
        if info.sources.iter().any(|source| source.active < 0 && here.contains(source.name.as_str())) {
            // Refused while an election runs: then there is a new leader anyway.
            let _answer =
                cluster.request::<Value>(&format!("STREAM.LEADER.STEPDOWN.{}", config.name), &json!({})).await;
        }
    }
    Ok(())
}
