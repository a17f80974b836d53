//! `events/<set>.jsonl`: CloudEvents 1.0 (JSON event format), one object a line.

use super::files::{JSON, json_fault};
use super::syntax::byte_order_mark;
use super::table::unnamed;
use crate::diag::codes::Code;
use crate::diag::{Diagnostic, Report, SourceId, Span, Spanned};
use crate::name::{EventSetName, MessageName};
use rayon::prelude::*;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

const SHAPE: Code = Code(30);
const TWICE: Code = Code(31);
const DATA: Code = Code(32);

/// An append-only list of events, in the order of the file.
#[derive(Debug)]
pub struct EventSet {
    pub name: EventSetName,
    pub source: SourceId,
    pub events: Vec<Event>,
}

/// One CloudEvent. `type` is the message's name; the subject follows from it by the domain's grammar.
#[derive(Debug)]
pub struct Event {
    /// The whole line.
    pub span: Span,
    /// CloudEvents `id`; unique within the set.
    pub id: Box<str>,
    /// CloudEvents `source`, a URI reference.
    pub source: Box<str>,
    pub kind: Spanned<MessageName>,
    /// CloudEvents `subject`, `time`, `datacontenttype`, `dataschema` and extensions, as text, by attribute name.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// `data`: JSON as it stands in the line (byte for byte, so that digests are the user's own text).
    pub data: Option<Spanned<Box<str>>>,
}

impl EventSet {
    pub(super) fn read(source: SourceId, name: Option<EventSetName>, text: &str, report: &mut Report) -> Option<Self> {
        let mark = byte_order_mark(JSON, source, text);
        let mut at = if mark.is_some() { '\u{feff}'.len_utf8() } else { 0 };
        report.diagnostics.extend(mark);
        let mut lines = vec![];
        for line in text[at..].split_inclusive('\n') {
            let content = line.strip_suffix('\n').unwrap_or(line);
            let content = content.strip_suffix('\r').unwrap_or(content);
            lines.push(at..at + content.len());
            at += line.len();
        }
        let read: Vec<(Option<Event>, Report)> = (lines.into_par_iter().with_min_len(256))
            .map(|line| {
                let mut found = Report::default();
                (read_line(Line { source, text, range: line }, &mut found), found)
            })
            .collect();
        let mut events = Vec::with_capacity(read.len());
        for (event, found) in read {
            events.extend(event);
            report.absorb(found);
        }
        unique_ids(text, &events, report);
        let sound = !report.has_errors();
        shorten(report);
        sound.then_some(Self { name: name?, source, events })
    }
}

/// How many findings of one set are shown: a mistake of the program that wrote it stands in every line.
const SHOWN: usize = 50;

fn shorten(report: &mut Report) {
    let Some(first) = report.diagnostics.get(SHOWN) else { return };
    let more = report.diagnostics.len() - SHOWN;
    let rest =
        Diagnostic::error(first.code, first.primary.span, format!("{more} more mistakes from here on in this set"));
    report.diagnostics.truncate(SHOWN);
    report.push(rest.help("mend the ones above, then check again"));
}

/// Reports each event whose id another one above it has.
fn unique_ids(text: &str, events: &[Event], report: &mut Report) {
    let mut order: Vec<&Event> = events.iter().collect();
    order.par_sort_by(|a, b| (&a.id, a.span.start).cmp(&(&b.id, b.span.start)));
    for same in order.chunk_by(|a, b| a.id == b.id) {
        let [first, others @ ..] = same else { continue };
        for again in others {
            let diagnostic = Diagnostic::error(
                TWICE,
                id_place(text, again),
                format!("the event id `{}` is used twice in the set", again.id),
            )
            .also(id_place(text, first), "first used here")
            .help("give each event an id of its own; it is how a second loading recognises it");
            report.push(diagnostic);
        }
    }
}

/// Where the id stands in the event's line.
fn id_place(text: &str, event: &Event) -> Span {
    let line = Line { source: event.span.source, text, range: event.span.range() };
    let members = members(&line).unwrap_or_default();
    members.iter().find(|(key, _)| key == "id").map_or(event.span, |(_, value)| line.place(value.get()))
}

/// One line of the file.
struct Line<'t> {
    source: SourceId,
    text: &'t str,
    range: std::ops::Range<usize>,
}

