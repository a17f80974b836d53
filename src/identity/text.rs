//! `identity/` as files, and back. What is read back has been checked: each JWT speaks of its key and is signed by
//! whoever may, up to the operator.

use super::jwt::{self, Claims, Fault};
use super::public::{Certificate, Issuer, PublicIdentity, PublicUser, Signed, UserId};
use crate::declare;
use crate::diag::{Checked, Code, Diagnostic, Report, SourceId, Span, Spanned};
use crate::name::{MachineName, NKeyPublic};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A file of `identity/` that cannot be believed.
pub const UNBELIEVABLE: Code = Code(612);
/// A file that `identity.toml` speaks of and that is not there, or a user that nobody can be.
pub const INCOMPLETE: Code = Code(613);

/// All files below `identity/`, by path; `from_declared` reads them back.
pub fn files(identity: &PublicIdentity) -> BTreeMap<String, String> {
    let mut files = BTreeMap::from([
        ("identity.toml".to_owned(), summary(identity)),
        ("operator.jwt".to_owned(), line(&identity.operator.jwt)),
        ("system-account.jwt".to_owned(), line(&identity.system_account.jwt)),
        ("account.jwt".to_owned(), line(&identity.account.jwt)),
        ("ca.pem".to_owned(), identity.ca.clone()),
    ]);
    for (user, public) in &identity.users {
        if let Some(jwt) = &public.jwt {
            files.insert(jwt_path(user), line(jwt));
        }
    }
    for (machine, certificate) in &identity.certificates {
        files.insert(format!("certificates/{machine}.pem"), certificate.pem.clone());
        if let Some(request) = &certificate.request {
            files.insert(request_path(machine), request.clone());
        }
    }
    files
}

fn jwt_path(user: &UserId) -> String {
    format!("{user}.jwt")
}

/// What a certificate is renewed from whose key was made on the machine.
fn request_path(machine: &MachineName) -> String {
    format!("requests/{machine}.pem")
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

/// `identity.toml`. Every value is made of characters that TOML takes as they are.
fn summary(identity: &PublicIdentity) -> String {
    let PublicIdentity { generation, operator, system_account, account, users, certificates, .. } = identity;
    let mut text = format!(
        "# Written by `leafwright keys sign`: public keys only. The JWTs and certificates are beside this file.\n\
         generation = {generation}\n\
         operator = \"{}\"\nsystem_account = \"{}\"\naccount = \"{}\"\n",
        operator.key, system_account.key, account.key,
    );
    if !identity.enrolled.is_empty() {
        let names: Vec<String> = identity.enrolled.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(text, "enrolled = [{}]", names.join(", "));
    }
    text += "\n[users]\n";
    for (user, public) in users {
        let _ = writeln!(text, "\"{user}\" = \"{}\"", public.key);
    }
    if !identity.revoked.is_empty() {
        text += "\n[revoked]\n";
    }
    for (key, generation) in &identity.revoked {
        let _ = writeln!(text, "{key} = {generation}");
    }
    for (machine, certificate) in certificates {
        let names: Vec<String> = certificate.names.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = write!(text, "\n[certificates.{machine}]\nnames = [{}]\n", names.join(", "));
        let _ = writeln!(text, "not_after = \"{}\"", certificate.not_after);
    }
    text
}

/// The identity that was written, with every signature checked.
pub fn from_declared(declared: &declare::Identity) -> Checked<PublicIdentity> {
    let mut reader = Reader { declared, report: Report::default() };
    let identity = reader.identity();
    let sound = !reader.report.has_errors();
    Checked::new(identity.filter(|_| sound), reader.report)
}

struct Reader<'a> {
    declared: &'a declare::Identity,
    report: Report,
}

