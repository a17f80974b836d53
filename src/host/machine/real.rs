//! The real door to the machine that this runs on: its register, its files, systemd, its nats-server.
//!
//! Refuses: deciding. Whoever made it holds the lock.

use super::lock::Lock;
use super::register::{self, Register};
use super::transitions::Watch;
use super::{Home, files, generations, go_on, own_program, room};
use crate::compile::gates::{DeclaredGate, Proof};
use crate::host::door::{Accounts, Attempt, Door, Job};
use crate::host::systemd::{Property, Systemd, Transient, Verb};
use crate::host::{accounts, credentials, interrupt, monitor, packages, programs};
use crate::name::MachineName;
use crate::plan::machine::content::UNITS;
use crate::plan::machine::gates::{Gate, Seen};
use crate::plan::machine::secrets::SecretFile;
use crate::plan::machine::{Act, Observation, SeenUnit};
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join4;
use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For one job of systemd: nats-server in lame duck mode takes its time.
const JOB: Duration = Duration::from_secs(160);
/// For starting and stopping the watchdog.
const WATCHDOG: Duration = Duration::from_secs(10);
/// Between two tries of the watchdog.
const AGAIN: Duration = Duration::from_secs(15);
/// For one look at a gate.
const LOOK: Duration = Duration::from_secs(5);
/// The transient unit that goes back when an apply has died.
pub const WATCHDOG_UNIT: &str = "leafwright-watchdog.service";

/// How the domain is asked over the link; somebody who has the keys knows.
pub trait Link: Send + Sync {
    fn round_trip(&mut self) -> impl Future<Output = Result<()>> + Send;
    /// What a declared gate asks over messages, asked once.
    fn proved(&mut self, proof: &Proof) -> impl Future<Output = Result<()>> + Send;
}

/// No link: a machine that stands alone, a member of the cluster, a door that only goes back.
pub struct NoLink;

impl Link for NoLink {
    async fn round_trip(&mut self) -> Result<()> {
        bail!("this machine has no link to ask over")
    }

    async fn proved(&mut self, _: &Proof) -> Result<()> {
        bail!("there is no key to ask with")
    }
}

/// Who carries out jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// systemd, when it is told.
    Runs,
    /// The same for the watchdog, which is one of its units and does not stop itself.
    RunsWatchdog,
    /// systemd by itself, after this: it is booting, and starts everything when the files are right.
    Boots,
}

/// Time since the boot, that in which the machine slept included (clock_gettime(2), CLOCK_BOOTTIME).
pub fn boottime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// One boot of a machine, and the time in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    pub id: String,
    started: Instant,
    uptime: Duration,
}

impl Boot {
    /// This one: `/proc/sys/kernel/random/boot_id` and CLOCK_BOOTTIME (proc_sys_kernel(5), clock_gettime(2)).
    pub fn this() -> Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let id = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?.trim().to_owned();
        Ok(Self { id, started: Instant::now(), uptime: boottime() })
    }

    /// Since the machine was started, suspended time included.
    pub fn uptime(&self) -> Duration {
        self.uptime + self.started.elapsed()
    }

    /// What a change is known by, and until when it must be committed.
    pub fn watch(&self, within: Duration) -> Result<Watch> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("there is no randomness: {error}"))?;
        let deadline = u64::try_from((self.uptime() + within).as_millis()).unwrap_or(u64::MAX);
        Ok(Watch { nonce: data_encoding::HEXLOWER.encode(&bytes), boot_id: self.id.clone(), deadline })
    }
}

pub struct Real<'a, L> {
    pub home: &'a Home,
    pub lock: &'a Lock,
    pub register: Register,
    pub systemd: Systemd,
    pub manager: Manager,
    pub boot: Boot,
    /// nats-server's monitoring port.
    pub monitor: Option<SocketAddr>,
    /// The machine's own keys.
    pub keys: PathBuf,
    pub link: L,
    /// How the domain is asked while the old generation runs, whose server may listen elsewhere; `None`: as the new one's.
    pub before: Option<L>,
    /// Where the server of the old generation is monitored; `None`: as the new one's.
    pub monitor_before: Option<SocketAddr>,
}

