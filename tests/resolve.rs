//! The option engine: layers, merges, conflicts, types, expressions; and golden cases of the standard modules.
//!
//! One `check` function, and rows of data. A folder below `tests/resolve/` is a domain; `show` names options, one a line,
//! and `expected.json` has their values for each machine. `UPDATE=1 cargo test --test resolve` rewrites it.

#[path = "resolve/explained.rs"]
mod explained;
#[path = "resolve/mistakes.rs"]
mod mistakes;

use leafwright::declare::{self, Declared};
use leafwright::diag::{Report, Sources};
use leafwright::name::MachineName;
use leafwright::{load, resolve};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

type Files<'a> = &'a [(&'a str, &'a str)];

/// Options of every kind, for the rows to set.
const OPTIONS: &str = r#"
[options."t.number"]
type = "int"
doc = "a scalar"
default = 0
[options."t.list"]
type = "list<string>"
doc = "a list"
default = ["built in"]
[options."t.set"]
type = "set<int>"
doc = "a set"
default = []
[options."t.map"]
type = "map<string>"
doc = "a map"
[options."t.things"]
type = "map<record>"
doc = "a map of records"
[options."t.things".fields.size]
type = "int"
doc = "has a default"
default = 1
[options."t.things".fields.name]
type = "string"
doc = "is an expression"
default = "the ${key}"
[options."t.things".fields.note]
type = "optional<string>"
doc = "may be absent"
[options."t.other"]
type = "int"
doc = "another scalar"
default = 7
"#;

/// The base with its extra texts appended, file by file; files that the base does not have are added.
fn declared(extra: Files) -> (Declared, Sources, Report) {
    let module = format!("doc = \"the first\"\n{OPTIONS}");
    let base = [
        ("domain.toml", "name = \"meadow\"\ndns = \"meadow.example\"\nzone = \"home\"\n[zones.home]\n"),
        ("hardware/box.toml", "arch = \"x86_64\"\ncores = 4\nmemory = \"1GiB\"\ndisk = \"32GB\"\n"),
        ("machines/pi.toml", "configuration = [\"a\", \"b\"]\nhardware = \"box\"\nperson = \"ada\"\n"),
        ("modules/a/module.toml", &module),
        ("modules/b/module.toml", "doc = \"the second\"\n"),
        ("people/ada.toml", "full_name = \"Ada\"\n"),
    ];
    let mut files: BTreeMap<String, String> = base.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    for (path, text) in extra {
        // A leading `=` replaces the file.
        match text.strip_prefix('=') {
            Some(whole) => drop(files.insert((*path).to_owned(), whole.to_owned())),
            None => files.entry((*path).to_owned()).or_default().push_str(text),
        }
    }
    let mut sources = Sources::default();
    for (path, text) in files {
        sources.add(path, text);
    }
    let checked = declare::all(&sources);
    (checked.value.expect("declarations"), sources, checked.report)
}

