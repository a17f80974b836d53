//! An event set as the seeder reads it: one message a line with its id, subject, headers and payload.
//!
//! Refuses: changing a payload; it is the text of the declaration, byte for byte.

use super::canonical;
use crate::resolve::EventSet;
use serde_json::{Value, json};

pub fn print(set: &EventSet) -> String {
    let mut text = String::new();
    for event in &set.events {
        let payload = match std::str::from_utf8(&event.payload) {
            Ok(text) => ("payload", Value::from(text)),
            Err(_) => ("payload_base64", Value::from(data_encoding::BASE64.encode(&event.payload))),
        };
        let mut line = json!({ "id": event.id, "subject": event.subject, "headers": event.headers });
        line[payload.0] = payload.1;
        text.push_str(&canonical::compact(&line));
        text.push('\n');
    }
    text
}
