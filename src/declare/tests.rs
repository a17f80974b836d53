//! The reader of text against hostile text, and against the `toml` crate as a second opinion.

use super::syntax::{self, Soundness};
use super::*;
use crate::diag::codes::Code;
use crate::diag::{Report, SourceId, Sources, Span, Style, json, render};
use proptest::prelude::*;
use toml::de::{DeTable, DeValue};

fn read(text: &str) -> (Table, Soundness, Report) {
    let mut report = Report::default();
    let (table, soundness) = syntax::parse(SourceId(0), text, &mut report);
    (table, soundness, report)
}

fn codes(report: &Report) -> Vec<u16> {
    report.diagnostics.iter().map(|diagnostic| diagnostic.code.0).collect()
}

#[test]
fn values_keep_their_order_and_their_places() {
    let text = "b = 1\na.x = \"ä\"\n[t]\nlist = [true, { k = 1.5 }]\n[[many]]\n[[many]]\nz = 2\n[t.inner]\n";
    let (table, _, report) = read(text);
    assert!(report.is_empty(), "{report:?}");
    let at = |span: Span| &text[span.range()];
    let keys: Vec<&str> = table.entries.iter().map(|entry| &*entry.key.value).collect();
    assert_eq!(keys, ["b", "a", "t", "many"]);
    let Value::Table(t) = &table.get("t").unwrap().value.value else { panic!() };
    assert_eq!(at(table.get("t").unwrap().value.span), "[t]");
    assert_eq!(at(t.get("list").unwrap().value.span), "[true, { k = 1.5 }]");
    assert_eq!(at(t.get("inner").unwrap().value.span), "[t.inner]");
    let Value::List(many) = &table.get("many").unwrap().value.value else { panic!() };
    let starts: Vec<u32> = many.iter().map(|one| one.span.start).collect();
    assert_eq!(starts, [text.find("[[many]]").unwrap() as u32, text.rfind("[[many]]").unwrap() as u32]);
}

#[test]
fn big_tables_find_their_keys() {
    let text: String = (0..100).map(|n| format!("k{n} = {n}\n")).collect();
    let (table, _, report) = read(&format!("{text}k0 = 1\nk99 = 2\n"));
    assert_eq!((table.entries.len(), codes(&report)), (100, vec![5, 5]));
}

#[test]
fn missing_keys_are_not_reported_where_lines_were_lost() {
    assert_eq!(read("a = \n").1, Soundness::Recovered);
    assert_eq!(read("a = 1\na = 2\n").1, Soundness::Sound);
    assert_eq!(read("a = 1\n[[a]]\nb = 1\n").1, Soundness::Recovered);
}

/// Is our value what the `toml` crate reads?
fn same(ours: &Value, theirs: &DeValue<'_>) -> bool {
    match (ours, theirs) {
        (Value::Bool(a), DeValue::Boolean(b)) => a == b,
        (Value::Int(a), DeValue::Integer(b)) => i64::from_str_radix(b.as_str(), b.radix()) == Ok(*a),
        (Value::Float(a), DeValue::Float(b)) => b.as_str().parse() == Ok(*a),
        (Value::Text(a), DeValue::String(b)) => **a == **b,
        (Value::List(a), DeValue::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(&a.value, b.get_ref()))
        }
        (Value::Table(a), DeValue::Table(b)) => same_table(a, b),
        _ => false,
    }
}

fn same_table(ours: &Table, theirs: &DeTable<'_>) -> bool {
    let value = |key: &str| theirs.iter().find(|(name, _)| &**name.get_ref() == key).map(|(_, value)| value.get_ref());
    ours.entries.len() == theirs.len()
        && ours.entries.iter().all(|entry| value(&entry.key.value).is_some_and(|value| same(&entry.value.value, value)))
}

