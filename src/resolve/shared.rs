//! What machines with one base need not work out again: expressions, conditions and checks that read nothing of their own.
//!
//! Refuses: trusting luck. Each result keeps the options that it read; it counts for a machine only if that machine touches none.

use super::evaluate::Out;
use std::collections::{BTreeMap, BTreeSet};

/// The options that something read, and whether it read what differs from machine to machine.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub options: BTreeSet<Box<str>>,
    pub own: bool,
}

impl Reads {
    fn merge(&mut self, other: &Reads) {
        self.options.extend(other.options.iter().cloned());
        self.own |= other.own;
    }

    fn holds_for(&self, touched: &BTreeSet<&str>) -> bool {
        !self.own && !self.options.iter().any(|option| touched.contains(&**option))
    }
}

/// Results of a base.
#[derive(Debug, Default)]
pub struct Shared {
    values: BTreeMap<Box<str>, (Out, Reads)>,
    switches: BTreeMap<usize, (bool, Reads)>,
    /// Checks that hold, by their place in the base.
    checks: BTreeMap<usize, Reads>,
}

impl Shared {
    pub fn value(&self, memo: &str, touched: &BTreeSet<&str>) -> Option<&Out> {
        self.values.get(memo).filter(|(_, reads)| reads.holds_for(touched)).map(|(out, _)| out)
    }

    pub fn switch(&self, at: usize, touched: &BTreeSet<&str>) -> Option<bool> {
        self.switches.get(&at).filter(|(_, reads)| reads.holds_for(touched)).map(|(on, _)| *on)
    }

    pub fn check_holds(&self, at: usize, touched: &BTreeSet<&str>) -> bool {
        self.checks.get(&at).is_some_and(|reads| reads.holds_for(touched))
    }
}

/// Watches the evaluation of a base.
#[derive(Debug, Default)]
pub struct Recorder {
    frames: Vec<Reads>,
    pub shared: Shared,
}

impl Recorder {
    pub fn begin(&mut self) {
        self.frames.push(Reads::default());
    }

    fn end(&mut self) -> Reads {
        let reads = self.frames.pop().unwrap_or_default();
        if let Some(outer) = self.frames.last_mut() {
            outer.merge(&reads);
        }
        reads
    }

    pub fn end_value(&mut self, memo: &str, out: &Out) {
        let mut reads = self.end();
        // What failed is said again by every machine.
        reads.own |= matches!(out, Out::Failed);
        self.shared.values.insert(memo.into(), (out.clone(), reads));
    }

    pub fn end_switch(&mut self, at: usize, on: bool) {
        let reads = self.end();
        self.shared.switches.insert(at, (on, reads));
    }

    pub fn end_check(&mut self, at: usize, holds: bool) {
        let reads = self.end();
        if holds {
            self.shared.checks.insert(at, reads);
        }
    }

    pub fn read(&mut self, option: &str) {
        if let Some(frame) = self.frames.last_mut() {
            frame.options.insert(option.into());
        }
    }

    /// Something was read that only this machine says.
    pub fn read_own(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.own = true;
        }
    }

    /// A result that was there already is read again.
    pub fn again(&mut self, memo: &str) {
        if let (Some(frame), Some((_, reads))) = (self.frames.last_mut(), self.shared.values.get(memo)) {
            frame.merge(reads);
        }
    }

    pub fn switch_again(&mut self, at: usize) {
        if let (Some(frame), Some((_, reads))) = (self.frames.last_mut(), self.shared.switches.get(&at)) {
            frame.merge(reads);
        }
    }
}

/// Facts that differ between machines of one base.
pub fn is_own(root: &str, key: Option<&str>) -> bool {
    root == "person" || (root == "machine" && !matches!(key, Some("zone" | "hardware" | "configuration" | "cluster")))
}
