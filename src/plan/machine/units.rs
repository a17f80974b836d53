//! What becomes of each unit: nothing, or a verb with its reason; and what goes down with what.
//!
//! Refuses: units that neither content has. What requires them is systemd's matter.

use super::accounts;
use super::between::Case;
use super::content::{dropped_into, unit_at};
use super::enablement::Fault;
use super::files::{Bytes, Difference, Drift, directives};
use super::graph::{Graph, expanded, is_template, kind, says_yes, template_of, words};
use super::model::{FieldEffect, Why};
use super::server::{self, Told};
use super::unit_effects::{Class, Wish, is_wholly_reread, wish};
use crate::compile::units::NATS;
use crate::compile::{ArtefactKind, Effect};
use crate::resolve::Unit;
use std::collections::{BTreeMap, BTreeSet};

pub type Differences = BTreeMap<String, Difference>;

/// What is done with a unit, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub verb: Verb,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Before any file changes.
    Stop,
    Start,
    Reload,
    Restart,
    /// Stopped first and started at its place in the order: where one job would come too late, or drag others along unsaid.
    Bounce(Moment),
}

/// When a unit is stopped that is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Before any file changes: by its old definition, or because something in the first phase takes it down.
    Early,
    /// At the head of the second phase.
    Late,
}

/// Everything that must be done to units, those that go down with others included.
pub fn verdicts(case: &Case<'_>, differences: &Differences) -> BTreeMap<String, Verdict> {
    let names: BTreeSet<&String> = case.old_graph.units.iter().chain(&case.new_graph.units).collect();
    let alone = names.into_iter().filter_map(|name| Some((name.clone(), alone(case, differences, name)?)));
    let mut verdicts: BTreeMap<String, Verdict> = alone.collect();
    while carry(case, &mut verdicts) {}
    let run_by_others: Vec<String> =
        verdicts.keys().filter(|name| is_run_by_another(case, &verdicts, name)).cloned().collect();
    verdicts.retain(|name, _| !run_by_others.contains(name));
    verdicts
}

/// A oneshot runs each time that something which wants it is started; a step of its own would run it twice.
fn is_run_by_another(case: &Case<'_>, verdicts: &BTreeMap<String, Verdict>, name: &str) -> bool {
    let starts = |other: &String| {
        let verb = verdicts.get(other).map(|verdict| verdict.verb);
        matches!(verb, Some(Verb::Start | Verb::Restart | Verb::Bounce(_)))
    };
    let wanted_by = case.new_graph.pulls.iter().filter(|(other, wants)| *other != name && wants.contains(name));
    starts(&name.to_owned())
        && case.new.definition(name).is_some_and(|unit| is_oneshot(unit) && ends_by_itself(unit))
        && wanted_by.map(|(other, _)| other).any(starts)
}

/// What a unit needs for its own sake.
fn alone(case: &Case<'_>, differences: &Differences, name: &str) -> Option<Verdict> {
    let Some(new) = case.new.definition(name) else {
        return case.runs(name).then_some(Verdict { verb: Verb::Stop, why: Why::Gone });
    };
    let old = case.old.definition(name);
    let wanted = case.new_graph.ought.contains(name);
    if case.runs(name) {
        // What nobody wants any more goes, unless something starts it when it is time.
        if !wanted && case.old_graph.ought.contains(name) && !case.new_graph.is_triggered(name) {
            return Some(Verdict { verb: Verb::Stop, why: Why::Gone });
        }
        return running(case, differences, name, new);
    }
    let start = |why| Some(Verdict { verb: Verb::Start, why });
    let failed = case.seen.units.get(name).is_some_and(|seen| seen.active == "failed");
    match wanted {
        false => None,
        true if old.is_none() || !case.old_graph.ought.contains(name) => start(Why::New),
        true => match asked(case, differences, name, new) {
            Some((Effect::Restart, why)) => start(why),
            // What ends by itself, or may decide not to begin, is not missed.
            _ if ends_by_itself(new) && !failed => None,
            _ => start(Why::NotRunning { state: state(case, name) }),
        },
    }
}

fn state(case: &Case<'_>, name: &str) -> String {
    case.seen.units.get(name).map_or("inactive", |seen| seen.active.as_str()).to_owned()
}

