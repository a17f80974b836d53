//! Nothing that looks like a secret may be in an artefact: NKey seeds, private keys, bodies of `.creds` files.
//!
//! Refuses: printing what it found; a finding names the artefact and the line, never the value.

use super::artefact::{Artefact, Closure};
use super::closure::blame;
use crate::diag::{Code, Diagnostic, Report};

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

/// Lines (from 1) on which a secret stands, and its kind.
fn findings(bytes: &[u8]) -> Vec<(u32, &'static str)> {
    let mut found = vec![];
    let mut line = 1;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => line += 1,
            b'S' if is_seed(bytes, at) => found.push((line, "the seed of an NKey")),
            b'-' => {
                if let Some(what) = armour(bytes, at) {
                    found.push((line, what));
                }
            }
            _ => {}
        }
    }
    found
}

/// A seed has 58 characters of base32, the first two of which say so, and a checksum.
fn is_seed(bytes: &[u8], at: usize) -> bool {
    let base32 = |byte: &u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte);
    let Some(candidate) = bytes.get(at..at + 58) else { return false };
    matches!(candidate[1], b'O' | b'A' | b'U' | b'C' | b'N' | b'X' | b'M' | b'V' | b'P')
        && candidate.iter().all(base32)
        && std::str::from_utf8(candidate).is_ok_and(|text| nkeys::decode_seed(text).is_ok())
}

const DASHES: &[u8] = b"-----BEGIN ";

fn armour(bytes: &[u8], at: usize) -> Option<&'static str> {
    let rest = bytes.get(at..)?.strip_prefix(DASHES)?;
    let label = rest.split(|byte| *byte == b'-').next()?;
    if label.len() > 40 {
        return None;
    }
    if label.ends_with(b"PRIVATE KEY") {
        Some("a private key")
    } else if label.ends_with(b"NKEY SEED") || label == b"NATS USER JWT" {
        Some("the body of a credentials file")
    } else {
        None
    }
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
