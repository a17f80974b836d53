//! Which file is what, by its path; and all files together, in parallel, reported in path order.
//!
//! Refuses: files that no path names, rather than skipping what someone believes is read.

use super::hardware::profile_name;
use super::syntax;
use super::table::{At, File, Reader};
use super::value::Table;
use super::{Contract, Declared, Domain, EventSet, Hardware, Identity, Machine, Module, Person, Reported, Schema};
use crate::diag::codes::Code;
use crate::diag::{Checked, Diagnostic, Report, Severity, SourceId, Sources, Span};
use crate::name::{EventSetName, Fault, MachineName, ModuleName, PersonName, ServiceName};
use rayon::prelude::*;
use std::collections::BTreeMap;

const ENCODING: Code = Code(2);
pub(super) const JSON: Code = Code(6);
const UNEXPECTED: Code = Code(10);
const ABSENT: Code = Code(14);
const NAME: Code = Code(20);
const TWICE: Code = Code(21);

/// The path under which the modules stand that ship inside the binary.
pub const STANDARD: &str = "<leafwright>/";
/// The generated, strongest layer of `up`.
pub const FOREGROUND: &str = "<foreground>";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Domain,
    Machine,
    Module,
    Template,
    Hardware,
    /// `machines/<machine>.hardware.json`
    Report,
    Person,
    Events,
    Contract,
    Schema,
    Foreground,
    /// `identity/identity.toml`
    Identity,
    /// A JWT or certificate beside it.
    Signed,
    /// Read by others, or by people.
    Other,
}

/// The keys that every body may have.
const BODY: &[&str] = &["default", "settings", "force", "remove", "assert", "warn", "blocks"];
const BLOCK: (&str, &[&str]) = ("`[[blocks]]`", &["when"]);
const CHECK: (&str, &[&str]) = ("an element of `assert` or `warn`", &["that", "say"]);
const REQUIRES: (&str, &[&str]) = ("`[requires]`", &["disks", "transport", "nics", "tpm", "firmware"]);
const OPTION: (&str, &[&str]) = ("`[options.\"…\"]`", &["type", "default", "example", "fields"]);

impl Kind {
    /// Where the keys of this kind of file stand: place and keys, for a key that was written elsewhere.
    pub(super) fn tree(self) -> &'static [(&'static str, &'static [&'static str])] {
        const TOP: &str = "the top of the file, above the first table";
        match self {
            Kind::Domain => &[
                (TOP, &["name", "dns", "account", "subjects", "zone", "events", "external"]),
                (TOP, BODY),
                ("`[clusters.<name>]`", &["members"]),
                ("`[roles.<name>]`", &["publish", "subscribe"]),
                ("a `[<name>]` table of its own", &["zones", "clusters", "roles"]),
                BLOCK,
                CHECK,
            ],
            Kind::Machine => {
                &[(TOP, &["configuration", "hardware", "person", "events", "zone"]), (TOP, BODY), BLOCK, CHECK]
            }
            Kind::Module => &[(TOP, &["doc", "imports", "options"]), (TOP, BODY), OPTION, BLOCK, CHECK],
            Kind::Hardware => {
                &[(TOP, &["doc", "arch", "cores", "memory", "disk"]), REQUIRES, (TOP, BODY), BLOCK, CHECK]
            }
            Kind::Person => &[(TOP, &["full_name", "nkey", "roles", "ssh"])],
            Kind::Contract => &[
                (TOP, &["sends", "receives"]),
                ("`[messages.\"…\"]`", &["kind", "schema", "reply", "outcomes", "example"]),
            ],
            Kind::Identity => &[
                (TOP, &["generation", "operator", "system_account", "account", "users"]),
                ("`[certificates.<machine>]`", &["names", "not_after"]),
            ],
            Kind::Foreground
            | Kind::Report
            | Kind::Template
            | Kind::Events
            | Kind::Schema
            | Kind::Signed
            | Kind::Other => &[],
        }
    }
}

