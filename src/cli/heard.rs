//! What is heard of a verification while it runs, for whoever waits for it or stops it.

use super::talk;
use crate::verify::outcome::Check;
use crate::verify::{Finding, Outcome, Watch};
use std::cell::RefCell;

/// Says on stderr what is waited for, and keeps what was found.
#[derive(Default)]
pub(super) struct Heard {
    made: RefCell<Vec<Check>>,
    outcome: RefCell<Outcome>,
}

impl Watch for Heard {
    fn waits(&self, first: &Finding, others: usize) {
        let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
        talk::say(&format!("waiting for {}: {}{others}", first.subject, first.detail));
    }

    fn made(&self, kinds: &[Check], findings: &[Finding]) {
        self.made.borrow_mut().extend(kinds);
        self.outcome.borrow_mut().extend(findings.iter().cloned());
    }
}

impl Heard {
    /// What was found until it was stopped, and what was not looked at.
    pub(super) fn half(&self) -> String {
        let made = self.made.borrow();
        let rest: Vec<&str> = Check::ALL.iter().filter(|kind| !made.contains(kind)).map(|kind| kind.word()).collect();
        format!("stopped while verifying\n{}not proved: {}", self.outcome.borrow().human(), rest.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_verification_says_which_half() {
        let heard = Heard::default();
        let all = "links, domains, connections, streams, consumers, events, aggregates, copies, rights, queries";
        assert_eq!(heard.half(), format!("stopped while verifying\n0 passed, 0 failed, 0 skipped\nnot proved: {all}"));
        heard.made(&[Check::Link, Check::Domain], &[Finding::passed(Check::Domain, "oak", "JetStream domain `hub`")]);
        assert_eq!(
            heard.half(),
            "stopped while verifying\n✓ domains      oak: JetStream domain `hub`\n1 passed, 0 failed, 0 skipped\n\
             not proved: connections, streams, consumers, events, aggregates, copies, rights, queries"
        );
    }
}