impl Reader<'_> {
    fn identity(&mut self) -> Option<PublicIdentity> {
        let declared = self.declared;
        let operator_key = &declared.operator.value;
        let operator = self.token("operator.jwt", declared.operator.span, |jwt| jwt::read_operator(jwt, operator_key));
        let mut account = |path, key: &Spanned<NKeyPublic>| {
            self.token(path, key.span, |jwt| jwt::read_account_of(operator_key, jwt, &key.value))
        };
        let system_account = account("system-account.jwt", &declared.system_account);
        let account = account("account.jwt", &declared.account);
        let ca = self.file("ca.pem", declared.generation.span).map(|(_, pem)| pem.to_owned());
        let certificates = self.certificates();
        let ((operator, _), (system_jwt, system), (account_jwt, account)) = (operator?, system_account?, account?);
        let users = self.users(&system, &account);
        Some(PublicIdentity {
            generation: declared.generation.value,
            operator: Signed { key: operator_key.clone(), jwt: operator },
            system_account: Signed { key: declared.system_account.value.clone(), jwt: system_jwt },
            account: Signed { key: declared.account.value.clone(), jwt: account_jwt },
            users,
            ca: ca?,
            certificates,
            enrolled: declared.enrolled.iter().map(|machine| machine.value.clone()).collect(),
            revoked: declared.revoked.iter().map(|(key, until)| (key.clone(), until.value)).collect(),
        })
    }

    /// Ten thousand signatures take a while: each user alone, in parallel, reported in order.
    fn users(&mut self, system: &Claims, account: &Claims) -> BTreeMap<UserId, PublicUser> {
        let declared = self.declared;
        let issuers = Issuers { system, account };
        let read: Vec<_> = declared.users.par_iter().map(|(text, key)| user(declared, issuers, text, key)).collect();
        let mut users = BTreeMap::new();
        for (user, report) in read {
            self.report.absorb(report);
            users.extend(user);
        }
        users
    }

    fn certificates(&mut self) -> BTreeMap<MachineName, Certificate> {
        let declared = self.declared;
        let mut certificates = BTreeMap::new();
        for (machine, certificate) in &declared.certificates {
            let Some((_, pem)) = self.file(&format!("certificates/{machine}.pem"), certificate.not_after.span) else {
                continue;
            };
            let names = certificate.names.iter().map(|name| name.value.to_string()).collect();
            let not_after = certificate.not_after.value.to_string();
            let request = declared.files.get(request_path(machine).as_str()).map(|(_, pem)| pem.to_string());
            certificates.insert(machine.clone(), Certificate { names, not_after, pem: pem.to_owned(), request });
        }
        certificates
    }

    fn token(
        &mut self,
        path: &str,
        span: Span,
        read: impl FnOnce(&str) -> Result<Claims, Fault>,
    ) -> Option<(String, Claims)> {
        let (source, text) = self.file(path, span)?;
        let token = text.trim_end();
        match read(token) {
            Ok(claims) => Some((token.to_owned(), claims)),
            Err(fault) => {
                let message = format!("`identity/{path}` cannot be believed: {fault}");
                let whole = Span::new(source, 0..token.len());
                let found = Diagnostic::error(UNBELIEVABLE, whole, message).also(span, "this key is meant");
                self.report.push(found.help("run `leafwright keys sign` where the key store is"));
                None
            }
        }
    }

    fn file(&mut self, path: &str, span: Span) -> Option<(SourceId, &'_ str)> {
        let declared = self.declared;
        if let Some((source, text)) = declared.files.get(path) {
            return Some((*source, text));
        }
        let message = format!("`identity/{path}` is missing");
        self.report.push(Diagnostic::error(INCOMPLETE, span, message).help("run `leafwright keys sign`"));
        None
    }
}

#[derive(Clone, Copy)]
struct Issuers<'a> {
    system: &'a Claims,
    account: &'a Claims,
}

fn user(
    declared: &declare::Identity,
    issuers: Issuers<'_>,
    text: &str,
    key: &Spanned<NKeyPublic>,
) -> (Option<(UserId, PublicUser)>, Report) {
    let mut reader = Reader { declared, report: Report::default() };
    let Some(user) = UserId::parse(text) else {
        let message = format!("`{text}` is no user that a domain can have");
        reader.report.push(Diagnostic::error(INCOMPLETE, key.span, message).help("run `leafwright keys sign`"));
        return (None, reader.report);
    };
    let issuer = user.issuer().map(|issuer| match issuer {
        Issuer::Account => issuers.account,
        Issuer::SystemAccount => issuers.system,
    });
    let jwt = issuer
        .and_then(|issuer| reader.token(&jwt_path(&user), key.span, |jwt| jwt::read_user_of(issuer, jwt, &key.value)));
    let public = PublicUser { key: key.value.clone(), jwt: jwt.map(|(jwt, _)| jwt) };
    (Some((user, public)), reader.report)
}