impl<'a, L: Link> Real<'a, L> {
    /// The same with another way to ask the domain.
    pub fn with_link<M: Link>(self, link: M) -> Real<'a, M> {
        let Real { home, lock, register, systemd, manager, boot, monitor, keys, .. } = self;
        Real { home, lock, register, systemd, manager, boot, monitor, keys, link, before: None, monitor_before: None }
    }

    /// What is known here is what is on the disk, also where that could not be written.
    fn change(&mut self, change: impl FnOnce(&mut Register) -> Result<()>) -> Result<()> {
        let mut next = self.register.clone();
        change(&mut next)?;
        register::write(self.home, self.lock, &next)?;
        self.register = next;
        Ok(())
    }

    /// Is there a unit of this name that is not ours: by a file that no generation places?
    pub async fn is_of_others(&self, unit: &str) -> bool {
        let seen = self.unit(unit).await;
        seen.is_ok_and(|seen| !seen.fragment.is_empty() && !seen.fragment.starts_with(UNITS))
    }

    /// As `observe`, while the old generation runs.
    pub async fn observe_before(&self, paths: &BTreeSet<String>, units: &BTreeSet<String>) -> Result<Observation> {
        let monitor = self.monitor_before.or(self.monitor);
        observe(Look { home: self.home, register: &self.register, systemd: &self.systemd, monitor }, paths, units).await
    }

    async fn unit(&self, unit: &str) -> Result<SeenUnit> {
        let mut seen = self.systemd.units(&[unit]).await?;
        seen.remove(unit).with_context(|| format!("systemd does not know {unit}"))
    }

    async fn look(&mut self, gate: &Gate) -> Result<String> {
        match gate {
            // systemd starts it when this is over; that it does not run yet says nothing.
            Gate::Unit { .. } if self.manager == Manager::Boots => Ok(String::new()),
            Gate::NotFailed { unit } => {
                ensure!(!self.systemd.failed().await?.contains(unit), "it has: journalctl -u {unit}");
                Ok(String::new())
            }
            Gate::Unit { unit } => {
                let seen = self.unit(unit).await?;
                if seen.active == "active" {
                    return Ok(seen.invocation);
                }
                let waits = self.systemd.at_work().await.unwrap_or_default();
                let waits: Vec<String> = waits.into_iter().filter(|at_work| at_work != unit).collect();
                match waits.is_empty() {
                    true => bail!("it is {} ({})", seen.active, seen.sub),
                    false => bail!("it is {} ({}), and systemd waits for {}", seen.active, seen.sub, waits.join(", ")),
                }
            }
            Gate::Server { digest } => {
                let monitor = self.monitor.context("nothing says where nats-server is monitored")?;
                let health = monitor::healthz_of_jetstream(monitor).await?;
                ensure!(health.status == "ok", "it is {}: {}", health.status, health.error);
                let varz = monitor::varz(monitor).await?;
                let runs = varz.config_digest.trim_start_matches("sha256:");
                ensure!(runs == digest, "it runs another configuration ({runs})");
                Ok(varz.server_id)
            }
            Gate::Recovered => {
                let monitor = self.monitor.context("nothing says where nats-server is monitored")?;
                let health = monitor::healthz(monitor).await?;
                ensure!(health.status == "ok", "it is {}: {}", health.status, health.error);
                Ok(String::new())
            }
            Gate::Link => self.link.round_trip().await.map(|()| String::new()),
            Gate::Declared(DeclaredGate { proof: Proof::Program { exec }, .. }) => {
                let program = exec.first().context("it names no program")?;
                programs::run(program, &exec[1..], LOOK).await?.ok()?;
                Ok(String::new())
            }
            Gate::Declared(gate) => self.link.proved(&gate.proof).await.map(|()| String::new()),
        }
    }
}

/// With what one looks.
pub struct Look<'a> {
    pub home: &'a Home,
    pub register: &'a Register,
    pub systemd: &'a Systemd,
    pub monitor: Option<SocketAddr>,
}

/// The machine as it is: files, units, who has failed, what nats-server runs. Changes nothing.
pub async fn observe(look: Look<'_>, paths: &BTreeSet<String>, units: &BTreeSet<String>) -> Result<Observation> {
    let Look { home, register, systemd, monitor } = look;
    let names: Vec<&String> = units.iter().collect();
    let active = match register.active_generation() {
        Some(number) => Some((number, generations::read(home, number)?.digest().to_owned())),
        None => None,
    };
    // One that does not answer runs nothing that could be compared.
    let server_digest = async {
        match monitor {
            Some(monitor) => Ok(monitor::varz(monitor).await.ok().map(|varz| varz.config_digest)),
            None => Ok(None),
        }
    };
    // While systemd and nats-server answer.
    let files = async { files::look(home.root(), paths.iter().map(String::as_str)) };
    let all = try_join4(systemd.units(&names), systemd.failed(), server_digest, files);
    let (units, failed, server_digest, files) = all.await?;
    let users = Some(accounts::users(home.root())?);
    Ok(Observation { active, files, units, failed, server_digest, packages: None, users })
}

