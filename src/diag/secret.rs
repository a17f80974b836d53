//! What looks like a secret is masked before it is shown.
//!
//! Refuses: judging whether a secret may be there; a rule does. A finding about a secret must not publish it.

use std::borrow::Cow;

/// The least length of base32 after `S` and the kind that is taken for an NKey seed; whole ones have 58 characters.
const SEED: usize = 20;

/// The same text, of the same length in bytes, with `*` in place of NKey seeds and private keys.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut hidden: Vec<std::ops::Range<usize>> = seeds(text);
    hidden.extend(private_keys(text));
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    let covered = |at: usize| hidden.iter().any(|range| range.contains(&at));
    let masked = text.char_indices().flat_map(|(at, c)| {
        let keep = !covered(at) || c == '\n' || c == '\r';
        let (c, times) = if keep { (c, 1) } else { ('*', c.len_utf8()) };
        std::iter::repeat_n(c, times)
    });
    Cow::Owned(masked.collect())
}

/// Runs of base32 that begin as a seed does: `S`, then the kind (github.com/nats-io/nkeys, `doc.go`).
fn seeds(text: &str) -> Vec<std::ops::Range<usize>> {
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
fn private_keys(text: &str) -> Vec<std::ops::Range<usize>> {
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
