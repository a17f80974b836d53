//! Files and links: what the old content had, what the new one has, what is there; and what must be done about it.
//!
//! Refuses: touching a path that neither content owns, and putting anything in the place of a directory.

use super::between::Case;
use super::content::{Placed, unit_at};
use super::enablement::Fault;
use super::model::{Act, FieldEffect, SeenFile, Why};
use super::{server, unit_effects};
use crate::compile::{ArtefactKind, Effect};
use std::collections::{BTreeMap, BTreeSet};

/// How far what is there is from both contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    None,
    /// The mode or the owner.
    Looks,
    /// What is in it, or whether it is there at all.
    Bytes,
}

/// A path that differs between the contents, or between them and what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `None`: it already is as it must be.
    pub act: Option<Act>,
    pub why: Why,
    pub drift: Drift,
    /// Is its content another one than before, or was it of neither?
    pub bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    Same,
    Other,
}

/// What a content wants at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing<'a> {
    File(&'a Placed),
    Link(&'a str),
}

pub fn differences(case: &Case<'_>) -> BTreeMap<String, Difference> {
    let paths: BTreeSet<&String> = case.old_paths().chain(case.new_paths()).collect();
    paths.into_iter().filter_map(|path| Some((path.clone(), difference(case, path)?))).collect()
}

fn difference(case: &Case<'_>, path: &str) -> Option<Difference> {
    let old = thing(&case.old.files, &case.old_links.links, path);
    let new = thing(&case.new.files, &case.new_links.links, path);
    let seen = case.seen.files.get(path);
    let is = |thing: Option<Thing<'_>>| thing.is_some_and(|thing| stray(thing, path, seen).is_none());
    let (drift, words) = match old.and_then(|old| stray(old, path, seen)) {
        Some(found) if !is(new) => found,
        _ => (Drift::None, String::new()),
    };
    let Some(thing) = new else {
        let there = matches!(seen, Some(SeenFile::File { .. } | SeenFile::Link { .. }));
        let act = there.then(|| Act::Remove { path: path.to_owned() });
        return Some(Difference { act, why: Why::Gone, drift, bytes: Bytes::Other });
    };
    let why = match old {
        None => Why::New,
        Some(old) if old != thing => Why::Changed { fields: changed(case, path, old, thing) },
        Some(_) if drift > Drift::None => Why::Drifted { what: words },
        Some(_) => return None,
    };
    let act = (!is(new)).then(|| thing.put(path));
    let same = matches!((old, thing), (Some(Thing::File(old)), Thing::File(new)) if old.digest == new.digest);
    let bytes = if same && drift < Drift::Bytes { Bytes::Same } else { Bytes::Other };
    Some(Difference { act, why, drift, bytes })
}

fn thing<'a>(
    files: &'a BTreeMap<String, Placed>,
    links: &'a BTreeMap<String, String>,
    path: &str,
) -> Option<Thing<'a>> {
    files.get(path).map(Thing::File).or_else(|| links.get(path).map(|to| Thing::Link(to)))
}

impl Thing<'_> {
    fn put(self, path: &str) -> Act {
        let path = path.to_owned();
        match self {
            Thing::File(placed) => {
                Act::Place { path, from: placed.from.clone(), mode: placed.mode, digest: placed.digest.clone() }
            }
            Thing::Link(to) => Act::Link { path, to: to.to_owned() },
        }
    }
}

/// How what is there differs from what is wanted; `None` when it does not.
fn stray(thing: Thing<'_>, path: &str, seen: Option<&SeenFile>) -> Option<(Drift, String)> {
    let bytes = |words: String| Some((Drift::Bytes, words));
    match (thing, seen) {
        (Thing::File(_), None) => bytes("it is gone".to_owned()),
        (Thing::Link(_), None) => {
            bytes(if unit_at(path).is_some() { "it is gone" } else { "it is disabled" }.to_owned())
        }
        (_, Some(SeenFile::Directory { .. } | SeenFile::Other)) => bytes("it is no file".to_owned()),
        (Thing::File(_), Some(SeenFile::Link { to })) if to == "/dev/null" && unit_at(path).is_some() => {
            bytes("it is masked".to_owned())
        }
        (Thing::File(_), Some(SeenFile::Link { to })) => bytes(format!("it is a link to {to}")),
        (Thing::Link(_), Some(SeenFile::File { .. })) => bytes("it is a file and not a link".to_owned()),
        (Thing::Link(want), Some(SeenFile::Link { to })) => {
            if absolute(path, to) == want {
                None
            } else {
                bytes(format!("it is a link to {to}"))
            }
        }
        (Thing::File(want), Some(SeenFile::File { digest, .. })) if *digest != want.digest => {
            bytes("it was edited".to_owned())
        }
        (Thing::File(want), Some(SeenFile::File { mode, uid, gid, .. })) => looks(want, *mode, (*uid, *gid)),
    }
}

