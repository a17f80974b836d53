//! Diagnostics as data, for editors and scripts.
//!
//! Refuses: anything that the rendered form does not say too.

use super::{Code, Place, Report, Severity, Sources, Span, mask};
use std::borrow::Cow;

#[derive(serde::Serialize)]
struct Finding<'a> {
    code: Code,
    severity: Severity,
    message: Cow<'a, str>,
    place: Range,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: Cow<'a, str>,
    labels: Vec<Named<'a>>,
    help: Vec<Cow<'a, str>>,
}

/// Where it begins, and the place after its last character.
#[derive(serde::Serialize)]
struct Range {
    #[serde(flatten)]
    start: Place,
    end_line: usize,
    end_column: usize,
}

#[derive(serde::Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    place: Range,
    text: Cow<'a, str>,
}

fn range(sources: &Sources, span: Span) -> Range {
    let end = sources.place(Span { start: span.end, ..span });
    Range { start: sources.place(span), end_line: end.line, end_column: end.column }
}

/// The report as a JSON array, one object a finding, in the report's order.
pub fn json(report: &Report, sources: &Sources) -> String {
    let findings: Vec<Finding> = (report.diagnostics.iter())
        .map(|diagnostic| Finding {
            code: diagnostic.code,
            severity: diagnostic.severity,
            message: mask(&diagnostic.message),
            place: range(sources, diagnostic.primary.span),
            label: mask(&diagnostic.primary.text),
            labels: (diagnostic.secondary.iter())
                .map(|label| Named { place: range(sources, label.span), text: mask(&label.text) })
                .collect(),
            help: diagnostic.help.iter().map(|help| mask(help)).collect(),
        })
        .collect();
    let mut out = serde_json::to_string_pretty(&findings).unwrap_or_default();
    out.push('\n');
    out
}
