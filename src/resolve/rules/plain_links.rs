//! Links inside a zone may be plain; a link that leaves its zone is TLS.

use super::holder::{members, span};
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Link, Machine, Part};

const CODE: Code = Code(314);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "plain-links",
    title: "a link between zones is not protected",
    check: Check::Machine(check),
};

fn check(machine: &Machine, domain: &Domain, report: &mut Report) {
    let (path, link) = match machine.part {
        Part::Leaf => ("leaf.link", machine.options.leaf.link),
        Part::Member => ("cluster.link", machine.options.cluster.link),
    };
    if link == Link::Tls {
        return;
    }
    if let Some(far) = members(domain).find(|member| member.zone != machine.zone) {
        let says =
            format!("the link from the zone `{}` to `{}` in the zone `{}` is plain", machine.zone, far.name, far.zone);
        let finding = Diagnostic::error(CODE, span(machine, path), says)
            .also(far.origin, format!("`{}` is in the zone `{}`", far.name, far.zone));
        report.push(finding.help(format!("leave `{path}` out: `tls` is the default")));
    }
}
