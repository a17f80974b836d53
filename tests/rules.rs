//! Every rule has a golden case: a folder below `tests/rules/` with the files of a domain that breaks it, what is said, and
//! its mended twin.
//!
//! `base/` is a sound domain; `<rule>/wrong/` and `<rule>/right/` are laid over it. A file name may hold one range, as in
//! `leaf-{1..520}.toml`. `UPDATE=1 cargo test --test rules` rewrites `expected.txt`: read the difference.

use leafwright::diag::codes::{self, Code};
use leafwright::diag::{Report, Severity, Sources, Style, render};
use leafwright::resolve::rules::RULES;
use leafwright::{judge, load};
use std::fs;
use std::path::{Path, PathBuf};

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules")
}

/// Cases of what is judged beside the table: contracts, events, secrets.
const BESIDE: [(u16, &str); 21] = [
    (413, "event-sets"),
    (414, "repeated-events"),
    (501, "subject-grammar"),
    (502, "message-defined-twice"),
    (503, "message-not-defined"),
    (504, "message-of-another"),
    (505, "two-answers"),
    (506, "outcomes"),
    (507, "reply"),
    (508, "missing-schema"),
    (509, "bad-schema"),
    (510, "bad-example"),
    (511, "never-received"),
    (512, "never-sent"),
    (521, "unknown-event"),
    (522, "not-an-event"),
    (523, "bad-event-data"),
    (419, "unused-events"),
    (420, "reported-hardware"),
    (601, "secrets"),
    (602, "placeholders"),
];

fn cases() -> Vec<(Code, &'static str)> {
    let rules = RULES.iter().map(|rule| (rule.code, rule.name));
    rules.chain(BESIDE.iter().map(|(code, name)| (Code(*code), *name))).collect()
}

fn lay(from: &Path, onto: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            lay(&entry.path(), &onto.join(name));
        } else {
            fs::create_dir_all(onto).unwrap();
            for name in expanded(&name) {
                fs::copy(entry.path(), onto.join(name)).unwrap();
            }
        }
    }
}

/// `leaf-{1..3}.toml` → `leaf-1.toml`, `leaf-2.toml`, `leaf-3.toml`
fn expanded(name: &str) -> Vec<String> {
    let range = || {
        let (before, rest) = name.split_once('{')?;
        let (range, behind) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        let numbers = first.parse::<u32>().ok()?..=last.parse().ok()?;
        Some(numbers.map(|number| format!("{before}{number}{behind}")).collect())
    };
    range().unwrap_or_else(|| vec![name.to_owned()])
}

fn judged(layers: &[PathBuf]) -> (Report, Sources) {
    let root = tempfile::tempdir().unwrap();
    for layer in layers {
        lay(layer, root.path());
    }
    let sources = load::domain(root.path()).unwrap();
    let report = judge(&sources).report.sorted();
    (report, sources)
}

fn said(report: &Report, sources: &Sources) -> String {
    render(report, sources, Style::Plain)
}

#[test]
fn the_base_is_sound() {
    let (report, sources) = judged(&[home().join("base")]);
    assert!(report.is_empty(), "{}", said(&report, &sources));
}

#[test]
fn every_rule_says_what_is_wrong_and_nothing_of_the_mended_twin() {
    let mut faults = vec![];
    for (code, name) in cases() {
        let folder = home().join(name);
        let (report, sources) = judged(&[home().join("base"), folder.join("wrong")]);
        let text = said(&report, &sources);
        if !report.diagnostics.iter().all(|found| found.code == code) || report.is_empty() {
            faults.push(format!("{name}: {code} alone was meant\n{text}"));
        }
        let golden = folder.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            faults.push(format!("{name}: expected.txt differs\n{text}"));
        }
        let (report, sources) = judged(&[home().join("base"), folder.join("right")]);
        if !report.is_empty() {
            faults.push(format!("{name}: the mended twin is not clean\n{}", said(&report, &sources)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn every_folder_is_a_case() {
    let cases = cases();
    for entry in fs::read_dir(home()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "base" || cases.iter().any(|(_, case)| *case == name), "{name} is no rule");
    }
}

#[test]
fn a_rule_and_its_page_have_one_title() {
    for rule in RULES {
        let title = codes::all().find(|(code, _)| *code == rule.code).map(|(_, title)| title);
        assert_eq!(title, Some(rule.title), "{}", rule.code);
    }
}

#[test]
fn a_finding_offers_a_way_out() {
    for (code, name) in cases() {
        let (report, _) = judged(&[home().join("base"), home().join(name).join("wrong")]);
        for found in report.diagnostics {
            assert!(!found.help.is_empty(), "{code} {name}: {}", found.message);
            assert!(matches!(found.severity, Severity::Error | Severity::Warning));
        }
    }
}
