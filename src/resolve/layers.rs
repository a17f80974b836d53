//! Layers: every body's values are laid into one tree of definitions, each with its layer, its class and its place.
//!
//! Refuses: deciding which definition wins (`evaluate` does), and keys that no option declares.

use super::codes;
use super::expr::{ExprFault, Expressions, Parsed, Slot, Template};
use super::fit::{self, Fit, has_expression, key_of, report_fault, unknown_field};
use super::schema::{At, Decl, Default, Schema, Shape, fields_of, inside};
use super::types::Type;
use super::val::{Val, path_key};
use crate::declare::{Body, Check, Declared, Entry, Table, Value};
use crate::diag::{Diagnostic, Report, Span, Spanned};
use crate::name::ModuleName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who speaks; weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    OptionDefault,
    ModuleDefault,
    Module,
    Domain,
    Zone,
    Hardware,
    /// The machine's own file; for a cluster, its table in `domain.toml`.
    Machine,
    Foreground,
}

/// How it is said. Any force beats everything that is not one; a default gives way to every setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    Default,
    Settings,
    Force,
}

/// A class in a layer: what decides between definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub class: Class,
    pub layer: Layer,
}

impl Rank {
    pub const WEAKEST: Rank = Rank { class: Class::Default, layer: Layer::OptionDefault };
}

/// A block that is switched on by `when`; 0 is "always".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockId(pub u32);

impl BlockId {
    pub const ALWAYS: BlockId = BlockId(0);
}

#[derive(Clone, Debug)]
pub struct Def<'a> {
    pub rank: Rank,
    pub block: BlockId,
    pub span: Span,
    pub what: What<'a>,
}

#[derive(Clone, Debug)]
pub enum What<'a> {
    /// A literal, fitted to its type.
    Value(Val),
    /// Holds expressions; fitted when they are evaluated.
    Written(&'a Spanned<Value>),
    /// The entry exists, whatever its fields say.
    Present,
    /// `[force]` of a whole `{ … }`: everything weaker is gone.
    Replace,
    /// `[remove]`: keys or elements of weaker layers.
    Remove(Vec<Spanned<Val>>),
}

/// All definitions of one place in the option tree and below it.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub defs: Vec<Def<'a>>,
    pub children: BTreeMap<Arc<str>, Arc<Node<'a>>>,
    /// Where the key was written first.
    pub key: Option<Span>,
}

impl<'a> Node<'a> {
    fn child(&mut self, key: &str) -> &mut Node<'a> {
        if !self.children.contains_key(key) {
            self.children.insert(Arc::from(key), Arc::default());
        }
        // The entry exists now; `default` is never taken.
        Arc::make_mut(self.children.entry(Arc::from(key)).or_default())
    }
}

/// A `when`, the paths that its block sets, and what it reads.
#[derive(Clone, Debug)]
pub struct Condition<'a> {
    pub text: &'a Spanned<Box<str>>,
    pub template: Arc<Template>,
}

/// A check with the block that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct PlacedCheck<'a> {
    pub check: &'a Check,
    pub block: BlockId,
    pub severity: crate::diag::Severity,
    pub layer: Layer,
}

/// Definitions, conditions and checks of some bodies.
#[derive(Clone, Debug, Default)]
pub struct Layers<'a> {
    pub root: Node<'a>,
    pub conditions: Vec<Condition<'a>>,
    pub checks: Vec<PlacedCheck<'a>>,
    /// Options of which a machine's own file, or the foreground, says something.
    pub touched: BTreeSet<&'a str>,
}

/// What is needed to lay bodies.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub schema: &'a Schema,
    pub declared: &'a Declared,
    pub expressions: &'a Expressions,
    /// Options that modules declare, those of this machine and all others: path and module.
    pub others: &'a [(&'a str, &'a ModuleName)],
}

impl<'a> Ground<'a> {
    /// The module that declares an option at, above or below a path.
    fn declarer(&self, path: &str) -> Option<&'a ModuleName> {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.others.iter().find(|(option, _)| within(option, path) || within(path, option)).map(|(_, module)| *module)
    }
}

