//! Desired × observed → ordered steps, each with the reason. Data, not side effects; stable order; and then empty.
//!
//! Refuses: I/O, the clock, and leaving a choice to whoever carries the plan out.

mod between;
pub mod consumers;
pub mod machine;
pub mod model;
pub mod observed;
mod order;
pub mod render;
pub mod rules;
mod seeds;
pub mod streams;
mod units;

pub use between::between;
pub use model::{Action, Because, Change, Class, FORMAT, FieldChange, Object, Plan, Remedy, Scope, Step, Undeclared};
pub use observed::{Observed, ObservedConsumer, ObservedObjects, ObservedServer, ObservedStream, StoredSeed};

use crate::compile::Desired;
use crate::compile::desired::Objects;
use crate::compile::jetstream::StreamSource;

/// Every place where JetStream objects live, in the order in which steps go: leaves first (they are the origins), then the cluster.
pub fn scopes(desired: &Desired) -> impl Iterator<Item = (Scope, &Objects)> {
    let machines = desired.servers.values().filter(|server| !server.member);
    machines
        .map(|server| (Scope::Machine(server.machine.clone()), &server.objects))
        .chain(desired.cluster.iter().map(|objects| (Scope::Cluster, objects)))
}

/// The JetStream domain of a scope; `None` when no server of it is among the desired ones.
pub fn domain_of<'a>(desired: &'a Desired, scope: &Scope) -> Option<&'a str> {
    let server = match scope {
        Scope::Machine(machine) => desired.servers.get(machine.as_str()),
        Scope::Cluster => desired.servers.values().find(|server| server.member),
    };
    server.map(|server| server.domain.as_str())
}

/// The JetStream domain that a source names; `None` where it draws from its own.
pub fn domain_named(source: &StreamSource) -> Option<&str> {
    source.external.as_ref()?.api.strip_prefix("$JS.")?.strip_suffix(".API")
}

/// Where the origin of a stream's source lives; `None` where its machine is not among the desired ones.
pub fn home(desired: &Desired, scope: &Scope, source: &StreamSource) -> Option<Scope> {
    if source.external.is_none() {
        return Some(scope.clone());
    }
    let domain = domain_named(source)?;
    scopes(desired).map(|(scope, _)| scope).find(|scope| domain_of(desired, scope) == Some(domain))
}