/// Kind and name of the file at `path`, or what is expected there.
fn classify(path: &str) -> Result<(Kind, &str), String> {
    let path = path.strip_prefix(STANDARD).unwrap_or(path);
    let (folder, rest) = path.split_once('/').unwrap_or(("", path));
    let file = rest.rsplit('/').next().unwrap_or(rest);
    // `keys sign` that was killed leaves something half written; the next one removes it.
    if file.ends_with(".md") || (folder == "identity" && file.ends_with(".new")) {
        return Ok((Kind::Other, file));
    }
    let flat = |suffix: &str, kind: Kind| match rest.strip_suffix(suffix) {
        Some(name) if !name.contains('/') => Ok((kind, name)),
        _ => Err(format!("{folder}/<name>{suffix}")),
    };
    match folder {
        "" if rest == "domain.toml" => Ok((Kind::Domain, rest)),
        "" if rest == FOREGROUND => Ok((Kind::Foreground, rest)),
        "machines" if rest.ends_with(".hardware.json") => flat(".hardware.json", Kind::Report),
        "machines" => flat(".toml", Kind::Machine),
        "hardware" => flat(".toml", Kind::Hardware),
        "people" => flat(".toml", Kind::Person),
        "events" => flat(".jsonl", Kind::Events),
        "contracts" => match file.rsplit_once('.') {
            Some((name, "toml")) => Ok((Kind::Contract, name)),
            Some((_, "json")) => Ok((Kind::Schema, rest)),
            _ => Err("contracts/<service>.toml, and JSON Schemas as contracts/<name>.json".to_owned()),
        },
        "modules" => match rest.split_once('/') {
            Some((module, "module.toml")) => Ok((Kind::Module, module)),
            Some((module, file)) if file.ends_with(".tera") && !file.contains('/') => Ok((Kind::Template, module)),
            _ => Err("modules/<name>/module.toml, and templates as modules/<name>/<file>.tera".to_owned()),
        },
        "identity" if rest == "identity.toml" => Ok((Kind::Identity, rest)),
        "identity" if rest.ends_with(".jwt") || rest.ends_with(".pem") => Ok((Kind::Signed, rest)),
        "identity" => {
            Err("identity/identity.toml, and JWTs and certificates, all written by `leafwright keys sign`".to_owned())
        }
        _ => Err("domain.toml, machines/, modules/, hardware/, people/, events/, contracts/ and identity/".to_owned()),
    }
}

/// What the loader does with a file at this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its text is part of the domain.
    Read,
    /// For people, or for others.
    Ignored,
    /// Nothing reads such a file; `all` says so.
    Unexpected,
}

/// What the file at `path` (relative to the domain's root) is to the domain.
pub fn expected(path: &str) -> Expected {
    match classify(path) {
        Ok((Kind::Other, _)) => Expected::Ignored,
        Ok(_) => Expected::Read,
        Err(_) => Expected::Unexpected,
    }
}

/// What one file turned out to be.
enum Thing {
    Domain(Box<Domain>),
    Machine(Box<Machine>),
    Module(Box<Module>),
    Template(String),
    Hardware(Box<Hardware>),
    Report(Box<Reported>),
    Person(Box<Person>),
    Events(Box<EventSet>),
    Contract(Box<Contract>),
    Schema(Box<Schema>),
    Foreground(BTreeMap<MachineName, Table>),
    Identity(Box<Identity>),
    /// The path below `identity/`.
    Signed(Box<str>),
    Nothing,
}

/// Reads all files, each alone, in parallel.
pub fn all(sources: &Sources) -> Checked<Declared> {
    let ids: Vec<SourceId> = sources.ids().collect();
    let read: Vec<(Option<Thing>, Report)> = ids.par_iter().with_min_len(8).map(|id| one(sources, *id)).collect();
    let mut declared = Declared::default();
    let mut report = Report::default();
    let mut templates: BTreeMap<(bool, String), BTreeMap<String, SourceId>> = BTreeMap::new();
    let mut signed = BTreeMap::new();
    for (id, (thing, found)) in ids.iter().zip(read) {
        // What is named twice is there all the same.
        if found.diagnostics.iter().any(|one| one.severity == Severity::Error && one.code != TWICE) {
            declared.broken.insert(sources.path(*id).to_owned());
        }
        report.absorb(found);
        match thing {
            Some(Thing::Template(module)) => {
                let path = sources.path(*id);
                let name = path.rsplit('/').next().unwrap_or(path).to_owned();
                templates.entry((path.starts_with(STANDARD), module)).or_default().insert(name, *id);
            }
            Some(Thing::Signed(path)) => drop(signed.insert(path, (*id, Box::from(sources.text(*id))))),
            Some(thing) => gather(sources, thing, &mut declared, &mut report),
            None => {
                declared.unread.insert(sources.path(*id).to_owned());
            }
        }
    }
    hand_out(sources, templates, &mut declared, &mut report);
    if let Some(identity) = &mut declared.identity {
        identity.files = signed;
    }
    if declared.domain.is_none() && !declared.unread.contains("domain.toml") && !sources.is_empty() {
        let top = Span::new(SourceId(0), 0..0);
        let missing = Diagnostic::error(ABSENT, top, "the domain has no `domain.toml`");
        report.push(missing.help("write `domain.toml` with `name = \"meadow\"` and `dns = \"meadow.example\"`"));
    }
    Checked::new(Some(declared), report)
}

