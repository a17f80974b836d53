//! What each user of the domain must be allowed, from contracts, roles and links. The sets themselves are `identity::sets`, measured there.
//!
//! Refuses: knowing keys. Whoever signs or writes configuration asks here first.

use super::layout;
use super::link::Linked;
use crate::declare::MessageKind;
use crate::identity::sets::{self, HubLink, ServiceTalk};
use crate::identity::{ConnectionType, Permissions, UserId};
use crate::name::{
    ConsumerName, MachineName, NKeyPublic, PersonName, ServiceName, StreamName, Subject, SubjectPattern,
};
use crate::resolve::{Domain, Machine, Part, Service};
use std::collections::{BTreeMap, BTreeSet};

/// What a user may do, and how it may connect.
pub type Rights = (Permissions, BTreeSet<ConnectionType>);

/// The rights of every user of the domain.
pub fn of_domain(domain: &Domain) -> BTreeMap<UserId, Rights> {
    let linked = Linked::new(domain);
    let mut rights = of_cluster(&linked);
    for machine in &domain.machines {
        rights.extend(of_machine(&linked, machine));
    }
    rights
}

/// The users that belong to no leaf.
pub fn of_cluster(linked: &Linked<'_>) -> BTreeMap<UserId, Rights> {
    match linked.domain.cluster {
        Some(_) => BTreeMap::from([
            (UserId::Provisioner, client(sets::provisioner())),
            (UserId::System, client(sets::system())),
        ]),
        None => BTreeMap::new(),
    }
}

/// The users of one leaf, and its credential on the cluster. A member has none: its users are the cluster's.
pub fn of_machine(linked: &Linked<'_>, machine: &Machine) -> BTreeMap<UserId, Rights> {
    if machine.part == Part::Member {
        return BTreeMap::new();
    }
    let name = &machine.name;
    let mut rights = BTreeMap::from([(UserId::LocalProvisioner(name.clone()), client(sets::local_provisioner()))]);
    if linked.domain.cluster.is_some() {
        let link = (hub_credential(linked, machine), BTreeSet::from([ConnectionType::Leafnode]));
        rights.insert(UserId::Leaf(name.clone()), link);
    }
    for (service, options) in &machine.options.services {
        let talk = talk(linked, machine, service, options);
        rights.insert(UserId::Service(name.clone(), service.clone()), client(sets::service(&talk)));
    }
    for user in machine.options.users.values() {
        let (publish, subscribe) = of_roles(linked.domain, &user.person);
        let person = sets::person(name, user.person.as_str(), &publish, &subscribe);
        rights.insert(UserId::Person(name.clone(), user.person.clone()), client(person));
    }
    rights
}

fn client(permissions: Permissions) -> Rights {
    (permissions, BTreeSet::from([ConnectionType::Standard]))
}

/// Is this an NKey user of a leaf's own configuration?
pub fn is_local(user: &UserId) -> bool {
    matches!(user, UserId::LocalProvisioner(_) | UserId::Service(..) | UserId::Person(..))
}

/// A person's key is declared by the person, not made with the machine.
pub fn declared_key(domain: &Domain, user: &UserId) -> Option<NKeyPublic> {
    match user {
        UserId::Person(_, person) => domain.people.get(person).and_then(|person| person.nkey.clone()),
        _ => None,
    }
}

/// What a person may do with subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Say,
    Hear,
}

/// The people whose roles allow it, each on the machines that have a user of theirs.
pub fn people_who_may(domain: &Domain, deed: Deed, pattern: &SubjectPattern) -> Vec<(MachineName, PersonName)> {
    let may = |person: &PersonName| {
        let (publish, subscribe) = of_roles(domain, person);
        let allowed = if deed == Deed::Say { publish } else { subscribe };
        allowed.iter().any(|allowed| allowed.covers(pattern))
    };
    let on = |machine: &Machine| {
        let people: BTreeSet<&PersonName> = machine.options.users.values().map(|user| &user.person).collect();
        let may = people.into_iter().filter(|person| may(person)).cloned();
        may.map(|person| (machine.name.clone(), person)).collect::<Vec<_>>()
    };
    domain.machines.iter().flat_map(|machine| on(machine)).collect()
}

/// What the roles of a person allow.
pub(super) fn of_roles(domain: &Domain, person: &PersonName) -> (BTreeSet<SubjectPattern>, BTreeSet<SubjectPattern>) {
    let roles = domain.people.get(person).map_or(&[][..], |person| &person.roles);
    let roles: Vec<_> = roles.iter().filter_map(|role| domain.roles.get(role)).collect();
    let publish = roles.iter().flat_map(|role| role.publish.iter().map(|pattern| pattern.value.clone())).collect();
    let subscribe = roles.iter().flat_map(|role| role.subscribe.iter().map(|pattern| pattern.value.clone())).collect();
    (publish, subscribe)
}

fn talk(linked: &Linked<'_>, machine: &Machine, name: &ServiceName, service: &Service) -> ServiceTalk {
    let domain = linked.work_domain();
    let pulls = work(linked, machine, service).into_iter();
    ServiceTalk {
        machine: machine.name.clone(),
        service: name.to_string(),
        sends: sent(linked, &service.contract, None),
        answers: answered(linked, &service.contract),
        pulls: pulls.map(|(stream, consumer)| (domain.map(str::to_owned), stream, consumer)).collect(),
    }
}

/// The consumers from which a service pulls.
fn work(linked: &Linked<'_>, machine: &Machine, service: &Service) -> BTreeSet<(StreamName, ConsumerName)> {
    let consumer = layout::consumer(&service.contract);
    let mut streams = vec![];
    if !linked.receives(&service.contract, MessageKind::Command).is_empty() {
        streams.push(linked.commands_stream(&machine.name));
    }
    if !linked.receives(&service.contract, MessageKind::Event).is_empty() {
        streams.extend(linked.events_streams(&machine.name));
    }
    streams.into_iter().map(|stream| (layout::stream(&stream), consumer.clone())).collect()
}

