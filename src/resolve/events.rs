//! Event sets become messages in CloudEvents binary mode: a subject by the grammar, attributes as headers, data as it stands.
//!
//! Refuses: events of a type that no contract defines, and data that does not fit its schema.

use super::model::{EventSet, Message, SeedEvent};
use super::schemas;
use crate::declare::nearest;
use crate::declare::{self, Declared, MessageKind};
use crate::diag::{Checked, Code, Diagnostic, Report, Span};
use crate::name::{EventSetName, MessageName};
use jsonschema::Validator;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const UNKNOWN_TYPE: Code = Code(521);
const NOT_AN_EVENT: Code = Code(522);
const BAD_DATA: Code = Code(523);

/// Findings shown of one set; a file that is wrong in every line says no more with a hundred thousand of them.
const SHOWN: usize = 50;

/// CloudEvents in NATS headers: <https://github.com/cloudevents/spec>, NATS and HTTP protocol bindings.
const PREFIX: &str = "ce-";

/// What every event of one type has in common.
struct Kind<'a> {
    message: &'a Message,
    validator: Option<Validator>,
}

type Kinds<'a> = BTreeMap<&'a MessageName, Kind<'a>>;

/// All event sets. A set whose lines are at fault comes back without them: whoever goes on looks at the report first.
pub fn compile(
    declared: &Declared,
    messages: &BTreeMap<MessageName, Message>,
) -> Checked<BTreeMap<EventSetName, Arc<EventSet>>> {
    let kinds = kinds(declared, messages);
    let mut report = Report::default();
    let mut sets = BTreeMap::new();
    for (name, set) in &declared.events {
        let events: Vec<_> = set.events.par_iter().map(|event| compiled(event, &kinds)).collect();
        let mut good = Vec::with_capacity(events.len());
        let mut faults = Vec::new();
        for event in events {
            match event {
                Ok(event) => good.push(event),
                // A broken contract may define the event.
                Err(fault) if fault.code == UNKNOWN_TYPE && declared.is_broken("contracts/") => {}
                Err(fault) => faults.push(*fault),
            }
        }
        absorb(faults, SHOWN, &mut report);
        let origin = Span::new(set.source, 0..0);
        sets.insert(name.clone(), Arc::new(EventSet { name: name.clone(), events: good, origin }));
    }
    Checked::new(Some(sets), report)
}

/// Schemas are compiled once for each type that occurs.
fn kinds<'a>(declared: &Declared, messages: &'a BTreeMap<MessageName, Message>) -> Kinds<'a> {
    let used: BTreeSet<&MessageName> =
        declared.events.values().flat_map(|set| &set.events).map(|event| &event.kind.value).collect();
    let kind = |message: &'a Message| {
        let schema = message.schema.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Kind { message, validator: schema.and_then(|schema| schemas::validator(&schema)) }
    };
    messages
        .iter()
        .map(|(name, message)| {
            let without = Kind { message, validator: None };
            (name, if used.contains(name) { kind(message) } else { without })
        })
        .collect()
}

/// Takes up what was found in the lines of one set, the first `shown` of it; the last of those says how much more there is.
pub fn absorb(mut faults: Vec<Diagnostic>, shown: usize, report: &mut Report) {
    let hidden = faults.len().saturating_sub(shown);
    faults.truncate(shown);
    if hidden > 0
        && let Some(last) = faults.pop()
    {
        let more = if hidden == 1 {
            "one more line of this file is at fault".to_owned()
        } else {
            format!("{hidden} more lines of this file are at fault")
        };
        faults.push(last.help(more));
    }
    report.diagnostics.extend(faults);
}

fn compiled(event: &declare::Event, kinds: &Kinds<'_>) -> Result<SeedEvent, Box<Diagnostic>> {
    let kind = known(event, kinds)?;
    fits(event, kind)?;
    Ok(SeedEvent {
        id: event.id.clone(),
        subject: kind.message.subject.clone(),
        headers: headers(event),
        payload: payload(event),
        origin: event.span,
    })
}

