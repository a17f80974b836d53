//! One machine: its disk, its power, and what runs in it.
//!
//! Refuses: a machine that is `degraded`, and a boot of what is running. Writing into the root follows symbolic links as the host
//! sees them, so write to real paths.

use super::command::{Place, kill};
use super::{DEADLINE, Output, Running, STATE, TOOLS, host, in_cgroup, network, populated, remove_cgroup, until};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sha2::{Digest as _, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// With `--keep-unit` systemd-nspawn leaves a reboot to its caller, by this exit code.
const REBOOT: i32 = 133;

/// Where a machine sees the tools, whether or not it knows them.
const TOOLS_INSIDE: &str = "/mnt/tools";

/// Each was found by its absence: without the capabilities and `bpf`, `IPAddressDeny=` and `PrivateNetwork=` do nothing and say nothing.
const NSPAWN: [&str; 11] = [
    "systemd-nspawn",
    "--quiet",
    "--boot",
    "--register=no",
    "--keep-unit",
    "--console=pipe",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON",
    "--system-call-filter=bpf",
];

/// A handle; clones are the same machine.
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

struct Inner {
    name: String,
    address: String,
    directory: PathBuf,
    root: PathBuf,
    cgroup: PathBuf,
    /// Commands so far: each gets a cgroup and a directory.
    commands: AtomicU32,
    power: Arc<Power>,
    runner: Mutex<Option<JoinHandle<()>>>,
}

/// Between the machine and the thread that keeps it running.
#[derive(Default)]
struct Power {
    /// May a reboot boot it again?
    on: AtomicBool,
    boots: AtomicU32,
}

impl Machine {
    pub(super) fn new(name: &str, address: &str, rootfs: &Path, cgroup: &Path) -> Self {
        let directory = Path::new(STATE).join(name);
        let root = directory.join("root");
        fs::create_dir_all(&directory).expect("a directory on a tmpfs");
        // A disk that can run full without taking the others along.
        let path = |path: &Path| path.to_str().expect("the paths of a lab are plain").to_owned();
        host(["mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", &path(&directory)]);
        for part in ["upper", "work", "root", "commands"] {
            fs::create_dir(directory.join(part)).expect("a directory on a tmpfs");
        }
        let [upper, work] = ["upper", "work"].map(|part| path(&directory.join(part)));
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", path(rootfs));
        host(["mount", "-t", "overlay", "overlay", "-o", &options, &path(&root)]);
        network::plug(name, address);
        let machine = Self(Arc::new(Inner {
            name: name.to_owned(),
            address: address.to_owned(),
            directory,
            root,
            cgroup: cgroup.join(name),
            commands: AtomicU32::new(0),
            power: Arc::default(),
            runner: Mutex::new(None),
        }));
        machine.write("/etc/hostname", &format!("{name}\n"));
        machine.write("/etc/hosts", &format!("127.0.0.1 localhost\n127.0.1.1 {name}\n"));
        let id = data_encoding::HEXLOWER.encode(&Sha256::digest(name)[..16]);
        machine.write("/etc/machine-id", &format!("{id}\n"));
        machine
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Its root directory, whether it runs or not.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// A path as the machine has it, as this process has it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.root.join(inside.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a file is in a directory")).expect("a directory in the machine");
        fs::write(&file, text).unwrap_or_else(|error| panic!("{path} in {}: {error}", self.name()));
    }

    /// `None` if there is no such file.
    pub fn read(&self, path: &str) -> Option<String> {
        fs::read(self.path(path)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Puts leafwright, leafwright-demo and nats-server on the machine's PATH, as links that it may replace.
    pub fn install_tools(&self) {
        for tool in fs::read_dir(TOOLS).expect("the lab made it").flatten() {
            let (name, link) = (tool.file_name(), self.path("/usr/local/bin").join(tool.file_name()));
            std::os::unix::fs::symlink(Path::new(TOOLS_INSIDE).join(name), link).expect("installed once");
        }
    }

    /// Switches it on, and boots it again whenever it reboots by itself.
    pub fn boot(&self) {
        let mut runner = self.0.runner.lock().expect("no other thread panics");
        assert!(runner.as_ref().is_none_or(JoinHandle::is_finished), "{} is on", self.name());
        self.0.power.on.store(true, Ordering::SeqCst);
        let (power, cgroup, directory) = (self.0.power.clone(), self.0.cgroup.clone(), self.0.directory.clone());
        let options = [
            OsString::from("--directory"),
            self.0.root.clone().into(),
            format!("--machine={}", self.name()).into(),
            format!("--network-namespace-path=/run/netns/{}", self.name()).into(),
            format!("--bind-ro={TOOLS}:{TOOLS_INSIDE}").into(),
        ];
        *runner = Some(std::thread::spawn(move || {
            while power.on.load(Ordering::SeqCst) {
                fs::create_dir_all(&cgroup).expect("a cgroup");
                let console = || File::options().append(true).create(true).open(directory.join("console.log"));
                let mut command: Command = in_cgroup(&cgroup);
                command.args(NSPAWN).args(&options).stdin(Stdio::null());
                command.stdout(console().expect("a tmpfs")).stderr(console().expect("a tmpfs"));
                let mut nspawn = command.spawn().expect("sh starts");
                power.boots.fetch_add(1, Ordering::SeqCst);
                if nspawn.wait().ok().and_then(|status| status.code()) != Some(REBOOT) {
                    break;
                }
            }
        }));
    }

    /// Its first process, when there is one and it is systemd: not while it shuts down.
    fn leader(&self) -> Option<u32> {
        let members = fs::read_to_string(self.0.cgroup.join("payload/init.scope/cgroup.procs")).ok()?;
        let is_systemd = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "systemd\n");
        members.lines().filter_map(|pid| pid.parse().ok()).find(is_systemd)
    }

    /// Until its boot is done, with nothing failed.
    pub fn wait_running(&self, deadline: Duration) {
        let failed = || self.exec(["systemctl", "--failed", "--no-legend", "--plain"]).stdout;
        assert!(self.wait_booted(deadline) == "running", "{} is degraded: {}", self.name(), failed());
    }

    /// Until its boot is done: `running` or `degraded`.
    pub fn wait_booted(&self, deadline: Duration) -> String {
        let mut state = String::new();
        until(&format!("{} has booted", self.name()), deadline, || {
            // It waits by itself as soon as systemd listens, and until then it fails at once.
            let asked = self.try_spawn(["systemctl", "is-system-running", "--wait"]).map(|asked| asked.wait(deadline));
            state = asked.map_or_else(String::new, |output| output.stdout.trim().to_owned());
            ["running", "degraded"].contains(&state.as_str())
        });
        state
    }

    fn try_spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Option<Running> {
        let leader = self.leader()?;
        Some(self.start(leader, args, &[]))
    }

    fn start<S: AsRef<OsStr>>(&self, leader: u32, args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Running {
        let number = self.0.commands.fetch_add(1, Ordering::SeqCst);
        let cgroup = self.0.cgroup.join(format!("command-{number}"));
        let log = self.0.directory.join("commands").join(number.to_string());
        Running::start(Place { leader, cgroup, log }, args, stdin)
    }

    /// Starts a command in the machine and goes on.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        self.try_spawn(args).unwrap_or_else(|| panic!("{} is not on", self.name()))
    }

    /// Runs a command in the machine to its end.
    pub fn exec<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.spawn(args).finish()
    }

    /// The same, with something to read.
    pub fn exec_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, stdin: &[u8]) -> Output {
        let leader = self.leader().unwrap_or_else(|| panic!("{} is not on", self.name()));
        self.start(leader, args, stdin).finish()
    }

    /// Runs a command that has to succeed, and gives what it said.
    pub fn must<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.exec(&args);
        assert!(output.success(), "{}: {args:?}: {output:#?}", self.name());
        output.stdout
    }

    /// Runs a command as a unit of the machine, in the machine's own cgroups: `exec` is beside them.
    pub fn run_scoped<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let unit = ["systemd-run", "--pipe", "--wait", "--quiet", "--collect", "--"].map(OsString::from);
        self.exec(unit.into_iter().chain(args.into_iter().map(|arg| arg.as_ref().to_owned())))
    }

    pub fn is_active(&self, unit: &str) -> bool {
        self.exec(["systemctl", "is-active", "--quiet", unit]).success()
    }

    /// Does one ping come back?
    pub fn reaches(&self, address: &str) -> bool {
        self.exec(["ping", "-q", "-n", "-c", "1", "-W", "1", address]).success()
    }

    /// Runs `task` on the machine's network, loopback included, in this process and on this file system. What it opens stays there.
    pub fn in_network<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let network = File::open(Path::new("/run/netns").join(self.name())).expect("made with the machine");
        let there = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).expect("root enters a namespace");
            task()
        };
        // A thread of its own, because a thread does not come back.
        let ended = std::thread::scope(|scope| scope.spawn(there).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Differs from boot to boot.
    pub fn boot_id(&self) -> String {
        self.must(["cat", "/proc/sys/kernel/random/boot_id"])
    }

    /// Every process of the machine dies at once; the disk stays, `boot` starts it again. It proves nothing about `fsync`.
    pub fn power_cut(&self) {
        self.0.power.on.store(false, Ordering::SeqCst);
        kill(&self.0.cgroup);
        self.is_off("the power is cut");
    }

    /// Shuts it down in good order.
    pub fn power_off(&self) {
        let leader = self.leader().unwrap_or_else(|| panic!("{} is not on", self.name()));
        self.0.power.on.store(false, Ordering::SeqCst);
        host(["bash", "-c", "kill -s RTMIN+4 $0", &leader.to_string()]);
        self.is_off("it shuts down");
    }

    fn is_off(&self, what: &str) {
        let runner = self.0.runner.lock().expect("no other thread panics").take();
        let ended = || runner.as_ref().is_none_or(JoinHandle::is_finished) && !populated(&self.0.cgroup);
        until(&format!("{}: {what}", self.name()), DEADLINE, ended);
        remove_cgroup(&self.0.cgroup);
    }

    /// Reboots it in good order, until it runs again.
    pub fn reboot(&self) {
        let before = self.boots();
        self.must(["systemctl", "reboot"]);
        until(&format!("{} reboots", self.name()), DEADLINE, || self.boots() > before);
        self.wait_running(DEADLINE);
    }

    /// How often it has been booted: grows when the machine reboots by itself.
    pub fn boots(&self) -> u32 {
        self.0.power.boots.load(Ordering::SeqCst)
    }

    /// All its processes stop where they are. The kernel still answers pings: they hang, the machine is not dead.
    pub fn freeze(&self) {
        self.set_frozen("1");
    }

    pub fn thaw(&self) {
        self.set_frozen("0");
    }

    fn set_frozen(&self, frozen: &str) {
        fs::write(self.0.cgroup.join("cgroup.freeze"), frozen).expect("a cgroup");
        let settled = format!("frozen {frozen}\n");
        let events = self.0.cgroup.join("cgroup.events");
        until("it freezes or thaws", DEADLINE, || fs::read_to_string(&events).is_ok_and(|e| e.contains(&settled)));
    }

    /// What it has to say when a scenario failed.
    pub(super) fn report(&self) {
        let journal = self.leader().map(|leader| {
            // Not `exec`, which panics at its deadline, and a second panic would hide the first.
            let mut running = self.start(leader, ["journalctl", "-b", "--no-pager", "-n", "100"], &[]);
            let end = std::time::Instant::now() + Duration::from_secs(5);
            while running.is_running() && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(10));
            }
            running.stdout()
        });
        let console = fs::read(self.0.directory.join("console.log")).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        let journal = journal.unwrap_or_else(|| "it is not on".to_owned());
        eprintln!("--- journal of {}\n{journal}\n--- console of {}\n{tail}", self.name(), self.name());
    }
}
