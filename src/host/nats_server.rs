//! The nats-server program: where it is, and whether it is new enough.
//!
//! Refuses: fetching one. The errors say how to get it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest version that everything here was measured on (NATS-FACTS: recreated sources, reload of remotes, API level 5).
pub const MINIMUM: Version = Version(2, 15, 1);

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
    let places = [root.join(".tools/bin")].into_iter().chain(std::env::split_paths(&path));
    places
        .map(|place| place.join("nats-server"))
        .find(|program| program.is_file())
        .with_context(|| format!("nats-server is not in .tools/bin and not on PATH\nhelp: {HOW_TO_GET_IT}"))
}

/// Asks the program: `nats-server: v2.15.1`.
pub fn version(program: &Path) -> Result<Version> {
    let output =
        Command::new(program).arg("--version").output().with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).with_context(|| format!("{} does not say its version: {:?}", program.display(), text.trim()))
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
}
