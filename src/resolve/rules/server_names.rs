//! Server names and JetStream domains are unique across the domain.
//!
//! Two servers of one name replace each other at the hub for ever; two JetStream domains of one name answer each other's
//! requests at random (NATS-FACTS part 2, 6). nats-server says nothing of either.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine, Part};
use std::collections::BTreeMap;

const CODE: Code = Code(301);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "server-names",
    title: "two machines have one server name or one JetStream domain",
    check: Check::Domain(check),
};

fn check(domain: &Domain, report: &mut Report) {
    let mut servers: BTreeMap<&str, &Machine> = BTreeMap::new();
    let mut domains: BTreeMap<&str, &Machine> = BTreeMap::new();
    for machine in &domain.machines {
        let leaf = &machine.options.leaf;
        one_token(machine, "leaf.server_name", &leaf.server_name, report);
        one_token(machine, "leaf.domain", &leaf.domain, report);
        twice(&mut servers, &leaf.server_name, machine, ("leaf.server_name", "server name"), report);
        match &domain.cluster {
            Some(cluster) if machine.part == Part::Member => {
                if leaf.domain != cluster.name.as_str() {
                    let text = format!(
                        "the member `{}` is not in the cluster's JetStream domain `{}`",
                        machine.name, cluster.name
                    );
                    let finding = Diagnostic::error(CODE, span(machine, "leaf.domain"), text);
                    report.push(
                        finding.help(format!("leave `leaf.domain` out, or write `domain = \"{}\"`", cluster.name)),
                    );
                }
            }
            Some(cluster) if leaf.domain == cluster.name.as_str() => {
                let text = format!("the JetStream domain `{}` is the cluster's", leaf.domain);
                let finding = Diagnostic::error(CODE, span(machine, "leaf.domain"), text)
                    .also(cluster.origin, "the cluster of this name");
                report.push(finding.help(format!("leave `leaf.domain` out: it is `{}` then", machine.name)));
            }
            _ => twice(&mut domains, &leaf.domain, machine, ("leaf.domain", "JetStream domain"), report),
        }
    }
}

fn twice<'a>(
    seen: &mut BTreeMap<&'a str, &'a Machine>,
    text: &'a str,
    machine: &'a Machine,
    what: (&str, &str),
    report: &mut Report,
) {
    let (path, noun) = what;
    let Some(first) = seen.get(text) else {
        seen.insert(text, machine);
        return;
    };
    let says = format!("the {noun} `{text}` belongs to two machines, `{}` and `{}`", first.name, machine.name);
    report.push(
        Diagnostic::error(CODE, span(machine, path), says)
            .also(span(first, path), format!("first used here, by `{}`", first.name))
            .help(format!("leave `{path}` out: it is the machine's name then")),
    );
}

/// Both stand in subjects, URLs and file names: one word.
fn one_token(machine: &Machine, path: &str, text: &str, report: &mut Report) {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || !text.chars().all(ok) {
        let says = format!("`{path}` is one word of letters, digits, `-` and `_`, not {text:?}");
        let finding = Diagnostic::error(CODE, span(machine, path), says);
        report.push(finding.help(format!("leave `{path}` out: it is the machine's name then")));
    }
}
