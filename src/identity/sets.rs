//! The permission set that each kind of user needs, and no more. Every line was taken away once on real servers to see
//! what fails, and every attack that it must stop was tried (`tests/identity.rs`, `docs/identity.md`).
//!
//! Refuses: knowing how a domain is laid out. What is sourced, mirrored, pulled and asked comes from the caller.

use super::permissions::{Permissions, Rules};
use crate::name::{ConsumerName, MachineName, StreamName, Subject, SubjectPattern};
use std::collections::BTreeSet;

/// Everything that crosses the link between one leaf and the cluster.
#[derive(Clone, Debug)]
pub struct HubLink {
    pub machine: MachineName,
    /// The cluster's JetStream domain.
    pub hub: String,
    /// Streams of this leaf that the cluster sources.
    pub sourced: BTreeSet<StreamName>,
    /// Streams of the cluster that this leaf mirrors or sources.
    pub mirrored: BTreeSet<StreamName>,
    /// Streams of the cluster that Leafwright reads on this machine, now and then.
    pub read: BTreeSet<StreamName>,
    /// Consumers on the cluster from which this leaf's services pull.
    pub pulls: BTreeSet<(StreamName, ConsumerName)>,
    /// Queries that are asked on this machine.
    pub queries_sent: BTreeSet<Subject>,
    /// Queries that are answered on this machine.
    pub queries_received: BTreeSet<Subject>,
    /// Who asks the queries that are answered here, on any machine: names of services and persons, as in their inbox prefix.
    pub askers: BTreeSet<String>,
}

/// Where the cluster lets a leaf deliver what it sources: `external.deliver` of the source.
/// With nats-server's default all leaves share `$JS.S.>`, and one could write into the aggregate in the name of another.
pub fn source_delivery(leaf: &MachineName) -> String {
    format!("$JS.S.{leaf}")
}

/// Where the cluster delivers what a leaf mirrors: `external.deliver` of the mirror.
/// With nats-server's default all leaves share `$JS.M.>`, and one could read what another mirrors.
pub fn mirror_delivery(leaf: &MachineName) -> String {
    format!("$JS.M.{leaf}")
}

/// What a leaf asks the cluster to see that its link carries: JetStream's account information, which every member answers.
pub fn link_check(hub: &str) -> String {
    format!("$JS.{hub}.API.INFO")
}

/// Reading a stream of the cluster from its beginning: by a consumer of the leaf's own name, made anew each time.
/// Never by direct get: its answer goes wherever the question says, `$JS.API.STREAM.DELETE.EVT` too, and is obeyed there (measured).
/// What a consumer delivers gets to no API, and to a stream only as a copy of what that has.
pub fn reading(hub: &str, stream: &StreamName, leaf: &MachineName) -> [String; 3] {
    ["CREATE", "MSG.NEXT", "DELETE"].map(|call| format!("$JS.{hub}.API.CONSUMER.{call}.{stream}.{leaf}"))
}

/// The inbox prefix of a user on a machine: a service's or person's name, or `provisioner`.
pub fn inbox(machine: &MachineName, who: &str) -> String {
    format!("_INBOX.{machine}.{who}")
}

/// The hub credential of a leaf: a JWT user of the cluster, connection type LEAFNODE.
/// `publish` is from leaf to cluster, `subscribe` from cluster to leaf.
pub fn hub_credential(link: &HubLink) -> Permissions {
    let HubLink { machine, hub, .. } = link;
    // A generation is committed only after the domain has answered over the link. `INFO` tells the account's own totals.
    let mut publish = BTreeSet::from([link_check(hub)]);
    let mut subscribe = BTreeSet::from([format!("_INBOX.{machine}.>")]);
    if !link.sourced.is_empty() {
        publish.insert("$JSC.R.*".to_owned());
        publish.insert(format!("{}.>", source_delivery(machine)));
        // A wildcard subscription of the leaf must be covered whole: its API is one subscription, so it cannot be narrowed here.
        subscribe.insert(format!("$JS.{machine}.API.>"));
        subscribe.extend(link.sourced.iter().map(|stream| format!("$JS.FC.{stream}.>")));
    }
    for stream in &link.mirrored {
        publish.insert(format!("$JS.{hub}.API.CONSUMER.CREATE.{stream}"));
        publish.insert(format!("$JS.{hub}.API.CONSUMER.CREATE.{stream}.>"));
        publish.insert(format!("$JS.FC.{stream}.>"));
        subscribe.insert("$JSC.R.*".to_owned());
        subscribe.insert(format!("{}.>", mirror_delivery(machine)));
    }
    publish.extend(link.read.iter().flat_map(|stream| reading(hub, stream, machine)));
    for (stream, consumer) in &link.pulls {
        publish.extend(pull(hub, stream, consumer));
    }
    publish.extend(link.queries_sent.iter().map(Subject::to_string));
    if !link.queries_received.is_empty() {
        publish.extend(link.askers.iter().map(|who| format!("_INBOX.*.{who}.>")));
    }
    subscribe.extend(link.queries_received.iter().map(Subject::to_string));
    permissions(publish, subscribe)
}

