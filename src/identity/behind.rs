//! Does `identity/` say what the declarations ask? What compiles from it needs the keys, so a missing one is an error;
//! a JWT that allows something else than is declared is a warning, because the one that was signed still works.

use super::jwt::{self, Kind};
use super::public::{PublicIdentity, PublicUser, UserId};
use super::signing::Wanted;
use super::text::from_declared;
use super::{ConnectionType, Permissions};
use crate::declare;
use crate::diag::{Checked, Code, Diagnostic, Report, Severity, Span};
use crate::name::MachineName;
use std::collections::BTreeSet;

/// `identity/` is not there.
pub const MISSING: Code = Code(610);
/// `identity/` is behind the declarations.
pub const BEHIND: Code = Code(611);

const HELP: &str = "run `leafwright keys sign`";
const ENROL: &str = "run `leafwright keys make` on the machine, and `leafwright keys enrol` with what it prints";

/// Whose keys are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    Everybodys,
    /// Those of one machine, and the domain's own: what one machine is made of needs nobody else's.
    Of(&'a MachineName),
}

impl Whose<'_> {
    fn counts(self, machine: Option<&MachineName>) -> bool {
        match (self, machine) {
            (Whose::Of(one), Some(machine)) => one == machine,
            _ => true,
        }
    }
}

/// The identity as it is, with a finding for all that the declarations ask and it does not say.
/// `domain` is blamed where there is no `identity/` at all.
pub fn current(
    wanted: &Wanted,
    declared: Option<&declare::Identity>,
    domain: Span,
    whose: Whose<'_>,
) -> Checked<PublicIdentity> {
    let mut report = Report::default();
    let Some(declared) = declared else {
        let text = "this domain has no identity yet: no keys, no JWTs, no certificates";
        report.push(
            Diagnostic::error(MISSING, domain, text).help("run `leafwright keys init`, then `leafwright keys sign`"),
        );
        return Checked::new(None, report);
    };
    from_declared(declared).then(|identity| {
        let differences = differences(wanted, &identity, whose);
        if let Some(worst) = differences.iter().map(|difference| difference.severity).min() {
            report.push(finding(worst, &differences, declared.generation.span));
        }
        Checked::new((!report.has_errors()).then_some(identity), report)
    })
}

/// One finding for all of it: there is one thing to do about it.
fn finding(severity: Severity, differences: &[Difference], span: Span) -> Diagnostic {
    let new = match severity {
        Severity::Error => Diagnostic::error,
        Severity::Warning => Diagnostic::warning,
    };
    // What only a machine can mend is said where nothing else is wrong as much.
    let enrol = differences.iter().filter(|difference| difference.severity == severity).all(|d| d.help == ENROL);
    let help = if enrol { ENROL } else { HELP };
    const SHOWN: usize = 3;
    let mut texts: Vec<String> = differences.iter().take(SHOWN).map(|difference| difference.text.clone()).collect();
    if differences.len() > SHOWN {
        texts.push(format!("and {} more", differences.len() - SHOWN));
    }
    new(BEHIND, span, "identity is behind the declarations").label(texts.join("; ")).help(help)
}

/// One thing that is asked and not said, or said and not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub severity: Severity,
    pub text: String,
    /// What to do about it.
    pub help: &'static str,
}

fn differences(wanted: &Wanted, identity: &PublicIdentity, whose: Whose<'_>) -> Vec<Difference> {
    let users = wanted.users.iter().filter(|(user, _)| whose.counts(user.machine()));
    let users = users.filter_map(|(user, (permissions, connections))| {
        let difference = user_difference(user, identity.users.get(user), permissions, connections)?;
        let lacks = !identity.users.contains_key(user) && user.made_on().is_some_and(|m| identity.enrolled.contains(m));
        Some(if lacks { Difference { help: ENROL, ..difference } } else { difference })
    });
    let gone = identity.users.keys().filter(|user| !wanted.users.contains_key(user) && whose.counts(user.machine()));
    let gone = gone.map(|user| different(format!("`{user}` is not declared any more")));
    let servers = wanted.servers.iter().filter(|(machine, _)| whose.counts(Some(machine)));
    let servers = servers.filter_map(|(machine, names)| match identity.certificates.get(machine) {
        None => {
            let help = if identity.enrolled.contains(machine) { ENROL } else { HELP };
            Some(Difference { help, ..missing(format!("the server of `{machine}` has no certificate")) })
        }
        Some(certificate) if certificate.names != *names => {
            Some(different(format!("the certificate of `{machine}` stands for other names")))
        }
        Some(_) => None,
    });
    users.chain(gone).chain(servers).collect()
}

fn user_difference(
    user: &UserId,
    has: Option<&PublicUser>,
    permissions: &Permissions,
    connections: &BTreeSet<ConnectionType>,
) -> Option<Difference> {
    let Some(has) = has else { return Some(missing(format!("`{user}` has no key"))) };
    user.issuer()?;
    let Some(token) = &has.jwt else { return Some(missing(format!("`{user}` has no JWT"))) };
    match jwt::read_again(token).map(|claims| claims.kind) {
        Ok(Kind::User { permissions: p, connections: c, .. }) if p.means_the_same(permissions) && c == *connections => {
            None
        }
        _ => Some(different(format!("`{user}` may do something else than is declared"))),
    }
}

fn missing(text: String) -> Difference {
    Difference { severity: Severity::Error, text, help: HELP }
}

fn different(text: String) -> Difference {
    Difference { severity: Severity::Warning, text, help: HELP }
}
