//! The value of an option: typed, finished, cheap to share; and the small reader that turns a tree of them into structs.
//!
//! Refuses: expressions and spans (they live in `layers`), and unordered maps.

use crate::name::{ByteSize, Duration};
use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use std::sync::Arc;

/// A finished value. Sizes and durations keep their type, so that they print with their unit and count as integers in expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    /// What an expression says for "nothing"; only an optional option takes it, and becomes absent.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Size(ByteSize),
    Duration(Duration),
    Text(Arc<str>),
    List(Arc<[Val]>),
    /// Sorted by key.
    Map(Arc<[(Arc<str>, Val)]>),
}

impl Val {
    pub fn text(text: &str) -> Self {
        Val::Text(Arc::from(text))
    }

    pub fn map(mut entries: Vec<(Arc<str>, Val)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Val::Map(entries.into())
    }

    pub fn get(&self, key: &str) -> Option<&Val> {
        match self {
            Val::Map(entries) => entries.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|at| &entries[at].1),
            _ => None,
        }
    }

    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Null => "nothing",
            Val::Bool(_) => "a boolean",
            Val::Int(_) => "an integer",
            Val::Float(_) => "a float",
            Val::Size(_) => "a size",
            Val::Duration(_) => "a duration",
            Val::Text(_) => "a string",
            Val::List(_) => "a list",
            Val::Map(_) => "a table",
        }
    }

    pub fn json(&self) -> serde_json::Value {
        match self {
            Val::Null => serde_json::Value::Null,
            Val::Bool(value) => (*value).into(),
            Val::Int(value) => (*value).into(),
            Val::Float(value) => (*value).into(),
            Val::Size(value) => value.to_string().into(),
            Val::Duration(value) => value.to_string().into(),
            Val::Text(value) => (**value).into(),
            Val::List(values) => values.iter().map(Val::json).collect(),
            Val::Map(entries) => entries.iter().map(|(key, value)| (key.to_string(), value.json())).collect(),
        }
    }
}

/// As it would be written in TOML, in one line.
impl std::fmt::Display for Val {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Val::Null => f.write_str("null"),
            Val::Bool(value) => write!(f, "{value}"),
            Val::Int(value) => write!(f, "{value}"),
            Val::Float(value) => write!(f, "{value:?}"),
            Val::Size(value) => write!(f, "\"{value}\""),
            Val::Duration(value) => write!(f, "\"{value}\""),
            Val::Text(value) => f.write_str(&quoted(value)),
            Val::List(values) => {
                f.write_str("[")?;
                for (place, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Val::Map(entries) if entries.is_empty() => f.write_str("{}"),
            Val::Map(entries) => {
                for (place, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{} = {value}", if place == 0 { "{ " } else { ", " }, path_key(key))?;
                }
                f.write_str(" }")
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A key as it stands in an option path: bare where TOML allows it, quoted otherwise (`files."/etc/motd"`).
pub fn path_key(key: &str) -> std::borrow::Cow<'_, str> {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.into() } else { quoted(key).into() }
}

/// Splits an option path as people write it (`units."a.service".Service`) into its keys; `None` when a quote stays open.
pub fn split_path(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![];
    let mut rest = path;
    loop {
        let after = if let Some(inner) = rest.strip_prefix('"') {
            let end = inner.find('"')?;
            keys.push(inner[..end].to_owned());
            &inner[end + 1..]
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            keys.push(rest[..end].to_owned());
            &rest[end..]
        };
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(keys),
            None => return None,
        }
    }
}

/// Reads a tree of values into a struct, field by field.
pub fn read<T: de::DeserializeOwned>(value: &Val) -> Result<T, Fault> {
    T::deserialize(value)
}

/// Why a tree does not fit a struct: always a mismatch between `core` and `model`, never the user's fault.
#[derive(Debug)]
pub struct Fault(pub String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Fault(message.to_string())
    }
}

impl<'de> IntoDeserializer<'de, Fault> for &'de Val {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for &'de Val {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Val::Null => visitor.visit_unit(),
            Val::Bool(value) => visitor.visit_bool(*value),
            Val::Int(value) => visitor.visit_i64(*value),
            Val::Float(value) => visitor.visit_f64(*value),
            Val::Size(value) => visitor.visit_string(value.to_string()),
            Val::Duration(value) => visitor.visit_string(value.to_string()),
            Val::Text(value) => visitor.visit_borrowed_str(value),
            Val::List(values) => visitor.visit_seq(SeqDeserializer::new(values.iter())),
            Val::Map(entries) => visitor.visit_map(MapDeserializer::new(entries.iter().map(|(key, value)| (&**key, value)))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Val::Text(value) => StrDeserializer::new(value).deserialize_enum(name, variants, visitor),
            other => StringDeserializer::new(other.to_string()).deserialize_enum(name, variants, visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_as_they_are_written() {
        for (path, keys) in [
            ("leaf.listen", vec!["leaf", "listen"]),
            (r#"units."a.service".Service"#, vec!["units", "a.service", "Service"]),
            (r#"files."/etc/motd".text"#, vec!["files", "/etc/motd", "text"]),
        ] {
            assert_eq!(split_path(path).unwrap(), keys);
            let joined: Vec<_> = keys.iter().map(|key| path_key(key)).collect();
            assert_eq!(joined.join("."), path);
        }
        assert_eq!(split_path(r#"units."a"#), None);
    }
}
