//! `plan`: what `up` would do and why, without doing it.

use super::up::Voice;
use super::{Exit, talk};
use crate::foreground::{self, Fault, Request};
use crate::host::nats_server;
use crate::plan::{Plan, render};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Say what `up` would change and why, and change nothing
///
/// What an `up` runs is asked as it is. Where none runs, the nats-servers of the last run are started from the state
/// directory, asked, and stopped again. A plan that refuses something is carried out by nobody: exit code 4.
#[derive(clap::Args)]
pub struct Args {
    /// The machines to plan for [default: the whole domain]
    #[arg(value_name = "MACHINE")]
    machines: Vec<String>,
    /// Where the last run is kept [default: .leafwright in the domain's directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The plan as JSON, `"format": 1`
    #[arg(long)]
    json: bool,
    /// Write the plan as JSON into this file too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 3 where there is anything to do
    #[arg(long)]
    detailed_exitcode: bool,
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let planned = runtime.block_on(plan(args, root));
    // Whatever still runs was asked and has answered.
    runtime.shutdown_background();
    match planned {
        Ok(plan) => tell(args, &plan),
        Err(fault) => talk::failed(fault),
    }
}

async fn plan(args: &Args, root: &Path) -> Result<Plan, Fault> {
    let request = Request::of(root, &args.machines, args.state.as_deref())?;
    if let Some(visit) = foreground::visit(&request)? {
        let opening = visit.connect();
        let running = visit.prepare()?;
        talk::judge(&running.report, &running.sources);
        let plan = foreground::look_at_running(&running, opening).await?;
        // The process ends with the plan: nobody waits until the domain is taken apart.
        std::mem::forget(running);
        return Ok(plan);
    }
    let program = nats_server::find(root)?;
    // Where nothing was ever brought up, looking leaves nothing behind: ports and keys are made for the look alone.
    let nowhere = tempfile::tempdir().context("cannot make a temporary directory")?;
    let request = match request.state_directory().exists() {
        true => request,
        false => Request { state: Some(nowhere.path().to_owned()), ..request },
    };
    let prepared = foreground::prepare(&request)?;
    talk::judge(&prepared.report, &prepared.sources);
    Ok(foreground::look(&prepared, &program, &Voice).await?)
}

fn tell(args: &Args, plan: &Plan) -> Result<Exit> {
    if let Some(file) = &args.out {
        std::fs::write(file, render::json(plan)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    talk::print(&if args.json { render::json(plan) } else { render::human(plan) });
    if plan.refused().next().is_some() {
        // `up` would fail with this plan, and in the same way.
        return Ok(Exit::World);
    }
    let differs = args.detailed_exitcode && !plan.is_empty();
    Ok(if differs { Exit::Difference } else { Exit::Done })
}
