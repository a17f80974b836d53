//! A port on a machine belongs to one listener.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine, Part};
use std::net::SocketAddr;

const CODE: Code = Code(406);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "ports",
    title: "two listeners on one machine have one port",
    check: Check::Machine(check),
};

enum Path<'a> {
    Option(&'static str),
    Service(&'a str, &'a str),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Option(path) => f.write_str(path),
            Path::Service(service, port) => write!(f, "services.{service}.listen.{port}.address"),
        }
    }
}

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    let options = &machine.options;
    let mut seen =
        vec![(options.leaf.listen, Path::Option("leaf.listen")), (options.leaf.monitor, Path::Option("leaf.monitor"))];
    if machine.part == Part::Member {
        seen.push((options.cluster.listen, Path::Option("cluster.listen")));
        seen.push((options.cluster.leafnodes, Path::Option("cluster.leafnodes")));
    }
    for (name, service) in &options.services {
        for (port, listen) in &service.listen {
            seen.push((listen.address, Path::Service(name.as_str(), port)));
            if service.instances > 1 {
                let says =
                    format!("{} instances of `{name}` cannot all listen on {}", service.instances, listen.address);
                let place = span(machine, &format!("services.{name}.instances"));
                let finding = Diagnostic::error(CODE, place, says)
                    .also(span(machine, &seen[seen.len() - 1].1.to_string()), "one port");
                report.push(finding.help("write `instances = 1`, or let them listen through NATS only"));
            }
        }
    }
    for (at, (address, path)) in seen.iter().enumerate() {
        let Some((_, first)) = seen[..at].iter().find(|(other, _)| clash(*address, *other)) else { continue };
        let says = format!("the port {} is taken by `{first}`", address.port());
        let finding = Diagnostic::error(CODE, span(machine, &path.to_string()), says)
            .also(span(machine, &first.to_string()), "taken here");
        report.push(finding.help(format!("choose another port for `{path}`")));
    }
}

/// An unspecified address listens on all; port 0 is whatever is free.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let meet = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && meet
}
