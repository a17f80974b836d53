//! `modules/<module>/module.toml`, and the body that every declaration may have: settings by layer, checks, blocks.

use super::value::{Table, Value};
use crate::diag::{SourceId, Span, Spanned};
use crate::name::ModuleName;
use std::collections::BTreeMap;

/// A module: options, values for options, checks; templates (`*.tera`) lie beside it.
#[derive(Debug)]
pub struct Module {
    pub name: ModuleName,
    pub source: SourceId,
    pub doc: Option<Spanned<Box<str>>>,
    pub imports: Vec<Spanned<ModuleName>>,
    pub options: Vec<OptionDecl>,
    pub body: Body,
    /// File name beside `module.toml` → its text.
    pub templates: BTreeMap<String, SourceId>,
}

/// `[options."dns.forwarders"]`: `type`, `doc`, and maybe `default`, `example`; `fields` where the type is a record.
#[derive(Clone, Debug)]
pub struct OptionDecl {
    pub path: Spanned<Box<str>>,
    /// The type as written, such as `list<ip>`; `resolve` parses it.
    pub kind: Spanned<Box<str>>,
    pub doc: Spanned<Box<str>>,
    pub default: Option<Spanned<Value>>,
    pub example: Option<Spanned<Value>>,
    /// The fields of a record, or of the record inside a list or map.
    pub fields: Vec<OptionDecl>,
}

/// What a domain, zone, cluster, hardware profile, machine or module says about options.
/// The first block is the file's own (no `when`); `[[blocks]]` follow in source order.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug, Default)]
pub struct Block {
    /// A CEL expression; absent means always.
    pub when: Option<Spanned<Box<str>>>,
    pub default: Table,
    pub settings: Table,
    pub force: Table,
    /// `[remove]`: option path → list of keys or elements to take away.
    pub remove: Table,
    /// `assert = [{ that = "expr", say = "…" }]`
    pub asserts: Vec<Check>,
    /// `warn`, likewise.
    pub warns: Vec<Check>,
}

/// A condition that must hold (CEL, no `${}`), and what to say when it does not (may hold `${…}`).
#[derive(Clone, Debug)]
pub struct Check {
    pub that: Spanned<Box<str>>,
    pub say: Spanned<Box<str>>,
    pub span: Span,
}
