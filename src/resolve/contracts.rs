//! Contracts become messages: each defined once, with its subject, its ends, its schema, and someone who answers.
//!
//! Refuses: guessing who owns a message. A receiver defines its commands and queries, a sender its events.
//! An event that no service receives is no finding: the event store receives every event.

use super::grammar::Grammar;
use super::model::{Message, ServiceContract};
use super::schemas::{self, Schemas};
use crate::declare::nearest;
use crate::declare::{self, Contract, Declared, MessageKind, Value};
use crate::diag::{Checked, Code, Diagnostic, Report, Span};
use crate::name::{MachineName, MessageName, ServiceName};
use std::collections::{BTreeMap, BTreeSet};

const DEFINED_TWICE: Code = Code(502);
const NOT_DEFINED: Code = Code(503);
const DEFINED_BY_A_STRANGER: Code = Code(504);
const ANSWERED_TWICE: Code = Code(505);
const BAD_OUTCOME: Code = Code(506);
const REPLY_TO_NO_QUERY: Code = Code(507);
const NO_SUCH_SCHEMA: Code = Code(508);
const BAD_SCHEMA: Code = Code(509);
const BAD_EXAMPLE: Code = Code(510);
const NEVER_RECEIVED: Code = Code(511);
const NEVER_SENT: Code = Code(512);

pub type Linked = (BTreeMap<MessageName, Message>, BTreeMap<ServiceName, ServiceContract>);

/// Who names a message, and where.
#[derive(Default)]
struct Ends<'a> {
    senders: BTreeMap<&'a ServiceName, Span>,
    receivers: BTreeMap<&'a ServiceName, Span>,
}

struct Definition<'a> {
    contract: &'a Contract,
    message: &'a declare::Message,
}

struct Linker<'a> {
    declared: &'a Declared,
    grammar: &'a Grammar,
    definitions: BTreeMap<&'a MessageName, Definition<'a>>,
    ends: BTreeMap<&'a MessageName, Ends<'a>>,
    /// Messages whose other end is outside the domain.
    external: BTreeSet<&'a MessageName>,
}

/// Links all contracts; what is at fault is linked as far as it goes, so that events and rules can be judged in the same run.
/// What a broken contract would say is not missing. No machine is looked at: `traffic` does that.
pub fn link(declared: &Declared, grammar: &Grammar) -> Checked<Linked> {
    let mut report = Report::default();
    let linker = Linker::gather(declared, grammar, &mut report);
    let schemas = Schemas::new(&declared.schemas);
    let mut messages = BTreeMap::new();
    for (name, definition) in &linker.definitions {
        linker.judge_ends(name, definition, &mut report);
        linker.judge_outcomes(definition, &mut report);
        messages.insert((*name).clone(), linker.message(name, definition, &schemas, &mut report));
    }
    let services = declared.contracts.iter().map(|(name, contract)| (name.clone(), service(contract))).collect();
    Checked::new(Some((messages, services)), report)
}

/// Who sends what nobody receives, and the reverse. `running` names, for each contract, the machines on which a service with
/// it really runs.
pub fn traffic(declared: &Declared, grammar: &Grammar, running: &BTreeMap<ServiceName, Vec<MachineName>>) -> Report {
    let mut report = Report::default();
    // `link` has said what is wrong with the contracts themselves.
    Linker::gather(declared, grammar, &mut Report::default()).judge_traffic(running, &mut report);
    report
}

fn service(contract: &Contract) -> ServiceContract {
    ServiceContract {
        name: contract.service.clone(),
        sends: contract.sends.iter().map(|name| name.value.clone()).collect(),
        receives: contract.receives.iter().map(|name| name.value.clone()).collect(),
        origin: Span::new(contract.source, 0..0),
    }
}