/// The names that expressions may use besides options and `key`.
pub const FACTS: [&str; 20] = [
    "machine.name",
    "machine.zone",
    "machine.person",
    "machine.hardware",
    "machine.cluster",
    "machine.part",
    "machine.configuration",
    "hardware.name",
    "hardware.arch",
    "hardware.cores",
    "hardware.memory",
    "hardware.disk",
    "person.name",
    "person.roles",
    "zone.name",
    "domain.name",
    "domain.dns",
    "domain.account",
    "cluster.name",
    "cluster.members",
];

struct Lay<'l, 'a> {
    ground: Ground<'a>,
    report: &'l mut Report,
    rank: Rank,
    block: BlockId,
    /// Where in the option tree we are.
    path: String,
    /// Paths that the block sets, if it has a `when`.
    sets: Vec<(String, Span)>,
    touched: BTreeSet<&'a str>,
}

/// Lays a body over what is there already.
pub fn lay<'a>(layers: &mut Layers<'a>, (layer, body): (Layer, &'a Body), ground: Ground<'a>, report: &mut Report) {
    for block in &body.blocks {
        let condition = block.when.as_ref().map(|when| condition(when, ground, report));
        let id = match condition {
            None => BlockId::ALWAYS,
            // A block whose condition is broken has said so; its content stays out.
            Some(None) => continue,
            Some(Some(condition)) => {
                layers.conditions.push(condition);
                BlockId(u32::try_from(layers.conditions.len()).unwrap_or(u32::MAX))
            }
        };
        let weakest = if layer == Layer::Module { Layer::ModuleDefault } else { layer };
        let mut lay = Lay::new(Rank { class: Class::Settings, layer }, id, ground, report);
        for (rank, table) in [
            (Rank { class: Class::Default, layer: weakest }, &block.default),
            (Rank { class: Class::Settings, layer }, &block.settings),
            (Rank { class: Class::Force, layer }, &block.force),
        ] {
            lay.rank = rank;
            lay.group(&mut layers.root, &ground.schema.roots, table);
        }
        lay.rank = Rank { class: Class::Settings, layer };
        lay.remove(&mut layers.root, At::Group(&ground.schema.roots), &block.remove);
        let sets = std::mem::take(&mut lay.sets);
        layers.touched.append(&mut lay.touched);
        if let (Some(when), BlockId(number @ 1..)) = (&block.when, id) {
            let condition = &layers.conditions[number as usize - 1];
            reads_itself(when, &condition.template, &sets, report);
        }
        for (checks, severity) in
            [(&block.asserts, crate::diag::Severity::Error), (&block.warns, crate::diag::Severity::Warning)]
        {
            for check in checks {
                let that = condition_of(&check.that, ground, report);
                say(&check.say, ground, report);
                if that.is_some() {
                    layers.checks.push(PlacedCheck { check, block: id, severity, layer });
                }
            }
        }
    }
}

/// Lays the foreground's options over a machine: generated by `up`, stronger than all that was written.
pub fn lay_table<'a>(layers: &mut Layers<'a>, table: &'a Table, ground: Ground<'a>, report: &mut Report) {
    let rank = Rank { class: Class::Force, layer: Layer::Foreground };
    let mut lay = Lay::new(rank, BlockId::ALWAYS, ground, report);
    lay.group(&mut layers.root, &ground.schema.roots, table);
    layers.touched.append(&mut lay.touched);
}

fn condition<'a>(when: &'a Spanned<Box<str>>, ground: Ground<'a>, report: &mut Report) -> Option<Condition<'a>> {
    condition_of(when, ground, report).map(|template| Condition { text: when, template })
}

fn condition_of(text: &Spanned<Box<str>>, ground: Ground, report: &mut Report) -> Option<Arc<Template>> {
    checked(ground.expressions.condition(&text.value), (&text.value, text.span, Place::Outside), ground, report)
}

