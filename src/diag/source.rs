//! The texts that were read and the places in them.
//!
//! Refuses: reading files, and losing a file that is not text.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// One of the files in `Sources`; ordered as the files were added (the loader adds them in path order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A range of bytes in one file. `start == end` is a place between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(source: SourceId, range: std::ops::Range<usize>) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { source, start: narrow(range.start), end: narrow(range.end) }
    }

    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

/// A place as people read it: path, line and column from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Debug)]
struct Source {
    path: String,
    text: String,
    /// Where its lines begin; looked for once somebody asks.
    lines: OnceLock<Vec<usize>>,
}

/// All texts of one run: path (relative to the domain's root, `/` between parts) and content.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    /// Where a file stops being UTF-8.
    damaged: BTreeMap<SourceId, usize>,
    /// Files that were not read, and why.
    refused: BTreeMap<SourceId, String>,
}

impl Sources {
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path: path.into(), text: text.into(), lines: OnceLock::new() });
        id
    }

    /// Adds a file of any bytes. What is not UTF-8 is replaced, and its first place remembered.
    pub fn add_bytes(&mut self, path: impl Into<String>, bytes: Vec<u8>) -> SourceId {
        match String::from_utf8(bytes) {
            Ok(text) => self.add(path, text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let id = self.add(path, String::from_utf8_lossy(error.as_bytes()));
                self.damaged.insert(id, at);
                id
            }
        }
    }

    /// Adds a file that is not looked at: empty, with the reason.
    pub fn add_refused(&mut self, path: impl Into<String>, why: impl Into<String>) -> SourceId {
        let id = self.add(path, "");
        self.refused.insert(id, why.into());
        id
    }

    /// Why the file was not read.
    pub fn refusal(&self, id: SourceId) -> Option<&str> {
        self.refused.get(&id).map(String::as_str)
    }

    /// The first byte of the file that is not UTF-8.
    pub fn damage(&self, id: SourceId) -> Option<usize> {
        self.damaged.get(&id).copied()
    }

    pub fn path(&self, id: SourceId) -> &str {
        &self.files[id.0 as usize].path
    }

    pub fn text(&self, id: SourceId) -> &str {
        &self.files[id.0 as usize].text
    }

    /// Overwrites a range with `*`, line ends kept and the length unchanged: spans stay right, and the text is gone.
    pub fn mask(&mut self, span: Span) {
        let text = &mut self.files[span.source.0 as usize].text;
        let hidden: String = text[span.range()].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        text.replace_range(span.range(), &hidden);
    }

    pub fn ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..u32::try_from(self.files.len()).unwrap_or(u32::MAX)).map(SourceId)
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The bytes of the span, moved inside the text and onto the borders of characters.
    pub fn range(&self, span: Span) -> std::ops::Range<usize> {
        let text = self.text(span.source);
        let border = |at: u32| {
            let at = (at as usize).min(text.len());
            (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
        };
        let start = border(span.start);
        start..border(span.end).max(start)
    }

    /// The number of the line that holds the byte, from 1.
    pub fn line(&self, id: SourceId, at: usize) -> usize {
        let Source { text, lines, .. } = &self.files[id.0 as usize];
        let lines = lines.get_or_init(|| text.match_indices('\n').map(|(newline, _)| newline + 1).collect());
        lines.partition_point(|start| *start <= at.min(text.len())) + 1
    }

    pub fn place(&self, span: Span) -> Place {
        let text = self.text(span.source);
        let at = self.range(span).start;
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.path(span.source).to_owned(),
            line: self.line(span.source, at),
            column: text[line_start..at].chars().count() + 1,
        }
    }
}
