//! `verify`: try what was promised, on a domain that an `up` runs.

use super::heard::Heard;
use super::{Exit, WrongUsage, talk};
use crate::foreground::{self, Fault, Proof, Request};
use crate::seed::Depth;
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};

/// Try what was promised: links, streams, copies, events, rights by violation, queries; on what `up` runs
#[derive(clap::Args)]
pub struct Args {
    /// The machines to verify, and the cluster with them [default: all that run]
    #[arg(value_name = "MACHINE")]
    machines: Vec<String>,
    /// Where `up` keeps its state [default: .leafwright in the domain's directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
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
        Ok(proof) => {
            talk::print(&if args.json { format!("{:#}\n", proof.outcome.json()) } else { proof.outcome.human() });
            Ok(if proof.outcome.is_sound() { Exit::Done } else { Exit::World })
        }
        Err(Fault::Usage(text)) => Err(WrongUsage(text).into()),
        Err(Fault::Unsound { report, sources }) => Ok(talk::judge(&report, &sources)),
        Err(Fault::World(error)) => Err(error),
    }
}

async fn verify(args: &Args, root: &Path) -> Result<Proof, Fault> {
    let request = Request::of(root, &args.machines, args.state.as_deref())?;
    let Some(visit) = foreground::visit(&request)? else {
        let place = request.state_directory();
        return Err(anyhow!("nothing runs in {}\nhelp: start it with `leafwright up`", place.display()).into());
    };
    let prepared = visit.prepare()?;
    talk::judge(&prepared.report, &prepared.sources);
    Ok(foreground::prove(&prepared, if args.full { Depth::Full } else { Depth::Digest }, &Heard::default()).await)
}