/// The defaults that modules give to their options may read what there is, as everything else.
pub fn check_defaults(schema: &Schema, ground: Ground, report: &mut Report) {
    fn walk(decl: &Decl, ground: Ground, report: &mut Report) {
        if let Some(Default::Written(written)) = &decl.default {
            sound(written, Place::InEntry, ground, report);
        }
        fields_of(&decl.kind).into_iter().for_each(|field| walk(field, ground, report));
    }
    schema.all().iter().filter(|decl| !decl.is_core()).for_each(|decl| walk(decl, ground, report));
}

/// Are all expressions in the value sound?
fn sound(written: &Spanned<Value>, place: Place, ground: Ground, report: &mut Report) -> bool {
    match &written.value {
        Value::Text(text) if text.contains("${") => {
            checked(ground.expressions.template(text), (text, written.span, place), ground, report).is_some()
        }
        Value::List(items) => items.iter().filter(|item| !sound(item, place, ground, report)).count() == 0,
        Value::Table(table) => {
            table.entries.iter().filter(|entry| !sound(&entry.value, place, ground, report)).count() == 0
        }
        _ => true,
    }
}

fn say(text: &Spanned<Box<str>>, ground: Ground, report: &mut Report) {
    if text.value.contains("${") {
        let _ =
            checked(ground.expressions.template(&text.value), (&text.value, text.span, Place::Outside), ground, report);
    }
}

/// Where an expression stands: only below a map's entry is there a `key`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    InEntry,
}

/// A parsed expression whose references all exist; faults are reported at their column.
fn checked(
    parsed: Parsed,
    (text, span, place): (&str, Span, Place),
    ground: Ground,
    report: &mut Report,
) -> Option<Arc<Template>> {
    let template = match parsed {
        Ok(template) => template,
        Err(ExprFault { at, message, help }) => {
            let mut error = Diagnostic::error(codes::EXPRESSION, inside(span, text, &at), message);
            error.help.extend(help);
            report.push(error);
            return None;
        }
    };
    let mut sound = true;
    for slot in template.slots() {
        if let Some(error) = unknown_reference(slot, inside(span, text, &slot.at), place, ground) {
            report.push(error);
            sound = false;
        }
    }
    sound.then_some(template)
}

fn unknown_reference(
    slot: &Slot,
    span: Span,
    place: Place,
    Ground { schema, declared, .. }: Ground,
) -> Option<Diagnostic> {
    let path = slot.keys.join(".");
    let fact =
        FACTS.iter().any(|fact| *fact == path || fact.strip_prefix(&path).is_some_and(|rest| rest.starts_with('.')));
    if fact || (path == "key" && place == Place::InEntry) {
        return None;
    }
    let (depth, names) = schema.find(&slot.keys).err()?;
    if declared.is_broken("modules/") {
        return None;
    }
    let error = Diagnostic::error(
        codes::UNKNOWN_REFERENCE,
        span,
        format!("there is no `{path}` that an expression could read"),
    );
    // A fact's root is no option: then its second key is the one at fault.
    let root = |fact: &&str| fact.split('.').next() == Some(&slot.keys[0]);
    let below: Vec<&str> = FACTS.iter().filter(|fact| root(fact)).filter_map(|fact| fact.split('.').nth(1)).collect();
    let depth = if depth == 0 && !below.is_empty() { 1 } else { depth };
    let facts = match depth {
        0 => FACTS.iter().filter_map(|fact| fact.split('.').next()).collect(),
        1 => below,
        _ => vec![],
    };
    let options = if depth == 1 && !facts.is_empty() { vec![] } else { names };
    let names: BTreeSet<String> = options.into_iter().chain(facts.into_iter().map(str::to_owned)).collect();
    let near = slot.keys.get(depth).and_then(|key| crate::declare::nearest(key, names.iter().map(String::as_str)));
    Some(match near {
        Some(near) => {
            let mended: Vec<&str> =
                slot.keys.iter().enumerate().map(|(at, key)| if at == depth { near } else { &**key }).collect();
            error.help(format!("write `{}`", mended.join(".")))
        }
        None if names.is_empty() => error,
        None => error.help(format!("what stands there: {}", names.into_iter().collect::<Vec<_>>().join(", "))),
    })
}

