//! What the parser says of an expression, in our words.
//!
//! Refuses: more than the first fault; what follows it is mostly its echo.

use super::ExprFault;

/// The way out of a syntax error.
const HOW: &str = "write a CEL expression, such as `${machine.name + '.local'}`, or `$${` for a literal `${`";

/// The first fault, at its column; `offset` is where the expression stands in its text.
pub fn fault(errors: &cel::ParseErrors, source: &str, offset: usize) -> ExprFault {
    let Some(first) = errors.errors.first() else {
        return ExprFault {
            at: offset..offset + source.len(),
            message: "this is not an expression".into(),
            help: Some(HOW.into()),
        };
    };
    let column = usize::try_from(first.pos.1).unwrap_or(1).saturating_sub(1);
    // Columns of the parser count characters.
    let start = source.char_indices().nth(column).map_or(source.len(), |(at, _)| at);
    let end = source[start..].chars().next().map_or(source.len(), |c| start + c.len_utf8());
    let said = first.msg.lines().next().unwrap_or_default();
    ExprFault {
        at: offset + start..offset + end,
        message: format!("this expression does not parse: {}", in_words(said)),
        help: Some(HOW.into()),
    }
}

/// The parser speaks of its tokens; the rest of what it may say is passed on.
fn in_words(said: &str) -> String {
    let said = said.strip_prefix("Syntax error: ").unwrap_or(said);
    let refused = || ["mismatched input '", "extraneous input '"].iter().find_map(|words| said.strip_prefix(words));
    if let Some((found, expected)) = refused().and_then(|rest| rest.rsplit_once("' expecting ")) {
        let expected = match expected.trim_matches('\'') {
            "<EOF>" => None,
            one if expected.starts_with('\'') => Some(format!("`{one}`")),
            _ => Some("a value".to_owned()),
        };
        return match (found, expected) {
            ("<EOF>", Some(expected)) => format!("it ends where {expected} is expected"),
            (_, Some(expected)) => format!("`{found}` stands where {expected} is expected"),
            (_, None) => format!("`{found}` stands where it could end; an operator is missing before it"),
        };
    }
    if let Some((missing, found)) = said.strip_prefix("missing '").and_then(|rest| rest.split_once("' at '")) {
        return match found.trim_end_matches('\'') {
            "<EOF>" => format!("it ends where `{missing}` is expected"),
            found => format!("`{found}` stands where `{missing}` is expected"),
        };
    }
    match said.strip_prefix("token recognition error at: '").and_then(|rest| rest.strip_suffix('\'')) {
        Some(found) => format!("`{found}` means nothing here"),
        None => lower_first(said),
    }
}

pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Known, condition};

    #[test]
    fn what_does_not_parse_is_said_in_words() {
        for (text, said) in [
            ("1 +", "it ends where a value is expected"),
            ("* 2", "`*` stands where a value is expected"),
            ("size('a'", "it ends where `)` is expected"),
            ("1 2", "`2` stands where it could end; an operator is missing before it"),
            ("1 + $", "`$` means nothing here"),
        ] {
            let Err(fault) = condition(text, &mut Known::default()) else { panic!("{text} parses") };
            assert_eq!(fault.message, format!("this expression does not parse: {said}"), "{text}");
        }
    }
}
