//! A machine's plan as people read it (sentences) and as programs do (JSON, versioned).
//!
//! Refuses: printing; it returns text.

use super::content::UNITS;
use super::model::{Act, FieldEffect, MachinePlan, MachineStep, Why};
use crate::compile::effects;
use crate::name::ByteSize;
use crate::plan::render::counted;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Longer values say nothing at a glance.
const VALUE_MAX: usize = 60;

/// Stable JSON with `"format": 1`; the same text for the same plan.
pub fn json(plan: &MachinePlan) -> String {
    let mut text = serde_json::to_string_pretty(plan).unwrap_or_default();
    text.push('\n');
    text
}

/// One line a step with its reason, then a summary; `nothing to do` for an empty plan.
pub fn human(plan: &MachinePlan) -> String {
    let mut text = String::new();
    for (number, step) in plan.steps().enumerate() {
        let _ = writeln!(text, "{:>3}  {}", number + 1, sentence(step));
        if let Act::Refuse { way_out, .. } = &step.act {
            let _ = writeln!(text, "       help: {way_out}");
        }
    }
    let _ = writeln!(text, "{}", summary(plan));
    text
}

/// `2 packages to install, 4 files to place, 1 unit to restart, 1 to reload, nothing to remove`. What is stopped and started counts as restarted.
pub fn summary(plan: &MachinePlan) -> String {
    if plan.is_empty() {
        return "nothing to do".to_owned();
    }
    let units = |wanted: fn(&Act) -> Option<&String>| -> BTreeSet<&String> {
        plan.steps().filter_map(|step| wanted(&step.act)).collect()
    };
    let stop = units(|act| if let Act::Stop { unit } = act { Some(unit) } else { None });
    let start = units(|act| if let Act::Start { unit } = act { Some(unit) } else { None });
    let restart = units(|act| if let Act::Restart { unit } = act { Some(unit) } else { None });
    let reload = units(|act| if let Act::Reload { unit } = act { Some(unit) } else { None });
    let count = |wanted: fn(&Act) -> bool| plan.steps().filter(|step| wanted(&step.act)).count();
    let place = count(|act| matches!(act, Act::Place { .. } | Act::Link { .. }));
    let remove = count(|act| matches!(act, Act::Remove { .. } | Act::RemoveCredential { .. }));
    let mut parts = vec![];
    let install = count(|act| matches!(act, Act::Install { .. }));
    if install > 0 {
        parts.push(format!("{} to install", counted(install, "package")));
    }
    if place > 0 {
        parts.push(format!("{} to place", counted(place, "file")));
    }
    let verbs = [
        (restart.len() + stop.intersection(&start).count(), "to restart"),
        (reload.len(), "to reload"),
        (start.difference(&stop).count(), "to start"),
        (stop.difference(&start).count(), "to stop"),
    ];
    let mut said = false;
    for (count, verb) in verbs.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(if said { format!("{count} {verb}") } else { format!("{} {verb}", counted(count, "unit")) });
        said = true;
    }
    parts.push(if remove == 0 {
        "nothing to remove".to_owned()
    } else {
        format!("{} to remove", counted(remove, "file"))
    });
    let refused = plan.refused().count();
    if refused > 0 {
        parts.push(format!("{refused} refused, so nothing is done"));
    }
    parts.join(", ")
}

/// The step in one sentence: what, because.
pub fn sentence(step: &MachineStep) -> String {
    let what = match &step.act {
        Act::Install { package, .. } => format!("install package {package}"),
        Act::Place { path, .. } if matches!(step.why, Why::Drifted { .. }) => format!("put {path} back"),
        Act::Place { path, .. } => format!("place {path}"),
        Act::Link { path, to } => format!("link {path} to {to}"),
        Act::Remove { path } => format!("remove {path}"),
        Act::Users => "make users".to_owned(),
        Act::Directories => "make directories".to_owned(),
        Act::Credentials { names } => format!("make {} of this machine's keys", listed(names.clone(), ", ")),
        Act::RemoveCredential { path } => format!("remove the credential {path}"),
        Act::DaemonReload => "let systemd read its units again".to_owned(),
        Act::Stop { unit } => format!("stop {unit}"),
        Act::Reload { unit } => format!("reload {unit}"),
        Act::Restart { unit } => format!("restart {unit}"),
        Act::Start { unit } => format!("start {unit}"),
        Act::Refuse { path, say, .. } => return format!("refused: {path} stays as it is, because {say}"),
    };
    format!("{what}, because {}", because(step))
}

fn because(step: &MachineStep) -> String {
    match &step.why {
        Why::New => "it is new".to_owned(),
        Why::Gone => "it is no longer declared".to_owned(),
        Why::Changed { fields } => listed(fields.iter().map(described).collect(), "; "),
        Why::Drifted { .. } if matches!(step.act, Act::Credentials { .. }) => {
            "what is there is not what the keys and the closure say".to_owned()
        }
        Why::Drifted { what } => format!("somebody changed it by hand: {what}"),
        Why::NotRunning { state } => format!("it ought to run and is {state}"),
        Why::NotInstalled => "it is not installed".to_owned(),
        Why::Follows { what } => {
            let short = |path: &String| path.trim_start_matches(UNITS).to_owned();
            let all = match &step.act {
                Act::DaemonReload => listed(what.iter().map(short).collect(), ", "),
                _ => listed(what.clone(), ", "),
            };
            let one = what.len() == 1;
            match &step.act {
                // Files are followed by a change, units by going down and coming up.
                Act::Stop { .. } if !all.starts_with('/') => format!("{all} {} down", if one { "goes" } else { "go" }),
                Act::Start { .. } if !all.starts_with('/') => format!("it was stopped for {all}"),
                _ => format!("{all} {}", if one { "changes" } else { "change" }),
            }
        }
    }
}

/// The first three, and how many more.
fn listed(items: Vec<String>, between: &str) -> String {
    let more = items.len().saturating_sub(3);
    let shown = items.iter().take(3).cloned().collect::<Vec<_>>().join(between);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

fn described(change: &FieldEffect) -> String {
    let name = named(&change.field);
    if change.field == "content" || change.field.ends_with(".env") || change.field.ends_with(".pem") {
        return format!("{name} changed");
    }
    match (written(&change.field, &change.from), written(&change.field, &change.to)) {
        (Some(from), Some(to)) => format!("{name} is {to}, was {from}"),
        _ => format!("{name} is not what it was"),
    }
}

/// A key of nats-server's configuration goes by its option where one says it alone.
fn named(field: &str) -> String {
    if matches!(field, "content" | "mode" | "kind") {
        return format!("its {field}");
    }
    let Some(pointer) = field.strip_prefix('/') else { return field.to_owned() };
    let path: Vec<&str> = pointer.split('/').filter(|part| part.parse::<u32>().is_err()).collect();
    match effects::key(&path.join(".")) {
        Some(key) if key.option.contains('.') => format!("{} ({field})", key.option),
        _ => field.to_owned(),
    }
}

/// As people write it; `None` for what is too long to read.
fn written(field: &str, value: &Value) -> Option<String> {
    let bytes = ["max_payload", "max_pending", "max_memory_store", "max_file_store", "MemoryMax"];
    let last = field.rsplit(['/', '.']).next().unwrap_or(field);
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let text = match (number, value) {
        (Some(number), _) if bytes.contains(&last) => ByteSize::bytes(number).to_string(),
        (_, Value::Null) => "not set".to_owned(),
        (_, Value::String(text)) if text.is_empty() => "empty".to_owned(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(all)) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        (_, other) => other.to_string(),
    };
    (text.chars().count() <= VALUE_MAX).then_some(text)
}
