//! The subject grammar of `domain.toml` as data: how a message's kind and name become a subject, and back.
//!
//! Refuses: a grammar under which two messages could share a subject, a kind could not be told from a subject,
//! or a message could fall into a space that nats-server or the seeder owns.

use super::model::Spaces;
use crate::declare::{self, MessageKind};
use crate::diag::{Checked, Code, Diagnostic, Report};
use crate::name::{DomainName, Fault, MessageName, Subject, SubjectPattern};

/// What a domain has that names no grammar of its own.
pub const DEFAULT: &str = "{kind}.{domain}.{aggregate}.{name}";

const BAD_GRAMMAR: Code = Code(501);

const KINDS: [MessageKind; 3] = [MessageKind::Command, MessageKind::Query, MessageKind::Event];

/// A grammar is a list of tokens. `{name}` is the last one, because it alone may become several tokens:
/// everything before it stands at a fixed place, so a subject has one reading only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    domain: DomainName,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(Box<str>),
    Kind,
    Domain,
    Aggregate,
    Name,
}

impl Token {
    fn parse(text: &str) -> Result<Self, Fault> {
        let literal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match text {
            "{kind}" => Ok(Token::Kind),
            "{domain}" => Ok(Token::Domain),
            "{aggregate}" => Ok(Token::Aggregate),
            "{name}" => Ok(Token::Name),
            "" => Err(Fault::new("a subject grammar cannot have an empty token")),
            _ if text.chars().all(literal) => Ok(Token::Literal(text.into())),
            _ if text.contains(['{', '}']) => Err(Fault::new(format!(
                "`{text}` is not a placeholder of a subject grammar"
            ))
            .help("a token is a word or one of `{kind}`, `{domain}`, `{aggregate}`, `{name}`, alone between its dots")),
            _ => Err(Fault::new(format!("`{text}` cannot be a token of a subject grammar"))
                .help("a literal token is made of letters, digits, `-` and `_`")),
        }
    }

    fn placeholder(&self) -> &str {
        match self {
            Token::Literal(text) => text,
            Token::Kind => "{kind}",
            Token::Domain => "{domain}",
            Token::Aggregate => "{aggregate}",
            Token::Name => "{name}",
        }
    }
}

impl Grammar {
    /// The grammar of a domain: its own, or the default. A faulty one is reported where it is written.
    pub fn of(domain: &declare::Domain) -> Checked<Self> {
        let mut report = Report::default();
        let name = &domain.name.value;
        let (text, span) = match &domain.subjects {
            Some(text) => (&*text.value, text.span),
            None => (DEFAULT, domain.name.span),
        };
        let value = match Self::parse(text, name) {
            Ok(grammar) => Some(grammar),
            Err(fault) => {
                let mut finding = Diagnostic::error(BAD_GRAMMAR, span, fault.message);
                finding.help.extend(fault.help);
                report.push(finding);
                None
            }
        };
        Checked::new(value, report)
    }

    pub fn parse(text: &str, domain: &DomainName) -> Result<Self, Fault> {
        let tokens = text.split('.').map(Token::parse).collect::<Result<Vec<_>, _>>()?;
        for needed in [Token::Kind, Token::Aggregate, Token::Name] {
            let why = match needed {
                Token::Kind => "a command and an event could not be told apart",
                _ => "two messages would have one subject",
            };
            if !tokens.contains(&needed) {
                return Err(Fault::new(format!("without `{}` in the grammar {why}", needed.placeholder()))
                    .help(format!("write `subjects = \"{DEFAULT}\"`, the default, or leave it out")));
            }
        }
        for token in [Token::Kind, Token::Domain, Token::Aggregate, Token::Name] {
            if tokens.iter().filter(|t| **t == token).count() > 1 {
                return Err(Fault::new(format!("`{}` stands in the grammar twice", token.placeholder())));
            }
        }
        if tokens.last() != Some(&Token::Name) {
            return Err(Fault::new("`{name}` must be the last token of the grammar")
                .help("a name may have several tokens (`lists.items.add`), so nothing can stand behind it"));
        }
        let grammar = Self { domain: domain.clone(), tokens };
        grammar.first_token_is_ours()?;
        Ok(grammar)
    }

