//! Removes generations and closures that are needed no more: records first, then closures that no record names, then files that no closure has.
//!
//! Refuses: what the register names, and to guess: a record that cannot be read stops it before anything is removed.

use super::generations::{self, Record};
use super::history::{self, Change, Kind};
use super::lock::Lock;
use super::register::Register;
use super::{Home, Hook, own_program, pool, room};
use crate::host::{closure, disk};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// Which generations stay, besides those that the register names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The newest so many.
    Newest(usize),
    /// Those that are not older than this.
    Younger { than: Duration, now: OffsetDateTime },
}

/// What is removed, and what that gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Removal {
    pub generations: BTreeSet<u64>,
    /// Closures that no generation needs, `<digest>-<machine>`.
    pub closures: BTreeSet<String>,
    /// What a crash left half written or half removed, and programs that no generation needs, below the state directory.
    pub leftovers: BTreeSet<String>,
    /// Bytes of files that nothing else shares.
    pub bytes: u64,
    /// Generations of a time that is yet to come, where the age decides: the clock was wrong then, or is now. They stay.
    pub ahead: BTreeSet<u64>,
}

/// What `gc` would remove now.
pub fn plan(home: &Home, register: &Register, keep: Keep) -> Result<Removal> {
    let records = generations::list(home)?;
    let numbers: BTreeSet<u64> = records.iter().map(|record| record.number).collect();
    if let Some(lost) = register.places().into_iter().find(|number| !numbers.contains(number)) {
        bail!(
            "the register names generation {lost}, of which there is no record; nothing was removed\nhelp: put back {}",
            home.generations().join(format!("{lost}.json")).display()
        );
    }
    let wanted = wanted(home, &records, register, keep)?;
    let kept: BTreeSet<&str> =
        records.iter().filter(|record| wanted.contains(&record.number)).map(|record| record.closure.as_str()).collect();
    let ahead = ahead(&records, keep)?;
    let mut removal = Removal { generations: &numbers - &wanted, ahead, ..Removal::default() };
    for name in entries(&home.store())? {
        if name.starts_with(".new-") || name.starts_with(GONE) {
            removal.leftovers.insert(below(home, &home.store(), &name));
        } else if is_closure(&name) && !kept.contains(name.as_str()) {
            removal.closures.insert(name);
        }
    }
    let half = entries(&home.generations())?.into_iter().filter(|name| name.ends_with(".new"));
    removal.leftovers.extend(half.map(|name| below(home, &home.generations(), &name)));
    // Whoever writes these holds the same lock; but the mark of what is published, which is found out again. A directory is
    // somebody's who sends one.
    let half = |name: &str| name.ends_with(".new") && home.state().join(name).is_file();
    let names = entries(home.state())?.into_iter();
    removal.leftovers.extend(names.filter(|name| half(name) || (register.pending.is_none() && name == room::NAME)));
    let programs: BTreeSet<&String> = records
        .iter()
        .filter(|record| wanted.contains(&record.number))
        .filter_map(|record| record.program.as_ref())
        .collect();
    let unneeded = entries(&own_program::all(home))?.into_iter().filter(|name| !programs.contains(name));
    removal.leftovers.extend(unneeded.map(|name| below(home, &own_program::all(home), &name)));
    removal.bytes = freed(home, &removal)?;
    Ok(removal)
}

const GONE: &str = ".gone-";

fn below(home: &Home, directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    path.strip_prefix(home.state()).unwrap_or(&path).display().to_string()
}

fn wanted(home: &Home, records: &[Record], register: &Register, keep: Keep) -> Result<BTreeSet<u64>> {
    let mut wanted = register.named();
    match keep {
        Keep::Newest(count) => {
            let given_up = given_up(home);
            let held = records.iter().map(|record| record.number).filter(|number| !given_up.contains(number));
            wanted.extend(held.rev().take(count));
        }
        Keep::Younger { than, now } => {
            for record in records {
                if now - record.created()? <= than {
                    wanted.insert(record.number);
                }
            }
        }
    }
    Ok(wanted)
}

