//! The nats-server program: where it is, and whether it is new enough.
//!
//! Refuses: fetching one. The errors say how to get it.

use super::process::{self, Spec, last_words};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The oldest version that everything here was measured on (NATS-FACTS: recreated sources, reload of remotes, API level 5).
pub const MINIMUM: Version = Version(2, 15, 1);

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::str::FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        parse(text).ok_or(())
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

const HOW_TO_GET_IT: &str = "./setup puts one into .tools/bin; or take it from https://github.com/nats-io/nats-server/releases \
     and name it with LEAFWRIGHT_NATS_SERVER=/path/to/nats-server";

/// `LEAFWRIGHT_NATS_SERVER`, then `.tools/bin` below `root`, then `PATH`; checked for its version.
pub fn find(root: &Path) -> Result<PathBuf> {
    let program = candidates(root)?;
    let version = version(&program)?;
    if version < MINIMUM {
        bail!(
            "{} is nats-server {version}, and {MINIMUM} is the oldest that works\nhelp: {HOW_TO_GET_IT}",
            program.display()
        );
    }
    Ok(program)
}

fn candidates(root: &Path) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("LEAFWRIGHT_NATS_SERVER") {
        let named = PathBuf::from(named);
        if !named.is_file() {
            bail!("LEAFWRIGHT_NATS_SERVER names {}, which is not a file\nhelp: {HOW_TO_GET_IT}", named.display());
        }
        return std::path::absolute(&named).context("LEAFWRIGHT_NATS_SERVER cannot be made absolute");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A child is started in a directory of its own.
    let root = std::path::absolute(root).context("the domain's directory cannot be made absolute")?;
    let places = [root.join(".tools/bin")].into_iter().chain(std::env::split_paths(&path));
    places
        .map(|place| place.join("nats-server"))
        .find(|program| program.is_file())
        .with_context(|| format!("nats-server is not in .tools/bin and not on PATH\nhelp: {HOW_TO_GET_IT}"))
}

/// Asks the program: `nats-server: v2.15.1`.
pub fn version(program: &Path) -> Result<Version> {
    let text = words(program, PATIENCE)?;
    said(&text).with_context(|| program.display().to_string())
}

/// The version in what a nats-server says to `--version`.
pub fn said(text: &str) -> Result<Version> {
    parse(text).with_context(|| format!("it does not say its version: {:?}", text.trim()))
}

/// What the program says to `--version` and ends. One that does neither in time is killed.
fn words(program: &Path, patience: Duration) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let pid = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    // The thread ends with the program: nobody waits for it.
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    let Ok(output) = told.recv_timeout(patience) else {
        // Its thread has not seen its end yet, so the number is still its own.
        let _gone = kill_process(pid, Signal::KILL);
        bail!(
            "{} --version did not end within {} s: that is no nats-server, or it cannot run here\nhelp: {HOW_TO_GET_IT}",
            program.display(),
            patience.as_secs_f32()
        );
    };
    let output = output.with_context(|| format!("cannot read what {} says", program.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How long a server without anything to recover may take until it is ready: it takes a fiftieth of a second.
const READY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// Starts a server with this configuration, until it is ready; then it is ended. What it died of instead is the error.
pub async fn boots(program: &Path, config: &Path, log: &Path) -> Result<()> {
    let args = vec!["-c".to_owned(), config.to_str().context("the path of a configuration is no text")?.to_owned()];
    let directory = config.parent().unwrap_or(Path::new("/")).to_owned();
    let environment = BTreeMap::new();
    let (name, program, log) = ("nats-server".to_owned(), program.to_owned(), log.to_owned());
    let mut server = process::start(Spec { name, program, args, environment, directory, log: log.clone() })?;
    let deadline = Instant::now() + READY;
    loop {
        // What it says before its end is there when its end is.
        let ended = server.ended()?;
        let said = last_words(&log, 200);
        if said.contains("Server is ready") {
            return server.stop(Duration::from_secs(1)).await;
        }
        match ended {
            Some(_) => bail!("{}", fatal(&said)),
            None if Instant::now() > deadline => bail!("it is not ready after {} s: {}", READY.as_secs(), fatal(&said)),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// What the server died of: its last `[FTL]` line, or what it says of its configuration before it has a log; else its last line.
pub fn fatal(log: &str) -> String {
    let line = log.lines().rev().find(|line| line.contains("[FTL]") || line.starts_with("nats-server:"));
    let line = line.or_else(|| log.lines().last()).unwrap_or("it said nothing");
    // Process id and time stand before it, and are in the log.
    line.find("[FTL]").map_or(line, |at| &line[at..]).to_owned()
}

fn parse(text: &str) -> Option<Version> {
    let number = text.trim().rsplit('v').next()?;
    let mut parts = number.split(['.', '-', '+']).map(|part| part.parse::<u32>());
    Some(Version(parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(parse("nats-server: v2.15.1\n"), Some(Version(2, 15, 1)));
        assert_eq!(parse("nats-server: v2.16.0-RC.1"), Some(Version(2, 16, 0)));
        assert!(parse("nats-server: v2.9.10").unwrap() < MINIMUM);
        assert_eq!(parse("hello"), None);
    }

    #[test]
    fn the_last_words_of_a_server() {
        assert_eq!(fatal("[1] 2026 [INF] hello\n[1] 2026 [FTL] no room\n[1] bye"), "[FTL] no room");
        assert_eq!(
            fatal("[1] [FTL] of last time\nnats-server: a.json:3:7: unknown field"),
            "nats-server: a.json:3:7: unknown field"
        );
        assert_eq!(fatal("Segmentation fault"), "Segmentation fault");
        assert_eq!(fatal(""), "it said nothing");
    }

    #[test]
    fn a_program_that_never_ends_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("nats-server");
        // Written by a process of its own: a fork of another test would hold the file open, and it could not be started.
        let write = "printf '#!/bin/sh\\nexec sleep 600\\n' >\"$0\" && chmod 700 \"$0\"";
        assert!(Command::new("sh").args(["-c", write]).arg(&program).status().unwrap().success());
        let said = words(&program, Duration::from_millis(200)).unwrap_err().to_string();
        assert!(said.contains("nats-server --version did not end within 0.2 s"), "{said}");
        assert!(said.contains("help: ./setup"), "{said}");
    }

    /// A child is started in its machine's directory, from where a relative path would lead elsewhere.
    #[test]
    fn a_program_is_found_by_its_whole_path() {
        let found = candidates(Path::new(".")).unwrap();
        assert!(found.is_absolute(), "{}", found.display());
    }
}
