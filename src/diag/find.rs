//! Where a secret stands in a text: NKey seeds, private keys, credentials and tokens, also when they are written with
//! escapes or in pieces that are put together.
//!
//! Refuses: judging whether it may be there, and saying what it is.

use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An NKey seed; the letter says of what (github.com/nats-io/nkeys, `doc.go`).
    Seed(u8),
    PrivateKey,
    Credential,
    Token,
}

/// A secret and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub secret: Secret,
    /// The whole of it, with the lines that open and close it.
    pub range: Range<usize>,
    /// What nobody may see.
    pub hidden: Range<usize>,
}

/// Everything that may be a secret, in one pass.
const CANDIDATE: &str = concat!(
    r"S[OAUCNXMVP][A-Z2-7]{56}",
    r"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----",
    r"|-----BEGIN (?:NATS USER JWT|USER NKEY SEED)-----",
    r"|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
);

/// What means a printable character, and what means nothing at all: escapes, a line that goes on, texts that are added.
const FOLD: &str = concat!(
    r"\\u00([2-7][0-9A-Fa-f])|\\U000000([2-7][0-9A-Fa-f])|\\x([2-7][0-9A-Fa-f])",
    r#"|\\[ \t]*\r?\n\s*|['"]\s*\+\s*['"]|['"]\s*\}\$\{\s*['"]"#,
);

fn candidates() -> Option<&'static Regex> {
    static REGEX: OnceLock<Option<Regex>> = OnceLock::new();
    REGEX.get_or_init(|| Regex::new(CANDIDATE).ok()).as_ref()
}

fn folds() -> Option<&'static Regex> {
    static REGEX: OnceLock<Option<Regex>> = OnceLock::new();
    REGEX.get_or_init(|| Regex::new(FOLD).ok()).as_ref()
}

/// All secrets of the text, in their order; as it stands, and as a reader of TOML or JSON would read it.
pub fn secrets_in(text: &str) -> Vec<Found> {
    let mut found = scan(text);
    if let Some(unfolded) = Unfolded::of(text) {
        for more in scan(&unfolded.text) {
            let more = Found { range: unfolded.place(more.range), hidden: unfolded.place(more.hidden), ..more };
            let known = |one: &Found| one.range.start < more.range.end && more.range.start < one.range.end;
            if !found.iter().any(known) {
                found.push(more);
            }
        }
        found.sort_by_key(|one| one.range.start);
    }
    found
}

/// The text without its escapes, and the way back.
struct Unfolded {
    text: String,
    pieces: Vec<Piece>,
}

struct Piece {
    at: usize,
    from: Range<usize>,
    /// Stands for one character; otherwise it stands as it is.
    escape: bool,
}

impl Unfolded {
    fn of(text: &str) -> Option<Self> {
        let regex = folds()?;
        regex.find(text)?;
        let mut unfolded = Self { text: String::with_capacity(text.len()), pieces: vec![] };
        let mut at = 0;
        for fold in regex.captures_iter(text) {
            let Some(whole) = fold.get(0) else { continue };
            unfolded.keep(text, at..whole.start());
            let digits = (1..=3).find_map(|group| fold.get(group));
            if let Some(code) = digits.and_then(|digits| u8::from_str_radix(digits.as_str(), 16).ok()) {
                unfolded.pieces.push(Piece { at: unfolded.text.len(), from: whole.range(), escape: true });
                unfolded.text.push(char::from(code));
            }
            at = whole.end();
        }
        unfolded.keep(text, at..text.len());
        Some(unfolded)
    }

    fn keep(&mut self, text: &str, from: Range<usize>) {
        if !from.is_empty() {
            self.pieces.push(Piece { at: self.text.len(), from: from.clone(), escape: false });
            self.text.push_str(&text[from]);
        }
    }

    /// Where a range of the unfolded text stands in the written one.
    fn place(&self, range: Range<usize>) -> Range<usize> {
        let byte = |at: usize| {
            let last = self.pieces.partition_point(|piece| piece.at <= at).saturating_sub(1);
            let Some(piece) = self.pieces.get(last) else { return 0..0 };
            match piece.escape {
                true => piece.from.clone(),
                false => piece.from.start + (at - piece.at)..piece.from.start + (at - piece.at) + 1,
            }
        };
        let start = byte(range.start).start;
        if range.is_empty() { start..start } else { start..byte(range.end - 1).end }
    }
}

