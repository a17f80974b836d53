//! TOML 1.0 text becomes a table of values, each with its place; every mistake of the file is found in one run.
//!
//! Refuses: TOML 1.1 syntax, dates, `inf`, `nan` and NUL, because Nix reads the same files and knows none of them.

use super::draft::{Draft, Key, Node, Origin};
use super::value::{Table, Value};
use crate::diag::codes::Code;
use crate::diag::{Diagnostic, Report, SourceId, Span, Spanned};
use std::borrow::Cow;
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::TokenKind;
use toml_parser::parser::{Event, EventKind, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{Expected, ParseError};

const SYNTAX: Code = Code(1);
const NEWER: Code = Code(3);
const VALUE: Code = Code(4);
const DUPLICATE: Code = Code(5);

/// How deep arrays and tables in braces may nest.
const DEPTH: u32 = 80;

/// May a key that is absent be reported as missing?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    Sound,
    /// There were syntax errors: what is absent may stand in a line that could not be read.
    Recovered,
}

/// Parses the text; what could be read is in the table, whatever the mistakes.
pub(super) fn parse(id: SourceId, text: &str, report: &mut Report) -> (Table, Soundness) {
    let source = toml_parser::Source::new(text);
    let mut errors: Vec<ParseError> = Vec::new();
    let tokens = source.lex().into_vec();
    if let Some(place) = too_deep(&tokens) {
        let start = floor_boundary(text, place.start());
        report.push(deep(Span::new(id, start..floor_boundary(text, place.end()).max(start))));
        return (Table::default(), Soundness::Recovered);
    }
    let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
    let mut receiver = ValidateWhitespace::new(&mut events, source);
    let mut receiver = RecursionGuard::new(&mut receiver, DEPTH);
    parse_document(&tokens, &mut receiver, &mut errors);
    drop(tokens);
    let found = Report::default();
    let mut builder =
        Builder { id, source, events: &events, at: 0, depth: 0, errors, found, merged: false, lost: false };
    let root = builder.document();
    let Builder { errors, found, lost, .. } = builder;
    let soundness = if errors.is_empty() && !lost { Soundness::Sound } else { Soundness::Recovered };
    report.diagnostics.extend(byte_order_mark(NEWER, id, text));
    report_syntax(id, text, errors, report);
    report.absorb(found);
    (root.table(), soundness)
}

/// TOML 1.0 and JSON (RFC 8259, 8.1) have none.
pub(super) fn byte_order_mark(code: Code, id: SourceId, text: &str) -> Option<Diagnostic> {
    let mark = text.starts_with('\u{feff}');
    let finding = || Diagnostic::error(code, Span::new(id, 0..3), "the file begins with a byte order mark");
    mark.then(|| finding().help("save it as UTF-8 without one"))
}

/// The parser recurses even into what it will not take: where brackets are open beyond all measure, it does not begin.
fn too_deep(tokens: &[toml_parser::lexer::Token]) -> Option<toml_parser::Span> {
    let mut depth = 0_u32;
    tokens.iter().find_map(|token| {
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth > 3 * DEPTH).then(|| token.span())
    })
}

fn deep(span: Span) -> Diagnostic {
    Diagnostic::error(SYNTAX, span, format!("tables and lists stand in each other more than {DEPTH} deep"))
        .help("write it flatter: no option is that deep")
}

/// One syntax error a line: the first is the mistake, the others on the line follow from it.
fn report_syntax(id: SourceId, text: &str, mut errors: Vec<ParseError>, report: &mut Report) {
    let place = |error: &ParseError| error.unexpected().or(error.context()).unwrap_or_default();
    errors.sort_by_key(|error| (place(error).start(), place(error).end()));
    let mut covered = None;
    for error in errors {
        let range = place(&error);
        let start = floor_boundary(text, range.start());
        let end = floor_boundary(text, range.end()).max(start);
        if covered.is_some_and(|covered| start <= covered) {
            continue;
        }
        covered = Some(text[start..].find('\n').map_or(text.len(), |newline| start + newline));
        report.push(advise(id, text, start..end, &error));
    }
}

