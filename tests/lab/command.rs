//! Commands inside a machine, each in a cgroup of its own beside the machine's, so that killing it kills what it started.
//!
//! Refuses: to wait for ever, and pipes, which would fill up while nobody reads.

use super::{DEADLINE, in_cgroup, remove_cgroup};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

/// A command that runs in a machine. Dropped, it is killed.
pub struct Running {
    child: Child,
    what: String,
    cgroup: PathBuf,
    log: PathBuf,
}

/// Where a command runs and what it leaves: the machine's first process, a new cgroup, a new directory.
pub(super) struct Place {
    pub leader: u32,
    pub cgroup: PathBuf,
    pub log: PathBuf,
}

impl Running {
    /// In all namespaces of the machine, with the environment of a fresh root shell.
    pub(super) fn start<S: AsRef<OsStr>>(place: Place, args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Self {
        let Place { leader, cgroup, log } = place;
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        std::fs::create_dir_all(&cgroup).expect("a cgroup");
        std::fs::create_dir_all(&log).expect("a directory on a tmpfs");
        let file = |name: &str| File::create(log.join(name)).expect("a file on a tmpfs");
        file("stdin").write_all(stdin).expect("a tmpfs with room");
        let mut command: Command = in_cgroup(&cgroup);
        command.args(["nsenter", "-t", &leader.to_string(), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]);
        command.args(["env", "-i", PATH, "HOME=/root", "LANG=C.UTF-8", "container=systemd-nspawn"]).args(&args);
        command.stdin(File::open(log.join("stdin")).map(Stdio::from).expect("just written"));
        command.stdout(file("stdout")).stderr(file("stderr"));
        Self { child: command.spawn().expect("sh starts"), what: format!("{args:?}"), cgroup, log }
    }

    /// What it has said so far.
    pub fn stdout(&self) -> String {
        self.said("stdout")
    }

    pub fn stderr(&self) -> String {
        self.said("stderr")
    }

    fn said(&self, name: &str) -> String {
        let bytes = std::fs::read(self.log.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_none()
    }

    /// `kill -9` for it and for all that it started.
    pub fn kill(&mut self) {
        kill(&self.cgroup);
        let _reaped = self.child.wait();
    }

    /// Until it ends by itself; killed, and a failure, at the deadline.
    pub fn wait(mut self, deadline: Duration) -> Output {
        let end = Instant::now() + deadline;
        let mut pause = Duration::from_millis(1);
        while self.is_running() {
            if Instant::now() > end {
                self.kill();
                panic!("{}: not within {deadline:?}\n{}{}", self.what, self.stdout(), self.stderr());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        let status = self.child.wait().unwrap_or(ExitStatus::from_raw(-1));
        Output { status, stdout: self.stdout(), stderr: self.stderr() }
    }

    pub fn finish(self) -> Output {
        self.wait(DEADLINE)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
        remove_cgroup(&self.cgroup);
        let _gone = std::fs::remove_dir_all(&self.log);
    }
}

/// Kills everything in a cgroup. What is in it when this returns is dying.
pub(super) fn kill(cgroup: &Path) {
    let _gone = std::fs::write(cgroup.join("cgroup.kill"), "1");
}
