//! Reads the text of a unit as systemd does: sections, directives, repeated directives as lists, continued lines, comments.
//!
//! Refuses: judging. What systemd passes over (a line without `=`, one before any section) is passed over here.

use crate::resolve::Unit;

/// systemd's white space (`WHITESPACE` in its `string-util.h`); no other character is stripped.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// The unit that `text` says. A directive without a value stays as an empty one: it resets what came before.
pub fn read_unit(text: &str) -> Unit {
    let mut unit = Unit::new();
    let mut section: Option<String> = None;
    for line in logical_lines(text) {
        let line = line.trim_matches(BLANK);
        if let Some(rest) = line.strip_prefix('[') {
            // A header that does not close is an error to systemd, and the lines below it belong nowhere.
            section = rest.strip_suffix(']').map(str::to_owned);
        } else if let (Some(section), Some((directive, value))) = (&section, line.split_once('=')) {
            let directive = directive.trim_matches(BLANK);
            if !directive.is_empty() {
                let values = unit.entry(section.clone()).or_default().entry(directive.to_owned()).or_default();
                values.push(value.trim_matches(BLANK).to_owned());
            }
        }
    }
    unit
}

/// Lines with their continuations: a backslash at the end is a space, and comments in between are left out.
fn logical_lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = vec![];
    let mut open: Option<String> = None;
    for line in text.split(['\n', '\r', '\0']) {
        if line.trim_start_matches(BLANK).starts_with(['#', ';']) {
            continue;
        }
        let mut whole = open.take().unwrap_or_default() + line;
        match continues(&whole) {
            true => {
                whole.pop();
                whole.push(' ');
                open = Some(whole);
            }
            false => lines.push(whole),
        }
    }
    lines.extend(open);
    lines
}

/// A backslash at the end that no backslash before it protects.
fn continues(line: &str) -> bool {
    line.chars().fold(false, |escaped, c| !escaped && c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(lines: &[(&str, &str, &[&str])]) -> Unit {
        let mut unit = Unit::new();
        for (section, directive, values) in lines {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            unit.entry((*section).to_owned()).or_default().insert((*directive).to_owned(), values);
        }
        unit
    }

    #[test]
    fn a_unit_that_a_hand_wrote() {
        let text = "\u{feff}Lost=before any section\n\
            # a comment\n  ; another\n[Unit]\n  Description = two words  \nAfter=a.service b.service\nAfter=c.service\n\n\
            nothing said here\n=no name\n[Service]\r\nExecStart=/bin/x \\\n# between\n   --flag \\\n  last\nExecStart=\n\
            Path=C:\\\\\nEnvironment=\"A=1\" B=[x]\n[Open\nLost=too\n[Install]\nWantedBy=multi-user.target\\";
        let expected = unit(&[
            ("Unit", "Description", &["two words"]),
            ("Unit", "After", &["a.service b.service", "c.service"]),
            ("Service", "ExecStart", &["/bin/x     --flag    last", ""]),
            ("Service", "Path", &["C:\\\\"]),
            ("Service", "Environment", &["\"A=1\" B=[x]"]),
            ("Install", "WantedBy", &["multi-user.target"]),
        ]);
        assert_eq!(read_unit(text), expected);
    }

    proptest! {
        /// What templates/unit.tera prints is read back exactly; blanks at the ends of a value mean nothing to systemd.
        #[test]
        fn what_is_printed_is_read_back(
            unit in prop::collection::btree_map(
                "(Unit|Service|Install|X-Own)",
                prop::collection::btree_map(
                    "[A-Za-z][A-Za-z0-9-]{0,8}",
                    prop::collection::vec("[ -~\\\\\\[\\]=#;\u{a0}äß€😀%$\"'\t]{0,16}[^\\\\\\p{Cc}]", 1..4),
                    1..4,
                ),
                0..4,
            )
        ) {
            let mut text = String::new();
            for (section, directives) in &unit {
                text += &format!("[{section}]\n");
                for (directive, values) in directives {
                    values.iter().for_each(|value| text += &format!("{directive}={value}\n"));
                }
                text += "\n";
            }
            let meant: Unit = unit
                .into_iter()
                .map(|(section, directives)| {
                    let trimmed = |values: Vec<String>| values.iter().map(|v| v.trim_matches(BLANK).to_owned()).collect();
                    (section, directives.into_iter().map(|(name, values)| (name, trimmed(values))).collect())
                })
                .collect();
            prop_assert_eq!(read_unit(&text), meant);
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _read = read_unit(&text);
        }
    }
}
