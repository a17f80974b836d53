//! Expressions: `${…}` in texts, `when`, `assert`, `warn`. Parsed once per text; references become slots that the evaluator fills.
//!
//! Refuses: references that are computed. `streams.orders.copies` can be followed before anything runs; `streams[name]` cannot.

mod syntax;

use super::budget::{self, Interpreter};
use super::val::Val;
use crate::name::{ByteSize, Duration, Fault};
use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue, operators};
use cel::objects::{Key, Map, Value as Cel};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A text with expressions, or a bare expression.
#[derive(Debug)]
pub struct Template {
    pub parts: Vec<Part>,
}

#[derive(Debug)]
pub enum Part {
    Text(Box<str>),
    Expr(Expr),
}

#[derive(Debug)]
pub struct Expr {
    ast: Arc<IdedExpr>,
    pub slots: Vec<Slot>,
    operators: u64,
}

/// A reference in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub keys: Vec<Box<str>>,
    pub want: Want,
    /// Where it stands in the text.
    pub at: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Value,
    /// `has(…)`: whether there is a value.
    Presence,
    /// What a macro walks over: the elements of a list, the sorted keys of a map.
    Elements,
    /// `size(…)`: of a list or a map only how much it holds.
    Count,
}

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprFault {
    pub at: Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// What one evaluated slot or text gives.
pub type Parsed = Result<Arc<Template>, ExprFault>;

/// All texts of a domain that hold expressions, each parsed once.
#[derive(Debug, Default)]
pub struct Expressions {
    templates: BTreeMap<Box<str>, Parsed>,
    conditions: BTreeMap<Box<str>, Parsed>,
}

impl Expressions {
    /// Parses the texts; each once, whoever wrote it.
    pub fn parse<'t>(
        templates: impl IntoIterator<Item = &'t str>,
        conditions: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        let mut known = Known::default();
        let mut unique = |texts: BTreeSet<&str>, parse: fn(&str, &mut Known) -> Parsed| {
            texts.into_iter().map(|text| (text.into(), parse(text, &mut known))).collect()
        };
        Self {
            templates: unique(templates.into_iter().collect(), template),
            conditions: unique(conditions.into_iter().collect(), condition),
        }
    }

    pub fn template(&self, text: &str) -> Parsed {
        self.templates.get(text).cloned().unwrap_or_else(|| template(text, &mut Known::default()))
    }

    pub fn condition(&self, text: &str) -> Parsed {
        self.conditions.get(text).cloned().unwrap_or_else(|| condition(text, &mut Known::default()))
    }
}

/// Expressions that were parsed: ten thousand texts that differ in their words may hold the same one.
#[derive(Default)]
struct Known(BTreeMap<Box<str>, Expr>);

impl Known {
    /// The expression, as it stands at `offset` in its text.
    fn expression(&mut self, source: &str, offset: usize) -> Result<Expr, ExprFault> {
        if let Some(known) = self.0.get(source) {
            return Ok(known.at(offset));
        }
        let parsed = expression(source, offset)?;
        self.0.insert(source.into(), parsed.at(0_usize.wrapping_sub(offset)));
        Ok(parsed)
    }
}

impl Template {
    /// All references, in the order they are written.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().flat_map(|part| match part {
            Part::Text(_) => &[][..],
            Part::Expr(expr) => &expr.slots,
        })
    }
}

/// A bare expression (`when`, `that`).
fn condition(text: &str, known: &mut Known) -> Parsed {
    Ok(Arc::new(Template { parts: vec![Part::Expr(known.expression(text, 0)?)] }))
}

/// A text in which `${…}` are expressions and `$${` is a literal `${`.
fn template(text: &str, known: &mut Known) -> Parsed {
    let mut parts = vec![];
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let dollar = at + found;
        if text[..dollar].ends_with('$') {
            literal.push_str(&text[at..dollar - 1]);
            literal.push_str("${");
            at = dollar + 2;
            continue;
        }
        literal.push_str(&text[at..dollar]);
        let end = closing(text, dollar + 2).ok_or_else(|| ExprFault {
            at: dollar..text.len(),
            message: "this `${` is never closed".into(),
            help: Some("close it with `}`, or write `$${` for a literal `${`".into()),
        })?;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal).into()));
        }
        parts.push(Part::Expr(known.expression(&text[dollar + 2..end], dollar + 2)?));
        at = end + 1;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Ok(Arc::new(Template { parts }))
}

