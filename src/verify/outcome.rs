//! What was checked and what came out, as data; for people and as JSON.
//!
//! Refuses: colour (the words and signs say it), and hiding what was not checked.

use serde::Serialize;
use std::fmt::Write;

/// What kind of thing was checked, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    Link,
    Domain,
    Connection,
    Stream,
    Consumer,
    Events,
    Aggregate,
    Copies,
    Rights,
    Query,
}

impl Check {
    pub const ALL: [Check; 10] = [
        Check::Link,
        Check::Domain,
        Check::Connection,
        Check::Stream,
        Check::Consumer,
        Check::Events,
        Check::Aggregate,
        Check::Copies,
        Check::Rights,
        Check::Query,
    ];

    /// The word at the beginning of the line.
    pub fn word(self) -> &'static str {
        match self {
            Check::Link => "links",
            Check::Domain => "domains",
            Check::Connection => "connections",
            Check::Stream => "streams",
            Check::Consumer => "consumers",
            Check::Events => "events",
            Check::Aggregate => "aggregates",
            Check::Copies => "copies",
            Check::Rights => "rights",
            Check::Query => "queries",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: Check,
    /// What it is about: `office → hub`, `EVT on hub`, `todos on office`.
    pub subject: String,
    pub verdict: Verdict,
    /// What was seen; for a skipped one why it was.
    pub detail: String,
}

impl Finding {
    pub fn passed(check: Check, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), verdict: Verdict::Passed, detail: detail.into() }
    }

    pub fn failed(check: Check, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), verdict: Verdict::Failed, detail: detail.into() }
    }

    pub fn skipped(check: Check, subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), verdict: Verdict::Skipped, detail: why.into() }
    }

    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Failed
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "what was found out must be told"]
pub struct Outcome {
    pub findings: Vec<Finding>,
    /// Every event set of what was verified, as it was counted.
    pub loaded: Vec<super::Loaded>,
}

impl Outcome {
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// Nothing failed.
    pub fn is_sound(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "format": 1,
            "passed": self.count(Verdict::Passed),
            "failed": self.count(Verdict::Failed),
            "skipped": self.count(Verdict::Skipped),
            "checks": self.findings,
        })
    }

    /// One line a kind of check; every failure and everything skipped by itself.
    pub fn human(&self) -> String {
        let mut text = String::new();
        let mut kinds: Vec<_> = self.findings.iter().map(|finding| finding.check).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let of_kind: Vec<_> = self.findings.iter().filter(|finding| finding.check == kind).collect();
            section(&mut text, kind, &of_kind);
        }
        let [passed, failed, skipped] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|v| self.count(v));
        let _ = writeln!(text, "{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

fn section(text: &mut String, kind: Check, findings: &[&Finding]) {
    let of = |verdict| findings.iter().filter(move |finding| finding.verdict == verdict);
    let passed = of(Verdict::Passed).count();
    let sign = match (of(Verdict::Failed).count(), passed) {
        (0, 0) => '-',
        (0, _) => '✓',
        _ => '✗',
    };
    let told = match of(Verdict::Passed).next() {
        // Of copies each stream's count is worth a word.
        Some(only) if passed == 1 => format!("{}: {}", only.subject, only.detail),
        _ => format!("{passed} of {}", findings.len() - of(Verdict::Skipped).count()),
    };
    let _ = writeln!(text, "{sign} {:12} {told}", kind.word());
    for finding in of(Verdict::Failed) {
        let _ = writeln!(text, "    ✗ {}: {}", finding.subject, finding.detail);
    }
    for finding in of(Verdict::Skipped) {
        let _ = writeln!(text, "    - {}: skipped, {}", finding.subject, finding.detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_gaps_are_named_and_the_rest_is_counted() {
        let mut outcome = Outcome::default();
        outcome.extend([
            Finding::passed(Check::Link, "web → hub", "linked to oak"),
            Finding::passed(Check::Link, "pi → hub", "linked to ash"),
            Finding::failed(Check::Copies, "EVT on hub", "3 of 4 copies"),
            Finding::passed(Check::Copies, "CMD on hub", "3 of 3 copies on 3 machines"),
            Finding::skipped(Check::Query, "todos.list", "`todos` runs on none of these machines"),
        ]);
        assert_eq!(
            outcome.human(),
            "\
✓ links        2 of 2
✗ copies       CMD on hub: 3 of 3 copies on 3 machines
    ✗ EVT on hub: 3 of 4 copies
- queries      0 of 0
    - todos.list: skipped, `todos` runs on none of these machines
3 passed, 1 failed, 1 skipped
"
        );
        assert!(!outcome.is_sound());
        assert_eq!(outcome.json()["checks"][2]["verdict"], "failed");
    }
}
