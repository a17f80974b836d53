//! Diagnostics as people read them, in the manner of rustc.
//!
//! Refuses: looking at a whole file for one finding: a set of events has a hundred thousand lines. The renderer cuts wide ones.

use super::secret::hide;
use super::{Code, Diagnostic, Label, Report, Severity, SourceId, Sources, mask, secrets_in};
use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// With or without colour; decided by whoever owns the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

/// Places of one file that are further apart than this are shown as two snippets.
const NEAR: usize = 16 * 1024;

/// Findings that differ in their place alone are shown one by one up to this number. One value of a domain may be wrong for each of
/// its ten thousand machines.
const ALIKE: usize = 3;

/// Of more than that the first is shown, and the places of so many others.
const PLACES: usize = 6;

/// Renders the report, one block a finding, each with `file:line:col`, its code and its help; many that are alike in one.
pub fn render(report: &Report, sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    let masked = masked(report, sources);
    for (diagnostic, others) in folded(report) {
        let mut block = block(diagnostic, sources, &masked);
        if !others.is_empty() {
            block = block.element(Level::NOTE.message(places(&others, sources)));
        }
        out.push_str(&renderer.render(&[block]));
        out.push_str("\n\n");
    }
    out
}

/// What is shown, in its order, each with those that say the same of other places and are not shown themselves.
fn folded(report: &Report) -> Vec<(&Diagnostic, Vec<&Diagnostic>)> {
    let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, found) in report.diagnostics.iter().enumerate() {
        let seconds: Vec<_> = found.secondary.iter().map(|label| (label.span, &label.text)).collect();
        let says = (found.severity, found.code, &found.message, &found.primary.text, seconds, &found.help);
        alike.entry(says).or_default().push(number);
    }
    let mut shown: BTreeMap<usize, Vec<&Diagnostic>> = BTreeMap::new();
    for group in alike.into_values() {
        let of = |others: &[usize]| others.iter().filter_map(|other| report.diagnostics.get(*other)).collect();
        match group.split_first() {
            Some((first, others)) if others.len() >= ALIKE => drop(shown.insert(*first, of(others))),
            _ => shown.extend(group.into_iter().map(|number| (number, vec![]))),
        }
    }
    let each = report.diagnostics.iter().enumerate();
    each.filter_map(|(number, found)| Some((found, shown.remove(&number)?))).collect()
}

fn places(others: &[&Diagnostic], sources: &Sources) -> String {
    let shown =
        others.iter().take(PLACES).map(|other| visible(&sources.place(other.primary.span).to_string()).into_owned());
    let mut places = shown.collect::<Vec<_>>().join(", ");
    if others.len() > PLACES {
        places += &format!(" and {} more places", others.len() - PLACES);
    }
    format!("the same at {places}")
}

/// Files up to this size are masked as a whole, once for all that is said of them.
const SMALL: usize = 1 << 20;

type Masked<'a> = BTreeMap<SourceId, Cow<'a, str>>;

fn masked<'a>(report: &Report, sources: &'a Sources) -> Masked<'a> {
    let labels = report.diagnostics.iter().flat_map(|found| std::iter::once(&found.primary).chain(&found.secondary));
    let shown: BTreeSet<SourceId> = labels.map(|label| label.span.source).collect();
    let small = shown.into_iter().filter(|id| sources.text(*id).len() <= SMALL);
    small.map(|id| (id, mask(sources.text(id)))).collect()
}

fn block<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources, masked: &Masked<'_>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(mask(&diagnostic.message)).id(diagnostic.code.to_string());
    let mut group = Group::with_title(title);
    for part in parts(diagnostic) {
        group = group.element(part.snippet(sources, masked, diagnostic.code));
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

/// Findings of this code stand at secrets.
const SECRET: Code = Code(601);

impl<'a> Part<'a> {
    fn snippet(
        &self,
        sources: &'a Sources,
        masked: &Masked<'_>,
        code: Code,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let text = sources.text(self.source);
        let ranges: Vec<Range<usize>> = self.labels.iter().map(|(_, label)| sources.range(label.span)).collect();
        let start = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let end = ranges.iter().map(|range| range.end).max().unwrap_or(start);
        let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
        let line = sources.line(self.source, start);
        let lines = masked.get(&self.source).map_or_else(|| around(text, start..end), |all| all[start..end].to_owned());
        let mut lines = visible_lines(&lines);
        if code == SECRET {
            // A secret that is put together from pieces is not seen in them: then all of them are hidden.
            let plain = ranges.iter().filter(|range| secrets_in(&text[(*range).clone()]).is_empty());
            let plain: Vec<Range<usize>> = plain.map(|range| range.start - start..range.end - start).collect();
            lines = hide(&lines, &plain);
        }
        let path = visible(sources.path(self.source));
        let snippet = Snippet::source(lines).line_start(line).path(path);
        let annotations = self.labels.iter().zip(ranges).map(|((kind, label), range)| {
            let words = (!label.text.is_empty()).then(|| mask(&label.text));
            kind.span(range.start - start..range.end - start).label(words)
        });
        snippet.annotations(annotations)
    }
}

/// How far around a snippet secrets are looked for that began above it or end below it.
const AROUND: usize = 8 * 1024;

/// The lines with their secrets masked, also those of which only a part stands in them.
fn around(text: &str, lines: Range<usize>) -> String {
    let border = |at: &usize| text.is_char_boundary(*at);
    let before = (lines.start.saturating_sub(AROUND)..=lines.start).find(border).unwrap_or(lines.start);
    let after = (lines.end..=(lines.end + AROUND).min(text.len())).rev().find(border).unwrap_or(lines.end);
    let masked = mask(&text[before..after]);
    masked[lines.start - before..lines.end - before].to_owned()
}

/// What cannot be seen is shown as what it is, in as many bytes.
fn visible_lines(lines: &str) -> String {
    lines.replace(['\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}'], "\u{fffd}")
}

/// A file may have any name; what would steer a terminal is shown as an escape.
fn visible(path: &str) -> Cow<'_, str> {
    if !path.contains(char::is_control) {
        return Cow::Borrowed(path);
    }
    let mut shown = String::with_capacity(path.len() + 8);
    for c in path.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}