    /// The first token keeps the domain's subjects out of the way of the seeder, of histories and of inboxes.
    fn first_token_is_ours(&self) -> Result<(), Fault> {
        let first = match &self.tokens[0] {
            Token::Aggregate => {
                return Err(Fault::new("a grammar cannot begin with `{aggregate}`").help(
                    "begin with `{kind}`, `{domain}` or a word, so that the domain's subjects have a common beginning",
                ));
            }
            Token::Literal(text) => &**text,
            Token::Domain => self.domain.as_str(),
            Token::Kind | Token::Name => return Ok(()),
        };
        if matches!(first, "seed" | "prv") || first.starts_with('_') {
            return Err(Fault::new(format!("subjects that begin with `{first}` are taken")).help(
                "`seed.>` belongs to the loading of events, `prv.>` to the history of machines, names that begin with `_` to nats-server and its clients",
            ));
        }
        Ok(())
    }

    /// The subject of a message. The aggregate is the name's first part, the name is the rest.
    pub fn subject(&self, kind: MessageKind, message: &MessageName) -> Subject {
        let text = message.as_str();
        let (aggregate, name) = text.split_once('.').unwrap_or((text, "_"));
        let parts = self.tokens.iter().map(|token| match token {
            Token::Literal(text) => text,
            Token::Kind => kind.token(),
            Token::Domain => self.domain.as_str(),
            Token::Aggregate => aggregate,
            Token::Name => name,
        });
        parsed(&join(parts), Subject::parse)
    }

    /// The message that has this subject; `None` for a subject that no message can have.
    pub fn message(&self, subject: &Subject) -> Option<(MessageKind, MessageName)> {
        let mut rest = subject.as_str();
        let (mut kind, mut aggregate) = (None, "");
        for token in &self.tokens {
            if *token == Token::Name {
                break;
            }
            let (part, behind) = rest.split_once('.')?;
            rest = behind;
            match token {
                Token::Literal(text) if **text == *part => {}
                Token::Domain if self.domain.as_str() == part => {}
                Token::Kind => kind = KINDS.into_iter().find(|kind| kind.token() == part),
                Token::Aggregate => aggregate = part,
                _ => return None,
            }
        }
        Some((kind?, MessageName::parse(&format!("{aggregate}.{rest}")).ok()?))
    }

