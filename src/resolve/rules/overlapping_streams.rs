//! Within one JetStream domain no subject belongs to two streams, nor twice to one (nats-server error 10065);
//! and events and commands are captured by the stores that the domain has for them, and by nothing else.

use super::holder::Holder;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::{StreamName, SubjectPattern};
use crate::resolve::model::Domain;

const CODE: Code = Code(307);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "overlapping-streams",
    title: "two streams in one place capture one subject",
    check: Check::Holder(check),
};

fn check(holder: Holder<'_>, domain: &Domain, report: &mut Report) {
    let mut seen: Vec<(&StreamName, &SubjectPattern)> = vec![];
    for (name, stream) in holder.streams() {
        for subject in &stream.subjects {
            captured_already(holder, domain, name, subject, report);
            if let Some((first, theirs)) = seen.iter().find(|(_, theirs)| theirs.overlaps(subject)) {
                let says = if *first == name {
                    format!("`{subject}` and `{theirs}` overlap within the stream `{name}`")
                } else {
                    format!("`{subject}` of the stream `{name}` overlaps `{theirs}` of the stream `{first}`")
                };
                report.push(
                    Diagnostic::error(CODE, holder.stream_span(name, "subjects"), says)
                        .also(holder.stream_span(first, "subjects"), "captured here already")
                        .help("let one of them capture the subject; the other can have it as one of its `sources`, with a `filter`"),
                );
            }
            seen.push((name, subject));
        }
    }
}

/// On a leaf with an event store, and on the cluster, the domain's events and commands have their streams.
fn captured_already(
    holder: Holder<'_>,
    domain: &Domain,
    name: &StreamName,
    subject: &SubjectPattern,
    report: &mut Report,
) {
    let (events, commands) = match holder {
        Holder::Cluster(_) => ("EVT".to_owned(), "CMD".to_owned()),
        Holder::Machine(machine) if machine.options.event_store.enable => {
            (format!("EVT-{}", machine.name), format!("CMD-{}", machine.name))
        }
        Holder::Machine(_) => return,
    };
    for (space, store) in [(&domain.spaces.events, events), (&domain.spaces.commands, commands)] {
        if space.overlaps(subject) {
            let says = format!("`{subject}` of the stream `{name}` overlaps `{space}`, which `{store}` stores already");
            let help = format!(
                "write `sources = [{{ stream = \"{store}\", filter = \"{subject}\" }}]` in place of `subjects`"
            );
            report.push(Diagnostic::error(CODE, holder.stream_span(name, "subjects"), says).help(help));
        }
    }
}
