//! The quoting of each format that is printed: a text goes in, a word of the format comes out that means exactly that text.
//!
//! Refuses: texts that the format cannot hold, such as a newline in a systemd unit. It never drops or replaces a character.

/// Why a text cannot be written in the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritable(pub String);

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Quoted = Result<String, Unwritable>;

fn one_line(text: &str, format: &str) -> Result<(), Unwritable> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(bad) => Err(Unwritable(format!("{format} cannot hold {bad:?}"))),
        None => Ok(()),
    }
}

fn escaped(text: &str, marks: &[char], escape: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        if marks.contains(&c) {
            out.push(escape);
        }
        out.push(c);
    }
    out
}

/// The value of a directive as it stands: systemd's own syntax, on one line, not ending in a continuation.
pub fn directive(text: &str) -> Quoted {
    one_line(text, "a unit")?;
    match text.ends_with('\\') {
        true => Err(Unwritable("a directive cannot end in a backslash, which would continue the line".to_owned())),
        false => Ok(text.to_owned()),
    }
}

/// A text in a directive that expands specifiers, such as `Description=`.
pub fn specifiers(text: &str) -> Quoted {
    directive(&text.replace('%', "%%"))
}

/// One word of a command line in `ExecStart=`: no specifier, no variable, no separator in it means anything.
pub fn word(text: &str) -> Quoted {
    one_line(text, "a unit")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%$~".contains(c);
    let doubled = text.replace('%', "%%").replace('$', "$$");
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(doubled),
        false => Ok(format!("\"{}\"", escaped(&doubled, &['"', '\\'], '\\'))),
    }
}

/// The program of a command line. systemd reads prefixes such as `-` and `+` before it, and expands no variable in it.
pub fn program(text: &str) -> Quoted {
    if text.is_empty() || text.starts_with(['-', '@', ':', '+', '!', '|']) {
        return Err(Unwritable(format!("`{text}` is not a program: systemd reads its first character as a prefix")));
    }
    if text.contains('$') {
        return Err(Unwritable("the program's path cannot contain `$`".to_owned()));
    }
    word(text)
}

/// A whole command line.
pub fn command(exec: &[String]) -> Quoted {
    let Some((first, rest)) = exec.split_first() else {
        return Err(Unwritable("a command line names a program".to_owned()));
    };
    let mut words = vec![program(first)?];
    for text in rest {
        words.push(word(text)?);
    }
    Ok(words.join(" "))
}

/// One assignment in `Environment=`; specifiers in the value are the caller's own.
pub fn assignment(name: &str, value: &str) -> Quoted {
    one_line(value, "a unit")?;
    Ok(format!("\"{name}={}\"", escaped(value, &['"', '\\'], '\\')))
}

/// A value in a file that `EnvironmentFile=` names: in double quotes, where a backslash protects what a shell would read.
pub fn environment(text: &str) -> Quoted {
    one_line(text, "an environment file")?;
    Ok(format!("\"{}\"", escaped(text, &['"', '\\', '$', '`'], '\\')))
}

/// A field of sysusers.d and tmpfiles.d lines.
pub fn field(text: &str) -> Quoted {
    one_line(text, "a line of sysusers.d or tmpfiles.d")?;
    let doubled = text.replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%~".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(doubled),
        false => Ok(format!("\"{}\"", escaped(&doubled, &['"', '\\'], '\\'))),
    }
}

pub fn json(text: &str) -> Quoted {
    Ok(serde_json::Value::from(text).to_string())
}

/// A TOML basic string: JSON's escapes are TOML's, but for DEL.
pub fn toml(text: &str) -> Quoted {
    Ok(serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f"))
}

/// A word for a POSIX shell.
pub fn shell(text: &str) -> Quoted {
    match text.contains('\0') {
        true => Err(Unwritable("a shell word cannot hold a zero byte".to_owned())),
        false => Ok(format!("'{}'", text.replace('\'', "'\\''"))),
    }
}

/// A format without quoting: line breaks and tabs are its own, other control characters are not.
pub fn plain(text: &str) -> Quoted {
    match text.chars().find(|c| c.is_control() && !matches!(c, '\t' | '\n')) {
        Some(bad) => Err(Unwritable(format!("a text file cannot hold {bad:?}"))),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How systemd splits a command line (systemd `extract-word.c` with unquoting, then `replace_env`, then specifiers).
    pub fn words(line: &str) -> Option<Vec<String>> {
        let mut words = vec![];
        let mut chars = line.chars().peekable();
        loop {
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.peek().is_none() {
                return Some(words);
            }
            let (mut word, mut quoted) = (String::new(), false);
            loop {
                match chars.next() {
                    None if quoted => return None,
                    None => break,
                    Some(c) if c.is_whitespace() && !quoted => break,
                    Some('"') => quoted = !quoted,
                    Some('\\') => word.push(chars.next()?),
                    Some(c) => word.push(c),
                }
            }
            words.push(word.replace("%%", "%").replace("$$", "$"));
        }
    }

    proptest! {
        #[test]
        fn a_command_line_means_its_words(exec in prop::collection::vec("[a-z \"'\\\\;{}%$#&|<>\t]{0,12}", 1..5)) {
            let exec: Vec<String> = std::iter::once("/bin/x".to_owned()).chain(exec).collect();
            prop_assert_eq!(words(&command(&exec).unwrap()).unwrap(), exec);
        }

        #[test]
        fn an_environment_value_means_itself(value in "[a-z \"'\\\\;{}%$#`\t]{0,20}") {
            let quoted = environment(&value).unwrap();
            let inner = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            let mut meant = String::new();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"' && c != '$' && c != '`', "unprotected {c}");
                meant.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            prop_assert_eq!(meant, value);
        }

        #[test]
        fn json_and_toml_read_back(value in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json(&value).unwrap()).unwrap(), value.clone());
            let document = format!("v = {}\n", toml(&value).unwrap());
            let table: std::collections::BTreeMap<String, String> = ::toml::from_str(&document).unwrap();
            prop_assert_eq!(&table["v"], &value);
        }

        #[test]
        fn no_word_breaks_its_line(value in any::<String>()) {
            let quoted = [word(&value), environment(&value), field(&value), directive(&value), assignment("A", &value)];
            for text in quoted.into_iter().flatten() {
                prop_assert!(!text.contains(['\n', '\r', '\0']), "{text:?}");
            }
        }
    }

    #[test]
    fn what_a_unit_cannot_hold_is_refused() {
        assert!(word("a\nb").is_err());
        assert!(directive("a\\").is_err());
        assert!(program("-/bin/false").is_err());
        assert!(program("/bin/$x").is_err());
        assert!(environment("a\nb").is_err());
        assert!(command(&[]).is_err());
        assert_eq!(
            command(&["/bin/a".into(), "100%".into(), "$HOME".into(), ";".into(), String::new()]).unwrap(),
            "/bin/a 100%% $$HOME \";\" \"\""
        );
    }
}
