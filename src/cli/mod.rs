//! The command line: one file a verb, each thin. stdout is data, stderr is talk.
//!
//! Refuses: decisions about the domain; a verb calls the floors in order and prints what they say.

#[cfg(feature = "world")]
mod apply;
#[cfg(feature = "world")]
mod bootstrap;
mod build;
mod check;
#[cfg(feature = "world")]
mod door;
#[cfg(feature = "world")]
mod enrol;
mod explain;
mod hardware;
#[cfg(feature = "world")]
mod gc;
#[cfg(feature = "world")]
mod generations;
#[cfg(feature = "world")]
mod heard;
#[cfg(feature = "world")]
mod history;
#[cfg(feature = "world")]
mod home;
#[cfg(feature = "world")]
mod plan;
pub mod explain_option;
mod page;
#[cfg(feature = "world")]
mod keys;
#[cfg(feature = "world")]
mod machine;
#[cfg(feature = "world")]
mod send;
#[cfg(feature = "world")]
mod status;
mod talk;
#[cfg(feature = "world")]
mod tap;
#[cfg(feature = "world")]
mod up;
#[cfg(feature = "world")]
mod verify;

pub use talk::{judge, print, style};

use crate::diag::Sources;
use crate::load;
use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The declarations are unsound.
    Unsound = 1,
    /// Wrong usage.
    Usage = 2,
    /// There is a difference.
    Difference = 3,
    /// The world failed: a server is away, a step failed.
    World = 4,
}

/// The numbers of `Exit`, for scripts.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do
  1  the declarations are unsound
  2  wrong usage
  3  there is a difference, where that was asked for (build --check, plan --detailed-exitcode)
  4  the world failed: a server is away, a step failed, something that was promised does not hold";

/// Use this configuration, use this hardware, I am this person, load it with these events.
#[derive(Parser)]
#[command(name = "leafwright", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// The directory of the domain [default: the nearest one with a domain.toml, from here upwards]
    #[arg(long, global = true, value_name = "DIR")]
    domain: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Check(check::Args),
    Build(build::Args),
    Hardware(hardware::Args),
    #[cfg(feature = "world")]
    Plan(plan::Args),
    #[cfg(feature = "world")]
    Up(up::Args),
    #[cfg(feature = "world")]
    Apply(apply::Args),
    #[cfg(feature = "world")]
    Rollback(apply::RollbackArgs),
    #[cfg(feature = "world")]
    Bootstrap(bootstrap::Args),
    #[cfg(feature = "world")]
    Status(status::Args),
    #[cfg(feature = "world")]
    #[command(hide = true)]
    Machine(machine::Args),
    #[cfg(feature = "world")]
    Verify(verify::Args),
    #[cfg(feature = "world")]
    Generations(generations::Args),
    #[cfg(feature = "world")]
    Gc(gc::Args),
    #[cfg(feature = "world")]
    Keys(keys::Args),
    #[cfg(feature = "world")]
    Send(send::Args),
    #[cfg(feature = "world")]
    Tap(tap::Args),
    Explain(explain::Args),
}

/// A mistake in how the tool was called: exit code 2.
#[derive(Debug)]
pub struct WrongUsage(pub String);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// What a thread that judges may need: expressions and tables stand in each other, and each of them takes a call.
const STACK: usize = 64 << 20;

/// Reads the command line and runs the verb, with room for the deepest declaration that is accepted.
pub fn main() -> ExitCode {
    #[cfg(feature = "world")]
    if let Err(error) = crate::host::process::leave_no_core() {
        talk::say(&format!("error: {error:#}"));
        return ExitCode::from(Exit::World as u8);
    }
    // Before it can be replaced.
    #[cfg(feature = "world")]
    let _known = crate::host::machine::own_program::running();
    match std::thread::Builder::new().name("leafwright".to_owned()).stack_size(STACK).spawn(verb) {
        Ok(running) => running.join().unwrap_or(ExitCode::from(Exit::World as u8)),
        Err(error) => {
            talk::say(&format!("error: cannot start a thread: {error}"));
            ExitCode::from(Exit::World as u8)
        }
    }
}

fn verb() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are data; clap knows where each goes, and a closed pipe is no fault of ours.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { Exit::Done as u8 });
        }
    };
    // Where there is a pool already, the caller has chosen.
    let _ = rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global();
    let exit = run(&cli).unwrap_or_else(|error| {
        talk::say(&format!("error: {error:#}"));
        if error.is::<WrongUsage>() { Exit::Usage } else { Exit::World }
    });
    let exit = if exit == Exit::Done && !talk::is_written() { Exit::World } else { exit };
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli) -> Result<Exit> {
    match &cli.verb {
        Verb::Check(args) => check::run(args, &read_domain(cli)?),
        Verb::Build(args) => build::run(args, &read_domain(cli)?),
        Verb::Hardware(args) => hardware::run(args, || read_domain(cli)),
        #[cfg(feature = "world")]
        Verb::Plan(args) => plan::run(args, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Up(args) => up::run(args, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Apply(args) => apply::run(args, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Rollback(args) => apply::rollback(args),
        #[cfg(feature = "world")]
        Verb::Bootstrap(args) => bootstrap::run(args, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Status(args) => status::run(args),
        #[cfg(feature = "world")]
        Verb::Machine(args) => machine::run(args),
        #[cfg(feature = "world")]
        Verb::Verify(args) => verify::run(args, &find_root(cli).or_else(verify::text_of_this_machine)?),
        #[cfg(feature = "world")]
        Verb::Generations(args) => generations::run(args),
        #[cfg(feature = "world")]
        Verb::Gc(args) => gc::run(args),
        #[cfg(feature = "world")]
        Verb::Keys(args) => keys::run(args, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Send(args) => send::run(args, &read_domain(cli)?, &find_root(cli)?),
        #[cfg(feature = "world")]
        Verb::Tap(args) => tap::run(args, &find_root(cli)?),
        Verb::Explain(args) => explain::run(args, || read_domain(cli)),
    }
}

/// The texts of the domain that the command line means.
fn read_domain(cli: &Cli) -> Result<Sources> {
    load::domain(&find_root(cli)?)
}

fn find_root(cli: &Cli) -> Result<PathBuf> {
    match &cli.domain {
        Some(root) if root.join("domain.toml").is_file() => Ok(root.clone()),
        // The file is named for its directory.
        Some(file) if file.ends_with("domain.toml") && file.is_file() => {
            Ok(file.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned())
        }
        Some(root) => Err(WrongUsage(format!("there is no domain.toml in {}", root.display())).into()),
        None => {
            let here = std::env::current_dir().context("cannot tell the current directory")?;
            let missing = || {
                WrongUsage("there is no domain.toml here or above; name its directory with --domain DIR, or begin one: docs/own-domain.md".to_owned())
            };
            load::root(&here).ok_or_else(|| missing().into())
        }
    }
}