/// A step on a file, as the disk takes it: files of the closure are in `entry`.
pub fn change(entry: &Path, act: &Act) -> Result<files::Change> {
    Ok(match act {
        Act::Place { path, from, mode, digest } => {
            files::Change::Place { path: path.clone(), from: entry.join(from), mode: *mode, digest: digest.clone() }
        }
        Act::Link { path, to } => files::Change::Link { path: path.clone(), to: to.clone() },
        Act::Remove { path } => files::Change::Remove { path: path.clone() },
        other => bail!("{other:?} is no act on a file"),
    })
}

impl<L: Link> Door for Real<'_, L> {
    async fn begin(&mut self, attempt: &Attempt) -> Result<()> {
        room::keep(self.home, self.lock).context("there is no room for a way back")?;
        let watch = self.boot.watch(attempt.within)?;
        let begun = self.change(|register| register.begin(attempt.to, attempt.mode, watch));
        if begun.is_err() {
            let _unneeded = room::give_back(self.home, self.lock);
        }
        begun
    }

    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        interrupt::came()
    }

    async fn commit(&mut self) -> Result<()> {
        let nonce = self.register.pending.as_ref().map(|pending| pending.nonce.clone()).unwrap_or_default();
        let boot = self.boot.id.clone();
        self.change(|register| register.commit(&nonce, &boot))?;
        // What is committed stays so; `gc` gives it back as well.
        let _unneeded = room::give_back(self.home, self.lock);
        Ok(())
    }

    async fn begin_return(&mut self, reason: &str) -> Result<()> {
        room::give_back(self.home, self.lock)?;
        self.change(|register| register.begin_return(reason))
    }

    async fn end_return(&mut self) -> Result<()> {
        let boot = self.boot.id.clone();
        self.change(|register| register.end_return(&boot))
    }

    async fn tidied(&mut self) -> Result<()> {
        self.change(|register| {
            register.tidied();
            Ok(())
        })
    }

    async fn watch(&mut self, within: Duration) -> Result<()> {
        let program = own_program::running()?;
        let program = program.to_str().context("the path of this program is no text")?.to_owned();
        let state = self.home.state().to_str().context("the path of the state directory is no text")?.to_owned();
        let within = within.as_millis().to_string();
        let exec = [program, "machine".into(), "watch".into(), "--state".into(), state, "--within-ms".into(), within];
        // Until it has gone back: nobody else is there.
        let watchdog = Transient::new(WATCHDOG_UNIT, "goes back when an apply of leafwright has died", &exec)
            .with("Restart", Property::Text("on-failure".to_owned()))
            .with("RestartUSec", Property::Time(AGAIN))
            .with("StartLimitIntervalUSec", Property::Time(Duration::ZERO));
        self.systemd.start_transient(&watchdog, WATCHDOG).await.map(|_| ())
    }

    async fn unwatch(&mut self) -> Result<()> {
        if self.manager != Manager::Runs {
            return Ok(());
        }
        // One that has gone by itself is stopped, too.
        let there = self.systemd.units(&[WATCHDOG_UNIT]).await?;
        if there.contains_key(WATCHDOG_UNIT) {
            self.systemd.stop(WATCHDOG_UNIT, WATCHDOG).await?;
        }
        Ok(())
    }

    async fn install(&mut self, packages: &[String]) -> Result<()> {
        packages::install(packages, &self.home.state().join("packages.log")).await
    }

    async fn observe(&mut self, paths: &BTreeSet<String>, units: &BTreeSet<String>) -> Result<Observation> {
        observe(
            Look { home: self.home, register: &self.register, systemd: &self.systemd, monitor: self.monitor },
            paths,
            units,
        )
        .await
    }

    async fn files(&mut self, generation: u64, acts: &[&Act]) -> Result<()> {
        // A machine that goes back to nothing places nothing.
        let entry = match acts.iter().any(|act| matches!(act, Act::Place { .. })) {
            true => self.home.entry(&generations::read(self.home, generation)?.closure),
            false => self.home.store(),
        };
        let changes = acts.iter().map(|act| change(&entry, act)).collect::<Result<Vec<_>>>()?;
        files::place_all(self.home, self.lock, &changes, &mut go_on)
    }

    async fn sweep(&mut self, paths: &BTreeSet<String>) -> Result<()> {
        files::sweep(self.home, self.lock, paths)
    }

    async fn accounts(&mut self, which: Accounts) -> Result<()> {
        match which {
            Accounts::Users => programs::sysusers(Path::new("/etc/sysusers.d/leafwright.conf")).await,
            Accounts::Directories => programs::tmpfiles(Path::new("/etc/tmpfiles.d/leafwright.conf"), None).await,
        }
    }

    async fn credentials(&mut self, generation: u64) -> Result<()> {
        let entry = self.home.entry(&generations::read(self.home, generation)?.closure);
        let machine = MachineName::parse(&self.register.machine)?;
        let references = credentials::read(&entry, &machine)?;
        credentials::place(&references, &self.keys, self.home.root()).map(|_| ())
    }

    async fn stale(&mut self, generation: u64) -> Result<Vec<SecretFile>> {
        let entry = self.home.entry(&generations::read(self.home, generation)?.closure);
        let references = credentials::read(&entry, &MachineName::parse(&self.register.machine)?)?;
        credentials::stale(&references, &self.keys, self.home.root())
    }

    async fn remove_credential(&mut self, path: &str) -> Result<()> {
        credentials::remove(self.home.root(), path)
    }

    async fn let_go(&mut self, units: &[String], ran: &BTreeSet<String>) {
        if self.manager == Manager::Boots {
            return;
        }
        for unit in units {
            let _it_stays_failed = self.systemd.reset_failed(unit).await;
            // An earlier try may have stopped it: then nobody remembers that it ran.
            if self.is_of_others(unit).await && (ran.contains(unit) || self.systemd.is_enabled(unit).await) {
                // Whether it starts is not ours to judge.
                let _started = self.systemd.later(Verb::Start, unit).await;
            }
        }
    }

    async fn daemon_reload(&mut self) -> Result<()> {
        self.systemd.daemon_reload().await
    }

    async fn job(&mut self, job: Job, unit: &str) -> Result<()> {
        if self.manager == Manager::Boots {
            // What runs at the end of a boot was settled when it began: a unit that was not wanted then starts by this. It waits for
            // what is to come before it, and so for us; whether it starts is for the gates. What runs already came before us.
            let verb = match job {
                Job::Stop => Verb::Stop,
                Job::Start => Verb::Start,
                Job::Reload => Verb::Reload,
                Job::Restart => Verb::Restart,
            };
            let _not_waited_for = self.systemd.later(verb, unit).await;
            return Ok(());
        }
        match job {
            Job::Stop => self.systemd.stop(unit, JOB).await,
            Job::Start => self.systemd.start(unit, JOB).await,
            Job::Reload => self.systemd.reload(unit, JOB).await,
            Job::Restart => self.systemd.restart(unit, JOB).await,
        }
        .map(|_| ())
    }

    async fn own_program(&mut self, generation: u64) -> Result<()> {
        own_program::put_back(self.home, self.lock, &generations::read(self.home, generation)?).await
    }

    async fn failed(&mut self) -> BTreeSet<String> {
        self.systemd.failed().await.unwrap_or_default()
    }

    async fn probe_before(&mut self, gate: &Gate) -> Seen {
        let (after, monitor) = (self.before.take(), self.monitor);
        let after = after.map(|before| std::mem::replace(&mut self.link, before));
        self.monitor = self.monitor_before.or(monitor);
        let seen = self.probe(gate).await;
        self.monitor = monitor;
        self.before = after.map(|after| std::mem::replace(&mut self.link, after));
        seen
    }

    async fn probe(&mut self, gate: &Gate) -> Seen {
        match tokio::time::timeout(LOOK, self.look(gate)).await {
            Ok(Ok(mark)) => Seen::Holds { mark },
            Ok(Err(error)) => Seen::Fails { what: format!("{error:#}") },
            Err(_) => Seen::Fails { what: format!("no answer within {} s", LOOK.as_secs()) },
        }
    }

    fn clock(&mut self) -> Duration {
        self.boot.uptime()
    }

    async fn pause(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
