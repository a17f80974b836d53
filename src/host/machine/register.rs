//! `state.json`, the one register: which generation is current, active, next and pending. Replacing this file is the only commit point.
//!
//! Refuses: a register that it cannot read whole, one of a newer format, and transitions that make no sense. It never guesses.

use super::lock::Lock;
use super::versioned;
use super::{Home, generations};
use crate::host::disk;
use crate::name::FileFormat;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

/// Generations are numbers that only grow. Fields that may be null must still be there: a register without them is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub format: u32,
    pub machine: String,
    /// The highest number ever given, also to what was removed since.
    pub highest: u64,
    /// Persisted: what the machine is after a boot.
    #[serde(deserialize_with = "Option::deserialize")]
    pub current: Option<u64>,
    /// What the machine is now.
    #[serde(deserialize_with = "Option::deserialize")]
    pub active: Option<Active>,
    /// What the next boot tries.
    #[serde(deserialize_with = "Option::deserialize")]
    pub next: Option<u64>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub pending: Option<Pending>,
    /// The generation that the last commit left, until nothing of it is on the machine any more.
    #[serde(deserialize_with = "Option::deserialize")]
    pub leaving: Option<u64>,
    /// Never removed by `gc`.
    pub pinned: BTreeSet<u64>,
    /// The last time that a generation did not hold.
    #[serde(deserialize_with = "Option::deserialize")]
    pub returned: Option<Returned>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    pub generation: u64,
    /// The boot in which it was made so, or the last one that it lived through.
    pub boot_id: String,
}

/// A change of generation that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Where the machine returns to; `None` is a machine without anything of ours.
    #[serde(deserialize_with = "Option::deserialize")]
    pub from: Option<u64>,
    pub to: u64,
    pub mode: Mode,
    /// What a commit must name.
    pub nonce: String,
    pub boot_id: String,
    /// Milliseconds of CLOCK_BOOTTIME, which mean something in this boot only.
    pub deadline: u64,
    pub phase: Phase,
}

/// What becomes of a generation when its gates pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Active and current.
    Persist,
    /// Active until the next boot.
    Test,
    /// As `Persist`, but placed by a boot.
    Boot,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Phase {
    Activating,
    Returning { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returned {
    /// The generation that did not hold.
    pub from: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    pub to: Option<u64>,
    pub reason: String,
}

impl Pending {
    /// Has its time run out? In another boot than its own it has.
    pub fn is_overdue(&self, boot_id: &str, now: u64) -> bool {
        self.boot_id != boot_id || now >= self.deadline
    }
}

/// The register of `home`; `None` on a machine that never had one.
pub fn read(home: &Home) -> Result<Option<Register>> {
    let path = home.register();
    let text = match fs::read_to_string(&path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => {
            ensure!(
                generations::numbers(home)?.is_empty(),
                "{} is missing, and there are generations\nhelp: put it back; or move {} away, and nothing else (keys and originals stay): then the next apply begins anew",
                path.display(),
                home.generations().display()
            );
            return Ok(None);
        }
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    parse(&text).map(Some).with_context(|| path.display().to_string())
}

/// The register of `home`, or a new one; `machine` must be the one that it is about.
pub fn open(home: &Home, machine: &str) -> Result<Register> {
    let register = read(home)?.unwrap_or_else(|| Register::new(machine));
    ensure!(
        register.machine == machine,
        "{} belongs to the machine {}, not {machine}\nhelp: a machine keeps its name; for another one name another --root DIR",
        home.state().display(),
        register.machine
    );
    Ok(register)
}

/// Commits: after this the machine is what `register` says. Whoever holds the lock may.
pub fn write(home: &Home, _held: &Lock, register: &Register) -> Result<()> {
    register.check()?;
    let text = serde_json::to_string_pretty(register)? + "\n";
    disk::write_for_good(&home.register(), text.as_bytes(), 0o644)
}

const DAMAGED: &str =
    "damaged; nothing was changed\nhelp: put back what it was (`generations/` says what there is); it is not guessed";

fn parse(text: &str) -> Result<Register> {
    let register: Register = versioned::parse(text.as_bytes(), FileFormat::Register, DAMAGED)?;
    register.check().context(DAMAGED)?;
    Ok(register)
}

impl Register {
    /// Of a machine that never had a generation.
    pub fn new(machine: &str) -> Self {
        Self {
            format: FileFormat::Register.version(),
            machine: machine.to_owned(),
            highest: 0,
            current: None,
            active: None,
            next: None,
            pending: None,
            leaving: None,
            pinned: BTreeSet::new(),
            returned: None,
        }
    }

    /// Every generation that the register names; `gc` removes none of them.
    pub fn named(&self) -> BTreeSet<u64> {
        let returned = self.returned.iter().map(|returned| returned.from);
        self.places().into_iter().chain(returned).chain(self.pinned.iter().copied()).collect()
    }

    /// The generations without which the machine could not be what it must be.
    pub fn places(&self) -> BTreeSet<u64> {
        self.present().into_iter().chain(self.current).chain(self.next).collect()
    }

    /// Every generation of which something may be on the machine, also after a crash.
    pub fn present(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().flat_map(|pending| pending.from.into_iter().chain([pending.to]));
        self.active_generation().into_iter().chain(pending).chain(self.leaving).collect()
    }

    pub fn active_generation(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.generation)
    }

    fn check(&self) -> Result<()> {
        for number in self.named() {
            ensure!(
                (1..=self.highest).contains(&number),
                "it names generation {number}, and the highest ever was {}",
                self.highest
            );
        }
        Ok(())
    }
}