fn looks(want: &Placed, mode: u32, owner: (u32, u32)) -> Option<(Drift, String)> {
    match (mode & 0o7777 == want.mode, owner == (0, 0)) {
        (true, true) => None,
        (false, _) => Some((Drift::Looks, format!("its mode is {:04o} and not {:04o}", mode & 0o7777, want.mode))),
        (true, false) => Some((Drift::Looks, format!("it belongs to {}:{} and not to root", owner.0, owner.1))),
    }
}

/// Where a link at `path` leads: later versions of systemd and people write relative ones too.
fn absolute(path: &str, to: &str) -> String {
    if to.starts_with('/') {
        return to.to_owned();
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What of a path is not what it was: directives, keys of the configuration, or its content as a whole.
fn changed(case: &Case<'_>, path: &str, old: Thing<'_>, new: Thing<'_>) -> Vec<FieldEffect> {
    let field = |field: &str, from: String, to: String, effect| FieldEffect {
        field: field.to_owned(),
        from: from.into(),
        to: to.into(),
        effect,
    };
    let (Thing::File(old), Thing::File(new)) = (old, new) else {
        let kind = |thing| match thing {
            Thing::File(_) => "a file".to_owned(),
            Thing::Link(to) => format!("a link to {to}"),
        };
        return vec![field("kind", kind(old), kind(new), Effect::None)];
    };
    let mut fields = vec![];
    if old.mode != new.mode {
        fields.push(field("mode", format!("{:04o}", old.mode), format!("{:04o}", new.mode), Effect::None));
    }
    if new.kind == ArtefactKind::NatsServerConfig {
        fields.extend(server::changes(case.old, case.new));
    } else if let Some(unit) = unit_at(path) {
        fields.extend(directives(case, unit));
    }
    if fields.is_empty() || (fields.len() == 1 && fields[0].field == "mode" && old.digest != new.digest) {
        fields.push(field("content", old.digest.clone(), new.digest.clone(), new.effect));
    }
    fields
}

/// The directives of a unit's file that are not what they were.
pub fn directives(case: &Case<'_>, unit: &str) -> Vec<FieldEffect> {
    let (Some(old), Some(new)) = (case.old.definition(unit), case.new.definition(unit)) else { return vec![] };
    let changed = unit_effects::between(unit, old, new).into_iter();
    changed
        .map(|change| FieldEffect {
            effect: change.class.effect(),
            field: change.field,
            from: change.from,
            to: change.to,
        })
        .collect()
}

/// What stands in the way of the new content: a directory in the place of a file, a file in the place of a directory.
pub fn faults(case: &Case<'_>) -> Vec<Fault> {
    let mut faults = case.new_links.faults.clone();
    for path in case.new_paths() {
        if case.seen.files.get(path).is_some_and(|seen| !seen.can_be_replaced()) {
            faults.push(Fault {
                path: path.clone(),
                say: "there is a directory or a device, which is never replaced".to_owned(),
                way_out: format!("look at it, then move it out of the way: `mv {path} {path}.aside`"),
            });
        }
        let above = case.seen.files.iter().find(|(other, seen)| {
            seen.can_be_replaced() && path.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        if let Some((above, _)) = above {
            faults.push(Fault {
                path: path.clone(),
                say: format!("{above} is a file, and would have to be a directory"),
                way_out: format!("apply once without a file at or below {above}, then again"),
            });
        }
    }
    faults
}
