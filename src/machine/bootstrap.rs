//! `bootstrap`: from a bare machine with systemd to one that is what is declared. Programs, keys made there, public halves
//! signed here, text, apply.
//!
//! Refuses: carrying a private key in either direction. Every step looks first and does nothing where it is done.

use crate::host::executable;
use crate::host::machine::own_program::PROGRAM as LEAFWRIGHT;
use crate::host::nats_server::{self, MINIMUM};
use crate::host::remote::{Place, Put, Voice, archive};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the domain's text lies on a machine.
pub const DOMAIN: &str = "/var/lib/leafwright/domain";
const NATS_SERVER: &str = "/usr/local/bin/nats-server";
const PARTS: [&str; 8] =
    ["domain.toml", "machines", "modules", "hardware", "people", "events", "contracts", "identity"];

/// What is brought to which machine.
pub struct Bootstrap<'a> {
    pub root: &'a Path,
    pub machine: &'a str,
    pub place: Place,
    /// The leafwright to install, where it is not this one.
    pub leafwright: Option<PathBuf>,
    /// The nats-server to install, and other files: from here to there.
    pub nats_server: PathBuf,
    pub programs: Vec<(PathBuf, String)>,
}

/// Signs the request of the machine and writes `identity/`; then compiles the machine here. Gives the name of its closure.
pub type Enrol<'a> = &'a mut dyn FnMut(&str) -> Result<String>;

/// All of it; each step is told with its number.
pub fn bootstrap(order: &Bootstrap<'_>, enrol: Enrol<'_>, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let Bootstrap { place, machine, .. } = order;
    tell(&format!("1 of 7  look at {place}"));
    let arch = look(place)?;
    tell("2 of 7  programs");
    programs(order, &arch, tell)?;
    tell("3 of 7  the domain's text");
    text(order)?;
    tell("4 of 7  keys, made there; their public halves, signed here");
    let request = place.must(&[LEAFWRIGHT, "keys", "make", machine, "--domain", DOMAIN], b"", Voice::Quiet)?;
    let here = enrol(&request)?;
    tell("5 of 7  the domain's text, with what was signed");
    text(order)?;
    compiles_the_same(order, &here)?;
    tell("6 of 7  apply");
    place.must(&[LEAFWRIGHT, "apply", machine, "--domain", DOMAIN, "--yes"], b"", Voice::Loud)?;
    tell("7 of 7  verify");
    verify(order, tell)
}

/// What the machine makes of the text is what is made of it here, by its digest: else it would be something that nobody has seen
/// (docs/decisions/0013-text-and-digest.md).
fn compiles_the_same(order: &Bootstrap<'_>, here: &str) -> Result<()> {
    let Bootstrap { place, machine, .. } = order;
    let there = place.must(&[LEAFWRIGHT, "build", machine, "--domain", DOMAIN], b"", Voice::Quiet)?;
    let there = there.trim();
    if there != here {
        let theirs = place.must(&[LEAFWRIGHT, "--version"], b"", Voice::Quiet)?;
        bail!(
            "{place} compiles {machine} to another closure than this machine\n  there {there}, by {}\n  here  {here}, by leafwright {}\nhelp: nothing was applied; bring the same version there: --leafwright FILE",
            theirs.trim(),
            env!("CARGO_PKG_VERSION")
        );
    }
    Ok(())
}

/// What `verify --json` says, as far as it is read here.
#[derive(Deserialize)]
struct Proof {
    passed: usize,
    checks: Vec<Finding>,
    missing: Vec<String>,
}

#[derive(Deserialize)]
struct Finding {
    check: String,
    subject: String,
    verdict: String,
    detail: String,
}

/// Tries what the machine promises. Others may not be there yet: a link that leads to nobody is told, and no failure.
fn verify(order: &Bootstrap<'_>, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let Bootstrap { place, machine, .. } = order;
    let said = place.run(&[LEAFWRIGHT, "verify", machine, "--domain", DOMAIN, "--json"], b"", Voice::Quiet)?;
    let proof: Proof = match serde_json::from_str(&said.stdout) {
        Ok(proof) => proof,
        Err(_) => bail!("{machine} is applied, and could not be verified: {}", said.stderr.trim()),
    };
    let failed = proof.checks.iter().filter(|finding| finding.verdict == "failed" && finding.check != "link");
    let failed: Vec<String> = failed.map(|finding| format!("  {}: {}", finding.subject, finding.detail)).collect();
    if !failed.is_empty() {
        bail!("{machine} is applied, and does not do what it promises:\n{}", failed.join("\n"));
    }
    match proof.missing.as_slice() {
        [] => tell(&format!("{machine} is what is declared: {} checks passed", proof.passed)),
        missing => {
            tell(&format!("{machine} is what is declared, as far as it goes alone: {} checks passed", proof.passed));
            missing.iter().for_each(|missing| tell(&format!("not proved yet: {missing}")));
        }
    }
    Ok(())
}

