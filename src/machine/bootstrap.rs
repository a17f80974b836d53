//! `bootstrap`: from a bare machine with systemd to one that is what is declared. Programs, keys made there, public halves
//! signed here, text, apply.
//!
//! Refuses: carrying a private key in either direction. Every step looks first and does nothing where it is done.

use crate::host::nats_server::{self, MINIMUM};
use crate::host::remote::{Place, Put, Voice, archive};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the domain's text lies on a machine.
pub const DOMAIN: &str = "/var/lib/leafwright/domain";
const LEAFWRIGHT: &str = "/usr/local/bin/leafwright";
const NATS_SERVER: &str = "/usr/local/bin/nats-server";
const PARTS: [&str; 8] =
    ["domain.toml", "machines", "modules", "hardware", "people", "events", "contracts", "identity"];

/// What is brought to which machine.
pub struct Bootstrap<'a> {
    pub root: &'a Path,
    pub machine: &'a str,
    pub place: Place,
    /// The nats-server to install, and other files: from here to there.
    pub nats_server: PathBuf,
    pub programs: Vec<(PathBuf, String)>,
}

/// Signs the request of the machine, and writes `identity/`; says whether anything changed.
pub type Enrol<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

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
    enrol(&request)?;
    tell("5 of 7  the domain's text, with what was signed");
    text(order)?;
    tell("6 of 7  apply");
    place.must(&[LEAFWRIGHT, "apply", machine, "--domain", DOMAIN, "--yes"], b"", Voice::Loud)?;
    tell("7 of 7  verify");
    verify(order, tell)
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

fn programs(order: &Bootstrap<'_>, arch: &str, tell: &mut dyn FnMut(&str)) -> Result<()> {
    ensure!(
        arch == std::env::consts::ARCH,
        "{} is {arch}, and this leafwright is for {}\nhelp: run the one for {arch} there, with `bootstrap --here`",
        order.place,
        std::env::consts::ARCH
    );
    let version = nats_server::version(&order.nats_server)?;
    if version < MINIMUM {
        bail!("{} is nats-server {version}, and {MINIMUM} is the oldest that works", order.nats_server.display());
    }
    let own = std::env::current_exe().context("cannot tell which program this is")?;
    let all = [(own, LEAFWRIGHT.to_owned()), (order.nats_server.clone(), NATS_SERVER.to_owned())];
    for (from, to) in all.iter().chain(&order.programs) {
        let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let parent = Path::new(to).parent().and_then(Path::to_str).unwrap_or("/");
        order.place.must(&["mkdir", "-p", parent], b"", Voice::Quiet)?;
        match order.place.put(to, &bytes, "0755")? {
            Put::Sent => tell(&format!("        {to}: {} MiB sent", bytes.len() >> 20)),
            Put::WasThere => tell(&format!("        {to} is there")),
        }
    }
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
