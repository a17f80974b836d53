//! No secret stands in a declaration: seeds, private keys, credentials and tokens are found in the raw text of every file.
//!
//! Refuses: saying what the secret is. Findings name its kind and its place, and `conceal` overwrites it, so that no
//! later message can print the line it stood in.

use crate::diag::{Code, Diagnostic, Report, Secret, SourceId, Sources, Span, secrets_in};
use crate::resolve::val::Val;
use rayon::prelude::*;

const CODE: Code = Code(601);

/// Where public JWTs lie: they are written by `keys sign` and meant to be read by everyone.
const PUBLIC_TOKENS: &str = "identity/";

/// Finds secrets in all files, in source order.
pub fn secrets(sources: &Sources) -> Report {
    let ids: Vec<SourceId> = sources.ids().collect();
    let reports: Vec<Report> = ids
        .par_iter()
        .map(|id| {
            let mut report = Report::default();
            for found in secrets_in(sources.text(*id)) {
                if found.secret == Secret::Token && sources.path(*id).starts_with(PUBLIC_TOKENS) {
                    continue;
                }
                let says = format!("{} stands in this file", what(found.secret));
                report.push(Diagnostic::error(CODE, Span::new(*id, found.range), says).help(help(found.secret)));
            }
            report
        })
        .collect();
    let mut all = Report::default();
    for report in reports {
        all.absorb(report);
    }
    all
}

/// Finds secrets and overwrites each with `*` of the same length: spans stay right, and nothing can print it any more.
pub fn conceal(sources: &mut Sources) -> Report {
    let report = secrets(sources);
    for finding in &report.diagnostics {
        sources.mask(finding.primary.span);
    }
    report
}

/// What kind of secret a text holds, if any.
pub fn holds_secret(text: &str) -> Option<&'static str> {
    secrets_in(text).first().map(|found| what(found.secret))
}

/// What an expression made of harmless parts is judged like what was written.
pub fn made_secret(value: &Val, span: Span) -> Option<Diagnostic> {
    let what = match value {
        Val::Text(text) if text.len() >= SHORTEST => holds_secret(text)?,
        Val::List(items) => return items.iter().find_map(|item| made_secret(item, span)),
        Val::Map(entries) => {
            return entries.iter().find_map(|(key, value)| {
                made_secret(&Val::Text(key.clone()), span).or_else(|| made_secret(value, span))
            });
        }
        _ => return None,
    };
    let error = Diagnostic::error(CODE, span, format!("this expression gives {what}"));
    Some(error.help("name the file that holds the secret instead, and treat this one as lost: make a new one"))
}

/// No secret has fewer bytes.
const SHORTEST: usize = 32;

fn what(secret: Secret) -> &'static str {
    match secret {
        Secret::Seed(b'U') => "the seed of a user's NKey",
        Secret::Seed(b'A') => "the seed of an account's NKey",
        Secret::Seed(b'O') => "the seed of an operator's NKey",
        Secret::Seed(b'C') => "the seed of a cluster's NKey",
        Secret::Seed(b'N') => "the seed of a server's NKey",
        Secret::Seed(b'X') => "the seed of a curve NKey",
        Secret::Seed(_) => "the seed of an NKey",
        Secret::PrivateKey => "a private key",
        Secret::Credential => "a NATS credential",
        Secret::Token => "a token",
    }
}

fn help(secret: Secret) -> &'static str {
    match secret {
        Secret::Seed(_) => {
            "remove it and make a new key: a seed that was in a file is known; declare the public half, which `leafwright keys show` prints"
        }
        Secret::PrivateKey | Secret::Credential => {
            "remove it and make a new one: what was in a file is known; name the file that holds it as a secret reference"
        }
        Secret::Token => "remove it and have it revoked; name the file that holds it as a secret reference",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_known_by_its_checksum() {
        for make in [
            nkeys::KeyPair::new_user,
            nkeys::KeyPair::new_account,
            nkeys::KeyPair::new_operator,
            nkeys::KeyPair::new_server,
        ] {
            let key = make();
            let seed = key.seed().unwrap();
            assert!(holds_secret(&format!("nkey = \"{seed}\"")).is_some());
            assert!(holds_secret(&format!("SA{seed}")).is_some(), "behind a false beginning");
            assert!(holds_secret(&key.public_key()).is_none());
            let last = if seed.ends_with('A') { "B" } else { "A" };
            assert!(holds_secret(&format!("{}{last}", &seed[..57])).is_none(), "wrong checksum");
        }
    }

    #[test]
    fn keys_credentials_and_tokens_are_found_and_overwritten() {
        let (begin, end) = ("-----BEGIN", "-----END");
        let token = format!("eyJ{0}.{0}.{0}", "abcdefghijklmnop");
        let mut sources = Sources::default();
        let pem = sources.add(
            "a.toml",
            format!("k = '''\n{begin} EC PRIVATE KEY-----\nMHcC\u{e9}QEE\n{end} EC PRIVATE KEY-----\n'''\nx = 1\n"),
        );
        let jwt = sources.add("b.toml", format!("token = \"{token}\"\n"));
        let creds = sources.add("c.toml", format!("{begin} NATS USER JWT-----\nabc\n"));
        let public = sources.add("identity/account.jwt", token.clone());
        let report = conceal(&mut sources);
        assert_eq!(report.diagnostics.iter().map(|d| d.primary.span.source).collect::<Vec<_>>(), vec![pem, jwt, creds]);
        assert!(!sources.text(pem).contains("MHc") && sources.text(pem).ends_with("'''\nx = 1\n"));
        assert_eq!(sources.text(pem).matches('\n').count(), 6);
        assert!(!sources.text(jwt).contains("abcdef"));
        assert_eq!(sources.text(public), token);
        assert!(secrets(&sources).is_empty());
        let said = format!("{report:?}");
        assert!(!said.contains("MHc") && !said.contains("abcdef"));
    }

    #[test]
    fn public_things_are_no_secrets() {
        for text in [
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
            "eyJ0.a.b",
            "",
        ] {
            assert_eq!(holds_secret(text), None, "{text}");
        }
    }
}