impl<'t> Line<'t> {
    fn content(&self) -> &'t str {
        &self.text[self.range.clone()]
    }

    fn span(&self) -> Span {
        Span::new(self.source, self.range.clone())
    }

    /// The place of a part of the line.
    fn place(&self, part: &str) -> Span {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        match offset.checked_add(part.len()) {
            Some(end) if end <= self.text.len() => Span::new(self.source, offset..end),
            _ => self.span(),
        }
    }
}

type Attribute<'t> = (Cow<'t, str>, &'t RawValue);

/// The members of the object in their order, repeated ones too, each value as it is written.
struct Members;

impl<'t> Visitor<'t> for Members {
    type Value = Vec<Attribute<'t>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value::<&'t RawValue>()?));
        }
        Ok(members)
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'t>(#[serde(borrow)] Cow<'t, str>);

fn members<'t>(line: &Line<'t>) -> Result<Vec<Attribute<'t>>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(line.content());
    let members = json.deserialize_map(Members)?;
    json.end()?;
    Ok(members)
}

fn read_line(line: Line<'_>, report: &mut Report) -> Option<Event> {
    if line.content().trim().is_empty() {
        let diagnostic = Diagnostic::error(SHAPE, line.span(), "an empty line between events");
        report.push(diagnostic.help("remove the line: each line is one event"));
        return None;
    }
    let members = match members(&line) {
        Ok(members) => members,
        Err(error) if error.is_data() => {
            report.push(Diagnostic::error(SHAPE, line.span(), "an event is a JSON object on one line").help(EXAMPLE));
            return None;
        }
        Err(error) => {
            report.push(no_json(&line, &error));
            return None;
        }
    };
    let before = report.diagnostics.len();
    let mut draft = EventDraft::default();
    for (key, value) in members {
        attribute(&line, &mut draft, key, value, report);
    }
    let event = draft.finish(&line, report)?;
    (report.diagnostics.len() == before).then_some(event)
}

/// The reader's words where they help whoever wrote JSON; what was no JSON from the start is told as such.
fn no_json(line: &Line<'_>, error: &serde_json::Error) -> Diagnostic {
    let fault = json_fault(line.source, &line.text[..line.range.end], line.range.start, error);
    if line.content().trim_start().starts_with('{') {
        return fault;
    }
    let number = line.text[..line.range.start].matches('\n').count() + 1;
    let says = format!("line {number} is not JSON: an event is one object, `{{…}}`");
    Diagnostic { message: says, help: vec![EXAMPLE.to_owned()], ..fault }
}

const EXAMPLE: &str = r#"write `{"specversion":"1.0","id":"1","source":"/setup","type":"todos.added","data":{}}`"#;

#[derive(Default)]
struct EventDraft<'t> {
    seen: Vec<(Cow<'t, str>, Span)>,
    version: Option<()>,
    id: Option<Box<str>>,
    source: Option<Box<str>>,
    kind: Option<Spanned<MessageName>>,
    attributes: BTreeMap<Box<str>, Box<str>>,
    data: Option<Spanned<Box<str>>>,
}

impl EventDraft<'_> {
    fn finish(self, line: &Line<'_>, report: &mut Report) -> Option<Event> {
        let missing = |wanted: &&str| !self.seen.iter().any(|(seen, _)| seen == wanted);
        let missing: Vec<String> = (["specversion", "id", "source", "type"].iter().filter(|wanted| missing(wanted)))
            .map(|wanted| format!("`{wanted}`"))
            .collect();
        if !missing.is_empty() {
            let message = format!("the event has no {}", missing.join(", no "));
            report.push(Diagnostic::error(SHAPE, line.span(), message).help(EXAMPLE));
        }
        self.version?;
        let Self { id, source, kind, attributes, data, .. } = self;
        Some(Event { span: line.span(), id: id?, source: source?, kind: kind?, attributes, data })
    }
}

fn attribute<'t>(
    line: &Line<'_>,
    draft: &mut EventDraft<'t>,
    key: Cow<'t, str>,
    value: &RawValue,
    report: &mut Report,
) {
    let place = line.place(value.get());
    if let Some((_, first)) = draft.seen.iter().find(|(seen, _)| **seen == *key) {
        let diagnostic = Diagnostic::error(SHAPE, place, format!("the attribute `{key}` is given twice"));
        report.push(diagnostic.also(*first, "first given here").help("remove one of them"));
        return;
    }
    draft.seen.push((key.clone(), place));
    match &*key {
        "data" => draft.data = Some(Spanned::new(Box::from(value.get()), place)),
        "data_base64" => {
            let diagnostic = Diagnostic::error(DATA, place, "binary data cannot be loaded from an event set");
            report.push(
                diagnostic.help("write the payload as JSON in `data`, or keep it in an object store and name it"),
            );
        }
        _ => {
            let Some(text) = attribute_text(&key, value.get(), place, report) else { return };
            keep(draft, &key, text, place, report);
        }
    }
}

