//! Where events are on one machine only, even for a moment, they are on its disk before they are acknowledged.
//!
//! By default nats-server writes through every two minutes: a power cut loses what was acknowledged since (NATS-FACTS part 2, 11).

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::Duration;
use crate::resolve::model::{Domain, Machine, Part};

const CODE: Code = Code(320);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "sync-interval",
    title: "acknowledged events could be lost in a power cut",
    check: Check::Machine(check),
};

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    let text = machine.options.leaf.sync_interval.as_str();
    if text == "always" {
        return;
    }
    let place = span(machine, "leaf.sync_interval");
    if let Err(fault) = Duration::parse(text) {
        let says = format!("`sync_interval` is `always` or a duration: {fault}");
        report.push(Diagnostic::error(CODE, place, says).help("write `sync_interval = \"always\"`"));
    } else if machine.part == Part::Leaf && machine.options.event_store.enable {
        let says = format!("a power cut loses the events of the last {text}, which are on this machine only");
        report.push(Diagnostic::warning(CODE, place, says).help("write `sync_interval = \"always\"`"));
    }
}