/// The `}` that closes the `${` before `from`; braces and quotes inside are skipped.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text[from..].char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(from + at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn expression(source: &str, offset: usize) -> Result<Expr, ExprFault> {
    let all = offset..offset + source.len();
    if source.trim().is_empty() {
        let at = offset.saturating_sub(2)..all.end;
        let help = Some("write one, such as `${machine.name}`, or `$${` for a literal `${`".into());
        return Err(ExprFault { at, message: "an expression is expected here".into(), help });
    }
    let operators = budget::operators_of(source).map_err(|(at, message)| ExprFault {
        at: offset + at.start..offset + at.end,
        message: format!("this is too much for one expression: {message}"),
        help: Some("give parts of it to options of their own, and read these".into()),
    })?;
    let program = cel::Program::compile(source).map_err(|errors| syntax::fault(&errors, source, offset))?;
    let info = program.source_info();
    let mut walk =
        Walk { source, offset, place: &|id| info.offset_for(id), slots: vec![], locals: vec![], fault: None };
    let ast = walk.rewrite(program.expression());
    match walk.fault {
        Some(fault) => Err(fault),
        None => Ok(Expr { ast: Arc::new(ast), slots: walk.slots, operators }),
    }
}

/// Replaces every reference in a tree by a slot.
struct Walk<'w> {
    source: &'w str,
    offset: usize,
    place: &'w dyn Fn(u64) -> Option<(u32, u32)>,
    slots: Vec<Slot>,
    /// Names that macros bind.
    locals: Vec<String>,
    fault: Option<ExprFault>,
}

