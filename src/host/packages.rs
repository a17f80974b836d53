//! Packages of the distribution: which are installed, whether others can be, and installing them. The distribution is judged by
//! /etc/os-release (os-release(5)); dpkg and apt are the only package manager that is known.
//!
//! Refuses: removing a package, fetching lists, and answering for a package manager that it does not know.

use super::process::last_words;
use super::programs::{self, Alone};
use crate::plan::machine::packages::SeenPackages;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// For a question to apt, which reads all of its lists.
const ASK: Duration = Duration::from_secs(60);
/// For an installation: downloads, and programs of the packages.
const INSTALL: Duration = Duration::from_secs(30 * 60);
/// How long apt waits for another apt to end, in seconds.
const LOCK: &str = "DPkg::Lock::Timeout=120";
/// How much of what apt said an error repeats.
const LINES: usize = 12;

/// What both a try and an installation say: nothing but what is asked for and what that needs, and nothing goes.
const APT: [&str; 4] = ["install", "--yes", "--no-install-recommends", "--no-remove"];
/// Nobody is asked: a file that is there already stays as it is.
const CONFFILES: [&str; 4] = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"];
/// Packages ask nobody, and no other program restarts services behind the plan's back (needrestart(1)).
const ENVIRONMENT: [(&str, &str); 2] = [("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_SUSPEND", "1")];

/// Whose words those are that say that dpkg was cut short.
const INTERRUPTED: &str = "dpkg was interrupted";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
}

fn manager(distribution: &[String]) -> Option<Manager> {
    distribution.iter().any(|id| id == "debian").then_some(Manager::Apt)
}

/// Which of `names` are installed on the machine whose root this is. Nothing is run for it.
pub fn look(root: &Path, names: &BTreeSet<String>) -> Result<SeenPackages> {
    let distribution = distribution(root)?;
    let installed = match manager(&distribution) {
        Some(Manager::Apt) => {
            let status = read(&root.join("var/lib/dpkg/status"))?.unwrap_or_default();
            Some(installed(&status).filter(|name| names.contains(*name)).map(str::to_owned).collect())
        }
        None => None,
    };
    Ok(SeenPackages { distribution, installed })
}

fn distribution(root: &Path) -> Result<Vec<String>> {
    let own = read(&root.join("etc/os-release"))?;
    let text = match own {
        Some(text) => text,
        None => read(&root.join("usr/lib/os-release"))?.unwrap_or_default(),
    };
    Ok(ids(&text))
}

/// `ID`, then each of `ID_LIKE`; `linux` where there is none, as os-release(5) has it.
fn ids(text: &str) -> Vec<String> {
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        found.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID").filter(|id| !id.is_empty()).unwrap_or_else(|| "linux".to_owned());
    let like = value("ID_LIKE").unwrap_or_default();
    std::iter::once(id).chain(like.split_whitespace().map(str::to_owned)).collect()
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Packages of dpkg's status that are configured; those whose triggers are not run yet are.
fn installed(status: &str) -> impl Iterator<Item = &str> {
    status.split("\n\n").filter(|stanza| is_installed(stanza)).filter_map(|stanza| field(stanza, "Package:"))
}

fn is_installed(stanza: &str) -> bool {
    let state = field(stanza, "Status:").and_then(|status| status.split_whitespace().nth(2));
    matches!(state, Some("installed" | "triggers-awaited" | "triggers-pending"))
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Why a package cannot be installed, with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// All that it is about.
    pub packages: Vec<String>,
    pub why: String,
}

/// Whether all of these could be installed now. Nothing is changed, and nothing is fetched.
pub async fn impossible(packages: &[String]) -> Result<Vec<Impossible>> {
    if packages.is_empty() {
        return Ok(vec![]);
    }
    let unknown = unknown(packages).await?;
    if !unknown.is_empty() {
        return Ok(unknown);
    }
    let args = APT.into_iter().chain(["--simulate"]).chain(packages.iter().map(String::as_str));
    let tried = programs::run("apt-get", args, ASK).await?;
    let why = |error: anyhow::Error| Impossible {
        packages: packages.to_vec(),
        why: format!(
            "{error:#}\n  help: see what stands in the way: apt-get install --simulate {}",
            packages.join(" ")
        ),
    };
    Ok(tried.ok().err().map(why).into_iter().collect())
}

/// Those that apt has no candidate for.
async fn unknown(packages: &[String]) -> Result<Vec<Impossible>> {
    let args = std::iter::once("policy").chain(packages.iter().map(String::as_str));
    let said = programs::run("apt-cache", args, ASK).await?.ok()?;
    let candidates = candidates(&said);
    let way_out = if has_lists(Path::new("/var/lib/apt/lists"))? {
        "is it called otherwise here? `apt-cache search` knows; what apt knows may be old: `apt-get update`"
    } else {
        "apt has no lists of packages: let it fetch them, `apt-get update`"
    };
    let unknown = packages.iter().filter(|package| !candidates.contains_key(package.as_str()));
    let fault = |package: &String| Impossible {
        packages: vec![package.clone()],
        why: format!("apt knows no package `{package}`\n  help: {way_out}"),
    };
    Ok(unknown.map(fault).collect())
}

/// What `apt-cache policy` says: the version that would be installed, by name. apt also answers for names that are like a pattern.
fn candidates(policy: &str) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    let mut name = "";
    for line in policy.lines() {
        if !line.starts_with(' ') {
            name = line.trim_end_matches(':');
        } else if let Some(candidate) = line.trim().strip_prefix("Candidate:").map(str::trim)
            && candidate != "(none)"
        {
            found.insert(name, candidate);
        }
    }
    found
}