fn reads_itself(when: &Spanned<Box<str>>, template: &Template, sets: &[(String, Span)], report: &mut Report) {
    for slot in template.slots() {
        let read = slot.keys.iter().map(|key| path_key(key).into_owned()).collect::<Vec<_>>().join(".");
        let below = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some((set, span)) = sets.iter().find(|(set, _)| below(set, &read) || below(&read, set)) {
            report.push(
                Diagnostic::error(
                    codes::WHEN_READS_ITSELF,
                    inside(when.span, &when.value, &slot.at),
                    format!("this condition reads `{read}`, which its own block sets"),
                )
                .also(*span, format!("`{set}` is set here"))
                .help("ask for something that the block does not set, such as another option, `hardware` or `machine`"),
            );
        }
    }
}

impl<'l, 'a> Lay<'l, 'a> {
    fn new(rank: Rank, block: BlockId, ground: Ground<'a>, report: &'l mut Report) -> Self {
        Lay { ground, report, rank, block, path: String::new(), sets: vec![], touched: BTreeSet::new() }
    }

    fn group(&mut self, node: &mut Node<'a>, group: &'a BTreeMap<Arc<str>, Shape>, table: &'a Table) {
        for entry in &table.entries {
            let before = push(&mut self.path, &entry.key.value);
            match group.get(&*entry.key.value) {
                None => self.unknown(&entry.key, At::Group(group)),
                Some(Shape::Option(decl)) => {
                    self.touch(&decl.path);
                    self.value(node.child(&entry.key.value), &decl.kind, entry);
                }
                Some(Shape::Group(inner)) => match &entry.value.value {
                    Value::Table(table) => self.group(node.child(&entry.key.value), inner, table),
                    other => self.report.push(
                        Diagnostic::error(
                            codes::DOES_NOT_FIT,
                            entry.value.span,
                            format!("a table is expected, not {}", other.kind()),
                        )
                        .label(format!("in `{}`", self.path))
                        .help(format!(
                            "what stands here: {}",
                            inner.keys().map(|k| &**k).collect::<Vec<_>>().join(", ")
                        )),
                    ),
                },
            }
            self.path.truncate(before);
        }
    }

    /// What the domain, a zone or a hardware profile says to machines that have a module is not said to the others.
    fn unknown(&mut self, key: &Spanned<Box<str>>, at: At<'_>) {
        let shared = matches!(self.rank.layer, Layer::Domain | Layer::Zone | Layer::Hardware);
        match self.ground.declarer(&self.path) {
            Some(_) if shared => {}
            // An option of a broken module may be one.
            _ if self.ground.declared.is_broken("modules/") => {}
            Some(module) => self.report.push(
                Diagnostic::error(
                    codes::UNKNOWN_OPTION,
                    key.span,
                    format!("there is no option `{}` without the module `{module}`", self.path),
                )
                .help(format!("add \"{module}\" to `configuration`, or to the `imports` of a module")),
            ),
            None => self.report.push(self.ground.schema.unknown(&self.path, key, at)),
        }
    }

    fn value(&mut self, node: &mut Node<'a>, kind: &'a Type, entry: &'a Entry) {
        node.key.get_or_insert(entry.key.span);
        match (kind.inner(), &entry.value.value) {
            (Type::Map(..) | Type::Record(_), Value::Table(_)) => self.table(node, kind, entry),
            _ => self.leaf(node, kind, entry),
        }
    }

    fn table(&mut self, node: &mut Node<'a>, kind: &'a Type, entry: &'a Entry) {
        let Value::Table(table) = &entry.value.value else { return };
        if self.rank.class == Class::Force && self.rank.layer != Layer::Foreground && written_whole(entry, table) {
            self.define(node, entry.key.span, What::Replace);
        }
        self.define_quietly(node, entry.key.span, What::Present);
        for entry in &table.entries {
            let before = push(&mut self.path, &entry.key.value);
            match kind.inner() {
                Type::Map(_, inner) => {
                    let key = key_of(&entry.key.value, kind, self.ground.declared);
                    if report_fault(key, &self.path, entry.key.span, self.report).is_some() {
                        self.value(node.child(&entry.key.value), inner, entry);
                    }
                }
                Type::Record(record) => match record.fields.get(&*entry.key.value) {
                    Some(field) => self.value(node.child(&entry.key.value), &field.kind, entry),
                    None => {
                        let nearest = unknown_field(&self.path, &entry.key, record);
                        self.report.push(nearest);
                    }
                },
                _ => {}
            }
            self.path.truncate(before);
        }
    }

