//! How findings and results reach a person or a program.
//!
//! Refuses: panicking on a closed pipe, and colour where nobody asked for it.

use super::Exit;
use crate::diag::{Report, Severity, Sources, Style, render};
use std::io::{IsTerminal as _, Write as _};

/// Colour on a terminal, unless `NO_COLOR` says otherwise.
pub fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match std::io::stderr().is_terminal() && !unwanted && !dumb {
        true => Style::Coloured,
        false => Style::Plain,
    }
}

/// Data, on stdout.
pub fn print(text: &str) {
    // Whoever closed the pipe has read enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Talk, on stderr, as one line. A path may hold what would steer the terminal: it is shown as an escape.
pub(super) fn say(line: &str) {
    let steers = |c: char| c.is_control() && c != '\n';
    let line: String =
        line.chars().flat_map(|c| if steers(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints the findings and how many there are; the exit code that follows from them.
pub fn judge(report: &Report, sources: &Sources) -> Exit {
    let _ = std::io::stderr().lock().write_all(render(report, sources, style()).as_bytes());
    if let Some(line) = summary(report) {
        say(&line);
    }
    verdict(report)
}

/// Warnings never make a domain unsound.
pub(super) fn verdict(report: &Report) -> Exit {
    if report.has_errors() { Exit::Unsound } else { Exit::Done }
}

/// `error: 3 errors, 1 warning`
fn summary(report: &Report) -> Option<String> {
    let counted = |severity, one: &str| match report.count(severity) {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let parts: Vec<String> =
        [counted(Severity::Error, "error"), counted(Severity::Warning, "warning")].into_iter().flatten().collect();
    let worst = if report.has_errors() { "error" } else { "warning" };
    (!parts.is_empty()).then(|| format!("{worst}: {}", parts.join(", ")))
}
