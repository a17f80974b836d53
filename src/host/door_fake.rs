//! A machine in memory that dies where it is told: killed (what it did stays) or without power (what was not synced is gone,
//! nothing runs, and the boot starts what is enabled).
//!
//! Refuses: being systemd. A unit that is started remembers what it read, so that a test sees what really runs.

use super::door::{Accounts, Attempt, Door, Job};
use crate::compile::units;
use crate::name::MachineName;
use crate::plan::machine::gates::{Gate, Seen};
use crate::plan::machine::packages::SeenPackages;
use crate::plan::machine::secrets::{self, SecretFile};
use crate::plan::machine::{Act, Content, Observation, SeenFile, SeenUnit};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;

/// How it dies at the chosen effect, and whether that effect has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Before,
    After,
}

/// What the disk does with renames that were not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Lost,
    Kept,
    /// Every second one.
    Torn,
}

/// The register, as far as an activation knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeRegister {
    pub current: Option<u64>,
    pub active: Option<u64>,
    pub attempt: Option<Attempt>,
    pub returning: Option<String>,
    /// The generation of which something may still be there.
    pub leaving: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct FakeMachine {
    /// The store: what each generation puts on the machine.
    pub generations: BTreeMap<u64, Content>,
    pub register: FakeRegister,
    /// Paths and what is in them, as whoever runs now sees them.
    pub files: BTreeMap<String, SeenFile>,
    /// The same, as the disk has them.
    synced: BTreeMap<String, SeenFile>,
    /// Units that run, with what they read when they started.
    pub running: BTreeMap<String, String>,
    /// Unit files as the manager read them last.
    pub loaded: BTreeMap<String, SeenFile>,
    /// Secret files that are there.
    pub credentials: BTreeSet<String>,
    /// Packages that are installed. Nothing here removes one.
    pub packages: BTreeSet<String>,
    pub watchdog: bool,
    /// Gates that fail, with what is seen, by the generation that is placed.
    pub failing: BTreeMap<Gate, String>,
    /// Gates that fail until then.
    pub opens: BTreeMap<Gate, Duration>,
    /// Units that have failed, ours and others'; and what fails when something is started.
    pub failed: BTreeSet<String>,
    pub brings_down: BTreeMap<String, String>,
    /// Gates that do not answer so many times; each time it takes two seconds to know.
    pub late: BTreeMap<Gate, usize>,
    /// A job that never ends, once.
    pub hangs: Option<String>,
    /// Hidden files beside these paths, which whoever died in the middle of them left.
    pub half_written: BTreeSet<String>,
    pub dies_at: Option<(usize, Death)>,
    pub dead: bool,
    /// The person stops it after this many effects.
    pub stops_at: Option<usize>,
    stopped: Arc<AtomicBool>,
    /// Effects so far, in words.
    pub done: Vec<String>,
    time: Duration,
}

impl FakeMachine {
    fn effect(&mut self, what: String, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        ensure!(!self.dead, "the machine is dead");
        let half = what.strip_prefix("file ").map(str::to_owned);
        self.done.push(what);
        let death = self.dies_at.filter(|(at, _)| *at == self.done.len()).map(|(_, death)| death);
        if death == Some(Death::Before) {
            self.dead = true;
            self.half_written.extend(half);
            bail!("it died before this");
        }
        act(self)?;
        if self.stops_at == Some(self.done.len()) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        if death == Some(Death::After) {
            self.dead = true;
            bail!("it died after this");
        }
        Ok(())
    }

    /// The process was killed and another one comes: everything is as it was left.
    pub fn revive(&mut self) {
        (self.dead, self.dies_at) = (false, None);
    }

    /// The power went and came back. Nothing runs yet; `boot` goes on.
    pub fn power_cut(&mut self, unsynced: Unsynced) {
        let paths: BTreeSet<String> = self.files.keys().chain(self.synced.keys()).cloned().collect();
        for (place, path) in paths.into_iter().enumerate() {
            let lost = match unsynced {
                Unsynced::Lost => true,
                Unsynced::Kept => false,
                Unsynced::Torn => place % 2 == 0,
            };
            if lost {
                match self.synced.get(&path) {
                    Some(old) => drop(self.files.insert(path, old.clone())),
                    None => drop(self.files.remove(&path)),
                }
            }
        }
        self.synced = self.files.clone();
        self.running.clear();
        self.watchdog = false;
        self.revive();
        self.load();
    }

