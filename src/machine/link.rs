//! The way in to this machine's own nats-server, and over its link to the domain: as the machine's provisioner.
//!
//! Refuses: other machines' servers, and making keys.

use super::history;
use crate::apply::machine::{self, Generation};
use crate::host::door::Door;
use crate::host::endpoint::{Endpoint, Login};
use crate::host::keys::{KeyId, KeyStore};
use crate::host::link::{OverLink, Way};
use crate::host::machine::Home;
use crate::identity::UserId;
use crate::identity::sets::inbox;
use crate::name::MachineName;
use crate::plan::machine::Content;
use crate::plan::machine::gates::{self, Gate, Reach, Seen};
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// `server` is where the machine's nats-server listens; `None` where its provisioner has no key.
pub(super) fn own_server(machine: &MachineName, server: SocketAddr, keys: &KeyStore) -> Result<Option<Endpoint>> {
    let Some(key) = keys.nkey(&KeyId::User(UserId::LocalProvisioner(machine.clone())))? else { return Ok(None) };
    let endpoint = Endpoint::at([server]).login(Login::NKey(key.seed()?));
    Ok(Some(endpoint.inbox(inbox(machine, "provisioner"))))
}

/// What has no link to prove.
pub(super) fn nowhere() -> (OverLink, Reach) {
    (OverLink::new(None), Reach::Machine)
}

/// How far one sees who has a generation and no declarations: a rollback, a boot. By what its closure says of its server.
pub(super) fn of_generation(home: &Home, generation: u64) -> Result<(OverLink, Reach)> {
    // A member of the cluster has no stream of its own, and no user.
    let told = history::histories_of(home, generation)?.filter(|told| told.own.is_some());
    let keys = home.state().join("keys");
    let (Some(told), true) = (told, keys.is_dir()) else { return Ok(nowhere()) };
    let machine = MachineName::parse(&told.machine).ok().context("the closure names no machine")?;
    let Some(endpoint) = own_server(&machine, told.server, &KeyStore::open(&keys)?)? else { return Ok(nowhere()) };
    let reach = if told.hub.is_some() { Reach::Link } else { Reach::Messages };
    Ok((OverLink::new(Some(Way { endpoint, hub: told.hub })), reach))
}

/// Where the server of a generation listens.
pub(super) fn runs_at(home: &Home, generation: u64) -> Option<SocketAddr> {
    history::histories_of(home, generation).ok().flatten().map(|told| told.server)
}

/// How the domain is asked before a change, through the server that runs then; `None` where that cannot be told, and then the new one's way is as good.
pub(super) fn before(home: &Home, generation: u64) -> Option<OverLink> {
    of_generation(home, generation).ok().filter(|(_, reach)| *reach != Reach::Machine).map(|(link, _)| link)
}

/// Names of the gates that do not hold now: what an outage elsewhere does need not be over after the next boot.
pub(super) async fn failing<D: Door>(door: &mut D, gates: &[Gate], old: Option<&Generation>) -> BTreeSet<String> {
    let before = machine::before(door, gates, old).await;
    let fails = before.into_iter().filter(|(_, seen)| matches!(seen, Seen::Fails { .. }));
    fails.map(|(gate, _)| gate.name()).collect()
}

/// What is known after a boot of how things were before it, and how far one may look; `failing` is what was written down.
pub(super) fn before_boot(
    content: &Content,
    failing: Option<&BTreeSet<String>>,
    reach: Reach,
) -> (Vec<Gate>, BTreeMap<Gate, Seen>) {
    // Nobody looked: then the boot must not depend on others.
    let mut gates = gates::of(content, if failing.is_some() { reach } else { Reach::Machine });
    if failing.is_none() {
        gates.retain(|gate| !gates::may_fail_as_before(gate));
    }
    let failed = |gate: &&Gate| failing.is_some_and(|names| names.contains(&gate.name()));
    let seen = Seen::Fails { what: "it did not hold before the boot".to_owned() };
    let before = gates.iter().filter(failed).map(|gate| (gate.clone(), seen.clone())).collect();
    (gates, before)
}