/// Has apt ever fetched anything?
fn has_lists(directory: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", directory.display())),
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.map(|entry| entry.file_name());
    let names = entries.map(name).collect::<std::io::Result<Vec<_>>>()?;
    Ok(names.iter().any(|name| name.to_string_lossy().contains("_Packages")))
}

/// Installs packages, by a process that goes on when this one dies: dpkg must not be cut short. What it says is in `log`.
pub async fn install(packages: &[String], log: &Path) -> Result<()> {
    let args = APT.into_iter().chain(["--quiet", "-o", LOCK, "-o", "Dpkg::Use-Pty=0"]).chain(CONFFILES);
    let args: Vec<&str> = args.chain(packages.iter().map(String::as_str)).collect();
    let first = alone("apt-get", &args, log).await;
    let Err(error) = first else { return Ok(()) };
    if !last_words(log, LINES).contains(INTERRUPTED) {
        return Err(error);
    }
    // What an installation that was cut short left half done is finished first.
    alone("dpkg", &["--force-confdef", "--force-confold", "--configure", "-a"], log).await?;
    alone("apt-get", &args, log).await
}

async fn alone(program: &str, args: &[&str], log: &Path) -> Result<()> {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
    let alone = Alone { program: OsStr::new(program), args: &args, environment: &ENVIRONMENT, log };
    let code = programs::run_alone(&alone, INSTALL).await?;
    if code == Some(0) {
        return Ok(());
    }
    let how = code.map_or("was killed".to_owned(), |code| format!("failed with {code}"));
    bail!("{program} {how}: {}\nhelp: all that it said is in {}", last_words(log, LINES), log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_what_os_release_says() {
        assert_eq!(ids("PRETTY_NAME=\"Debian\"\nID=debian\n"), ["debian"]);
        assert_eq!(ids("ID_LIKE=\"ubuntu debian\"\nID='linuxmint'\n"), ["linuxmint", "ubuntu", "debian"]);
        assert_eq!(ids(""), ["linux"]);
        let known = |text| manager(&ids(text));
        assert_eq!(known("ID=ubuntu\nID_LIKE=debian"), Some(Manager::Apt));
        assert_eq!(known("ID=fedora"), None);
    }

    #[test]
    fn what_dpkg_has_configured_is_installed() {
        let status = "Package: chrony\nStatus: install ok installed\nDescription: time\n Package: no\n\n\
            Package: gone\nStatus: deinstall ok config-files\n\nPackage: half\nStatus: install ok half-configured\n\n\
            Package: man-db\nStatus: hold ok triggers-pending\n";
        assert_eq!(installed(status).collect::<Vec<_>>(), ["chrony", "man-db"]);
        let directory = tempfile::tempdir().unwrap();
        let names = ["chrony", "half", "else"].map(str::to_owned).into();
        // A root with nothing in it: nobody knows.
        assert_eq!(look(directory.path(), &names).unwrap().installed, None);
        for (path, text) in [("usr/lib/os-release", "ID=debian\n"), ("var/lib/dpkg/status", status)] {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let seen = look(directory.path(), &names).unwrap();
        assert_eq!(seen.distribution, ["debian"]);
        assert_eq!(seen.installed, Some(["chrony".to_owned()].into()));
    }

    #[test]
    fn only_a_name_with_a_candidate_can_be_installed() {
        let said = "bash-doc:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n\
            chrony:\n  Installed: (none)\n  Candidate: 4.6.1-3\n  Version table:\n     4.6.1-3 500\n        500 file:/srv ./ Packages\n";
        assert_eq!(candidates(said), [("chrony", "4.6.1-3")].into());
    }
}