/// Small pieces of TOML, so that whole lines of it come up often.
fn toml_soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "a.b",
        "\"a\"",
        "'q.r'",
        " = ",
        "=",
        ".",
        "1",
        "-2",
        "0x1f",
        "1.5",
        "1e3",
        "true",
        "\"x\"",
        "'y'",
        "\"\"\"m\n\"\"\"",
        "\"\\u00e4\"",
        "\"\\x41\"",
        "\"\\e\"",
        "[",
        "]",
        "[[",
        "]]",
        "[a]",
        "[a.b]",
        "[b]",
        "[[a]]",
        "[[c]]",
        "[c.a]",
        "[1, 2]",
        "[ ]",
        "{ }",
        "{ a = 1 }",
        "{ a = 1, b.c = 2 }",
        "{ a = 1, }",
        "{ a = [\n1,\n] }",
        ",",
        "\n",
        "\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "# c\n",
        "a = 1\n",
        "b = 2\n",
        "a.b = 1\n",
        "a.c = 2\n",
        "a.b.c = 3\n",
        "c = [{ a = 1 }]\n",
        "inf",
        "2026-01-01",
        "09:30",
        "\u{0}",
        "ä",
        "\"\\u0000\"",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Well-formed lines about few names, so that tables meet each other in every way.
fn toml_lines() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|parts| parts.join("."));
    let value = prop::sample::select(vec![
        "1",
        "[]",
        "[{ a = 1 }]",
        "{ }",
        "{ b.c = 1 }",
        "{ a = 1, a = 2 }",
        "{ a.b = 1, a.c = 2 }",
    ]);
    let line = prop_oneof![
        path.clone().prop_map(|path| format!("[{path}]\n")),
        path.clone().prop_map(|path| format!("[[{path}]]\n")),
        (path, value).prop_map(|(path, value)| format!("{path} = {value}\n")),
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

/// The codes of what TOML 1.1 allows and we refuse.
const STRICTER: [u16; 2] = [3, 4];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_toml_crate_agrees(text in prop_oneof![toml_soup(), toml_lines()]) {
        let (table, _, report) = read(&text);
        let ours = codes(&report);
        match DeTable::parse(&text) {
            Ok(theirs) => {
                // The crate lets a dotted key of three parts into a list of tables; TOML 1.0 does not.
                let lenient = |at: usize| report.diagnostics[at].message.contains("is a list of tables already");
                let agreed = ours.iter().enumerate().all(|(at, code)| STRICTER.contains(code) || lenient(at));
                prop_assert!(agreed, "refused: {report:?}");
                if ours.is_empty() {
                    prop_assert!(same_table(&table, theirs.get_ref()), "{table:?}");
                }
            }
            Err(error) => prop_assert!(!ours.is_empty(), "accepted, and they say {error}"),
        }
    }

    #[test]
    fn any_text_gives_places_inside_it(text in prop_oneof![toml_soup(), any::<String>(), "[ -~äß🌻\n\t\"\\{}\\[\\]=:,.]{0,80}"]) {
        for path in ["domain.toml", "machines/a.toml", "modules/a/module.toml", "hardware/a.toml", "people/a.toml", "contracts/a.toml", "contracts/a.json", "events/a.jsonl", FOREGROUND] {
            judged(path, text.clone().into_bytes());
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        judged("machines/a.toml", bytes.clone());
        judged("events/a.jsonl", bytes);
    }
}

/// Reads one file of these bytes, and shows all that is said about it.
fn judged(path: &str, bytes: Vec<u8>) {
    let mut sources = Sources::default();
    let id = sources.add_bytes(path, bytes);
    let report = all(&sources).report.sorted();
    let text = sources.text(id);
    for diagnostic in &report.diagnostics {
        for label in std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary) {
            let range = label.span.range();
            assert!(text.get(range.clone()).is_some(), "{range:?} is no range of {text:?}: {diagnostic:?}");
        }
        assert!(!diagnostic.help.is_empty(), "no way out: {diagnostic:?}");
        assert!(!diagnostic.message.ends_with('.'), "{diagnostic:?}");
    }
    let shown = render(&report, &sources, Style::Plain);
    // Each has a block of its own, or is one of the places that a block names, or is counted there.
    let whole = shown.matches(&format!("--> {path}:")).count();
    let named = shown.lines().filter_map(|line| line.split_once("note: the same at "));
    let alike: usize = named
        .map(|(_, places)| {
            let (listed, more) = places.split_once(" and ").unwrap_or((places, "0"));
            listed.split(", ").count() + more.trim_end_matches(" more places").parse::<usize>().unwrap()
        })
        .sum();
    assert_eq!(whole + alike, report.diagnostics.len());
    json(&report, &sources);
}

