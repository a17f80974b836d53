//! The steps of a plan in their phases and in their order.
//!
//! Refuses: deciding. What is done was decided before; here is only when.

use super::accounts;
use super::between::Case;
use super::content::Placed;
use super::enablement::Fault;
use super::files::Bytes;
use super::model::{Act, MachineStep, Why};
use super::secrets;
use super::units::{Differences, Moment, Verb, Verdict, first_phase, goes_early, is_read_by_systemd, unread};
use crate::compile::ArtefactKind;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Phases {
    pub before: Vec<MachineStep>,
    pub after: Vec<MachineStep>,
    pub last: Vec<MachineStep>,
}

pub fn phases(
    case: &Case<'_>,
    differences: &Differences,
    verdicts: &BTreeMap<String, Verdict>,
    faults: Vec<Fault>,
) -> Phases {
    let first = first_phase(case);
    let mut phases = Phases::default();
    phases.before.extend(faults.into_iter().map(refusal));
    phases.before.extend(stops(case, verdicts, Moment::Early));
    phases.before.extend(files(case, differences));
    phases.before.extend(tools(case, differences));
    phases.before.extend(reread(case, differences));
    phases.before.extend(comes(case, verdicts, |name| first.contains(name)));
    phases.after.extend(stops(case, verdicts, Moment::Late));
    phases.after.extend(comes(case, verdicts, |name| !first.contains(name)));
    phases.last.extend(removals(case, differences));
    phases.last.extend(secrets::gone(case.old, case.new));
    phases
}

fn refusal(fault: Fault) -> MachineStep {
    let id = format!("file{}/refuse", fault.path);
    MachineStep { id, act: Act::Refuse { path: fault.path, say: fault.say, way_out: fault.way_out }, why: Why::New }
}

/// What is stopped: what starts others first, then in the reverse of the order in which units were started.
fn stops(case: &Case<'_>, verdicts: &BTreeMap<String, Verdict>, moment: Moment) -> Vec<MachineStep> {
    let order = case.old_graph.ordered_with(&case.new_graph).order();
    let stopped = verdicts.iter().filter(|(name, verdict)| match verdict.verb {
        // A unit that something dragged along may be stopped already, when nothing new needs it.
        Verb::Stop => moment == Moment::Early && case.runs(name),
        Verb::Bounce(when) => when == moment,
        Verb::Start | Verb::Reload | Verb::Restart => false,
    });
    let mut stopped: Vec<_> = stopped.collect();
    stopped.sort_by_key(|(name, _)| {
        let starts_others = [&case.old_graph, &case.new_graph].iter().any(|graph| graph.triggers.contains_key(*name));
        (!starts_others, Reverse(order.get(*name).copied()), *name)
    });
    let step = |(name, verdict): (&String, &Verdict)| unit_step(name, "stop", verdict.why.clone());
    stopped.into_iter().map(step).collect()
}

/// What is reloaded, restarted or started, each after what it says.
fn comes(case: &Case<'_>, verdicts: &BTreeMap<String, Verdict>, here: impl Fn(&str) -> bool) -> Vec<MachineStep> {
    let order = case.new_graph.order();
    let mut comes: Vec<_> =
        verdicts.iter().filter(|(name, verdict)| verdict.verb != Verb::Stop && here(name)).collect();
    comes.sort_by_key(|(name, _)| (order.get(*name).copied(), *name));
    let step = |(name, verdict): (&String, &Verdict)| {
        let verb = match verdict.verb {
            Verb::Reload => "reload",
            Verb::Restart => "restart",
            Verb::Start | Verb::Bounce(_) | Verb::Stop => "start",
        };
        unit_step(name, verb, verdict.why.clone())
    };
    comes.into_iter().map(step).collect()
}

fn unit_step(name: &str, verb: &str, why: Why) -> MachineStep {
    let unit = name.to_owned();
    let act = match verb {
        "stop" => Act::Stop { unit },
        "reload" => Act::Reload { unit },
        "restart" => Act::Restart { unit },
        _ => Act::Start { unit },
    };
    MachineStep { id: format!("unit/{name}/{verb}"), act, why }
}