fn one(sources: &Sources, id: SourceId) -> (Option<Thing>, Report) {
    let mut report = Report::default();
    let path = sources.path(id);
    if let Some(why) = sources.refusal(id) {
        let diagnostic = Diagnostic::error(UNEXPECTED, Span::new(id, 0..0), format!("`{path}` {why}"));
        report.push(diagnostic.help("put there what is declared, or remove it"));
        return (None, report);
    }
    let thing = match classify(path) {
        Err(expected) => {
            let diagnostic =
                Diagnostic::error(UNEXPECTED, Span::new(id, 0..0), format!("`{path}` is not read by anything"));
            report.push(diagnostic.help(format!("expected here: {expected}; rename or remove the file")));
            Some(Thing::Nothing)
        }
        Ok((Kind::Other, _)) => Some(Thing::Nothing),
        Ok((kind, name)) => match sources.damage(id) {
            Some(at) => {
                let span = Span::new(id, at..at + char::REPLACEMENT_CHARACTER.len_utf8());
                let diagnostic = Diagnostic::error(ENCODING, span, "the file is not UTF-8");
                report.push(diagnostic.label("the first byte that is not").help("save the file as UTF-8"));
                None
            }
            None => read(sources, id, kind, name, &mut report),
        },
    };
    (thing, report)
}

fn read(sources: &Sources, id: SourceId, kind: Kind, name: &str, report: &mut Report) -> Option<Thing> {
    let text = sources.text(id);
    match kind {
        Kind::Template => return Some(Thing::Template(name.to_owned())),
        Kind::Signed => return Some(Thing::Signed(name.into())),
        Kind::Schema => return schema(name, id, text, report).map(|schema| Thing::Schema(Box::new(schema))),
        Kind::Events => {
            let name = named(id, name, EventSetName::parse, report);
            let set = EventSet::read(id, name, text, report);
            return set.map(|set| Thing::Events(Box::new(set)));
        }
        Kind::Report => {
            let name = named(id, name, MachineName::parse, report);
            return Reported::read(id, name, text, report).map(|it| Thing::Report(Box::new(it)));
        }
        _ => {}
    }
    let (table, soundness) = syntax::parse(id, text, report);
    let mut file = File { source: id, kind, soundness, at: At::Key, report };
    let file = &mut file;
    match kind {
        Kind::Domain => Domain::read(file, table).map(|it| Thing::Domain(Box::new(it))),
        Kind::Machine => {
            let name = named(id, name, MachineName::parse, file.report);
            Machine::read(file, name, table).map(|it| Thing::Machine(Box::new(it)))
        }
        Kind::Module => {
            let name = named(id, name, ModuleName::parse, file.report);
            Module::read(file, name, table).map(|it| Thing::Module(Box::new(it)))
        }
        Kind::Hardware => {
            let name = named(id, name, profile_name, file.report);
            Hardware::read(file, name, table).map(|it| Thing::Hardware(Box::new(it)))
        }
        Kind::Person => {
            let name = named(id, name, PersonName::parse, file.report);
            Person::read(file, name, table).map(|it| Thing::Person(Box::new(it)))
        }
        Kind::Contract => {
            let name = named(id, name, ServiceName::parse, file.report);
            Contract::read(file, name, table).map(|it| Thing::Contract(Box::new(it)))
        }
        Kind::Foreground => {
            let top = file.top();
            let mut reader = Reader::new(file, table, top);
            let machines = reader.each("machines", MachineName::parse, |_, _, table, _| Some(table));
            reader.finish();
            Some(Thing::Foreground(machines))
        }
        Kind::Identity => Identity::read(file, table).map(|it| Thing::Identity(Box::new(it))),
        Kind::Template | Kind::Events | Kind::Schema | Kind::Report | Kind::Signed | Kind::Other => {
            Some(Thing::Nothing)
        }
    }
}

/// The name that the file's own name is; a bad one is blamed on the file's beginning.
fn named<N>(id: SourceId, text: &str, parse: fn(&str) -> Result<N, Fault>, report: &mut Report) -> Option<N> {
    match parse(text) {
        Ok(name) => Some(name),
        Err(fault) => {
            let diagnostic =
                Diagnostic::error(NAME, Span::new(id, 0..0), format!("the file's name is no name: {}", fault.message));
            let help =
                fault.help.map_or("rename the file".to_owned(), |help| help.replacen("write", "rename it to", 1));
            report.push(diagnostic.help(help));
            None
        }
    }
}

