//! The cluster remembers a command at least as long as the leaf that sent it: else it would fetch it a second time.

use super::holder::{Holder, leaves, span};
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::Duration;
use crate::resolve::model::Domain;

const CODE: Code = Code(319);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "command-age",
    title: "commands are forgotten in the wrong order",
    check: Check::Domain(check),
};

/// 0 is no limit: longer than everything.
fn length(age: Duration) -> u64 {
    if age.as_nanos() == 0 { u64::MAX } else { age.as_nanos() }
}

fn check(domain: &Domain, report: &mut Report) {
    let Some(cluster) = &domain.cluster else { return };
    let holder = Holder::Cluster(cluster);
    let commands = &cluster.options.commands;
    if commands.ack_wait.as_nanos() == 0 {
        let says = "a service that has no time to work on a command gets it again and again";
        let finding = Diagnostic::error(CODE, holder.span("commands.ack_wait"), says);
        report.push(finding.help("write `ack_wait = \"30s\"`, longer than any of them takes"));
    } else if length(commands.ack_wait) >= length(commands.max_age) {
        let says = format!(
            "a service may work on a command for {}, and it is forgotten after {}",
            commands.ack_wait, commands.max_age
        );
        let finding = Diagnostic::error(CODE, holder.span("commands.ack_wait"), says);
        report.push(
            finding
                .also(holder.span("commands.max_age"), "forgotten after")
                .help("shorten `ack_wait`, or lengthen `max_age`"),
        );
    }
    if commands.max_deliver == 0 {
        let says = "a command that is delivered at most 0 times is delivered without end";
        report.push(
            Diagnostic::error(CODE, holder.span("commands.max_deliver"), says)
                .help("write `max_deliver = 5` or the like"),
        );
    }
    for leaf in leaves(domain).filter(|leaf| leaf.options.event_store.enable) {
        let theirs = leaf.options.event_store.commands_max_age;
        if length(theirs) > length(commands.max_age) {
            let says = format!("a leaf keeps commands for {theirs}, and the cluster for {} only", commands.max_age);
            report.push(
                Diagnostic::error(CODE, span(leaf, "event_store.commands_max_age"), says)
                    .also(holder.span("commands.max_age"), "the cluster's")
                    .help("shorten `event_store.commands_max_age`, or lengthen the cluster's `commands.max_age`"),
            );
        }
    }
}
