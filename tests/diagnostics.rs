//! Wrong declarations and what is said about them: the pages of the codes, and golden folders.
//!
//! A folder below `tests/diagnostics/` is a domain with mistakes; `expected.txt` is what a person sees.
//! `UPDATE=1 cargo test --test diagnostics` rewrites it: read the difference.

use leafwright::diag::codes::{self, Code};
use leafwright::diag::{Report, Sources, Style, render};
use leafwright::load;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The whole way that `check` goes.
fn check(root: &Path) -> (Report, Sources) {
    let sources = load::domain(root).unwrap();
    let report = leafwright::check(&sources).report.sorted();
    (report, sources)
}

/// The whole way that `build` goes: what is wrong with the identity shows only there.
fn build(root: &Path) -> (Report, Sources) {
    let sources = load::domain(root).unwrap();
    let report = leafwright::judge(&sources).then(|judged| leafwright::build(&judged)).report.sorted();
    (report, sources)
}

type Files = BTreeMap<String, Vec<u8>>;

/// A domain of these files.
fn folder(files: &Files) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, bytes) in
        files.iter().flat_map(|(path, bytes)| expanded(path).into_iter().map(move |path| (path, bytes)))
    {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    root
}

/// This line of a page adds `identity/` to the files before it.
const SIGNED: &str = "Signed with `leafwright keys sign`.";

/// Keys are made by the world; without it the pages that need them are left out.
#[cfg(not(feature = "world"))]
fn sign(_: &mut Files) {}

/// What `keys sign` makes of these files, with keys that are thrown away.
#[cfg(feature = "world")]
fn sign(files: &mut Files) {
    use leafwright::host::{keys::KeyStore, provision};
    let root = folder(files);
    let sources = load::domain(root.path()).unwrap();
    let judged = leafwright::judge(&sources);
    let judged = judged.value.unwrap_or_else(|| {
        panic!("only what is sound is signed:\n{}", render(&judged.report.sorted(), &sources, Style::Plain))
    });
    let store = KeyStore::create(&root.path().join("keys")).unwrap();
    let wanted = leafwright::compile::wanted(&judged.domain);
    let identity = provision(&store, &wanted, None, time::OffsetDateTime::now_utc()).unwrap();
    let signed = leafwright::identity::files(&identity);
    files.extend(signed.into_iter().map(|(path, text)| (format!("identity/{path}"), text.into_bytes())));
}

/// `machines/leaf-{1..520}.toml` is 520 files of one content.
fn expanded(path: &str) -> Vec<String> {
    let range = path.split_once('{').and_then(|(before, rest)| {
        let (range, after) = rest.split_once('}')?;
        let (first, last) = range.split_once("..")?;
        Some((before, first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?, after))
    });
    match range {
        Some((before, numbers, after)) => numbers.map(|number| format!("{before}{number}{after}")).collect(),
        None => vec![path.to_owned()],
    }
}

/// What an example does not give itself.
fn base() -> Files {
    let files = [
        ("domain.toml", "name = \"meadow\"\ndns = \"meadow.example\"\nzone = \"home\"\n\n[zones.home]\n"),
        ("hardware/pi.toml", "arch = \"aarch64\"\ncores = 4\nmemory = \"1GiB\"\ndisk = \"32GB\"\n"),
        ("people/ada.toml", "full_name = \"Ada Lovelace\"\n"),
        ("machines/pi.toml", "configuration = [\"leaf\"]\nhardware = \"pi\"\nperson = \"ada\"\n"),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect()
}

fn said(files: &Files, judge: fn(&Path) -> (Report, Sources)) -> (Vec<Code>, String) {
    let (report, sources) = judge(folder(files).path());
    let codes = report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    (codes, render(&report, &sources, Style::Plain))
}

#[test]
fn the_base_of_the_examples_is_sound() {
    let (codes, text) = said(&base(), check);
    assert!(codes.is_empty(), "{text}");
}

/// The files of one section of a page: fenced blocks, each headed by "`path`:"; a line "Without `path`." removes one;
/// a line "Signed with `leafwright keys sign`." adds `identity/` for the files so far.
fn section(page: &str, title: &str) -> Files {
    let mut files = base();
    let mut path: Option<&str> = None;
    let mut block: Option<(String, bool)> = None;
    let lines = page.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.starts_with("## "));
    for line in lines {
        match (&mut block, line) {
            (Some((text, bytes)), "```") => {
                let path = path.take().expect("a block is headed by its file");
                let text = std::mem::take(text);
                files.insert(path.to_owned(), if *bytes { unescape(&text) } else { text.into_bytes() });
                block = None;
            }
            (Some((text, _)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, line) if line.starts_with("```") => block = Some((String::new(), line == "```bytes")),
            (None, line) => {
                if line == SIGNED {
                    sign(&mut files);
                }
                if let Some(gone) = line.strip_prefix("Without `").and_then(|rest| rest.strip_suffix("`.")) {
                    files.remove(gone);
                }
                path = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")).or(path);
            }
        }
    }
    files
}

/// Findings about the identity, which `check` does not ask for.
const OF_IDENTITY: std::ops::RangeInclusive<Code> = Code(610)..=Code(619);
/// Findings about artefacts, which only `build` makes: units, nats-server's configuration, and what is written twice. Templates, gates and packages are
/// judged by `check`, too.
const OF_ARTEFACTS: std::ops::RangeInclusive<Code> = Code(700)..=Code(704);

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}

