//! A plan as people read it (sentences) and as programs do (JSON, versioned).
//!
//! Refuses: printing; it returns text. Colour is for whoever owns the terminal.

use super::model::{Action, Because, FieldChange, Object, Plan, Scope, Step};
use super::units::written;
use serde_json::Value;
use std::fmt::Write as _;

/// Stable JSON with `"format": 1`; the same text for the same plan.
pub fn json(plan: &Plan) -> String {
    let mut text = serde_json::to_string_pretty(plan).unwrap_or_default();
    text.push('\n');
    text
}

/// One line a step with its reason, then a summary; `nothing to do` for an empty plan.
pub fn human(plan: &Plan) -> String {
    let mut text = String::new();
    for (number, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(text, "{:>3}  {}", number + 1, sentence(plan, step));
        if let Action::Refuse { way_out, .. } = &step.action {
            let _ = writeln!(text, "       help: {way_out}");
        }
    }
    for found in &plan.undeclared {
        let _ = writeln!(
            text,
            "  -  {} on {} is not declared and stays as it is",
            object(&found.object),
            place(plan, &found.on)
        );
    }
    let _ = writeln!(text, "{}", summary(plan));
    text
}

/// Everything that is refused, a line each, with its way out.
pub fn refusals(plan: &Plan) -> String {
    let mut lines = vec![];
    for step in plan.refused() {
        lines.push(format!("  {}", sentence(plan, step)));
        if let Action::Refuse { way_out, .. } = &step.action {
            lines.push(format!("  help: {way_out}"));
        }
    }
    lines.join("\n")
}

/// `8 to create, 1 to change, nothing to remove`; no zeros.
pub fn summary(plan: &Plan) -> String {
    if plan.is_empty() {
        return "nothing to do".into();
    }
    let count = |wanted: fn(&Action) -> bool| plan.steps.iter().filter(|step| wanted(&step.action)).count();
    let create = count(|action| matches!(action, Action::CreateStream { .. } | Action::CreateConsumer { .. }));
    let change = count(|action| matches!(action, Action::UpdateStream { .. } | Action::UpdateConsumer { .. }));
    let write = count(|action| matches!(action, Action::WriteClosure { .. }));
    let events: u64 = plan
        .steps
        .iter()
        .map(|step| if let Action::LoadEvents { from, to, .. } = &step.action { to - from } else { 0 })
        .sum();
    let mut parts = vec![];
    for (count, what) in [(create, "to create"), (change, "to change")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !parts.is_empty() {
        // Worth its words where streams are touched: no plan removes any.
        parts.push("nothing to remove".into());
    }
    if write > 0 {
        parts.push(format!("{} to write", counted(write, "closure")));
    }
    if events > 0 {
        parts.push(format!("{} to load", counted(events, "event")));
    }
    let refused = plan.refused().count();
    if refused > 0 {
        parts.push(format!("{refused} refused, so none of this is done"));
    }
    parts.join(", ")
}

/// The step in one sentence: what, where, because.
pub fn sentence(plan: &Plan, step: &Step) -> String {
    let on = place(plan, &step.on);
    match &step.action {
        Action::WriteClosure { digest } => {
            let because = match &step.because {
                Because::Changed { changes } => other_files(changes),
                _ => "there is none yet".into(),
            };
            format!("write closure {} of {on}, because {because}", short(digest))
        }
        Action::CreateStream { config } => {
            format!("create stream {} on {on}, because {}", config.name, absent(&step.because))
        }
        Action::CreateConsumer { stream, config } => {
            format!("create consumer {} of {stream} on {on}, because {}", config.durable_name, absent(&step.because))
        }
        Action::UpdateStream { to, changes, .. } => match (&step.because, changes.as_slice()) {
            (Because::Changed { .. }, [change]) => match moved(change) {
                Some(verb) => {
                    let from = written(&change.field, &change.from);
                    let to_value = written(&change.field, &change.to);
                    format!(
                        "let {} on {on} {verb} to {to_value}, because {} is now {to_value}{}, it was {from}",
                        to.name,
                        change.field,
                        said(change)
                    )
                }
                None => change_sentence(&format!("stream {}", to.name), &on, step, changes),
            },
            _ => change_sentence(&format!("stream {}", to.name), &on, step, changes),
        },
        Action::UpdateConsumer { stream, to, changes, .. } => {
            change_sentence(&format!("consumer {} of {stream}", to.durable_name), &on, step, changes)
        }
        Action::LoadEvents { set, stream, from, to } => {
            let count = counted(to - from, "event");
            let because = match step.because {
                Because::Grew { by } => format!("the set grew by {by}"),
                Because::Missing => "they were loaded before and are gone".into(),
                _ => "none of them is stored yet".into(),
            };
            format!("load {count} of {set} into {stream} on {on}, because {because}")
        }
        Action::Refuse { object: what, say, changes, .. } => {
            let list = if changes.is_empty() {
                String::new()
            } else {
                format!(" ({})", changes.iter().map(described).collect::<Vec<_>>().join("; "))
            };
            format!("refused: {} on {on} stays as it is, because {say}{list}", object(what))
        }
    }
}

/// How many files of a closure are named.
const NAMED: usize = 3;

/// `etc/nats/nats-server.json is other and etc/motd is new (7c8d… is there)`; the first change is the closure's own.
fn other_files(changes: &[FieldChange]) -> String {
    let Some((closure, files)) = changes.split_first() else { return String::new() };
    let there = short(closure.from.as_str().unwrap_or_default());
    let one = |change: &FieldChange| {
        let how = match (change.from.is_null(), change.to.is_null()) {
            (true, _) => "is new",
            (_, true) => "is gone",
            _ => "is other",
        };
        format!("{} {how}", change.field)
    };
    let named: Vec<String> = files.iter().take(NAMED).map(one).collect();
    match (named.as_slice(), files.len().saturating_sub(NAMED)) {
        ([], _) => format!("what is there is {there}"),
        (_, 0) => format!("{} (there is {there})", named.join(", ")),
        (_, more) => format!("{}, and {more} more are other (there is {there})", named.join(", ")),
    }
}

fn change_sentence(what: &str, on: &str, step: &Step, changes: &[FieldChange]) -> String {
    let list = changes.iter().map(described).collect::<Vec<_>>().join("; ");
    match step.because {
        Because::Drifted { .. } => format!("put {what} on {on} back, because somebody changed it by hand: {list}"),
        _ => format!("change {what} on {on}, because the declaration changed: {list}"),
    }
}

fn absent(because: &Because) -> &'static str {
    match because {
        Because::Missing => "it was made before and is gone",
        _ => "it does not exist yet",
    }
}