impl Walk<'_> {
    fn rewrite(&mut self, expr: &IdedExpr) -> IdedExpr {
        let id = expr.id;
        if let Some(slot) = self.slot(expr) {
            return IdedExpr { id, expr: slot };
        }
        let expr = match &expr.expr {
            Ast::Call(call) => match self.known_call(call, id) {
                Some(literal) => literal,
                None => {
                    let mut call = call.clone();
                    if call.func_name == operators::INDEX {
                        self.static_index(&call.args);
                    }
                    let first = self.slots.len();
                    call.target = call.target.as_ref().map(|target| Box::new(self.rewrite(target)));
                    call.args = call.args.iter().map(|arg| self.rewrite(arg)).collect();
                    self.counted(&call, first);
                    Ast::Call(call)
                }
            },
            Ast::Select(select) => {
                let mut select = select.clone();
                select.operand = Box::new(self.rewrite(&select.operand));
                Ast::Select(select)
            }
            Ast::List(list) => {
                let mut list = list.clone();
                list.elements = list.elements.iter().map(|element| self.rewrite(element)).collect();
                Ast::List(list)
            }
            Ast::Map(map) => {
                let mut map = map.clone();
                for entry in &mut map.entries {
                    if let cel::common::ast::EntryExpr::MapEntry(entry) = &mut entry.expr {
                        entry.key = self.rewrite(&entry.key);
                        entry.value = self.rewrite(&entry.value);
                    }
                }
                Ast::Map(map)
            }
            Ast::Comprehension(comprehension) => self.comprehension(comprehension, id),
            other => other.clone(),
        };
        IdedExpr { id, expr }
    }

    fn comprehension(&mut self, comprehension: &cel::common::ast::ComprehensionExpr, id: u64) -> Ast {
        let mut it = comprehension.clone();
        let first = self.slots.len();
        it.iter_range = match &it.iter_range.expr {
            // A map is walked in the order of its keys, whatever order the interpreter keeps it in.
            Ast::Map(map) => {
                let elements = map.entries.iter().filter_map(|entry| match &entry.expr {
                    cel::common::ast::EntryExpr::MapEntry(entry) => Some(entry.key.clone()),
                    cel::common::ast::EntryExpr::StructField(_) => None,
                });
                let list = Ast::List(cel::common::ast::ListExpr::new(elements.collect()));
                self.rewrite(&IdedExpr { id, expr: list })
            }
            _ => self.rewrite(&it.iter_range),
        };
        if matches!(it.iter_range.expr, Ast::Ident(_))
            && let [slot] = &mut self.slots[first..]
        {
            slot.want = Want::Elements;
        }
        if it.iter_var2.is_some() {
            self.refuse(id, "macros with two variables are not known here");
        }
        it.accu_init = self.rewrite(&it.accu_init);
        let outer = self.locals.len();
        self.locals.extend([it.iter_var.clone(), it.accu_var.clone()]);
        it.loop_cond = self.rewrite(&it.loop_cond);
        it.loop_step = self.rewrite(&it.loop_step);
        it.result = self.rewrite(&it.result);
        self.locals.truncate(outer);
        budget::count_rounds(&mut it);
        Ast::Comprehension(Box::new(it))
    }

    /// `a.b["c"].d`, `has(a.b)`: a reference, and what takes its place.
    fn slot(&mut self, expr: &IdedExpr) -> Option<Ast> {
        let (keys, root) = path(expr)?;
        if self.locals.iter().any(|local| *local == *keys[0]) {
            return None;
        }
        let want = match &expr.expr {
            Ast::Select(select) if select.test => Want::Presence,
            _ => Want::Value,
        };
        let start = (self.place)(root).map_or(0, |(start, _)| start as usize).min(self.source.len());
        let rest = &self.source[start..];
        let mut len = rest.find(|c: char| !(c.is_alphanumeric() || "_.\"'[]-/@".contains(c))).unwrap_or(rest.len());
        // A quoted key may hold anything, a bare one may not hold a minus.
        if keys.iter().all(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            len = keys.iter().map(|key| key.len() + 1).sum::<usize>().saturating_sub(1).min(rest.len());
        }
        let at = self.offset + start..self.offset + start + len;
        self.slots.push(Slot { keys, want, at });
        Some(Ast::Ident(name(self.slots.len() - 1)))
    }

    /// `size("1GiB")` and `duration("90s")` are integers: bytes and nanoseconds.
    fn known_call(&mut self, call: &cel::common::ast::CallExpr, id: u64) -> Option<Ast> {
        let [IdedExpr { expr: Ast::Literal(LiteralValue::String(text)), .. }] = call.args.as_slice() else {
            return None;
        };
        if call.target.is_some() {
            return None;
        }
        let parsed = match call.func_name.as_str() {
            "size" => ByteSize::parse(text.inner()).map(ByteSize::as_bytes),
            "duration" => Duration::parse(text.inner()).map(Duration::as_nanos),
            _ => return None,
        };
        match parsed.and_then(|number| i64::try_from(number).map_err(|_| Fault::new("this number is too large"))) {
            Ok(number) => Some(Ast::Literal(LiteralValue::Int(number.into()))),
            Err(fault) => {
                self.refuse(id, &fault.message);
                None
            }
        }
    }

    /// `size(streams)`, `streams.size()`: nobody looks at what the streams are.
    fn counted(&mut self, call: &cel::common::ast::CallExpr, first: usize) {
        let mut operands = call.target.iter().map(|target| &**target).chain(&call.args);
        if call.func_name == "size"
            && operands.all(|operand| matches!(operand.expr, Ast::Ident(_)))
            && let [slot @ Slot { want: Want::Value, .. }] = &mut self.slots[first..]
        {
            slot.want = Want::Count;
        }
    }

    /// `streams[machine.name]`: the path would be known only after evaluation.
    fn static_index(&mut self, args: &[IdedExpr]) {
        let [operand, index] = args else { return };
        let literal = matches!(index.expr, Ast::Literal(LiteralValue::Int(_) | LiteralValue::String(_)));
        let reference = path(operand).is_some_and(|(keys, _)| !self.locals.iter().any(|local| *local == *keys[0]));
        if reference && !literal {
            self.refuse(index.id, "a reference is a static path; its keys cannot be computed");
        }
    }

    fn refuse(&mut self, id: u64, message: &str) {
        let at = (self.place)(id).map_or(0..self.source.len(), |(start, end)| start as usize..(end as usize + 1));
        let at = at.start.min(self.source.len())..at.end.min(self.source.len());
        let at = self.offset + at.start..self.offset + at.end;
        let help = Some("see `leafwright explain LW0207` for what an expression may hold".to_owned());
        self.fault.get_or_insert(ExprFault { at, message: message.to_owned(), help });
    }
}

