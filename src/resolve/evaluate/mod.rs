//! From definitions to finished values: which definition wins, what lists and tables hold, what expressions say.
//!
//! Refuses: laziness that depends on luck. Everything that is read is evaluated first, once; a cycle is an error that names each edge.

mod expression;
mod leaf;
mod table;

use super::budget::Interpreter;
use super::codes;
use super::layers::{Condition, Ground, Layer, Layers, Node, Rank, push};
use super::places::Noted;
use super::schema::{Decl, Default, Shape};
use super::shared::{Recorder, Shared};
use super::types::Type;
use super::val::Val;
use crate::declare::nearest;
use crate::diag::{Diagnostic, Report, Span, Spanned};
use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

/// What came of a place in the option tree.
#[derive(Clone, Debug)]
pub enum Out {
    Value(Val),
    /// Nobody said anything.
    Absent,
    /// Somebody said something wrong; it has been reported.
    Failed,
}

/// What weaker definitions a table's `[remove]` or `[force]` took away from what lies below.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub layer: Layer,
    pub rank: Rank,
}

impl Cut {
    pub const NOTHING: Cut = Cut { layer: Layer::OptionDefault, rank: Rank::WEAKEST };
}

/// A value that does not stand in the tree itself: a part of a table that an expression or a default gave as a whole.
#[derive(Clone, Debug)]
pub struct Extra {
    rank: Rank,
    span: Span,
    value: Val,
}

/// A place in the option tree while walking down.
#[derive(Clone, Copy)]
enum Spot<'a> {
    Group(&'a BTreeMap<Arc<str>, Shape>),
    Typed(&'a Type, Option<&'a Default>),
}

/// An option's type, what was said about it, and its default.
#[derive(Clone, Copy)]
struct Here<'e, 'a> {
    kind: &'a Type,
    node: Option<&'e Node<'a>>,
    cut: Cut,
    default: Option<&'a Default>,
}

#[derive(Clone, Debug)]
enum Memo {
    Running,
    Done(Out),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Unknown,
    Running,
    On,
    Off,
}

/// "this needs …": one edge of a possible cycle.
#[derive(Clone, Debug)]
struct Edge {
    name: String,
    span: Span,
}

/// The evaluation of one machine, or of one cluster.
pub struct Evaluation<'e, 'a> {
    pub ground: Ground<'a>,
    pub root: &'e Node<'a>,
    pub interpreter: &'e Interpreter,
    /// `machine.name` and the like.
    pub facts: Vec<(&'static str, Val)>,
    /// What is blamed where nothing was written.
    pub origin: Span,
    pub report: Report,
    /// Winning definitions that are not the same for every machine of the base.
    pub places: Noted,
    /// What the base has worked out, and the options of which the machine says something itself.
    pub shared: Option<&'e Shared>,
    pub touched: BTreeSet<&'a str>,
    /// Set while a base is evaluated.
    pub recorder: Option<Recorder>,
    conditions: &'e [Condition<'a>],
    switches: Vec<Switch>,
    memo: BTreeMap<Box<str>, Memo>,
    /// Tables that are finished, by the path of their option: an expression may read one, and then all are gathered.
    tables: Vec<(&'a str, Val)>,
    stack: Vec<Edge>,
    keys: Vec<Arc<str>>,
}

impl<'e, 'a> Evaluation<'e, 'a> {
    pub fn new(ground: Ground<'a>, layers: &'e Layers<'a>, interpreter: &'e Interpreter, origin: Span) -> Self {
        let (root, conditions) = (&layers.root, &layers.conditions);
        let switches = vec![Switch::Unknown; conditions.len()];
        Evaluation {
            ground,
            root,
            interpreter,
            facts: vec![],
            origin,
            report: Report::default(),
            places: Noted::default(),
            shared: None,
            touched: BTreeSet::new(),
            recorder: None,
            conditions,
            switches,
            memo: BTreeMap::new(),
            tables: vec![],
            stack: vec![],
            keys: vec![],
        }
    }

    /// Everything between the options, with everything below.
    pub fn all(&mut self) -> Out {
        let schema = self.ground.schema;
        self.group(&mut String::new(), &schema.roots, Some(self.root))
    }

    fn group(&mut self, path: &mut String, group: &'a BTreeMap<Arc<str>, Shape>, node: Option<&'e Node<'a>>) -> Out {
        let mut entries = Vec::with_capacity(group.len());
        let mut failed = false;
        let mut children = Children::of(node);
        for (key, shape) in group {
            let before = push(path, key);
            let child = children.at(key);
            let out = match shape {
                Shape::Group(inner) => self.group(path, inner, child),
                Shape::Option(decl) => {
                    let out = self.option(path, decl, child);
                    self.required(out, (path, &decl.kind), self.origin)
                }
            };
            path.truncate(before);
            match out {
                Out::Value(value) => entries.push((key.clone(), value)),
                Out::Absent => {}
                Out::Failed => failed = true,
            }
        }
        if failed { Out::Failed } else { Out::Value(Val::Map(entries.into())) }
    }

