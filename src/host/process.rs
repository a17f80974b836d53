//! Child processes: started with a bare environment, logged to a file, gone when we are gone.
//!
//! Refuses: shells, inherited environments, and deciding when to start or stop anything.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// What to run, and where its words go.
#[derive(Clone, Debug)]
pub struct Spec {
    /// How people call it: `oak/nats-server`.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    /// The whole environment, but for `PATH`.
    pub environment: BTreeMap<String, String>,
    pub directory: PathBuf,
    /// Standard output and error are appended here.
    pub log: PathBuf,
}

/// A running child. Dropping it kills the process.
#[derive(Debug)]
pub struct Running {
    pub spec: Spec,
    pub pid: u32,
    child: Child,
}

/// Nothing of this process, which may hold private keys, gets into a core file or to a debugger of its own user; nor does what it starts
/// leave a core file.
pub fn leave_no_core() -> Result<()> {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none).context("cannot forbid core files")?;
    let behavior = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(behavior).context("cannot forbid core files")
}

pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts the process in a process group of its own: a Ctrl-C at the terminal reaches us alone, and we stop it in order.
pub fn start(spec: Spec) -> Result<Running> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log)
        .with_context(|| format!("cannot open the log {}", spec.log.display()))?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .env_clear()
        .env("PATH", PATH)
        .envs(&spec.environment)
        .current_dir(&spec.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .process_group(0)
        .kill_on_drop(true);
    die_with_parent(&mut command);
    let child = command.spawn().with_context(|| format!("cannot start {} ({})", spec.name, spec.program.display()))?;
    let pid = child.id().with_context(|| format!("{} ended at once", spec.name))?;
    Ok(Running { spec, pid, child })
}

/// The kernel kills the child when the thread that started it ends, so that a kill -9 of Leafwright leaves nothing behind
/// (prctl(2), PR_SET_PDEATHSIG). A child whose parent was gone before it asked for that is somebody else's by then, and ends.
#[expect(
    unsafe_code,
    reason = "pre_exec runs between fork and exec; the closure makes two system calls and allocates nothing"
)]
pub(super) fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let kill = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        match rustix::process::getppid() {
            Some(own) if own == parent => Ok(()),
            _ => Err(rustix::io::Errno::SRCH.into()),
        }
    };
    unsafe {
        command.pre_exec(kill);
    }
}

impl Running {
    /// Has it ended by itself? Never waits.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask after {}", self.spec.name))
    }

    /// Asks it to stop with SIGTERM and waits; kills it after `patience`.
    pub async fn stop(mut self, patience: Duration) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
            let pid = pid.with_context(|| format!("{} has no process id", self.spec.name))?;
            // It may end between the question and the signal; then there is nothing left to stop.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
                self.child.kill().await.with_context(|| format!("cannot stop {}", self.spec.name))?;
            }
        }
        Ok(())
    }
}

/// The last lines of a log, for an error that should not send the reader looking.
pub fn last_words(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