fn schema(path: &str, id: SourceId, text: &str, report: &mut Report) -> Option<Schema> {
    match serde_json::from_str(text) {
        Ok(json) => Some(Schema { path: path.to_owned(), source: id, json, text: text.into() }),
        Err(error) => {
            report.push(json_fault(id, text, 0, &error));
            None
        }
    }
}

/// A JSON syntax error as a diagnostic; `base` is where the JSON begins in the file.
pub(super) fn json_fault(id: SourceId, text: &str, base: usize, error: &serde_json::Error) -> Diagnostic {
    let json = &text[base..];
    let line: usize = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (base + line + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let end = text[at..].chars().next().filter(|c| *c != '\n').map_or(at, |c| at + c.len_utf8());
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words).to_lowercase();
    let (message, help) = match &*words {
        "trailing comma" | "key must be a string" if json[..at - base].trim_end().ends_with(',') => {
            ("a comma before the end".to_owned(), "remove the last comma: JSON has none before `}` or `]`")
        }
        "key must be a string" => (words.clone(), "write the key in double quotes: `\"key\"`"),
        "expected value" => (
            "a value is missing or is no JSON".to_owned(),
            "write a string in double quotes, a number, `true`, `false`, `null`, `{…}` or `[…]`",
        ),
        "trailing characters" => (
            "more follows after the end of the JSON".to_owned(),
            "remove what follows; in an event set each line is one object",
        ),
        _ if error.is_eof() => ("the JSON ends too early".to_owned(), "close what is open: `\"`, `}` or `]`"),
        "expected ident" => (
            "a word that is no JSON".to_owned(),
            "write a string in double quotes, a number, `true`, `false`, `null`, `{…}` or `[…]`",
        ),
        _ => (words.clone(), "see `leafwright explain LW0006`"),
    };
    Diagnostic::error(JSON, Span::new(id, at..end), message).help(help)
}

/// Puts a thing in its place; of two things with one name the first stays, except that a user's module shadows.
fn gather(sources: &Sources, thing: Thing, declared: &mut Declared, report: &mut Report) {
    match thing {
        Thing::Domain(it) => declared.domain = Some(*it),
        Thing::Machine(it) => drop(declared.machines.insert(it.name.clone(), *it)),
        Thing::Module(it) => drop(declared.modules.insert(it.name.clone(), *it)),
        Thing::Hardware(it) => drop(declared.hardware.insert(it.name.clone(), *it)),
        Thing::Report(it) => drop(declared.reports.insert(it.machine.clone(), *it)),
        Thing::Person(it) => drop(declared.people.insert(it.name.clone(), *it)),
        Thing::Events(it) => drop(declared.events.insert(it.name.clone(), *it)),
        Thing::Schema(it) => drop(declared.schemas.insert(it.path.clone(), *it)),
        Thing::Foreground(machines) => declared.foreground = machines,
        Thing::Identity(it) => declared.identity = Some(*it),
        Thing::Contract(it) => match declared.contracts.get(&it.service) {
            Some(first) => {
                let message = format!("the service `{}` has two contracts", it.service);
                let diagnostic = Diagnostic::error(TWICE, Span::new(it.source, 0..0), message)
                    .also(Span::new(first.source, 0..0), "the first one")
                    .help(format!(
                        "join them in `{}`, or name the other service differently",
                        sources.path(first.source)
                    ));
                report.push(diagnostic);
            }
            None => drop(declared.contracts.insert(it.service.clone(), *it)),
        },
        Thing::Template(_) | Thing::Signed(_) | Thing::Nothing => {}
    }
}

/// Templates go to the module they lie beside, standard to standard and the user's to the user's.
fn hand_out(
    sources: &Sources,
    templates: BTreeMap<(bool, String), BTreeMap<String, SourceId>>,
    declared: &mut Declared,
    report: &mut Report,
) {
    for ((standard, module), files) in templates {
        let owner = declared.modules.get_mut(&*module);
        match owner {
            Some(owner) if sources.path(owner.source).starts_with(STANDARD) == standard => {
                owner.texts = files.iter().map(|(name, id)| (name.as_str().into(), sources.text(*id).into())).collect();
                owner.templates = files;
            }
            _ if standard || declared.unread.contains(&format!("modules/{module}/module.toml")) => {}
            _ => {
                let first = files.values().next().copied().unwrap_or(SourceId(0));
                let message = format!("the folder `modules/{module}` has no `module.toml`");
                let diagnostic = Diagnostic::error(ABSENT, Span::new(first, 0..0), message);
                report.push(diagnostic.help(format!("write `modules/{module}/module.toml`, it may be empty")));
            }
        }
    }
}