/// What a service of a machine says and hears.
#[derive(Clone, Debug)]
pub struct ServiceTalk {
    pub machine: MachineName,
    pub service: String,
    /// Subjects of the messages that it sends, of any kind.
    pub sends: BTreeSet<Subject>,
    /// Subjects of the queries that it answers.
    pub answers: BTreeSet<Subject>,
    /// The JetStream domain, stream and consumer of the work that it pulls. The domain is `None` where
    /// the stream is on this very machine.
    pub pulls: BTreeSet<(Option<String>, StreamName, ConsumerName)>,
}

/// A service: an NKey user of its machine's leaf.
pub fn service(talk: &ServiceTalk) -> Permissions {
    let mut publish: BTreeSet<String> = talk.sends.iter().map(Subject::to_string).collect();
    for (domain, stream, consumer) in &talk.pulls {
        match domain {
            Some(domain) => publish.extend(pull(domain, stream, consumer)),
            None => publish.extend(pull_here(stream, consumer)),
        }
    }
    let mut subscribe: BTreeSet<String> = talk.answers.iter().map(Subject::to_string).collect();
    subscribe.insert(format!("{}.>", inbox(&talk.machine, &talk.service)));
    Permissions { allow_responses: (!talk.answers.is_empty()).then_some(1), ..permissions(publish, subscribe) }
}

/// A person on a machine: what its roles say, and its own inbox.
pub fn person(
    machine: &MachineName,
    who: &str,
    publish: &BTreeSet<SubjectPattern>,
    subscribe: &BTreeSet<SubjectPattern>,
) -> Permissions {
    let texts =
        |patterns: &BTreeSet<SubjectPattern>| patterns.iter().map(SubjectPattern::to_string).collect::<BTreeSet<_>>();
    let mut hears = texts(subscribe);
    hears.insert(format!("{}.>", inbox(machine, who)));
    permissions(texts(publish), hears)
}

/// Leafwright itself on one machine's leaf: everything in the leaf's account. What it may do on the cluster through the
/// link is bounded by the hub credential all the same.
pub fn local_provisioner() -> Permissions {
    Permissions { publish: Rules::everything(), subscribe: Rules::everything(), allow_responses: None }
}

/// Leafwright itself on the cluster: everything in the domain's account.
pub fn provisioner() -> Permissions {
    Permissions { publish: Rules::everything(), subscribe: Rules::everything(), allow_responses: None }
}

/// The system account's user: asks servers and hears their answers; it says nothing as a server.
pub fn system() -> Permissions {
    let subjects = |list: &[&str]| list.iter().map(|subject| (*subject).to_owned()).collect();
    permissions(subjects(&["$SYS.REQ.>"]), subjects(&["$SYS.>", "_INBOX.>"]))
}

/// Pulling from one consumer of a stream in another JetStream domain, and acknowledging what came.
fn pull(domain: &str, stream: &StreamName, consumer: &ConsumerName) -> [String; 3] {
    [
        format!("$JS.{domain}.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        format!("$JS.{domain}.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.ACK.{stream}.{consumer}.>"),
    ]
}

/// The same in the JetStream domain of the server that the client talks to.
fn pull_here(stream: &StreamName, consumer: &ConsumerName) -> [String; 3] {
    [
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
        format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        format!("$JS.ACK.{stream}.{consumer}.>"),
    ]
}

fn permissions(publish: BTreeSet<String>, subscribe: BTreeSet<String>) -> Permissions {
    let rules = |allow| Rules { allow, deny: BTreeSet::new() };
    Permissions { publish: rules(publish), subscribe: rules(subscribe), allow_responses: None }
}
