//! The map of the crate, held to: every file of `src/` has a floor, imports run downwards, and the pure floors do not know the world.
//!
//! It reads text, not syntax: comments and string contents are blanked first, test modules are judged for imports alone.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A floor may use itself and every floor of a smaller storey.
const FLOORS: [(&str, u8, Kind); 16] = [
    ("name", 0, Kind::Pure),
    ("diag", 1, Kind::Pure),
    ("declare", 2, Kind::Pure),
    ("resolve", 3, Kind::Pure),
    ("identity", 4, Kind::Pure),
    ("compile", 5, Kind::Pure),
    ("plan", 6, Kind::Pure),
    ("host", 7, Kind::World),
    ("load", 8, Kind::World),
    ("apply", 8, Kind::World),
    ("seed", 8, Kind::World),
    ("verify", 8, Kind::World),
    ("foreground", 9, Kind::World),
    ("machine", 9, Kind::World),
    ("cli", 10, Kind::World),
    ("main", 11, Kind::World),
];

/// Floors of one storey that may be used by others of it: verifying needs what seeding knows, applying needs both.
const BESIDE: [(&str, &str); 5] =
    [("apply", "seed"), ("apply", "load"), ("verify", "seed"), ("apply", "verify"), ("machine", "foreground")];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pure,
    World,
}

/// What a pure floor never names, and what it says instead.
const WORLD: [(&str, &str); 23] = [
    ("std::fs", "files are read in `load` and written in `host`"),
    ("std::net::Tcp", "connections are made in `host`"),
    ("std::net::Udp", "connections are made in `host`"),
    ("std::env", "the environment is read in `cli`"),
    ("std::process", "processes are started in `host`"),
    ("std::thread", "pure floors use rayon, whose order does not show"),
    ("std::time::Instant", "times are inputs"),
    ("std::time::SystemTime", "times are inputs"),
    ("Instant::now", "times are inputs"),
    ("SystemTime::now", "times are inputs"),
    ("time::OffsetDateTime", "times are inputs"),
    ("tokio", "a pure floor does not wait"),
    ("async fn", "a pure floor does not wait"),
    ("async_nats", "servers are talked to in `host`"),
    ("rand::", "randomness is an input"),
    ("getrandom", "randomness is an input"),
    ("println!", "a pure floor returns what it has to say"),
    ("eprintln!", "a pure floor returns what it has to say"),
    ("print!", "a pure floor returns what it has to say"),
    ("dbg!", "a pure floor returns what it has to say"),
    ("HashMap", "use BTreeMap: the order of memory must not show"),
    ("HashSet", "use BTreeSet: the order of memory must not show"),
    ("anyhow", "a pure floor returns `Checked` or `Report`"),
];

/// What no file says outside its tests.
const NOWHERE: [(&str, &str); 3] = [
    (".unwrap()", "say what must hold with `expect`, or return the fault"),
    ("#[allow(", "write `#[expect(…, reason = \"…\")]`"),
    ("#![allow(", "write `#![expect(…, reason = \"…\")]`"),
];

const LINES_MAX: usize = 600;

struct File {
    /// `src/compile/units.rs`
    path: String,
    text: String,
}

fn below(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("a directory of the repository");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            below(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![];
    below(&root.join("src"), &mut paths);
    paths.sort();
    let read = |path: PathBuf| File {
        text: fs::read_to_string(&path).expect("a source file is text"),
        path: path.strip_prefix(root).expect("it is below the root").to_string_lossy().replace('\\', "/"),
    };
    paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).map(read).collect()
}

/// Blanks comments and the contents of strings, and keeps every line where it is.
fn code(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' if !ends_a_word(&out) && raw(rest).is_some() => raw(rest).unwrap_or(1),
            '\'' => character(rest),
            _ => 0,
        };
        let (skipped, kept) = rest.split_at(if length == 0 { c.len_utf8() } else { length });
        match length {
            0 => out.push(c),
            _ => out.extend(skipped.chars().filter(|c| *c == '\n')),
        }
        rest = kept;
    }
    out
}

fn ends_a_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return place + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// `r"…"` and `r#"…"#`.
fn raw(text: &str) -> Option<usize> {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let inside = text[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(1 + hashes + 1 + inside.find(&close).map_or(inside.len(), |end| end + close.len()))
}

/// A character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..].char_indices().skip(1).find(|(_, c)| *c == '\'').map_or(0, |(end, _)| end + 3),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(end, _)| end + 1),
        None => 0,
    }
}

/// `src/compile/units.rs` → `compile`; `None` for what may see everything or nothing.
fn floor_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    Some(inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs"))
}

fn floor(name: &str) -> Option<&'static (&'static str, u8, Kind)> {
    FLOORS.iter().find(|(floor, ..)| *floor == name)
}

fn may_use(from: &(&str, u8, Kind), to: &(&str, u8, Kind)) -> bool {
    from.0 == to.0 || to.1 < from.1 || BESIDE.contains(&(from.0, to.0))
}

