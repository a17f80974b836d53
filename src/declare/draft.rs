//! A TOML table while it is being read: its entries, and how each table came to be, which decides what may extend it.
//!
//! Refuses: reporting; `syntax` does.

use super::value::{Entry, Table, Value};
use crate::diag::{Span, Spanned};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub(super) type Key<'i> = Spanned<Cow<'i, str>>;

impl Key<'_> {
    pub(super) fn boxed(self) -> Spanned<Box<str>> {
        self.map(|text| Box::from(&*text))
    }
}

/// How a table came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By the path of a header below it: its own header may still come.
    Implicit,
    /// By a dotted key: more dotted keys may follow, no header.
    Dotted,
    /// By its header or braces: complete.
    Header,
}

pub(super) enum Node {
    Value(Value),
    Table(Draft),
    /// `[[list]]`: the last element is the one that grows.
    Tables(Vec<(Draft, Span)>),
}

pub(super) struct DraftEntry {
    pub key: Spanned<Box<str>>,
    pub node: Node,
    /// The value; a table's header.
    pub span: Span,
}

pub(super) struct Draft {
    pub entries: Vec<DraftEntry>,
    pub origin: Origin,
    /// Place by key; only once there are many.
    index: Option<BTreeMap<Box<str>, usize>>,
}

/// Up to here looking at every key is faster than an index.
const FEW: usize = 24;

impl Draft {
    pub(super) fn new(origin: Origin) -> Self {
        Self { entries: vec![], origin, index: None }
    }

    pub(super) fn find(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|entry| &*entry.key.value == key),
        }
    }

    pub(super) fn push(&mut self, key: Key<'_>, node: Node, span: Span) -> usize {
        let place = self.entries.len();
        let key = key.boxed();
        if place == FEW {
            let known = self.entries.iter().enumerate();
            self.index = Some(known.map(|(place, entry)| (entry.key.value.clone(), place)).collect());
        }
        if let Some(index) = &mut self.index {
            index.insert(key.value.clone(), place);
        }
        self.entries.push(DraftEntry { key, node, span });
        place
    }

    /// The table below, step by step; a step that is no table ends there.
    pub(super) fn at(&mut self, path: &[usize]) -> &mut Draft {
        let Some((first, rest)) = path.split_first() else { return self };
        let inner = match &self.entries[*first].node {
            Node::Value(_) => return self,
            Node::Tables(tables) if tables.is_empty() => return self,
            Node::Table(_) | Node::Tables(_) => &mut self.entries[*first].node,
        };
        match inner {
            Node::Table(draft) => draft.at(rest),
            Node::Tables(tables) => {
                let last = tables.len() - 1;
                tables[last].0.at(rest)
            }
            Node::Value(_) => unreachable!("left above"),
        }
    }

    pub(super) fn table(self) -> Table {
        let mut entries = Vec::with_capacity(self.entries.len());
        for DraftEntry { key, node, span } in self.entries {
            let value = match node {
                Node::Value(value) => value,
                Node::Table(draft) => Value::Table(draft.table()),
                Node::Tables(tables) => {
                    let element = |(draft, span): (Draft, Span)| Spanned::new(Value::Table(draft.table()), span);
                    Value::List(tables.into_iter().map(element).collect())
                }
            };
            entries.push(Entry { key, value: Spanned::new(value, span) });
        }
        Table { entries }
    }
}