/// What becomes of a unit that runs and stays.
fn running(case: &Case<'_>, differences: &Differences, name: &str, new: &Unit) -> Option<Verdict> {
    if case.old.definition(name).is_none() {
        // Somebody else's until now, or started by hand: it runs by another definition than ours.
        let verb = if is_wholly_reread(name) { Verb::Start } else { Verb::Restart };
        return Some(Verdict { verb, why: Why::New });
    }
    if is_passing(case, name, new) {
        return None;
    }
    let remade = accounts::loses_its_user(case, new).map(|why| (Effect::Restart, why));
    let (effect, why) = remade.or_else(|| asked(case, differences, name, new)).or_else(|| pulls_in(case, name))?;
    let verb = match effect {
        Effect::None => Verb::Start,
        Effect::Reload if can_reload(name, new) => Verb::Reload,
        _ if stops_otherwise(case, name) => Verb::Bounce(Moment::Early),
        _ => Verb::Restart,
    };
    Some(Verdict { verb, why })
}

/// The strongest thing that any change asks of the unit, and the reason; `None` when nothing does, or it says that nothing may.
fn asked(case: &Case<'_>, differences: &Differences, name: &str, new: &Unit) -> Option<(Effect, Why)> {
    let (effect, why) = strongest(case, differences, name, new)?;
    match wish(new).unwrap_or(Wish::Restart) {
        Wish::Restart => Some((effect, why)),
        Wish::Reload => Some((effect.min(Effect::Reload), why)),
        Wish::Never => None,
    }
}

fn strongest(case: &Case<'_>, differences: &Differences, name: &str, new: &Unit) -> Option<(Effect, Why)> {
    if let Some(what) = drifted(case, differences, name) {
        return Some((Effect::Restart, Why::Drifted { what }));
    }
    let mut fields = directives(case, name);
    if name == NATS {
        match told(case, differences) {
            Told::Unknown => {
                let what = "it runs with another configuration".to_owned();
                return Some((Effect::Restart, Why::Drifted { what }));
            }
            Told::Changed(keys) => fields.extend(keys),
            Told::Nothing => {}
        }
    }
    fields.retain(|field| field.effect > Effect::None);
    let followed = followed(case, differences, name, new);
    let why = match fields.is_empty() {
        true => Why::Follows { what: followed.keys().cloned().collect() },
        false => {
            fields.extend(followed.iter().map(|(path, effect)| read_anew(case, path, *effect)));
            Why::Changed { fields: fields.clone() }
        }
    };
    let effect = fields.into_iter().map(|field| field.effect).chain(followed.into_values()).max()?;
    Some((effect, why))
}

/// A file that the unit reads, as one of the fields that changed.
fn read_anew(case: &Case<'_>, path: &str, effect: Effect) -> FieldEffect {
    let digest = |files: &BTreeMap<String, super::Placed>| {
        files.get(path).map_or(serde_json::Value::Null, |placed| placed.digest.as_str().into())
    };
    FieldEffect { from: digest(&case.old.files), to: digest(&case.new.files), field: path.to_owned(), effect }
}

/// Somebody's hand on the unit's file while our declaration says what runs; or systemd has the unit from elsewhere.
fn drifted(case: &Case<'_>, differences: &Differences, name: &str) -> Option<String> {
    if is_wholly_reread(name) {
        return None;
    }
    let file = file_of(case, name);
    if let Some(difference) = differences.get(&file).filter(|difference| difference.drift == Drift::Bytes) {
        return Some(match &difference.why {
            Why::Drifted { what } => what.clone(),
            _ => "its file was edited".to_owned(),
        });
    }
    let fragment = &case.seen.units.get(name)?.fragment;
    let from_ours = fragment.is_empty() || unit_at(fragment).is_some();
    (!from_ours).then(|| format!("systemd has it from {fragment}"))
}

/// The file by which a unit is what it is.
fn file_of(case: &Case<'_>, name: &str) -> String {
    let own = case.new.units.contains_key(name);
    let file = if own { name.to_owned() } else { template_of(name).unwrap_or_else(|| name.to_owned()) };
    format!("{}{file}", super::content::UNITS)
}

fn told(case: &Case<'_>, differences: &Differences) -> Told {
    let path = |(path, placed): (&String, &super::Placed)| {
        (placed.kind == ArtefactKind::NatsServerConfig).then(|| path.clone())
    };
    let drift = case.new.files.iter().find_map(path).and_then(|path| differences.get(&path)).map(|found| found.drift);
    server::told(case.old, case.new, case.seen.server_digest.as_deref(), drift.unwrap_or(Drift::None))
}

