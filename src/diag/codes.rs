//! The table of diagnostic codes: each with a title and a long text in `docs/codes/`.
//!
//! A code is never reused. LW00xx syntax and shape, LW01xx names and references, LW02xx options and layers,
//! LW03xx rules of NATS, LW04xx rules of the domain, LW05xx contracts and events, LW06xx secrets and identity,
//! LW07xx faults that nats-server or systemd found in an artefact.

/// A stable name of a kind of finding, printed as `LW0101`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LW{:04}", self.0)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

type Row = (Code, &'static str, &'static str);

/// Code, title and page of each, from `docs/codes/`: the page is the row, so there is none without a page.
const PAGES: &[Row] = include!(concat!(env!("OUT_DIR"), "/codes.rs"));

/// All codes with their titles, in their order.
pub fn all() -> impl Iterator<Item = (Code, &'static str)> {
    PAGES.iter().map(|(code, title, _)| (*code, *title))
}

/// The long text of a code (Markdown).
pub fn explain(code: Code) -> Option<&'static str> {
    PAGES.iter().find(|row| row.0 == code).map(|row| row.2)
}

impl Code {
    /// Can `check` find it? It compiles nothing and asks for no keys, whose codes are LW0610 and up.
    pub fn is_of_check(self) -> bool {
        self.0 < 610
    }

    /// Reads `LW0012`; also `lw12` and `12`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("LW").or_else(|| text.strip_prefix("lw")).unwrap_or(text);
        digits.parse().ok().map(Code)
    }
}
