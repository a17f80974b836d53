//! `bootstrap`: from a bare machine to one that is what is declared, in one command.

use super::{Exit, WrongUsage, keys, talk};
use crate::foreground::Fault;
use crate::host::nats_server;
use crate::host::remote::Place;
use crate::machine;
use crate::machine::bootstrap::{Bootstrap, bootstrap};
use anyhow::{Context as _, Result, bail};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Bring a bare machine with systemd to what is declared: programs, keys made there, public halves signed here, apply
///
/// Over ssh it needs root there and a known host key. A second run does what is left, or nothing.
#[derive(clap::Args)]
pub struct Args {
    /// The machine of the domain
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Where it is: as `ssh` takes it
    #[arg(long, value_name = "USER@HOST", required_unless_present = "here", conflicts_with = "here")]
    ssh: Option<String>,
    /// This machine
    #[arg(long)]
    here: bool,
    #[arg(long, value_name = "PORT", requires = "ssh")]
    port: Option<u16>,
    /// The private key for ssh [default: as ssh is configured]
    #[arg(long, value_name = "FILE", requires = "ssh")]
    ssh_identity: Option<PathBuf>,
    /// The known host keys [default: as ssh is configured]
    #[arg(long, value_name = "FILE", requires = "ssh")]
    known_hosts: Option<PathBuf>,
    /// The leafwright to install there: one for another architecture, or one that needs no C library [default: this one]
    #[arg(long, value_name = "FILE")]
    leafwright: Option<PathBuf>,
    /// The nats-server to install there [default: the one that `up` takes]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Another program to put there, as often as needed
    #[arg(long, value_name = "FILE=PATH", value_parser = program)]
    program: Vec<(PathBuf, String)>,
    /// The domain's key store [default: as `keys`]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

fn program(text: &str) -> Result<(PathBuf, String), String> {
    match text.split_once('=') {
        Some((from, to)) if to.starts_with('/') => Ok((from.into(), to.to_owned())),
        _ => Err("FILE=PATH, the path absolute".to_owned()),
    }
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let nats_server = match &args.nats_server {
        Some(named) => named.clone(),
        None => nats_server::find(root)?,
    };
    // A name of its own each time: one that was killed leaves its directory behind. It goes when `sockets` is dropped.
    let mine = std::fs::Permissions::from_mode(0o700);
    let sockets = tempfile::Builder::new().prefix("leafwright-ssh-").permissions(mine).tempdir();
    let sockets = sockets.context("cannot make a directory for ssh")?;
    let place = match &args.ssh {
        None => Place::Here,
        Some(target) if target.starts_with('-') => {
            return Err(WrongUsage(format!("`{target}` is not USER@HOST")).into());
        }
        Some(target) => Place::Ssh {
            target: target.clone(),
            port: args.port,
            identity: args.ssh_identity.clone(),
            known_hosts: args.known_hosts.clone(),
            sockets: sockets.path().to_owned(),
        },
    };
    let (leafwright, programs) = (args.leafwright.clone(), args.program.clone());
    let order = Bootstrap { root, machine: &args.machine, place, leafwright, nats_server, programs };
    let mut enrol = |request: &str| match keys::enrol_text(root, args.store.as_deref(), request)? {
        Exit::Done => compiled(root, &args.machine),
        _ => bail!("the machine's keys were not signed"),
    };
    bootstrap(&order, &mut enrol, &mut |line| talk::say(line)).map(|()| Exit::Done)
}

/// The name of the machine's closure.
fn compiled(root: &Path, machine: &str) -> Result<String> {
    match machine::closure_name(root, machine) {
        Ok(name) => Ok(name),
        Err(Fault::Usage(text)) => Err(WrongUsage(text).into()),
        Err(Fault::Unsound { report, sources }) => {
            talk::judge(&report, &sources);
            bail!("{machine} cannot be compiled: nothing was applied")
        }
        Err(Fault::World(error)) => Err(error),
    }
}
