//! Diagnostics as people read them, in the manner of rustc.
//!
//! Refuses: looking at a whole file for one finding: a set of events has a hundred thousand lines. The renderer cuts wide ones.

use super::{Diagnostic, Label, Report, Severity, SourceId, Sources, mask};
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
    let title = level.primary_title(mask(&diagnostic.message)).id(diagnostic.code.to_string());
    let mut group = Group::with_title(title);
    for part in parts(diagnostic) {
        group = group.element(part.snippet(sources));
    }
    group.elements(diagnostic.help.iter().map(|help| Element::from(Level::HELP.message(mask(help)))))
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
        let snippet = Snippet::source(shown(text, start..end)).line_start(line).path(sources.path(self.source));
        let annotations = self.labels.iter().zip(ranges).map(|((kind, label), range)| {
            let words = (!label.text.is_empty()).then(|| mask(&label.text));
            kind.span(range.start - start..range.end - start).label(words)
        });
        snippet.annotations(annotations)
    }
}

/// How far before a snippet the opening line of a private key is looked for.
const KEY: usize = 8 * 1024;

/// The lines with their secrets masked, also where a private key began above them.
fn shown(text: &str, lines: Range<usize>) -> String {
    let before =
        (lines.start.saturating_sub(KEY)..=lines.start).find(|at| text.is_char_boundary(*at)).unwrap_or(lines.start);
    let masked = mask(&text[before..lines.end]);
    masked[lines.start - before..].to_owned()
}
