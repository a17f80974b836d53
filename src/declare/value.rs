//! TOML values as written, each with its place; no type of ours yet.

use crate::diag::{Span, Spanned};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    List(Vec<Spanned<Value>>),
    Table(Table),
}

/// A table in the order it was written. Keys are unique: the parser reports a repeated key and keeps the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub entries: Vec<Entry>,
}

/// The span of `key` is the key alone, the span of `value` the value alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Spanned<Box<str>>,
    pub value: Spanned<Value>,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| &*entry.key.value == key)
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Value {
    /// What a person calls this kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Entry {
    /// From the key's first byte to the value's last.
    pub fn span(&self) -> Span {
        Span { end: self.value.span.end.max(self.key.span.end), ..self.key.span }
    }
}
