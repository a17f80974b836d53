//! What a service finds in its environment: where its leaf is, and the names of everything that its contract mentions.
//!
//! Refuses: secrets. The seed of the service's key is a file that the unit hands over; here is only where.

use super::layout;
use super::link::Linked;
use super::template::{self, Format};
use crate::declare::MessageKind;
use crate::name::ServiceName;
use crate::resolve::{Machine, Service, rules};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The credential's name, and its file's name below the directory of credentials.
pub const CREDENTIAL: &str = "nats.nk";

/// Below the closure, and with a slash before it on the machine.
pub fn path(service: &ServiceName) -> String {
    format!("etc/leafwright/services/{service}.env")
}

/// All variables but the two that differ between instances or hosts: the seed's file and the instance.
pub fn of_service(
    linked: &Linked<'_>,
    machine: &Machine,
    name: &ServiceName,
    service: &Service,
) -> BTreeMap<String, String> {
    let api = layout::api(linked.work_domain());
    let set = |name: &str, value: String| (name.to_owned(), value);
    let mut variables = BTreeMap::from([
        set("NATS_URL", format!("nats://{}", machine.options.leaf.listen)),
        set("NATS_INBOX_PREFIX", layout::inbox(&machine.name, name.as_str())),
        set("LEAFWRIGHT_DOMAIN", linked.domain.name.to_string()),
        set("LEAFWRIGHT_MACHINE", machine.name.to_string()),
        set("LEAFWRIGHT_SERVICE", service.contract.to_string()),
        set("LEAFWRIGHT_CONSUMER", service.contract.to_string()),
    ]);
    if !linked.receives(&service.contract, MessageKind::Command).is_empty() {
        variables.insert("LEAFWRIGHT_COMMANDS_API".to_owned(), api.clone());
        variables.insert("LEAFWRIGHT_COMMANDS".to_owned(), linked.commands_stream(&machine.name));
    }
    if !linked.receives(&service.contract, MessageKind::Event).is_empty() {
        variables.insert("LEAFWRIGHT_EVENTS_API".to_owned(), api);
        // Several aggregates are several streams, joined by commas.
        variables.insert("LEAFWRIGHT_EVENTS".to_owned(), linked.events_streams(&machine.name).join(","));
    }
    for message in messages(linked, &service.contract) {
        variables.insert(layout::subject_variable(&message.name), message.subject.to_string());
    }
    for (place, listen) in &service.listen {
        let name = place.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        variables.insert(format!("LEAFWRIGHT_LISTEN_{name}"), listen.address.to_string());
    }
    variables.extend(service.environment.clone());
    variables
}

fn messages<'a>(linked: &Linked<'a>, contract: &ServiceName) -> Vec<&'a crate::resolve::Message> {
    let received = linked.domain.services.get(contract).map_or(&[][..], |contract| &contract.receives);
    let names: BTreeSet<_> = linked.sends(contract).into_iter().chain(received).collect();
    names.into_iter().filter_map(|name| linked.domain.messages.get(name)).collect()
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    value: &'a str,
}

/// The text of the environment file.
pub fn print(variables: &BTreeMap<String, String>) -> Result<String, String> {
    if let Some(bad) = variables.keys().find(|name| !rules::is_variable(name)) {
        return Err(format!("`{}` is not the name of an environment variable", bad.escape_debug()));
    }
    let lines: Vec<Line<'_>> = variables.iter().map(|(name, value)| Line { name, value }).collect();
    template::core(Format::Environment, "environment", &BTreeMap::from([("lines", lines)]))
}
