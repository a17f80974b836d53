//! `generations`: what was applied on a machine, what lies between two of them, and which are never removed.
//!
//! Refuses: changing what the machine is.

use super::home::Where;
use super::{Exit, talk};
use crate::host::machine::Home;
use crate::host::machine::generations::{self, Difference, Record};
use crate::host::machine::register::{self, Phase, Register};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::fmt::Write as _;

const NOTHING: &str = "nothing was ever applied on this machine";

/// List the generations of a machine: what was applied, when, by whom, and which one it is now
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// As JSON, `"format": 1`
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// What lies between the closures of two generations, file by file
    Diff { from: u64, to: u64 },
    /// Never remove a generation
    Pin { number: u64 },
    /// Let `gc` remove a generation again
    Unpin { number: u64 },
}

pub fn run(args: &Args) -> Result<Exit> {
    match &args.verb {
        None => list(args),
        Some(Verb::Diff { from, to }) => {
            let difference = generations::diff(&args.place.home()?, *from, *to)?;
            talk::print(&if args.json {
                pretty(&json!({ "format": 1, "from": from, "to": to, "difference": difference }))
            } else {
                told(&difference)
            });
            Ok(Exit::Done)
        }
        Some(Verb::Pin { number }) => change(args, &format!("pin of generation {number}"), |home, register| {
            // A number without a record is nothing that could be kept.
            generations::read(home, *number)?;
            register.pin(*number)
        }),
        Some(Verb::Unpin { number }) => {
            change(args, &format!("unpin of generation {number}"), |_, register| register.unpin(*number))
        }
    }
}

fn change(args: &Args, purpose: &str, act: impl FnOnce(&Home, &mut Register) -> Result<()>) -> Result<Exit> {
    let Some((home, lock, mut register)) = args.place.held(purpose)? else { bail!(NOTHING) };
    act(&home, &mut register)?;
    register::write(&home, &lock, &register)?;
    Ok(Exit::Done)
}

fn list(args: &Args) -> Result<Exit> {
    let home = args.place.home()?;
    let register = register::read(&home)?;
    let records = generations::list(&home)?;
    if args.json {
        talk::print(&pretty(&as_json(register.as_ref(), &records)));
        return Ok(Exit::Done);
    }
    let Some(register) = register else {
        talk::say(NOTHING);
        return Ok(Exit::Done);
    };
    talk::print(&table(&register, &records));
    if let Some(returned) = &register.returned {
        let to = returned.to.map_or("what was there before".to_owned(), |to| format!("generation {to}"));
        talk::say(&format!("last return: from generation {} to {to}, because {}", returned.from, returned.reason));
    }
    Ok(Exit::Done)
}

/// What the register says of a generation, in words.
fn marks(register: &Register, number: u64) -> Vec<&'static str> {
    let pending = register.pending.as_ref().filter(|pending| pending.to == number).map(|pending| &pending.phase);
    let marks = [
        (register.current == Some(number), "current"),
        (register.active_generation() == Some(number), "active"),
        (register.next == Some(number), "next"),
        (pending == Some(&Phase::Activating), "pending"),
        (matches!(pending, Some(Phase::Returning { .. })), "returning"),
        (register.pinned.contains(&number), "pinned"),
    ];
    marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect()
}

/// One line a generation, the newest last.
fn table(register: &Register, records: &[Record]) -> String {
    let person = records.iter().map(|record| record.person.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for record in records {
        let (digest, marks) =
            (record.digest().get(..12).unwrap_or_default(), marks(register, record.number).join(", "));
        let line = format!("{:>4}  {digest}  {}  {:person$}  {marks}", record.number, record.created, record.person);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn as_json(register: Option<&Register>, records: &[Record]) -> Value {
    let generations = records.iter().map(|record| {
        let marks = register.map(|register| marks(register, record.number)).unwrap_or_default();
        json!({
            "number": record.number,
            "closure": record.closure,
            "from": record.from,
            "created": record.created,
            "person": record.person,
            "leafwright": record.leafwright,
            "program": record.program,
            "mode": record.mode,
            "marks": marks,
        })
    });
    json!({
        "format": 1,
        "machine": register.map(|register| &register.machine),
        "returned": register.and_then(|register| register.returned.as_ref()),
        "generations": generations.collect::<Vec<_>>(),
    })
}

/// `A` added, `D` removed, `M` changed, with the lines that went and came.
fn told(difference: &Difference) -> String {
    let mut text = String::new();
    for path in &difference.removed {
        let _ = writeln!(text, "D {path}");
    }
    for path in &difference.added {
        let _ = writeln!(text, "A {path}");
    }
    for changed in &difference.changed {
        let _ = writeln!(text, "M {}", changed.path);
        for line in &changed.lines {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
