//! The closure of one machine, artefact by artefact, and its typed twin for the planner.
//!
//! Refuses: looking at other machines, except through what `Linked` says of them.

use super::artefact::{Artefact, ArtefactKind, Closure};
use super::canonical::{self, Dialect, Printed};
use super::closure::{artefact, close, digest_of};
use super::desired::{DesiredServer, Objects, Seed, ServiceProcess};
use super::jetstream::{ConsumerConfig, StreamConfig};
use super::link::Linked;
use super::nats_server::Inputs;
use super::permissions::Rights;
use super::units::{self, Triggers};
use super::{
    accounts, behind, consumers, credentials, effects, environment, events, files, gates, history, nats_server,
    packages, permissions, streams,
};
use crate::diag::{Code, Diagnostic, Report, Span, Spanned};
use crate::identity::{PublicIdentity, UserId};
use crate::name::{ServiceName, StreamName};
use crate::resolve::{Machine, Origins, Part};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub fn compile(linked: &Linked<'_>, machine: &Machine, identity: &PublicIdentity, report: &mut Report) -> Closure {
    let rights = permissions::of_machine(linked, machine);
    let mut artefacts = vec![];
    let mut triggers = Triggers::default();
    let inputs = Inputs { linked, machine, identity, rights: &rights };
    artefacts.extend(server(&inputs, &mut triggers, report));
    artefacts.extend(environments(linked, machine, &mut triggers, report));
    artefacts.extend(unit_files(linked, machine, &triggers, report));
    artefacts.extend(host_files(linked, machine, report));
    artefacts.extend(objects_as_data(linked, machine, &rights));
    artefacts.extend(declared(linked, machine, report));
    artefacts.extend(certificates(machine, identity));
    artefacts.extend(leaf_jwt(machine, identity));
    close(machine.name.as_str(), artefacts, report)
}

fn server(inputs: &Inputs<'_>, triggers: &mut Triggers, report: &mut Report) -> Option<Artefact> {
    let machine = inputs.machine;
    let printed = nats_server::print(inputs, report)?;
    let value = serde_json::from_str(&printed.text).unwrap_or_default();
    triggers.nats_reload = digest_of(printed.text.as_bytes());
    triggers.nats_restart = digest_of(canonical::compact(&effects::restart_part(&value)).as_bytes());
    Some(server_artefact(machine, printed))
}

fn server_artefact(machine: &Machine, printed: Printed) -> Artefact {
    let lines = printed.paths.iter().map(|path| nats_server::origin(machine, path)).collect();
    let origins = vec![machine.origin];
    let config = artefact(ArtefactKind::NatsServerConfig, below(units::CONFIG), printed.text, origins);
    Artefact { lines, ..config }
}

/// A configuration of nats-server like this machine's, printed like it, with where each line was declared: for whoever tries one.
pub fn server_like(machine: &Machine, config: &Value) -> Option<Artefact> {
    let printed = canonical::print(config, Dialect::NatsServer).ok()?;
    Some(server_artefact(machine, printed))
}

/// An absolute path as it stands below the closure.
fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn environments(linked: &Linked<'_>, machine: &Machine, triggers: &mut Triggers, report: &mut Report) -> Vec<Artefact> {
    let mut made = vec![];
    for (name, service) in units::services(machine) {
        let origin = units::service_origin(machine, name);
        match environment::print(&environment::of_service(linked, machine, name, service)) {
            Ok(text) => {
                triggers.environments.insert(name.clone(), digest_of(text.as_bytes()));
                made.push(artefact(
                    ArtefactKind::Environment,
                    environment::path(name),
                    text,
                    with_contract(linked, &service.contract, origin),
                ));
            }
            Err(fault) => {
                report.push(Diagnostic::error(Code(702), origin, fault).label("ends up in an environment file"))
            }
        }
    }
    made
}

/// A service's environment comes from its settings and from its contract.
fn with_contract(linked: &Linked<'_>, contract: &ServiceName, origin: Span) -> Vec<Span> {
    let contract = linked.domain.services.get(contract).map(|contract| contract.origin);
    std::iter::once(origin).chain(contract).collect()
}

fn unit_files(linked: &Linked<'_>, machine: &Machine, triggers: &Triggers, report: &mut Report) -> Vec<Artefact> {
    let mut made = vec![];
    for file in units::of_machine(linked, machine, triggers, report) {
        let Some((text, lines)) = units::print(&file, machine, report) else { continue };
        let mut origins = lines.clone();
        origins.sort();
        origins.dedup();
        let path = format!("lib/systemd/system/{}", file.name);
        made.push(Artefact { lines, ..artefact(ArtefactKind::Unit, path, text, origins) });
    }
    made
}