/// Every floor that the code names: `crate::declare::x`, `crate::{declare, name::Y}`, `leafwright::plan`.
fn named(code: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    for root in ["crate::", "leafwright::"] {
        for (place, _) in code.match_indices(root) {
            if ends_a_word(&code[..place]) || code[..place].ends_with('$') {
                continue;
            }
            let line = code[..place].matches('\n').count() + 1;
            found.extend(heads(&code[place + root.len()..]).into_iter().map(|head| (line, head)));
        }
    }
    found
}

/// The first names of a path or of a braced list of paths.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut heads, mut item) = (0, vec![], String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut item)),
            _ => item.push(c),
        }
    }
    heads.push(item);
    heads.iter().map(|item| word(item.trim())).filter(|head| !head.is_empty()).collect()
}

/// What is compiled outside of tests: without the items under `#[cfg(test)]`; every line stays where it is.
fn outside_tests(code: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(code.len()), code);
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let (item, kept) = after.split_at(end_of_item(after));
        out.extend(item.chars().filter(|c| *c == '\n'));
        rest = kept;
    }
    out + rest
}

/// Up to the first `;`, or the brace that closes the first one.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (place, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return place + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return place + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Whole files that are compiled for tests only: those that their parent takes in under `#[cfg(test)]`.
fn test_files(files: &[File]) -> Vec<String> {
    let mut found = vec![];
    for file in files {
        let directory = match file.path.rsplit_once('/') {
            Some((directory, "mod.rs" | "lib.rs" | "main.rs")) => directory,
            _ => file.path.trim_end_matches(".rs"),
        };
        let code = code(&file.text);
        let declared = code.split("#[cfg(test)]").skip(1).filter_map(|rest| rest.trim_start().split_once(';'));
        let names = declared.filter_map(|(item, _)| item.rsplit_once("mod ").map(|(_, name)| name.trim()));
        found
            .extend(names.filter(|name| !name.contains(char::is_whitespace)).map(|name| format!("{directory}/{name}")));
    }
    found
}

fn is_for_tests(path: &str, test_files: &[String]) -> bool {
    test_files.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")))
}

#[derive(Clone, Copy, PartialEq)]
enum Compiled {
    Always,
    ForTests,
}

fn faults_of(path: &str, text: &str, compiled: Compiled) -> Vec<String> {
    let code = code(text);
    let mut faults = vec![];
    let mut say = |line: usize, what: String| faults.push(format!("{path}:{line}: {what}"));
    if compiled == Compiled::Always && !text.starts_with("//!") {
        say(1, "a file opens with `//!`: what it is and what it refuses".into());
    }
    if text.lines().count() > LINES_MAX {
        say(LINES_MAX, format!("more than {LINES_MAX} lines: think again"));
    }
    let plain = if compiled == Compiled::ForTests { String::new() } else { outside_tests(&code) };
    for (line, text) in plain.lines().enumerate() {
        for (word, instead) in NOWHERE.iter().filter(|(word, _)| text.contains(word)) {
            say(line + 1, format!("`{word}`: {instead}"));
        }
    }
    // The services of the example are programs of their own.
    if path.starts_with("src/bin/") {
        for (line, head) in named(&code).into_iter().filter(|_| code.contains("leafwright::")) {
            say(line, format!("a service does not need the library, and names `{head}` of it"));
        }
        return faults;
    }
    if path == "src/lib.rs" {
        return faults;
    }
    let Some(mine) = floor_of(path).and_then(floor) else {
        say(1, "this file has no floor: give it one in tests/floors.rs and ARCHITECTURE.md".into());
        return faults;
    };
    for (line, head) in named(&code) {
        match floor(&head) {
            Some(other) if !may_use(mine, other) => say(line, format!("`{}` may not use `{head}`", mine.0)),
            _ => {}
        }
    }
    if mine.2 == Kind::Pure {
        for (line, text) in plain.lines().enumerate() {
            for (word, instead) in WORLD.iter().filter(|(word, _)| names(text, word)) {
                say(line + 1, format!("a pure floor names `{word}`: {instead}"));
            }
        }
    }
    faults
}

/// Is `word` in the line, and not as the end of a longer word?
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(place, _)| !ends_a_word(&line[..place]))
}