fn said(report: Report, sources: &Sources) -> String {
    let line = |d: &leafwright::diag::Diagnostic| format!("{} {} {}", d.code, sources.place(d.primary.span), d.message);
    report.sorted().diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The value of an option of `pi` as it would be written, or what is said instead.
fn value(extra: Files, option: &str) -> String {
    let (declared, sources, mut report) = declared(extra);
    let explained = resolve::explain(&declared, &MachineName::parse("pi").expect("a name"), option);
    report.absorb(explained.report);
    match explained.value.and_then(|explanation| explanation.value) {
        Some(value) if report.is_empty() => value.to_string(),
        _ if report.is_empty() => "nothing".to_owned(),
        _ => said(report, &sources),
    }
}

fn check(extra: Files, option: &str, expect: &str) {
    let found = value(extra, option);
    // Several findings: the row names those it is about.
    let fits =
        if expect.starts_with("LW") { found.lines().any(|line| line.starts_with(expect)) } else { found == expect };
    assert!(fits, "{extra:?}\n{option}\nexpected {expect}\nfound    {found}");
}

/// The weaker before the stronger: a file, and the table of its layer.
const LAYERS: [(&str, &str); 6] = [
    ("modules/a/module.toml", "default"),
    ("modules/a/module.toml", "settings"),
    ("domain.toml", "settings"),
    ("domain.toml", "zones.home.settings"),
    ("hardware/box.toml", "settings"),
    ("machines/pi.toml", "settings"),
];

fn table(name: &str, value: &str) -> String {
    // The domain's own body stands beside its zones.
    format!("\n[{name}.t]\n{value}\n")
}

#[test]
fn the_stronger_layer_wins_in_every_pair() {
    check(&[], "t.number", "0");
    for (weak, (weak_file, weak_table)) in LAYERS.iter().enumerate() {
        check(&[(weak_file, &table(weak_table, "number = 1"))], "t.number", "1");
        for (strong_file, strong_table) in &LAYERS[weak + 1..] {
            let extra =
                [(*weak_file, table(weak_table, "number = 1")), (*strong_file, table(strong_table, "number = 2"))];
            let extra: Vec<(&str, &str)> = extra.iter().map(|(file, text)| (*file, text.as_str())).collect();
            check(&extra, "t.number", "2");
        }
    }
}

#[test]
fn a_force_of_any_layer_beats_every_setting() {
    for (file, name) in &LAYERS[1..] {
        let force = table(&name.replace("settings", "force"), "number = 1");
        let strongest = table("settings", "number = 2");
        check(&[(file, &force), ("machines/pi.toml", &strongest)], "t.number", "1");
        // Among several, the strongest layer.
        if *file != "machines/pi.toml" {
            check(&[(file, &force), ("machines/pi.toml", &table("force", "number = 3"))], "t.number", "3");
        }
    }
}

#[test]
fn a_default_of_any_layer_gives_way_to_every_setting() {
    for (file, name) in &LAYERS[2..] {
        let default = table(&name.replace("settings", "default"), "number = 1");
        check(&[(file, &default)], "t.number", "1");
        check(&[(file, &default), ("modules/a/module.toml", &table("settings", "number = 2"))], "t.number", "2");
    }
}

#[test]
fn merges_by_type() {
    let a = "modules/a/module.toml";
    let b = "modules/b/module.toml";
    let pi = "machines/pi.toml";
    let rows: &[(Files, &str, &str)] = &[
        // Lists: weakest layer first, then in import order; a default gives way as a whole.
        (&[], "t.list", r#"["built in"]"#),
        (
            &[
                (b, "[settings.t]\nlist = [\"b\"]"),
                (a, "[settings.t]\nlist = [\"a\"]"),
                (pi, "[settings.t]\nlist = [\"pi\"]"),
            ],
            "t.list",
            r#"["a", "b", "pi"]"#,
        ),
        (&[(a, "[default.t]\nlist = [\"a\"]"), (pi, "[settings.t]\nlist = [\"pi\"]")], "t.list", r#"["pi"]"#),
        (&[(a, "[default.t]\nlist = [\"a\"]"), (pi, "[default.t]\nlist = [\"pi\"]")], "t.list", r#"["pi"]"#),
        (&[(a, "[default.t]\nlist = [\"a\"]"), (b, "[default.t]\nlist = [\"b\"]")], "t.list", r#"["a", "b"]"#),
        (&[(a, "[settings.t]\nlist = [\"a\"]"), (pi, "[force.t]\nlist = [\"pi\"]")], "t.list", r#"["pi"]"#),
        (&[(a, "[force.t]\nlist = [\"a\"]"), (pi, "[settings.t]\nlist = [\"pi\"]")], "t.list", r#"["a"]"#),
        (
            &[
                (a, "[settings.t]\nlist = [\"a\", \"x\"]"),
                (pi, "[remove.t]\nlist = [\"x\"]\n[settings.t]\nlist = [\"x\"]"),
            ],
            "t.list",
            r#"["a", "x"]"#,
        ),
        (&[(pi, "[remove.t]\nlist = [\"built in\"]")], "t.list", "[]"),
        // Sets: each element once, sorted.
        (&[(a, "[settings.t]\nset = [3, 1]"), (pi, "[settings.t]\nset = [1, 2]")], "t.set", "[1, 2, 3]"),
        // Maps and records: key by key; a default gives way leaf by leaf.
        (
            &[(a, "[settings.t.map]\nx = \"a\""), (pi, "[settings.t.map]\ny = \"pi\"")],
            "t.map",
            r#"{ x = "a", y = "pi" }"#,
        ),
        (
            &[(a, "[default.t.map]\nx = \"a\"\ny = \"a\""), (pi, "[settings.t.map]\ny = \"pi\"")],
            "t.map",
            r#"{ x = "a", y = "pi" }"#,
        ),
        (&[(a, "[settings.t.map]\nx = \"a\""), (pi, "[force.t]\nmap = { y = \"pi\" }")], "t.map", r#"{ y = "pi" }"#),
        (&[(a, "[settings.t.map]\nx = \"a\""), (pi, "[force.t.map]\ny = \"pi\"")], "t.map", r#"{ x = "a", y = "pi" }"#),
        (
            &[(a, "[settings.t.map]\nx = \"a\""), (pi, "[remove.t]\nmap = [\"x\"]\n[settings.t.map]\nz = \"pi\"")],
            "t.map",
            r#"{ z = "pi" }"#,
        ),
        (&[(pi, "[settings.t.things.one]")], "t.things", r#"{ one = { name = "the one", size = 1 } }"#),
        (
            &[(a, "[settings.t.things.one]\nsize = 2"), (pi, "[settings.t.things.one]\nnote = \"pi\"")],
            "t.things.one",
            r#"{ name = "the one", note = "pi", size = 2 }"#,
        ),
        (
            &[
                (a, "[settings.t.things.one]\nsize = 2\n[settings.t.things.two]"),
                (pi, "[remove.t]\nthings = [\"one\"]"),
            ],
            "t.things",
            r#"{ two = { name = "the two", size = 1 } }"#,
        ),
        (
            &[(a, "[settings.t.things.one]\nsize = 2"), (pi, "[remove.t.things]\none = [\"size\"]")],
            "t.things.one.size",
            "1",
        ),
        (&[], "t.map", "{}"),
        (&[(pi, "[settings.t.things.one]")], "t.things.one.note", "nothing"),
        // What `up` generates beats every force, and reaches what the modules computed.
        (&[(pi, "[force.t]\nnumber = 1"), ("<foreground>", "[machines.pi.t]\nnumber = 9")], "t.number", "9"),
        (
            &[(a, "[settings.t]\nother = \"${t.number}\""), ("<foreground>", "[machines.pi.t]\nnumber = 9")],
            "t.other",
            "9",
        ),
        // The same value twice is no conflict.
        (&[(a, "[settings.t]\nnumber = 1"), (b, "[settings.t]\nnumber = 1")], "t.number", "1"),
    ];
    for (extra, option, expect) in rows {
        let extra: Vec<(&str, String)> = extra.iter().map(|(file, text)| (*file, format!("\n{text}\n"))).collect();
        let extra: Vec<(&str, &str)> = extra.iter().map(|(file, text)| (*file, text.as_str())).collect();
        check(&extra, option, expect);
    }
}

#[test]
fn expressions_read_finished_options_and_keep_their_type() {
    let rows: &[(&str, &str, &str)] = &[
        ("number = \"${t.other}\"", "t.number", "7"),
        ("number = \"${t.other * 2 + hardware.cores}\"", "t.number", "18"),
        ("list = [\"${machine.name}.${domain.dns}\", \"$${x}\"]", "t.list", r#"["pi.meadow.example", "${x}"]"#),
        ("list = \"${['x', zone.name]}\"", "t.list", r#"["x", "home"]"#),
        ("map = \"${{'arch': hardware.arch}}\"", "t.map", r#"{ arch = "x86_64" }"#),
        ("number = \"${hardware.memory == size('1GiB') ? 1 : 2}\"", "t.number", "1"),
        ("number = \"${duration('1m') / duration('1s')}\"", "t.number", "60"),
        ("number = \"${min(t.other, 3) + max(1, 2)}\"", "t.number", "5"),
        ("map = { z = \"1\", a = \"2\" }\nlist = \"${t.map.map(k, k)}\"", "t.list", r#"["a", "z"]"#),
        ("number = \"${has(t.things.one) ? 1 : 2}\"", "t.number", "2"),
        ("number = \"${has(t.things.one) ? 1 : 2}\"\nthings = { one = {} }", "t.number", "1"),
        ("number = \"${t.things.one.size + t.things['one'].size}\"\nthings = { one = {} }", "t.number", "2"),
        ("things = { one = { note = \"${null}\" } }", "t.things.one.note", "nothing"),
        ("things = { \"a.b\" = { name = \"${key}!\" } }", "t.things.\"a.b\".name", "\"a.b!\""),
        ("number = \"${size(machine.configuration)}\"", "t.number", "2"),
    ];
    for (settings, option, expect) in rows {
        check(&[("machines/pi.toml", &format!("\n[settings.t]\n{settings}\n"))], option, expect);
    }
}

#[test]
fn blocks_are_switched_by_their_condition() {
    let block = |when: &str| {
        format!(
            "\n[[blocks]]\nwhen = \"{when}\"\n[blocks.settings.t]\nlist = [\"block\"]\n[blocks.settings.t.things.one]\n"
        )
    };
    for (when, list, things) in [
        ("hardware.cores > 2", r#"["block"]"#, r#"{ one = { name = "the one", size = 1 } }"#),
        ("hardware.cores > 4", r#"["built in"]"#, "{}"),
        ("t.other == 7 && zone.name == 'home'", r#"["block"]"#, r#"{ one = { name = "the one", size = 1 } }"#),
    ] {
        for file in ["machines/pi.toml", "hardware/box.toml", "modules/b/module.toml"] {
            check(&[(file, &block(when))], "t.list", list);
            check(&[(file, &block(when))], "t.things", things);
        }
    }
    // One condition may read what another block sets.
    let chain = "\n[[blocks]]\nwhen = \"hardware.cores == 4\"\n[blocks.settings.t]\nother = 9\n[[blocks]]\nwhen = \"t.other == 9\"\n[blocks.settings.t]\nnumber = 5\n";
    check(&[("machines/pi.toml", chain)], "t.number", "5");
}

#[test]
fn every_type_takes_the_good_and_refuses_the_bad() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("bool", &["true"], &["1", "\"true\""]),
        ("int(1..9)", &["1", "9"], &["0", "10", "1.0", "\"1\""]),
        ("float(0.0..1.0)", &["0.5", "1"], &["1.5", "-0.1", "\"x\""]),
        ("string(/[a-z]+/)", &["\"abc\""], &["\"\"", "\"aBc\"", "1"]),
        ("enum(\\\"a\\\", \\\"b\\\")", &["\"a\""], &["\"c\"", "1"]),
        ("path", &["\"/var/lib\""], &["\"var\"", "\"/a/../b\""]),
        ("port", &["1", "65535"], &["0", "65536", "\"80\""]),
        ("ip", &["\"9.9.9.9\"", "\"::1\""], &["\"9.9.9\"", "9"]),
        ("cidr", &["\"10.0.0.0/8\"", "\"2001:db8::/32\""], &["\"10.0.0.0\"", "\"10.0.0.0/33\""]),
        ("socket", &["\"127.0.0.1:4222\"", "\"[::1]:80\""], &["\"localhost:80\"", "\"127.0.0.1\""]),
        ("url", &["\"https://x.example/a\""], &["\"x.example\"", "\"https://\""]),
        ("host", &["\"a.example\"", "\"10.0.0.1\""], &["\"a_b\"", "\"\""]),
        ("duration", &["\"90s\"", "\"1h30m\""], &["90", "\"90\"", "\"1.5h\""]),
        ("size", &["\"64MiB\""], &["64", "\"64\"", "\"64mb\""]),
        ("subject", &["\"a.b\""], &["\"a.*\"", "\"a..b\""]),
        ("pattern", &["\"a.>\""], &["\"a.>.b\"", "\"a>\""]),
        ("stream", &["\"EVT-1\""], &["\"a.b\"", "\"a b\""]),
        ("bucket", &["\"a_b\""], &["\"a.b\""]),
        ("service", &["\"todos\""], &["\"To Dos\""]),
        ("nkey", &[], &["\"UABC\"", "\"SUABC\""]),
        ("secret", &["\"/run/keys/x\""], &["\"hunter2\""]),
        ("machine", &["\"pi\""], &["\"po\""]),
        ("person", &["\"ada\""], &["\"grace\""]),
        ("zone", &["\"home\""], &["\"moon\""]),
        ("list<int>", &["[1, 2]"], &["1", "[\"x\"]"]),
        ("set<port>", &["[2, 1, 2]"], &["[0]"]),
        ("map<int>", &["{ a = 1 }"], &["{ a = \"x\" }", "[1]"]),
        ("map<stream, int>", &["{ a = 1 }"], &["{ \"a.b\" = 1 }"]),
        ("optional<int>", &["1"], &["\"x\""]),
        ("either<int, list<string>>", &["1", "[\"x\"]"], &["\"x\"", "[1]"]),
        ("any", &["1", "{ a = [1, \"x\"] }"], &[]),
    ];
    for (kind, good, bad) in rows {
        let option = format!("\n[options.\"u.it\"]\ntype = \"{kind}\"\ndoc = \"it\"\n");
        let set = |text: &str| {
            value(
                &[("modules/b/module.toml", &option), ("machines/pi.toml", &format!("\n[settings.u]\nit = {text}\n"))],
                "u.it",
            )
        };
        for text in *good {
            let found = set(text);
            assert!(!found.starts_with("LW"), "{kind} takes {text}: {found}");
        }
        for text in *bad {
            let found = set(text);
            assert!(
                found.starts_with("LW0202 machines/pi.toml") || found.starts_with("LW0101 machines/pi.toml"),
                "{kind} refuses {text}: {found}"
            );
        }
    }
    // A wrong secret is never repeated.
    let option = "\n[options.\"u.it\"]\ntype = \"secret\"\ndoc = \"it\"\n";
    let found =
        value(&[("modules/b/module.toml", option), ("machines/pi.toml", "\n[settings.u]\nit = \"hunter2\"\n")], "u.it");
    assert!(found.contains("a secret is referred to") && !found.contains("hunter2"), "{found}");
}

#[test]
fn imports_come_first_and_each_module_once() {
    // b imports c, a imports c too: a diamond.
    let files: Files = &[
        ("modules/b/module.toml", "imports = [\"c\"]\n[settings.t]\nlist = [\"b\"]\n"),
        ("modules/c/module.toml", "[settings.t]\nlist = [\"c\"]\n"),
        ("machines/pi.toml", "=configuration = [\"b\", \"a\", \"c\"]\nhardware = \"box\"\nperson = \"ada\"\n"),
    ];
    check(files, "t.list", r#"["c", "b"]"#);
}

#[test]
fn all_definitions_are_explained_with_their_verdicts() {
    let files: Files = &[
        ("modules/a/module.toml", "\n[default.t]\nnumber = 1\n"),
        ("domain.toml", "\n[settings.t]\nnumber = 2\n"),
        ("hardware/box.toml", "\n[[blocks]]\nwhen = \"hardware.cores > 99\"\n[blocks.settings.t]\nnumber = 4\n"),
        ("machines/pi.toml", "\n[settings.t]\nnumber = 3\n"),
    ];
    let (declared, sources, report) = declared(files);
    assert!(report.is_empty());
    let explained = resolve::explain(&declared, &MachineName::parse("pi").expect("a name"), "t.number");
    let explanation = explained.value.expect("an explanation");
    let text = leafwright::cli::explain_option::text(&explanation, &sources);
    let expected = "\
t.number = 3
  doc      a scalar
  type     int
  wins   machine [settings]   machines/pi.toml:6:10          3
  off    hardware [settings]  hardware/box.toml:9:10         4
  loses  domain [settings]    domain.toml:7:10               2
  loses  module [default]     modules/a/module.toml:38:10    1
  loses  option default       modules/a/module.toml:3:10     0
";
    let squeezed =
        |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(squeezed(&text), squeezed(expected));
}

#[test]
fn the_built_in_trees_fit_their_structs() {
    // A machine that sets nothing, and one that has an entry of every kind: neither may leave a struct unsatisfied.
    let every = "\n[settings]\nstreams = { s = { mirror = { stream = \"x\" }, sources = [{ stream = \"y\" }], republish = { destination = \"z\" } } }\nbuckets = { b = { kind = \"object\" } }\nservices = { s = { exec = [\"/bin/true\"], listen = { http = { address = \"127.0.0.1:80\", reason = \"r\" } } } }\nusers = { ada = {} }\nfiles = { \"/etc/motd\" = { text = \"x\", values = { a = [1, { b = true }] } } }\nunits = { \"nats.service\" = { Service = { Nice = [\"5\"] } } }\n";
    for extra in ["", every] {
        let (declared, sources, report) = declared(&[
            ("machines/pi.toml", extra),
            (
                "domain.toml",
                "\n[clusters.hub]\nmembers = [\"pi\"]\n[clusters.hub.settings]\nstreams = { s = {} }\nbuckets = { b = { kind = \"key-value\" } }\n",
            ),
        ]);
        assert!(report.is_empty());
        let resolved = resolve::explain(&declared, &MachineName::parse("pi").expect("a name"), "leaf");
        assert!(!resolved.report.has_errors(), "{}", said(resolved.report, &sources));
        let whole = resolve::domain(&declared);
        let found = said(whole.report, &sources);
        assert!(!found.contains("does not fit its model"), "{found}");
        assert!(!found.contains("LW02"), "{found}");
    }
}

#[test]
fn golden_cases_of_the_modules() {
    let folders = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/resolve");
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = vec![];
    let mut count = 0;
    for entry in fs::read_dir(folders).expect("cases") {
        let folder = entry.expect("a case").path();
        if folder.is_file() {
            continue;
        }
        let sources = load::domain(&folder).expect("a domain");
        let written = declare::all(&sources);
        let declared = written.value.expect("declarations");
        let mut report = written.report;
        let show = fs::read_to_string(folder.join("show")).expect("what to show");
        let mut shown: BTreeMap<String, BTreeMap<String, serde_json::Value>> = BTreeMap::new();
        for machine in declared.machines.keys() {
            for option in show.lines() {
                let explained = resolve::explain(&declared, machine, option);
                report.absorb(explained.report);
                let value = explained.value.and_then(|explanation| explanation.value).map(|value| value.json());
                shown.entry(machine.to_string()).or_default().insert(option.to_owned(), value.unwrap_or_default());
            }
        }
        let found = format!("{:#}\n{}", serde_json::json!(shown), said(report, &sources));
        let path = folder.join("expected.json");
        if update {
            fs::write(&path, &found).expect("the expectation is written");
        }
        if fs::read_to_string(&path).unwrap_or_default() != found {
            different.push(format!("{}\n{found}", folder.display()));
        }
        count += 1;
    }
    assert!(count >= 6, "a case for each standard module");
    assert!(different.is_empty(), "{}\nUPDATE=1 rewrites the expectation", different.join("\n"));
}

#[test]
fn a_machine_resolved_with_its_like_is_the_machine_resolved_alone() {
    let sources = load::domain(&PathBuf::from(env!("CARGO_MANIFEST_DIR"))).expect("the example domain");
    let declared = declare::all(&sources).value.expect("declarations");
    let domain = resolve::domain(&declared).value.expect("a sound domain");
    for machine in &domain.machines {
        for (option, together) in [
            ("leaf", serde_json::to_value(&machine.options.leaf).expect("JSON")),
            ("services", serde_json::to_value(&machine.options.services).expect("JSON")),
        ] {
            let alone = resolve::explain(&declared, &machine.name, option).value.expect("an explanation");
            let mut together = together;
            together.as_object_mut().expect("a table").values_mut().for_each(drop_nothing);
            assert_eq!(alone.value.expect("a value").json(), together, "{} {option}", machine.name);
        }
    }
    assert!(domain.machines.len() > 5);
}

/// A struct says `null` where the tree has no entry.
fn drop_nothing(value: &mut serde_json::Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, field| !field.is_null());
    }
}

/// `up` refuses it, and so does whoever looks at what `up` runs.
#[test]
fn what_the_foreground_hides_is_wrong_all_the_same() {
    let small = "assert = [{ that = \"t.number < 5\", say = \"too much\" }]\n";
    let pi = format!("{small}[settings.t]\nnumber = 9\n");
    let hidden = ("<foreground>", "[machines.pi.t]\nnumber = 1");
    let (declared, sources, _) = declared(&[("machines/pi.toml", &pi), hidden]);
    let [alone, both] = [resolve::domain, resolve::domain_in_foreground]
        .map(|resolve| said(resolve(&declared).report, &sources).matches("LW0213").count());
    assert_eq!([alone, both], [0, 1]);
}