    /// Starts what is enabled: everything whose unit file is there and wanted by the generation that is placed.
    pub fn boot(&mut self) {
        self.load();
        let wanted: Vec<String> = self.running_wanted();
        for unit in wanted {
            let reads = self.reads(&unit);
            self.running.insert(unit, reads);
        }
    }

    /// Units that the generation wants whose target is loaded.
    fn running_wanted(&self) -> Vec<String> {
        let target = file_of(units::TARGET);
        let loaded = match self.loaded.get(&target) {
            Some(SeenFile::File { digest, .. }) => digest,
            _ => return vec![],
        };
        let is_loaded = |content: &&Content| content.files.get(&target).is_some_and(|file| file.digest == *loaded);
        let wanted = self.generations.values().find(is_loaded).map(Content::steady).unwrap_or_default();
        wanted.into_iter().filter(|unit| self.loaded.contains_key(&file_of(unit))).collect()
    }

    fn load(&mut self) {
        self.loaded = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("/etc/systemd/system/"))
            .map(|(path, file)| (path.clone(), file.clone()))
            .collect();
    }

    /// What a unit reads when it starts, besides its own file: nats-server's configuration and certificates, a service's environment.
    pub fn reads(&self, unit: &str) -> String {
        let service = unit.split('@').next().unwrap_or_default();
        let environment = format!("/etc/leafwright/services/{service}.env");
        let reads = |path: &str| match unit {
            units::NATS => path.starts_with("/etc/nats/") || path.ends_with(".pem"),
            _ => path == environment,
        };
        let files = self.files.iter().filter(|(path, _)| reads(path));
        format!("{:?}", files.collect::<Vec<_>>())
    }
}

/// Where the file of a unit, or of its template, is.
fn file_of(unit: &str) -> String {
    let name = match (unit.find('@'), unit.rfind('.')) {
        (Some(at), Some(dot)) if at < dot => format!("{}{}", &unit[..=at], &unit[dot..]),
        _ => unit.to_owned(),
    };
    format!("/etc/systemd/system/{name}")
}