impl<'a> Linker<'a> {
    fn gather(declared: &'a Declared, grammar: &'a Grammar, report: &mut Report) -> Self {
        let external = declared.domain.iter().flat_map(|domain| &domain.external);
        let mut linker = Self {
            declared,
            grammar,
            definitions: BTreeMap::new(),
            ends: BTreeMap::new(),
            external: external.clone().map(|name| &name.value).collect(),
        };
        for contract in declared.contracts.values() {
            linker.define(contract, report);
        }
        for contract in declared.contracts.values() {
            for name in &contract.sends {
                if linker.is_defined(name, report) {
                    linker.ends.entry(&name.value).or_default().senders.insert(&contract.service, name.span);
                }
            }
            for name in &contract.receives {
                if linker.is_defined(name, report) {
                    linker.ends.entry(&name.value).or_default().receivers.insert(&contract.service, name.span);
                }
            }
        }
        for name in external {
            linker.is_defined(name, report);
        }
        linker
    }

    fn define(&mut self, contract: &'a Contract, report: &mut Report) {
        for (name, message) in &contract.messages {
            if let Some(first) = self.definitions.get(name) {
                let text = format!("the message `{name}` is defined twice");
                report.push(
                    Diagnostic::error(DEFINED_TWICE, message.name.span, text)
                        .label("defined again here")
                        .also(first.message.name.span, "first defined here")
                        .help(format!(
                            "keep the definition of the {} and let the others only name it",
                            owner_of(first.message.kind.value)
                        )),
                );
                continue;
            }
            self.definitions.insert(name, Definition { contract, message });
        }
    }

    fn is_defined(&self, name: &crate::diag::Spanned<MessageName>, report: &mut Report) -> bool {
        if self.definitions.contains_key(&name.value) {
            return true;
        }
        if self.declared.is_broken("contracts/") {
            return false;
        }
        let text = format!("no contract defines the message `{}`", name.value);
        let finding = Diagnostic::error(NOT_DEFINED, name.span, text);
        let near = nearest(name.value.as_str(), self.definitions.keys().map(|name| name.as_str()));
        report.push(match near {
            Some(near) => finding.help(format!("there is `{near}`")),
            None => finding.help(format!(
                "define it as `[messages.\"{}\"]` in the contract of the service that receives it (`cmd`, `qry`) or sends it (`evt`)",
                name.value
            )),
        });
        false
    }

