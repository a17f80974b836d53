//! Why a job did not end well: what systemd says of the unit, and the unit's last words.
//!
//! Refuses: hiding a failure behind one of its own. What cannot be learnt is left out.

use super::bus::Properties;
use super::observe::maybe;
use super::{JobResult, Systemd, Verb};
use crate::host::programs;
use std::collections::BTreeSet;
use std::fmt;

/// How many lines of the journal an error has.
const LINES: usize = 10;

/// A job that did not end well.
#[derive(Clone, Debug)]
pub struct JobFailure {
    pub verb: Verb,
    pub unit: String,
    pub result: JobResult,
    /// `activating (start)`
    pub state: String,
    /// The unit's own `Result`: `exit-code`, `start-limit-hit`, …
    pub outcome: String,
    /// How the main process ended, if it did.
    pub exit: Option<Exit>,
    /// Failed units that it needs.
    pub needed: Vec<String>,
    /// The last lines of the unit's journal.
    pub journal: String,
}

/// How a process ended (`ExecMainCode`, `ExecMainStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

pub(super) async fn explain(systemd: &Systemd, verb: Verb, unit: &str, result: JobResult) -> JobFailure {
    let mut failure = JobFailure {
        verb,
        unit: unit.to_owned(),
        result,
        state: String::new(),
        outcome: String::new(),
        exit: None,
        needed: vec![],
        journal: String::new(),
    };
    if matches!(failure.result, JobResult::Refused(_)) {
        return failure;
    }
    if let Ok(properties) = systemd.unit(unit).await {
        failure.state = format!("{} ({})", text(&properties, "ActiveState"), text(&properties, "SubState"));
        failure.outcome = text(&properties, "Result");
        failure.exit = exit(&properties);
        if failure.result == JobResult::Dependency {
            failure.needed = failed_needs(systemd, &properties).await;
        }
    }
    failure.journal = programs::journal(unit, LINES).await;
    failure
}

fn text(properties: &Properties, name: &str) -> String {
    maybe(properties, name).unwrap_or_default()
}

/// `ExecMainCode` is waitid(2)'s `si_code`: 1 exited, 2 killed, 3 killed with a core.
fn exit(properties: &Properties) -> Option<Exit> {
    let status = maybe(properties, "ExecMainStatus").ok()?;
    match maybe(properties, "ExecMainCode").ok()? {
        1 => Some(Exit::Code(status)),
        2 | 3 => Some(Exit::Signal(status)),
        _ => None,
    }
}

async fn failed_needs(systemd: &Systemd, properties: &Properties) -> Vec<String> {
    let failed: BTreeSet<String> = systemd.failed().await.unwrap_or_default();
    let needs = ["Requires", "Requisite", "BindsTo"].map(|name| maybe::<Vec<String>>(properties, name));
    needs.into_iter().flat_map(Result::unwrap_or_default).filter(|unit| failed.contains(unit)).collect()
}

impl JobFailure {
    fn reason(&self) -> String {
        match &self.result {
            JobResult::Done | JobResult::Skipped => "nothing is wrong".into(),
            JobResult::Failed => {
                let outcome = Some(self.outcome.clone()).filter(|outcome| !outcome.is_empty() && outcome != "success");
                let known: Vec<String> = outcome.into_iter().chain(self.exit.map(|exit| exit.to_string())).collect();
                if known.is_empty() { "it failed".into() } else { format!("it failed: {}", known.join(", ")) }
            }
            JobResult::Timeout => "the time that systemd gives the job was up".into(),
            JobResult::Dependency if self.needed.is_empty() => "a unit that it needs failed".into(),
            JobResult::Dependency => format!("it needs {}, which failed", self.needed.join(", ")),
            JobResult::Canceled => "the job was cancelled, or another took its place".into(),
            JobResult::Overdue(deadline) => {
                format!("not done within {deadline:?}; the job was cancelled and the unit is {}", self.state)
            }
            JobResult::Invalid => format!("it is {}", self.state),
            JobResult::Refused(refusal) => refusal.to_string(),
            JobResult::Other(word) => format!("systemd says {word:?} of the job"),
        }
    }

    fn help(&self) -> String {
        match &self.result {
            JobResult::Refused(refusal) if refusal.is_masked() => {
                format!("systemctl unmask {} if it may run after all", self.unit)
            }
            JobResult::Overdue(_) => format!("systemctl stop {} ends what is left of it", self.unit),
            JobResult::Dependency => format!("systemctl list-dependencies {} shows what it needs", self.unit),
            _ => format!("journalctl -u {} says more", self.unit),
        }
    }
}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.unit, self.reason())?;
        for line in self.journal.lines() {
            write!(f, "\n  {line}")?;
        }
        write!(f, "\nhelp: {}", self.help())
    }
}

impl std::error::Error for JobFailure {}

/// Some of the jobs that were asked for together.
#[derive(Clone, Debug)]
pub struct JobsFailed {
    pub asked: usize,
    pub failed: Vec<JobFailure>,
}

impl fmt::Display for JobsFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} units failed", self.failed.len(), self.asked)?;
        for failure in &self.failed {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

impl std::error::Error for JobsFailed {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::systemd::Refusal;
    use std::time::Duration;

    fn failure(result: JobResult) -> JobFailure {
        JobFailure {
            verb: Verb::Start,
            unit: "a.service".into(),
            result,
            state: "activating (start)".into(),
            outcome: "exit-code".into(),
            exit: Some(Exit::Code(3)),
            needed: vec!["b.service".into()],
            journal: "one\ntwo".into(),
        }
    }

    #[test]
    fn a_failure_says_what_happened_to_whom_and_a_way_out() {
        let refusal =
            |name: &str| Refusal { name: format!("org.freedesktop.systemd1.{name}"), text: "Unit is so.".into() };
        let rows = [
            (
                JobResult::Failed,
                "cannot start a.service: it failed: exit-code, exit code 3\n  one\n  two\nhelp: journalctl",
            ),
            (
                JobResult::Overdue(Duration::from_secs(2)),
                "not done within 2s; the job was cancelled and the unit is activating (start)\n",
            ),
            (JobResult::Dependency, "it needs b.service, which failed\n"),
            (JobResult::Timeout, "the time that systemd gives the job was up\n"),
            (JobResult::Canceled, "another took its place\n"),
            (JobResult::Invalid, "cannot start a.service: it is activating (start)\n"),
            (JobResult::Refused(refusal("UnitMasked")), "systemd says: Unit is so\n"),
            (JobResult::Refused(refusal("UnitMasked")), "help: systemctl unmask a.service"),
            (JobResult::Other("frozen".into()), "systemd says \"frozen\" of the job\n"),
        ];
        for (result, expected) in rows {
            let text = failure(result).to_string();
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
        }
        let both = JobsFailed { asked: 3, failed: vec![failure(JobResult::Failed), failure(JobResult::Canceled)] };
        let text = both.to_string();
        assert!(text.starts_with("2 of 3 units failed\ncannot start a.service: it failed"), "{text}");
        assert!(text.contains("\ncannot start a.service: the job was cancelled"), "{text}");
    }
}
