//! JSON Schemas of messages: judged, made self-contained, compiled; and where in a JSON text a fault stands.
//!
//! Refuses: fetching anything. A schema may refer to itself and to the other files below `contracts/`, nothing else.

use crate::declare::Schema;
use jsonschema::{Retrieve, Uri, Validator};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Files below `contracts/` get these addresses, so that a relative `$ref` means the file beside.
const BASE: &str = "leafwright:///contracts/";

/// What is wrong with a schema or with a value under it, and at which JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub message: String,
    pub pointer: String,
}

/// All schemas of a domain, by path below `contracts/`.
#[derive(Clone, Debug)]
pub struct Schemas {
    by_path: Arc<BTreeMap<String, Value>>,
}

impl Schemas {
    pub fn new(declared: &BTreeMap<String, Schema>) -> Self {
        let by_path = declared.iter().map(|(path, schema)| (path.clone(), schema.json.clone())).collect();
        Self { by_path: Arc::new(by_path) }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }

    /// The schema with every file that it refers to inside it; `None` when there is no such file.
    pub fn whole(&self, path: &str) -> Option<Result<Value, Misfit>> {
        let schema = self.by_path.get(path)?;
        Some(self.bundle(path, schema))
    }

    fn bundle(&self, path: &str, schema: &Value) -> Result<Value, Misfit> {
        if let Err(error) = jsonschema::meta::validate(schema) {
            return Err(Misfit { message: lowercase(&error.to_string()), pointer: error.instance_path().to_string() });
        }
        let address = format!("{BASE}{path}");
        let options =
            jsonschema::options().with_base_uri(address.clone()).with_retriever(Beside { schemas: self.clone() });
        let refused = |message: String| Misfit { message: lowercase(&message), pointer: String::new() };
        let mut whole = options.bundle(schema).map_err(|error| refused(error.to_string()))?;
        // Relative references inside the bundle still need the address that they are relative to.
        if whole != *schema
            && let Some(object) = whole.as_object_mut()
        {
            object.entry("$id").or_insert(Value::String(address));
        }
        options.build(&whole).map_err(|error| refused(error.to_string()))?;
        Ok(whole)
    }
}

struct Beside {
    schemas: Schemas,
}

impl Retrieve for Beside {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let path = uri.as_str().strip_prefix(BASE).ok_or("a schema refers to files below `contracts/` only")?;
        let found = self.schemas.by_path.get(path).cloned();
        found.ok_or_else(|| format!("there is no `contracts/{path}`").into())
    }
}

/// Compiles a schema that `Schemas::whole` returned.
pub fn validator(whole: &Value) -> Option<Validator> {
    jsonschema::options().offline().build(whole).ok()
}

/// The first thing that does not fit; faults deeper in the value come before those of its surroundings.
pub fn misfit(validator: &Validator, value: &Value) -> Option<Misfit> {
    if validator.is_valid(value) {
        return None;
    }
    let depth = |misfit: &Misfit| misfit.pointer.matches('/').count();
    let misfits = validator.iter_errors(value).map(|error| Misfit {
        message: lowercase(&cut(&error.to_string())),
        pointer: error.instance_path().to_string(),
    });
    misfits.max_by_key(depth)
}

/// Messages quote the value that they refuse; a long one says nothing more.
fn cut(text: &str) -> String {
    if text.chars().count() <= 160 {
        return text.to_owned();
    }
    let head: String = text.chars().take(90).collect();
    let tail: Vec<char> = text.chars().rev().take(60).collect();
    format!("{head} … {}", tail.into_iter().rev().collect::<String>())
}

/// The manner of our diagnostics: begins in lower case, no full stop, one line.
fn lowercase(text: &str) -> String {
    let text = text.trim_end_matches('.').replace('\n', " ");
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text,
    }
}

/// Where in a valid JSON text the value at a JSON pointer stands; the nearest value around it if it has none there.
pub fn place(text: &str, pointer: &str) -> Range<usize> {
    let mut cursor = Cursor { text: text.as_bytes(), at: 0 };
    cursor.space();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let outer = cursor.at;
        if !cursor.enter(&step) {
            cursor.at = outer;
            break;
        }
    }
    let start = cursor.at;
    cursor.skip_value();
    start..cursor.at.max(start)
}

