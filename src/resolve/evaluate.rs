//! From definitions to finished values: which definition wins, what lists and tables hold, what expressions say.
//!
//! Refuses: laziness that depends on luck. Everything that is read is evaluated first, once; a cycle is an error that names each edge.

use super::codes;
use super::expr::{Expr, Part, Slot, Template, Want};
use super::fit::{self, Fit};
use super::layers::{BlockId, Class, Condition, Def, Ground, Layer, Node, Rank, What, push};
use crate::declare::nearest;
use super::schema::{BUILT_IN, Default, Shape, inside};
use super::types::Type;
use super::val::Val;
use crate::declare::Value;
use crate::diag::{Diagnostic, Report, Span, Spanned};
use std::collections::{BTreeMap, BTreeSet};
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
    pub interpreter: &'e cel::Context<'static, 'static>,
    /// `machine.name` and the like.
    pub facts: Vec<(&'static str, Val)>,
    /// What is blamed where nothing was written.
    pub origin: Span,
    pub report: Report,
    /// Winning definitions that are not the same for every machine of the base.
    pub places: BTreeMap<Box<str>, Span>,
    conditions: Vec<&'e Condition<'a>>,
    switches: Vec<Switch>,
    memo: BTreeMap<Box<str>, Memo>,
    stack: Vec<Edge>,
    keys: Vec<Arc<str>>,
}