/// A machine that this works on: Linux with systemd, and us root on it. Returns its architecture.
fn look(place: &Place) -> Result<String> {
    let user = place.must(&["id", "-u"], b"", Voice::Quiet)?;
    ensure!(
        user.trim() == "0",
        "this needs root on {place}\nhelp: log in as root, or run `bootstrap --here` there with sudo"
    );
    let systemd = place.run(&["test", "-d", "/run/systemd/system"], b"", Voice::Quiet)?;
    ensure!(systemd.code == Some(0), "{place} does not run systemd");
    Ok(place.must(&["uname", "-m"], b"", Voice::Quiet)?.trim().to_owned())
}

/// A file to install there.
struct Program<'a> {
    from: &'a Path,
    to: &'a str,
    /// How to name another one.
    option: &'a str,
}

/// All of them are looked at before one is sent.
fn programs(order: &Bootstrap<'_>, arch: &str, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let own = std::env::current_exe().context("cannot tell which program this is")?;
    let own = order.leafwright.as_deref().unwrap_or(&own);
    let ours = [
        Program { from: own, to: LEAFWRIGHT, option: "--leafwright FILE" },
        Program { from: &order.nats_server, to: NATS_SERVER, option: "--nats-server FILE" },
    ];
    let others = order.programs.iter().map(|(from, to)| Program { from, to, option: "--program FILE=PATH" });
    let all = ours.into_iter().chain(others).map(|program| Ok((read(&program, &order.place, arch)?, program)));
    for (bytes, Program { from, to, .. }) in all.collect::<Result<Vec<_>>>()? {
        let parent = Path::new(to).parent().and_then(Path::to_str).unwrap_or("/");
        order.place.must(&["mkdir", "-p", parent], b"", Voice::Quiet)?;
        let works = |beside: &str| match to {
            LEAFWRIGHT => starts(&order.place, beside, from),
            NATS_SERVER => is_new_enough(&order.place, beside, from),
            _ => Ok(()),
        };
        match order.place.put(to, &bytes, "0755", &works)? {
            Put::Sent => tell(&format!("        {to}: {} MiB sent", bytes.len() >> 20)),
            Put::WasThere => tell(&format!("        {to} is there")),
        }
    }
    Ok(())
}

fn read(program: &Program<'_>, place: &Place, arch: &str) -> Result<Vec<u8>> {
    let Program { from, option, .. } = program;
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if let Some([usual, more @ ..]) = executable::machines(&bytes)
        && !std::iter::once(usual).chain(more).any(|name| *name == arch)
    {
        let from = from.display();
        bail!("{from} is for {usual}, and {place} is {arch}\nhelp: name one for {arch} with {option}");
    }
    Ok(bytes)
}

/// A program that was built for a newer C library ends at once, in the loader's words.
fn starts(place: &Place, beside: &str, from: &Path) -> Result<()> {
    let said = place.run(&[beside, "--version"], b"", Voice::Quiet)?;
    let why = said.stderr.lines().next().unwrap_or("it says nothing").replace(beside, "leafwright");
    ensure!(
        said.code == Some(0) && said.stdout.starts_with("leafwright "),
        "{} does not run on {place}: {why}\nhelp: build one that needs no library there (docs/apply.md, \"A bare machine\"), and name it with --leafwright FILE",
        from.display(),
    );
    Ok(())
}

fn is_new_enough(place: &Place, beside: &str, from: &Path) -> Result<()> {
    let from = from.display();
    let text = place.must(&[beside, "--version"], b"", Voice::Quiet)?;
    let version = nats_server::said(&text).with_context(|| from.to_string())?;
    ensure!(version >= MINIMUM, "{from} is nats-server {version}, and {MINIMUM} is the oldest that works");
    Ok(())
}

/// Beside, then in the place of what was there.
fn text(order: &Bootstrap<'_>) -> Result<()> {
    let bytes = archive(order.root, &PARTS)?;
    let script = format!(
        "set -e; umask 022; mkdir -p /var/lib/leafwright; rm -rf {DOMAIN}.new; mkdir {DOMAIN}.new; tar -C {DOMAIN}.new -xf -; rm -rf {DOMAIN}; mv {DOMAIN}.new {DOMAIN}"
    );
    order.place.must(&["sh", "-c", &script], &bytes, Voice::Quiet).context("the domain's text cannot be put there")?;
    Ok(())
}
