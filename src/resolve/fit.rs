//! A value is parsed once into its option's type: texts become sizes, addresses, names, references; everything else is a diagnostic.
//!
//! Refuses: guessing. `1` is no duration, `"1"` no integer, and a machine that nobody declared is no machine.

use super::codes;
use super::schema::{Default, Record};
use super::types::{Type, Word};
use super::val::{Val, path_key};
use crate::declare::nearest;
use crate::declare::{Declared, Value};
use crate::diag::{Diagnostic, Report, Span, Spanned};
use crate::name::{self, ByteSize, Duration, Fault};
use std::sync::Arc;

/// Evaluates a text that holds `${…}`; `None` when it failed and said so.
pub type Evaluate<'f> = &'f mut dyn FnMut(&str, Span, &mut Report) -> Option<Val>;

/// What fitting needs besides the value and its type.
pub struct Fit<'f> {
    pub declared: &'f Declared,
    pub report: &'f mut Report,
    pub evaluate: Evaluate<'f>,
}

/// Does the value hold an expression anywhere?
pub fn has_expression(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.contains("${"),
        Value::List(items) => items.iter().any(|item| has_expression(&item.value)),
        Value::Table(table) => table.entries.iter().any(|entry| has_expression(&entry.value.value)),
        _ => false,
    }
}

/// Fits a written value to a type. `path` names the option in messages.
pub fn fit(path: &str, value: &Spanned<Value>, kind: &Type, cx: &mut Fit) -> Option<Val> {
    match (kind.inner(), &value.value) {
        (_, Value::Text(text)) if text.contains("${") => {
            let evaluated = (cx.evaluate)(text, value.span, cx.report)?;
            said(coerce(&evaluated, kind, cx.declared), path, value.span, cx.report)
        }
        (Type::List(inner), Value::List(items)) => {
            let fitted: Vec<_> = items.iter().map(|item| fit(path, item, inner, cx)).collect();
            fitted.into_iter().collect::<Option<Vec<_>>>().map(|items| Val::List(items.into()))
        }
        (Type::Set(inner), Value::List(items)) => {
            let fitted: Vec<_> = items.iter().map(|item| fit(path, item, inner, cx)).collect();
            fitted.into_iter().collect::<Option<Vec<_>>>().map(|items| as_set(&items))
        }
        (Type::Map(_, inner), Value::Table(table)) => {
            let mut entries = vec![];
            let mut whole = true;
            for entry in &table.entries {
                let path = format!("{path}.{}", path_key(&entry.key.value));
                let key = said(key_of(&entry.key.value, kind, cx.declared), &path, entry.key.span, cx.report);
                let value = fit(&path, &entry.value, inner, cx);
                whole &= key.is_some() && value.is_some();
                entries.extend(value.map(|value| (Arc::from(&*entry.key.value), value)));
            }
            whole.then(|| Val::map(entries))
        }
        (Type::Map(_, inner), Value::List(items)) if matches!(inner.inner(), Type::Map(..)) => {
            let fault = Fault::new(format!("{} is expected, not a list", kind.name()));
            let first =
                items.iter().find_map(|item| if let Value::Text(text) = &item.value { Some(text) } else { None });
            let key = first.map_or("name".into(), |text| path_key(text));
            said(Err(fault.help(format!("a key for each: `{path}.{key} = {{}}`"))), path, value.span, cx.report)
        }
        (Type::Record(record), Value::Table(_)) => fit_record(path, value, record, cx),
        // Only expressions count in bytes and nanoseconds; a number that somebody wrote leaves open of what.
        (Type::Word(Word::Size | Word::Duration), Value::Int(number)) => {
            let fault = Fault::new(format!("{} is expected, not an integer", kind.name()));
            let unit = if matches!(kind.inner(), Type::Word(Word::Size)) { "B" } else { "s" };
            said(Err(fault.help(format!("say of what, such as \"{number}{unit}\""))), path, value.span, cx.report)
        }
        (_, written) => said(coerce(&plain(written), kind, cx.declared), path, value.span, cx.report),
    }
}

