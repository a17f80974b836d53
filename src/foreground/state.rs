//! The state directory of `up`: one lock, recorded ports, keys, closures, JetStream stores, logs.
//!
//! Refuses: being used by two at once, and formats that it does not know.

pub use crate::host::disk::write;
use crate::host::machine::lock::{self, Busy, Lock};
use crate::name::{FileFormat, Unread};
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The ports of this state, by name.
const PORTS: &str = "ports.json";

/// The directory, held by this process until it is dropped.
#[derive(Debug)]
pub struct State {
    root: PathBuf,
    /// Absent for a visitor.
    _lock: Option<Lock>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    domain: String,
}

impl State {
    /// Opens or makes the directory (mode 0700) for `domain` and takes its lock.
    pub fn open(root: &Path, domain: &str) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("cannot make the state directory {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("cannot resolve {}", root.display()))?;
        refuse_others(&root)?;
        let lock = lock(&root)?;
        let state = Self { root, _lock: Some(lock) };
        if !state.check_header(domain)? {
            let header = Header { format: FileFormat::Foreground.version(), domain: domain.to_owned() };
            // It has keys in it, and lies in a tree that somebody commits.
            write(&state.root.join(".gitignore"), b"*\n", 0o600)?;
            write(&state.header(), serde_json::to_string_pretty(&header)?.as_bytes(), 0o600)?;
        }
        Ok(state)
    }

    /// The directory of an `up` that runs now, for whoever looks at it from outside; `None` where none runs.
    /// A visitor changes nothing: the lock stays with its holder.
    pub fn visit(root: &Path, domain: &str) -> Result<Option<Self>> {
        let Ok(root) = root.canonicalize() else { return Ok(None) };
        if lock::holder(&root)?.is_none() {
            return Ok(None);
        }
        let state = Self { root, _lock: None };
        state.check_header(domain)?;
        Ok(Some(state))
    }

    fn header(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Is it this domain's? `false`: nobody's yet.
    fn check_header(&self, domain: &str) -> Result<bool> {
        let path = self.header();
        let bytes = match fs::read(&path) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(false),
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let header: Header = FileFormat::Foreground.parse(&bytes).map_err(|unread| match unread {
            Unread::Newer { .. } => anyhow!("{} was {unread}", self.root.display()),
            Unread::Never | Unread::Damaged(_) => anyhow!(
                "{} is damaged: {unread}\nhelp: if {} is the state of {domain}, `rm {}` and start again: it is made anew and all else stays",
                path.display(),
                self.root.display(),
                path.display()
            ),
        })?;
        if header.domain != domain {
            bail!(
                "{} belongs to the domain {}, not {domain}\nhelp: name another one with --state DIR",
                self.root.display(),
                header.domain
            );
        }
        Ok(true)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }

    /// Where one machine's things lie.
    pub fn machine(&self, machine: &str) -> PathBuf {
        self.root.join("machines").join(machine)
    }

    pub fn log(&self, machine: &str, process: &str) -> PathBuf {
        self.machine(machine).join("log").join(format!("{process}.log"))
    }

    /// Makes the directories of a machine.
    pub fn prepare(&self, machine: &str) -> Result<()> {
        for below in ["log", "jetstream", "credentials"] {
            let path = self.machine(machine).join(below);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }

    /// The digest of the closure that is current on `machine`, if there is one and it is in the store.
    pub fn current(&self, machine: &str) -> Option<String> {
        let current = self.machine(machine).join("current");
        if !current.is_dir() {
            return None;
        }
        let link = fs::read_link(current).ok()?;
        let name = link.file_name()?.to_str()?.to_owned();
        name.split_once('-').map(|(digest, _)| digest.to_owned())
    }

    /// The recorded ports, made for those of `wanted` that have none or whose port somebody else holds.
    /// A record that is damaged is none: other ports serve as well, and all that holds them is compiled anew.
    pub fn ports(&self, wanted: &[String]) -> Result<BTreeMap<String, u16>> {
        let recorded = self.recorded_ports();
        let ports = assign(&recorded, wanted)?;
        if ports != recorded {
            write(&self.root.join(PORTS), serde_json::to_string_pretty(&ports)?.as_bytes(), 0o600)?;
        }
        Ok(ports)
    }

    /// By name, as they were given out last; none where the record is damaged.
    pub fn recorded_ports(&self) -> BTreeMap<String, u16> {
        let text = fs::read_to_string(self.root.join(PORTS)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Keeps recorded ports that are free, and holds every listener until all are chosen, so that none is given twice.
fn assign(recorded: &BTreeMap<String, u16>, wanted: &[String]) -> Result<BTreeMap<String, u16>> {
    let mut ports = recorded.clone();
    let mut held = Vec::new();
    let mut missing = Vec::new();
    for name in wanted {
        match ports.get(name).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port))) {
            Some(Ok(listener)) => held.push(listener),
            Some(Err(_)) | None => missing.push(name),
        }
    }
    for name in missing {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            if !ports.values().any(|taken| *taken == port) {
                ports.insert(name.clone(), port);
                break;
            }
        }
    }
    Ok(ports)
}

/// The lock of the machine's state serves here too; what is said is about `up`.
/// Keys and data do not go between the files of somebody else.
fn refuse_others(root: &Path) -> Result<()> {
    let listed = fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))?;
    let ours = ["state.json", "keys", "lock"].iter().any(|name| root.join(name).exists());
    if !ours && listed.count() > 0 {
        bail!(
            "{} is not empty, and not the state of a `leafwright up`\nhelp: name a new directory with --state DIR",
            root.display()
        );
    }
    Ok(())
}

