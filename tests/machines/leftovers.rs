//! The harness ends: whatever way it ends, nothing of it stays but empty cgroups, and the next run removes those.
//!
//! Refuses: believing the harness. It starts the whole test binary again and looks at the host from outside.

use crate::lab::{DEADLINE, HIDDEN, Lab, cgroup2, until};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A machine that runs and writes, for the hidden scenarios to end with.
fn busy(lab: &Lab) {
    let [ash] = lab.running([("ash", "10.77.0.11")]);
    ash.must(["systemd-run", "--unit=busy", "sh", "-c", "while :; do date >/var/lib/busy; sleep 0.01; done"]);
    until("it is busy", DEADLINE, || ash.read("/var/lib/busy").is_some());
}

pub fn passes() {
    busy(&Lab::new());
}

pub fn fails() {
    let lab = Lab::new();
    busy(&lab);
    panic!("as it should");
}

pub fn waits() {
    let lab = Lab::new();
    busy(&lab);
    loop {
        std::thread::park();
    }
}

/// The test binary, run once more for one hidden scenario.
struct Victim {
    process: Child,
    output: tempfile::NamedTempFile,
    namespaces: BTreeSet<PathBuf>,
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Victim {
    /// Started, and seen at work: what was never there is not left either.
    fn start(scenario: &str) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("leftovers::{scenario}")]).env(HIDDEN, "1");
        command.stdin(Stdio::null()).stdout(output.reopen().unwrap()).stderr(output.reopen().unwrap());
        let mut victim = Self { process: command.spawn().unwrap(), output, namespaces: BTreeSet::new() };
        until("the victim's machine boots", DEADLINE, || {
            assert!(victim.process.try_wait().unwrap().is_none() || scenario != "waits", "{}", victim.output());
            victim.look();
            victim.namespaces.len() >= 6
        });
        victim
    }

    /// All of its cgroups: each scenario has one, named by the process that made it.
    fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("leafwright-{}-", self.process.id());
        let entries = std::fs::read_dir(cgroup2().unwrap()).unwrap().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(&name)).map(|e| e.path()).collect()
    }

    /// Everything below the cgroups, from the process table and not from the cgroups themselves.
    fn processes(&self) -> Vec<PathBuf> {
        let name = format!("/leafwright-{}-", self.process.id());
        let is_ours = |p: &PathBuf| std::fs::read_to_string(p.join("cgroup")).is_ok_and(|c| c.contains(&name));
        processes().filter(is_ours).collect()
    }

    /// Remembers the mount, network and pid namespaces that its processes live in, which hold all its mounts and interfaces.
    fn look(&mut self) {
        let own = namespaces(Path::new("/proc/self"));
        let seen = self.processes().into_iter().flat_map(|process| namespaces(&process)).filter(|n| !own.contains(n));
        self.namespaces.extend(seen.collect::<Vec<_>>());
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the victim ends", DEADLINE, || {
            ended = self.process.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    fn leaves_nothing(&self) {
        until("its processes are gone", DEADLINE, || self.processes().is_empty());
        // Numbers of namespaces are used again: those that are another scenario's now, or somebody's for a moment, are not left.
        let foreign = |p: &PathBuf| std::fs::read_to_string(p.join("cgroup")).is_ok_and(|c| c.contains("/leafwright-"));
        until("its namespaces are gone", DEADLINE, || {
            let mut alive = processes().filter(|p| !foreign(p)).flat_map(|process| namespaces(&process));
            !alive.any(|namespace| self.namespaces.contains(&namespace))
        });
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let left: Vec<&str> = mounts.lines().filter(|l| l.contains("/run/lab") || l.contains("target/lab")).collect();
        assert!(left.is_empty(), "mounts are left: {left:?}");
        assert!(!Path::new("/run/netns/ash").exists() && !Path::new("/sys/class/net/vb-ash").exists());
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let is_pid = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok());
    std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(is_pid)
}

/// `mnt:[4026532201]` and the like; none of a process that is going.
fn namespaces(process: &Path) -> Vec<PathBuf> {
    ["mnt", "net", "pid"].iter().filter_map(|kind| std::fs::read_link(process.join("ns").join(kind)).ok()).collect()
}

pub fn nothing_is_left_after_success() {
    let mut victim = Victim::start("passes");
    assert!(victim.end().success(), "{}", victim.output());
    assert!(victim.output().contains("test result: ok. 1 passed"), "{}", victim.output());
    victim.leaves_nothing();
    assert_eq!(victim.cgroups(), Vec::<PathBuf>::new());
}

pub fn nothing_is_left_after_failure() {
    let mut victim = Victim::start("fails");
    assert_eq!(victim.end().code(), Some(101), "{}", victim.output());
    for said in ["as it should", "--- journal of ash", "Started busy.service", "--- console of ash", "1 failed"] {
        assert!(victim.output().contains(said), "it does not say {said:?}:\n{}", victim.output());
    }
    victim.leaves_nothing();
    assert_eq!(victim.cgroups(), Vec::<PathBuf>::new());
}

pub fn nothing_is_left_after_a_signal() {
    for signal in ["TERM", "KILL"] {
        let mut victim = Victim::start("waits");
        let pid = victim.process.id().to_string();
        assert!(Command::new("bash").args(["-c", "kill -s $0 $1", signal, &pid]).status().unwrap().success());
        assert!(!victim.end().success());
        victim.leaves_nothing();
        // Whoever came next has removed its empty cgroups, and that may have been another test of this binary; so here is one surely.
        let left = |owner: u32| cgroup2().unwrap().join(format!("leafwright-{owner}-left"));
        let (dead, alive) = (left(victim.process.id()), left(std::process::id()));
        for cgroup in [&dead, &alive] {
            std::fs::create_dir_all(cgroup.join("ash/payload")).unwrap();
        }
        assert!(Victim::start("passes").end().success());
        assert_eq!(victim.cgroups(), Vec::<PathBuf>::new(), "SIG{signal}");
        assert!(alive.join("ash/payload").exists(), "the cgroup of a living process was removed");
        for cgroup in ["ash/payload", "ash", ""] {
            std::fs::remove_dir(alive.join(cgroup)).unwrap();
        }
    }
}

/// A skip is said aloud, and where it must not be it is a failure.
pub fn a_skip_is_seen() {
    let without_tools = |ci: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "leftovers::passes"]).env(HIDDEN, "1").env("PATH", "/nowhere").env("CI", ci);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let why = "systemd-nspawn is missing: .ci/setup installs it";
    let (passed, said) = without_tools("");
    assert!(passed && said.contains(&format!("SKIPPED: machines: {why}\n")), "{said}");
    let (passed, said) = without_tools("true");
    assert!(!passed && said.contains(&format!("skipped: {why}")), "{said}");
}
