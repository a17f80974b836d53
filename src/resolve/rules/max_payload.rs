//! The largest message is one value in the whole domain: where it is smaller, the server closes the connection of
//! whoever sends what is allowed elsewhere (NATS-FACTS part 1, 10).

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::ByteSize;
use crate::resolve::model::{Domain, Machine};
use std::collections::BTreeMap;

const CODE: Code = Code(315);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "max-payload",
    title: "the largest message differs between machines",
    check: Check::Domain(check),
};

/// Above this nats-server warns, and slow consumers are cut off by a handful of messages.
const LARGE: ByteSize = ByteSize::bytes(8 << 20);

fn check(domain: &Domain, report: &mut Report) {
    let payload = |machine: &Machine| machine.options.leaf.max_payload;
    let mut counts: BTreeMap<ByteSize, usize> = BTreeMap::new();
    for machine in &domain.machines {
        *counts.entry(payload(machine)).or_default() += 1;
    }
    let usual = counts.iter().max_by_key(|(size, count)| (**count, **size)).map(|(size, _)| *size);
    let example = domain.machines.iter().find(|machine| Some(payload(machine)) == usual);
    for machine in &domain.machines {
        let leaf = &machine.options.leaf;
        let place = || span(machine, "leaf.max_payload");
        if let (Some(usual), Some(example)) = (usual, example)
            && leaf.max_payload != usual
        {
            let says = format!("`max_payload` is {} here and {usual} elsewhere", leaf.max_payload);
            report.push(
                Diagnostic::error(CODE, place(), says)
                    .also(span(example, "leaf.max_payload"), format!("{usual} on `{}`", example.name))
                    .help("set `leaf.max_payload` once, in `[settings.leaf]` of domain.toml"),
            );
        }
        if leaf.max_payload > leaf.max_pending {
            let says = format!(
                "a message of {} does not fit into the {} that may be pending",
                leaf.max_payload, leaf.max_pending
            );
            let help = format!("raise `leaf.max_pending` to at least {}", leaf.max_payload);
            report.push(
                Diagnostic::error(CODE, place(), says)
                    .also(span(machine, "leaf.max_pending"), "pending at most")
                    .help(help),
            );
        }
        if leaf.max_payload > LARGE {
            let says = format!("messages of {} are larger than nats-server advises", leaf.max_payload);
            report.push(
                Diagnostic::warning(CODE, place(), says)
                    .help("write `max_payload = \"8MiB\"` or less, and keep larger things in an object bucket"),
            );
        }
    }
}