    /// The narrowest pattern of each kind that holds all of its subjects, and none of another kind.
    pub fn spaces(&self) -> Spaces {
        let space = |kind: MessageKind| {
            let mut parts: Vec<&str> = self
                .tokens
                .iter()
                .map(|token| match token {
                    Token::Literal(text) => text,
                    Token::Kind => kind.token(),
                    Token::Domain => self.domain.as_str(),
                    Token::Aggregate => "*",
                    Token::Name => ">",
                })
                .collect();
            // `*.>` and `>` differ by subjects of one token only, which no message has: the plain one reads better.
            if parts.ends_with(&["*", ">"]) {
                parts.remove(parts.len() - 2);
            }
            parsed(&join(parts.into_iter()), SubjectPattern::parse)
        };
        Spaces {
            commands: space(MessageKind::Command),
            queries: space(MessageKind::Query),
            events: space(MessageKind::Event),
        }
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(".")
}

/// Every token of a grammar and of a name is a valid subject token, so what they make together parses.
#[expect(clippy::expect_used, reason = "the parts were parsed; a fault here is a fault of this file")]
fn parsed<T>(text: &str, parse: fn(&str) -> Result<T, Fault>) -> T {
    parse(text).expect("valid tokens make a valid subject")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meadow(text: &str) -> Result<Grammar, Fault> {
        Grammar::parse(text, &DomainName::parse("meadow").unwrap())
    }

    #[test]
    fn the_default_says_kind_domain_aggregate_name() {
        let grammar = meadow(DEFAULT).unwrap();
        let name = MessageName::parse("todos.add").unwrap();
        assert_eq!(grammar.subject(MessageKind::Command, &name).as_str(), "cmd.meadow.todos.add");
        let deep = MessageName::parse("todos.lists.items.add").unwrap();
        assert_eq!(grammar.subject(MessageKind::Event, &deep).as_str(), "evt.meadow.todos.lists.items.add");
        let spaces = grammar.spaces();
        assert_eq!(spaces.commands.as_str(), "cmd.meadow.>");
        assert_eq!(spaces.queries.as_str(), "qry.meadow.>");
        assert_eq!(spaces.events.as_str(), "evt.meadow.>");
    }

    #[test]
    fn a_grammar_that_lets_messages_collide_is_refused() {
        for (text, says) in [
            ("{domain}.{aggregate}.{name}", "could not be told apart"),
            ("{kind}.{name}", "one subject"),
            ("{kind}.{aggregate}", "one subject"),
            ("{kind}.{kind}.{aggregate}.{name}", "twice"),
            ("{kind}.{name}.{aggregate}", "last token"),
            ("{aggregate}.{kind}.{name}", "begin with `{aggregate}`"),
            ("seed.{kind}.{aggregate}.{name}", "taken"),
            ("prv.{kind}.{aggregate}.{name}", "taken"),
            ("_INBOX.{kind}.{aggregate}.{name}", "taken"),
            ("{kind}.{machine}.{aggregate}.{name}", "not a placeholder"),
            ("{kind}-{domain}.{aggregate}.{name}", "not a placeholder"),
            ("{kind}..{aggregate}.{name}", "empty token"),
            ("{kind}.a b.{aggregate}.{name}", "cannot be a token"),
            ("{kind}.*.{aggregate}.{name}", "cannot be a token"),
            ("", "empty token"),
        ] {
            let fault = meadow(text).expect_err(text);
            assert!(fault.message.contains(says), "{text}: {fault}");
        }
    }

    #[test]
    fn a_subject_of_another_shape_is_no_message() {
        let grammar = meadow("{kind}.v1.{domain}.{aggregate}.{name}").unwrap();
        for text in
            ["cmd.v1.meadow.todos", "cmd.v2.meadow.todos.add", "x.v1.meadow.todos.add", "cmd.v1.field.todos.add", "cmd"]
        {
            assert_eq!(grammar.message(&Subject::parse(text).unwrap()), None, "{text}");
        }
    }

    fn grammars() -> impl Strategy<Value = Grammar> {
        let word = "[a-z][a-z0-9_-]{0,6}".prop_filter("taken", |word| word != "seed" && word != "prv");
        let orders = Just(vec!["{kind}", "{domain}", "{aggregate}"]).prop_shuffle();
        (orders, proptest::collection::vec(word, 0..3)).prop_map(|(order, words)| {
            let mut tokens = words;
            tokens.extend(order.into_iter().map(str::to_owned));
            if tokens[0] == "{aggregate}" {
                tokens.rotate_left(1);
            }
            meadow(&format!("{}.{{name}}", tokens.join("."))).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_message_and_its_subject_name_each_other(
            grammar in grammars(),
            text in "[a-z][a-z0-9]{0,8}(\\.[a-z0-9]{1,8}(-[a-z0-9]{1,4})?){1,4}",
        ) {
            let name = MessageName::parse(&text).unwrap();
            let spaces = grammar.spaces();
            for (kind, space) in KINDS.into_iter().zip([&spaces.commands, &spaces.queries, &spaces.events]) {
                let subject = grammar.subject(kind, &name);
                prop_assert_eq!(grammar.message(&subject), Some((kind, name.clone())));
                prop_assert!(space.covers(&subject.pattern()));
            }
            prop_assert!(!spaces.commands.overlaps(&spaces.events));
            prop_assert!(!spaces.commands.overlaps(&spaces.queries));
        }
    }
}
