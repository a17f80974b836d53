//! Jobs: asked for in order, waited for together, cancelled when the deadline passes.
//!
//! Refuses: taking an accepted job for a finished one.

use super::bus::{ANSWER, Refusal, Removed, read};
use super::failure::JobsFailed;
use super::{Systemd, failure};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use zbus::zvariant::OwnedObjectPath;

/// How long a cancelled job may take to be gone.
const CANCEL: Duration = Duration::from_secs(10);

/// What is asked of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    ReloadOrRestart,
}

impl Verb {
    fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
            Self::Reload => "ReloadUnit",
            Self::ReloadOrRestart => "ReloadOrRestartUnit",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::ReloadOrRestart => "reload or restart",
        })
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobResult {
    Done,
    /// There was nothing to do: a unit that is not there was stopped.
    Skipped,
    Failed,
    /// The job's own time was up (`JobTimeoutSec=`).
    Timeout,
    /// A unit that it needs failed.
    Dependency,
    /// Another job took its place, or somebody cancelled it.
    Canceled,
    /// Our deadline passed, and it was cancelled.
    Overdue(Duration),
    /// It does not apply to a unit in this state: one that does not run was reloaded.
    Invalid,
    /// systemd did not take the job, and said why.
    Refused(Refusal),
    /// `assert`, `unsupported`, `collected`, `once`, `frozen`, and what is yet to come.
    Other(String),
}

impl JobResult {
    fn of(word: &str) -> Self {
        match word {
            "done" => Self::Done,
            "skipped" => Self::Skipped,
            "failed" => Self::Failed,
            "timeout" => Self::Timeout,
            "dependency" => Self::Dependency,
            "canceled" => Self::Canceled,
            "invalid" => Self::Invalid,
            other => Self::Other(other.to_owned()),
        }
    }

    pub fn is_good(&self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

impl Systemd {
    pub async fn start(&self, unit: &str, deadline: Duration) -> Result<JobResult> {
        self.job(Verb::Start, unit, deadline).await
    }

    /// Asks for the job and does not wait for it: whoever is a job of a boot himself would wait for ever.
    pub async fn later(&self, verb: Verb, unit: &str) -> Result<()> {
        self.bus
            .manager(verb.method(), &(unit, "replace"), ANSWER)
            .await
            .map(drop)
            .with_context(|| format!("cannot {verb} {unit}"))
    }

    /// Stopping what is not there is skipped.
    pub async fn stop(&self, unit: &str, deadline: Duration) -> Result<JobResult> {
        self.job(Verb::Stop, unit, deadline).await
    }

    pub async fn restart(&self, unit: &str, deadline: Duration) -> Result<JobResult> {
        self.job(Verb::Restart, unit, deadline).await
    }

    pub async fn reload(&self, unit: &str, deadline: Duration) -> Result<JobResult> {
        self.job(Verb::Reload, unit, deadline).await
    }

    pub async fn reload_or_restart(&self, unit: &str, deadline: Duration) -> Result<JobResult> {
        self.job(Verb::ReloadOrRestart, unit, deadline).await
    }

    /// Asks for all starts in the given order, what is needed first, and then waits for all. The error has every unit that
    /// did not start.
    pub async fn start_all<S: AsRef<str>>(&self, units: &[S], deadline: Duration) -> Result<()> {
        let units: Vec<&str> = units.iter().map(AsRef::as_ref).collect();
        let results = self.jobs(Verb::Start, &units, deadline).await?;
        let mut failed = vec![];
        for (unit, result) in units.iter().zip(results) {
            if !result.is_good() {
                failed.push(failure::explain(self, Verb::Start, unit, result).await);
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(JobsFailed { asked: units.len(), failed }.into()) }
    }

    /// One job. What is not good is an error, a [`failure::JobFailure`].
    async fn job(&self, verb: Verb, unit: &str, deadline: Duration) -> Result<JobResult> {
        let results = self.jobs(verb, &[unit], deadline).await?;
        let result = results.into_iter().next().context("a job without a result")?;
        self.judged(verb, unit, result).await
    }

    pub(super) async fn judged(&self, verb: Verb, unit: &str, result: JobResult) -> Result<JobResult> {
        if result.is_good() { Ok(result) } else { Err(failure::explain(self, verb, unit, result).await.into()) }
    }

    /// The result of each, in order. An error only where systemd could not be talked to.
    async fn jobs(&self, verb: Verb, units: &[&str], deadline: Duration) -> Result<Vec<JobResult>> {
        let mut waiting = self.waiting(deadline).await?;
        for unit in units {
            let body = (*unit, "replace");
            let asked = async { read::<OwnedObjectPath>(&self.bus.manager(verb.method(), &body, ANSWER).await?) };
            match waiting.ask(asked).await.with_context(|| format!("cannot {verb} {unit}"))? {
                Some(refusal) if verb == Verb::Stop && refusal.is_no_such_unit() => waiting.settle(JobResult::Skipped),
                Some(refusal) => waiting.settle(JobResult::Refused(refusal)),
                None => {}
            }
        }
        waiting.results().await.with_context(|| format!("cannot {verb} {}", units.join(", ")))
    }

    /// Listens from now on: a job that ends before its number is known is not missed.
    pub(super) async fn waiting(&self, deadline: Duration) -> Result<Waiting<'_>> {
        let until = Instant::now() + deadline;
        let removed = self.bus.removed_jobs().await?;
        Ok(Waiting { systemd: self, removed, deadline, until, ended: BTreeMap::new(), asked: vec![] })
    }
}

/// Jobs that were asked for, and what was heard of them.
pub(super) struct Waiting<'a> {
    systemd: &'a Systemd,
    removed: Removed<'a>,
    deadline: Duration,
    until: Instant,
    /// By the path of the job, others' jobs too.
    ended: BTreeMap<String, String>,
    asked: Vec<Asked>,
}

enum Asked {
    Job(String),
    Settled(JobResult),
}

impl Waiting<'_> {
    /// Waits for systemd to take a job, and listens meanwhile. A refusal is handed back and has to be settled.
    pub(super) async fn ask(&mut self, call: impl Future<Output = Result<OwnedObjectPath>>) -> Result<Option<Refusal>> {
        tokio::pin!(call);
        let answer = loop {
            tokio::select! {
                answer = &mut call => break answer,
                ended = self.removed.next() => self.note(ended?),
            }
        };
        match answer {
            Ok(job) => self.asked.push(Asked::Job(job.to_string())),
            Err(error) => return error.downcast::<Refusal>().map(Some),
        }
        Ok(None)
    }