/// A CloudEvents attribute is a string, an integer or a boolean; all travel as text.
fn attribute_text(key: &str, json: &str, place: Span, report: &mut Report) -> Option<Box<str>> {
    let context =
        matches!(key, "specversion" | "id" | "source" | "type" | "subject" | "time" | "datacontenttype" | "dataschema");
    let named = !key.is_empty() && key.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !context && !named {
        let message = format!("`{key}` is no CloudEvents attribute name, which is made of a-z and 0-9");
        report.push(Diagnostic::error(SHAPE, place, message).help("put what belongs to the payload into `data`"));
        return None;
    }
    let text: Option<Box<str>> = match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(json).ok().map(String::into_boxed_str),
        Some(b't' | b'f') if !context => Some(Box::from(json)),
        Some(b'-' | b'0'..=b'9') if !context && json.parse::<i32>().is_ok() => Some(Box::from(json)),
        _ => None,
    };
    let Some(text) = text else {
        let wanted = if context { "a string" } else { "a string, a boolean or a 32-bit integer" };
        report.push(
            Diagnostic::error(SHAPE, place, format!("the attribute `{key}` must be {wanted}"))
                .help(format!("write `\"{key}\":\"…\"`")),
        );
        return None;
    };
    if text.is_empty() || text.chars().any(char::is_control) {
        let message = format!("the attribute `{key}` must have a text without control characters");
        report.push(
            Diagnostic::error(SHAPE, place, message)
                .help(format!("write `\"{key}\":\"…\"`, or leave it out where it is optional")),
        );
        return None;
    }
    Some(text)
}

fn keep(draft: &mut EventDraft, key: &str, text: Box<str>, place: Span, report: &mut Report) {
    match key {
        "specversion" if &*text == "1.0" => draft.version = Some(()),
        "specversion" => {
            report.push(
                Diagnostic::error(SHAPE, place, format!("CloudEvents {text} is not read here"))
                    .help("write `\"specversion\":\"1.0\"`"),
            );
        }
        "id" => draft.id = Some(text),
        "source" => draft.source = Some(text),
        "type" => match MessageName::parse(&text) {
            Ok(name) => draft.kind = Some(Spanned::new(name, place)),
            Err(fault) => report.push(unnamed(place, fault)),
        },
        "datacontenttype" if !is_json(&text) => {
            let diagnostic =
                Diagnostic::error(DATA, place, format!("data of type `{text}` cannot be loaded from an event set"));
            report.push(diagnostic.help("write the payload as JSON in `data` and leave `datacontenttype` out"));
        }
        "time" if !is_time(&text) => {
            let diagnostic = Diagnostic::error(SHAPE, place, "`time` is no RFC 3339 time");
            report.push(diagnostic.help("write `\"time\":\"2026-01-31T09:30:00Z\"`"));
        }
        _ => drop(draft.attributes.insert(Box::from(key), text)),
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or(kind).trim().to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

/// The form of RFC 3339: `2026-01-31T09:30:00[.5](Z|+01:00)`.
fn is_time(text: &str) -> bool {
    let fits = |part: &str, form: &str| {
        part.len() == form.len()
            && part
                .bytes()
                .zip(form.bytes())
                .all(|(c, f)| if f == b'0' { c.is_ascii_digit() } else { c.eq_ignore_ascii_case(&f) })
    };
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u32>().ok()).unwrap_or(99);
    let Some((stamp, rest)) = text.split_at_checked(19) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let after = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if after.len() == fraction.len() {
                return false;
            }
            after
        }
        None => rest,
    };
    let offset = fits(rest, "Z") || fits(rest, "+00:00") || fits(rest, "-00:00");
    let date = (1..=12).contains(&number(5..7)) && (1..=31).contains(&number(8..10));
    fits(stamp, "0000-00-00T00:00:00")
        && offset
        && date
        && number(11..13) < 24
        && number(14..16) < 60
        && number(17..19) < 61
}
