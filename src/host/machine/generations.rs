//! `generations/<n>.json`: what was applied, when, by whom, and where it came from. Written once, removed by `gc` alone.
//!
//! Refuses: a record that it cannot read, and computing a generation before another: it is written in the record.

use super::lock::Lock;
use super::manifest::{self, Listed};
use super::register::{self, Mode, Register};
use super::versioned;
use super::{Home, lines, make_directory};
use crate::host::disk;
use crate::name::FileFormat;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    pub number: u64,
    /// `<digest>-<machine>`, a directory of the store.
    pub closure: String,
    /// What was active when this one was made; `None` for a machine's first.
    pub from: Option<u64>,
    /// RFC 3339.
    pub created: String,
    pub person: String,
    /// The version that made it.
    pub leafwright: String,
    /// SHA-256 of the machine's own program that made it, which is kept in `programs/`; unset where another one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Of one that was made for a boot: names of the gates that did not hold then, and need not after it. Unset: nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<BTreeSet<String>>,
}

/// What a new generation is made of.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `<digest>-<machine>`; it must be in the store.
    pub closure: String,
    /// RFC 3339.
    pub created: String,
    pub person: String,
    pub program: Option<String>,
    pub mode: Mode,
    pub failing: Option<BTreeSet<String>>,
}

/// Gives the next number and writes the record. The number is in the register first, so that a crash can only leave one out.
pub fn create(home: &Home, held: &Lock, register: &mut Register, draft: Draft) -> Result<Record> {
    ensure!(home.entry(&draft.closure).is_dir(), "{} is not in {}", draft.closure, home.store().display());
    // The next boot comes from what is current, whatever is tried until then.
    let from = if draft.mode == Mode::Boot { register.current } else { register.active_generation() };
    let number = register.allot();
    let Draft { closure, created, person, program, mode, failing } = draft;
    let leafwright = env!("CARGO_PKG_VERSION").to_owned();
    let record = Record {
        format: FileFormat::Generation.version(),
        number,
        closure,
        from,
        created,
        person,
        leafwright,
        program,
        mode: Some(mode),
        failing,
    };
    record.created()?;
    register::write(home, held, register)?;
    make_directory(&home.generations(), 0o755)?;
    let text = serde_json::to_string_pretty(&record)? + "\n";
    disk::write_for_good(&path(home, number), text.as_bytes(), 0o644)?;
    Ok(record)
}

fn path(home: &Home, number: u64) -> PathBuf {
    home.generations().join(format!("{number}.json"))
}

/// The numbers of which there are records, ascending.
pub fn numbers(home: &Home) -> Result<BTreeSet<u64>> {
    let directory = home.generations();
    let listed = match fs::read_dir(&directory) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        listed => listed.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    let mut found = BTreeSet::new();
    for entry in listed {
        let name = entry.with_context(|| format!("cannot list {}", directory.display()))?.file_name();
        found.extend(
            name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse::<u64>().ok()),
        );
    }
    Ok(found)
}

/// All records, ascending.
pub fn list(home: &Home) -> Result<Vec<Record>> {
    numbers(home)?.into_iter().map(|number| read(home, number)).collect()
}

pub fn read(home: &Home, number: u64) -> Result<Record> {
    let path = path(home, number);
    match fs::read_to_string(&path) {
        Ok(text) => parse(&text, number).with_context(|| path.display().to_string()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Err(missing(home, number)?),
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn missing(home: &Home, number: u64) -> Result<anyhow::Error> {
    if register::read(home)?.is_some_and(|register| register.places().contains(&number)) {
        return Ok(anyhow::anyhow!(
            "the record of generation {number} is gone, which the register names\nhelp: put back {}: it says which closure in {} is that generation's",
            path(home, number).display(),
            home.store().display()
        ));
    }
    let known: Vec<String> = numbers(home)?.iter().map(u64::to_string).collect();
    let known = match known.as_slice() {
        [] => "there is none".to_owned(),
        [only] => format!("there is generation {only}"),
        all => format!("there are generations {}", all.join(", ")),
    };
    Ok(anyhow::anyhow!("there is no generation {number} in {}\nhelp: {known}", home.state().display()))
}

fn parse(text: &str, number: u64) -> Result<Record> {
    const DAMAGED: &str = "damaged\nhelp: remove the file if the generation is needed no more";
    let record: Record = versioned::parse(text.as_bytes(), FileFormat::Generation, DAMAGED)?;
    ensure!(record.number == number, "it is about generation {}", record.number);
    ensure!(Path::new(&record.closure).components().count() == 1, "`{}` names no closure", record.closure);
    Ok(record)
}

impl Record {
    /// When it was made.
    pub fn created(&self) -> Result<OffsetDateTime> {
        OffsetDateTime::parse(&self.created, &Rfc3339)
            .with_context(|| format!("generation {} was created at no time: `{}`", self.number, self.created))
    }

    /// The closure's digest.
    pub fn digest(&self) -> &str {
        self.closure.split('-').next().unwrap_or_default()
    }
}

/// Where `rollback` leads: the generation that is named, else the one that the active one came from, as its record says.
pub fn rollback(home: &Home, register: &Register, named: Option<u64>) -> Result<Record> {
    let number = match (named, register.active_generation().or(register.current)) {
        (Some(number), _) => number,
        (None, None) => bail!("nothing is active on this machine\nhelp: apply something first"),
        (None, Some(active)) => match read(home, active)?.from {
            Some(from) => from,
            None => bail!("generation {active} was the first: there is none that it came from"),
        },
    };
    ensure!(register.active_generation() != Some(number), "generation {number} is active");
    let record = read(home, number)?;
    ensure!(
        home.entry(&record.closure).is_dir(),
        "the closure of generation {number} is not in the store: {}\nhelp: build it again from the text of that time",
        record.closure
    );
    Ok(record)
}

/// What lies between the closures of two generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<Changed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub path: String,
    /// Lines that went and came, `-` and `+` before them; `[Section] ` before those of a unit.
    pub lines: Vec<String>,
}

/// The difference of two generations' closures, by path.
pub fn diff(home: &Home, from: u64, to: u64) -> Result<Difference> {
    let (from, to) = (home.entry(&read(home, from)?.closure), home.entry(&read(home, to)?.closure));
    let (old, new) = (listed(&from)?, listed(&to)?);
    let mut difference = Difference {
        added: new.keys().filter(|path| !old.contains_key(*path)).cloned().collect(),
        removed: old.keys().filter(|path| !new.contains_key(*path)).cloned().collect(),
        changed: vec![],
    };
    for (path, was) in &old {
        let Some(is) = new.get(path).filter(|is| (&is.digest, is.mode) != (&was.digest, was.mode)) else { continue };
        let mut between = vec![];
        if was.mode != is.mode {
            between.extend([format!("-mode {:04o}", was.mode), format!("+mode {:04o}", is.mode)]);
        }
        let read = |entry: &Path| {
            fs::read(entry.join(path)).with_context(|| format!("cannot read {path} of {}", entry.display()))
        };
        between.extend(lines::between(&read(&from)?, &read(&to)?));
        difference.changed.push(Changed { path: path.clone(), lines: between });
    }
    Ok(difference)
}

fn listed(entry: &Path) -> Result<BTreeMap<String, Listed>> {
    Ok(manifest::read(entry)?.artefacts.into_iter().map(|listed| (listed.path.clone(), listed)).collect())
}