fn known<'k, 'a>(event: &declare::Event, kinds: &'k Kinds<'a>) -> Result<&'k Kind<'a>, Box<Diagnostic>> {
    let name = &event.kind.value;
    let Some(kind) = kinds.get(name) else {
        let finding =
            Diagnostic::error(UNKNOWN_TYPE, event.kind.span, format!("no contract defines the event `{name}`"));
        let events = kinds.values().filter(|kind| kind.message.kind == MessageKind::Event);
        let near = nearest(name.as_str(), events.map(|kind| kind.message.name.as_str()));
        return Err(Box::new(match near {
            Some(near) => finding.help(format!("there is `{near}`")),
            None => finding
                .help(format!("define `[messages.\"{name}\"]` with `kind = \"evt\"` in the contract of its sender")),
        }));
    };
    if kind.message.kind == MessageKind::Event {
        return Ok(kind);
    }
    let what = match kind.message.kind {
        MessageKind::Command => "a command",
        _ => "a query",
    };
    let finding =
        Diagnostic::error(NOT_AN_EVENT, event.kind.span, format!("`{name}` is {what}, and only events are loaded"));
    let finding = finding.also(kind.message.origin, "defined here");
    Err(Box::new(match kind.message.outcomes.first() {
        Some(outcome) => finding.help(format!("load what came of it: `{outcome}`")),
        None => finding.help("load the event that says what happened"),
    }))
}

fn fits(event: &declare::Event, kind: &Kind<'_>) -> Result<(), Box<Diagnostic>> {
    let Some(validator) = &kind.validator else { return Ok(()) };
    let refuse = |span: Span, text: String| {
        let finding = Diagnostic::error(BAD_DATA, span, text);
        let finding = finding.also(kind.message.origin, "the message is defined here");
        Box::new(finding.help("mend the event, or the schema; what was loaded once is never changed"))
    };
    let Some(data) = &event.data else {
        return Err(refuse(event.span, format!("`{}` has a schema, but this event has no `data`", event.kind.value)));
    };
    let value: serde_json::Value = match serde_json::from_str(&data.value) {
        Ok(value) => value,
        Err(error) => return Err(refuse(data.span, format!("the data is not JSON: {error}"))),
    };
    match schemas::misfit(validator, &value) {
        None => Ok(()),
        Some(misfit) => {
            let place = schemas::place(&data.value, &misfit.pointer);
            let start = data.span.start as usize;
            let span = Span::new(data.span.source, start + place.start..start + place.end);
            let text = format!("the data does not fit the schema of `{}`: {}", event.kind.value, misfit.message);
            Err(refuse(span, text))
        }
    }
}

/// The NATS binding maps every attribute to `ce-<attribute>`, `datacontenttype` too; `content-type` says the same to
/// readers that know the HTTP binding, and to the NATS binding it says "binary mode", as everything but CloudEvents' own types does.
fn headers(event: &declare::Event) -> BTreeMap<Box<str>, Box<str>> {
    let mut headers = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        headers.insert(format!("{PREFIX}{name}").into_boxed_str(), encoded(value));
    };
    put("specversion", "1.0");
    put("id", &event.id);
    put("source", &event.source);
    put("type", event.kind.value.as_str());
    for (name, value) in &event.attributes {
        put(name, value);
    }
    if event.data.is_some() {
        let declared = event.attributes.get("datacontenttype");
        let kind = declared.map_or("application/json", |kind| &**kind);
        if declared.is_none() {
            put("datacontenttype", kind);
        }
        headers.insert("content-type".into(), one_line(kind));
    }
    headers
}

/// Data of a JSON type goes out byte for byte; a string of another type goes out as its text (CloudEvents JSON format, 3.1.1).
fn payload(event: &declare::Event) -> Box<[u8]> {
    let Some(data) = &event.data else { return Box::default() };
    let is_json = event.attributes.get("datacontenttype").is_none_or(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.ends_with("/json") || kind.ends_with("+json")
    });
    let text = if is_json { None } else { serde_json::from_str::<String>(&data.value).ok() };
    text.map_or_else(|| data.value.as_bytes().into(), |text| text.into_bytes().into())
}

/// A media type is printed as HTTP prints it: parameters behind `; `, no percent-encoding, and never a second line.
fn one_line(kind: &str) -> Box<str> {
    kind.chars().filter(|c| matches!(c, ' '..='~')).collect::<String>().into_boxed_str()
}

/// Percent-encoding of header values (CloudEvents HTTP binding, 3.1.3.2): white space, `"`, `%`, and all but printable ASCII.
fn encoded(value: &str) -> Box<str> {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%');
    if value.bytes().all(plain) {
        return value.into();
    }
    let mut out = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.into_boxed_str()
}
