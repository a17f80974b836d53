//! Rows of data: what must not be, what to say, and a way out. Used where one rule has many small parts.

use super::holder::Holder;
use crate::diag::{Code, Diagnostic, Report};

/// One combination of fields that must not be. `field` is where the finding points.
pub struct Row<T: 'static> {
    /// By this name the row's case is found.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests pair rows with cases by name"))]
    pub name: &'static str,
    pub field: &'static str,
    pub wrong: fn(&T) -> bool,
    pub says: &'static str,
    pub help: &'static str,
}

/// Checks one thing by every row. `path` is the thing's option path, such as `streams.orders`.
pub fn check<T>(
    rows: &[Row<T>],
    thing: &T,
    path: impl Fn() -> String,
    holder: Holder<'_>,
    code: Code,
    report: &mut Report,
) {
    for row in rows.iter().filter(|row| (row.wrong)(thing)) {
        let span = holder.span(&format!("{}.{}", path(), row.field));
        report.push(Diagnostic::error(code, span, row.says).help(row.help));
    }
}
