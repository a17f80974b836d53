//! Nothing that looks like a secret may be in an artefact: NKey seeds, private keys, bodies of `.creds` files.
//!
//! Refuses: printing what it found; a finding names the artefact and the line, never the value.

use super::artefact::{Artefact, Closure};
use super::closure::blame;
use crate::diag::{Code, Diagnostic, Report, Secret, secrets_in};

/// An error for each secret, at the declaration that it came from.
pub fn leaks(closure: &Closure) -> Report {
    let mut report = Report::default();
    for artefact in &closure.artefacts {
        for (line, what) in findings(&artefact.bytes) {
            report.push(diagnostic(artefact, line, what));
        }
    }
    report
}

fn diagnostic(artefact: &Artefact, line: u32, what: &str) -> Diagnostic {
    let span = blame(artefact, line);
    let span = span.unwrap_or_else(|| unreachable!("an artefact has an origin"));
    Diagnostic::error(Code(601), span, format!("{what} would be written into `{}`", artefact.path))
        .label("comes from here")
        .help("name the file that holds the secret instead, and treat this one as lost: make a new one")
}

/// Lines (from 1) on which a secret stands, and its kind; public tokens are what a closure is made of.
fn findings(bytes: &[u8]) -> Vec<(u32, &'static str)> {
    let text = String::from_utf8_lossy(bytes);
    let found = secrets_in(&text);
    let what = |secret: &Secret| match secret {
        Secret::Seed(_) => Some("the seed of an NKey"),
        Secret::PrivateKey => Some("a private key"),
        Secret::Credential => Some("the body of a credentials file"),
        Secret::Token => None,
    };
    let (mut line, mut at) = (1, 0);
    let mut lines = vec![];
    for one in &found {
        line += u32::try_from(text[at..one.range.start].matches('\n').count()).unwrap_or(u32::MAX);
        at = one.range.start;
        lines.extend(what(&one.secret).map(|what| (line, what)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_public_things_are_not() {
        let pair = nkeys::KeyPair::new_from_raw(nkeys::KeyPairType::User, [7; 32]).unwrap();
        let seed = pair.seed().unwrap();
        let found = |text: &str| findings(text.as_bytes());
        assert_eq!(found(&format!("a\nb {seed} c")), [(2, "the seed of an NKey")]);
        assert_eq!(found(&format!("xx{seed}")), [(1, "the seed of an NKey")]);
        assert!(found(&pair.public_key()).is_empty());
        assert!(found(&seed[..57]).is_empty());
        // A seed with a character changed has a wrong checksum and opens nothing.
        let broken = format!("{}{}", &seed[..57], if seed.ends_with('A') { 'B' } else { 'A' });
        assert!(found(&broken).is_empty());
        for kind in ["PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            assert_eq!(found(&format!("x\n-----BEGIN {kind}-----\n")), [(2, "a private key")]);
        }
        assert_eq!(found("-----BEGIN USER NKEY SEED-----").len(), 1);
        assert!(found("-----BEGIN CERTIFICATE-----").is_empty());
    }
}
