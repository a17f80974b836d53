//! Before anything is touched: is there room, are the programs there and new enough, do systemd and nats-server understand
//! what they are to read, are the keys there?
//!
//! Refuses: stopping at the first fault. All of them are told at once, each with a way out.

use super::Prepared;
use super::apply::Found;
use super::scratch::{self, Scratch};
use crate::compile::packages::option;
use crate::compile::{ArtefactKind, units};
use crate::host::machine::Home;
use crate::host::nats_server::{self, MINIMUM};
use crate::host::systemd::creds;
use crate::host::{credentials, hardware, packages, programs};
use crate::plan::machine::{Act, Content, MachinePlan};
use crate::resolve::hardware::unmet;
use anyhow::{Context as _, Result, bail};
use futures_util::future::join;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What must stay free beside the closure: JetStream and journals need room, too.
const SPARE: u64 = 64 << 20;
/// Where systemd looks for a program without a path (systemd.service(5), "Command lines").
const SEARCH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Everything that can be looked at before packages are installed. Whether programs are there is asked when they ought to be.
pub async fn all(home: &Home, prepared: &Prepared, found: &Found) -> Result<()> {
    let Found { old, new: content, plan, .. } = found;
    let mut faults = vec![];
    faults.extend(hardware(prepared)?);
    faults.extend(room(home, prepared)?);
    let missing = credentials::missing(&prepared.references()?, &prepared.key_store)?;
    faults.extend(missing.iter().map(ToString::to_string));
    faults.extend(encryption(prepared)?);
    faults.extend(packages_impossible(prepared, plan).await?);
    faults.extend(scratch::taken(prepared, old.as_ref().map(|old| &old.content), content));
    let scratch = Scratch::write(home, prepared)?;
    let old = old.as_ref().map(|old| &old.content);
    match plan.first.is_empty() {
        true => faults.extend(of_programs(&scratch, prepared, old, content).await),
        false => faults.extend(understood_by_server(&scratch, prepared, content).await),
    }
    judged(&faults, "nothing was done")
}

/// What had to wait for packages.
pub async fn with_packages(home: &Home, prepared: &Prepared, content: &Content) -> Result<()> {
    let scratch = Scratch::write(home, prepared)?;
    // What they brought may be another nats-server, or another systemd.
    judged(&of_programs(&scratch, prepared, None, content).await, "nothing was changed but packages")
}

/// Can this machine encrypt what its services are to get encrypted?
fn encryption(prepared: &Prepared) -> Result<Option<String>> {
    const OPTION: &str = "credentials.encrypted";
    if !prepared.references()?.files.iter().any(|file| file.encrypted_as.is_some()) {
        return Ok(None);
    }
    let span = prepared.machine.origins.of(OPTION).unwrap_or(prepared.machine.origin);
    let fault = |error: anyhow::Error| {
        let place = prepared.sources.place(span);
        format!(
            "{place}: credentials cannot be encrypted here: {error:#}\n  help: {OPTION} = false, or systemd 250 or newer"
        )
    };
    Ok(creds::works().err().map(fault))
}

/// What programs there are, and what they say, side by side. What runs as it is wanted is not asked about again.
async fn of_programs(scratch: &Scratch, prepared: &Prepared, old: Option<&Content>, content: &Content) -> Vec<String> {
    let mut faults = programs_missing(content);
    // Certificates stand in the configuration by their paths alone.
    let read = |content: &Content| -> BTreeMap<String, String> {
        let read = [ArtefactKind::Certificate, ArtefactKind::UserJwt];
        let files = content.files.iter().filter(|(_, file)| read.contains(&file.kind));
        files.map(|(path, file)| (path.clone(), file.digest.clone())).collect()
    };
    let same = |old: &Content| {
        let unit = |content: &Content| content.units.get(units::NATS).cloned();
        old.server == content.server && unit(old) == unit(content) && read(old) == read(content)
    };
    let of_server = async {
        if old.is_some_and(same) {
            return (None, None);
        }
        (server(content), understood_by_server(scratch, prepared, content).await)
    };
    let (of_systemd, (version, of_server)) = join(understood_by_systemd(scratch, old, content), of_server).await;
    faults.extend([version, of_systemd, of_server].into_iter().flatten());
    faults
}

fn judged(faults: &[String], done: &str) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let many = if faults.len() == 1 { "1 pre-check".to_owned() } else { format!("{} pre-checks", faults.len()) };
    bail!("{done}, because {many} failed:\n{}", faults.join("\n"))
}

