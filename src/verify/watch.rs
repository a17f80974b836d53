//! Whoever hears of a verification while it runs: what is waited for, and what was found.

use super::outcome::{Check, Finding};

pub trait Watch {
    /// What is not as it must be and is looked at again, with the number of others like it. Told a moment after it began, and then
    /// now and then.
    fn waits(&self, first: &Finding, others: usize);
    /// All checks of these kinds were made.
    fn made(&self, kinds: &[Check], findings: &[Finding]);
}

/// Nobody.
pub struct Unwatched;

impl Watch for Unwatched {
    fn waits(&self, _first: &Finding, _others: usize) {}
    fn made(&self, _kinds: &[Check], _findings: &[Finding]) {}
}