    fn leaf(&mut self, node: &mut Node<'a>, kind: &'a Type, entry: &'a Entry) {
        let written = &entry.value;
        if has_expression(&written.value) {
            let place = if self.path.contains('.') { Place::InEntry } else { Place::Outside };
            if sound(written, place, self.ground, self.report) {
                self.define(node, written.span, What::Written(written));
            }
            return;
        }
        let mut none = |_: &str, _: Span, _: &mut Report| None;
        let mut cx = Fit { declared: self.ground.declared, report: self.report, evaluate: &mut none };
        if let Some(value) = fit::fit(&self.path, written, kind, &mut cx) {
            self.define(node, written.span, What::Value(value));
        }
    }

    fn define(&mut self, node: &mut Node<'a>, span: Span, what: What<'a>) {
        if self.block != BlockId::ALWAYS {
            self.sets.push((self.path.clone(), span));
        }
        self.define_quietly(node, span, what);
    }

    fn define_quietly(&mut self, node: &mut Node<'a>, span: Span, what: What<'a>) {
        node.defs.push(Def { rank: self.rank, block: self.block, span, what });
    }

    fn touch(&mut self, option: &'a str) {
        if self.rank.layer >= Layer::Machine {
            self.touched.insert(option);
        }
    }

    /// `[remove]`: tables lead to an option, lists name what goes.
    fn remove(&mut self, node: &mut Node<'a>, at: At<'a>, table: &'a Table) {
        for entry in &table.entries {
            let before = push(&mut self.path, &entry.key.value);
            if let At::Group(group) = at
                && let Some(Shape::Option(decl)) = group.get(&*entry.key.value)
            {
                self.touch(&decl.path);
            }
            match (at.step(&entry.key.value), &entry.value.value) {
                (None, _) => self.unknown(&entry.key, at),
                (Some(next), Value::Table(inner)) => self.remove(node.child(&entry.key.value), next, inner),
                (Some(next), Value::List(items)) => self.remove_items(node.child(&entry.key.value), next, items),
                (Some(_), other) => self.report.push(
                    Diagnostic::error(
                        codes::DOES_NOT_FIT,
                        entry.value.span,
                        format!("a list of what to remove is expected, not {}", other.kind()),
                    )
                    .label(format!("in `{}`", self.path))
                    .help("name the keys or elements: `[remove]` then `path = [\"…\"]`"),
                ),
            }
            self.path.truncate(before);
        }
    }

    fn remove_items(&mut self, node: &mut Node<'a>, at: At<'a>, items: &[Spanned<Value>]) {
        let element = match at {
            At::Inside(kind) => match kind.inner() {
                Type::List(inner) | Type::Set(inner) => Some(&**inner),
                _ => None,
            },
            At::Group(_) => None,
        };
        let mut none = |_: &str, _: Span, _: &mut Report| None;
        let any = Type::Text(None);
        let mut gone = vec![];
        for item in items {
            let mut cx = Fit { declared: self.ground.declared, report: self.report, evaluate: &mut none };
            if let Some(value) = fit::fit(&self.path, item, element.unwrap_or(&any), &mut cx) {
                gone.push(Spanned::new(value, item.span));
            }
        }
        let span = items.first().map_or(super::schema::BUILT_IN, |item| item.span);
        self.define(node, span, What::Remove(gone));
    }
}

/// Appends a key to a path and says how to take it off again.
pub fn push(path: &mut String, key: &str) -> usize {
    let before = path.len();
    if before > 0 {
        path.push('.');
    }
    path.push_str(&path_key(key));
    before
}

/// `{ … }`, as opposed to a header or dotted keys: its entries lie inside its own span.
fn written_whole(entry: &Entry, table: &Table) -> bool {
    let whole = entry.value.span;
    table.entries.iter().all(|inner| whole.start < inner.key.span.start && inner.value.span.end < whole.end)
}
