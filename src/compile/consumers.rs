//! The durable consumers that must be: one for each service type and each stream that it works from.
//!
//! Refuses: consumers that a service makes for itself (whoever may create a consumer can have the server publish anywhere).

use super::jetstream::ConsumerConfig;
use super::layout;
use super::link::Linked;
use crate::declare::MessageKind;
use crate::diag::Spanned;
use crate::name::{Duration, MachineName, ServiceName, StreamName};
use crate::resolve::{Cluster, Machine, Message, Part};
use std::collections::{BTreeMap, BTreeSet};

type Made = Vec<Spanned<(StreamName, ConsumerConfig)>>;

/// How often and how long: the cluster's `commands.*`, or these where there is no cluster that could say.
#[derive(Clone, Copy)]
struct Patience {
    ack_wait: u64,
    max_deliver: i64,
    replicas: u32,
}

const ALONE: Patience = Patience { ack_wait: Duration::secs(30).as_nanos(), max_deliver: 5, replicas: 0 };

/// On the cluster: every contract of the domain, whether or not a machine runs it today; a position must outlive its service.
pub fn of_cluster(linked: &Linked<'_>, cluster: &Cluster) -> Made {
    let commands = &cluster.options.commands;
    let patience =
        Patience { ack_wait: commands.ack_wait.as_nanos(), max_deliver: i64::from(commands.max_deliver), replicas: 0 };
    let contracts: BTreeSet<&ServiceName> = linked.domain.services.keys().collect();
    // On the cluster no stream is named after a machine; the cluster's name stands in.
    all(linked, contracts, &cluster.name, patience)
}

/// On a machine that stands alone: the contracts of its own services.
pub fn of_leaf(linked: &Linked<'_>, machine: &Machine) -> Made {
    if machine.part == Part::Member || linked.domain.cluster.is_some() {
        return vec![];
    }
    let contracts = machine.options.services.values().map(|service| &service.contract).collect();
    let mut made = all(linked, contracts, &machine.name, ALONE);
    // Without senders or an event store the stream is not there to work from.
    let streams: BTreeSet<String> =
        super::streams::of_leaf(linked, machine).into_iter().map(|stream| stream.value.name).collect();
    made.retain(|consumer| streams.contains(consumer.value.0.as_str()));
    made
}

fn all(linked: &Linked<'_>, contracts: BTreeSet<&ServiceName>, machine: &MachineName, patience: Patience) -> Made {
    let mut made = vec![];
    for contract in contracts {
        let Some(declared) = linked.domain.services.get(contract) else { continue };
        let commands = linked.receives(contract, MessageKind::Command);
        if !commands.is_empty() {
            let stream = layout::stream(&linked.commands_stream(machine));
            made.push(Spanned::new((stream, consumer(contract, &commands, patience)), declared.origin));
        }
        let events = linked.receives(contract, MessageKind::Event);
        if !events.is_empty() {
            // An event that cannot be handled is not a dead letter: it happened. It is tried for ever.
            let patience = Patience { max_deliver: -1, ..patience };
            for stream in linked.events_streams(machine) {
                let stream = layout::stream(&stream);
                made.push(Spanned::new((stream, consumer(contract, &events, patience)), declared.origin));
            }
        }
    }
    made
}

fn consumer(contract: &ServiceName, messages: &[&Message], patience: Patience) -> ConsumerConfig {
    let subjects: BTreeSet<String> = messages.iter().map(|message| message.subject.to_string()).collect();
    let mut subjects: Vec<String> = subjects.into_iter().collect();
    // One filter is a field of its own; nats-server returns what it was given, so one spelling is kept.
    let single = if subjects.len() == 1 { subjects.pop() } else { None };
    ConsumerConfig {
        durable_name: layout::consumer(contract).to_string(),
        name: Some(contract.to_string()),
        description: None,
        deliver_policy: "all".to_owned(),
        ack_policy: "explicit".to_owned(),
        ack_wait: patience.ack_wait,
        max_deliver: if patience.max_deliver == 0 { -1 } else { patience.max_deliver },
        backoff: vec![],
        filter_subject: single.unwrap_or_default(),
        filter_subjects: subjects,
        replay_policy: "instant".to_owned(),
        max_ack_pending: 1000,
        max_waiting: 512,
        num_replicas: patience.replicas,
        metadata: BTreeMap::from([("leafwright".to_owned(), "managed".to_owned())]),
    }
}
