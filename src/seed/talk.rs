//! One message by hand: `send` says it as its contract has it, `tap` shows what passes by.
//!
//! Refuses: messages that no contract has, payloads that do not fit their schema, and calling sent what no stream stored.

use super::api::{self, Failure};
use crate::declare::{MessageKind, nearest};
use crate::resolve::{Message, schemas};
use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::{Client, HeaderMap, Subscriber};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::time::Duration;

/// For a stream's acknowledgement or a service's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Stored { stream: String, sequence: u64 },
    Answered(String),
}

/// Who sends, when and under which id: inputs, so that the message can be foretold.
pub struct Envelope<'a> {
    pub id: &'a str,
    /// CloudEvents `source`: `/meadow/desk/ada`.
    pub source: &'a str,
    /// RFC 3339.
    pub time: &'a str,
}

/// `k=v …` as the payload of the message, checked against its schema. A value is JSON where it reads as JSON
/// and the schema does not want text there.
pub fn payload(message: &Message, fields: &[(String, String)]) -> Result<Value, String> {
    let schema = message.schema.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(strange) = schema.as_ref().and_then(|schema| strange_field(message, schema, fields)) {
        return Err(strange);
    }
    let wants_text = |name: &str| schema.as_ref().is_some_and(|schema| schema["properties"][name]["type"] == "string");
    let mut object = Map::new();
    for (name, text) in fields {
        let json = if wants_text(name) { None } else { serde_json::from_str(text).ok() };
        if object.insert(name.clone(), json.unwrap_or_else(|| Value::from(text.as_str()))).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    fitting(message, Value::Object(object))
}

/// What is said of a field that the schema does not have and takes no others besides.
fn strange_field(message: &Message, schema: &Value, fields: &[(String, String)]) -> Option<String> {
    let known = schema["properties"].as_object().filter(|_| schema["additionalProperties"] == false)?;
    let (strange, _) = fields.iter().find(|(name, _)| !known.contains_key(name))?;
    let way_out = match nearest(strange, known.keys().map(String::as_str)) {
        Some(near) => format!("write `{near}=…`"),
        None if known.is_empty() => "it has none".to_owned(),
        None => format!("it has {}", known.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    Some(format!("`{}` has no field `{strange}`: {way_out}", message.name))
}

/// The payload, if it fits the message's schema.
pub fn fitting(message: &Message, payload: Value) -> Result<Value, String> {
    let schema = message.schema.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let misfit =
        schema.as_ref().and_then(schemas::validator).and_then(|validator| schemas::misfit(&validator, &payload));
    match misfit {
        None => Ok(payload),
        Some(misfit) if misfit.pointer.is_empty() => {
            Err(format!("`{}` does not fit its schema: {}", message.name, misfit.message))
        }
        Some(misfit) => {
            Err(format!("`{}` does not fit its schema at {}: {}", message.name, misfit.pointer, misfit.message))
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    stream: String,
    seq: u64,
}

/// Sends the message as a CloudEvent in binary mode: commands and events until a stream has stored them, queries until they are answered.
pub async fn send(
    client: &Client,
    message: &Message,
    payload: &Value,
    envelope: &Envelope<'_>,
) -> Result<Sent, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", envelope.id),
        ("ce-source", envelope.source),
        ("ce-type", message.name.as_str()),
        ("ce-time", envelope.time),
        ("content-type", "application/json"),
        ("Nats-Msg-Id", envelope.id),
    ] {
        headers.insert(name, value);
    }
    let request =
        async_nats::Request::new().headers(headers).payload(payload.to_string().into()).timeout(Some(PATIENCE));
    let reply = client.send_request(message.subject.as_str().to_owned(), request).await;
    let reply = reply.map_err(|error| Failure::Silent(unanswered(message, &error)))?;
    if message.kind == MessageKind::Query {
        return Ok(Sent::Answered(String::from_utf8_lossy(&reply.payload).into_owned()));
    }
    let stored: Stored = api::read(&reply.payload)?;
    Ok(Sent::Stored { stream: stored.stream, sequence: stored.seq })
}

/// Why nobody answered, as far as it can be known.
fn unanswered(message: &Message, error: &RequestError) -> String {
    let subject = &message.subject;
    match (error.kind(), message.kind) {
        (RequestErrorKind::NoResponders, MessageKind::Query) => {
            format!("nobody answers `{subject}`: no service that receives it runs, or its link is down")
        }
        (RequestErrorKind::NoResponders, _) => format!("no stream on this machine stores `{subject}`"),
        _ => format!("`{subject}`: {error}"),
    }
}

/// Listens on a pattern; each message is then told by `line`.
pub async fn tap(client: &Client, pattern: String) -> Result<Subscriber, Failure> {
    let subscriber = client.subscribe(pattern.clone()).await;
    subscriber.map_err(|error| Failure::Silent(format!("cannot listen on `{pattern}`: {error}")))
}

/// One message in one line: subject, CloudEvents id where there is one, payload.
pub fn line(message: &async_nats::Message) -> String {
    let mut line = message.subject.to_string();
    if let Some(id) = message.headers.as_ref().and_then(|headers| headers.get("ce-id")) {
        let _ = write!(line, "  {id}");
    }
    // Control characters would be the terminal's to obey.
    let text = String::from_utf8_lossy(&message.payload);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = write!(line, "  {text}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{SourceId, Span};
    use crate::name::{MessageName, Subject};

    fn message(schema: &str) -> Message {
        Message {
            name: MessageName::parse("todos.add").unwrap(),
            kind: MessageKind::Command,
            subject: Subject::parse("cmd.meadow.todos.add").unwrap(),
            senders: vec![],
            receivers: vec![],
            outcomes: vec![],
            schema: Some(schema.into()),
            example: None,
            doc: None,
            origin: Span::new(SourceId(0), 0..0),
        }
    }

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn fields_become_what_the_schema_wants() {
        let message = message(
            r#"{"type":"object","required":["title"],"properties":{"title":{"type":"string"},"n":{"type":"integer"}},"additionalProperties":false}"#,
        );
        let good = payload(&message, &fields(&[("title", "7"), ("n", "7")]));
        assert_eq!(good, Ok(serde_json::json!({ "title": "7", "n": 7 })));
        for (bad, word) in [
            (vec![("n", "7")], "title"),
            (vec![("title", "a"), ("n", "many")], "/n"),
            (vec![("title", "a"), ("title", "b")], "twice"),
            (vec![("title", "a"), ("colour", "red")], "no field `colour`: it has `n`, `title`"),
            (vec![("titel", "a")], "no field `titel`: write `title=…`"),
        ] {
            let error = payload(&message, &fields(&bad)).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