fn host_files(linked: &Linked<'_>, machine: &Machine, report: &mut Report) -> Vec<Artefact> {
    let credentials = credentials::of_machine(linked, machine);
    let origin = machine.origins.of("leaf.store").unwrap_or(machine.origin);
    let mut made = vec![artefact(
        ArtefactKind::Credentials,
        "credentials.json",
        credentials::print(&credentials),
        vec![machine.origin],
    )];
    let texts = [
        (ArtefactKind::Sysusers, "lib/sysusers.d/leafwright.conf", accounts::sysusers(machine)),
        (ArtefactKind::Tmpfiles, "lib/tmpfiles.d/leafwright.conf", accounts::tmpfiles(&credentials)),
    ];
    for (kind, path, text) in texts {
        match text {
            Ok(text) => made.push(artefact(kind, path, text, vec![origin])),
            Err(fault) => report.push(Diagnostic::error(Code(702), origin, fault)),
        }
    }
    made
}

/// Streams, consumers, permissions and events, as data that the planner and people read.
fn objects_as_data(linked: &Linked<'_>, machine: &Machine, rights: &BTreeMap<UserId, Rights>) -> Vec<Artefact> {
    let mut made = data(streams::of_leaf(linked, machine), consumers::of_leaf(linked, machine), machine.origin);
    made.push(rights_as_data(rights, vec![machine.origin]));
    let histories = history::print(&history::of_machine(linked, machine));
    made.push(artefact(ArtefactKind::History, history::PATH, histories, vec![machine.origin]));
    if machine.part == Part::Leaf {
        made.extend(event_sets(linked, &machine.events));
    }
    made
}

pub fn data(
    streams: Vec<Spanned<StreamConfig>>,
    consumers: Vec<Spanned<(StreamName, ConsumerConfig)>>,
    fallback: Span,
) -> Vec<Artefact> {
    #[derive(Serialize)]
    struct OnStream {
        stream: StreamName,
        config: ConsumerConfig,
    }
    let (streams, mut stream_origins) = split(streams);
    let (consumers, mut consumer_origins) = split(consumers);
    let consumers: Vec<_> = consumers.into_iter().map(|(stream, config)| OnStream { stream, config }).collect();
    stream_origins.push(fallback);
    consumer_origins.push(fallback);
    vec![
        artefact(ArtefactKind::Streams, "nats/streams.json", json(&streams), stream_origins),
        artefact(ArtefactKind::Consumers, "nats/consumers.json", json(&consumers), consumer_origins),
    ]
}

fn split<T>(spanned: Vec<Spanned<T>>) -> (Vec<T>, Vec<Span>) {
    spanned.into_iter().map(|one| (one.value, one.span)).unzip()
}

fn json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    // Our own structs have no absent values: they leave them out.
    canonical::print(&value, Dialect::Json)
        .map(|printed| printed.text)
        .unwrap_or_else(|fault| unreachable!("{fault:?}"))
}

pub fn rights_as_data(rights: &BTreeMap<UserId, Rights>, origins: Vec<Span>) -> Artefact {
    #[derive(Serialize)]
    struct Row<'a> {
        publish: &'a crate::identity::Rules,
        subscribe: &'a crate::identity::Rules,
        #[serde(skip_serializing_if = "Option::is_none")]
        allow_responses: Option<u32>,
        connections: &'a std::collections::BTreeSet<crate::identity::ConnectionType>,
    }
    let rows: BTreeMap<String, Row<'_>> = rights
        .iter()
        .map(|(user, (permissions, connections))| {
            let row = Row {
                publish: &permissions.publish,
                subscribe: &permissions.subscribe,
                allow_responses: permissions.allow_responses,
                connections,
            };
            (user.to_string(), row)
        })
        .collect();
    artefact(ArtefactKind::Permissions, "nats/permissions.json", json(&rows), origins)
}

pub fn event_sets(linked: &Linked<'_>, sets: &[crate::name::EventSetName]) -> Vec<Artefact> {
    let sets = sets.iter().filter_map(|name| linked.domain.events.get(name));
    sets.map(|set| {
        artefact(ArtefactKind::Events, format!("events/{}.jsonl", set.name), events::print(set), vec![set.origin])
    })
    .collect()
}

