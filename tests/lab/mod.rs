//! Real systemd machines for the tests: `README.md` beside this file says how to write a scenario.
//!
//! A scenario is a process of its own in namespaces of its own, in which the machines live (systemd-nspawn, overlay over one root
//! file system, a bridge between them). Refuses: fixed sleeps, traffic that leaves those namespaces, and whatever would outlive it.

mod outer;
mod machine;
mod command;
mod network;
mod disk;
mod virtual_machine;

pub use command::{Output, Running};
pub use disk::{Disk, Log};
pub use machine::Machine;
pub use outer::{HIDDEN, Run, Scenario, cgroup2, main};
pub use virtual_machine::Virtual;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine, from a command to a boot.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// The variables by which the outer process and `enter.sh` tell a scenario where it is.
const SCENARIO: &str = "LEAFWRIGHT_LAB_SCENARIO";
const ROOTFS: &str = "LEAFWRIGHT_LAB_ROOTFS";
const HYPERVISOR: &str = "LEAFWRIGHT_LAB_HYPERVISOR";
const CGROUP: &str = "LEAFWRIGHT_LAB_CGROUP";

/// Where the machines' disks and consoles are; a tmpfs that is seen in the scenario's namespaces alone.
const STATE: &str = "/run/lab";
const TOOLS: &str = "/run/lab/tools";

/// The scenario's world: a bridge, 10.77.0.1 on it, and machines.
pub struct Lab {
    rootfs: PathBuf,
    cgroup: PathBuf,
    machines: RefCell<Vec<Machine>>,
}

impl Lab {
    /// Only inside a scenario, and once in it.
    pub fn new() -> Self {
        let path = |name| PathBuf::from(std::env::var_os(name).expect("a lab is made inside a scenario"));
        network::bridge();
        tools();
        Self { rootfs: path(ROOTFS), cgroup: path(CGROUP), machines: RefCell::default() }
    }

    /// A machine that is switched off: a disk, an address in 10.77.0.0/24, nothing of Leafwright.
    pub fn machine(&self, name: &str, address: &str) -> Machine {
        let machine = Machine::new(name, address, &self.rootfs, &self.cgroup);
        self.machines.borrow_mut().push(machine.clone());
        machine
    }

    /// Machines that run, booted side by side.
    pub fn running<const N: usize>(&self, machines: [(&str, &str); N]) -> [Machine; N] {
        let machines = machines.map(|(name, address)| self.machine(name, address));
        machines.iter().for_each(Machine::boot);
        machines.iter().for_each(|machine| machine.wait_running(DEADLINE));
        machines
    }

    /// The machine's link goes down, as if the cable were pulled.
    pub fn cut(&self, machine: &Machine) {
        network::link(machine.name(), "down");
    }

    pub fn heal(&self, machine: &Machine) {
        network::link(machine.name(), "up");
    }

    /// Nothing passes between these machines and the others, in either direction; links stay up. 10.77.0.1 is on both sides.
    pub fn partition(&self, side: &[&Machine]) {
        network::partition(&side.iter().map(|machine| machine.name()).collect::<Vec<_>>());
    }

    pub fn unpartition(&self) {
        network::unpartition();
    }
}

impl Drop for Lab {
    /// A scenario that failed says what its machines have to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.machines.borrow().iter().for_each(Machine::report);
        }
    }
}

/// Polls until it holds.
pub fn until(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    let (end, mut pause) = (Instant::now() + deadline, Duration::from_millis(2));
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        std::thread::sleep(pause);
        // Whoever asks often takes the time of what is waited for.
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// A program of this host, which must succeed.
fn host<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    let output = Command::new(&args[0]).args(&args[1..]).output().expect("the program starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs the rest of its arguments as a member of the cgroup that is the first.
const IN_CGROUP: &str = r#"echo $$ >"$0/cgroup.procs" && exec "$@""#;

fn in_cgroup(cgroup: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", IN_CGROUP]).arg(cgroup);
    command
}

/// Is anybody in the cgroup, or in one below it?
fn populated(cgroup: &Path) -> bool {
    std::fs::read_to_string(cgroup.join("cgroup.events")).is_ok_and(|events| events.contains("populated 1"))
}

/// Removes an empty cgroup and all below it; one that is not empty stays.
fn remove_cgroup(cgroup: &Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _stays = std::fs::remove_dir(cgroup);
}

/// The programs that `Machine::install_tools` makes known to a machine, mounted and not copied: they are large.
fn tools() {
    let programs = [
        ("leafwright", PathBuf::from(env!("CARGO_BIN_EXE_leafwright"))),
        ("leafwright-demo", PathBuf::from(env!("CARGO_BIN_EXE_leafwright-demo"))),
        ("nats-server", outer::nats_server().expect("the outer process looked for it")),
    ];
    std::fs::create_dir_all(TOOLS).expect("a directory on a tmpfs");
    for (name, program) in programs {
        let place = Path::new(TOOLS).join(name);
        std::fs::File::create(&place).expect("a file on a tmpfs");
        host([OsStr::new("mount"), OsStr::new("--bind"), program.as_os_str(), place.as_os_str()]);
    }
}