/// Subjects of the messages that a contract sends, of one kind or of all.
fn sent(linked: &Linked<'_>, contract: &ServiceName, kind: Option<MessageKind>) -> BTreeSet<Subject> {
    let messages = linked.sends(contract).into_iter().filter_map(|name| linked.domain.messages.get(name));
    messages
        .filter(|message| kind.is_none_or(|kind| message.kind == kind))
        .map(|message| message.subject.clone())
        .collect()
}

fn answered(linked: &Linked<'_>, contract: &ServiceName) -> BTreeSet<Subject> {
    linked.receives(contract, MessageKind::Query).into_iter().map(|message| message.subject.clone()).collect()
}

fn hub_credential(linked: &Linked<'_>, machine: &Machine) -> Permissions {
    let services: Vec<&Service> = machine.options.services.values().map(AsRef::as_ref).collect();
    let queries_received: BTreeSet<Subject> =
        services.iter().flat_map(|service| answered(linked, &service.contract)).collect();
    let asked = services.iter().flat_map(|service| sent(linked, &service.contract, Some(MessageKind::Query)));
    let link = HubLink {
        machine: machine.name.clone(),
        hub: linked.work_domain().unwrap_or_default().to_owned(),
        sourced: linked.drawn_from(machine).iter().map(|stream| layout::stream(stream)).collect(),
        mirrored: mirrored(linked, machine).remove(linked.work_domain().unwrap_or_default()).unwrap_or_default(),
        read: match machine.options.history.read {
            true => linked.histories().iter().map(|stream| layout::stream(stream)).collect(),
            false => BTreeSet::new(),
        },
        pulls: services.iter().flat_map(|service| work(linked, machine, service)).collect(),
        queries_sent: asked.chain(asked_by_people(linked, machine)).collect(),
        askers: linked.askers_of(&queries_received),
        queries_received,
    };
    let mut permissions = sets::hub_credential(&link);
    // Between two leaves the cluster only passes on: one asks for the other's stream as it would ask for the cluster's.
    for (domain, streams) in mirrored(linked, machine) {
        let through = HubLink { hub: domain, mirrored: streams, ..nothing(&machine.name) };
        join(&mut permissions, sets::hub_credential(&through));
    }
    for drawer in linked.drawers_of(machine) {
        permissions.publish.allow.insert(format!("{}.>", sets::mirror_delivery(drawer)));
    }
    permissions
}

/// A link that carries nothing.
fn nothing(machine: &MachineName) -> HubLink {
    HubLink {
        machine: machine.clone(),
        hub: String::new(),
        sourced: BTreeSet::new(),
        mirrored: BTreeSet::new(),
        read: BTreeSet::new(),
        pulls: BTreeSet::new(),
        queries_sent: BTreeSet::new(),
        queries_received: BTreeSet::new(),
        askers: BTreeSet::new(),
    }
}

fn join(permissions: &mut Permissions, more: Permissions) {
    permissions.publish.allow.extend(more.publish.allow);
    permissions.subscribe.allow.extend(more.subscribe.allow);
}

/// Queries that persons on this machine may ask, because a role says so.
fn asked_by_people(linked: &Linked<'_>, machine: &Machine) -> BTreeSet<Subject> {
    let people = machine.options.users.values().map(|user| &user.person);
    let allowed: BTreeSet<SubjectPattern> = people.flat_map(|person| of_roles(linked.domain, person).0).collect();
    let queries = linked.domain.messages.values().filter(|message| message.kind == MessageKind::Query);
    let may = |subject: &Subject| allowed.iter().any(|pattern| pattern.covers(&subject.pattern()));
    queries.map(|message| &message.subject).filter(|subject| may(subject)).cloned().collect()
}

/// The streams that this leaf mirrors or sources, by the JetStream domain that holds them.
fn mirrored(linked: &Linked<'_>, machine: &Machine) -> BTreeMap<String, BTreeSet<StreamName>> {
    let mut mirrored: BTreeMap<String, BTreeSet<StreamName>> = BTreeMap::new();
    for stream in super::streams::of_leaf(linked, machine) {
        for source in stream.value.sources.iter().chain(&stream.value.mirror) {
            if let Some(domain) = source.external.as_ref().and_then(|external| super::link::domain_of(&external.api)) {
                mirrored.entry(domain.to_owned()).or_default().insert(layout::stream(&source.name));
            }
        }
    }
    mirrored
}

/// Who may ask which query: the names as they stand in inbox prefixes. Computed once for a domain.
pub fn askers(domain: &Domain, linked: &Linked<'_>) -> BTreeMap<Subject, BTreeSet<String>> {
    let mut askers: BTreeMap<Subject, BTreeSet<String>> = BTreeMap::new();
    for machine in &domain.machines {
        for (name, service) in &machine.options.services {
            for subject in sent(linked, &service.contract, Some(MessageKind::Query)) {
                askers.entry(subject).or_default().insert(name.to_string());
            }
        }
        for person in machine.options.users.values().map(|user| &user.person) {
            let (publish, _) = of_roles(domain, person);
            for message in domain.messages.values().filter(|message| message.kind == MessageKind::Query) {
                if publish.iter().any(|pattern| pattern.covers(&message.subject.pattern())) {
                    askers.entry(message.subject.clone()).or_default().insert(person.to_string());
                }
            }
        }
    }
    askers
}

/// Leafwright's own name in inbox prefixes: it asks each query when it verifies.
pub const PROVISIONER: &str = "provisioner";