/// Walks over JSON that serde_json has already accepted; on anything else it stops early and stays in bounds.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Moves to the start of the member `step` of the object or list here.
    fn enter(&mut self, step: &str) -> bool {
        let list = match self.peek() {
            Some(b'{') => false,
            Some(b'[') => true,
            _ => return false,
        };
        self.at += 1;
        for index in 0.. {
            self.space();
            if matches!(self.peek(), None | Some(b'}' | b']')) {
                return false;
            }
            let found = if list { step == index.to_string() } else { self.key() == step };
            self.space();
            if found {
                return true;
            }
            self.skip_value();
            self.space();
            if self.peek() == Some(b',') {
                self.at += 1;
            }
        }
        false
    }

    /// Reads a key and the colon behind it.
    fn key(&mut self) -> String {
        let start = self.at;
        self.skip_value();
        let raw = &self.text[start..self.at];
        self.space();
        if self.peek() == Some(b':') {
            self.at += 1;
        }
        serde_json::from_slice(raw).unwrap_or_default()
    }

    fn skip_value(&mut self) {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                None => return,
                Some(b'"') => self.skip_string(),
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') => {
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if depth == 0 => return,
                Some(byte) if depth == 0 && byte.is_ascii_whitespace() => return,
                Some(_) if depth == 0 => {
                    self.skip_word();
                    return;
                }
                Some(_) => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_word(&mut self) {
        while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']' | b':'))
        {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.text.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::SourceId;
    use serde_json::json;

    #[test]
    fn a_pointer_finds_its_value_in_the_text() {
        let text = r#" {"a": {"b\"/": [1, "x,]", {"c": true}]}, "d~": -1.5e3 } "#;
        for (pointer, value) in [
            ("", text.trim()),
            ("/a/b\"~1/0", "1"),
            ("/a/b\"~1/1", r#""x,]""#),
            ("/a/b\"~1/2", r#"{"c": true}"#),
            ("/a/b\"~1/2/c", "true"),
            ("/d~0", "-1.5e3"),
            ("/a/none", r#"{"b\"/": [1, "x,]", {"c": true}]}"#),
            ("/d~0/deeper", "-1.5e3"),
        ] {
            assert_eq!(&text[place(text, pointer)], value, "{pointer}");
        }
    }

    fn schemas(files: &[(&str, Value)]) -> Schemas {
        let entry = |(path, json): &(&str, Value)| {
            (
                (*path).to_owned(),
                Schema {
                    path: (*path).to_owned(),
                    source: SourceId(0),
                    json: json.clone(),
                    text: json.to_string().into(),
                },
            )
        };
        Schemas::new(&files.iter().map(entry).collect())
    }

    #[test]
    fn a_schema_may_refer_to_the_file_beside_it_and_to_nothing_farther() {
        let all = schemas(&[
            ("todos/add.json", json!({"type": "object", "properties": {"text": {"$ref": "text.json"}}})),
            ("todos/text.json", json!({"type": "string", "minLength": 1})),
            ("far.json", json!({"$ref": "https://example.com/x.json"})),
            ("lost.json", json!({"$ref": "nowhere.json"})),
            ("wrong.json", json!({"type": "object", "properties": {"n": {"type": "integre"}}})),
        ]);
        let whole = all.whole("todos/add.json").unwrap().unwrap();
        let validator = validator(&whole).unwrap();
        assert_eq!(misfit(&validator, &json!({"text": "milk"})), None);
        assert_eq!(misfit(&validator, &json!({"text": ""})).unwrap().pointer, "/text");
        assert!(all.whole("far.json").unwrap().is_err());
        assert!(all.whole("lost.json").unwrap().unwrap_err().message.contains("contracts/nowhere.json"));
        assert_eq!(all.whole("wrong.json").unwrap().unwrap_err().pointer, "/properties/n/type");
        assert!(all.whole("absent.json").is_none());
    }
}
