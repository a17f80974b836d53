//! `build`: compile to closures.

use super::{Exit, WrongUsage, talk};
use crate::Judged;
use crate::compile::{Closure, manifest};
use crate::declare::nearest;
use crate::diag::{Checked, Sources};
use crate::host::closure;
use crate::resolve::Domain;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Compile a machine to its closure: every file, unit, policy and reference, named by the digest of its content
#[derive(clap::Args)]
pub struct Args {
    /// The machine, or `domain` for what belongs to no single machine
    #[arg(value_name = "MACHINE", required_unless_present = "all", conflicts_with = "all")]
    machine: Option<String>,
    /// All machines and the domain, each in a directory of its name
    #[arg(long)]
    all: bool,
    /// Write the content into this directory [default: print the digests alone]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Compare with what is in --out instead of writing; exit code 3 where they differ
    #[arg(long, requires = "out")]
    check: bool,
}

pub fn run(args: &Args, sources: &Sources) -> Result<Exit> {
    let Checked { value, report } = crate::judge(sources);
    if let Some(judged) = value.as_ref().filter(|_| !report.has_errors()) {
        known(args, &judged.domain)?;
    }
    let built = Checked::new(value, report).then(|judged| closures(args, &judged));
    let exit = talk::judge(&built.report.sorted(), sources);
    let Some(closures) = built.value.filter(|_| exit == Exit::Done) else { return Ok(exit) };
    let mut exit = Exit::Done;
    for closure in &closures {
        let out = args.out.as_deref().map(|out| if args.all { out.join(&closure.name) } else { out.to_owned() });
        match out {
            Some(out) if args.check => {
                if !compare(closure, sources, &out)? {
                    exit = Exit::Difference;
                }
            }
            Some(out) => write(closure, sources, &out)?,
            None => talk::print(&format!("{}\n", closure::directory_name(closure))),
        }
    }
    Ok(exit)
}

/// What was asked for. One machine is compiled alone, and asks for no keys but its own: a domain is brought up one by one.
fn closures(args: &Args, judged: &Judged) -> Checked<Vec<Closure>> {
    let named =
        args.machine.as_ref().and_then(|name| judged.domain.machines.iter().find(|known| known.name.as_str() == name));
    match named {
        Some(machine) => crate::build_machine(judged, machine).map(|(closure, _)| vec![closure]),
        None => crate::build(judged).map(|compiled| {
            let machines = compiled.machines.into_values().filter(|_| args.all);
            machines.chain([compiled.domain]).collect()
        }),
    }
}

fn known(args: &Args, domain: &Domain) -> Result<()> {
    let Some(name) = args.machine.as_deref().filter(|name| *name != "domain") else { return Ok(()) };
    let known: Vec<&str> = domain.machines.iter().map(|machine| machine.name.as_str()).collect();
    if known.contains(&name) {
        return Ok(());
    }
    let way_out = match nearest(name, known.iter().copied().chain(["domain"])) {
        Some(near) => format!("write {near}"),
        None if known.len() > 20 => format!("there are {} machines, and `domain`", known.len()),
        None => format!("there are {}, and `domain`", known.join(", ")),
    };
    Err(WrongUsage(format!("there is no machine {name}; {way_out}")).into())
}

/// Replaces what is there: written beside, then renamed.
fn write(closure: &Closure, sources: &Sources, out: &Path) -> Result<()> {
    let say = || format!("cannot write {}", out.display());
    let occupied = out.is_dir() && !out.join("manifest.json").is_file() && fs::read_dir(out)?.next().is_some();
    if occupied {
        let text = format!("{} is not empty and holds no closure; name another directory with --out", out.display());
        return Err(WrongUsage(text).into());
    }
    let name = out.file_name().with_context(say)?.to_string_lossy().into_owned();
    let beside = out.with_file_name(format!(".{name}.new"));
    if beside.exists() {
        fs::remove_dir_all(&beside).with_context(say)?;
    }
    fs::create_dir_all(&beside).with_context(say)?;
    closure::write_content(closure, &manifest(closure, sources), &beside)?;
    if out.is_dir() {
        fs::remove_dir_all(out).with_context(say)?;
    }
    fs::rename(&beside, out).with_context(say)?;
    talk::say(&format!("{}: {} files, digest {}", out.display(), closure.artefacts.len() + 1, closure.digest));
    Ok(())
}

/// Says what differs and how, one path a line; `true` where nothing does.
fn compare(closure: &Closure, sources: &Sources, out: &Path) -> Result<bool> {
    let differences = closure::differences(closure, &manifest(closure, sources), out)?;
    for (path, how) in &differences {
        talk::print(&format!("{:<9}  {}\n", how.to_string(), out.join(path).display()));
    }
    Ok(differences.is_empty())
}
