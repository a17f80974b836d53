//! `events/<set>.jsonl`: CloudEvents 1.0 (JSON event format), one object a line.

use crate::diag::{SourceId, Span, Spanned};
use crate::name::{EventSetName, MessageName};
use std::collections::BTreeMap;

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
