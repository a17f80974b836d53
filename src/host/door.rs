//! The door to one machine: what an activation does to it, one call an effect. A real one and one in memory stand behind it.
//!
//! Refuses: deciding. Each call does what its arguments say, whole, or fails.

use crate::host::machine::register::Mode;
use crate::plan::machine::gates::{Gate, Seen};
use crate::plan::machine::secrets::SecretFile;
use crate::plan::machine::{Act, Observation};
use anyhow::Result;
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

/// What is begun and not yet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The generation that a failure leads back to: an absolute number, `None` on a fresh machine.
    pub from: Option<u64>,
    pub to: u64,
    pub mode: Mode,
    /// How long it may take before the watchdog goes back.
    pub within: Duration,
}

/// A job of the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Stop,
    Start,
    Reload,
    Restart,
}

/// Which program of systemd's reads our file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts {
    Users,
    Directories,
}

pub trait Door: Send {
    /// Durable before it returns, as are the next four.
    fn begin(&mut self, attempt: &Attempt) -> impl Future<Output = Result<()>> + Send;
    /// The attempt is what the machine is from now on.
    fn commit(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// The attempt is given up; the machine goes back.
    fn begin_return(&mut self, reason: &str) -> impl Future<Output = Result<()>> + Send;
    /// The machine is back.
    fn end_return(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// Nothing is left to remove of the generation that was left.
    fn tidied(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Starts the watchdog: it goes back when we die, or when the time is over.
    fn watch(&mut self, within: Duration) -> impl Future<Output = Result<()>> + Send;
    fn unwatch(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Packages of the distribution, all of them; or, if it fails, any of them. They stay whatever becomes of the rest.
    fn install(&mut self, packages: &[String]) -> impl Future<Output = Result<()>> + Send;
    fn observe(
        &mut self,
        paths: &BTreeSet<String>,
        units: &BTreeSet<String>,
    ) -> impl Future<Output = Result<Observation>> + Send;
    /// Acts on files: those of the closure of `generation`, links, removals. All of them, synced; or, if it fails, any of
    /// them: doing them again is harmless.
    fn files(&mut self, generation: u64, acts: &[&Act]) -> impl Future<Output = Result<()>> + Send;
    /// Removes what a crash left half written beside these paths.
    fn sweep(&mut self, _paths: &BTreeSet<String>) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
    fn accounts(&mut self, which: Accounts) -> impl Future<Output = Result<()>> + Send;
    /// Makes the secret files of a generation of the machine's own keys.
    fn credentials(&mut self, generation: u64) -> impl Future<Output = Result<()>> + Send;
    /// Those of a generation that are not there as they must be. Nothing is changed.
    fn stale(&mut self, generation: u64) -> impl Future<Output = Result<Vec<SecretFile>>> + Send;
    /// One that is not there is gone already.
    fn remove_credential(&mut self, path: &str) -> impl Future<Output = Result<()>> + Send;
    /// The Leafwright that a generation was made by is the machine's own again.
    fn own_program(&mut self, _generation: u64) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
    /// Units that have failed, ours and others'; none where nobody can say.
    fn failed(&mut self) -> impl Future<Output = BTreeSet<String>> + Send;
    /// Units that are ours no more: that they had failed is of no interest, and one that is the distribution's by now runs again if
    /// something of that name `ran`.
    fn let_go(&mut self, _units: &[String], _ran: &BTreeSet<String>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
    fn daemon_reload(&mut self) -> impl Future<Output = Result<()>> + Send;
    fn job(&mut self, job: Job, unit: &str) -> impl Future<Output = Result<()>> + Send;

    /// One look at a gate.
    fn probe(&mut self, gate: &Gate) -> impl Future<Output = Seen> + Send;

    /// The same while the old generation still runs: through its server, wherever that listens.
    fn probe_before(&mut self, gate: &Gate) -> impl Future<Output = Seen> + Send {
        self.probe(gate)
    }

    /// Ends when the person who asked for this wants it to stop. Listens from the call on; never ends where nobody is there.
    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }

    /// Time since some moment, and waiting.
    fn clock(&mut self) -> Duration;
    fn pause(&mut self, time: Duration) -> impl Future<Output = ()> + Send;
}