fn name(slot: usize) -> String {
    format!("slot{slot}")
}

/// The keys of a static path, and the id of its first identifier.
fn path(expr: &IdedExpr) -> Option<(Vec<Box<str>>, u64)> {
    match &expr.expr {
        Ast::Ident(name) => Some((vec![name.as_str().into()], expr.id)),
        Ast::Select(select) => {
            let (mut keys, root) = path(&select.operand)?;
            keys.push(select.field.as_str().into());
            Some((keys, root))
        }
        Ast::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [operand, IdedExpr { expr: Ast::Literal(LiteralValue::String(key)), .. }] => {
                let (mut keys, root) = path(operand)?;
                keys.push(key.inner().into());
                Some((keys, root))
            }
            _ => None,
        },
        _ => None,
    }
}

impl Expr {
    /// The same, further on in its text.
    fn at(&self, offset: usize) -> Self {
        let moved = |at: &Range<usize>| at.start.wrapping_add(offset)..at.end.wrapping_add(offset);
        let slots = self.slots.iter().map(|slot| Slot { at: moved(&slot.at), ..slot.clone() });
        Self { ast: self.ast.clone(), slots: slots.collect(), operators: self.operators }
    }

    /// Is it nothing but a reference? Then its value is the referenced one, with its type.
    pub fn is_reference(&self) -> bool {
        matches!(&self.ast.expr, Ast::Ident(_)) && matches!(self.slots.as_slice(), [Slot { want: Want::Value, .. }])
    }

    /// Evaluates with the values of the slots, in their order.
    pub fn evaluate(&self, interpreter: &Interpreter, slots: Vec<Val>) -> Result<Val, String> {
        interpreter.begin(self.operators, &slots)?;
        let mut scope = interpreter.context.new_inner_scope();
        for (at, (slot, value)) in self.slots.iter().zip(slots).enumerate() {
            let value = match (slot.want, value) {
                (Want::Elements, Val::Map(entries)) => {
                    Val::List(entries.iter().map(|(key, _)| Val::Text(key.clone())).collect())
                }
                (Want::Count, Val::Map(entries)) => Val::List(entries.iter().map(|_| Val::Null).collect()),
                (Want::Count, Val::List(items)) => Val::List(items.iter().map(|_| Val::Null).collect()),
                (_, value) => value,
            };
            scope.add_variable_from_value(name(at), to_cel(&value));
        }
        let result = Cel::resolve(&self.ast, &scope);
        if interpreter.is_spent() {
            return Err(budget::TOO_MUCH.into());
        }
        let value = from_cel(&result.map_err(|error| failure(&error))?)?;
        if budget::weight(&value) > budget::RESULT as u64 {
            return Err(TOO_LARGE.into());
        }
        Ok(value)
    }
}

/// What is said of an expression that gives more than it may.
pub const TOO_LARGE: &str = "it gives more than 256 KiB";

/// The way out of a failed evaluation.
pub fn way_out(message: &str) -> &'static str {
    match message {
        budget::TOO_MUCH => "walk over fewer elements, or put fewer macros into each other",
        TOO_LARGE => "let it give less, or write the text as it is",
        "it divides by zero" => "ask first: `${a == 0 ? 0 : 100 / a}`",
        "the list has no such element" => "ask first: `${size(list) > 0 ? list[0] : 'none'}`",
        _ => "see `leafwright explain LW0211`, and `leafwright explain MACHINE OPTION` for the values that it reads",
    }
}

