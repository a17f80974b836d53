//! A machine's own state on disk: the register, generations, the store, the lock, and the files that are placed from it.
//!
//! Refuses: knowing systemd, NATS or the clock; and a state directory that leads out of the root directory it is said to be in.

pub mod register;
pub mod transitions;
pub mod generations;
pub mod lock;
pub mod manifest;
pub mod store;
pub mod gc;
pub mod files;
pub mod history;
pub mod real;
pub mod boot_units;
pub mod own_program;

mod below;
mod versioned;
mod lines;
mod originals;
mod pool;
pub mod room;

use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the state lies on a machine.
pub const STATE: &str = "/var/lib/leafwright";

/// Called before each effect with its name; an error stops there, as a crash would. Tests crash with it, others give `go_on`.
pub type Hook<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

/// The hook of whoever does not want to stop.
pub fn go_on(_: &str) -> Result<()> {
    Ok(())
}

/// Where a machine's state and its files are: on this machine, or below a directory that is another one's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
    state: PathBuf,
    /// The state directory as the machine itself names it.
    named: PathBuf,
}

impl Home {
    /// `state` as the machine itself names it, below `root` if that is given.
    pub fn new(state: &Path, root: Option<&Path>) -> Result<Self> {
        let named = state.to_owned();
        let Some(root) = root else { return Ok(Self { root: PathBuf::from("/"), state: named.clone(), named }) };
        let root = root.canonicalize().with_context(|| format!("cannot use {} as a root directory", root.display()))?;
        let home = Self { state: root.join(state.strip_prefix("/").unwrap_or(state)), root, named };
        let there = home.state.ancestors().find_map(|path| path.canonicalize().ok());
        if there.is_none_or(|there| !there.starts_with(&home.root)) {
            bail!(
                "{} leads out of {}\nhelp: a link on the way to it is absolute; make it relative, or name another --state DIR",
                home.state.display(),
                home.root.display()
            );
        }
        Ok(home)
    }

    /// What the machine calls `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The same directory, as the machine names it whose root this is.
    pub fn state_there(&self) -> &Path {
        &self.named
    }

    pub fn register(&self) -> PathBuf {
        self.state.join("state.json")
    }

    pub fn generations(&self) -> PathBuf {
        self.state.join("generations")
    }

    pub fn store(&self) -> PathBuf {
        self.state.join("store")
    }

    /// The directory of a closure, `<digest>-<machine>`.
    pub fn entry(&self, closure: &str) -> PathBuf {
        self.store().join(closure)
    }

    pub fn originals(&self) -> PathBuf {
        self.state.join("originals")
    }

    /// Makes the state directory, if it is not there, and takes its lock.
    pub fn lock(&self, purpose: &str) -> Result<lock::Lock> {
        self.make()?;
        lock::try_take(&self.state, purpose)
    }

    /// Makes the state directory, if it is not there.
    pub fn make(&self) -> Result<()> {
        make_directory(&self.state, 0o755)
    }
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}
