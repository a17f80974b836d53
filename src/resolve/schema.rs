//! The option tree: which paths exist, with type, doc, default and example; core options and those of modules.
//!
//! Refuses: two declarations of one path, and an option below another option.

use super::codes;
use super::fit::{self, Fit, has_expression};
use crate::declare::nearest;
use super::types::{self, Type};
use super::val::{Val, path_key};
use crate::declare::{Declared, OptionDecl, Value};
use crate::diag::{Diagnostic, Report, SourceId, Span, Spanned};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where built-in options stand: nowhere that a user could look.
pub const BUILT_IN: Span = Span { source: SourceId(u32::MAX), start: 0, end: 0 };

/// The fields of a record, by name.
#[derive(Debug, Default)]
pub struct Record {
    pub fields: BTreeMap<Arc<str>, Arc<Decl>>,
}

/// A declared option, or a field of a record.
#[derive(Debug)]
pub struct Decl {
    /// The whole path of an option (`leaf.listen`, `streams.*.copies`).
    pub path: Box<str>,
    pub kind: Type,
    /// The type as written.
    pub written: Box<str>,
    pub doc: Box<str>,
    pub default: Option<Default>,
    pub example: Option<Val>,
    pub span: Span,
}

#[derive(Debug)]
pub enum Default {
    Fixed(Val),
    /// Holds expressions.
    Written(Spanned<Value>),
}

impl Decl {
    pub fn is_core(&self) -> bool {
        self.span == BUILT_IN
    }
}

#[derive(Clone, Debug)]
pub enum Shape {
    Group(BTreeMap<Arc<str>, Shape>),
    Option(Arc<Decl>),
}

#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub roots: BTreeMap<Arc<str>, Shape>,
}

/// A place in the option tree: between options, or inside one.
#[derive(Clone, Copy)]
pub enum At<'s> {
    Group(&'s BTreeMap<Arc<str>, Shape>),
    Inside(&'s Type),
}

impl Schema {
    /// Adds the declarations to the tree.
    pub fn add(&mut self, options: &[OptionDecl], declared: &Declared, report: &mut Report) {
        for option in options {
            if let Some(decl) = decl(&option.path.value, option, declared, report) {
                self.place(Arc::new(decl), option.path.span, report);
            }
        }
    }

    fn place(&mut self, decl: Arc<Decl>, span: Span, report: &mut Report) {
        let path = decl.path.clone();
        let mut group = &mut self.roots;
        let keys: Vec<&str> = path.split('.').collect();
        for (depth, key) in keys.iter().enumerate() {
            let last = depth + 1 == keys.len();
            match group.get(*key) {
                None if last => {
                    group.insert(Arc::from(*key), Shape::Option(decl));
                    return;
                }
                None => {}
                Some(Shape::Group(_)) if !last => {}
                Some(other) => {
                    report.push(collision(&path, span, other));
                    return;
                }
            }
            let next = group.entry(Arc::from(*key)).or_insert_with(|| Shape::Group(BTreeMap::new()));
            let Shape::Group(inner) = next else { return };
            group = inner;
        }
    }

    /// What stands at `keys`; otherwise how many keys exist, and the names that were possible there.
    pub fn find(&self, keys: &[impl AsRef<str>]) -> Result<At<'_>, (usize, Vec<String>)> {
        let mut at = At::Group(&self.roots);
        for (depth, key) in keys.iter().enumerate() {
            at = at.step(key.as_ref()).ok_or_else(|| (depth, at.names()))?;
        }
        Ok(at)
    }

    /// Every path that ends in `key`, for "there is one elsewhere".
    pub fn elsewhere(&self, key: &str) -> Vec<String> {
        let mut found = vec![];
        for decl in self.all() {
            let mut fields = vec![];
            collect(&decl, &mut fields);
            found.extend(fields.into_iter().filter(|path| path.rsplit('.').next() == Some(key)));
        }
        found
    }

    /// All options, in path order.
    pub fn all(&self) -> Vec<Arc<Decl>> {
        fn walk(shape: &Shape, found: &mut Vec<Arc<Decl>>) {
            match shape {
                Shape::Group(group) => group.values().for_each(|shape| walk(shape, found)),
                Shape::Option(decl) => found.push(decl.clone()),
            }
        }
        let mut found = vec![];
        self.roots.values().for_each(|shape| walk(shape, &mut found));
        found
    }

    /// "there is no option", with the nearest name, or where else there is such a key.
    pub fn unknown(&self, path: &str, key: &Spanned<Box<str>>, at: At<'_>) -> Diagnostic {
        let error = Diagnostic::error(codes::UNKNOWN_OPTION, key.span, format!("there is no option `{path}`"));
        let names = at.names();
        if let Some(near) = nearest(&key.value, names.iter().map(String::as_str)) {
            return error.help(format!("write `{near}`"));
        }
        let elsewhere = self.elsewhere(&key.value);
        match elsewhere.as_slice() {
            [] if names.is_empty() => error,
            [] => error.help(format!("what stands here: {}", names.join(", "))),
            found => error.help(format!("there is {}", found.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", "))),
        }
    }
}

