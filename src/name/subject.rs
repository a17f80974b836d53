//! NATS subjects and subject patterns, with nats-server's own meaning of wildcards.
//!
//! Refuses: subjects that nats-server accepts but nobody can mean, such as `a>` or an empty token.

use super::Fault;
use std::sync::Arc;

/// A literal subject: non-empty tokens joined by dots, no wildcard, no white space.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// A subject in which a token may be `*` (one token) and the last may be `>` (one or more).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectPattern(Arc<str>);

enum Wildcards {
    Allowed,
    Refused,
}

fn check(text: &str, wildcards: Wildcards) -> Result<(), Fault> {
    if text.is_empty() {
        return Err(Fault::new("a subject cannot be empty"));
    }
    if let Some(bad) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(Fault::new(format!("a subject cannot contain {bad:?}")));
    }
    let last = text.split('.').count() - 1;
    for (place, token) in text.split('.').enumerate() {
        if token.is_empty() {
            return Err(Fault::new(format!("the subject `{text}` has an empty token")));
        }
        let wild = token == "*" || token == ">";
        if wild && matches!(wildcards, Wildcards::Refused) {
            return Err(Fault::new(format!("the subject `{text}` has a wildcard where a literal subject is meant")));
        }
        if token == ">" && place != last {
            return Err(Fault::new(format!("`>` must be the last token of `{text}`")).help("use `*` for one token"));
        }
        if !wild && token.contains(['*', '>']) {
            return Err(Fault::new(format!("`{token}` in `{text}` is a literal to nats-server, not a wildcard"))
                .help("a wildcard stands alone in its token: `a.>` and not `a>`"));
        }
    }
    Ok(())
}

impl Subject {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        check(text, Wildcards::Refused)?;
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn pattern(&self) -> SubjectPattern {
        SubjectPattern(self.0.clone())
    }
}

impl SubjectPattern {
    pub fn parse(text: &str) -> Result<Self, Fault> {
        check(text, Wildcards::Allowed)?;
        Ok(Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is every subject that `other` matches also matched by this pattern? (nats-server `subjectIsSubsetMatch`)
    pub fn covers(&self, other: &SubjectPattern) -> bool {
        let mut theirs = other.0.split('.');
        for mine in self.0.split('.') {
            match (mine, theirs.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(token)) if token != ">" => {}
                (mine, Some(token)) if mine == token => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Is there a subject that both patterns match? (nats-server `SubjectsCollide`)
    pub fn overlaps(&self, other: &SubjectPattern) -> bool {
        let (mut a, mut b) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (None, Some(_)) | (Some(_), None) => return false,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(x), Some(y)) if x == y || x == "*" || y == "*" => {}
                _ => return false,
            }
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Subject);
as_text!(SubjectPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_what_nats_server_means() {
        let p = |t| SubjectPattern::parse(t).unwrap();
        for (wide, narrow, covers, overlaps) in [
            ("foo.*", "foo.bar", true, true),
            ("foo.*", "foo.bar.baz", false, false),
            ("foo.>", "foo", false, false),
            ("foo.>", "foo.bar.baz", true, true),
            ("*.bar", "foo.*", false, true),
            ("foo.*", "foo.>", false, true),
            (">", "a", true, true),
            ("a.b", "a.b", true, true),
            ("a.b", "a", false, false),
        ] {
            assert_eq!(p(wide).covers(&p(narrow)), covers, "{wide} covers {narrow}");
            assert_eq!(p(wide).overlaps(&p(narrow)), overlaps, "{wide} overlaps {narrow}");
            assert_eq!(p(narrow).overlaps(&p(wide)), overlaps, "{narrow} overlaps {wide}");
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for text in ["", "a..b", ".a", "a.", "a b", "a>", "a.>.b", "x*"] {
            assert!(SubjectPattern::parse(text).is_err(), "{text}");
        }
        assert!(Subject::parse("a.*").is_err());
    }
}