impl Door for FakeMachine {
    async fn begin(&mut self, attempt: &Attempt) -> Result<()> {
        self.effect("begin".into(), |it| {
            ensure!(it.register.attempt.is_none(), "an attempt is pending");
            it.register.attempt = Some(attempt.clone());
            Ok(())
        })
    }

    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stopped.clone();
        poll_fn(move |_| if stopped.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending })
    }

    async fn commit(&mut self) -> Result<()> {
        self.effect("commit".into(), |it| {
            let attempt = it.register.attempt.take().context("no attempt is pending")?;
            it.register.leaving = attempt.from;
            it.register.active = Some(attempt.to);
            it.register.current = Some(attempt.to);
            Ok(())
        })
    }

    async fn begin_return(&mut self, reason: &str) -> Result<()> {
        self.effect("begin return".into(), |it| {
            ensure!(it.register.attempt.is_some(), "no attempt is pending");
            it.register.returning = Some(reason.to_owned());
            Ok(())
        })
    }

    async fn end_return(&mut self) -> Result<()> {
        self.effect("end return".into(), |it| {
            it.register.attempt = None;
            it.register.returning = None;
            Ok(())
        })
    }

    async fn tidied(&mut self) -> Result<()> {
        self.effect("tidied".into(), |it| {
            it.register.leaving = None;
            Ok(())
        })
    }

    async fn watch(&mut self, _within: Duration) -> Result<()> {
        self.effect("watch".into(), |it| {
            it.watchdog = true;
            Ok(())
        })
    }

    async fn unwatch(&mut self) -> Result<()> {
        self.effect("unwatch".into(), |it| {
            it.watchdog = false;
            Ok(())
        })
    }

    async fn install(&mut self, packages: &[String]) -> Result<()> {
        for package in packages {
            self.effect(format!("install {package}"), |it| {
                ensure!(it.register.attempt.is_none(), "an attempt is pending");
                it.packages.insert(package.clone());
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn observe(&mut self, paths: &BTreeSet<String>, units: &BTreeSet<String>) -> Result<Observation> {
        let files = self.files.iter().filter(|(path, _)| paths.contains(*path));
        let units = units.iter().map(|unit| {
            let running = self.running.contains_key(unit);
            let (active, sub) = if running { ("active", "running") } else { ("inactive", "dead") };
            let seen =
                SeenUnit { active: active.into(), sub: sub.into(), fragment: file_of(unit), ..SeenUnit::default() };
            (unit.clone(), seen)
        });
        Ok(Observation {
            files: files.map(|(path, file)| (path.clone(), file.clone())).collect(),
            units: units.collect(),
            packages: Some(SeenPackages {
                distribution: vec!["debian".to_owned()],
                installed: Some(self.packages.clone()),
            }),
            ..Observation::default()
        })
    }

    async fn files(&mut self, generation: u64, acts: &[&Act]) -> Result<()> {
        let content = self.generations.get(&generation).cloned().unwrap_or_default();
        for act in acts {
            let (path, seen) = match act {
                Act::Place { path, mode, .. } => {
                    let digest = content.files.get(path).context("the closure has no such file")?.digest.clone();
                    (path, Some(SeenFile::File { digest, mode: *mode, uid: 0, gid: 0 }))
                }
                Act::Link { path, to } => (path, Some(SeenFile::Link { to: to.clone() })),
                Act::Remove { path } => (path, None),
                other => bail!("{other:?} is no act on a file"),
            };
            // Renamed one by one, synced together: after a cut any of them may be there.
            let verb = if seen.is_some() { "file" } else { "remove" };
            self.effect(format!("{verb} {path}"), |it| {
                match seen {
                    Some(seen) => drop(it.files.insert(path.clone(), seen)),
                    None => drop(it.files.remove(path)),
                }
                Ok(())
            })?;
        }
        self.synced = self.files.clone();
        Ok(())
    }

    async fn sweep(&mut self, paths: &BTreeSet<String>) -> Result<()> {
        self.half_written.retain(|path| !paths.contains(path));
        Ok(())
    }

    async fn accounts(&mut self, which: Accounts) -> Result<()> {
        self.effect(format!("{which:?}").to_lowercase(), |_| Ok(()))
    }

    async fn credentials(&mut self, generation: u64) -> Result<()> {
        let content = self.generations.get(&generation).cloned().unwrap_or_default();
        // Each is renamed and synced by itself.
        for credential in content.credentials {
            self.effect(format!("credential {}", credential.path), |it| {
                it.credentials.insert(credential.path);
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn stale(&mut self, generation: u64) -> Result<Vec<SecretFile>> {
        let content = self.generations.get(&generation).context("there is no such generation")?;
        let files = secrets::files(&MachineName::parse(&content.name)?, &content.credentials)?;
        Ok(files.into_iter().filter(|file| !self.credentials.contains(&file.path)).collect())
    }

    async fn remove_credential(&mut self, path: &str) -> Result<()> {
        self.effect(format!("remove credential {path}"), |it| {
            it.credentials.remove(path);
            Ok(())
        })
    }

    async fn failed(&mut self) -> BTreeSet<String> {
        self.failed.clone()
    }

    async fn let_go(&mut self, units: &[String], _ran: &BTreeSet<String>) {
        self.failed.retain(|unit| !units.contains(unit));
    }

    async fn daemon_reload(&mut self) -> Result<()> {
        yield_now().await;
        self.effect("daemon-reload".into(), |it| {
            it.load();
            Ok(())
        })
    }

    async fn job(&mut self, job: Job, unit: &str) -> Result<()> {
        yield_now().await;
        let what = format!("{job:?} {unit}").to_lowercase();
        if self.hangs.as_ref() == Some(&what) {
            self.hangs = None;
            pending::<()>().await;
        }
        self.effect(what, |it| {
            if job == Job::Stop {
                it.running.remove(unit);
                return Ok(());
            }
            ensure!(it.loaded.contains_key(&file_of(unit)), "Unit {unit} not found.");
            let reads = it.reads(unit);
            it.running.insert(unit.to_owned(), reads);
            it.failed.extend(it.brings_down.get(unit).cloned());
            Ok(())
        })
    }

    async fn probe(&mut self, gate: &Gate) -> Seen {
        if let Some(what) = self.failing.get(gate) {
            return Seen::Fails { what: what.clone() };
        }
        if let Some(left) = self.late.get_mut(gate).filter(|left| **left > 0) {
            *left -= 1;
            self.time += Duration::from_secs(2);
            return Seen::Fails { what: "no answer within 2 s".into() };
        }
        match gate {
            gate if self.opens.get(gate).is_some_and(|at| self.time < *at) => Seen::Fails { what: "not yet".into() },
            Gate::NotFailed { unit } if self.failed.contains(unit) => Seen::Fails { what: "it has".into() },
            Gate::Unit { unit } if !self.running.contains_key(unit) => Seen::Fails { what: "inactive".into() },
            _ => Seen::Holds { mark: String::new() },
        }
    }

    fn clock(&mut self) -> Duration {
        self.time
    }

    async fn pause(&mut self, time: Duration) {
        yield_now().await;
        self.time += time;
    }
}
