//! What a machine's services publish is captured on the machine itself: where events or commands arise, there is an event store.
//!
//! Without one they would be lost whenever the cluster is away, and links do not carry them anyway.

use super::holder::span;
use super::{Check, Rule};
use crate::declare::MessageKind;
use crate::diag::{Code, Diagnostic, Report};
use crate::name::MessageName;
use crate::resolve::model::{Domain, Machine, Part, Service};

const CODE: Code = Code(409);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "event-capture",
    title: "events or commands arise where nothing captures them",
    check: Check::Machine(check),
};

fn check(machine: &Machine, domain: &Domain, report: &mut Report) {
    if machine.options.event_store.enable || machine.part == Part::Member {
        return;
    }
    let refuse = |path: &str, says: String| {
        let finding = Diagnostic::error(CODE, span(machine, path), says);
        finding.help("add \"event-store\" to `configuration`, or write `[settings.event_store]` with `enable = true`")
    };
    for (name, service) in &machine.options.services {
        let sent = sends(service, domain).find(|message| kind(message, domain) != Some(MessageKind::Query));
        if let Some(message) = sent {
            let says =
                format!("the service `{name}` sends `{message}`, and this machine has no event store to capture it");
            report.push(refuse(&format!("services.{name}"), says));
        }
    }
    if let Some(set) = machine.events.first() {
        report.push(refuse("events", format!("the event set `{set}` has no event store to go to")));
    }
}

/// What a service publishes: what its contract says it sends, and the outcomes of the commands that it receives.
fn sends<'a>(service: &Service, domain: &'a Domain) -> impl Iterator<Item = &'a MessageName> {
    let contract = domain.services.get(&service.contract).into_iter();
    contract.flat_map(move |contract| {
        let received = contract.receives.iter().filter_map(|name| domain.messages.get(name));
        contract.sends.iter().chain(received.flat_map(|message| &message.outcomes))
    })
}

fn kind(message: &MessageName, domain: &Domain) -> Option<MessageKind> {
    domain.messages.get(message).map(|message| message.kind)
}

/// Does a service of this machine send a command? Then its leaf captures commands.
pub fn sends_commands(machine: &Machine, domain: &Domain) -> bool {
    let mut services = machine.options.services.values();
    services.any(|service| sends(service, domain).any(|message| kind(message, domain) == Some(MessageKind::Command)))
}