/// Files that the unit reads when it starts or reloads, and that are other than before.
fn followed(case: &Case<'_>, differences: &Differences, name: &str, new: &Unit) -> BTreeMap<String, Effect> {
    let mut read: BTreeMap<String, Effect> = reads(name, new).map(|path| (path, Effect::Restart)).collect();
    for (path, placed) in case.old.files.iter().chain(&case.new.files) {
        if name == NATS && placed.kind == ArtefactKind::Certificate {
            read.entry(path.clone()).or_insert(Effect::Reload);
        }
        let dropped = dropped_into(path).is_some_and(|unit| unit == name || Some(unit.to_owned()) == template_of(name));
        if dropped && !is_wholly_reread(name) {
            read.insert(path.clone(), Effect::Restart);
        }
    }
    let other = |path: &String| differences.get(path).is_some_and(|found| found.bytes == Bytes::Other);
    read.retain(|path, _| other(path));
    read
}

/// Files that systemd reads for a unit before it starts it.
fn reads(name: &str, unit: &Unit) -> impl Iterator<Item = String> {
    let lines = |directive: &str| unit.get("Service").and_then(|service| service.get(directive)).into_iter().flatten();
    let files = lines("EnvironmentFile").map(|file| file.trim_start_matches('-'));
    let credentials = lines("LoadCredential").chain(lines("LoadCredentialEncrypted"));
    let credentials = credentials.filter_map(|line| line.split_once(':')).map(|(_, path)| path);
    files.chain(credentials).map(|path| expanded(path, name))
}

/// What goes and would still be seen by something that stays and starts: a link, a drop-in, a file that is read if it is there,
/// an instance's own file over its template.
pub fn goes_early(case: &Case<'_>, path: &str) -> bool {
    let read = || {
        let units = case.new_graph.units.iter().filter_map(|name| Some((name, case.new.definition(name)?)));
        units.into_iter().any(|(name, unit)| reads(name, unit).any(|read| read == path))
    };
    case.old_links.links.contains_key(path)
        || dropped_into(path).is_some()
        || unit_at(path).is_some_and(|unit| case.new.definition(unit).is_some())
        || read()
}

/// A target that wants units of others which it did not want before: starting it pulls them in.
fn pulls_in(case: &Case<'_>, name: &str) -> Option<(Effect, Why)> {
    let wants = |graph: &Graph| graph.pulls.get(name).cloned().unwrap_or_default();
    let (old, new) = (wants(&case.old_graph), wants(&case.new_graph));
    let foreign = new.iter().any(|other| !old.contains(other) && case.new.definition(other).is_none());
    let pulls = ["Unit.Wants", "Unit.Requires", "Unit.BindsTo", "Unit.Upholds"];
    let fields = directives(case, name).into_iter().filter(|field| pulls.contains(&field.field.as_str())).collect();
    (kind(name) == "target" && foreign).then_some((Effect::None, Why::Changed { fields }))
}

/// Does it say how it is stopped in another way than when it was started?
fn stops_otherwise(case: &Case<'_>, name: &str) -> bool {
    let (Some(old), Some(new)) = (case.old.definition(name), case.new.definition(name)) else { return false };
    super::unit_effects::between(name, old, new).iter().any(|change| change.class == Class::Stopping)
}

fn can_reload(name: &str, unit: &Unit) -> bool {
    let Some(service) = unit.get("Service") else { return kind(name) == "mount" };
    let notifies = words(service, "Type").last().is_some_and(|word| word == "notify-reload");
    notifies || words(service, "ExecReload").next().is_some()
}

fn is_oneshot(unit: &Unit) -> bool {
    let service = unit.get("Service");
    service.is_some_and(|service| words(service, "Type").last().is_some_and(|word| word == "oneshot"))
}

/// Is it right that it does not run, though it was started?
pub fn ends_by_itself(unit: &Unit) -> bool {
    let remains = unit.get("Service").is_some_and(|service| says_yes(service, "RemainAfterExit"));
    let conditions = unit.get("Unit").into_iter().flat_map(|head| head.keys());
    let mut conditions = conditions.filter(|key| key.starts_with("Condition") || key.starts_with("Assert"));
    (is_oneshot(unit) && !remains) || conditions.next().is_some()
}

/// A job in progress or a connection: it ends by itself, and the next one is by the new definition.
fn is_passing(case: &Case<'_>, name: &str, unit: &Unit) -> bool {
    let called = case.new_graph.is_triggered(name) && template_of(name).is_some();
    !case.new_graph.ought.contains(name) && (is_oneshot(unit) || called)
}

