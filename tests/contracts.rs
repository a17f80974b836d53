//! What contracts and event sets become: messages with subjects and ends, and CloudEvents in binary mode.

use leafwright::declare::{self, Declared};
use leafwright::diag::{Code, Report, Severity, Sources};
use leafwright::name::{EventSetName, MachineName, MessageName, ServiceName};
use leafwright::resolve::grammar::Grammar;
use leafwright::resolve::{EventSet, contracts, events};
use std::collections::BTreeMap;
use std::sync::Arc;

const DOMAIN: &str = "name = \"meadow\"\ndns = \"meadow.example\"\nzone = \"home\"\n";
const TODOS: &str = r#"
sends = ["todos.added"]
receives = ["todos.add", "todos.list"]
[messages."todos.add"]
kind = "cmd"
outcomes = ["todos.added"]
[messages."todos.list"]
kind = "qry"
[messages."todos.added"]
kind = "evt"
schema = "todos/added.json"
"#;
const WEB: &str = "sends = [\"todos.add\", \"todos.list\"]\nreceives = [\"todos.added\"]\n";
const SCHEMA: &str = r#"{"type":"object","required":["text"],"properties":{"text":{"$ref":"text.json"}}}"#;

fn declared(files: &[(&str, &str)]) -> Declared {
    let mut all = BTreeMap::from([
        ("domain.toml", DOMAIN),
        ("contracts/todos.toml", TODOS),
        ("contracts/web.toml", WEB),
        ("contracts/todos/added.json", SCHEMA),
        ("contracts/todos/text.json", r#"{"type":"string","minLength":1}"#),
    ]);
    all.extend(files.iter().copied());
    let mut sources = Sources::default();
    for (path, text) in all {
        sources.add(path, text);
    }
    let read = declare::all(&sources);
    assert!(!read.report.has_errors(), "{:#?}", read.report);
    read.value.unwrap()
}

fn running(services: &[&str]) -> BTreeMap<ServiceName, Vec<MachineName>> {
    let machine = MachineName::parse("office").unwrap();
    services.iter().map(|name| (ServiceName::parse(name).unwrap(), vec![machine.clone()])).collect()
}

fn link(declared: &Declared, services: &[&str]) -> (contracts::Linked, Report) {
    let grammar = Grammar::of(declared.domain.as_ref().unwrap()).value.unwrap();
    let mut linked = contracts::link(declared, &grammar);
    linked.report.absorb(contracts::traffic(declared, &grammar, &running(services)));
    (linked.value.unwrap(), linked.report)
}

fn found(report: &Report) -> Vec<(Code, Severity)> {
    report.diagnostics.iter().map(|found| (found.code, found.severity)).collect()
}

fn message(name: &str) -> MessageName {
    MessageName::parse(name).unwrap()
}

#[test]
fn a_message_knows_its_subject_and_its_ends() {
    let ((messages, services), report) = link(&declared(&[]), &["todos", "web"]);
    assert!(report.is_empty(), "{report:#?}");
    let add = &messages[&message("todos.add")];
    assert_eq!(add.subject.as_str(), "cmd.meadow.todos.add");
    assert_eq!((add.senders[0].as_str(), add.receivers[0].as_str()), ("web", "todos"));
    assert_eq!(add.outcomes, vec![message("todos.added")]);
    assert_eq!(messages[&message("todos.list")].subject.as_str(), "qry.meadow.todos.list");
    assert_eq!(services.len(), 2);
}

#[test]
fn what_runs_decides_what_is_missed() {
    let files = declared(&[]);
    let error = |code| (Code(code), Severity::Error);
    let warning = |code| (Code(code), Severity::Warning);
    assert_eq!(found(&link(&files, &[]).1), vec![], "nothing runs, nothing is missed");
    assert_eq!(found(&link(&files, &["web"]).1), vec![error(511), warning(512), error(511)]);
    assert_eq!(found(&link(&files, &["todos"]).1), vec![warning(512), warning(512)], "an event needs no receiver");
}

#[test]
fn the_outside_people_and_event_sets_are_ends_too() {
    let external = format!("{DOMAIN}external = [\"todos.add\", \"todos.list\"]\n");
    assert_eq!(found(&link(&declared(&[("domain.toml", &external)]), &["todos"]).1), vec![]);
    let role = format!("{DOMAIN}[roles.friend]\npublish = [\"cmd.meadow.>\", \"qry.meadow.todos.*\"]\n");
    assert_eq!(found(&link(&declared(&[("domain.toml", &role)]), &["todos"]).1), vec![]);
    let event = r#"{"specversion":"1.0","id":"1","source":"/x","type":"todos.added","data":{"text":"a"}}"#;
    let found = found(&link(&declared(&[("events/todos.jsonl", event)]), &["web"]).1);
    assert_eq!(
        found,
        vec![(Code(511), Severity::Error), (Code(511), Severity::Error)],
        "the event set sends the event"
    );
}

fn compiled(lines: &str) -> (Option<Arc<EventSet>>, Report) {
    let files = declared(&[("events/todos.jsonl", lines)]);
    let ((messages, _), _) = link(&files, &[]);
    let compiled = events::compile(&files, &messages);
    let set = compiled.value.and_then(|sets| sets.get(&EventSetName::parse("todos").unwrap()).cloned());
    (set, compiled.report)
}

#[test]
fn an_event_becomes_a_message_in_binary_mode() {
    let (set, report) = compiled(concat!(
        r#"{"specversion":"1.0","id":"a 1","source":"/h\u00f6f?\"%","type":"todos.added","time":"2026-01-02T03:04:05Z","#,
        r#""subject":"milk","data": {"text" : "milk",  "n":1.0} }"#,
    ));
    assert!(report.is_empty(), "{report:#?}");
    let event = &set.unwrap().events[0];
    assert_eq!(event.subject.as_str(), "evt.meadow.todos.added");
    assert_eq!(&*event.payload, br#"{"text" : "milk",  "n":1.0}"#, "byte for byte");
    let headers: Vec<(&str, &str)> = event.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        headers,
        vec![
            ("ce-datacontenttype", "application/json"),
            ("ce-id", "a%201"),
            ("ce-source", "/h%C3%B6f?%22%25"),
            ("ce-specversion", "1.0"),
            ("ce-subject", "milk"),
            ("ce-time", "2026-01-02T03:04:05Z"),
            ("ce-type", "todos.added"),
            ("content-type", "application/json"),
        ]
    );
}

#[test]
fn the_fault_is_at_its_place_in_the_line() {
    let line =
        r#"{"specversion":"1.0","id":"1","source":"/x","type":"todos.added","data":{"a":[1,{"text":2}],"text":""}}"#;
    let (_, report) = compiled(line);
    assert_eq!(found(&report), vec![(Code(523), Severity::Error)]);
    assert_eq!(&line[report.diagnostics[0].primary.span.range()], "\"\"");
}

#[test]
fn a_thousand_faults_are_fifty_findings_and_a_number() {
    let line = |id: usize| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/x","type":"todos.added","data":{{"text":{id}}}}}"#)
            + "\n"
    };
    let (_, report) = compiled(&(0..1000).map(line).collect::<String>());
    assert_eq!(report.diagnostics.len(), 50);
    assert!(report.diagnostics[49].help.iter().any(|help| help.starts_with("950 more lines")));
}
