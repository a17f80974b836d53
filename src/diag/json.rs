//! Diagnostics as data, for editors and scripts.
//!
//! Refuses: anything that the rendered form does not say too.

use super::{Code, Place, Report, Severity, Sources, Span};

#[derive(serde::Serialize)]
struct Finding<'a> {
    code: Code,
    severity: Severity,
    message: &'a str,
    place: Range,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
    labels: Vec<Named<'a>>,
    help: &'a [String],
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
    text: &'a str,
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
            message: &diagnostic.message,
            place: range(sources, diagnostic.primary.span),
            label: &diagnostic.primary.text,
            labels: (diagnostic.secondary.iter())
                .map(|label| Named { place: range(sources, label.span), text: &label.text })
                .collect(),
            help: &diagnostic.help,
        })
        .collect();
    let mut out = serde_json::to_string_pretty(&findings).unwrap_or_default();
    out.push('\n');
    out
}
