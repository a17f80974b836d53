//! Scenarios on real systemd machines; `tests/lab/README.md` says how to write one.
//!
//! Refuses: to be skipped in silence.

#[path = "../lab/mod.rs"]
mod lab;
mod apply;
mod harness;
mod leftovers;
mod operator;

use lab::{Run, Scenario};
use std::process::ExitCode;

macro_rules! scenarios {
    ($($kind:ident $path:path,)*) => { &[$(Scenario { name: stringify!($path), run: Run::$kind($path) }),*] };
}

const SCENARIOS: &[Scenario] = scenarios![
    Inside harness::machines_meet_and_are_parted,
    Inside harness::units_restart_and_disks_outlive_power,
    Inside harness::a_hardened_unit_is_confined,
    Inside harness::processes_run_hang_and_die,
    Inside apply::a_leaf_becomes_what_is_declared,
    Outside leftovers::nothing_is_left_after_success,
    Outside leftovers::nothing_is_left_after_failure,
    Outside leftovers::nothing_is_left_after_a_signal,
    Outside leftovers::a_skip_is_seen,
    Hidden leftovers::passes,
    Hidden leftovers::fails,
    Hidden leftovers::waits,
];

fn main() -> ExitCode {
    lab::main(SCENARIOS)
}
