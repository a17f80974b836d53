//! Option types and the small grammar in which they are written:
//! `int(1..65535)`, `list<ip>`, `map<stream, record>`, `optional<duration>`, `enum("a", "b")`, `string(/regex/)`, `either<int, string>`.
//!
//! Refuses: values (see `fit`), and types that nothing can check.

use super::schema::Record;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Type {
    /// Anything that TOML can say; for what templates see.
    Any,
    Bool,
    Int {
        least: Option<i64>,
        most: Option<i64>,
    },
    Float {
        least: Option<f64>,
        most: Option<f64>,
    },
    Text(Option<regex::Regex>),
    Enum(Vec<Box<str>>),
    Word(Word),
    List(Box<Type>),
    Set(Box<Type>),
    /// What the keys are, if not any text; and what the values are.
    Map(Option<Word>, Box<Type>),
    Record(Arc<Record>),
    Optional(Box<Type>),
    Either(Vec<Type>),
}

/// Texts with a form of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Path,
    Port,
    Ip,
    Cidr,
    Socket,
    Url,
    Host,
    Duration,
    Size,
    Subject,
    SubjectPattern,
    Stream,
    Bucket,
    Service,
    NKey,
    Secret,
    Machine,
    Person,
    Zone,
}

/// Name in the grammar, the word, and what a person calls it.
pub const WORDS: [(&str, Word, &str); 19] = [
    ("path", Word::Path, "an absolute path"),
    ("port", Word::Port, "a port, 1 to 65535"),
    ("ip", Word::Ip, "an IP address"),
    ("cidr", Word::Cidr, "a network such as 10.0.0.0/8"),
    ("socket", Word::Socket, "a socket address such as 127.0.0.1:4222"),
    ("url", Word::Url, "a URL"),
    ("host", Word::Host, "a host name"),
    ("duration", Word::Duration, "a duration such as \"90s\""),
    ("size", Word::Size, "a size such as \"64MiB\""),
    ("subject", Word::Subject, "a subject"),
    ("pattern", Word::SubjectPattern, "a subject pattern"),
    ("stream", Word::Stream, "a stream name"),
    ("bucket", Word::Bucket, "a bucket name"),
    ("service", Word::Service, "a service name"),
    ("nkey", Word::NKey, "a public NKey"),
    ("secret", Word::Secret, "a secret reference (the absolute path of a file)"),
    ("machine", Word::Machine, "a machine"),
    ("person", Word::Person, "a person"),
    ("zone", Word::Zone, "a zone"),
];

/// Names of the grammar that are not words, for suggestions.
const OTHERS: [&str; 12] =
    ["any", "bool", "int", "float", "string", "enum", "list", "set", "map", "record", "optional", "either"];

/// What is wrong with a written type, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeFault {
    pub at: std::ops::Range<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// Parses a written type. `record` stands for the record whose fields are declared beside it.
pub fn parse(text: &str, record: Option<&Arc<Record>>) -> Result<Type, TypeFault> {
    let mut parser = Parser { text, at: 0, depth: 0, record };
    let kind = parser.kind()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.fault(parser.at..text.len(), "this does not belong to a type"));
    }
    Ok(kind)
}

/// How deep types may stand in each other.
const NESTED: usize = 16;

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    record: Option<&'t Arc<Record>>,
}

