//! Diagnostics: what is wrong, where the user wrote it, and a way out. Shared by every floor above.
//!
//! Refuses: knowing what a declaration means, printing (it renders to a `String`), and reading files.

pub mod codes;
mod find;
mod json;
mod render;
mod secret;
mod source;

pub use codes::Code;
pub use find::{Found, Secret, secrets_in};
pub use json::json;
pub use render::{Style, render};
pub use secret::mask;
pub use source::{Place, SourceId, Sources, Span, Spanned};

/// How bad a finding is. An error makes the declarations unsound (exit code 1); a warning never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// A place in the text with a few words about it, such as "first defined here".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One finding. The message is a lowercase phrase without a full stop; `help` is something that can be pasted or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    pub message: String,
    pub primary: Label,
    pub secondary: Vec<Label>,
    pub help: Vec<String>,
}

impl Diagnostic {
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, span, message)
    }

    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, span, message)
    }

    fn new(severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Self {
        let primary = Label { span, text: String::new() };
        Self { code, severity, message: message.into(), primary, secondary: vec![], help: vec![] }
    }

    /// A few words beside the caret.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// A second place, such as where the other definition stands.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Everything a floor found out, in the order it was found; `sorted` brings it into source order.
#[derive(Clone, Debug, Default)]
#[must_use = "a report that nobody reads is a lost mistake"]
pub struct Report {
    pub diagnostics: Vec<Diagnostic>,
    /// What is missing because of these mistakes would make the rules find what is not wrong, so they were not asked.
    pub rules_wait: bool,
}

impl Report {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub fn absorb(&mut self, other: Report) {
        self.diagnostics.extend(other.diagnostics);
        self.rules_wait |= other.rules_wait;
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    /// Source order: by file (in path order), then by place, then by code; equal findings once.
    pub fn sorted(mut self) -> Self {
        self.diagnostics.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.primary.span, d.code);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        self.diagnostics.dedup();
        self
    }
}

/// Maybe a value, always a report.
#[derive(Debug)]
#[must_use = "a report that nobody reads is a lost mistake"]
pub struct Checked<T> {
    pub value: Option<T>,
    pub report: Report,
}

impl<T> Checked<T> {
    pub fn new(value: Option<T>, report: Report) -> Self {
        Self { value, report }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Checked<U> {
        Checked { value: self.value.map(f), report: self.report }
    }

    /// Goes on with the value if there is one, and keeps both reports.
    pub fn then<U>(self, f: impl FnOnce(T) -> Checked<U>) -> Checked<U> {
        let Self { value, mut report } = self;
        let value = value.and_then(|value| {
            let next = f(value);
            report.absorb(next.report);
            next.value
        });
        Checked { value, report }
    }
}