    fn ends(&self, name: &MessageName) -> &Ends<'a> {
        static NOBODY: Ends<'static> = Ends { senders: BTreeMap::new(), receivers: BTreeMap::new() };
        self.ends.get(name).unwrap_or(&NOBODY)
    }

    /// The owner defines a message, or, where the owner is outside the domain, the one who is inside. One service type answers a query.
    fn judge_ends(&self, name: &MessageName, definition: &Definition<'a>, report: &mut Report) {
        let ends = self.ends(name);
        let kind = definition.message.kind.value;
        let definer = &definition.contract.service;
        let (owners, key) = match kind {
            MessageKind::Event => (&ends.senders, "sends"),
            MessageKind::Command | MessageKind::Query => (&ends.receivers, "receives"),
        };
        let is_an_end = ends.senders.contains_key(definer) || ends.receivers.contains_key(definer);
        let external = self.external.contains(name) && is_an_end;
        let broken = self.declared.is_broken("contracts/");
        if !owners.contains_key(definer) && !external && !broken {
            let text = format!("`{definer}` defines `{name}` but does not {} it", key.trim_end_matches('s'));
            let finding = Diagnostic::error(DEFINED_BY_A_STRANGER, definition.message.name.span, text);
            report.push(match owners.first_key_value() {
                Some((owner, span)) => finding.also(*span, "the owner names it here").help(format!(
                    "define it in `contracts/{owner}.toml`: the {} of a message owns it",
                    owner_of(kind)
                )),
                None => finding.help(format!("write `{key} = [\"{name}\"]` in this contract")),
            });
        }
        if kind == MessageKind::Query && ends.receivers.len() > 1 {
            let mut receivers = ends.receivers.iter();
            let first = receivers.next();
            for (service, span) in receivers {
                let text = format!("the query `{name}` has a second answerer, `{service}`");
                let finding = Diagnostic::error(ANSWERED_TWICE, *span, text)
                    .help("let one service type answer a query; give the other a query of its own");
                report.push(match first {
                    Some((first, span)) => finding.also(*span, format!("`{first}` answers it")),
                    None => finding,
                });
            }
        }
    }

    fn judge_outcomes(&self, definition: &Definition<'a>, report: &mut Report) {
        let message = definition.message;
        let kind = message.kind.value;
        if let Some(reply) = &message.reply
            && kind != MessageKind::Query
        {
            let text = format!("`{}` is no query, so it has no reply", message.name.value);
            let finding = Diagnostic::error(REPLY_TO_NO_QUERY, reply.span, text);
            report.push(finding.help("the end of a command is an event: write `outcomes = [\"…\"]`"));
        }
        for outcome in &message.outcomes {
            let refuse = |text: String, help: &str| Diagnostic::error(BAD_OUTCOME, outcome.span, text).help(help);
            if kind != MessageKind::Command {
                let text = format!("`{}` is no command, so it has no outcomes", message.name.value);
                report.push(refuse(text, "only a command has outcomes; a query has a `reply`"));
                continue;
            }
            if !self.is_defined(outcome, report) {
                continue;
            }
            let event = &self.definitions[&outcome.value];
            if event.message.kind.value != MessageKind::Event {
                let text = format!("the outcome `{}` is not an event", outcome.value);
                let finding = refuse(text, "an outcome is an event (`kind = \"evt\"`) that says how the command ended");
                report.push(finding.also(event.message.kind.span, "its kind is given here"));
            } else if !self.ends(&outcome.value).senders.contains_key(&definition.contract.service)
                && !self.declared.is_broken("contracts/")
            {
                let service = &definition.contract.service;
                let text = format!(
                    "`{service}` receives `{}` but does not send its outcome `{}`",
                    message.name.value, outcome.value
                );
                report.push(refuse(text, "add the outcome to `sends` of the service that carries the command out"));
            }
        }
    }

    fn message(
        &self,
        name: &MessageName,
        definition: &Definition<'a>,
        schemas: &Schemas,
        report: &mut Report,
    ) -> Message {
        let message = definition.message;
        let schema = message.schema.as_ref().and_then(|path| self.schema(path, schemas, report));
        if let Some(path) = &message.reply {
            self.schema(path, schemas, report);
        }
        let example = message.example.as_ref().map(|value| (json(&value.value), value.span));
        if let (Some(schema), Some((value, span))) = (&schema, &example)
            && let Some(misfit) = schemas::validator(schema).and_then(|validator| schemas::misfit(&validator, value))
        {
            let finding = Diagnostic::error(
                BAD_EXAMPLE,
                *span,
                format!("the example does not fit the schema: {}", misfit.message),
            );
            let finding =
                finding.also(message.schema.as_ref().map_or(*span, |path| path.span), "the schema is named here");
            let finding = finding.help("mend the example, or the schema");
            report.push(if misfit.pointer.is_empty() {
                finding
            } else {
                finding.label(format!("at `{}`", misfit.pointer))
            });
        }
        let ends = self.ends(name);
        Message {
            name: name.clone(),
            kind: message.kind.value,
            subject: self.grammar.subject(message.kind.value, name),
            senders: ends.senders.keys().map(|service| (*service).clone()).collect(),
            receivers: ends.receivers.keys().map(|service| (*service).clone()).collect(),
            outcomes: message.outcomes.iter().map(|outcome| outcome.value.clone()).collect(),
            schema: schema.map(|schema| schema.to_string()),
            example: example.map(|(value, _)| value),
            doc: message.doc.as_ref().map(|doc| doc.value.to_string()),
            origin: message.span,
        }
    }

    fn schema(
        &self,
        path: &crate::diag::Spanned<Box<str>>,
        schemas: &Schemas,
        report: &mut Report,
    ) -> Option<serde_json::Value> {
        let Some(whole) = schemas.whole(&path.value) else {
            if self.declared.broken.contains(&format!("contracts/{}", path.value)) {
                return None;
            }
            let finding =
                Diagnostic::error(NO_SUCH_SCHEMA, path.span, format!("there is no `contracts/{}`", path.value));
            report.push(match nearest(&path.value, schemas.paths()) {
                Some(near) => finding.help(format!("write `{near}`")),
                None => finding.help("paths of schemas begin below `contracts/`"),
            });
            return None;
        };
        match whole {
            Ok(whole) => Some(whole),
            Err(misfit) => {
                let file = &self.declared.schemas[&*path.value];
                let says = format!("`contracts/{}` is not a JSON Schema: {}", path.value, misfit.message);
                let place = match misfit.pointer.as_str() {
                    "" => 0..0,
                    pointer => schemas::place(&file.text, pointer),
                };
                report.push(
                    Diagnostic::error(BAD_SCHEMA, Span::new(file.source, place), says).also(path.span, "named here").help(
                        "mend the schema; <https://json-schema.org/understanding-json-schema> says what it may hold",
                    ),
                );
                None
            }
        }
    }

    /// What goes out must come in somewhere, over the services that really run: an unreceived command and an unanswered
    /// query are errors, for they would wait for ever; what is received and never sent is a warning, for it does no harm.
    fn judge_traffic(&self, running: &BTreeMap<ServiceName, Vec<MachineName>>, report: &mut Report) {
        let seeded: BTreeSet<&MessageName> =
            self.declared.events.values().flat_map(|set| &set.events).map(|event| &event.kind.value).collect();
        for (name, definition) in &self.definitions {
            if self.external.contains(name) {
                continue;
            }
            let ends = self.ends(name);
            let kind = definition.message.kind.value;
            let sender = ends.senders.iter().find(|(service, _)| running.contains_key(**service));
            let receiver = ends.receivers.iter().find(|(service, _)| running.contains_key(**service));
            match (sender, receiver) {
                (Some((service, span)), None) if kind != MessageKind::Event => {
                    report.push(never_received(name, kind, service, *span, &ends.receivers, &running[*service]));
                }
                (None, Some((service, span))) if !seeded.contains(name) && !self.a_person_sends(kind, name) => {
                    report.push(never_sent(name, kind, service, *span, &running[*service]));
                }
                _ => {}
            }
        }
    }

    fn a_person_sends(&self, kind: MessageKind, name: &MessageName) -> bool {
        let subject = self.grammar.subject(kind, name).pattern();
        let roles = self.declared.domain.iter().flat_map(|domain| domain.roles.values());
        roles.flat_map(|role| &role.publish).any(|pattern| pattern.value.covers(&subject))
    }
}