/// Our words for what the parser found, and a way out.
fn advise(id: SourceId, text: &str, range: std::ops::Range<usize>, error: &ParseError) -> Diagnostic {
    let expected: Vec<String> = (error.expected().unwrap_or_default().iter())
        .filter_map(|expected| match expected {
            Expected::Literal("\n") => Some("a new line".to_owned()),
            Expected::Literal(literal) => Some(format!("`{literal}`")),
            Expected::Description(words) => Some((*words).to_owned()),
            _ => None,
        })
        .collect();
    let written = &text[range.clone()];
    let (message, help) = match error.description() {
        "string values must be quoted" if range.is_empty() => ("the key has no value", "write the value after the `=`"),
        "string values must be quoted" if written.starts_with(|c: char| c.is_ascii_digit()) => {
            ("the value is not well formed", "a string stands in quotes, and each key on a line of its own")
        }
        "string values must be quoted" => ("a string must stand in quotes", "write `\"…\"` around the text"),
        "invalid basic string" if expected == ["`\"`"] => {
            ("the string is not closed", "end it with `\"` on the same line")
        }
        "invalid literal string" if expected == ["`'`"] => {
            ("the string is not closed", "end it with `'` on the same line")
        }
        "unexpected key or value" => ("more than one thing on the line", "give each key a line of its own"),
        "key with no value" => ("`=` is missing", "write `key = value`; a key with spaces stands in quotes"),
        "unquoted keys cannot be empty" => ("the key is missing", "write a key before the `=`"),
        "invalid unquoted key" if written == ":" => ("`=` stands between a key and its value", "write `key = value`"),
        "invalid unquoted key" => ("the key has a character that must stand in quotes", "write `\"…\"` around the key"),
        "missing escaped value" => {
            ("there is no such escape", "write `\\\\` for a backslash, or put the text in single quotes")
        }
        "unexpected leading zero" => {
            ("a number cannot begin with zero", "remove the zero, or write a string in quotes")
        }
        "`_` may only go between digits" => ("`_` stands between two digits only", "remove it"),
        "missing comma between array elements" => {
            ("a comma is missing, or the list is not closed", "write `,` between the elements, and `]` after the last")
        }
        "missing value for key" | "missing value" => ("the key has no value", "write the value after the `=`"),
        "unclosed inline table" => ("the table in braces is not closed", "end it with `}` on the same line"),
        "unclosed array" => ("the list is not closed", "end it with `]`"),
        "cannot recurse further; max recursion depth met" => {
            ("tables and lists stand in each other too deep", "write it flatter: no option is that deep")
        }
        "unclosed table" | "unclosed array table" => {
            ("the table's header is not closed", "write `[name]`, or `[[name]]` for one of several")
        }
        other => (other, ""),
    };
    let mut diagnostic = Diagnostic::error(SYNTAX, Span::new(id, range.clone()), message);
    if error.description().contains("array element")
        && let Some(open) = error.context()
    {
        let open = floor_boundary(text, open.start())..floor_boundary(text, open.end());
        diagnostic = diagnostic.also(Span::new(id, open), "the list begins here");
    }
    match (help, expected.is_empty()) {
        ("", true) => diagnostic.help("see `leafwright explain LW0001`"),
        ("", false) => diagnostic.help(format!("write {} here", expected.join(" or "))),
        (help, _) => diagnostic.help(help),
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

struct Builder<'i, 'e> {
    id: SourceId,
    source: toml_parser::Source<'i>,
    events: &'e [Event],
    at: usize,
    /// Tables and lists around the value that is being read.
    depth: usize,
    errors: Vec<ParseError>,
    found: Report,
    /// The present table was already defined: said once at its header, not again at each of its keys.
    merged: bool,
    /// Keys went nowhere, because the table that they name is none.
    lost: bool,
}

impl<'i> Builder<'i, '_> {
    fn next(&mut self) -> Option<Event> {
        let event = self.events.get(self.at).copied();
        self.at += 1;
        event
    }

    fn span(&self, span: toml_parser::Span) -> Span {
        let text = self.source.input();
        let start = floor_boundary(text, span.start());
        Span::new(self.id, start..floor_boundary(text, span.end()).max(start))
    }

    fn document(&mut self) -> Draft {
        let mut root = Draft::new(Origin::Header);
        let mut nowhere = Draft::new(Origin::Header);
        let mut current: Option<Vec<usize>> = Some(vec![]);
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::StdTableOpen | EventKind::ArrayTableOpen => current = self.header(event, &mut root),
                EventKind::SimpleKey => match &current {
                    Some(path) => self.key_value(event, root.at(path)),
                    None => self.key_value(event, &mut nowhere),
                },
                _ => {}
            }
        }
        root
    }

    /// `[a.b]` or `[[a.b]]`: the path of the table that the following keys belong to.
    fn header(&mut self, open: Event, root: &mut Draft) -> Option<Vec<usize>> {
        let mut keys = vec![];
        let mut end = open.span();
        while let Some(event) = self.next() {
            match event.kind() {
                EventKind::SimpleKey => keys.push(self.key(event)),
                EventKind::StdTableClose | EventKind::ArrayTableClose => {
                    end = event.span();
                    break;
                }
                EventKind::Newline => break,
                _ => {}
            }
        }
        let span = self.span(open.span().append(end));
        self.depth = 0;
        if self.is_deep(&keys) {
            return None;
        }
        let last = keys.pop()?;
        self.depth = keys.len() + 1;
        let mut path = vec![];
        for key in keys {
            path.push(self.enter(root.at(&path), key, Origin::Implicit)?);
        }
        self.merged = false;
        let parent = root.at(&path);
        let index = match (open.kind(), parent.find(&last.value)) {
            (EventKind::ArrayTableOpen, None) => {
                parent.push(last, Node::Tables(vec![(Draft::new(Origin::Header), span)]), span)
            }
            (_, None) => parent.push(last, Node::Table(Draft::new(Origin::Header)), span),
            (kind, Some(index)) => self.reopen(parent, index, kind, last, span)?,
        };
        path.push(index);
        Some(path)
    }

    /// A header whose last key exists: another element, the table that was only implied, or a mistake.
    fn reopen(&mut self, parent: &mut Draft, index: usize, kind: EventKind, key: Key<'i>, span: Span) -> Option<usize> {
        let entry = &mut parent.entries[index];
        match (&mut entry.node, kind) {
            (Node::Tables(tables), EventKind::ArrayTableOpen) => tables.push((Draft::new(Origin::Header), span)),
            (Node::Table(draft), EventKind::StdTableOpen) if draft.origin == Origin::Implicit => {
                draft.origin = Origin::Header;
                entry.span = span;
                entry.key = key.boxed();
            }
            (node, _) => {
                let again = entry.key.span;
                let mergeable = matches!((&node, kind), (Node::Table(_), EventKind::StdTableOpen));
                self.duplicate(&key, again);
                self.merged = mergeable;
                self.lost |= !mergeable;
                return mergeable.then_some(index);
            }
        }
        Some(index)
    }

    /// One step of a dotted path: the table there, made if there is none.
    fn enter(&mut self, draft: &mut Draft, key: Key<'i>, origin: Origin) -> Option<usize> {
        let Some(index) = draft.find(&key.value) else {
            let span = key.span;
            return Some(draft.push(key, Node::Table(Draft::new(origin)), span));
        };
        let entry = &mut draft.entries[index];
        match (&mut entry.node, origin) {
            (Node::Table(_) | Node::Tables(_), Origin::Implicit) => Some(index),
            (Node::Table(inner), Origin::Dotted) if inner.origin != Origin::Header => {
                inner.origin = Origin::Dotted;
                Some(index)
            }
            (node, _) => {
                let what = match node {
                    Node::Value(value) => value.kind(),
                    Node::Table(_) => "a table",
                    Node::Tables(_) => "a list of tables",
                };
                let message = format!("`{}` is {what} already and cannot be extended here", key.value);
                let diagnostic =
                    Diagnostic::error(DUPLICATE, key.span, message).also(entry.key.span, "first defined here");
                self.found.push(diagnostic.help("rename one of them, or write both as tables"));
                self.lost = true;
                None
            }
        }
    }

    /// Do these keys lead deeper than anything stands? Then what they lead to is lost, and that is said.
    fn is_deep(&mut self, keys: &[Key<'i>]) -> bool {
        let Some(key) = (DEPTH as usize).checked_sub(self.depth).map_or(keys.first(), |room| keys.get(room)) else {
            return false;
        };
        let diagnostic = deep(key.span);
        self.found.push(diagnostic);
        self.lost = true;
        true
    }

    fn duplicate(&mut self, key: &Key<'i>, first: Span) {
        let diagnostic = Diagnostic::error(DUPLICATE, key.span, format!("`{}` is defined twice", key.value))
            .also(first, "first defined here")
            .help("keep one of them; what belongs together stands in one table");
        self.found.push(diagnostic);
    }

    fn key(&mut self, event: Event) -> Key<'i> {
        let mut decoded = Cow::Borrowed("");
        if let Some(raw) = self.source.get(event) {
            raw.decode_key(&mut decoded, &mut self.errors);
            self.escapes(event);
        }
        let span = self.span(event.span());
        if decoded.contains('\0') {
            self.nul(span);
        }
        Spanned::new(decoded, span)
    }

    /// `a.b = value`, from its first key on.
    fn key_value(&mut self, first: Event, table: &mut Draft) {
        let mut keys = vec![];
        let before = self.errors.len();
        let mut last = self.key(first);
        loop {
            match self.events.get(self.at).map(Event::kind) {
                Some(EventKind::SimpleKey) => {
                    let event = self.events[self.at];
                    let next = self.key(event);
                    keys.push(std::mem::replace(&mut last, next));
                }
                Some(EventKind::KeySep | EventKind::Whitespace | EventKind::Error) => {}
                Some(EventKind::KeyValSep) => break self.at += 1,
                _ => return,
            }
            self.at += 1;
        }
        let nameless = self.errors.len() > before;
        let deep = self.is_deep(&keys);
        let depth = self.depth;
        self.depth += keys.len() + 1;
        let value = self.value();
        self.depth = depth;
        let Some(value) = value.filter(|_| !nameless && !deep) else { return };
        let mut table = table;
        for key in keys {
            let Some(index) = self.enter(table, key, Origin::Dotted) else { return };
            table = table.at(&[index]);
        }
        match table.find(&last.value) {
            Some(_) if self.merged => {}
            Some(index) => self.duplicate(&last, table.entries[index].key.span),
            None => {
                table.push(last, Node::Value(value.value), value.span);
            }
        }
    }

    fn value(&mut self) -> Option<Spanned<Value>> {
        loop {
            let event = self.events.get(self.at).copied()?;
            match event.kind() {
                EventKind::Whitespace | EventKind::Error => self.at += 1,
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    self.at += 1;
                    return self.started(event);
                }
                _ => return None,
            }
        }
    }

    fn started(&mut self, event: Event) -> Option<Spanned<Value>> {
        match event.kind() {
            EventKind::ArrayOpen => Some(self.array(event)),
            EventKind::InlineTableOpen => Some(self.braces(event)),
            _ => self.scalar(event),
        }
    }

    fn array(&mut self, open: Event) -> Spanned<Value> {
        let mut items = vec![];
        let mut end = open.span();
        while let Some(event) = self.events.get(self.at).copied() {
            match event.kind() {
                EventKind::ArrayClose => {
                    end = event.span();
                    self.at += 1;
                    break;
                }
                EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                    self.at += 1;
                    items.extend(self.started(event));
                    end = self.events[self.at - 1].span();
                    continue;
                }
                EventKind::ValueSep
                | EventKind::Whitespace
                | EventKind::Comment
                | EventKind::Newline
                | EventKind::Error => {}
                _ => break,
            }
            self.at += 1;
        }
        items.shrink_to_fit();
        Spanned::new(Value::List(items), self.span(open.span().append(end)))
    }

    /// `{ a = 1, b.c = 2 }`
    fn braces(&mut self, open: Event) -> Spanned<Value> {
        let mut draft = Draft::new(Origin::Header);
        let merged = std::mem::replace(&mut self.merged, false);
        let mut end = open.span();
        let mut comma = None;
        let mut newline = None;
        while let Some(event) = self.events.get(self.at).copied() {
            match event.kind() {
                EventKind::InlineTableClose => {
                    end = event.span();
                    self.at += 1;
                    break;
                }
                EventKind::SimpleKey => {
                    self.at += 1;
                    comma = None;
                    self.key_value(event, &mut draft);
                    end = self.events[self.at.min(self.events.len()) - 1].span();
                    continue;
                }
                EventKind::ValueSep => comma = Some(event.span()),
                EventKind::Newline | EventKind::Comment => newline = newline.or(Some(event.span())),
                EventKind::Whitespace | EventKind::Error => {}
                _ => break,
            }
            self.at += 1;
        }
        self.merged = merged;
        self.one_line(open.span(), newline, comma);
        let span = self.span(open.span().append(end));
        Spanned::new(Value::Table(draft.table()), span)
    }

    fn one_line(
        &mut self,
        open: toml_parser::Span,
        newline: Option<toml_parser::Span>,
        comma: Option<toml_parser::Span>,
    ) {
        if newline.is_some() {
            let diagnostic = Diagnostic::error(NEWER, self.span(open), "a table in braces must stand on one line")
                .label("it goes on in the next line")
                .help("join the lines, or write it as a `[table]` of its own");
            self.found.push(diagnostic);
        } else if let Some(comma) = comma {
            let diagnostic = Diagnostic::error(NEWER, self.span(comma), "a table in braces cannot end with a comma")
                .help("remove the last comma");
            self.found.push(diagnostic);
        }
    }

    /// A value that is not well formed is left out, except that a text without quotes is what it says.
    fn scalar(&mut self, event: Event) -> Option<Spanned<Value>> {
        let span = self.span(event.span());
        let mut decoded = Cow::Borrowed("");
        let before = self.errors.len();
        let kind = match self.source.get(event) {
            Some(raw) => raw.decode_scalar(&mut decoded, &mut self.errors),
            None => ScalarKind::String,
        };
        let sound = self.errors.len() == before;
        let value = match kind {
            ScalarKind::Boolean(value) => Value::Bool(value),
            ScalarKind::Integer(radix) if sound => self.integer(&decoded, radix.value(), span),
            ScalarKind::Float if sound => self.float(&decoded, span),
            ScalarKind::DateTime if sound => {
                let message = "dates and times are not accepted";
                let help = format!("write it as a string: `\"{decoded}\"`");
                self.found.push(Diagnostic::error(VALUE, span, message).help(help));
                Value::Text(decoded.into())
            }
            ScalarKind::String if sound || !decoded.is_empty() => {
                self.escapes(event);
                if decoded.contains('\0') {
                    self.nul(span);
                }
                Value::Text(decoded.into())
            }
            ScalarKind::String | ScalarKind::Integer(_) | ScalarKind::Float | ScalarKind::DateTime => return None,
        };
        Some(Spanned::new(value, span))
    }

    fn integer(&mut self, digits: &str, radix: u32, span: Span) -> Value {
        let value = i64::from_str_radix(digits, radix).unwrap_or_else(|_| {
            let message = "the integer is out of range";
            let help = format!("integers reach from {} to {}", i64::MIN, i64::MAX);
            self.found.push(Diagnostic::error(VALUE, span, message).help(help));
            0
        });
        Value::Int(value)
    }

    fn float(&mut self, digits: &str, span: Span) -> Value {
        let value = digits.parse::<f64>().unwrap_or(f64::NAN);
        if !value.is_finite() {
            let message = "a float must be a finite number";
            self.found.push(Diagnostic::error(VALUE, span, message).help("leave the key out where there is no limit"));
            return Value::Float(0.0);
        }
        Value::Float(value)
    }

    fn nul(&mut self, span: Span) {
        self.found.push(Diagnostic::error(VALUE, span, "a string cannot contain NUL").help("remove `\\u0000`"));
    }

    /// `\e` and `\xHH` came with TOML 1.1.
    fn escapes(&mut self, event: Event) {
        let (Some(Encoding::BasicString | Encoding::MlBasicString), Some(raw)) =
            (event.encoding(), self.source.get(event))
        else {
            return;
        };
        let bytes = raw.as_bytes();
        let mut at = 0;
        while at + 1 < bytes.len() {
            if bytes[at] != b'\\' {
                at += 1;
                continue;
            }
            let start = event.span().start() + at;
            if matches!(bytes[at + 1], b'e' | b'x') {
                let span = self.span(toml_parser::Span::new_unchecked(start, start + 2));
                let (escape, instead) = if bytes[at + 1] == b'e' { ("\\e", "\\u001b") } else { ("\\x", "\\u00") };
                let help = match escape {
                    "\\e" => format!("write `{instead}`"),
                    _ => format!("write `{instead}` and the two digits"),
                };
                self.found
                    .push(Diagnostic::error(NEWER, span, format!("the escape `{escape}` is not TOML 1.0")).help(help));
            }
            at += 2;
        }
    }
}
