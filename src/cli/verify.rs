//! `verify`: try what was promised, on a domain that an `up` runs, or on the machine that this is.

use super::heard::Heard;
use super::{Exit, talk};
use crate::foreground::{self, Fault, Proof, Request};
use crate::host::machine::{Home, STATE, generations, register};
use crate::machine::bootstrap::DOMAIN;
use crate::machine::{self, Trial};
use crate::seed::Depth;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Try what was promised: links, streams, copies, events, rights by violation, queries; on what `up` runs, else on this machine
///
/// On a machine that `apply` made it runs as root, and uses the keys that are there and no others.
#[derive(clap::Args)]
pub struct Args {
    /// The machines to verify, and the cluster with them [default: all that run, else the machine that this is]
    #[arg(value_name = "MACHINE")]
    machines: Vec<String>,
    /// Where `up` keeps its state [default: .leafwright in the domain's directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// On this machine: seconds for services that still start and streams that catch up
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    within: u64,
    /// Compare every stored event with its file, not the digests alone
    #[arg(long)]
    full: bool,
    /// Every check as JSON on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    match runtime.block_on(verify(args, root)) {
        Ok(Told { json, human, is_sound }) => {
            talk::print(&if args.json { format!("{json:#}\n") } else { human });
            Ok(if is_sound { Exit::Done } else { Exit::World })
        }
        Err(fault) => talk::failed(fault),
    }
}

/// Where `bootstrap` puts the domain's text, for who is on the machine and names no other.
pub fn text_of_this_machine(error: anyhow::Error) -> Result<PathBuf> {
    let text = PathBuf::from(DOMAIN);
    if text.join("domain.toml").is_file() { Ok(text) } else { Err(error) }
}

/// What is said in the end.
struct Told {
    json: Value,
    human: String,
    is_sound: bool,
}

async fn verify(args: &Args, root: &Path) -> Result<Told, Fault> {
    let request = Request::of(root, &args.machines, args.state.as_deref())?;
    let depth = if args.full { Depth::Full } else { Depth::Digest };
    if let Some(visit) = foreground::visit(&request)? {
        let prepared = visit.prepare()?;
        talk::judge(&prepared.report, &prepared.sources);
        let Proof { outcome, .. } = foreground::prove(&prepared, depth, &Heard::default()).await;
        return Ok(Told { json: outcome.json(), human: outcome.human(), is_sound: outcome.is_sound() });
    }
    let Some(machine) = this_machine(args)? else {
        let place = request.state_directory();
        return Err(anyhow!("nothing runs in {}\nhelp: start it with `leafwright up`", place.display()).into());
    };
    let prepared = machine::prepare(root, &machine, &Path::new(STATE).join("keys"))?;
    talk::judge(&prepared.report, &prepared.sources);
    behind(&prepared)?;
    let trial = Trial { depth, within: Duration::from_secs(args.within), watch: &Heard::default() };
    let proof = machine::prove(&prepared, &trial).await;
    Ok(Told { json: proof.json(), human: proof.human(), is_sound: proof.outcome.is_sound() })
}

/// The machine that this is, where `apply` made it one and no other was asked for.
fn this_machine(args: &Args) -> Result<Option<String>, Fault> {
    if args.state.is_some() {
        return Ok(None);
    }
    let Some(register) = register::read(&Home::new(Path::new(STATE), None)?)? else { return Ok(None) };
    match args.machines.as_slice() {
        [] => {}
        [one] if *one == register.machine => {}
        _ => {
            return Err(Fault::Usage(format!(
                "this machine is {}, and no other can be verified from here\nhelp: run it there",
                register.machine
            )));
        }
    }
    if !rustix::process::geteuid().is_root() {
        return Err(anyhow!("the keys of {} are root's\nhelp: run it as root", register.machine).into());
    }
    Ok(Some(register.machine))
}

/// Declarations that were not applied yet are what is tried all the same.
fn behind(prepared: &machine::Prepared) -> Result<()> {
    let home = Home::new(Path::new(STATE), None)?;
    let active = register::read(&home)?.and_then(|register| register.active_generation());
    let Some(active) = active else { return Ok(()) };
    if generations::read(&home, active)?.digest() != prepared.closure.digest {
        let name = &prepared.machine.name;
        talk::say(&format!(
            "these declarations are not what generation {active} was made of: `leafwright apply {name}` makes {name} so"
        ));
    }
    Ok(())
}