#[test]
fn imports_run_downwards_and_pure_floors_do_not_know_the_world() {
    let files = sources();
    assert!(files.len() > 20, "only {} files were found", files.len());
    let test_files = test_files(&files);
    let judge = |file: &File| {
        let compiled = if is_for_tests(&file.path, &test_files) { Compiled::ForTests } else { Compiled::Always };
        faults_of(&file.path, &file.text, compiled)
    };
    let faults: Vec<String> = files.iter().flat_map(judge).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_floor_of_the_table_exists_or_is_named_in_no_file() {
    let files = sources();
    let library = files.iter().find(|file| file.path == "src/lib.rs").expect("src/lib.rs");
    for line in code(&library.text).lines() {
        let Some(module) = line.trim().strip_prefix("pub mod ").or_else(|| line.trim().strip_prefix("mod ")) else {
            continue;
        };
        let module = module.trim_end_matches(';');
        assert!(floor(module).is_some(), "`{module}` of src/lib.rs has no floor in this test");
    }
}

/// The check itself, seen red: each row is a file that must be refused, and the words that say why.
#[test]
fn what_is_forbidden_is_found() {
    let rows = [
        ("src/name/a.rs", "//! a\nuse crate::diag::Span;\n", "`name` may not use `diag`"),
        ("src/resolve/a.rs", "//! a\nuse crate::{name::X, compile::{Y, Z}};\n", "`resolve` may not use `compile`"),
        ("src/plan/a.rs", "//! a\nfn f() { crate::host::now() }\n", "`plan` may not use `host`"),
        ("src/seed/a.rs", "//! a\nuse crate::verify;\n", "`seed` may not use `verify`"),
        ("src/host/a.rs", "//! a\nuse crate::apply;\n", "`host` may not use `apply`"),
        ("src/load/a.rs", "//! a\n#[cfg(test)]\nmod tests { use crate::cli; }\n", "`load` may not use `cli`"),
        ("src/novel/a.rs", "//! a\n", "has no floor"),
        ("src/plan/a.rs", "fn f() {}\n", "opens with `//!`"),
        ("src/plan/a.rs", "//! a\nuse std::fs;\n", "`std::fs`"),
        ("src/declare/a.rs", "//! a\nuse std::collections::{BTreeMap, HashMap};\n", "`HashMap`"),
        ("src/compile/a.rs", "//! a\nfn f() -> anyhow::Result<()> { Ok(()) }\n", "`anyhow`"),
        ("src/compile/a.rs", "//! a\nfn f() { println!(\"x\") }\n", "`println!`"),
        ("src/identity/a.rs", "//! a\nasync fn f() {}\n", "`async fn`"),
        ("src/resolve/a.rs", "//! a\nfn f() { let t = std::time::Instant::now(); }\n", "times are inputs"),
        ("src/host/a.rs", "//! a\nfn f() { x.unwrap(); }\n", "`.unwrap()`"),
        ("src/host/a.rs", "//! a\n#[allow(dead_code)]\nfn f() {}\n", "#[expect("),
        (
            "src/plan/a.rs",
            "//! a\n#[cfg(test)]\nmod tests {\n}\nfn f() { x.unwrap() }\n",
            "src/plan/a.rs:5: `.unwrap()`",
        ),
        ("src/bin/x/a.rs", "//! a\nuse leafwright::name::Subject;\n", "does not need the library"),
    ];
    for (path, text, reason) in rows {
        let faults = faults_of(path, text, Compiled::Always);
        assert!(faults.iter().any(|fault| fault.contains(reason)), "{path}: {text:?} gave {faults:?}, not {reason:?}");
    }
    let long = format!("//! a\n{}", "fn f() {}\n".repeat(LINES_MAX));
    assert!(faults_of("src/host/a.rs", &long, Compiled::Always).iter().any(|fault| fault.contains("think again")));
}

#[test]
fn files_for_tests_are_known_by_their_parent() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let files = [
        file("src/load/mod.rs", "//! a\nmod x;\n#[cfg(test)]\nmod tests;\n"),
        file("src/plan/y.rs", "//! a\n#[cfg(test)]\npub(crate) mod fixture;\nmod z;\n#[cfg(test)]\nmod tests {\n}\n"),
    ];
    let found = test_files(&files);
    assert_eq!(found, ["src/load/tests", "src/plan/y/fixture"]);
    assert!(is_for_tests("src/load/tests.rs", &found) && is_for_tests("src/plan/y/fixture/a.rs", &found));
    assert!(!is_for_tests("src/load/x.rs", &found) && !is_for_tests("src/plan/y/z.rs", &found));
}

#[test]
fn what_is_allowed_is_let_through() {
    let rows = [
        ("src/resolve/a.rs", "//! a\nuse crate::declare::Declared;\nuse crate::{diag::Span, name};\n"),
        ("src/plan/a.rs", "//! a\n// std::fs, println!\nconst X: &str = \"std::fs HashMap .unwrap()\";\n"),
        ("src/plan/a.rs", "//! a\nconst X: &str = r#\"\" std::fs\"#;\nfn f<'a>(x: &'a str) -> char { '\"' }\n"),
        ("src/plan/a.rs", "//! a\nfn f() {}\n#[cfg(test)]\nmod tests {\n fn t() { x.unwrap(); println!(\"\"); }\n}\n"),
        ("src/plan/a.rs", "//! a\n#[cfg(test)]\npub mod cases {\n fn f() { x.unwrap(); }\n}\nfn g() {}\n"),
        ("src/cli/a.rs", "//! a\nuse crate::{apply, seed};\nfn f() -> anyhow::Result<()> { println!(\"\"); Ok(()) }\n"),
        ("src/compile/a.rs", "//! a\nfn f() { let brand::X = operand; }\n"),
    ];
    for (path, text) in rows {
        assert_eq!(faults_of(path, text, Compiled::Always), Vec::<String>::new(), "{path}: {text}");
    }
}