fn collect(decl: &Decl, paths: &mut Vec<String>) {
    paths.push(decl.path.to_string());
    for field in fields_of(&decl.kind) {
        collect(field, paths);
    }
}

/// The fields of the record in a type, if it holds one.
pub fn fields_of(kind: &Type) -> Vec<&Arc<Decl>> {
    match kind {
        Type::Record(record) => record.fields.values().collect(),
        Type::List(inner) | Type::Set(inner) | Type::Map(_, inner) | Type::Optional(inner) => fields_of(inner),
        _ => vec![],
    }
}

impl<'s> At<'s> {
    pub fn step(self, key: &str) -> Option<At<'s>> {
        match self {
            At::Group(group) => match group.get(key)? {
                Shape::Group(inner) => Some(At::Group(inner)),
                Shape::Option(decl) => Some(At::Inside(&decl.kind)),
            },
            At::Inside(kind) => match kind.inner() {
                Type::Map(_, value) => Some(At::Inside(value)),
                Type::Record(record) => record.fields.get(key).map(|field| At::Inside(&field.kind)),
                Type::Any => Some(self),
                _ => None,
            },
        }
    }

    fn names(self) -> Vec<String> {
        match self {
            At::Group(group) => group.keys().map(ToString::to_string).collect(),
            At::Inside(kind) => match kind.inner() {
                Type::Record(record) => record.fields.keys().map(ToString::to_string).collect(),
                _ => vec![],
            },
        }
    }
}

fn collision(path: &str, span: Span, other: &Shape) -> Diagnostic {
    fn first(shape: &Shape) -> Option<&Arc<Decl>> {
        match shape {
            Shape::Group(group) => group.values().find_map(first),
            Shape::Option(decl) => Some(decl),
        }
    }
    let error = Diagnostic::error(codes::COLLISION, span, format!("the option `{path}` is declared already"));
    match first(other) {
        Some(other) if other.is_core() => error.help(format!("`{}` is built in; choose another path", other.path)),
        Some(other) => error.also(other.span, format!("`{}` is declared here", other.path)).help("choose another path"),
        None => error,
    }
}

/// A declaration as written becomes one that is checked: its type, its default, its example.
fn decl(path: &str, option: &OptionDecl, declared: &Declared, report: &mut Report) -> Option<Decl> {
    let mut record = Record::default();
    for field in &option.fields {
        let name = &field.path.value;
        if let Some(decl) = decl(&format!("{path}{}.{}", stars(&option.kind.value), path_key(name)), field, declared, report) {
            record.fields.insert(Arc::from(&**name), Arc::new(decl));
        }
    }
    let record = (!option.fields.is_empty()).then(|| Arc::new(record));
    let kind = match types::parse(&option.kind.value, record.as_ref()) {
        Ok(kind) => kind,
        Err(fault) => {
            let span = inside(option.kind.span, &option.kind.value, &fault.at);
            let mut error = Diagnostic::error(codes::BAD_TYPE, span, fault.message);
            error.help.extend(fault.help);
            report.push(error);
            return None;
        }
    };
    let default = option.default.as_ref().and_then(|value| {
        if has_expression(&value.value) {
            return Some(Default::Written(value.clone()));
        }
        fixed(path, value, &kind, declared, report).map(Default::Fixed)
    });
    let example = option.example.as_ref().and_then(|value| match has_expression(&value.value) {
        true => Some(fit::plain(&value.value)),
        // An example may name a machine of somebody else's domain; its shape is what counts.
        false => fixed(path, value, &kind, declared, &mut Report::default()).or_else(|| Some(fit::plain(&value.value))),
    });
    let span = option.path.span;
    Some(Decl { path: path.into(), kind, written: option.kind.value.clone(), doc: option.doc.value.clone(), default, example, span })
}

/// How deep the fields of a record lie below their option: `map<record>` and `list<record>` one level, `record` none.
fn stars(kind: &str) -> String {
    ".*".repeat(kind.matches("map<").count() + kind.matches("list<").count())
}

fn fixed(path: &str, value: &Spanned<Value>, kind: &Type, declared: &Declared, report: &mut Report) -> Option<Val> {
    let mut none = |_: &str, _: Span, _: &mut Report| None;
    fit::fit(path, value, kind, &mut Fit { declared, report, evaluate: &mut none })
}

/// The span of a part of a text, if the text stands in the file as it is; the whole text otherwise.
pub fn inside(span: Span, text: &str, part: &std::ops::Range<usize>) -> Span {
    let length = (span.end - span.start) as usize;
    let quotes = match length.checked_sub(text.len()) {
        Some(2) => 1,
        Some(6) => 3,
        _ => return span,
    };
    let start = span.start as usize + quotes;
    Span::new(span.source, start + part.start.min(text.len())..start + part.end.min(text.len()))
}
