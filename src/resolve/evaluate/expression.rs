//! Expressions: each evaluated once, after everything that it reads.
//!
//! Refuses: going round in circles.

use super::{Cut, Edge, Evaluation, Here, Memo, Out, Spot, Switch, child_of, part_of};
use crate::declare::Value;
use crate::diag::{Diagnostic, Report, Span, Spanned};
use crate::resolve::expr::{Expr, Part, Slot, Template, Want};
use crate::resolve::fit::{self, Fit};
use crate::resolve::layers::{BlockId, Def, Layer, Node, What, push};
use crate::resolve::rules::{holds_secret, made_secret};
use crate::resolve::schema::{BUILT_IN, Shape, inside};
use crate::resolve::shared::is_own;
use crate::resolve::types::Type;
use crate::resolve::val::{Val, path_key};
use crate::resolve::{budget, codes, expr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
impl<'e, 'a> Evaluation<'e, 'a> {
    /// Evaluates a written value once, and notices when it needs itself.
    pub(super) fn written(&mut self, (path, kind): (&str, &'a Type), written: &Spanned<Value>, memo: &str) -> Out {
        if let Some(out) = self.shared.and_then(|shared| shared.value(memo, &self.touched)) {
            return out.clone();
        }
        match self.memo.get(memo) {
            Some(Memo::Done(out)) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.again(memo);
                }
                return out.clone();
            }
            Some(Memo::Running) => {
                self.cycle(path);
                return Out::Failed;
            }
            None => {}
        }
        self.memo.insert(memo.into(), Memo::Running);
        if let Some(recorder) = &mut self.recorder {
            recorder.begin();
        }
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
        if let Some(recorder) = &mut self.recorder {
            recorder.end_value(memo, &out);
        }
        self.memo.insert(memo.into(), Memo::Done(out.clone()));
        out
    }

    /// A text with its expressions evaluated; a text that is one expression keeps its type.
    pub fn text(&mut self, text: &str, span: Span) -> Option<Val> {
        let template = self.ground.expressions.template(text).ok()?;
        self.template(&template, text, span)
    }

    /// What comes of it is looked at like what was written: a secret may be put together from pieces.
    pub(super) fn template(&mut self, template: &Template, text: &str, span: Span) -> Option<Val> {
        let value = self.put_together(template, text, span)?;
        match made_secret(&value, self.blame(span)) {
            Some(_) if holds_secret(text).is_some() => None,
            Some(error) => {
                self.report.push(error);
                None
            }
            None => Some(value),
        }
    }

    fn put_together(&mut self, template: &Template, text: &str, span: Span) -> Option<Val> {
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
            if whole.len() > budget::RESULT {
                self.failed(self.blame(span), expr::TOO_LARGE);
                return None;
            }
        }
        Some(Val::Text(whole.into()))
    }

    pub(super) fn expr(&mut self, expr: &Expr, text: &str, span: Span) -> Option<Val> {
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
                self.failed(self.blame(span), &message);
                None
            }
        }
    }

    fn failed(&mut self, span: Span, message: &str) {
        let error = Diagnostic::error(codes::EVALUATION, span, format!("this expression fails: {message}"));
        self.report.push(error.help(expr::way_out(message)));
    }

    pub(super) fn blame(&self, span: Span) -> Span {
        if span == BUILT_IN { self.origin } else { span }
    }

    pub(super) fn read(&mut self, slot: &Slot) -> Out {
        if let [key] = slot.keys.as_slice()
            && &**key == "key"
        {
            return self.keys.last().map_or(Out::Absent, |key| Out::Value(Val::Text(key.clone())));
        }
        if let Some(value) = self.fact(&slot.keys) {
            if let Some(recorder) = &mut self.recorder
                && is_own(&slot.keys[0], slot.keys.get(1).map(|key| &**key))
            {
                recorder.read_own();
            }
            return Out::Value(value);
        }
        let outer = std::mem::take(&mut self.keys);
        let out = self.walk(&slot.keys);
        self.keys = outer;
        out
    }

    /// What the expressions of a value read, each once, with what it is; `key` is the entry that the value stands in.
    pub fn inputs(&mut self, value: &Value, key: Option<&str>) -> Vec<(String, Option<Val>)> {
        let mut texts = BTreeSet::new();
        expr::of_value(value, &mut texts);
        let mut read = BTreeMap::new();
        for text in texts {
            let Ok(template) = self.ground.expressions.template(text) else { continue };
            for slot in template.slots() {
                let path: Vec<_> = slot.keys.iter().map(|key| path_key(key)).collect();
                let outer = std::mem::replace(&mut self.keys, key.map(Arc::from).into_iter().collect());
                let value = match self.read(slot) {
                    Out::Value(value) => Some(value),
                    Out::Absent | Out::Failed => None,
                };
                self.keys = outer;
                read.insert(path.join("."), value);
            }
        }
        read.into_iter().collect()
    }

    pub fn fact(&self, keys: &[Box<str>]) -> Option<Val> {
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
                let is = |name: &str| {
                    name.strip_prefix(&**root)
                        .and_then(|rest| rest.strip_prefix('.'))
                        .is_some_and(|rest| *rest == **key)
                };
                self.facts.iter().find(|(name, _)| is(name)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The value at a path; only what lies on the way is evaluated.
    pub fn walk<K: AsRef<str>>(&mut self, keys: &[K]) -> Out {
        let schema = self.ground.schema;
        let mut spot = Spot::Group(&schema.roots);
        let mut option = None;
        let mut node = Some(self.root);
        let mut cut = Cut::NOTHING;
        let mut path = String::new();
        for (at, key) in keys.iter().enumerate() {
            let key = key.as_ref();
            spot = match spot {
                Spot::Group(group) => match group.get(key) {
                    Some(Shape::Group(inner)) => Spot::Group(inner),
                    Some(Shape::Option(decl)) => {
                        if let Some(recorder) = &mut self.recorder {
                            recorder.read(&decl.path);
                        }
                        option = Some(&**decl);
                        Spot::Typed(&decl.kind, decl.default.as_ref())
                    }
                    None => return Out::Absent,
                },
                Spot::Typed(kind, default) => {
                    option = None;
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
                            let whole = self.typed(&mut path, Here { kind, node, cut, default }, &[]);
                            return part_of(whole, &keys[at..]);
                        }
                    }
                }
            };
            node = child_of(node, key);
            push(&mut path, key);
        }
        match spot {
            Spot::Group(group) => {
                if let Some(recorder) = &mut self.recorder {
                    recorder.read_own();
                }
                self.group(&mut path, group, node)
            }
            Spot::Typed(kind, default) => match option {
                Some(decl) => self.option(&mut path, decl, node),
                None => self.typed(&mut path, Here { kind, node, cut, default }, &[]),
            },
        }
    }

    /// Is the block switched on?
    pub fn is_on(&mut self, block: BlockId) -> bool {
        let BlockId(number @ 1..) = block else { return true };
        let at = number as usize - 1;
        if self.switches[at] == Switch::Unknown
            && let Some(on) = self.shared.and_then(|shared| shared.switch(at, &self.touched))
        {
            self.switches[at] = if on { Switch::On } else { Switch::Off };
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.switch_again(at);
        }
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
        if let Some(recorder) = &mut self.recorder {
            recorder.begin();
        }
        let conditions = self.conditions;
        let condition = &conditions[at];
        let span = condition.text.span;
        self.stack.push(Edge { name: format!("when {}", condition.text.value), span });
        let outer = std::mem::take(&mut self.keys);
        let holds = self.holds(&condition.template, &condition.text.value, span);
        self.keys = outer;
        self.stack.pop();
        self.switches[at] = if holds == Some(true) { Switch::On } else { Switch::Off };
        if let Some(recorder) = &mut self.recorder {
            // A condition that failed is evaluated, and reported, by every machine.
            if holds.is_none() {
                recorder.read_own();
            }
            recorder.end_switch(at, holds.into());
        }
        holds == Some(true)
    }

    /// Evaluates a condition; `None` when it failed and said so.
    pub fn holds(&mut self, template: &Template, text: &str, span: Span) -> Option<bool> {
        match self.template(template, text, span)? {
            Val::Bool(holds) => Some(holds),
            other => {
                self.report.push(
                    Diagnostic::error(
                        codes::NOT_A_CONDITION,
                        span,
                        format!("a condition is true or false, this is {}", other.kind()),
                    )
                    .help("compare it with something, such as `… > 0` or `… == \"a\"`"),
                );
                None
            }
        }
    }

    /// The stack has come back to `name`.
    pub(super) fn cycle(&mut self, name: &str) {
        let from = self.stack.iter().rposition(|edge| edge.name == name).unwrap_or(0);
        let mut edges: Vec<Edge> = self.stack[from..].to_vec();
        if edges.is_empty() {
            return;
        }
        // The same cycle is the same finding, wherever one enters it.
        let first = edges.iter().enumerate().min_by_key(|(_, edge)| edge.span).map_or(0, |(at, _)| at);
        edges.rotate_left(first);
        let names: Vec<String> = edges.iter().chain(edges.first()).map(|edge| format!("`{}`", edge.name)).collect();
        let mut error =
            Diagnostic::error(codes::CYCLE, edges[0].span, format!("these need each other: {}", names.join(" → ")))
                .label(format!("{} needs {}", names[0], names[1]));
        for (at, edge) in edges.iter().enumerate().skip(1) {
            error = error.also(edge.span, format!("{} needs {}", names[at], names[at + 1]));
        }
        self.report.push(error.help("write one of them as a plain value"));
    }

    pub(super) fn place(&mut self, path: &str, def: &Def<'a>) {
        if def.rank.layer >= Layer::Machine || def.block != BlockId::ALWAYS {
            self.places.insert(path, def.span);
        }
    }

    pub(super) fn place_entry(&mut self, path: &str, child: Option<&'e Node<'a>>) {
        let present = child.into_iter().flat_map(|child| &child.defs).filter(|def| matches!(def.what, What::Present));
        if let Some(def) = present.max_by_key(|def| def.rank) {
            self.place(path, def);
        }
    }
}