fn fit_record(path: &str, value: &Spanned<Value>, record: &Record, cx: &mut Fit) -> Option<Val> {
    let Value::Table(table) = &value.value else { return None };
    let mut entries: Vec<(Arc<str>, Val)> = vec![];
    let mut whole = true;
    for entry in &table.entries {
        let path = format!("{path}.{}", path_key(&entry.key.value));
        let Some(field) = record.fields.get(&*entry.key.value) else {
            cx.report.push(unknown_field(&path, &entry.key, record));
            whole = false;
            continue;
        };
        let fitted = fit(&path, &entry.value, &field.kind, cx);
        whole &= fitted.is_some();
        entries.extend(fitted.map(|value| (Arc::from(&*entry.key.value), value)));
    }
    for (name, field) in &record.fields {
        match &field.default {
            _ if table.get(name).is_some() => {}
            Some(Default::Fixed(value)) => entries.push((name.clone(), value.clone())),
            Some(Default::Written(_)) | None if matches!(field.kind, Type::Optional(_)) => {}
            None if matches!(field.kind, Type::Map(..)) => entries.push((name.clone(), Val::map(vec![]))),
            _ => {
                whole = false;
                cx.report.push(
                    Diagnostic::error(codes::NO_VALUE, value.span, format!("`{path}.{name}` has no value"))
                        .help(format!("add `{name} = …`, {}", field.kind.name())),
                );
            }
        }
    }
    whole.then(|| Val::map(entries))
}

/// "unknown field", with the nearest one.
pub fn unknown_field(path: &str, key: &Spanned<Box<str>>, record: &Record) -> Diagnostic {
    let known = record.fields.keys().map(|name| &**name);
    let error = Diagnostic::error(codes::UNKNOWN_OPTION, key.span, format!("there is no option `{path}`"));
    match nearest(&key.value, known.clone()) {
        Some(near) => error.help(format!("write `{near}`")),
        None => error.help(format!("the fields are {}", known.collect::<Vec<_>>().join(", "))),
    }
}

fn said(result: Result<Val, Fault>, path: &str, span: Span, report: &mut Report) -> Option<Val> {
    match result {
        Ok(value) => Some(value),
        Err(fault) => {
            let code = if fault.message.starts_with("there is no") { codes::UNKNOWN_NAME } else { codes::DOES_NOT_FIT };
            let mut error = Diagnostic::error(code, span, fault.message).label(format!("in `{path}`"));
            error.help.extend(fault.help);
            report.push(error);
            None
        }
    }
}

/// Reports a fault of a value of `path`.
pub fn report_fault(result: Result<Val, Fault>, path: &str, span: Span, report: &mut Report) -> Option<Val> {
    said(result, path, span, report)
}

/// A written value without any type.
pub fn plain(value: &Value) -> Val {
    match value {
        Value::Bool(value) => Val::Bool(*value),
        Value::Int(value) => Val::Int(*value),
        Value::Float(value) => Val::Float(*value),
        Value::Text(value) => Val::text(value),
        Value::List(items) => Val::List(items.iter().map(|item| plain(&item.value)).collect()),
        Value::Table(table) => {
            Val::map(table.entries.iter().map(|e| (Arc::from(&*e.key.value), plain(&e.value.value))).collect())
        }
    }
}

/// Is `key` a key of the map type `kind`?
pub fn key_of(key: &str, kind: &Type, declared: &Declared) -> Result<Val, Fault> {
    match kind.inner() {
        Type::Map(Some(word), _) => spell(*word, key, declared),
        _ => Ok(Val::text(key)),
    }
}

/// Sorted, each element once.
pub fn as_set(items: &[Val]) -> Val {
    let mut sorted: Vec<(String, &Val)> = items.iter().map(|item| (item.to_string(), item)).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.dedup_by(|a, b| a.0 == b.0);
    Val::List(sorted.into_iter().map(|(_, item)| item.clone()).collect())
}