/// One round of what goes down with what; says whether anything was added.
fn carry(case: &Case<'_>, verdicts: &mut BTreeMap<String, Verdict>) -> bool {
    let first = first_phase(case);
    let down: BTreeMap<String, Moment> = verdicts
        .iter()
        .filter_map(|(name, verdict)| match verdict.verb {
            Verb::Stop => Some((name.clone(), Moment::Early)),
            Verb::Bounce(moment) => Some((name.clone(), moment)),
            Verb::Restart if first.contains(name) => Some((name.clone(), Moment::Early)),
            Verb::Restart => Some((name.clone(), Moment::Late)),
            Verb::Start | Verb::Reload => None,
        })
        .collect();
    let mut added = false;
    for (name, causes) in dragged(case, &down, verdicts) {
        let moment = causes.iter().filter_map(|cause| down.get(cause)).min().copied().unwrap_or(Moment::Late);
        let own = verdicts.get(&name);
        let verb = match own.map(|own| own.verb) {
            Some(Verb::Stop) => continue,
            Some(Verb::Bounce(already)) if already <= moment => continue,
            _ => Verb::Bounce(moment),
        };
        let why = match own {
            Some(Verdict { verb: Verb::Restart | Verb::Bounce(_), why }) => why.clone(),
            _ => Why::Follows { what: causes.into_iter().collect() },
        };
        verdicts.insert(name, Verdict { verb, why });
        added = true;
    }
    added
}

/// Units that run and go down because of what `down` does, each with its causes.
fn dragged(
    case: &Case<'_>,
    down: &BTreeMap<String, Moment>,
    verdicts: &BTreeMap<String, Verdict>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut dragged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // What systemd has loaded is the old graph until it reads again, then the new one.
    for graph in [&case.old_graph, &case.new_graph] {
        for (name, others) in graph.stops_with.iter().filter(|(name, _)| case.runs(name)) {
            let known = case.old_graph.units.contains(name) || case.new_graph.units.contains(name);
            let causes = others.iter().filter(|other| known && down.contains_key(*other) && *other != name);
            for cause in causes {
                dragged.entry(name.clone()).or_default().insert(cause.clone());
            }
        }
        // A socket is closed while its service is down, or the next connection would start the service too early; and it is
        // opened again only when the service does not run.
        for (socket, services) in graph.triggers.iter().filter(|(name, _)| kind(name) == "socket" && case.runs(name)) {
            for service in services.iter().filter(|service| case.runs(service)) {
                let bounces = verdicts.get(service).is_some_and(|verdict| matches!(verdict.verb, Verb::Bounce(_)));
                if bounces {
                    dragged.entry(socket.clone()).or_default().insert(service.clone());
                }
            }
        }
    }
    dragged.retain(|name, _| case.new.definition(name).is_some());
    dragged
}

/// nats-server and what it stands on: these are brought up in the first phase.
pub fn first_phase(case: &Case<'_>) -> BTreeSet<String> {
    let mut first = case.new_graph.grounds(NATS);
    first.insert(NATS.to_owned());
    first
}

/// Wishes that nobody understands.
pub fn faults(case: &Case<'_>) -> Vec<Fault> {
    let unknown = case.new.units.iter().filter_map(|(name, unit)| Some((name, wish(unit).err()?)));
    unknown
        .map(|(name, word)| Fault {
            path: format!("{}{name}", super::content::UNITS),
            say: format!("`X-LeafwrightRestart={}` means nothing", word.escape_debug()),
            way_out: "write `never`, `reload` or `restart`".to_owned(),
        })
        .collect()
}

/// Does its file make systemd read again?
pub fn is_read_by_systemd(case: &Case<'_>, path: &str) -> bool {
    let link = case.old_links.links.contains_key(path) || case.new_links.links.contains_key(path);
    link || unit_at(path).is_some() || dropped_into(path).is_some()
}

/// Units whose definition on disk systemd has not read, or has from elsewhere.
pub fn unread<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a String> {
    let ours = case.seen.units.iter().filter(|(name, _)| case.new.definition(name).is_some() && !is_template(name));
    ours.filter(|(_, seen)| seen.needs_reload || !(seen.fragment.is_empty() || unit_at(&seen.fragment).is_some()))
        .map(|(name, _)| name)
}