    pub(super) fn settle(&mut self, result: JobResult) {
        self.asked.push(Asked::Settled(result));
    }

    fn note(&mut self, (job, result): (String, String)) {
        self.ended.insert(job, result);
    }

    fn open(&self) -> Vec<String> {
        let jobs = self.asked.iter().filter_map(|asked| match asked {
            Asked::Job(job) => Some(job),
            Asked::Settled(_) => None,
        });
        jobs.filter(|job| !self.ended.contains_key(*job)).cloned().collect()
    }

    async fn until_all_ended(&mut self) -> Result<()> {
        while !self.open().is_empty() {
            let ended = self.removed.next().await?;
            self.note(ended);
        }
        Ok(())
    }

    /// Waits for all; what is open at the deadline is cancelled.
    pub(super) async fn results(mut self) -> Result<Vec<JobResult>> {
        let mut late = vec![];
        let until = self.until;
        if let Ok(ended) = timeout_at(until, self.until_all_ended()).await {
            ended?;
        } else {
            late = self.open();
            self.cancel(&late).await?;
        }
        let ended = self.ended;
        let result = |asked| match asked {
            Asked::Settled(result) => result,
            // Cancelled by us, unless it ended in the last moment.
            Asked::Job(job) => match ended.get(&job).map(String::as_str) {
                None | Some("canceled") if late.contains(&job) => JobResult::Overdue(self.deadline),
                word => JobResult::of(word.unwrap_or_default()),
            },
        };
        Ok(self.asked.into_iter().map(result).collect())
    }

    async fn cancel(&mut self, jobs: &[String]) -> Result<()> {
        for job in jobs {
            let id: u32 = job.rsplit('/').next().unwrap_or_default().parse().context("a job without a number")?;
            match self.systemd.bus.manager("CancelJob", &(id,), ANSWER).await {
                Err(error) if error.downcast_ref::<Refusal>().is_some() => {} // It has just ended.
                answer => drop(answer.context("cannot cancel the job")?),
            }
        }
        // One that hangs even so counts as overdue all the same.
        match timeout(CANCEL, self.until_all_ended()).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }
}
