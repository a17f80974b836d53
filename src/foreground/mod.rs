//! `up`: the machines of a domain as child processes on loopback, in a state directory, without root and without systemd.
//!
//! Refuses: touching the machine that it runs on.

pub mod closures;
pub mod connect;
pub mod contexts;
pub mod identity;
mod look;
mod nudge;
pub mod overlay;
pub mod prepare;
mod prove;
pub mod servers;
pub mod services;
pub mod state;
pub mod summary;
pub mod supervise;
mod up;

pub use look::{look, look_at_running};
pub use prepare::{Prepared, Visit, prepare, visit};
pub use prove::{Proof, Run, prove, summarise};
pub use up::{Running, Talk, bring_up};

use crate::diag::{Report, Sources};
use crate::name::MachineName;
use std::path::{Path, PathBuf};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The domain's directory.
    pub root: PathBuf,
    /// None means all.
    pub machines: Vec<MachineName>,
    /// Default `<root>/.leafwright`.
    pub state: Option<PathBuf>,
}

impl Request {
    /// From the words of a command line.
    pub fn of(root: &Path, machines: &[String], state: Option<&Path>) -> Result<Self, Fault> {
        let name = |text: &String| MachineName::parse(text).map_err(|fault| Fault::Usage(fault.to_string()));
        let machines = machines.iter().map(name).collect::<Result<_, _>>()?;
        Ok(Self { root: root.to_owned(), machines, state: state.map(Path::to_owned) })
    }

    pub fn state_directory(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.root.join(".leafwright"))
    }
}

/// Why the domain is not up.
#[derive(Debug)]
pub enum Fault {
    /// Exit code 2.
    Usage(String),
    /// Exit code 1: the declarations are unsound.
    Unsound { report: Report, sources: Box<Sources> },
    /// Exit code 4: the world failed.
    World(anyhow::Error),
}

impl Fault {
    pub(crate) fn unsound(report: Report, sources: &Sources) -> Self {
        let mut copy = Sources::default();
        for id in sources.ids() {
            copy.add(sources.path(id), sources.text(id));
        }
        Self::Unsound { report, sources: Box::new(copy) }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::World(error.into())
    }
}