#[test]
fn every_page_keeps_its_word() {
    let mut broken = vec![];
    for (code, title) in codes::all() {
        let page = codes::explain(code).unwrap();
        if cfg!(not(feature = "world")) && page.lines().any(|line| line == SIGNED) {
            continue;
        }
        for heading in ["## Wrong", "## Right"] {
            assert!(page.lines().any(|line| line == heading), "{code} ({title}) has no section `{heading}`");
        }
        let judge = if OF_IDENTITY.contains(&code) || OF_ARTEFACTS.contains(&code) { build } else { check };
        let (wrong, text) = said(&section(page, "## Wrong"), judge);
        if !wrong.contains(&code) {
            broken.push(format!("{code}: the wrong example is not told so\n{text}"));
        }
        let (right, text) = said(&section(page, "## Right"), judge);
        if right.contains(&code) {
            broken.push(format!("{code}: the right example is told wrong\n{text}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_code_in_the_source_has_a_page() {
    let uses = regex::Regex::new(r"\bCode\((\d+)\)").unwrap();
    let mut stack = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = 0;
    let mut missing = BTreeMap::new();
    while let Some(path) = stack.pop() {
        if path.is_dir() {
            stack.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for found in uses.captures_iter(&text) {
            let code = Code(found[1].parse().unwrap());
            if codes::explain(code).is_none() {
                missing.insert(code, path.clone());
            }
            seen += 1;
        }
    }
    assert!(missing.is_empty(), "these have no page in docs/codes/: {missing:#?}");
    assert!(seen > 10, "the pattern finds the codes");
}

#[test]
fn golden_folders() {
    let folders = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let update = std::env::var_os("UPDATE").is_some();
    let mut different = vec![];
    let mut count = 0;
    for entry in fs::read_dir(folders).unwrap() {
        let folder = entry.unwrap().path();
        let (report, sources) = check(&folder);
        let said = render(&report, &sources, Style::Plain);
        let expected = folder.join("expected.txt");
        if update {
            fs::write(&expected, &said).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if said != wanted {
            different.push(format!("{}\n--- expected\n{wanted}\n--- said\n{said}", folder.display()));
        }
        count += 1;
    }
    assert!(count > 0);
    assert!(different.is_empty(), "{}\nUPDATE=1 rewrites the expectation", different.join("\n"));
}

/// Runs the binary in the folder; exit code, stdout, stderr.
fn leafwright(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leafwright"));
    let out = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

#[test]
fn check_says_on_stderr_and_gives_on_stdout() {
    let root = folder(&base());
    let (code, data, talk) = leafwright(&root.path().join("machines"), &["check"]);
    assert_eq!((code, &*data), (Some(0), ""), "{talk}");
    let mut files = base();
    files.insert("people/ada.toml".to_owned(), b"role = \"admin\"\n".to_vec());
    let root = folder(&files);
    let (code, data, talk) = leafwright(root.path(), &["check"]);
    assert_eq!((code, &*data), (Some(1), ""));
    assert!(talk.starts_with("error[LW0012]: unknown key `role`\n --> people/ada.toml:1:1\n"), "{talk}");
    assert!(talk.ends_with("error: 1 error\n"), "{talk}");
    let (code, data, talk) = leafwright(root.path(), &["check", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(
        (code, &*talk, found[0]["code"].as_str(), found[0]["place"]["line"].as_u64()),
        (Some(1), "", Some("LW0012"), Some(1))
    );
}

#[test]
fn wrong_usage_is_two() {
    let nowhere = tempfile::tempdir().unwrap();
    let (code, _, talk) = leafwright(nowhere.path(), &["check"]);
    assert_eq!((code, talk.lines().count()), (Some(2), 1), "{talk}");
    assert_eq!(leafwright(nowhere.path(), &["explain", "LW9999"]).0, Some(2));
    assert_eq!(leafwright(nowhere.path(), &["no-such-verb"]).0, Some(2));
    let (code, page, _) = leafwright(nowhere.path(), &["explain", "LW0012"]);
    assert_eq!((code, page.lines().next()), (Some(0), Some("# LW0012: unknown key")));
}
