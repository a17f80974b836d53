//! No secret stands in a declaration: seeds, private keys, credentials and tokens are found in the raw text of every file.
//!
//! Refuses: saying what the secret is. Findings name its kind and its place, and `conceal` overwrites it, so that no
//! later message can print the line it stood in.

use crate::diag::{Code, Diagnostic, Report, SourceId, Sources, Span};
use rayon::prelude::*;
use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;

const CODE: Code = Code(601);

/// Everything that may be a secret, in one pass: NKey seeds, PEM private keys, creds files, JSON Web Tokens.
const CANDIDATE: &str = concat!(
    r"S[UAOCNX][A-Z2-7]{56}",
    r"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----",
    r"|-----BEGIN (?:NATS USER JWT|USER NKEY SEED)-----",
    r"|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
);

fn candidates() -> Option<&'static Regex> {
    static REGEX: OnceLock<Option<Regex>> = OnceLock::new();
    REGEX.get_or_init(|| Regex::new(CANDIDATE).ok()).as_ref()
}

struct Found {
    what: &'static str,
    range: Range<usize>,
    help: &'static str,
}

/// Where public JWTs lie: they are written by `keys sign` and meant to be read by everyone.
const PUBLIC_TOKENS: &str = "identity/";

/// Finds secrets in all files, in source order.
pub fn secrets(sources: &Sources) -> Report {
    let ids: Vec<SourceId> = sources.ids().collect();
    let reports: Vec<Report> = ids
        .par_iter()
        .map(|id| {
            let mut report = Report::default();
            for found in scan(sources.text(*id)) {
                if found.what == TOKEN && sources.path(*id).starts_with(PUBLIC_TOKENS) {
                    continue;
                }
                let span = Span::new(*id, found.range);
                report.push(
                    Diagnostic::error(CODE, span, format!("{} stands in this file", found.what)).help(found.help),
                );
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
    scan(text).next().map(|found| found.what)
}

const TOKEN: &str = "a token";

fn scan(text: &str) -> impl Iterator<Item = Found> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let candidate = candidates()?.find_at(text, at)?;
            if let Some(found) = judge(text, candidate.range()) {
                at = found.range.end;
                return Some(found);
            }
            // A candidate that is none may hide one that begins inside it.
            at = candidate.start() + 1;
        }
    })
}

fn judge(text: &str, range: Range<usize>) -> Option<Found> {
    let candidate = &text[range.clone()];
    if candidate.starts_with('S') {
        // 58 letters of base32 occur by chance; with the right checksum they do not.
        nkeys::KeyPair::from_seed(candidate).ok()?;
        let help = "remove it and make a new key: a seed that was in a file is known; declare the public half, which `leafwright keys show` prints";
        return Some(Found { what: seed(candidate), range, help });
    }
    if candidate.starts_with("eyJ") {
        return Some(Found {
            what: TOKEN,
            range,
            help: "remove it and have it revoked; name the file that holds it as a secret reference",
        });
    }
    let what = if candidate.contains("PRIVATE KEY") { "a private key" } else { "a NATS credential" };
    let end = end_of_block(text, range.end);
    Some(Found {
        what,
        range: range.start..end,
        help: "remove it and make a new one: what was in a file is known; name the file that holds it as a secret reference",
    })
}

fn seed(text: &str) -> &'static str {
    match text.as_bytes().get(1) {
        Some(b'U') => "the seed of a user's NKey",
        Some(b'A') => "the seed of an account's NKey",
        Some(b'O') => "the seed of an operator's NKey",
        Some(b'C') => "the seed of a cluster's NKey",
        Some(b'N') => "the seed of a server's NKey",
        _ => "the seed of a curve NKey",
    }
}

/// To the end of the `-----END …-----` line of a block, or of the text where it has none.
fn end_of_block(text: &str, from: usize) -> usize {
    let end = text[from..].find("-----END ").or_else(|| text[from..].find("------END "));
    let Some(end) = end.map(|end| from + end) else { return text.len() };
    text[end..].find('\n').map_or(text.len(), |line| end + line)
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