fn lock(root: &Path) -> Result<Lock> {
    lock::try_take(root, "up").map_err(|fault| match fault.downcast_ref::<Busy>() {
        Some(busy) => anyhow!(
            "{} is in use by another `leafwright up` ({})\nhelp: stop that one, or name another directory with --state DIR",
            root.display(),
            busy.holder.process_text()
        ),
        None => fault,
    })
}

/// An address on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_while_they_are_free_and_never_given_twice() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path(), "meadow").unwrap();
        let wanted: Vec<String> = (0..20).map(|n| format!("m{n}.listen")).collect();
        let first = state.ports(&wanted).unwrap();
        let distinct: std::collections::BTreeSet<u16> = first.values().copied().collect();
        assert_eq!(distinct.len(), 20);
        assert_eq!(state.ports(&wanted).unwrap(), first);

        let _taken = TcpListener::bind(loopback(first["m3.listen"])).unwrap();
        let second = state.ports(&wanted).unwrap();
        assert_ne!(second["m3.listen"], first["m3.listen"]);
        assert_eq!(second["m4.listen"], first["m4.listen"]);
    }

    #[test]
    fn a_damaged_record_of_ports_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path(), "meadow").unwrap();
        let wanted = vec!["oak.listen".to_owned(), "oak.monitor".to_owned()];
        let first = state.ports(&wanted).unwrap();
        let record = directory.path().join("ports.json");
        let text = fs::read(&record).unwrap();
        fs::write(&record, &text[..text.len() / 2]).unwrap();
        let second = state.ports(&wanted).unwrap();
        assert!(second.keys().eq(first.keys()), "{second:?}");
        assert_eq!(serde_json::from_slice::<BTreeMap<String, u16>>(&fs::read(&record).unwrap()).unwrap(), second);
    }

    #[test]
    fn a_damaged_header_is_named_with_a_way_out() {
        let directory = tempfile::tempdir().unwrap();
        drop(State::open(directory.path(), "meadow").unwrap());
        let header = directory.path().join("state.json");
        for garbage in [&b"garbage"[..], &[0xff, 0xfe], b""] {
            fs::write(&header, garbage).unwrap();
            let said = State::open(directory.path(), "meadow").unwrap_err().to_string();
            let header = header.canonicalize().unwrap();
            assert!(said.contains(&format!("{} is damaged", header.display())), "{said}");
            assert!(said.contains(&format!("`rm {}`", header.display())), "{said}");
            assert_eq!(fs::read(&header).unwrap(), garbage, "nothing is written over it");
        }
        fs::remove_file(&header).unwrap();
        State::open(directory.path(), "meadow").unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = directory.path().join("holiday.jpg");
        fs::write(&theirs, "a beach").unwrap();
        let said = State::open(directory.path(), "meadow").unwrap_err().to_string();
        assert!(said.contains("is not empty") && said.contains("--state DIR"), "{said}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::remove_file(theirs).unwrap();
        State::open(directory.path(), "meadow").unwrap();
    }

    #[test]
    fn a_closure_that_is_not_in_the_store_is_not_current() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path(), "meadow").unwrap();
        state.prepare("oak").unwrap();
        let closure = state.store().join("abc-oak");
        fs::create_dir_all(&closure).unwrap();
        std::os::unix::fs::symlink(&closure, state.machine("oak").join("current")).unwrap();
        assert_eq!(state.current("oak").as_deref(), Some("abc"));
        fs::remove_dir_all(state.store()).unwrap();
        assert_eq!(state.current("oak"), None);
    }

    #[test]
    fn two_cannot_hold_one_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = State::open(directory.path(), "meadow").unwrap();
        let fault = State::open(directory.path(), "meadow").unwrap_err().to_string();
        assert!(fault.contains(&std::process::id().to_string()), "{fault}");
        drop(first);
        assert!(State::open(directory.path(), "meadow").is_ok());
        assert!(
            State::open(directory.path(), "forest").unwrap_err().to_string().contains("belongs to the domain meadow")
        );
    }
}