    /// A whole option, with everything below.
    fn option(&mut self, path: &mut String, decl: &'a Decl, node: Option<&'e Node<'a>>) -> Out {
        if let Some((_, table)) = self.tables.iter().find(|(finished, _)| *finished == &*decl.path) {
            return Out::Value(table.clone());
        }
        let here = Here { kind: &decl.kind, node, cut: Cut::NOTHING, default: decl.default.as_ref() };
        let before = self.report.diagnostics.len();
        let out = self.typed(path, here, &[]);
        // Within a circle it may be half of itself; and while a base is watched, each reader reads what it reads.
        if self.recorder.is_none()
            && self.report.diagnostics.len() == before
            && let (Type::Map(..) | Type::Record(_), Out::Value(table)) = (decl.kind.inner(), &out)
        {
            self.tables.push((&decl.path, table.clone()));
        }
        out
    }

    /// An option that must have a value, and has none, is an error.
    fn required(&mut self, out: Out, (path, kind): (&str, &Type), span: Span) -> Out {
        if !matches!(out, Out::Absent) || matches!(kind, Type::Optional(_)) {
            return out;
        }
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let dot = if table.is_empty() { "" } else { "." };
        self.report.push(
            Diagnostic::error(codes::NO_VALUE, span, format!("`{path}` has no value"))
                .help(format!("set it, {}: `[settings{dot}{table}]` then `{key} = …`", kind.name())),
        );
        Out::Failed
    }

    fn typed(&mut self, path: &mut String, here: Here<'e, 'a>, extras: &[Extra]) -> Out {
        match here.kind.inner() {
            Type::Map(..) | Type::Record(_) => self.table(path, here, extras),
            Type::List(_) | Type::Set(_) => self.list(path, here, extras),
            _ => self.scalar(path, here, extras),
        }
    }
}

/// Two files may say the same of one path; each is evaluated for itself.
fn memo(path: &str, span: Span) -> String {
    format!("{path}@{}:{}", span.source.0, span.start)
}

fn child_of<'e, 'a>(node: Option<&'e Node<'a>>, key: &str) -> Option<&'e Node<'a>> {
    node?.children.get(key).map(|child| &**child)
}

/// The children of a node, for those who ask for them in their order.
struct Children<'e, 'a>(Option<Peekable<Iter<'e, Arc<str>, Arc<Node<'a>>>>>);

impl<'e, 'a> Children<'e, 'a> {
    fn of(node: Option<&'e Node<'a>>) -> Self {
        Children(node.map(|node| node.children.iter().peekable()))
    }

    fn at(&mut self, key: &str) -> Option<&'e Node<'a>> {
        let children = self.0.as_mut()?;
        while children.next_if(|(name, _)| ***name < *key).is_some() {}
        children.next_if(|(name, _)| ***name == *key).map(|(_, child)| &**child)
    }
}

fn collect(entries: &mut Vec<(Arc<str>, Val)>, key: &Arc<str>, out: Out) -> bool {
    match out {
        Out::Value(value) => {
            entries.push((key.clone(), value));
            false
        }
        Out::Absent => false,
        Out::Failed => true,
    }
}

fn keys_of(node: Option<&Node>, extras: &[Extra]) -> BTreeSet<Arc<str>> {
    let given = extras.iter().flat_map(|extra| match &extra.value {
        Val::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        _ => vec![],
    });
    node.into_iter().flat_map(|node| node.children.keys().cloned()).chain(given).collect()
}

fn elements(value: &Val) -> &[Val] {
    match value {
        Val::List(items) => items,
        _ => &[],
    }
}

fn part_of<K: AsRef<str>>(whole: Out, keys: &[K]) -> Out {
    let Out::Value(mut value) = whole else { return whole };
    for key in keys {
        match value.get(key.as_ref()) {
            Some(part) => value = part.clone(),
            None => return Out::Absent,
        }
    }
    Out::Value(value)
}

fn conflict(path: &str, (first, at): (&Val, Span), (second, then): (&Val, Span), rank: Rank) -> Diagnostic {
    let (first_span, second_span) = if at <= then { (at, then) } else { (then, at) };
    let (earlier, later) = if at <= then { (first, second) } else { (second, first) };
    let stronger = match rank.layer {
        Layer::OptionDefault | Layer::ModuleDefault | Layer::Module => {
            "set it in the domain or the machine, which are stronger, or remove one of the two"
        }
        _ => "remove one of the two",
    };
    Diagnostic::error(codes::CONFLICT, second_span, format!("`{path}` has two values in one layer"))
        .label(format!("here it is {later}"))
        .also(first_span, format!("first defined here, as {earlier}"))
        .help(stronger)
}

fn nothing_to_remove(path: &str, gone: &Spanned<Val>, there: impl Iterator<Item = String>) -> Diagnostic {
    let there: Vec<String> = there.collect();
    let text = match &gone.value {
        Val::Text(text) => text.to_string(),
        other => other.to_string(),
    };
    let error =
        Diagnostic::error(codes::NOTHING_TO_REMOVE, gone.span, format!("no weaker layer put `{text}` into `{path}`"));
    let bare = there.iter().map(|item| item.trim_matches('"'));
    match nearest(&text, bare) {
        Some(near) if near != text => error.help(format!("write \"{near}\"")),
        _ => error.help("remove this line"),
    }
}