/// Files, gates and packages: what a machine declares item by item.
pub fn declared(linked: &Linked<'_>, machine: &Machine, report: &mut Report) -> Vec<Artefact> {
    let files = files::of_machine(machine, report).into_iter();
    let files = files.map(|file| Artefact {
        mode: file.mode,
        ..artefact(ArtefactKind::File, file.path, file.text, vec![file.origin])
    });
    files.chain(gates::of_machine(linked, machine, report)).chain(packages::of_machine(machine, report)).collect()
}

/// Is there anything of that kind?
pub fn declares(machine: &Machine) -> bool {
    let options = &machine.options;
    !(options.files.is_empty() && options.gates.is_empty() && options.packages.is_empty())
}

/// The CA's certificate, and that of a member's own server.
fn certificates(machine: &Machine, identity: &PublicIdentity) -> Vec<Artefact> {
    let place = |option: &str| machine.origins.of(option).unwrap_or(machine.origin);
    let put =
        |path: String, pem: &str, option: &str| artefact(ArtefactKind::Certificate, path, pem, vec![place(option)]);
    let options = &machine.options;
    let mut made = vec![put(etc(&options.leaf.ca, "ca.pem"), &identity.ca, "leaf.ca")];
    if let Some(certificate) = identity.certificates.get(&machine.name) {
        made.push(put(etc(&options.cluster.certificate, "server.pem"), &certificate.pem, "cluster.certificate"));
    }
    made
}

/// The public half of the hub credential. The machine has the private one and makes the creds file of both.
fn leaf_jwt(machine: &Machine, identity: &PublicIdentity) -> Option<Artefact> {
    let jwt = identity.users.get(&UserId::Leaf(machine.name.clone()))?.jwt.as_deref()?;
    let origin = machine.origins.of("leaf.credentials").unwrap_or(machine.origin);
    Some(artefact(ArtefactKind::UserJwt, credentials::LEAF_JWT, format!("{jwt}\n"), vec![origin]))
}

/// Where a file of the configuration stands in the closure: at its own path if that is below `/etc`, else by its usual name.
fn etc(path: &str, usual: &str) -> String {
    let own = path.starts_with("/etc/") && !path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
    if own { below(path).to_owned() } else { format!("etc/leafwright/{usual}") }
}

/// What the planner compares with the world.
pub fn desired(linked: &Linked<'_>, machine: &Machine, closure: &Closure) -> DesiredServer {
    let leaf = &machine.options.leaf;
    let seeds = match machine.part {
        Part::Member => vec![],
        Part::Leaf => streams::seeds(linked, machine.name.as_str(), &machine.events),
    };
    DesiredServer {
        machine: machine.name.clone(),
        closure_digest: closure.digest.clone(),
        closure_files: super::closure::files(closure),
        listen: leaf.listen,
        monitor: leaf.monitor,
        domain: leaf.domain.clone(),
        member: machine.part == Part::Member,
        objects: behind::with_fields(
            objects(streams::of_leaf(linked, machine), consumers::of_leaf(linked, machine), seeds, machine.origin),
            &machine.origins,
            behind::LEAF,
        ),
        processes: processes(linked, machine),
    }
}

/// The objects of one JetStream domain, and where each was declared.
pub fn objects(
    streams: Vec<Spanned<StreamConfig>>,
    consumers: Vec<Spanned<(StreamName, ConsumerConfig)>>,
    seeds: Vec<Seed>,
    fallback: Span,
) -> Objects {
    let placed = streams.iter().map(|stream| (stream.value.name.to_string(), stream.span));
    let places = placed.chain(consumers.iter().map(|consumer| {
        let (stream, config) = &consumer.value;
        (format!("{stream}.consumers.{}", config.durable_name), consumer.span)
    }));
    let origins = Origins { places: Arc::new(places.collect()), base: Arc::default(), fallback: Some(fallback) };
    Objects { streams: split(streams).0, consumers: split(consumers).0, seeds, origins }
}

fn processes(linked: &Linked<'_>, machine: &Machine) -> Vec<ServiceProcess> {
    let mut processes = vec![];
    for (name, service) in units::services(machine) {
        let mut environment = environment::of_service(linked, machine, name, service);
        environment
            .insert("NATS_NKEY_SEED_FILE".to_owned(), format!("$CREDENTIALS_DIRECTORY/{}", environment::CREDENTIAL));
        for instance in 1..=service.instances {
            environment.insert("LEAFWRIGHT_INSTANCE".to_owned(), instance.to_string());
            processes.push(ServiceProcess {
                service: name.clone(),
                instance,
                user: UserId::Service(machine.name.clone(), name.clone()),
                exec: service.exec.clone(),
                environment: environment.clone(),
                foreground: service.foreground,
            });
        }
    }
    processes
}