impl Parser<'_> {
    fn fault(&self, at: std::ops::Range<usize>, message: impl Into<String>) -> TypeFault {
        TypeFault { at, message: message.into(), help: None }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: char) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn want(&mut self, token: char) -> Result<(), TypeFault> {
        if self.eat(token) {
            return Ok(());
        }
        let end = self.text.len().min(self.at + self.rest().chars().next().map_or(0, char::len_utf8));
        Err(self.fault(self.at..end, format!("`{token}` is expected here")))
    }

    fn name(&mut self) -> std::ops::Range<usize> {
        self.space();
        let len =
            self.rest().len() - self.rest().trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        let range = self.at..self.at + len;
        self.at = range.end;
        range
    }

    fn kind(&mut self) -> Result<Type, TypeFault> {
        if self.depth == NESTED {
            let says = format!("types stand in each other more than {NESTED} deep");
            let help = Some("use `any`, or a record".to_owned());
            return Err(TypeFault { help, ..self.fault(self.at..self.text.len(), says) });
        }
        self.depth += 1;
        let kind = self.one_kind();
        self.depth -= 1;
        kind
    }

    fn one_kind(&mut self) -> Result<Type, TypeFault> {
        let range = self.name();
        let text = self.text;
        match &text[range.clone()] {
            "any" => Ok(Type::Any),
            "bool" => Ok(Type::Bool),
            "int" => {
                let (least, most) = self.bounds()?;
                Ok(Type::Int { least, most })
            }
            "float" => {
                let (least, most) = self.bounds()?;
                Ok(Type::Float { least, most })
            }
            "string" => Ok(Type::Text(self.pattern()?)),
            "enum" => self.choices().map(Type::Enum),
            "list" => Ok(Type::List(Box::new(self.one()?))),
            "set" => Ok(Type::Set(Box::new(self.one()?))),
            "optional" => Ok(Type::Optional(Box::new(self.one()?))),
            "map" => self.map(),
            "either" => self.arguments().map(Type::Either),
            "record" => match self.record {
                Some(record) => Ok(Type::Record(record.clone())),
                None => Err(TypeFault {
                    at: range,
                    message: "a record needs its `fields`".into(),
                    help: Some(
                        "declare them beside the type: `[options.\"…\".fields.<field>]`, each with `type` and `doc`"
                            .into(),
                    ),
                }),
            },
            name => match word(name) {
                Some(word) => Ok(Type::Word(word)),
                None => Err(unknown(name, range)),
            },
        }
    }

    fn one(&mut self) -> Result<Type, TypeFault> {
        self.want('<')?;
        let kind = self.kind()?;
        self.want('>')?;
        Ok(kind)
    }

    fn arguments(&mut self) -> Result<Vec<Type>, TypeFault> {
        self.want('<')?;
        let mut kinds = vec![self.kind()?];
        while self.eat(',') {
            kinds.push(self.kind()?);
        }
        self.want('>')?;
        Ok(kinds)
    }

    /// `map<value>` or `map<key, value>`.
    fn map(&mut self) -> Result<Type, TypeFault> {
        let start = self.at;
        let mut kinds = self.arguments()?;
        match (kinds.pop(), kinds.pop(), kinds.is_empty()) {
            (Some(value), None, true) => Ok(Type::Map(None, Box::new(value))),
            (Some(value), Some(Type::Text(None)), true) => Ok(Type::Map(None, Box::new(value))),
            (Some(value), Some(Type::Word(key)), true) => Ok(Type::Map(Some(key), Box::new(value))),
            _ => {
                Err(self.fault(start..self.at, "a map is `map<value>` or `map<key, value>`, with a key that is a text"))
            }
        }
    }

    fn bounds<N: std::str::FromStr>(&mut self) -> Result<(Option<N>, Option<N>), TypeFault> {
        if !self.eat('(') {
            return Ok((None, None));
        }
        let start = self.at;
        let end = start + self.rest().find(')').unwrap_or(self.rest().len());
        let inner = &self.text[start..end];
        let side = |text: &str| match text.trim() {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let sides = inner.split_once("..").and_then(|(low, high)| Some((side(low)?, side(high)?)));
        let Some(sides) = sides else {
            return Err(self.fault(start..end, "a range is written `least..most`; either side may be left out"));
        };
        self.at = end;
        self.want(')')?;
        Ok(sides)
    }

    fn pattern(&mut self) -> Result<Option<regex::Regex>, TypeFault> {
        if !self.eat('(') {
            return Ok(None);
        }
        self.want('/')?;
        let start = self.at;
        let end = self.rest().rfind("/)").map(|end| start + end);
        let Some(end) = end else {
            return Err(self.fault(start..self.text.len(), "a pattern ends with `/)`"));
        };
        let regex = regex::Regex::new(&format!("^(?:{})$", &self.text[start..end]))
            .map_err(|_| self.fault(start..end, "this is not a regular expression"))?;
        self.at = end + 2;
        Ok(Some(regex))
    }

    fn choices(&mut self) -> Result<Vec<Box<str>>, TypeFault> {
        self.want('(')?;
        let mut choices = vec![];
        loop {
            self.want('"')?;
            let Some(len) = self.rest().find('"') else {
                return Err(self.fault(self.at..self.text.len(), "this quote is never closed"));
            };
            choices.push(self.rest()[..len].into());
            self.at += len + 1;
            if !self.eat(',') {
                self.want(')')?;
                return Ok(choices);
            }
        }
    }
}

