//! How much an expression may hold and do: bounds that are looked at before it is parsed, and steps that are counted
//! while it runs.
//!
//! Refuses: clocks. The same expression with the same values is refused everywhere or nowhere.

use super::val::Val;
use cel::ExecutionError;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Ast, IdedExpr, LiteralValue, operators};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How deep brackets may stand in each other: the parser recurses.
const NESTED: usize = 40;
/// How many operators an expression may have: the evaluator recurses.
const OPERATORS: usize = 400;
/// How long an expression may be.
const LENGTH: usize = 16 * 1024;
/// How large what an expression gives may become, and what a text becomes with its expressions.
pub const RESULT: usize = 256 * 1024;
/// What one evaluation may do: the steps of its macros, each the dearer the more it may copy.
const STEPS: u64 = 1_000_000;
/// Copies are made by operators: their number times what is read.
const COPIED: u64 = 64 << 20;
/// Copies of so many bytes count as one step.
const PER_STEP: u64 = 4096;

/// No name that anybody could write.
const STEP: &str = "@step";

/// The operators of an expression, or the place where it becomes too deep or too long, and what is said there.
pub fn operators_of(source: &str) -> Result<u64, (Range<usize>, String)> {
    if source.len() > LENGTH {
        return Err((0..0, format!("an expression of more than {} KiB", LENGTH / 1024)));
    }
    let (mut depth, mut operators) = (0_usize, 0);
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in source.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => {
                depth += 1;
                operators += 1;
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '+' | '-' | '*' | '/' | '%' | '!' | '?' | '<' | '>' | '=' | '&' | '|' | '.') => operators += 1,
            (None, _) => {}
        }
        if depth > NESTED {
            return Err((at..at + 1, format!("brackets stand in each other more than {NESTED} deep")));
        }
        if operators > OPERATORS {
            return Err((at..at + 1, format!("an expression of more than {OPERATORS} operators")));
        }
    }
    Ok(operators as u64)
}

/// The interpreter's functions and operators, built once and shared by all evaluations of a thread; and what the present
/// one has left.
pub struct Interpreter {
    pub context: cel::Context<'static, 'static>,
    left: Arc<AtomicU64>,
    cost: Arc<AtomicU64>,
}

pub fn interpreter() -> Interpreter {
    let mut context = cel::Context::default();
    // The library declares neither; a name that it did declare one day would be refused, and the library's meaning kept.
    let _ = context.add_function("min", |a: i64, b: i64| a.min(b));
    let _ = context.add_function("max", |a: i64, b: i64| a.max(b));
    let left = Arc::new(AtomicU64::new(STEPS));
    let cost = Arc::new(AtomicU64::new(1));
    let (had, price) = (left.clone(), cost.clone());
    let step = move || {
        let (now, price) = (had.load(Ordering::Relaxed), price.load(Ordering::Relaxed));
        had.store(now.saturating_sub(price), Ordering::Relaxed);
        match now {
            0 => Err(ExecutionError::function_error(STEP, TOO_MUCH)),
            _ => Ok(true),
        }
    };
    let _ = context.add_function(STEP, step);
    Interpreter { context, left, cost }
}

/// What is said of an expression that does more than it may.
pub const TOO_MUCH: &str = "it does too much work";

impl Interpreter {
    /// Begins an evaluation that reads these values.
    pub fn begin(&self, operators: u64, values: &[Val]) -> Result<(), String> {
        let read: u64 = values.iter().map(weight).sum();
        if read.saturating_mul(operators) > COPIED {
            return Err(TOO_MUCH.into());
        }
        self.left.store(STEPS, Ordering::Relaxed);
        let largest = values.iter().map(largest).max().unwrap_or(0);
        self.cost.store(1 + operators * largest / PER_STEP, Ordering::Relaxed);
        Ok(())
    }

    /// Has the evaluation used up what it had? Some errors are swallowed by `all` and `exists`.
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// About how many bytes a value takes.
pub fn weight(value: &Val) -> u64 {
    16 + match value {
        Val::Text(text) => text.len() as u64,
        Val::List(items) => items.iter().map(weight).sum(),
        Val::Map(entries) => entries.iter().map(|(key, value)| key.len() as u64 + weight(value)).sum(),
        _ => 0,
    }
}

/// The largest text or list in a value, in about so many bytes: what an operator may copy at once.
fn largest(value: &Val) -> u64 {
    let below = |values: &mut dyn Iterator<Item = &Val>| values.map(largest).max().unwrap_or(0);
    match value {
        Val::Text(text) => text.len() as u64,
        Val::List(items) => below(&mut items.iter()).max(16 * items.len() as u64),
        Val::Map(entries) => below(&mut entries.iter().map(|(_, value)| value)).max(16 * entries.len() as u64),
        _ => 0,
    }
}

/// Lets every round of a macro take a step. The shape that the library knows as `map` and `filter` is kept: it appends
/// to one list, where any other would copy it each time.
pub fn count_rounds(it: &mut ComprehensionExpr) {
    let accumulator = |expr: &IdedExpr| matches!(&expr.expr, Ast::Ident(name) if *name == it.accu_var);
    if !matches!(it.loop_cond.expr, Ast::Literal(_)) {
        it.loop_cond = guarded(std::mem::take(&mut it.loop_cond));
        return;
    }
    match &mut it.loop_step.expr {
        Ast::Call(call)
            if call.func_name == operators::CONDITIONAL && call.args.len() == 3 && accumulator(&call.args[2]) =>
        {
            call.args[0] = guarded(std::mem::take(&mut call.args[0]));
        }
        _ => {
            let id = it.loop_step.id;
            let same = IdedExpr { id, expr: Ast::Ident(it.accu_var.clone()) };
            let step = std::mem::take(&mut it.loop_step);
            it.loop_step = conditional(id, [taken(id), step, same]);
        }
    }
}

/// `@step() ? condition : false`
fn guarded(condition: IdedExpr) -> IdedExpr {
    let id = condition.id;
    let no = IdedExpr { id, expr: Ast::Literal(LiteralValue::Boolean(false.into())) };
    conditional(id, [taken(id), condition, no])
}

fn taken(id: u64) -> IdedExpr {
    call(id, STEP, vec![])
}

fn conditional(id: u64, parts: [IdedExpr; 3]) -> IdedExpr {
    call(id, operators::CONDITIONAL, parts.into())
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Ast::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}