#[test]
fn a_user_module_shadows_the_standard_one_with_its_templates() {
    let mut sources = Sources::default();
    for (path, text) in [
        ("<leafwright>/modules/leaf/a.tera", "standard"),
        ("<leafwright>/modules/leaf/module.toml", "doc = \"standard\""),
        ("<leafwright>/modules/motd/b.tera", "standard"),
        ("<leafwright>/modules/motd/module.toml", ""),
        ("domain.toml", "name = \"a\"\ndns = \"a\"\n"),
        ("modules/leaf/c.tera", "own"),
        ("modules/leaf/module.toml", "doc = \"own\""),
    ] {
        sources.add(path, text);
    }
    let checked = all(&sources);
    assert!(checked.report.is_empty(), "{:?}", checked.report);
    let declared = checked.value.unwrap();
    let of = |name: &str| declared.modules[name].templates.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(&*declared.modules["leaf"].doc.as_ref().unwrap().value, "own");
    assert_eq!((of("leaf"), of("motd")), (vec!["c.tera"], vec!["b.tera"]));
}

#[test]
fn the_foreground_is_a_layer_by_machine() {
    let mut sources = Sources::default();
    sources.add("domain.toml", "name = \"a\"\ndns = \"a\"\n");
    sources.add(FOREGROUND, "[machines.oak]\nleaf.listen = \"127.0.0.1:4222\"\n");
    let declared = all(&sources).value.unwrap();
    assert_eq!(declared.foreground["oak"].entries.len(), 1);
}

#[test]
fn a_file_without_a_value_is_remembered() {
    let mut sources = Sources::default();
    sources.add("domain.toml", "name = \"a\"\ndns = \"a\"\n");
    sources.add("machines/oak.toml", "hardware = \"pi\"\n");
    let declared = all(&sources).value.unwrap();
    assert!(declared.unread.contains("machines/oak.toml"));
}

#[test]
fn events_keep_their_payload_byte_for_byte() {
    let mut sources = Sources::default();
    sources.add("domain.toml", "name = \"a\"\ndns = \"a\"\n");
    let line =
        r#"{"data": {"b":1, "a" : 1.0e0},"type":"todos.added","id":"\u0061","source":"/s","specversion":"1.0","n":7}"#;
    let id = sources.add("events/one.jsonl", format!("{line}\r\n{}\n", line.replace("u0061", "u0062")));
    let checked = all(&sources);
    assert!(checked.report.is_empty(), "{:?}", checked.report);
    let set = &checked.value.unwrap().events["one"];
    let event = &set.events[0];
    assert_eq!((&*event.id, set.events.len()), ("a", 2));
    let data = event.data.as_ref().unwrap();
    assert_eq!(&*data.value, r#"{"b":1, "a" : 1.0e0}"#);
    assert_eq!(&sources.text(id)[data.span.range()], &*data.value);
    assert_eq!(&sources.text(id)[event.span.range()], line);
    assert_eq!(event.attributes.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), [("n", "7")]);
}

#[test]
fn a_mistake_in_every_line_is_shown_some_times() {
    let mut sources = Sources::default();
    sources.add("domain.toml", "name = \"a\"\ndns = \"a\"\n");
    sources.add("events/many.jsonl", "{}\n".repeat(1000));
    let report = all(&sources).report;
    assert_eq!(report.diagnostics.len(), 51);
    assert_eq!(report.diagnostics[50].message, "950 more mistakes from here on in this set");
}

#[test]
fn codes_of_this_floor_have_their_pages() {
    assert_eq!(crate::diag::codes::explain(Code(12)).unwrap().lines().next(), Some("# LW0012: unknown key"));
}
