//! Looking without changing: the nats-servers of the last run are started from their own closures, asked, and stopped.
//!
//! Refuses: applying anything. A machine that never ran has nothing, and everything on it is new.

use super::closures::InState;
use super::connect::Opening;
use super::supervise::Family;
use super::up::{Talk, keep_streams, start_servers};
use super::{Prepared, connect};
use crate::apply::journal::{self, Journal};
use crate::apply::live::Live;
use crate::compile::{Compiled, Desired};
use crate::host::world::World as _;
use crate::plan::{self, Observed, Plan};
use anyhow::Result;
use std::path::Path;

/// The plan that `up` would carry out.
pub async fn look(prepared: &Prepared, nats_server: &Path, talk: &(dyn Talk + Sync)) -> Result<Plan> {
    let Prepared { state, compiled, sources, .. } = prepared;
    keep_streams(prepared)?;
    let made = Journal::open(&state.journal())?.made();
    let there = with_closures(prepared);
    if there.servers.is_empty() {
        let nothing = Observed { made, ..Observed::default() };
        return Ok(plan::between(&compiled.desired, &nothing, sources));
    }
    let mut family = Family::default();
    start_servers(prepared, &there, nats_server, &mut family, talk).await?;
    let running = Compiled { desired: there.clone(), ..compiled.clone() };
    let jetstreams = connect::all(&running, &prepared.store, &prepared.identity).await?;
    let closures = InState { state, compiled, sources };
    let mut world = Live::new(&there, closures, jetstreams, made);
    let observed = world.observe().await?;
    family.stop().await?;
    Ok(plan::between(&compiled.desired, &observed, sources))
}

/// The plan against what runs now: nothing is started, nothing is stopped.
pub async fn look_at_running(prepared: &Prepared, opening: Opening) -> Result<Plan> {
    let Prepared { state, compiled, sources, store, identity, .. } = prepared;
    let jetstreams = match opening.those(&connect::ways(&compiled.desired)).await? {
        Some(jetstreams) => jetstreams,
        None => connect::all(compiled, store, identity).await?,
    };
    let made = journal::made_in(&state.journal())?;
    let closures = InState { state, compiled, sources };
    let mut world = Live::new(&compiled.desired, closures, jetstreams, made);
    Ok(plan::between(&compiled.desired, &world.observe().await?, sources))
}

/// What is desired of the machines that have a closure to start from.
fn with_closures(prepared: &Prepared) -> Desired {
    let mut there = prepared.compiled.desired.clone();
    there.servers.retain(|machine, _| prepared.state.current(machine.as_str()).is_some());
    if !there.servers.values().any(|server| server.member) {
        there.cluster = None;
        there.cluster_members.clear();
    }
    there
}