impl<'e, 'a> Evaluation<'e, 'a> {
    pub fn new(
        ground: Ground<'a>,
        root: &'e Node<'a>,
        conditions: Vec<&'e Condition<'a>>,
        interpreter: &'e cel::Context<'static, 'static>,
        origin: Span,
    ) -> Self {
        let switches = vec![Switch::Unknown; conditions.len()];
        Evaluation {
            ground,
            root,
            interpreter,
            facts: vec![],
            origin,
            report: Report::default(),
            places: BTreeMap::new(),
            conditions,
            switches,
            memo: BTreeMap::new(),
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
        for (key, shape) in group {
            let before = push(path, key);
            let child = child_of(node, key);
            let out = match shape {
                Shape::Group(inner) => self.group(path, inner, child),
                Shape::Option(decl) => {
                    let out = self.typed(path, &decl.kind, child, Cut::NOTHING, &[], decl.default.as_ref());
                    self.required(out, path, &decl.kind, self.origin)
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

    /// An option that must have a value, and has none, is an error.
    fn required(&mut self, out: Out, path: &str, kind: &Type, span: Span) -> Out {
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

    fn typed(
        &mut self,
        path: &mut String,
        kind: &'a Type,
        node: Option<&'e Node<'a>>,
        cut: Cut,
        extras: &[Extra],
        default: Option<&'a Default>,
    ) -> Out {
        match kind.inner() {
            Type::Map(..) | Type::Record(_) => self.table(path, kind, node, cut, extras, default),
            Type::List(_) | Type::Set(_) => self.list(path, kind, node, cut, extras, default),
            _ => self.scalar(path, kind, node, cut, extras, default),
        }
    }

    // ---- scalars

    fn scalar(
        &mut self,
        path: &str,
        kind: &'a Type,
        node: Option<&'e Node<'a>>,
        cut: Cut,
        extras: &[Extra],
        default: Option<&'a Default>,
    ) -> Out {
        let defs = self.standing(node, cut);
        let best = defs.iter().map(|def| def.rank).chain(extras.iter().map(|extra| extra.rank)).max();
        let Some(best) = best else { return self.default(path, kind, default) };
        let mut winner: Option<(Val, Span)> = None;
        let winners: Vec<&'e Def<'a>> = defs.into_iter().filter(|def| def.rank == best).collect();
        for def in &winners {
            let out = match &def.what {
                What::Value(value) => Out::Value(value.clone()),
                What::Written(written) => self.written(path, kind, written, &memo(path, def.span)),
                _ => continue,
            };
            let value = match out {
                Out::Value(value) => value,
                other => return other,
            };
            match &winner {
                Some((first, span)) if *first != value => {
                    let error = conflict(path, first, *span, &value, def.span, best);
                    self.report.push(error);
                    return Out::Failed;
                }
                Some(_) => {}
                None => {
                    self.place(path, def);
                    winner = Some((value, def.span));
                }
            }
        }
        for extra in extras.iter().filter(|extra| extra.rank == best) {
            match &winner {
                Some((first, span)) if *first != extra.value => {
                    let error = conflict(path, first, *span, &extra.value, extra.span, best);
                    self.report.push(error);
                    return Out::Failed;
                }
                Some(_) => {}
                None => winner = Some((extra.value.clone(), extra.span)),
            }
        }
        match winner {
            Some((Val::Null, _)) => Out::Absent,
            Some((value, _)) => Out::Value(value),
            None => Out::Absent,
        }
    }

    fn default(&mut self, path: &str, kind: &'a Type, default: Option<&'a Default>) -> Out {
        match default {
            None => Out::Absent,
            Some(Default::Fixed(value)) => Out::Value(value.clone()),
            Some(Default::Written(written)) => self.written(path, kind, written, path),
        }
    }

    /// The definitions that count here: switched on, and not taken away further up.
    pub fn standing(&mut self, node: Option<&'e Node<'a>>, cut: Cut) -> Vec<&'e Def<'a>> {
        let Some(node) = node else { return vec![] };
        node.defs.iter().filter(|def| self.stands(def, cut) && matches!(def.what, What::Value(_) | What::Written(_))).collect()
    }

    pub fn stands(&mut self, def: &Def<'a>, cut: Cut) -> bool {
        def.rank.layer >= cut.layer && def.rank >= cut.rank && self.is_on(def.block)
    }

    // ---- lists and sets

    fn list(
        &mut self,
        path: &str,
        kind: &'a Type,
        node: Option<&'e Node<'a>>,
        cut: Cut,
        extras: &[Extra],
        default: Option<&'a Default>,
    ) -> Out {
        let defs = self.standing(node, cut);
        let removes = self.removes(node);
        let classes = defs.iter().map(|def| def.rank).chain(extras.iter().map(|extra| extra.rank));
        let Some(best) = classes.max() else {
            let out = self.default(path, kind, default);
            return if removes.is_empty() { out } else { self.without(path, kind, out, &removes) };
        };
        let counts = |rank: Rank| match best.class {
            Class::Settings => rank.class == Class::Settings,
            Class::Default | Class::Force => rank == best,
        };
        let mut items: Vec<(Layer, Val)> = vec![];
        let mut forced: Option<(Val, Span)> = None;
        for def in defs.into_iter().filter(|def| counts(def.rank)) {
            let out = match &def.what {
                What::Value(value) => Out::Value(value.clone()),
                What::Written(written) => self.written(path, kind, written, &memo(path, def.span)),
                _ => continue,
            };
            let value = match out {
                Out::Value(value) => value,
                Out::Absent => continue,
                Out::Failed => return Out::Failed,
            };
            if best.class == Class::Force {
                match &forced {
                    Some((first, span)) if *first != value => {
                        let error = conflict(path, first, *span, &value, def.span, best);
                        self.report.push(error);
                        return Out::Failed;
                    }
                    Some(_) => continue,
                    None => forced = Some((value.clone(), def.span)),
                }
            }
            self.place(path, def);
            items.extend(elements(&value).iter().map(|item| (def.rank.layer, item.clone())));
        }
        for extra in extras.iter().filter(|extra| counts(extra.rank)) {
            items.extend(elements(&extra.value).iter().map(|item| (extra.rank.layer, item.clone())));
        }
        // Bases are laid before machines, and imports before importers, so only layers can be out of order.
        items.sort_by_key(|(layer, _)| *layer);
        for (layer, gone) in &removes {
            let before = items.len();
            items.retain(|(from, item)| from >= layer || *item != gone.value);
            if items.len() == before {
                let error = nothing_to_remove(path, gone, items.iter().map(|(_, item)| item.to_string()));
                self.report.push(error);
                return Out::Failed;
            }
        }
        let items: Vec<Val> = items.into_iter().map(|(_, item)| item).collect();
        Out::Value(if matches!(kind.inner(), Type::Set(_)) { fit::as_set(&items) } else { Val::List(items.into()) })
    }

    /// A default list without what `[remove]` names.
    fn without(&mut self, path: &str, kind: &Type, out: Out, removes: &[(Layer, Spanned<Val>)]) -> Out {
        let mut items = match &out {
            Out::Value(value) => elements(value).to_vec(),
            Out::Absent => vec![],
            Out::Failed => return Out::Failed,
        };
        for (_, gone) in removes {
            let before = items.len();
            items.retain(|item| *item != gone.value);
            if items.len() == before {
                let error = nothing_to_remove(path, gone, items.iter().map(ToString::to_string));
                self.report.push(error);
                return Out::Failed;
            }
        }
        Out::Value(if matches!(kind.inner(), Type::Set(_)) { fit::as_set(&items) } else { Val::List(items.into()) })
    }

    /// What `[remove]` names here, and from which layer on it stays.
    fn removes(&mut self, node: Option<&'e Node<'a>>) -> Vec<(Layer, Spanned<Val>)> {
        let Some(node) = node else { return vec![] };
        let mut removes = vec![];
        for def in &node.defs {
            if let What::Remove(items) = &def.what
                && self.is_on(def.block)
            {
                removes.extend(items.iter().map(|item| (def.rank.layer, item.clone())));
            }
        }
        removes
    }

    // ---- maps and records

    fn table(
        &mut self,
        path: &mut String,
        kind: &'a Type,
        node: Option<&'e Node<'a>>,
        cut: Cut,
        extras: &[Extra],
        default: Option<&'a Default>,
    ) -> Out {
        let mut extras = extras.to_vec();
        if let Some(default) = default {
            match self.default(path, kind, Some(default)) {
                Out::Value(value) => extras.push(Extra { rank: Rank::WEAKEST, span: BUILT_IN, value }),
                Out::Absent => {}
                Out::Failed => return Out::Failed,
            }
        }
        for def in self.standing(node, cut) {
            if let What::Written(written) = &def.what {
                match self.written(path, kind, written, &memo(path, def.span)) {
                    Out::Value(value) => extras.push(Extra { rank: def.rank, span: def.span, value }),
                    Out::Absent => {}
                    Out::Failed => return Out::Failed,
                }
            }
        }
        if matches!(kind, Type::Optional(_)) && extras.is_empty() && !node.is_some_and(|node| self.live(node, cut)) {
            return Out::Absent;
        }
        if !self.removals_are_sound(path, node, cut, &extras) {
            return Out::Failed;
        }
        let mut entries = vec![];
        let mut failed = false;
        let span = node.and_then(|node| node.key).unwrap_or(self.origin);
        match kind.inner() {
            Type::Record(record) => {
                for (key, field) in &record.fields {
                    let (child, cut, extras) = self.below(node, cut, &extras, key);
                    let before = push(path, key);
                    let out = self.typed(path, &field.kind, child, cut, &extras, field.default.as_ref());
                    let out = self.required(out, path, &field.kind, span);
                    path.truncate(before);
                    failed |= collect(&mut entries, key, out);
                }
            }
            Type::Map(_, inner) => {
                for key in keys_of(node, &extras) {
                    let (child, cut, extras) = self.below(node, cut, &extras, &key);
                    if extras.is_empty() && !child.is_some_and(|child| self.live(child, cut)) {
                        continue;
                    }
                    let before = push(path, &key);
                    self.keys.push(key.clone());
                    self.place_entry(path, child);
                    let out = self.typed(path, inner, child, cut, &extras, None);
                    let out = self.required(out, path, inner, span);
                    self.keys.pop();
                    path.truncate(before);
                    failed |= collect(&mut entries, &key, out);
                }
            }
            _ => {}
        }
        if failed { Out::Failed } else { Out::Value(Val::Map(entries.into())) }
    }

    /// The child, what is cut from it, and what extras say about it.
    fn below(&mut self, node: Option<&'e Node<'a>>, cut: Cut, extras: &[Extra], key: &str) -> (Option<&'e Node<'a>>, Cut, Vec<Extra>) {
        let cut = node.map_or(cut, |node| self.descend(node, cut, key));
        let stands = |extra: &&Extra| extra.rank.layer >= cut.layer && extra.rank >= cut.rank;
        let part = |extra: &Extra| extra.value.get(key).map(|value| Extra { value: value.clone(), ..*extra });
        (child_of(node, key), cut, extras.iter().filter(stands).filter_map(part).collect())
    }

    pub fn descend(&mut self, node: &'e Node<'a>, mut cut: Cut, key: &str) -> Cut {
        for def in &node.defs {
            match &def.what {
                What::Replace if self.stands(def, cut) => cut.rank = cut.rank.max(def.rank),
                What::Remove(items) if self.is_on(def.block) => {
                    if items.iter().any(|item| matches!(&item.value, Val::Text(name) if **name == *key)) {
                        cut.layer = cut.layer.max(def.rank.layer);
                    }
                }
                _ => {}
            }
        }
        cut
    }

    /// Does any definition here or below count?
    fn live(&mut self, node: &'e Node<'a>, cut: Cut) -> bool {
        node.defs.iter().any(|def| !matches!(def.what, What::Remove(_)) && self.stands(def, cut))
            || node.children.iter().any(|(key, child)| {
                let cut = self.descend(node, cut, key);
                self.live(child, cut)
            })
    }

    fn removals_are_sound(&mut self, path: &str, node: Option<&'e Node<'a>>, cut: Cut, extras: &[Extra]) -> bool {
        let Some(node) = node else { return true };
        let mut sound = true;
        for (layer, gone) in self.removes(Some(node)) {
            let Val::Text(key) = &gone.value else { continue };
            let weaker = node.children.get(key).is_some_and(|child| self.weaker(child, layer, cut))
                || extras.iter().any(|extra| extra.rank.layer < layer && extra.value.get(key).is_some());
            if !weaker {
                let error = nothing_to_remove(path, &gone, keys_of(Some(node), extras).iter().map(ToString::to_string));
                self.report.push(error);
                sound = false;
            }
        }
        sound
    }

    /// Is there a definition of a weaker layer here or below?
    fn weaker(&mut self, node: &'e Node<'a>, layer: Layer, cut: Cut) -> bool {
        node.defs.iter().any(|def| !matches!(def.what, What::Remove(_)) && def.rank.layer < layer && self.stands(def, cut))
            || node.children.values().any(|child| self.weaker(child, layer, cut))
    }

    // ---- expressions

    /// Evaluates a written value once, and notices when it needs itself.
    fn written(&mut self, path: &str, kind: &'a Type, written: &Spanned<Value>, memo: &str) -> Out {
        match self.memo.get(memo) {
            Some(Memo::Done(out)) => return out.clone(),
            Some(Memo::Running) => {
                self.cycle(path);
                return Out::Failed;
            }
            None => {}
        }
        self.memo.insert(memo.into(), Memo::Running);
        self.stack.push(Edge { name: path.to_owned(), span: self.blame(written.span) });
        let mut report = Report::default();
        let declared = self.ground.declared;
        let mut evaluate = |text: &str, span: Span, _: &mut Report| self.text(text, span);
        let fitted = fit::fit(path, written, kind, &mut Fit { declared, report: &mut report, evaluate: &mut evaluate });
        for mut diagnostic in report.diagnostics {
            diagnostic.primary.span = self.blame(diagnostic.primary.span);
            self.report.push(diagnostic);
        }
        self.stack.pop();
        let out = match fitted {
            Some(Val::Null) => Out::Absent,
            Some(value) => Out::Value(value),
            None => Out::Failed,
        };
        self.memo.insert(memo.into(), Memo::Done(out.clone()));
        out
    }

    /// A text with its expressions evaluated; a text that is one expression keeps its type.
    pub fn text(&mut self, text: &str, span: Span) -> Option<Val> {
        let template = self.ground.expressions.template(text).ok()?;
        self.template(&template, text, span)
    }

    fn template(&mut self, template: &Template, text: &str, span: Span) -> Option<Val> {
        if let [Part::Expr(expr)] = template.parts.as_slice() {
            return self.expr(expr, text, span);
        }
        let mut whole = String::new();
        for part in &template.parts {
            match part {
                Part::Text(text) => whole.push_str(text),
                Part::Expr(expr) => match self.expr(expr, text, span)? {
                    Val::Text(text) => whole.push_str(&text),
                    Val::Size(size) => whole.push_str(&size.to_string()),
                    Val::Duration(duration) => whole.push_str(&duration.to_string()),
                    other => whole.push_str(&other.to_string()),
                },
            }
        }
        Some(Val::Text(whole.into()))
    }

    fn expr(&mut self, expr: &Expr, text: &str, span: Span) -> Option<Val> {
        let mut values = Vec::with_capacity(expr.slots.len());
        for slot in &expr.slots {
            let value = match (self.read(slot), slot.want) {
                (Out::Failed, _) => return None,
                (Out::Value(_), Want::Presence) => Val::Bool(true),
                (Out::Absent, Want::Presence) => Val::Bool(false),
                (Out::Value(value), _) => value,
                (Out::Absent, _) => Val::Null,
            };
            values.push(value);
        }
        if expr.is_reference() {
            return values.pop();
        }
        match expr.evaluate(self.interpreter, values) {
            Ok(value) => Some(value),
            Err(message) => {
                let at = expr.slots.first().map_or(0..text.len(), |slot| slot.at.clone());
                let span = if text.contains("${") { inside(span, text, &at) } else { span };
                let span = self.blame(span);
                self.report.push(Diagnostic::error(codes::EVALUATION, span, format!("this expression fails: {message}")));
                None
            }
        }
    }

    fn blame(&self, span: Span) -> Span {
        if span == BUILT_IN { self.origin } else { span }
    }

    fn read(&mut self, slot: &Slot) -> Out {
        if let [key] = slot.keys.as_slice()
            && &**key == "key"
        {
            return self.keys.last().map_or(Out::Absent, |key| Out::Value(Val::Text(key.clone())));
        }
        if let Some(value) = self.fact(&slot.keys) {
            return Out::Value(value);
        }
        let outer = std::mem::take(&mut self.keys);
        let out = self.walk(&slot.keys);
        self.keys = outer;
        out
    }

    fn fact(&self, keys: &[Box<str>]) -> Option<Val> {
        match keys {
            [root] => {
                let inner = self.facts.iter().filter_map(|(name, value)| {
                    let key = name.strip_prefix(&**root)?.strip_prefix('.')?;
                    Some((Arc::from(key), value.clone()))
                });
                let inner: Vec<_> = inner.collect();
                (!inner.is_empty()).then(|| Val::map(inner))
            }
            [root, key] => {
                let is = |name: &str| name.split_once('.').is_some_and(|(r, k)| *r == **root && *k == **key);
                self.facts.iter().find(|(name, _)| is(name)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The value at a path; only what lies on the way is evaluated.
    pub fn walk<K: AsRef<str>>(&mut self, keys: &[K]) -> Out {
        let schema = self.ground.schema;
        let mut spot = Spot::Group(&schema.roots);
        let mut node = Some(self.root);
        let mut cut = Cut::NOTHING;
        let mut path = String::new();
        for (at, key) in keys.iter().enumerate() {
            let key = key.as_ref();
            spot = match spot {
                Spot::Group(group) => match group.get(key) {
                    Some(Shape::Group(inner)) => Spot::Group(inner),
                    Some(Shape::Option(decl)) => Spot::Typed(&decl.kind, decl.default.as_ref()),
                    None => return Out::Absent,
                },
                Spot::Typed(kind, default) => {
                    let simple = default.is_none() && self.standing(node, cut).is_empty();
                    match kind.inner() {
                        Type::Record(record) if simple => {
                            if matches!(kind, Type::Optional(_)) && !node.is_some_and(|node| self.live(node, cut)) {
                                return Out::Absent;
                            }
                            cut = node.map_or(cut, |node| self.descend(node, cut, key));
                            match record.fields.get(key) {
                                Some(field) => Spot::Typed(&field.kind, field.default.as_ref()),
                                None => return Out::Absent,
                            }
                        }
                        Type::Map(_, inner) if simple => {
                            cut = node.map_or(cut, |node| self.descend(node, cut, key));
                            if !child_of(node, key).is_some_and(|child| self.live(child, cut)) {
                                return Out::Absent;
                            }
                            self.keys.push(Arc::from(key));
                            Spot::Typed(inner, None)
                        }
                        _ => {
                            let whole = self.typed(&mut path, kind, node, cut, &[], default);
                            return part_of(whole, &keys[at..]);
                        }
                    }
                }
            };
            node = child_of(node, key);
            push(&mut path, key);
        }
        match spot {
            Spot::Group(group) => self.group(&mut path, group, node),
            Spot::Typed(kind, default) => self.typed(&mut path, kind, node, cut, &[], default),
        }
    }

    // ---- conditions, checks, cycles

    /// Is the block switched on?
    pub fn is_on(&mut self, block: BlockId) -> bool {
        let BlockId(number @ 1..) = block else { return true };
        let at = number as usize - 1;
        match self.switches[at] {
            Switch::On => return true,
            Switch::Off => return false,
            Switch::Running => {
                self.cycle(&format!("when {}", self.conditions[at].text.value));
                return false;
            }
            Switch::Unknown => {}
        }
        self.switches[at] = Switch::Running;
        let condition = self.conditions[at];
        let span = condition.text.span;
        self.stack.push(Edge { name: format!("when {}", condition.text.value), span });
        let outer = std::mem::take(&mut self.keys);
        let holds = self.holds(&condition.template, &condition.text.value, span);
        self.keys = outer;
        self.stack.pop();
        self.switches[at] = if holds == Some(true) { Switch::On } else { Switch::Off };
        holds == Some(true)
    }

    /// Evaluates a condition; `None` when it failed and said so.
    pub fn holds(&mut self, template: &Template, text: &str, span: Span) -> Option<bool> {
        match self.template(template, text, span)? {
            Val::Bool(holds) => Some(holds),
            other => {
                self.report.push(
                    Diagnostic::error(codes::NOT_A_CONDITION, span, format!("a condition is true or false, this is {}", other.kind()))
                        .help("compare it with something, such as `… > 0` or `… == \"a\"`"),
                );
                None
            }
        }
    }

    /// The stack has come back to `name`.
    fn cycle(&mut self, name: &str) {
        let from = self.stack.iter().rposition(|edge| edge.name == name).unwrap_or(0);
        let mut edges: Vec<Edge> = self.stack[from..].to_vec();
        if edges.is_empty() {
            return;
        }
        // The same cycle is the same finding, wherever one enters it.
        let first = edges.iter().enumerate().min_by_key(|(_, edge)| edge.span).map_or(0, |(at, _)| at);
        edges.rotate_left(first);
        let names: Vec<String> = edges.iter().chain(edges.first()).map(|edge| format!("`{}`", edge.name)).collect();
        let mut error = Diagnostic::error(codes::CYCLE, edges[0].span, format!("these need each other: {}", names.join(" → ")))
            .label(format!("{} needs {}", names[0], names[1]));
        for (at, edge) in edges.iter().enumerate().skip(1) {
            error = error.also(edge.span, format!("{} needs {}", names[at], names[at + 1]));
        }
        self.report.push(error.help("write one of them as a plain value"));
    }

    fn place(&mut self, path: &str, def: &Def<'a>) {
        if def.rank.layer >= Layer::Machine || def.block != BlockId::ALWAYS {
            self.places.insert(path.into(), def.span);
        }
    }

    fn place_entry(&mut self, path: &str, child: Option<&'e Node<'a>>) {
        let present = child.into_iter().flat_map(|child| &child.defs).filter(|def| matches!(def.what, What::Present));
        if let Some(def) = present.max_by_key(|def| def.rank) {
            self.place(path, def);
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

fn conflict(path: &str, first: &Val, at: Span, second: &Val, then: Span, rank: Rank) -> Diagnostic {
    let (first_span, second_span) = if at <= then { (at, then) } else { (then, at) };
    let (earlier, later) = if at <= then { (first, second) } else { (second, first) };
    let stronger = match rank.layer {
        Layer::OptionDefault | Layer::ModuleDefault | Layer::Module => "set it in the domain or the machine, which are stronger, or remove one of the two",
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
    let error = Diagnostic::error(codes::NOTHING_TO_REMOVE, gone.span, format!("no weaker layer put `{text}` into `{path}`"));
    let bare = there.iter().map(|item| item.trim_matches('"'));
    match nearest(&text, bare) {
        Some(near) if near != text => error.help(format!("write \"{near}\"")),
        _ => error.help("remove this line"),
    }
}
