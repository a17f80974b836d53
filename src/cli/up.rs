//! `up`: run machines in the foreground, no root, no systemd.

use super::heard::Heard;
use super::{Exit, talk};
use crate::apply::Progress;
use crate::apply::live::SeedProgress;
use crate::foreground::summary::{self, Ending};
use crate::foreground::{self, Fault, Prepared, Proof, Request, Run, Running, Talk};
use crate::host::nats_server;
use crate::plan::{Plan, render};
use crate::seed;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Run machines here, in the foreground: real nats-servers, events loaded, services started, everything verified
///
/// Nothing of this machine is touched: all of it lives in the state directory and on 127.0.0.1.
/// Naming a leaf brings the cluster with it. Ctrl-C stops everything; the state stays.
#[derive(clap::Args)]
pub struct Args {
    /// The machines to run [default: the whole domain]
    #[arg(value_name = "MACHINE")]
    machines: Vec<String>,
    /// Where ports, keys, stores and logs are kept [default: .leafwright in the domain's directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Bring it up, load, verify, stop
    #[arg(long)]
    once: bool,
    /// The summary as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(200);

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    match runtime.block_on(up(args, root)) {
        Ok(exit) => Ok(exit),
        Err(fault) => talk::failed(fault),
    }
}

async fn up(args: &Args, root: &Path) -> Result<Exit, Fault> {
    let began = Instant::now();
    let mut stop = Stop::listen()?;
    let request = Request::of(root, &args.machines, args.state.as_deref())?;
    let program = nats_server::find(root)?;
    let prepared = foreground::prepare(&request)?;
    talk::judge(&prepared.report, &prepared.sources);
    let mut running = tokio::select! {
        running = foreground::bring_up(&prepared, &program, &Voice) => running?,
        () = stop.wait() => return Err(anyhow::anyhow!("stopped before the domain was up; the next run goes on").into()),
    };
    talk::say(&verifying());
    let heard = Heard::default();
    let proof = foreground::prove(&prepared, seed::Depth::Digest, &heard);
    let proof = tokio::select! {
        proof = running.family.tended(proof, talk::say) => proof?,
        () = stop.wait() => {
            talk::say(&heard.half());
            stopped(running).await?;
            return Ok(Exit::World);
        }
    };
    let exit = if proof.outcome.is_sound() { Exit::Done } else { Exit::World };
    let run = Run { steps: running.steps, took: began.elapsed(), ending: Ending::Stopped };
    if args.once {
        running.family.stop().await?;
        tell(args, &prepared, &proof, &run)?;
        return Ok(exit);
    }
    tell(args, &prepared, &proof, &Run { ending: Ending::Stays, ..run })?;
    Ok(stay(running, &mut stop).await?)
}

/// A source or mirror may be asked again only after half a minute: the silence has a name, and an end.
fn verifying() -> String {
    let patience = crate::verify::Target::PATIENCE.as_secs() / 60;
    format!("verifying; waits up to {patience} minutes for links, copies, sources and mirrors to catch up")
}

/// The summary, for a person or a program.
fn tell(args: &Args, prepared: &Prepared, proof: &Proof, run: &Run) -> Result<()> {
    let summary = foreground::summarise(prepared, proof, run)?;
    if run.steps == 0 {
        talk::say("nothing to do");
    }
    if args.json {
        // Nobody may read the JSON.
        if !proof.outcome.is_sound() {
            talk::say(&proof.outcome.human());
        }
        talk::print(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
    } else {
        talk::print(&summary::text(&summary));
    }
    Ok(())
}

/// Keeps the children running until someone says stop.
async fn stay(mut running: Running, stop: &mut Stop) -> Result<Exit> {
    talk::say("Ctrl-C stops it");
    loop {
        tokio::select! {
            () = stop.wait() => return stopped(running).await,
            () = tokio::time::sleep(LOOK) => {
                for news in running.family.look_after()? {
                    talk::say(&news.0);
                }
            }
        }
    }
}

async fn stopped(running: Running) -> Result<Exit> {
    talk::say("stopping");
    running.family.stop().await?;
    Ok(Exit::Done)
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What is said on stderr while it works.
pub(super) struct Voice;

impl Talk for Voice {
    fn plan(&self, plan: &Plan) {
        if !plan.is_empty() {
            talk::say(&render::summary(plan));
        }
    }

    fn progress(&self, progress: Progress<'_>, plan: &Plan) {
        if let Progress::Done { number, of, step } = progress {
            talk::say(&format!("  {number:>3} of {of}  {}", render::sentence(plan, step)));
        }
    }

    fn phase(&self, text: &str) {
        talk::say(text);
    }

    fn loading(&self) -> SeedProgress<'static> {
        let mut bars = BTreeMap::new();
        Box::new(move |set, progress| {
            let bar = bars.entry(set.clone()).or_insert_with(|| seed::progress::bar(set.as_str()));
            bar(progress);
        })
    }
}
