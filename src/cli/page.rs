//! A page of `docs/codes/` on a terminal: headings in bold, examples set in, no Markdown signs.
//!
//! Refuses: touching what goes into a file or a pipe; there it stays Markdown.

use crate::diag::Style;
use std::io::IsTerminal as _;

/// How a page is shown on stdout; `None` where it is no terminal.
pub fn on_stdout() -> Option<Style> {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let style = if unwanted { Style::Plain } else { Style::Coloured };
    std::io::stdout().is_terminal().then_some(style)
}

/// The page as it is shown.
#[must_use]
pub fn shown(markdown: &str, style: Option<Style>) -> String {
    let Some(style) = style else { return markdown.to_owned() };
    let (bold, plain) = match style {
        Style::Coloured => ("\u{1b}[1m", "\u{1b}[0m"),
        Style::Plain => ("", ""),
    };
    let mut out = String::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let heading = line.trim_start_matches('#');
        match (fenced, heading.len() < line.len()) {
            (true, _) if line.is_empty() => {}
            (true, _) => out.extend(["    ", line]),
            (false, true) => out.extend([bold, heading.trim_start(), plain]),
            (false, false) => out.push_str(&line.replace('`', "")),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# LW0006: not JSON\n\nA `x`.\n\n## Wrong\n\n```toml\n# a note\na = `1`\n```\n";

    #[test]
    fn a_terminal_shows_no_markdown_and_a_pipe_all_of_it() {
        assert_eq!(shown(PAGE, None), PAGE);
        let plain = "LW0006: not JSON\n\nA x.\n\nWrong\n\n    # a note\n    a = `1`\n";
        assert_eq!(shown(PAGE, Some(Style::Plain)), plain);
        assert!(shown(PAGE, Some(Style::Coloured)).starts_with("\u{1b}[1mLW0006: not JSON\u{1b}[0m\n"));
    }
}
