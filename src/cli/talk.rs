//! How findings and results reach a person or a program.
//!
//! Refuses: panicking on a closed pipe, and colour where nobody asked for it.

use super::Exit;
use crate::diag::{Report, Severity, Sources, Style, render};
use crate::plan::render::counted;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Colour on a terminal, unless `NO_COLOR` says otherwise.
pub fn style() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match std::io::stderr().is_terminal() && !unwanted && !dumb {
        true => Style::Coloured,
        false => Style::Plain,
    }
}

/// Data was asked for and is not where it was to go.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Data, on stdout. What cannot be written (a full disk) is said, and is no success.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say(&format!("error: cannot write to stdout: {error}"));
            UNWRITTEN.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
}

/// Was all data written that was asked for?
pub(super) fn is_written() -> bool {
    !UNWRITTEN.load(Ordering::Relaxed)
}

/// Talk, on stderr, as one line. A path may hold what would steer the terminal: it is shown as an escape.
pub(super) fn say(line: &str) {
    let steers = |c: char| c.is_control() && c != '\n';
    let line: String =
        line.chars().flat_map(|c| if steers(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Says why there is nothing to go on with.
#[cfg(feature = "world")]
pub(super) fn failed(fault: crate::foreground::Fault) -> anyhow::Result<Exit> {
    use crate::foreground::Fault;
    match fault {
        Fault::Usage(text) => Err(super::WrongUsage(text).into()),
        Fault::Unsound { report, sources } => Ok(judge(&report, &sources)),
        Fault::World(error) => Err(error),
    }
}

/// Prints the errors and what `check` never sees, and how many warnings `check` shows. The exit code that follows.
pub fn judge(report: &Report, sources: &Sources) -> Exit {
    let mut shown = report.clone();
    shown.diagnostics.retain(|found| found.severity == Severity::Error || !found.code.is_of_check());
    show(&shown, sources);
    let left = report.diagnostics.len() - shown.diagnostics.len();
    match (some(report.count(Severity::Error), "error"), some(left, "warning")) {
        (None, None) => {}
        (Some(errors), None) => say(&format!("error: {errors}{}", waiting(report))),
        (None, Some(warnings)) => say(&format!("{warnings}; see `leafwright check`")),
        (Some(errors), Some(warnings)) => say(&format!("error: {errors}, and {warnings}; see `leafwright check`")),
    }
    verdict(report)
}

/// All findings, on stderr.
pub(super) fn show(report: &Report, sources: &Sources) {
    let _ = std::io::stderr().lock().write_all(render(report, sources, style()).as_bytes());
}

/// What `check` says at its end.
pub(super) fn summary(report: &Report) -> String {
    match counts(report) {
        [None, None] => "the domain is sound".to_owned(),
        [None, Some(warnings)] => format!("the domain is sound, with {warnings}"),
        [Some(errors), None] => format!("error: {errors}{}", waiting(report)),
        [Some(errors), Some(warnings)] => format!("error: {errors}, {warnings}{}", waiting(report)),
    }
}

/// What could not be looked at yet.
fn waiting(report: &Report) -> &'static str {
    if report.rules_wait { "; the rules are judged once these are mended" } else { "" }
}

/// Warnings never make a domain unsound.
pub(super) fn verdict(report: &Report) -> Exit {
    if report.has_errors() { Exit::Unsound } else { Exit::Done }
}

/// "3 errors", "1 warning"; nothing where there are none.
fn counts(report: &Report) -> [Option<String>; 2] {
    [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .map(|(severity, one)| some(report.count(severity), one))
}

fn some(count: usize, one: &str) -> Option<String> {
    (count > 0).then(|| counted(count, one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, Diagnostic, SourceId, Span};

    #[test]
    fn the_last_line_of_check_counts_and_judges() {
        let at = Span { source: SourceId(0), start: 0, end: 0 };
        let (error, warning) = (Diagnostic::error(Code(1), at, "x"), Diagnostic::warning(Code(2), at, "y"));
        for (diagnostics, said) in [
            (vec![], "the domain is sound"),
            (vec![warning.clone()], "the domain is sound, with 1 warning"),
            (vec![warning.clone(), warning.clone()], "the domain is sound, with 2 warnings"),
            (vec![error.clone(), error.clone()], "error: 2 errors"),
            (vec![error, warning], "error: 1 error, 1 warning"),
        ] {
            let mut report = Report::default();
            report.diagnostics.extend(diagnostics);
            assert_eq!(summary(&report), said);
        }
    }
}