fn never_received(
    name: &MessageName,
    kind: MessageKind,
    sender: &ServiceName,
    span: Span,
    receivers: &BTreeMap<&ServiceName, Span>,
    machines: &[MachineName],
) -> Diagnostic {
    let text = match kind {
        MessageKind::Query => format!("the query `{name}` is sent, but no service that runs answers it"),
        _ => format!("the command `{name}` is sent, but no service that runs receives it"),
    };
    let mut finding = Diagnostic::error(NEVER_RECEIVED, span, text).label(format!("`{sender}` {}", runs_on(machines)));
    for (receiver, span) in receivers {
        finding = finding.also(*span, format!("`{receiver}` receives it, and runs on no machine"));
    }
    match receivers.first_key_value() {
        Some((receiver, _)) => finding.help(format!("give a machine a module that runs `{receiver}`")),
        None => finding
            .help(format!("write `receives = [\"{name}\"]` in a contract, or name it in `external` of domain.toml")),
    }
}

fn never_sent(
    name: &MessageName,
    kind: MessageKind,
    receiver: &ServiceName,
    span: Span,
    machines: &[MachineName],
) -> Diagnostic {
    let what = match kind {
        MessageKind::Command => "command",
        MessageKind::Query => "query",
        MessageKind::Event => "event",
    };
    Diagnostic::warning(NEVER_SENT, span, format!("the {what} `{name}` is received, but no service that runs sends it"))
        .label(format!("`{receiver}` {}", runs_on(machines)))
        .help("run a service that sends it, let a role `publish` it, or name it in `external` of domain.toml")
}

fn runs_on(machines: &[MachineName]) -> String {
    match machines {
        [] => "runs".to_owned(),
        [one] => format!("runs on {one}"),
        [one, others @ ..] => format!("runs on {one} and {} more", others.len()),
    }
}

fn owner_of(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Event => "sender",
        MessageKind::Command | MessageKind::Query => "receiver",
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(value) => (&**value).into(),
        Value::List(values) => values.iter().map(|value| json(&value.value)).collect(),
        Value::Table(table) => serde_json::Value::Object(
            table.entries.iter().map(|entry| (entry.key.value.to_string(), json(&entry.value.value))).collect(),
        ),
    }
}