/// Fits a value without places (what an expression returned, a scalar) to a type.
pub fn coerce(value: &Val, kind: &Type, declared: &Declared) -> Result<Val, Fault> {
    let wrong = || Fault::new(format!("{} is expected, not {}", kind.name(), value.kind()));
    match (kind, value) {
        (Type::Optional(_), Val::Null) => Ok(Val::Null),
        (Type::Optional(inner), value) => coerce(value, inner, declared),
        (Type::Any, Val::Null) => Err(wrong()),
        (Type::Any, value) => Ok(value.clone()),
        (Type::Bool, Val::Bool(_)) => Ok(value.clone()),
        (Type::Int { least, most }, Val::Int(number)) => {
            let inside = least.is_none_or(|least| *number >= least) && most.is_none_or(|most| *number <= most);
            inside.then(|| value.clone()).ok_or_else(|| Fault::new(format!("{number} is not {}", kind.name())))
        }
        (Type::Float { least, most }, Val::Float(_) | Val::Int(_)) => {
            #[expect(clippy::cast_precision_loss, reason = "an integer where a float is meant is written small")]
            let number = match value {
                Val::Int(number) => *number as f64,
                Val::Float(number) => *number,
                _ => return Err(wrong()),
            };
            let inside = least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
            let fits = inside && number.is_finite();
            fits.then_some(Val::Float(number)).ok_or_else(|| Fault::new(format!("{number} is not {}", kind.name())))
        }
        (Type::Text(None), Val::Text(_)) => Ok(value.clone()),
        (Type::Text(Some(pattern)), Val::Text(text)) if pattern.is_match(text) => Ok(value.clone()),
        (Type::Text(Some(_)), Val::Text(text)) => Err(Fault::new(format!("`{text}` is not {}", kind.name()))),
        (Type::Enum(choices), Val::Text(text)) => choice(text, choices, kind),
        (Type::Word(word), value) => coerce_word(*word, value, declared).unwrap_or_else(|| Err(wrong())),
        (Type::List(inner), Val::List(items)) => {
            let items = items.iter().map(|item| coerce(item, inner, declared)).collect::<Result<Vec<_>, _>>()?;
            Ok(Val::List(items.into()))
        }
        (Type::Set(inner), Val::List(items)) => {
            let items = items.iter().map(|item| coerce(item, inner, declared)).collect::<Result<Vec<_>, _>>()?;
            Ok(as_set(&items))
        }
        (Type::Map(_, inner), Val::Map(entries)) => {
            let fitted = entries.iter().map(|(key, value)| {
                key_of(key, kind, declared)?;
                Ok((key.clone(), coerce(value, inner, declared)?))
            });
            Ok(Val::map(fitted.collect::<Result<_, Fault>>()?))
        }
        (Type::Record(record), Val::Map(entries)) => coerce_record(record, entries, declared),
        (Type::Either(kinds), value) => {
            kinds.iter().find_map(|kind| coerce(value, kind, declared).ok()).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn coerce_record(record: &Record, entries: &[(Arc<str>, Val)], declared: &Declared) -> Result<Val, Fault> {
    let mut fitted = vec![];
    for (key, value) in entries {
        let field = record.fields.get(key).ok_or_else(|| Fault::new(format!("`{key}` is not a field here")))?;
        fitted.push((key.clone(), coerce(value, &field.kind, declared)?));
    }
    for (name, field) in &record.fields {
        let given = entries.iter().any(|(key, _)| key == name);
        match &field.default {
            _ if given => {}
            Some(Default::Fixed(value)) => fitted.push((name.clone(), value.clone())),
            _ if matches!(field.kind, Type::Optional(_)) => {}
            _ => return Err(Fault::new(format!("`{name}` has no value"))),
        }
    }
    Ok(Val::map(fitted))
}

fn choice(text: &str, choices: &[Box<str>], kind: &Type) -> Result<Val, Fault> {
    if choices.iter().any(|choice| **choice == *text) {
        return Ok(Val::text(text));
    }
    let fault = Fault::new(format!("`{text}` is not {}", kind.name()));
    Err(match nearest(text, choices.iter().map(|choice| &**choice)) {
        Some(near) => fault.help(format!("write \"{near}\"")),
        None => fault,
    })
}

/// `None` when the value has not even the right shape.
fn coerce_word(word: Word, value: &Val, declared: &Declared) -> Option<Result<Val, Fault>> {
    match (word, value) {
        (Word::Port, Val::Int(port)) => Some(match port {
            1..=65535 => Ok(value.clone()),
            _ => Err(Fault::new(format!("{port} is not a port, 1 to 65535"))),
        }),
        (Word::Size, Val::Size(_)) | (Word::Duration, Val::Duration(_)) => Some(Ok(value.clone())),
        // What expressions compute with are plain integers: bytes and nanoseconds.
        (Word::Size, Val::Int(bytes)) if *bytes >= 0 => Some(Ok(Val::Size(ByteSize::bytes(bytes.unsigned_abs())))),
        (Word::Duration, Val::Int(nanos)) if *nanos >= 0 => {
            Some(Ok(Val::Duration(Duration::nanos(nanos.unsigned_abs()))))
        }
        (Word::Port, _) => None,
        (word, Val::Text(text)) => Some(spell(word, text, declared)),
        _ => None,
    }
}

/// Parses a text as a word; what comes out is canonical.
fn spell(word: Word, text: &str, declared: &Declared) -> Result<Val, Fault> {
    let ok = || Ok(Val::text(text));
    match word {
        Word::Path => path(text),
        Word::Secret => secret(text),
        Word::Port => Err(Fault::new("a port is a number without quotes")),
        Word::Ip => parsed::<std::net::IpAddr>(text, "an IP address", "9.9.9.9"),
        Word::Socket => parsed::<std::net::SocketAddr>(text, "a socket address", "127.0.0.1:4222"),
        Word::Cidr => cidr(text),
        Word::Url => url(text),
        Word::Host => host(text),
        Word::Duration => Duration::parse(text).map(Val::Duration),
        Word::Size => ByteSize::parse(text).map(Val::Size),
        Word::Subject => name::Subject::parse(text).and_then(|_| ok()),
        Word::SubjectPattern => name::SubjectPattern::parse(text).and_then(|_| ok()),
        Word::Stream => name::StreamName::parse(text).and_then(|_| ok()),
        Word::Bucket => name::BucketName::parse(text).and_then(|_| ok()),
        Word::Service => name::ServiceName::parse(text).and_then(|_| ok()),
        Word::NKey => name::NKeyPublic::parse(text).and_then(|_| ok()),
        // What a broken file would define is not unknown.
        Word::Machine if declared.broken.contains(&format!("machines/{text}.toml")) => ok(),
        Word::Person if declared.broken.contains(&format!("people/{text}.toml")) => ok(),
        Word::Zone if declared.broken.contains("domain.toml") => ok(),
        Word::Machine => declared_name("machine", text, declared.machines.keys().map(name::MachineName::as_str)),
        Word::Person => declared_name("person", text, declared.people.keys().map(name::PersonName::as_str)),
        Word::Zone => {
            let zones = declared.domain.iter().flat_map(|domain| domain.zones.keys());
            declared_name("zone", text, zones.map(name::ZoneName::as_str))
        }
    }
}

fn parsed<T: std::str::FromStr + std::fmt::Display>(text: &str, what: &str, example: &str) -> Result<Val, Fault> {
    match text.parse::<T>() {
        Ok(value) => Ok(Val::text(&value.to_string())),
        Err(_) => Err(Fault::new(format!("`{text}` is not {what}")).help(format!("write it like \"{example}\""))),
    }
}

fn path(text: &str) -> Result<Val, Fault> {
    let fault = |message: String| Err(Fault::new(message).help("write it like \"/var/lib/nats\""));
    if !text.starts_with('/') {
        return fault(format!("`{text}` is not an absolute path"));
    }
    if text.contains(['\0', '\n']) || text.split('/').any(|part| part == "..") {
        return fault(format!("`{text}` is a path with `..` or a control character"));
    }
    Ok(Val::text(text))
}

/// The value is never repeated in a message: it may be the secret itself.
fn secret(text: &str) -> Result<Val, Fault> {
    path(text).map_err(|_| {
        Fault::new("a secret is referred to by the absolute path of its file; this is not one")
            .help("put the secret into a file on the machine and write its path, such as \"/etc/leafwright/credentials/leaf.creds\"")
    })
}

fn cidr(text: &str) -> Result<Val, Fault> {
    let fits = text.split_once('/').is_some_and(|(address, prefix)| {
        let most = match address.parse() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
    });
    if fits {
        return Ok(Val::text(text));
    }
    Err(Fault::new(format!("`{text}` is not a network")).help("write it like \"10.0.0.0/8\" or \"2001:db8::/32\""))
}

fn url(text: &str) -> Result<Val, Fault> {
    let scheme =
        |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let fits = text
        .split_once("://")
        .is_some_and(|(before, after)| scheme(before) && !after.is_empty() && !after.contains(char::is_whitespace));
    if fits {
        return Ok(Val::text(text));
    }
    Err(Fault::new(format!("`{text}` is not a URL")).help("write it like \"https://example.org/feed\""))
}

/// A host name or an IP address: what one can connect to.
fn host(text: &str) -> Result<Val, Fault> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(Val::text(text));
    }
    // Whoever connects reads a last label of digits as the end of an address (RFC 1123, 2.1).
    if text.rsplit('.').next().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Fault::new(format!("`{text}` is no IP address"))
            .help("an IPv4 address has four numbers of 0 to 255, like 192.0.2.7"));
    }
    name::HostName::parse(text).map(|_| Val::text(text))
}

fn declared_name<'a>(what: &str, text: &str, known: impl Iterator<Item = &'a str> + Clone) -> Result<Val, Fault> {
    if known.clone().any(|name| name == text) {
        return Ok(Val::text(text));
    }
    let fault = Fault::new(format!("there is no {what} `{text}`"));
    Err(match nearest(text, known) {
        Some(near) => fault.help(format!("write `{near}`")),
        None => fault,
    })
}
