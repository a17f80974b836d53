//! What looks like a secret is masked before it is shown.
//!
//! Refuses: judging whether a secret may be there; a rule does. A finding about a secret must not publish it.

use super::find::secrets_in;
use std::borrow::Cow;
use std::ops::Range;

/// The least length of base32 after `S` and the kind that is taken for an NKey seed; whole ones have 58 characters.
const SEED: usize = 20;

/// The same text, of the same length in bytes, with `*` in place of secrets: all that are found, and what looks like
/// the beginning of a seed.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut hidden: Vec<Range<usize>> = secrets_in(text).into_iter().map(|found| found.hidden).collect();
    hidden.extend(seeds(text));
    hidden.extend(private_keys(text));
    if hidden.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(hide(text, &hidden)) }
}

/// The same text, of the same length in bytes and lines, with `*` in these ranges.
pub(super) fn hide(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        let hidden = bytes.get_mut(range.clone()).into_iter().flatten();
        hidden.filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).unwrap_or_else(|_| "*".repeat(text.len()))
}

/// Runs of base32 that begin as a seed does: `S`, then the kind (github.com/nats-io/nkeys, `doc.go`).
fn seeds(text: &str) -> Vec<Range<usize>> {
    let word = |c: &u8| c.is_ascii_alphanumeric();
    let mut found = vec![];
    let mut at = 0;
    for run in text.as_bytes().split(|c| !word(c)) {
        let base32 = run.iter().all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7'));
        let kind = run.get(1).is_some_and(|kind| matches!(kind, b'A' | b'C' | b'N' | b'O' | b'U' | b'X'));
        if run.len() >= SEED && run[0] == b'S' && kind && base32 {
            found.push(at..at + run.len());
        }
        at += run.len() + 1;
    }
    found
}

/// What stands between the lines that open and close a private key.
fn private_keys(text: &str) -> Vec<Range<usize>> {
    let mut found = vec![];
    for (open, mark) in text.match_indices("PRIVATE KEY-----").chain(text.match_indices("SEED------")) {
        // The closing line has the same words; what follows it is no key.
        let line = text[..open].rfind(['\n', '"', '\'']).map_or(0, |newline| newline + 1);
        if text[line..open].contains("END") {
            continue;
        }
        let start = open + mark.len();
        let end = text[start..]
            .find("-----END")
            .or_else(|| text[start..].find("------END"))
            .map_or(text.len(), |end| start + end);
        found.push(start..end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_else_moves() {
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        let public = nkeys::KeyPair::new_user().public_key();
        let stars = "*".repeat(seed.len());
        for (text, shown) in [
            (format!("nkey = \"{seed}\""), format!("nkey = \"{stars}\"")),
            (format!("nkey = \"{public}\""), format!("nkey = \"{public}\"")),
            (format!("{seed}\n"), format!("{stars}\n")),
            ("SUPER STRONG and SOUND".to_owned(), "SUPER STRONG and SOUND".to_owned()),
        ] {
            assert_eq!(mask(&text), shown);
        }
        let key = "a\n-----BEGIN PRIVATE KEY-----\nAb/+é=\n-----END PRIVATE KEY-----\nb";
        assert_eq!(mask(key), "a\n-----BEGIN PRIVATE KEY-----\n*******\n-----END PRIVATE KEY-----\nb");
        assert_eq!(mask(key).len(), key.len());
        assert_eq!(mask("-----BEGIN EC PRIVATE KEY-----\nAb"), "-----BEGIN EC PRIVATE KEY-----\n**");
    }
}
