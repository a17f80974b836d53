//! The reader of one table: each key is asked for by name, and what nobody asked for is an error.
//!
//! Refuses: knowing what a key means, and stopping at the first mistake.

use super::files::Kind;
use super::syntax::Soundness;
use super::value::{Entry, Table, Value};
use crate::diag::codes::Code;
use crate::diag::{Diagnostic, Report, SourceId, Span, Spanned};
use crate::name::Fault;
use std::collections::BTreeMap;

const MISSING: Code = Code(11);
const UNKNOWN: Code = Code(12);
const TYPE: Code = Code(13);
const NAME: Code = Code(20);
const TWICE: Code = Code(21);

/// One file while it is being read.
pub(super) struct File<'r> {
    pub source: SourceId,
    pub kind: Kind,
    pub soundness: Soundness,
    /// What a value that is being read is: for what is said about it.
    pub at: At,
    pub report: &'r mut Report,
}

/// The value of a key, or one of the elements of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Key,
    Element,
}

impl File<'_> {
    /// The beginning of the file: where a key is missing that belongs to no table's header.
    pub(super) fn top(&self) -> Span {
        Span::new(self.source, 0..0)
    }

    /// The value must be `wanted`, and is not.
    pub(super) fn wrong<T>(&mut self, key: &str, wanted: &str, found: &Spanned<Value>) -> Option<T> {
        let (who, assign) = match self.at {
            At::Key if key.contains('.') => (format!("`{key}`"), format!("\"{key}\" = ")),
            At::Key => (format!("`{key}`"), format!("{key} = ")),
            At::Element => (format!("an element of `{key}`"), String::new()),
        };
        let right = match (&found.value, wanted) {
            // A size without a unit is none; whoever writes a small number means these.
            (Value::Int(number), "a string") if ["memory", "disk"].contains(&key) => format!("\"{number}GB\""),
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), "a string") => format!("\"{}\"", scalar(&found.value)),
            (Value::Text(text), "a list") if !text.contains(['\n', '"', '\\']) => format!("[\"{text}\"]"),
            (Value::Text(text), "an integer") if text.parse::<i64>().is_ok() => text.to_string(),
            (_, "a table") => "{ … }".to_owned(),
            (_, "a list") => "[ … ]".to_owned(),
            (_, "an integer") => "1".to_owned(),
            _ => "\"…\"".to_owned(),
        };
        let diagnostic = Diagnostic::error(TYPE, found.span, format!("{who} must be {wanted}"));
        self.report
            .push(diagnostic.label(format!("this is {}", found.value.kind())).help(format!("write `{assign}{right}`")));
        None
    }

    /// A name or quantity that its type refuses.
    pub(super) fn fault<T>(&mut self, span: Span, fault: Fault) -> Option<T> {
        self.report.push(unnamed(span, fault));
        None
    }

    /// The same name twice where each may stand once.
    pub(super) fn twice(&mut self, again: Span, first: Span, name: &str) {
        let diagnostic =
            Diagnostic::error(TWICE, again, format!("`{name}` is named twice")).also(first, "first named here");
        self.report.push(diagnostic.help("remove one of them"));
    }
}

/// A fault of a name or quantity, at the place where it was written.
pub(super) fn unnamed(span: Span, fault: Fault) -> Diagnostic {
    let help = fault.help.unwrap_or_else(|| "see `leafwright explain LW0020`".to_owned());
    Diagnostic::error(NAME, span, fault.message).help(help)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        _ => String::new(),
    }
}

/// What to write where a key is missing, and what it means where the key alone does not say it.
pub(super) struct Hint<'h> {
    pub write: &'h str,
    pub means: &'h str,
}

impl<'h> From<&'h str> for Hint<'h> {
    fn from(write: &'h str) -> Self {
        Self { write, means: "" }
    }
}

/// The keys of one table, taken out one by one.
pub(super) struct Reader<'f, 'r> {
    pub file: &'f mut File<'r>,
    at: Span,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

impl<'f, 'r> Reader<'f, 'r> {
    /// `at` is the table's header: where a missing key is reported.
    pub(super) fn new(file: &'f mut File<'r>, table: Table, at: Span) -> Self {
        Self { file, at, entries: table.entries, known: Vec::with_capacity(8) }
    }

    pub(super) fn take(&mut self, key: &'static str) -> Option<Entry> {
        self.known.push(key);
        let place = self.entries.iter().position(|entry| &*entry.key.value == key)?;
        Some(self.entries.remove(place))
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut File, &str, Spanned<Value>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.take(key)?;
        self.file.at = At::Key;
        read(self.file, key, entry.value)
    }