/// Which way a limit goes; `None` for what is no limit.
fn moved(change: &FieldChange) -> Option<&'static str> {
    let limit = matches!(change.field.as_str(), "max_bytes" | "max_msgs" | "max_age" | "max_msgs_per_subject");
    // Unlimited is written as -1, of ages as 0.
    let amount = |value: &Value| value.as_i64().map(|amount| if amount <= 0 { i64::MAX } else { amount });
    let (from, to) = (amount(&change.from)?, amount(&change.to)?);
    (limit && from != to).then_some(if to > from { "grow" } else { "shrink" })
}

fn described(change: &FieldChange) -> String {
    let (from, to) = (written(&change.field, &change.from), written(&change.field, &change.to));
    format!("{} is {from} and must be {to}{}", change.field, said(change))
}

fn said(change: &FieldChange) -> String {
    change.place.as_ref().map_or(String::new(), |place| format!(" ({}:{})", place.file, place.line))
}

fn object(object: &Object) -> String {
    match object {
        Object::Stream(name) => format!("stream {name}"),
        Object::Consumer(stream, name) => format!("consumer {name} of {stream}"),
        Object::Events(set) => format!("event set {set}"),
    }
}

/// What people call a scope: the machine's name, or the cluster's.
pub fn place(plan: &Plan, scope: &Scope) -> String {
    match scope {
        Scope::Machine(machine) => machine.to_string(),
        Scope::Cluster => plan.cluster.clone().unwrap_or_else(|| "the cluster".into()),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// `1 step`, `2 steps`.
pub fn counted<N: From<u8> + PartialEq + std::fmt::Display>(count: N, word: &str) -> String {
    if count == N::from(1) { format!("1 {word}") } else { format!("{count} {word}s") }
}
