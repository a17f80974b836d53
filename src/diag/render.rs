//! Diagnostics as people read them, in the manner of rustc.
//!
//! Refuses: looking at a whole file for one finding (a set of events has a hundred thousand lines), and lines wider than a screen.

use super::{Diagnostic, Label, Report, Severity, SourceId, Sources};
use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};
use std::ops::Range;

/// With or without colour; decided by whoever owns the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

/// Places of one file that are further apart than this are shown as two snippets.
const NEAR: usize = 16 * 1024;
/// A line longer than this is cut around what is pointed at.
const WIDE: usize = 160;
/// How much of a cut line is kept before the place.
const BEFORE: usize = 40;

/// Renders the report, one block a finding, each with `file:line:col`, its code and its help.
pub fn render(report: &Report, sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    for diagnostic in &report.diagnostics {
        out.push_str(&renderer.render(&[block(diagnostic, sources)]));
        out.push_str("\n\n");
    }
    out
}

fn block<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&*diagnostic.message).id(diagnostic.code.to_string());
    let mut group = Group::with_title(title);
    for part in parts(diagnostic) {
        group = group.element(part.snippet(sources));
    }
    group.elements(diagnostic.help.iter().map(|help| Element::from(Level::HELP.message(&**help))))
}

/// Labels that are shown in one snippet; the primary one is the first of the first part.
struct Part<'a> {
    source: SourceId,
    labels: Vec<(AnnotationKind, &'a Label)>,
}

fn parts(diagnostic: &Diagnostic) -> Vec<Part<'_>> {
    let primary = (AnnotationKind::Primary, &diagnostic.primary);
    let mut parts = vec![Part { source: diagnostic.primary.span.source, labels: vec![primary] }];
    for label in &diagnostic.secondary {
        let near = |part: &&mut Part| {
            let anchor = part.labels[0].1.span;
            part.source == label.span.source && anchor.start.abs_diff(label.span.start) < NEAR as u32
        };
        match parts.iter_mut().find(near) {
            Some(part) => part.labels.push((AnnotationKind::Context, label)),
            None => {
                // The renderer wants one primary annotation in each snippet to know its place.
                parts.push(Part { source: label.span.source, labels: vec![(AnnotationKind::Primary, label)] });
            }
        }
    }
    parts
}

impl<'a> Part<'a> {
    fn snippet(&self, sources: &'a Sources) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let text = sources.text(self.source);
        let ranges: Vec<Range<usize>> = self.labels.iter().map(|(_, label)| sources.range(label.span)).collect();
        let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(start);
        let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
        let line = sources.line(self.source, start);
        let window = Window::of(text, start..end, &ranges);
        let snippet = Snippet::source(window.text).line_start(line).path(sources.path(self.source));
        let annotations = self.labels.iter().zip(window.ranges).map(|((kind, label), range)| {
            let text = (!label.text.is_empty()).then_some(&*label.text);
            kind.span(range).label(text)
        });
        snippet.annotations(annotations)
    }
}

/// Some lines of a file, the wide ones cut, and the places in them moved accordingly.
struct Window {
    text: String,
    ranges: Vec<Range<usize>>,
}

impl Window {
    fn of(text: &str, lines: Range<usize>, wanted: &[Range<usize>]) -> Self {
        let mut window = Window { text: String::new(), ranges: wanted.to_vec() };
        let mut at = lines.start;
        for line in text[lines].split_inclusive('\n') {
            window.add(at, line, wanted);
            at += line.len();
        }
        let length = window.text.len();
        for (range, wanted) in window.ranges.iter_mut().zip(wanted) {
            // A place after the last byte of the window is its end.
            if wanted.start >= at {
                *range = length..length;
            }
        }
        window
    }

    /// Adds the line, cut if it is wide, and moves the places that begin or end in it.
    fn add(&mut self, at: usize, line: &str, wanted: &[Range<usize>]) {
        let body = line.trim_end_matches(['\n', '\r']);
        let first = wanted.iter().filter(|range| (at..=at + body.len()).contains(&range.start)).map(|range| range.start - at).min();
        let kept = kept(body, first.unwrap_or(0));
        let front = if kept.start > 0 { "…" } else { "" };
        let back = if kept.end < body.len() { "…" } else { "" };
        let base = self.text.len();
        let moved = |place: usize| {
            let inside = (place - at).clamp(kept.start, kept.end) - kept.start;
            base + front.len() + inside
        };
        for (range, wanted) in self.ranges.iter_mut().zip(wanted) {
            if (at..at + line.len().max(1)).contains(&wanted.start) {
                range.start = moved(wanted.start.min(at + body.len()));
                range.end = range.start;
            }
            if wanted.end > at && wanted.end <= at + line.len() {
                range.end = moved(wanted.end.min(at + body.len())).max(range.start);
            }
        }
        self.text.push_str(front);
        self.text.push_str(&body[kept.clone()]);
        self.text.push_str(back);
        if line.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// The part of a line that is shown: all of it, or a screen's width around `place`.
fn kept(body: &str, place: usize) -> Range<usize> {
    if body.len() <= WIDE {
        return 0..body.len();
    }
    let boundary = |at: usize| (0..=at.min(body.len())).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
    let start = match place > WIDE - BEFORE {
        true => boundary(place - BEFORE),
        false => 0,
    };
    start..boundary(start + WIDE)
}