/// Packages that cannot be installed, each with the place of its declaration.
async fn packages_impossible(prepared: &Prepared, plan: &MachinePlan) -> Result<Vec<String>> {
    let wanted = plan.first.iter().filter_map(|step| match &step.act {
        Act::Install { package, declared } => Some((package.clone(), declared)),
        _ => None,
    });
    let wanted: BTreeMap<String, &String> = wanted.collect();
    let place = |package: &String| {
        let span = prepared.machine.origins.of(&option(wanted.get(package)?)).unwrap_or(prepared.machine.origin);
        Some(prepared.sources.place(span).to_string())
    };
    let names: Vec<String> = wanted.keys().cloned().collect();
    let faults = packages::impossible(&names).await?.into_iter().map(|fault| {
        let places: Vec<String> = fault.packages.iter().filter_map(place).collect();
        format!("{}: {}", places.join(", "), fault.why)
    });
    Ok(faults.collect())
}

/// What the machine was declared to be and is not.
fn hardware(prepared: &Prepared) -> Result<Vec<String>> {
    let found = hardware::detect(Path::new("/"), std::env::consts::ARCH)?;
    let unmet = unmet(&prepared.machine.hardware, &found.report);
    let help = "use a hardware profile that says what is there, or another machine";
    Ok(unmet.iter().map(|unmet| format!("this machine has {unmet}\n  help: {help}")).collect())
}

fn room(home: &Home, prepared: &Prepared) -> Result<Vec<String>> {
    let size: u64 = prepared.closure.artefacts.iter().map(|artefact| artefact.bytes.len() as u64).sum();
    let mut faults = vec![];
    // Once in the store, once beside what it replaces.
    for place in [home.state().to_owned(), home.root().join("etc")] {
        let stat = rustix::fs::statvfs(&place).with_context(|| format!("cannot look at {}", place.display()))?;
        let free = stat.f_bavail * stat.f_frsize;
        if free < 2 * size + SPARE {
            faults.push(format!(
                "there is no room in {}: {} MiB are free, {} MiB are needed\n  help: `leafwright gc --keep 3` removes old generations",
                place.display(),
                free >> 20,
                (2 * size + SPARE) >> 20
            ));
        }
    }
    Ok(faults)
}

/// Programs of our units that are not there. A path with a specifier is systemd's to find.
fn programs_missing(content: &Content) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut faults = vec![];
    for (name, unit) in &content.units {
        let Some(service) = unit.get("Service") else { continue };
        let lines =
            service.iter().filter(|(directive, _)| directive.starts_with("Exec") && *directive != "ExecSearchPath");
        for line in lines.flat_map(|(_, lines)| lines) {
            let word = line.split_whitespace().next().unwrap_or_default();
            let program = word.trim_start_matches(['-', '@', ':', '+', '!', '|']).trim_matches('"');
            if program.is_empty()
                || program.contains('%')
                || !seen.insert(program.to_owned())
                || find(program).is_some()
            {
                continue;
            }
            faults.push(format!(
                "{program}, which {name} runs, is not on this machine\n  help: install it, or name another program"
            ));
        }
    }
    faults
}

async fn understood_by_server(scratch: &Scratch, prepared: &Prepared, content: &Content) -> Option<String> {
    let program = find("nats-server").filter(|_| !content.server.is_null())?;
    scratch::tried(&program, scratch, prepared, content).await
}

fn find(program: &str) -> Option<PathBuf> {
    let executable = |path: PathBuf| {
        let good = path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        good.then_some(path)
    };
    match program.starts_with('/') {
        true => executable(program.into()),
        false => SEARCH.iter().find_map(|place| executable(Path::new(place).join(program))),
    }
}

fn server(content: &Content) -> Option<String> {
    if !content.units.contains_key(units::NATS) {
        return None;
    }
    let program = find("nats-server")?;
    match nats_server::version(&program) {
        Ok(version) if version >= MINIMUM => None,
        Ok(version) => Some(format!(
            "{} is nats-server {version}, and {MINIMUM} is the oldest that works\n  help: put a newer one into /usr/local/bin",
            program.display()
        )),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Understood by the systemd of this machine: every unit that it has not read yet, beside the others.
async fn understood_by_systemd(scratch: &Scratch, old: Option<&Content>, content: &Content) -> Option<String> {
    let read =
        |path: &String, digest: &str| old.and_then(|old| old.files.get(path)).is_some_and(|file| file.digest == digest);
    let files =
        content.files.iter().filter(|(path, file)| file.kind == ArtefactKind::Unit && !read(path, &file.digest));
    let files: Vec<PathBuf> = files.map(|(_, file)| scratch.path(&file.from)).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    match programs::verify_units(&files).await {
        Ok(()) => None,
        Err(error) => Some(format!("systemd does not understand the units: {error:#}")),
    }
}
