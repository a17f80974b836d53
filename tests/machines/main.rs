//! Scenarios on real systemd machines; `tests/lab/README.md` says how to write one.
//!
//! Refuses: to be skipped in silence.

#[path = "../lab/mod.rs"]
mod lab;
mod apply;
mod back;
mod bench;
mod changes;
mod client;
mod domain;
mod drift;
mod encrypted;
mod firewall;
mod harness;
mod history;
mod leftovers;
mod operator;
mod packages;
mod power;
mod room;
mod secrets;
mod systemd;
mod probe;

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
    Inside apply::declared_gates_decide,
    Inside apply::new_keys_are_applied_to_a_machine_that_runs,
    Inside apply::an_image_boots_as_its_generation,
    Inside changes::the_plan_says_which_units_start_again,
    Inside back::a_unit_that_does_not_stay_up_goes_back,
    Inside back::what_does_not_start_again_stands_in_nobodys_way,
    Inside back::a_killed_apply_goes_back,
    Inside back::a_power_cut_goes_back,
    Inside back::another_leafwright_is_a_generation,
    Inside back::what_a_commit_left_goes_later,
    Inside back::a_damaged_way_back_is_mended_by_its_text,
    Inside back::nothing_of_a_test_outlives_its_boot,
    Inside back::what_was_the_distributions_is_its_again,
    Inside back::a_boot_that_cannot_be_proved_is_given_up,
    Inside back::modes_last_as_long_as_they_say,
    Inside drift::a_damaged_store_is_named_and_mended,
    Inside drift::what_hands_change_is_found_and_repaired,
    Inside packages::packages_are_installed_and_never_removed,
    Virtual power::what_lies_on_the_disk_after_a_power_cut_is_whole,
    Inside room::a_disk_that_runs_full_goes_back,
    Inside secrets::secrets_stay_where_they_are_meant_to_be,
    Inside encrypted::credentials_are_encrypted_for_their_machine,
    Inside domain::a_bare_machine_is_bootstrapped_over_ssh,
    Inside domain::five_bare_machines_become_a_domain,
    Inside history::what_became_of_a_machine_is_told_on_another,
    Outside leftovers::nothing_is_left_after_success,
    Outside leftovers::nothing_is_left_after_failure,
    Outside leftovers::nothing_is_left_after_a_signal,
    Outside leftovers::a_skip_is_seen,
    Inside systemd::jobs_are_done_and_units_are_seen,
    Inside systemd::new_files_are_seen_after_a_reload,
    Inside systemd::failures_say_why,
    Inside systemd::what_hangs_is_cancelled,
    Inside systemd::a_transient_service_outlives_who_started_it,
    Inside systemd::without_a_bus_its_own_socket_does,
    Hidden leftovers::passes,
    Hidden leftovers::fails,
    Hidden leftovers::waits,
    Hidden bench::apply_takes_so_long,
];

fn main() -> ExitCode {
    // A machine has this program too, for what the library does inside it.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((_, words)) = args.split_first().filter(|(first, _)| *first == "--probe") {
        return probe::main(words);
    }
    lab::main(SCENARIOS)
}