/// Generations that never held, as far as the history tells: they are no way back, and do not count.
fn given_up(home: &Home) -> BTreeSet<u64> {
    let events = history::read(home).unwrap_or_default();
    let of = |kinds: &[Kind], number: fn(&Change) -> Option<u64>| -> BTreeSet<u64> {
        let events = events.iter().filter(|event| kinds.contains(&event.kind));
        events.filter_map(|event| number(&event.data.generation)).collect()
    };
    // One that was to be mended, and was not, held before.
    let returned = of(&[Kind::Returned], |change| change.from.filter(|from| change.to != Some(*from)));
    &returned - &of(&[Kind::Applied, Kind::RolledBack], |change| change.to)
}

fn ahead(records: &[Record], keep: Keep) -> Result<BTreeSet<u64>> {
    let Keep::Younger { now, .. } = keep else { return Ok(BTreeSet::new()) };
    let dated = records.iter().map(|record| Ok((record.number, record.created()?)));
    let dated: Vec<(u64, OffsetDateTime)> = dated.collect::<Result<_>>()?;
    Ok(dated.into_iter().filter(|(_, created)| *created > now).map(|(number, _)| number).collect())
}

/// Removes what `plan` says, in an order in which a crash leaves nothing wrong: a closure goes when no record names it any more, and from its
/// place in one step. What a crash leaves half removed goes with the next run. Whoever imports holds the same lock.
pub fn collect(home: &Home, _held: &Lock, register: &Register, keep: Keep, hook: Hook<'_>) -> Result<Removal> {
    let removal = plan(home, register, keep)?;
    let store = home.store();
    for name in &removal.leftovers {
        hook(&format!("clear {name}"))?;
        let left = home.state().join(name);
        if left.is_dir() {
            disk::remove_tree(&left)?;
        } else {
            match fs::remove_file(&left) {
                Err(gone) if gone.kind() == ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("cannot remove {}", left.display()))?,
            }
        }
    }
    for number in &removal.generations {
        hook(&format!("forget {number}"))?;
        let record = home.generations().join(format!("{number}.json"));
        fs::remove_file(&record).with_context(|| format!("cannot remove {}", record.display()))?;
    }
    if !removal.generations.is_empty() {
        disk::sync_directory(&home.generations())?;
    }
    for name in &removal.closures {
        let gone = store.join(format!("{GONE}{name}"));
        hook(&format!("take away {name}"))?;
        fs::rename(store.join(name), &gone).with_context(|| format!("cannot take away {name}"))?;
        disk::sync_directory(&store)?;
        hook(&format!("remove {name}"))?;
        disk::remove_tree(&gone)?;
    }
    for file in pool::unused(&store)? {
        hook("remove a file of the pool")?;
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(removal)
}

/// The names in a directory; one that is not there has none.
pub(super) fn entries(directory: &Path) -> Result<Vec<String>> {
    let listed = match fs::read_dir(directory) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(vec![]),
        listed => listed.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    let mut names = vec![];
    for entry in listed {
        names.extend(
            entry.with_context(|| format!("cannot list {}", directory.display()))?.file_name().into_string().ok(),
        );
    }
    Ok(names)
}

/// Whatever else somebody laid into the store is not ours to remove.
fn is_closure(name: &str) -> bool {
    name.split_once('-').is_some_and(|(digest, name)| {
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.is_empty()
    })
}

/// The sizes of files all of whose links go. The pool's own link goes with the last of the others.
fn freed(home: &Home, removal: &Removal) -> Result<u64> {
    let store = &home.store();
    let mut links: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    let mut count = |is: &fs::Metadata| {
        let (going, _, _) = links.entry(is.ino()).or_insert((0, is.nlink(), is.len()));
        *going += 1;
    };
    let closures = removal.closures.iter().map(|name| store.join(name));
    for going in closures.chain(removal.leftovers.iter().map(|name| home.state().join(name))) {
        if going.is_dir() {
            closure::list(&going)?.values().filter(|is| is.is_file()).for_each(&mut count);
        } else if let Ok(is) = fs::symlink_metadata(&going) {
            count(&is);
        }
    }
    for name in entries(&store.join(pool::NAME))? {
        count(&fs::symlink_metadata(store.join(pool::NAME).join(name))?);
    }
    Ok(links.values().filter(|(going, all, _)| going == all).map(|(_, _, size)| size).sum())
}
