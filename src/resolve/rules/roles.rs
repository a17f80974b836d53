//! No role lets a person do what only the provisioner may: change or empty streams, fill event sets, write histories, command servers.
//!
//! Immutable streams rest on it: whoever may send `$JS.API.STREAM.DELETE` needs no way around their flags.

use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::SubjectPattern;
use crate::resolve::model::Domain;

const CODE: Code = Code(412);

pub const RULE: Rule = Rule {
    code: CODE,
    name: "roles",
    title: "a role may do what only the provisioner may",
    check: Check::Domain(check),
};

/// What a request does, and its subjects, as seen in its own JetStream domain and from another.
const RESERVED: [(&str, [&str; 2]); 8] = [
    ("create streams", ["$JS.API.STREAM.CREATE.>", "$JS.*.API.STREAM.CREATE.>"]),
    ("change streams", ["$JS.API.STREAM.UPDATE.>", "$JS.*.API.STREAM.UPDATE.>"]),
    ("delete streams", ["$JS.API.STREAM.DELETE.>", "$JS.*.API.STREAM.DELETE.>"]),
    ("empty streams", ["$JS.API.STREAM.PURGE.>", "$JS.*.API.STREAM.PURGE.>"]),
    ("delete messages", ["$JS.API.STREAM.MSG.DELETE.>", "$JS.*.API.STREAM.MSG.DELETE.>"]),
    ("restore streams", ["$JS.API.STREAM.RESTORE.>", "$JS.*.API.STREAM.RESTORE.>"]),
    ("fill event sets", ["seed.>", "seed.>"]),
    ("write the history of machines", ["prv.>", "prv.>"]),
];

fn check(domain: &Domain, report: &mut Report) {
    for role in domain.roles.values() {
        for pattern in &role.publish {
            if let Some(what) = too_much(&pattern.value) {
                let says = format!("the role `{}` may {what}: it publishes `{}`", role.name, pattern.value);
                let help = format!(
                    "publish the domain's own subjects: `{}`, `{}`",
                    domain.spaces.commands, domain.spaces.queries
                );
                report.push(Diagnostic::error(CODE, pattern.span, says).help(help));
            }
        }
    }
}

fn too_much(pattern: &SubjectPattern) -> Option<&'static str> {
    let reaches = |subject: &&str| SubjectPattern::parse(subject).is_ok_and(|reserved| reserved.overlaps(pattern));
    RESERVED.iter().find(|(_, subjects)| subjects.iter().any(reaches)).map(|(what, _)| *what)
}
