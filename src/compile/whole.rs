//! The closure of the domain itself: what lives on the cluster and belongs to no single machine.
//!
//! Refuses: repeating what stands in the closures of machines.

use super::artefact::{Artefact, ArtefactKind, Closure};
use super::closure::{artefact, close};
use super::desired::Objects;
use super::link::Linked;
use super::{behind, consumers, layout, machine, permissions, streams};
use crate::diag::Report;
use crate::identity::PublicIdentity;
use crate::resolve::Cluster;

pub fn compile(linked: &Linked<'_>, identity: &PublicIdentity, report: &mut Report) -> Closure {
    let domain = linked.domain;
    let mut artefacts = vec![];
    if let Some(cluster) = &domain.cluster {
        let streams = streams::of_cluster(linked, cluster);
        let consumers = consumers::of_cluster(linked, cluster);
        artefacts.extend(machine::data(streams, consumers, cluster.origin));
        artefacts.push(machine::rights_as_data(&permissions::of_cluster(linked), vec![cluster.origin]));
        artefacts.extend(machine::event_sets(linked, &domain.domain_events));
        artefacts.extend(accounts(linked, identity));
    }
    let closure = close(layout::DOMAIN, artefacts, report);
    report.absorb(super::leaks(&closure));
    closure
}

/// The signed JWTs of the operator and its accounts; they are public.
fn accounts(linked: &Linked<'_>, identity: &PublicIdentity) -> Vec<Artefact> {
    let jwts = [
        ("operator", &identity.operator),
        ("system-account", &identity.system_account),
        ("account", &identity.account),
    ];
    let origin = linked.domain.origin;
    jwts.map(|(name, signed)| {
        artefact(ArtefactKind::AccountJwt, format!("nats/{name}.jwt"), format!("{}\n", signed.jwt), vec![origin])
    })
    .into()
}

/// The typed twin of the domain's closure.
pub fn objects(linked: &Linked<'_>, cluster: &Cluster) -> Objects {
    let seeds = streams::seeds(linked, layout::DOMAIN, &linked.domain.domain_events);
    let objects = machine::objects(
        streams::of_cluster(linked, cluster),
        consumers::of_cluster(linked, cluster),
        seeds,
        cluster.origin,
    );
    behind::with_fields(objects, &cluster.origins, behind::CLUSTER)
}