fn word(name: &str) -> Option<Word> {
    WORDS.iter().find(|(known, ..)| *known == name).map(|(_, word, _)| *word)
}

fn unknown(name: &str, at: std::ops::Range<usize>) -> TypeFault {
    let known = WORDS.iter().map(|(name, ..)| *name).chain(OTHERS);
    let help = crate::declare::nearest(name, known.clone()).map_or_else(
        || format!("the types are {}", known.collect::<Vec<_>>().join(", ")),
        |near| format!("write `{near}`"),
    );
    let message =
        if name.is_empty() { "a type is expected here".to_owned() } else { format!("there is no type `{name}`") };
    TypeFault { at, message, help: Some(help) }
}

impl Type {
    /// Optional values are the values themselves, or nothing.
    pub fn inner(&self) -> &Type {
        match self {
            Type::Optional(inner) => inner.inner(),
            other => other,
        }
    }

    /// What a person calls a value of this type.
    pub fn name(&self) -> String {
        match self {
            Type::Any => "any value".into(),
            Type::Bool => "a boolean".into(),
            Type::Int { least: None, most: None } => "an integer".into(),
            Type::Int { least, most } => format!("an integer in {}", range(least, most)),
            Type::Float { least: None, most: None } => "a number".into(),
            Type::Float { least, most } => format!("a number in {}", range(least, most)),
            Type::Text(None) => "a string".into(),
            Type::Text(Some(pattern)) => format!("a string that matches /{}/", bare(pattern)),
            Type::Enum(choices) => match choices.as_slice() {
                [one] => format!("\"{one}\""),
                many => format!("one of {}", many.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ")),
            },
            Type::Word(word) => {
                WORDS.iter().find(|(_, known, _)| known == word).map_or("a word", |(.., name)| name).into()
            }
            Type::List(inner) => format!("a list; each element {}", inner.name()),
            Type::Set(inner) => format!("a set; each element {}", inner.name()),
            Type::Map(_, inner) => format!("a table; each value {}", inner.name()),
            Type::Record(_) => "a table".into(),
            Type::Optional(inner) => inner.name(),
            Type::Either(kinds) => kinds.iter().map(Type::name).collect::<Vec<_>>().join(", or "),
        }
    }
}

fn bare(pattern: &regex::Regex) -> &str {
    let text = pattern.as_str();
    text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
}

fn range<N: std::fmt::Display>(least: &Option<N>, most: &Option<N>) -> String {
    let side = |side: &Option<N>| side.as_ref().map(N::to_string).unwrap_or_default();
    format!("{}..{}", side(least), side(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_grammar_parses() {
        for text in [
            "bool",
            "int",
            "int(1..65535)",
            "int(..9)",
            "int(-5..)",
            "float(0.0..1.0)",
            "string",
            "string(/[a-z]+/)",
            "string(/a(b)c/)",
            "enum(\"a\", \"b\")",
            "list<ip>",
            "set<port>",
            "map<int>",
            "map<stream, string>",
            "optional<duration>",
            "either<int, string>",
            "list<map<list<optional<size>>>>",
            "any",
            " list < ip > ",
        ] {
            assert!(parse(text, None).is_ok(), "{text}: {:?}", parse(text, None));
        }
        for (name, ..) in WORDS {
            assert!(parse(name, None).is_ok(), "{name}");
        }
    }

    #[test]
    fn faults_stand_at_their_column() {
        for (text, at, message) in [
            ("list<ipp>", 5..8, "there is no type `ipp`"),
            ("list<ip", 7..7, "`>` is expected here"),
            ("int(1-5)", 4..7, "a range is written `least..most`; either side may be left out"),
            ("string(/[/)", 8..9, "this is not a regular expression"),
            ("enum(a)", 5..6, "`\"` is expected here"),
            ("bool bool", 5..9, "this does not belong to a type"),
            ("record", 0..6, "a record needs its `fields`"),
            ("", 0..0, "a type is expected here"),
            ("map<int, int>", 3..13, "a map is `map<value>` or `map<key, value>`, with a key that is a text"),
        ] {
            let fault = parse(text, None).unwrap_err();
            assert_eq!((fault.at, fault.message.as_str()), (at, message), "{text}");
        }
    }
}