fn file_step(path: &str, act: &Act, why: &Why) -> MachineStep {
    let verb = match act {
        Act::Link { .. } => "link",
        Act::Remove { .. } => "remove",
        _ => "place",
    };
    MachineStep { id: format!("file{path}/{verb}"), act: act.clone(), why: why.clone() }
}

fn acts(differences: &Differences) -> impl Iterator<Item = (&String, &Act, &Why)> {
    differences.iter().filter_map(|(path, found)| Some((path, found.act.as_ref()?, &found.why)))
}

/// Links that go, go here: as long as they are there, their target pulls in what they name. So does what units that stay would read.
fn files(case: &Case<'_>, differences: &Differences) -> Vec<MachineStep> {
    let rank = |path: &str, act: &Act| match act {
        Act::Remove { .. } if goes_early(case, path) => Some(2),
        Act::Remove { .. } => None,
        Act::Link { .. } => Some(1),
        _ => Some(0),
    };
    let mut steps: Vec<_> =
        acts(differences).filter_map(|(path, act, why)| Some((rank(path, act)?, file_step(path, act, why)))).collect();
    steps.sort_by_key(|(rank, _)| *rank);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Users and directories follow their files; by content and not by steps, so that a run that was cut is made whole. And what they
/// made and is there no more is made again.
fn tools(case: &Case<'_>, differences: &Differences) -> Vec<MachineStep> {
    let tool = |kind: ArtefactKind, id: &str, act: Act| {
        let of_kind = |placed: &&Placed| placed.kind == kind;
        let changed = case.new.files.iter().filter(|(_, placed)| of_kind(placed)).map(|(path, _)| path);
        let changed = changed.filter(|path| differences.get(*path).is_some_and(|found| found.bytes == Bytes::Other));
        let what: Vec<String> = changed.cloned().collect();
        let why = if what.is_empty() { accounts::drifted(case, kind)? } else { Why::Follows { what } };
        Some(MachineStep { id: id.to_owned(), act, why })
    };
    let users = tool(ArtefactKind::Sysusers, "users", Act::Users);
    let directories = tool(ArtefactKind::Tmpfiles, "directories", Act::Directories);
    users.into_iter().chain(directories).collect()
}

/// systemd reads again when a file of its own changed or changes, or when it says that it has not read one.
fn reread(case: &Case<'_>, differences: &Differences) -> Option<MachineStep> {
    let touched = differences.iter().filter(|(path, found)| {
        let goes_last = found.why == Why::Gone && !goes_early(case, path);
        !goes_last && is_read_by_systemd(case, path) && (found.act.is_some() || found.bytes == Bytes::Other)
    });
    // A link that is gone already says nothing.
    let touched = touched.filter(|(_, found)| found.why != Why::Gone || found.act.is_some());
    let what: Vec<String> = touched.map(|(path, _)| path.clone()).collect();
    let unread: BTreeSet<&String> = unread(case).collect();
    let why = match (what.is_empty(), unread.first()) {
        (false, _) => Why::Follows { what },
        (true, Some(unit)) => Why::Drifted { what: format!("systemd has not read {unit} as it is on the disk") },
        (true, None) => return None,
    };
    Some(MachineStep { id: "daemon-reload".to_owned(), act: Act::DaemonReload, why })
}

fn removals(case: &Case<'_>, differences: &Differences) -> Vec<MachineStep> {
    let gone = acts(differences).filter(|(path, act, _)| matches!(act, Act::Remove { .. }) && !goes_early(case, path));
    let mut steps: Vec<MachineStep> = vec![];
    let mut what = vec![];
    for (path, act, why) in gone {
        steps.push(file_step(path, act, why));
        if is_read_by_systemd(case, path) {
            what.push(path.clone());
        }
    }
    if !what.is_empty() {
        let id = "daemon-reload/last".to_owned();
        steps.push(MachineStep { id, act: Act::DaemonReload, why: Why::Follows { what } });
    }
    steps
}
