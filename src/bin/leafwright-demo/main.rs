//! The services of the example domain: `leafwright-demo thermometer`, `todos`, `web`.
//!
//! Each talks to the nats-server of its own machine and takes everything it needs to know from its environment.
//! Refuses: knowing machines, streams or files by name, and using anything of the library: a service does not need Leafwright to run.

mod bus;
mod http;
mod thermometer;
mod todos;
mod web;

use anyhow::{Result, bail};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: leafwright-demo thermometer | todos | web";

#[tokio::main]
async fn main() -> ExitCode {
    let Some(service) = std::env::args().nth(1) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match until_told_to_stop(&service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{service}: {error:#}");
            ExitCode::from(4)
        }
    }
}

/// Runs the service until it fails or SIGTERM or SIGINT arrives; what was acknowledged is then already stored.
async fn until_told_to_stop(service: &str) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let bus = bus::connect().await?;
    tokio::select! {
        ended = run(service, &bus) => ended?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    bus::leave(&bus).await;
    Ok(())
}

async fn run(service: &str, bus: &bus::Bus) -> Result<()> {
    match service {
        "thermometer" => thermometer::run(bus).await,
        "todos" => todos::run(bus).await,
        "web" => web::run(bus).await,
        other => bail!("no service is called `{other}`\n{USAGE}"),
    }
}