fn scan(text: &str) -> Vec<Found> {
    let mut found = vec![];
    let mut at = 0;
    while let Some(candidate) = candidates().and_then(|regex| regex.find_at(text, at)) {
        match judge(text, candidate.range()) {
            Some(one) => {
                at = one.range.end;
                found.push(one);
            }
            // A candidate that is none may hide one that begins inside it.
            None => at = candidate.start() + 1,
        }
    }
    found
}

fn judge(text: &str, range: Range<usize>) -> Option<Found> {
    let candidate = &text[range.clone()];
    if candidate.starts_with('S') {
        // 58 letters of base32 occur by chance; with the right checksum they do not.
        nkeys::decode_seed(candidate).ok()?;
        return Some(Found { secret: Secret::Seed(candidate.as_bytes()[1]), hidden: range.clone(), range });
    }
    if candidate.starts_with("eyJ") {
        return Some(Found { secret: Secret::Token, hidden: range.clone(), range });
    }
    let secret = if candidate.contains("PRIVATE KEY") { Secret::PrivateKey } else { Secret::Credential };
    let (closing, end) = end_of_block(text, range.end);
    Some(Found { secret, range: range.start..end, hidden: range.end..closing })
}

/// The `-----END …-----` line of a block: where it begins and ends; the end of the text where it has none.
fn end_of_block(text: &str, from: usize) -> (usize, usize) {
    let Some(closing) = text[from..].find("-----END ").map(|closing| from + closing) else {
        return (text.len(), text.len());
    };
    (closing, text[closing..].find('\n').map_or(text.len(), |line| closing + line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::mask;
    use proptest::prelude::*;

    /// Ways to write a character of a seed in TOML, JSON and expressions.
    fn written(c: char, way: u8) -> String {
        let code = u32::from(c);
        match way {
            0 => format!("\\u{code:04x}"),
            1 => format!("\\U{code:08X}"),
            2 => format!("\\x{code:02x}"),
            3 => format!("\\\n  {c}"),
            4 => format!("' + '{c}"),
            5 => format!("\"}}${{\"{c}"),
            _ => c.to_string(),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_masked_wherever_it_stands(
            seed in any::<[u8; 32]>(),
            kind in 0usize..4,
            before in "[ -~äß\n\t]{0,20}(\\\\n|\\\\t|key|SUA|\\\\u0041)?",
            after in "[ -~äß\n]{0,20}",
            ways in proptest::collection::vec(prop_oneof![8 => Just(9u8), 1 => 0u8..6], 58),
        ) {
            use nkeys::KeyPairType::{Account, Operator, Server, User};
            let seed = nkeys::KeyPair::new_from_raw([User, Account, Operator, Server][kind].clone(), seed).unwrap().seed().unwrap();
            let inside: String = seed.chars().zip(&ways).map(|(c, way)| written(c, *way)).collect();
            let text = format!("{before}{inside}{after}");
            let masked = mask(&text);
            prop_assert_eq!(masked.len(), text.len());
            prop_assert!(!secrets_in(&text).is_empty(), "not found: {}", text);
            prop_assert!(secrets_in(&masked).is_empty(), "still there: {}", masked);
            prop_assert!(!masked.contains(&inside), "{} of {}", masked, text);
        }

        #[test]
        fn any_text_keeps_its_length_and_its_lines(text in any::<String>()) {
            let masked = mask(&text);
            prop_assert_eq!(masked.len(), text.len());
            prop_assert_eq!(masked.matches('\n').count(), text.matches('\n').count());
        }
    }

    #[test]
    fn an_escaped_block_is_found_where_it_is_written() {
        let text = "k = \"\\u002d----BEGIN PRIVATE KEY-----\\nMHcC\\n-----END PRIVATE KEY-----\"\nx = 1\n";
        let found = secrets_in(text);
        assert_eq!(found.len(), 1);
        assert!(text[found[0].range.clone()].starts_with("\\u002d") && !mask(text).contains("MHcC"));
        assert!(mask(text).ends_with("x = 1\n"));
    }
}
