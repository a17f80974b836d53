//! `gc`: removes generations and closures that a machine needs no more.
//!
//! Refuses: removing what the machine is, was before a return, or may become; and choosing how much to keep.

use super::home::Where;
use super::{Exit, WrongUsage, talk};
use crate::host::machine::gc::{self, Keep, Removal};
use crate::host::machine::{go_on, register};
use crate::name::Duration;
use anyhow::Result;
use time::OffsetDateTime;

/// Remove old generations of a machine, and the closures that none needs any more
///
/// What is current, active, next, pending or pinned stays, and so does the generation that the machine returned from last.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Args {
    /// Keep the newest N
    #[arg(long, value_name = "N", group = "which")]
    keep: Option<usize>,
    /// Keep what is not older than this, such as `30d`
    #[arg(long, value_name = "TIME", group = "which")]
    older_than: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Where,
}

pub fn run(args: &Args) -> Result<Exit> {
    let keep = keep(args)?;
    if args.dry_run {
        let home = args.place.home()?;
        let removal = register::read(&home)?.map(|register| gc::plan(&home, &register, keep)).transpose()?;
        tell(&removal.unwrap_or_default(), "would free");
        return Ok(Exit::Done);
    }
    let removal = match args.place.held("gc")? {
        Some((home, lock, register)) => gc::collect(&home, &lock, &register, keep, &mut go_on)?,
        None => Removal::default(),
    };
    tell(&removal, "freed");
    Ok(Exit::Done)
}

fn keep(args: &Args) -> Result<Keep> {
    match (args.keep, &args.older_than) {
        (Some(count), _) => Ok(Keep::Newest(count)),
        (None, Some(text)) => {
            let wrong = |fault: String| WrongUsage(format!("--older-than: {fault}"));
            let than = Duration::parse(text).map_err(|fault| wrong(fault.to_string()))?;
            let nanos = i64::try_from(than.as_nanos()).map_err(|_| wrong(format!("`{text}` is too long")))?;
            Ok(Keep::Younger { than: time::Duration::nanoseconds(nanos), now: OffsetDateTime::now_utc() })
        }
        (None, None) => Err(WrongUsage("say what to keep: --keep N or --older-than TIME".to_owned()).into()),
    }
}

/// What is removed, one a line, on stdout; how much that is, on stderr.
fn tell(removal: &Removal, freed: &str) {
    for number in &removal.generations {
        talk::print(&format!("generation {number}\n"));
    }
    for closure in removal.closures.iter().chain(&removal.leftovers) {
        talk::print(&format!("{closure}\n"));
    }
    for number in &removal.ahead {
        talk::say(&format!(
            "generation {number} is of a time that is yet to come, and stays: look at the clock, or name how many to keep with --keep N"
        ));
    }
    talk::say(&format!(
        "{} generations, {} closures: {freed} {}",
        removal.generations.len(),
        removal.closures.len(),
        size(removal.bytes)
    ));
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1024 / 1024),
    }
}
