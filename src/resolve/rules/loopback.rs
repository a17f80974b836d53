//! Services talk to their own machine and to nothing else: what they connect to, and what they open, is on loopback.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine};
use std::net::SocketAddr;

const CODE: Code = Code(303);

pub const RULE: Rule =
    Rule { code: CODE, name: "loopback", title: "a local port is open to the network", check: Check::Machine(check) };

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    let leaf = &machine.options.leaf;
    judge(machine, || "leaf.listen".to_owned(), leaf.listen, "clients connect", report);
    judge(machine, || "leaf.monitor".to_owned(), leaf.monitor, "monitoring is read", report);
    for (name, service) in &machine.options.services {
        for (port, listen) in &service.listen {
            let path = || format!("services.{name}.listen.{port}.address");
            judge(machine, path, listen.address, "services are reached", report);
        }
    }
}

fn judge(machine: &Machine, path: impl Fn() -> String, address: SocketAddr, what: &str, report: &mut Report) {
    if address.ip().is_loopback() {
        return;
    }
    let says = format!("{what} on this machine only, and {} is not a loopback address", address.ip());
    let help = format!("write `\"127.0.0.1:{}\"`; other machines are reached through the leaf's link", address.port());
    report.push(Diagnostic::error(CODE, span(machine, &path()), says).help(help));
}