/// Why an evaluation failed, in words that do not show the interpreter's insides.
fn failure(error: &cel::ExecutionError) -> String {
    use cel::ExecutionError as Error;
    match error {
        Error::DivisionByZero(_) | Error::RemainderByZero(_) => "it divides by zero".into(),
        Error::IndexOutOfBounds(_) => "the list has no such element".into(),
        Error::NoSuchKey(key) => format!("there is no key `{key}`"),
        Error::Overflow(..) => "the number is too large".into(),
        Error::UndeclaredReference(name) => format!("there is no function or name `{name}`"),
        Error::UnexpectedType { got, want } => format!("a value of type {want} is expected, not {got}"),
        other => syntax::lower_first(&other.to_string()),
    }
}

fn to_cel(value: &Val) -> Cel {
    let number = |number: u64| Cel::Int(i64::try_from(number).unwrap_or(i64::MAX));
    match value {
        Val::Null => Cel::Null,
        Val::Bool(value) => Cel::Bool(*value),
        Val::Int(value) => Cel::Int(*value),
        Val::Float(value) => Cel::Float(*value),
        Val::Size(value) => number(value.as_bytes()),
        Val::Duration(value) => number(value.as_nanos()),
        Val::Text(value) => Cel::String(Arc::new(value.to_string())),
        Val::List(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Val::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Key::String(Arc::new(key.to_string())), to_cel(value)));
            Cel::Map(Map { map: Arc::new(entries.collect()) })
        }
    }
}

fn from_cel(value: &Cel) -> Result<Val, String> {
    Ok(match value {
        Cel::Null => Val::Null,
        Cel::Bool(value) => Val::Bool(*value),
        Cel::Int(value) => Val::Int(*value),
        Cel::UInt(value) => Val::Int(i64::try_from(*value).map_err(|_| "the number is too large")?),
        Cel::Float(value) => Val::Float(*value),
        Cel::String(value) => Val::text(value),
        Cel::List(items) => Val::List(items.iter().map(from_cel).collect::<Result<Vec<_>, _>>()?.into()),
        Cel::Map(map) => {
            let entries = map.map.iter().map(|(key, value)| match key {
                Key::String(key) => Ok((Arc::from(key.as_str()), from_cel(value)?)),
                _ => Err("the keys of a table are strings".to_owned()),
            });
            Val::map(entries.collect::<Result<_, _>>()?)
        }
        _ => return Err("the expression returns what no option can hold".into()),
    })
}

/// Texts with expressions in the defaults of an option and its fields.
pub fn of_decl(decl: &super::schema::Decl, texts: &mut BTreeSet<Box<str>>) {
    if let Some(super::schema::Default::Written(written)) = &decl.default {
        let mut found = BTreeSet::new();
        of_value(&written.value, &mut found);
        texts.extend(found.into_iter().map(Box::from));
    }
    for field in super::schema::fields_of(&decl.kind) {
        of_decl(field, texts);
    }
}

/// Texts with expressions in a body, and its bare expressions.
pub fn of_body<'b>(body: &'b crate::declare::Body, texts: &mut BTreeSet<&'b str>, conditions: &mut BTreeSet<&'b str>) {
    for block in &body.blocks {
        conditions.extend(block.when.iter().map(|when| &*when.value));
        for check in block.asserts.iter().chain(&block.warns) {
            conditions.insert(&check.that.value);
            if check.say.value.contains("${") {
                texts.insert(&check.say.value);
            }
        }
        for table in [&block.default, &block.settings, &block.force] {
            for entry in &table.entries {
                of_value(&entry.value.value, texts);
            }
        }
    }
}

/// Texts with expressions in a value.
pub fn of_value<'v>(value: &'v crate::declare::Value, texts: &mut BTreeSet<&'v str>) {
    use crate::declare::Value;
    match value {
        Value::Text(text) if text.contains("${") => {
            texts.insert(text);
        }
        Value::List(items) => items.iter().for_each(|item| of_value(&item.value, texts)),
        Value::Table(table) => table.entries.iter().for_each(|entry| of_value(&entry.value.value, texts)),
        _ => {}
    }
}
