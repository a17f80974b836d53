//! The rules of a resolved domain: one file per rule, all in one table.
//!
//! Refuses: mending anything, and stopping at the first fault. A rule reads and reports, in any order, on any thread.

mod holder;
mod rows;

mod bucket_fields;
mod bucket_names;
mod cluster_size;
mod command_age;
mod copies;
mod environment;
mod event_capture;
mod event_sets;
mod file_paths;
mod immutable_streams;
mod loopback;
mod machine_names;
mod max_payload;
mod member_addresses;
mod members_only_serve;
mod missing_cluster;
mod overlapping_streams;
mod parts;
mod placeholders;
mod plain_links;
mod ports;
mod repeated_events;
mod replicas;
mod reported_hardware;
mod reserved_names;
mod role_reach;
mod roles;
mod secrets;
mod server_names;
mod services;
mod shards;
mod single_point_of_failure;
mod source_cycles;
mod sources;
mod storage_limits;
mod stream_fields;
mod stream_subjects;
mod subject_owners;
mod sync_interval;
mod unit_directives;
mod unit_names;
mod unused_events;
mod user_names;
mod work_queue_sources;

#[cfg(test)]
mod fixture;

pub use environment::is_variable;
pub use event_sets::event_sets;
pub use file_paths::is_sound as is_sound_path;
pub use placeholders::placeholders;
pub use repeated_events::repeated_events;
pub use reported_hardware::reported_hardware;
pub use secrets::{conceal, holds_secret, made_secret, secrets};
pub use unused_events::unused_events;

use super::model::{Domain, Machine};
use crate::diag::{Code, Report};
use holder::Holder;
use rayon::prelude::*;

/// One thing that must hold of a domain.
pub struct Rule {
    pub code: Code,
    /// Also the name of its golden case's folder.
    pub name: &'static str,
    pub title: &'static str,
    pub check: Check,
}

/// What a rule looks at.
pub enum Check {
    Domain(fn(&Domain, &mut Report)),
    Machine(fn(&Machine, &Domain, &mut Report)),
    /// Whatever holds streams and buckets: the cluster, and each machine.
    Holder(fn(Holder<'_>, &Domain, &mut Report)),
}

pub const RULES: &[Rule] = &[
    // What NATS demands, or lets pass and punishes later.
    server_names::RULE,
    bucket_names::RULE,
    loopback::RULE,
    reserved_names::RULE,
    stream_fields::RULE,
    stream_subjects::RULE,
    overlapping_streams::RULE,
    subject_owners::RULE,
    bucket_fields::RULE,
    immutable_streams::RULE,
    replicas::RULE,
    copies::RULE,
    storage_limits::RULE,
    plain_links::RULE,
    max_payload::RULE,
    sources::RULE,
    source_cycles::RULE,
    work_queue_sources::RULE,
    command_age::RULE,
    sync_interval::RULE,
    // What the domain demands of itself.
    cluster_size::RULE,
    single_point_of_failure::RULE,
    parts::RULE,
    members_only_serve::RULE,
    member_addresses::RULE,
    missing_cluster::RULE,
    ports::RULE,
    shards::RULE,
    services::RULE,
    environment::RULE,
    unit_directives::RULE,
    unit_names::RULE,
    file_paths::RULE,
    event_capture::RULE,
    user_names::RULE,
    machine_names::RULE,
    roles::RULE,
    role_reach::RULE,
];

/// Judges the domain by every rule; the order of the report does not depend on the number of threads.
pub fn all(domain: &Domain) -> Report {
    let (whole, machines) = rayon::join(|| of_domain(domain), || of_machines(domain));
    let mut report = whole;
    report.absorb(machines);
    report
}

fn of_domain(domain: &Domain) -> Report {
    let reports: Vec<Report> = RULES
        .par_iter()
        .map(|rule| {
            let mut report = Report::default();
            match (&rule.check, &domain.cluster) {
                (Check::Domain(check), _) => check(domain, &mut report),
                (Check::Holder(check), Some(cluster)) => check(Holder::Cluster(cluster), domain, &mut report),
                (Check::Holder(_), None) | (Check::Machine(_), _) => {}
            }
            report
        })
        .collect();
    joined(reports)
}

fn of_machines(domain: &Domain) -> Report {
    let reports: Vec<Report> = domain
        .machines
        .par_chunks(256)
        .map(|machines| {
            let mut report = Report::default();
            for machine in machines {
                for rule in RULES {
                    match &rule.check {
                        Check::Domain(_) => {}
                        Check::Machine(check) => check(machine, domain, &mut report),
                        Check::Holder(check) => check(Holder::Machine(machine), domain, &mut report),
                    }
                }
            }
            report
        })
        .collect();
    joined(reports)
}

fn joined(reports: Vec<Report>) -> Report {
    let mut all = Report::default();
    for report in reports {
        all.absorb(report);
    }
    all
}

#[cfg(test)]
mod tests;
