//! `contracts/<service>.toml` and the JSON Schemas beside it.

use super::table::{File, Reader, any, text, word};
use super::value::Table;
use crate::diag::{SourceId, Span, Spanned};
use crate::name::{Fault, MessageName, ServiceName};
use std::collections::BTreeMap;

/// What a service sends and receives. A message is defined by one contract: commands and queries by the receiver,
/// events by the sender; the others only name it.
#[derive(Debug)]
pub struct Contract {
    /// From the file's name.
    pub service: ServiceName,
    pub source: SourceId,
    pub doc: Option<Spanned<Box<str>>>,
    pub sends: Vec<Spanned<MessageName>>,
    pub receives: Vec<Spanned<MessageName>>,
    /// `[messages."todos.add"]`
    pub messages: BTreeMap<MessageName, Message>,
}

/// `cmd`, `qry` or `evt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum MessageKind {
    #[serde(rename = "cmd")]
    Command,
    #[serde(rename = "qry")]
    Query,
    #[serde(rename = "evt")]
    Event,
}

impl MessageKind {
    /// The token in the subject.
    pub fn token(self) -> &'static str {
        match self {
            MessageKind::Command => "cmd",
            MessageKind::Query => "qry",
            MessageKind::Event => "evt",
        }
    }
}

#[derive(Debug)]
pub struct Message {
    pub name: Spanned<MessageName>,
    pub kind: Spanned<MessageKind>,
    pub doc: Option<Spanned<Box<str>>>,
    /// A file below `contracts/`: the JSON Schema of the payload.
    pub schema: Option<Spanned<Box<str>>>,
    /// A query's reply: a file below `contracts/`.
    pub reply: Option<Spanned<Box<str>>>,
    /// Events that say how a command ended.
    pub outcomes: Vec<Spanned<MessageName>>,
    /// A payload that is sent by `verify` and shown in the documentation.
    pub example: Option<Spanned<super::Value>>,
    pub span: Span,
}

/// A JSON Schema file, parsed as JSON; whether it is a schema is judged in `resolve`.
#[derive(Debug)]
pub struct Schema {
    pub path: String,
    pub source: SourceId,
    /// As it was written, for places in it.
    pub text: Box<str>,
    pub json: serde_json::Value,
}

impl MessageKind {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "cmd" => Ok(Self::Command),
            "qry" => Ok(Self::Query),
            "evt" => Ok(Self::Event),
            _ => Err(Fault::new("a kind is `cmd`, `qry` or `evt`")
                .help("`cmd` asks for a change, `qry` asks for an answer, `evt` says what happened")),
        }
    }
}

impl Contract {
    pub(super) fn read(file: &mut File, service: Option<ServiceName>, table: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, table, top);
        let doc = reader.optional("doc", text);
        let sends = reader.set_of("sends", word(MessageName::parse));
        let receives = reader.set_of("receives", word(MessageName::parse));
        let messages = reader.each("messages", MessageName::parse, Message::read);
        reader.finish();
        Some(Self { service: service?, source, doc, sends, receives, messages })
    }
}

impl Message {
    fn read(file: &mut File, name: Spanned<MessageName>, table: Table, span: Span) -> Option<Self> {
        let mut reader = Reader::new(file, table, span);
        let kind = reader.required("kind", "kind = \"cmd\"", word(MessageKind::parse));
        let doc = reader.optional("doc", text);
        let schema = reader.optional("schema", text);
        let reply = reader.optional("reply", text);
        let outcomes = reader.set_of("outcomes", word(MessageName::parse));
        let example = reader.optional("example", any);
        reader.finish();
        Some(Self { name, kind: kind?, doc, schema, reply, outcomes, example, span })
    }
}