    /// A key that must be there; the hint is a line that could be pasted.
    pub(super) fn required<'h, T>(
        &mut self,
        key: &'static str,
        hint: impl Into<Hint<'h>>,
        read: impl Fn(&mut File, &str, Spanned<Value>) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            Some(entry) => {
                self.file.at = At::Key;
                read(self.file, key, entry.value)
            }
            None => {
                if self.file.soundness == Soundness::Sound {
                    let diagnostic = Diagnostic::error(MISSING, self.at, format!("`{key}` is missing"));
                    let Hint { write, means } = hint.into();
                    let colon = if means.is_empty() { "" } else { ": " };
                    self.file.report.push(diagnostic.help(format!("write `{write}`{colon}{means}")));
                }
                None
            }
        }
    }

    /// A list, empty if the key is absent; elements that are wrong are reported and left out.
    pub(super) fn list_of<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut File, &str, Spanned<Value>) -> Option<T>,
    ) -> Vec<T> {
        self.optional(key, list(read)).unwrap_or_default()
    }

    /// A list of names, each at most once.
    pub(super) fn set_of<T: Ord + Clone + AsRef<str>>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut File, &str, Spanned<Value>) -> Option<Spanned<T>>,
    ) -> Vec<Spanned<T>> {
        let mut names = self.list_of(key, read);
        once(self.file, &mut names);
        names
    }

    /// `[key.<name>]`: a table of tables by name.
    pub(super) fn each<N: Ord + Clone, T>(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<N, Fault>,
        read: impl Fn(&mut File, Spanned<N>, Table, Span) -> Option<T>,
    ) -> BTreeMap<N, T> {
        let mut all = BTreeMap::new();
        let Some(table) = self.optional(key, table) else { return all };
        for Entry { key, value } in table.value.entries {
            let name = match parse(&key.value) {
                Ok(name) => name,
                Err(fault) => {
                    self.file.fault::<()>(key.span, fault);
                    continue;
                }
            };
            let Some(inner) = self::table(self.file, &key.value, value) else { continue };
            let name = Spanned::new(name, key.span);
            if let Some(thing) = read(self.file, name.clone(), inner.value, inner.span) {
                all.insert(name.value, thing);
            }
        }
        all
    }

    /// Reports what nobody asked for.
    pub(super) fn finish(self) {
        for entry in &self.entries {
            let key = &*entry.key.value;
            let diagnostic = Diagnostic::error(UNKNOWN, entry.key.span, format!("unknown key `{key}`"));
            self.file.report.push(diagnostic.help(advice(self.file.kind, &self.known, entry)));
        }
    }
}

/// The way out of an unknown key: the nearest sibling, else its place in this kind of file, else what may stand here.
fn advice(kind: Kind, known: &[&'static str], entry: &Entry) -> String {
    let key = &*entry.key.value;
    if let Some(near) = nearest(key, known.iter().copied()) {
        return format!("write `{near}`");
    }
    let places: Vec<&str> =
        kind.tree().iter().filter(|(_, keys)| keys.contains(&key)).map(|(place, _)| *place).collect();
    if !places.is_empty() {
        return format!("`{key}` belongs in {}", places.join(" or "));
    }
    if known.contains(&"settings") {
        return match entry.value.value {
            Value::Table(_) => format!("options stand below `settings`: `[settings.{key}]`"),
            _ => format!("options stand below `settings`: `settings.{key} = …`"),
        };
    }
    let keys: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
    format!("known here: {}", keys.join(", "))
}

/// No name that somebody meant is longer.
const LONGEST: usize = 100;
/// Among more candidates the first that are of about its length are looked at.
const LOOKED_AT: usize = 2000;

/// The candidate that `written` most likely means, if one is near enough.
pub fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if written.len() > LONGEST {
        return None;
    }
    let length = written.chars().count();
    let limit = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 4 * LONGEST && candidate.chars().count().abs_diff(length) <= limit)
        .take(LOOKED_AT)
        .map(|candidate| (strsim::osa_distance(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

pub(super) fn text(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Spanned<Box<str>>> {
    match value.value {
        Value::Text(text) => Some(Spanned::new(text, value.span)),
        _ => file.wrong(key, "a string", &value),
    }
}

pub(super) fn table(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Spanned<Table>> {
    match value.value {
        Value::Table(table) => Some(Spanned::new(table, value.span)),
        _ => file.wrong(key, "a table", &value),
    }
}

pub(super) fn any(_: &mut File, _: &str, value: Spanned<Value>) -> Option<Spanned<Value>> {
    Some(value)
}

/// A string that `parse` turns into a name or quantity.
pub(super) fn word<T>(
    parse: fn(&str) -> Result<T, Fault>,
) -> impl Fn(&mut File, &str, Spanned<Value>) -> Option<Spanned<T>> {
    move |file, key, value| {
        let text = text(file, key, value)?;
        match parse(&text.value) {
            Ok(name) => Some(Spanned::new(name, text.span)),
            Err(fault) => file.fault(text.span, fault),
        }
    }
}

pub(super) fn list<T>(
    read: impl Fn(&mut File, &str, Spanned<Value>) -> Option<T>,
) -> impl Fn(&mut File, &str, Spanned<Value>) -> Option<Vec<T>> {
    move |file, key, value| match value.value {
        Value::List(items) => {
            let mut element = |item| {
                file.at = At::Element;
                read(file, key, item)
            };
            Some(items.into_iter().filter_map(&mut element).collect())
        }
        _ => file.wrong(key, "a list", &value),
    }
}

/// A positive whole number.
pub(super) fn count(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Spanned<u32>> {
    match value.value {
        Value::Int(number) => match u32::try_from(number) {
            Ok(number) if number > 0 => Some(Spanned::new(number, value.span)),
            _ => {
                let message = format!("`{key}` must be between 1 and {}", u32::MAX);
                file.report.push(Diagnostic::error(TYPE, value.span, message).help(format!("write `{key} = 1`")));
                None
            }
        },
        _ => file.wrong(key, "an integer", &value),
    }
}

/// Keeps the first of equal names and reports the others.
pub(super) fn once<T: Ord + Clone + AsRef<str>>(file: &mut File, names: &mut Vec<Spanned<T>>) {
    let mut seen: BTreeMap<T, Span> = BTreeMap::new();
    names.retain(|name| match seen.get(&name.value) {
        Some(first) => {
            file.twice(name.span, *first, name.value.as_ref());
            false
        }
        None => {
            seen.insert(name.value.clone(), name.span);
            true
        }
    });
}
