//! Services as child processes: the unit's program, environment and credentials without systemd.
//!
//! Refuses: services that are not marked for the foreground, and programs that it would have to guess.

use super::state::State;
use crate::compile::{Desired, ServiceProcess};
use crate::host::process::Spec;
use crate::name::MachineName;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// How a value names the directory of its credentials, which systemd would fill in.
const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

/// The process of one instance. `seed` is the file of its NKey seed in the key store.
pub fn spec(state: &State, machine: &MachineName, process: &ServiceProcess, seed: &Path) -> Result<Spec> {
    let name = format!("{}-{}", process.service, process.instance);
    let directory = state.machine(machine.as_str()).join("credentials").join(&name);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    super::state::write(&directory.join("nats.nk"), &std::fs::read(seed)?, 0o400)?;
    let (program, args) = process.exec.split_first().context("a service without a program passed the checks")?;
    let mut environment = process.environment.clone();
    let here = directory.to_string_lossy();
    for value in environment.values_mut() {
        *value = value.replace(CREDENTIALS, &here);
    }
    environment.insert("CREDENTIALS_DIRECTORY".to_owned(), here.into_owned());
    let own = state.machine(machine.as_str()).join("services").join(&name);
    std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
    environment.insert("STATE_DIRECTORY".to_owned(), own.to_string_lossy().into_owned());
    Ok(Spec {
        name: format!("{machine}/{name}"),
        program: program_file(program)?,
        args: args.to_vec(),
        environment,
        directory: state.machine(machine.as_str()),
        log: state.log(machine.as_str(), &name),
    })
}

/// Asked before anything is begun: is there a program for each service that starts here?
pub fn all_there(desired: &Desired) -> Result<()> {
    for server in desired.servers.values() {
        for process in server.processes.iter().filter(|process| process.foreground) {
            let program = process.exec.first().context("a service without a program passed the checks")?;
            program_file(program)
                .with_context(|| format!("the service {} on {} cannot start", process.service, server.machine))?;
        }
    }
    Ok(())
}

/// The declared path, else a program of that name beside our own, else one on `PATH`.
fn program_file(declared: &str) -> Result<PathBuf> {
    let declared = Path::new(declared);
    if declared.is_file() {
        return Ok(declared.to_owned());
    }
    let name = declared.file_name().with_context(|| format!("{} names no program", declared.display()))?;
    let own = std::env::current_exe().context("cannot find our own program")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|place| place.join(name))
        .find(|program| program.is_file())
        .with_context(|| {
            let way_out = match name == "leafwright-demo" {
                true => "it is the example's: `cargo build` makes it beside leafwright",
                false => "install it",
            };
            format!(
                "{} is not there, and no {} lies beside leafwright or on PATH\nhelp: {way_out}; or set `foreground = false` on the service",
                declared.display(),
                name.to_string_lossy()
            )
        })
}
