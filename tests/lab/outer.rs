//! The outside of the scenarios: lists them to libtest-mimic, gives each its process, namespaces and cgroup, and cleans up behind it.
//!
//! Refuses: to skip in silence. Without root, cgroup2 or a root file system it says so aloud, and with `CI=true` that is a failure.
//! Killed with `SIGKILL` it leaves empty cgroups, nothing else, and the next run removes them.

use super::command::kill;
use super::{HYPERVISOR, ROOTFS, SCENARIO, in_cgroup, populated, remove_cgroup, until};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than any scenario with all its own deadlines met.
const SCENARIO_DEADLINE: Duration = Duration::from_secs(1200);

/// Whoever sets it sees the scenarios that are there to be failed and killed.
pub const HIDDEN: &str = "LEAFWRIGHT_LAB_HIDDEN";

#[derive(Clone, Copy)]
pub enum Run {
    /// In its own process and namespaces, where it may make a `Lab`.
    Inside(fn()),
    /// The same, with what a `Virtual` machine needs.
    Virtual(fn()),
    /// In the outer process: about the harness itself.
    Outside(fn()),
    /// Like `Inside`, but run by an `Outside` one only.
    Hidden(fn()),
}

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub run: Run,
}

/// All of a test binary, both as the outer process and, started again, as one scenario.
pub fn main(scenarios: &'static [Scenario]) -> ExitCode {
    if let Some(name) = std::env::var_os(SCENARIO) {
        let scenario = scenarios.iter().find(|scenario| *scenario.name == *name).expect("the outer process knows it");
        let (Run::Inside(run) | Run::Virtual(run) | Run::Outside(run) | Run::Hidden(run)) = scenario.run;
        run();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let shown = if arguments.nocapture { Shown::AtOnce } else { Shown::OnFailure };
    let hidden = std::env::var_os(HIDDEN).is_some();
    let listed = scenarios.iter().filter(|scenario| hidden || !matches!(scenario.run, Run::Hidden(_)));
    let trials = listed.map(|scenario| Trial::test(scenario.name, move || attempt(scenario, shown))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    AtOnce,
    OnFailure,
}

fn attempt(scenario: &Scenario, shown: Shown) -> Result<(), Failed> {
    let hypervisor = || match scenario.run {
        Run::Virtual(_) => hypervisor().map(Some),
        _ => Ok(None),
    };
    match prerequisites().and_then(|rootfs| Ok((rootfs, hypervisor()?))) {
        Ok((rootfs, hypervisor)) => match scenario.run {
            Run::Outside(run) => {
                run();
                Ok(())
            }
            Run::Inside(_) | Run::Virtual(_) | Run::Hidden(_) => inside(scenario.name, rootfs, hypervisor, shown),
        },
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => Err(format!("skipped: {why}").into()),
        Err(why) => {
            println!("SKIPPED: machines: {why}");
            Ok(())
        }
    }
}

/// The root file system, or why there can be no machines here. Looked for once.
fn prerequisites() -> Result<&'static Path, &'static str> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Err("they need root".into());
        }
        let cgroups = cgroup2().ok_or("no cgroup2 is mounted")?;
        sweep(&cgroups);
        let tools = ["systemd-nspawn", "unshare", "setpriv", "nsenter", "ip", "nft", "mount", "bash"];
        if let Some(tool) = tools.iter().find(|tool| find_on_path(tool).is_none()) {
            return Err(format!("{tool} is missing: .ci/setup installs it"));
        }
        nats_server().ok_or("nats-server is missing: ./setup fetches it")?;
        let namespaces = Command::new("unshare").args(NAMESPACES).args(["true"]).output();
        if !namespaces.is_ok_and(|output| output.status.success()) {
            return Err("this root may not make namespaces".into());
        }
        rootfs("machines")
    });
    found.as_deref().map_err(String::as_str)
}

/// The root file system with QEMU and a kernel, or why there is none.
fn hypervisor() -> Result<&'static Path, &'static str> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| rootfs("hypervisor")).as_deref().map_err(String::as_str)
}

/// What `.ci/rootfs` has built, or builds now.
fn rootfs(which: &str) -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/rootfs");
    let output = Command::new(script).arg(which).output().map_err(|error| format!(".ci/rootfs: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("there is no root file system: {}", said.lines().last().unwrap_or_default()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}

fn find_on_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(tool)).find(|file| file.is_file())
}

pub(super) fn nats_server() -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/nats-server");
    let named = std::env::var_os("LEAFWRIGHT_NATS_SERVER").map(PathBuf::from);
    named.or_else(|| fetched.is_file().then_some(fetched)).or_else(|| find_on_path("nats-server"))
}

/// Where cgroup2 is mounted: at the root of the cgroups, or beside those of version 1.
pub fn cgroup2() -> Option<PathBuf> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    places.into_iter().find(|place| place.join("cgroup.controllers").exists())
}

/// Removes what runs left that were killed: empty cgroups of processes that are no more.
fn sweep(cgroups: &Path) {
    for entry in std::fs::read_dir(cgroups).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("leafwright-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) && !populated(&entry.path()) {
            remove_cgroup(&entry.path());
        }
    }
}

/// A scenario's cgroup. Dropped, everything in it is killed and it is removed.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("leafwright-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = cgroup2().expect("looked for before").join(name);
        std::fs::create_dir_all(path.join("ctl")).expect("root makes cgroups");
        Self(path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        kill(&self.0);
        until("a scenario's processes die", super::DEADLINE, || !populated(&self.0));
        remove_cgroup(&self.0);
    }
}

const NAMESPACES: [&str; 8] =
    ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--propagation=private"];

fn inside(name: &str, rootfs: &Path, hypervisor: Option<&Path>, shown: Shown) -> Result<(), Failed> {
    let cgroup = Cgroup::new();
    // A file and not a pipe, which would be held open by whatever does not die.
    let mut log = tempfile::tempfile()?;
    let output = |log: &File| match shown {
        Shown::AtOnce => Ok(Stdio::inherit()),
        Shown::OnFailure => log.try_clone().map(Stdio::from),
    };
    let enter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/enter.sh");
    let mut command = in_cgroup(&cgroup.0.join("ctl"));
    // Its life hangs on this thread's, so that nothing stays when this process is killed.
    command.args(["setpriv", "--pdeathsig", "KILL", "unshare"]).args(NAMESPACES).arg(enter);
    command.arg(std::env::current_exe()?).env(SCENARIO, name).env(ROOTFS, rootfs);
    command.envs(hypervisor.map(|hypervisor| (HYPERVISOR, hypervisor)));
    command.stdin(Stdio::null()).stdout(output(&log)?).stderr(output(&log)?);
    let mut child = command.spawn()?;
    let end = Instant::now() + SCENARIO_DEADLINE;
    let mut status: Option<ExitStatus> = None;
    while status.is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        status = child.try_wait()?;
    }
    drop(cgroup);
    let _reaped = child.wait();
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let mut said = vec![];
    log.rewind()?;
    log.read_to_end(&mut said)?;
    let ended = status.map_or_else(|| format!("not within {SCENARIO_DEADLINE:?}"), |status| status.to_string());
    Err(format!("{ended}\n{}", String::from_utf8_lossy(&said)).into())
}
