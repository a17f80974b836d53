//! Declarations that somebody wrote in order to break `check`: too deep, too long, too much work, secrets in disguise. Each
//! ends with a diagnostic at its place, and one mistake is said once.
//!
//! What might end the process runs in a process of its own: the binary.

use leafwright::diag::{Report, Sources, Style, json, render};
use leafwright::load;
use std::fs;
use std::path::Path;
use std::process::Command;

fn lay(from: &Path, onto: &Path) {
    fs::create_dir_all(onto).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let onto = onto.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            lay(&entry.path(), &onto)
        } else {
            fs::copy(entry.path(), onto).unwrap();
        }
    }
}

/// A sound domain with these files laid over it; a text that begins with `+` is added to the file that is there.
fn domain(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    lay(&tree.join("tests/rules/base"), root.path());
    over(root.path(), files);
    root
}

/// The example domain of the repository.
fn example(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["contracts", "events", "hardware", "identity", "machines", "modules", "people"] {
        lay(&tree.join(folder), &root.path().join(folder));
    }
    fs::copy(tree.join("domain.toml"), root.path().join("domain.toml")).unwrap();
    over(root.path(), files);
    root
}

fn over(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = match text.strip_prefix('+') {
            Some(more) => fs::read_to_string(&path).unwrap() + more,
            None => (*text).to_owned(),
        };
        fs::write(path, text).unwrap();
    }
}

/// Exit code and talk of `check`.
fn check(root: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_leafwright")).args(["check", "--domain"]).arg(root).output().unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or_else(|| panic!("ended by a signal: {talk}")), talk)
}

fn judged(root: &Path) -> (Report, Sources) {
    let sources = load::domain(root).unwrap();
    (leafwright::judge(&sources).report.sorted(), sources)
}

/// The codes of what is said, and all of it.
fn said(root: &Path) -> (Vec<u16>, String) {
    let (report, sources) = judged(root);
    (report.diagnostics.iter().map(|found| found.code.0).collect(), render(&report, &sources, Style::Plain))
}

fn connections(expression: &str) -> String {
    format!("+\n[settings.leaf]\nmax_connections = \"${{{expression}}}\"\n")
}

#[test]
fn a_hundred_additions_are_an_expression() {
    let root = domain(&[("machines/pi.toml", &connections(&["1"; 101].join(" + ")))]);
    assert_eq!(check(root.path()), (0, "the domain is sound\n".to_owned()));
}

#[test]
fn depth_has_a_limit_and_a_place() {
    let nested = |n: usize| connections(&format!("{}1{}", "(".repeat(n), ")".repeat(n)));
    let list = format!("+\n[settings.leaf]\nstore = {}1{}\n", "[".repeat(2000), "]".repeat(2000));
    let within = format!("+\n[settings.leaf]\nstore = {}1{}\n", "[".repeat(100), "]".repeat(100));
    let dotted = format!("+\n[settings]\n{} = 1\n", ["a"; 5000].join("."));
    let header = format!("+\n[settings.{}]\nb = 1\n", ["a"; 50_000].join("."));
    let braces =
        format!("+\n[settings]\na = {}1{}\n", format!("{{ {} = ", ["a"; 60].join(".")).repeat(70), " }".repeat(70));
    let kind = format!("[options.\"a.b\"]\ndoc = \"x\"\ntype = \"{}int{}\"\n", "list<".repeat(5000), ">".repeat(5000));
    for (path, text, place) in [
        ("machines/pi.toml", nested(41), "LW0207]: this is too much for one expression: brackets"),
        ("machines/pi.toml", nested(60), "LW0207]: this is too much for one expression: brackets"),
        ("machines/pi.toml", nested(10_000), "LW0207]: this is too much"),
        ("machines/pi.toml", connections(&["1"; 5000].join("+")), "LW0207]: this is too much"),
        ("machines/pi.toml", connections(&"-".repeat(5000)), "LW0207]: this is too much"),
        ("machines/pi.toml", list, "LW0001]: tables and lists stand in each other"),
        ("machines/pi.toml", within, "LW0001]: tables and lists stand in each other"),
        ("machines/pi.toml", dotted, "LW0001]: tables and lists stand in each other"),
        ("machines/pi.toml", header, "LW0001]: tables and lists stand in each other"),
        ("machines/pi.toml", braces, "LW0001]: tables and lists stand in each other"),
        ("modules/deep/module.toml", kind, "LW0203]: types stand in each other"),
    ] {
        let root = domain(&[(path, &text)]);
        let (exit, talk) = check(root.path());
        assert_eq!(exit, 1, "{talk}");
        assert!(talk.contains(place) && talk.contains(&format!("--> {path}:")) && talk.contains("= help: "), "{talk}");
    }
    assert_eq!(check(domain(&[("machines/pi.toml", &nested(40))]).path()).0, 0);
}

#[test]
fn work_has_a_budget() {
    let list: Vec<String> = (0..200).map(|n| format!("\"s{n}\"")).collect();
    let module =
        format!("[options.\"work.list\"]\ntype = \"list<string>\"\ndoc = \"x\"\ndefault = [{}]\n", list.join(", "));
    let machine =
        |body: &str| format!("configuration = [\"leaf\", \"work\"]\nhardware = \"pi\"\nperson = \"ada\"\n{body}");
    let with = |expression: &str| machine(&format!("[settings.leaf]\nmax_connections = \"${{{expression}}}\"\n"));
    let l = "work.list";
    for expression in [
        format!("size({l}.map(a, {l}.map(b, {l}.map(c, {l}.map(d, 1)))))"),
        format!("size({l}.filter(a, {l}.exists(b, {l}.exists(c, {l}.exists(d, d == 'x')))))"),
        format!("{l}.all(a, {l}.all(b, {l}.all(c, {l}.all(d, d != 'x')))) ? 1 : 2"),
        format!("{l}.exists_one(a, {l}.exists_one(b, {l}.exists_one(c, {l}.exists_one(d, d == 'x')))) ? 1 : 2"),
    ] {
        let root = domain(&[("modules/work/module.toml", &module), ("machines/pi.toml", &with(&expression))]);
        let (codes, text) = said(root.path());
        assert_eq!(codes, [211], "{text}");
        assert!(
            text.contains("it does too much work") && text.contains("machines/pi.toml:5:") && text.contains("help:"),
            "{text}"
        );
    }
    // Two hundred times two hundred is a day's work.
    let root = domain(&[
        ("modules/work/module.toml", &module),
        ("machines/pi.toml", &with(&format!("size({l}.filter(a, {l}.all(b, a != b + 'x')))"))),
    ]);
    assert_eq!(said(root.path()).0, [0_u16; 0]);
}

#[test]
fn a_text_does_not_grow_without_end() {
    let mut module = "[options.\"t.a0\"]\ntype = \"string\"\ndoc = \"x\"\ndefault = \"aaaa\"\n".to_owned();
    for n in 1..=14 {
        let before = format!("${{t.a{}}}", n - 1).repeat(4);
        module += &format!("[options.\"t.a{n}\"]\ntype = \"string\"\ndoc = \"x\"\ndefault = \"{before}\"\n");
    }
    let machine = "configuration = [\"leaf\", \"t\"]\nhardware = \"pi\"\nperson = \"ada\"\n";
    let (codes, text) = said(domain(&[("modules/t/module.toml", &module), ("machines/pi.toml", machine)]).path());
    assert_eq!(codes, [211], "{text}");
    assert!(text.contains("it gives more than 256 KiB"), "{text}");
    let sum = module.replace("}${", " + ");
    let (codes, text) = said(domain(&[("modules/t/module.toml", &sum), ("machines/pi.toml", machine)]).path());
    assert_eq!(codes, [211], "{text}");
}

#[test]
fn a_secret_in_disguise_is_found_and_not_shown() {
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let escaped: String = seed.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let (left, right) = seed.split_at(29);
    let event = |id: &str, title: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/x\",\"type\":\"a.b\",\"data\":{{\"title\":\"{title}\"}}}}\n"
        )
    };
    let file = |text: &str| format!("+\n[settings.files.\"/etc/x\"]\ntext = \"{text}\"\n");
    let split =
        format!("+\n[settings.leaf]\nserver_name = \"${{'{left}' + machine.name.replace('pi', '') + '{right}'}}\"\n");
    for (path, text, place) in [
        ("machines/pi.toml", file(&format!("a\\n{seed}")), "machines/pi.toml:6:12"),
        ("machines/pi.toml", file(&format!("a\\t{seed}")), "machines/pi.toml:6:12"),
        ("machines/pi.toml", file(&format!("key{seed}")), "machines/pi.toml:6:12"),
        ("machines/pi.toml", file(&escaped), "machines/pi.toml:6:9"),
        ("machines/pi.toml", file(&format!("${{'{left}' + '{right}'}}")), "machines/pi.toml:6:12"),
        (
            "machines/pi.toml",
            file(&format!("${{'{left}'}}${{machine.name == 'x' ? 'y' : ''}}{right}")),
            "machines/pi.toml:6:8",
        ),
        (
            "machines/pi.toml",
            file(&format!("{left}\\u0020").replace("\\u0020", &format!("${{[''][0]}}{right}"))),
            "machines/pi.toml:6:8",
        ),
        ("machines/pi.toml", split.replace(".replace('pi', '')", " == 'x' ? '' : ''"), ""),
        ("events/a.jsonl", event("1", &format!("a\\n{seed}")), "events/a.jsonl:1:"),
        ("events/a.jsonl", event("1", &escaped), "events/a.jsonl:1:"),
        ("events/a.jsonl", event(&escaped, "a"), "events/a.jsonl:1:"),
    ] {
        let root = domain(&[(path, &text)]);
        let (report, sources) = judged(root.path());
        let shown = render(&report, &sources, Style::Plain);
        let data = json(&report, &sources);
        for hidden in [&*seed, &escaped, left, right] {
            assert!(!shown.contains(hidden) && !data.contains(hidden), "shown: {shown}");
        }
        if !place.is_empty() {
            assert!(report.diagnostics.iter().any(|found| found.code.0 == 601), "{path}: {shown}");
            assert!(shown.contains(&format!("--> {place}")), "{place}: {shown}");
        }
    }
}

#[test]
fn one_mistake_is_said_once() {
    let office = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("machines/office.toml")).unwrap();
    let domain = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("domain.toml")).unwrap();
    let unknown = format!("nonsense = 1\n{office}");
    let grammar = domain.replacen("{kind}.{domain}", "{kind}.{nope}", 1);
    let syntax = domain.replacen("[roles", "x = = 1\n[roles", 1);
    let lost = domain.replacen("[roles.operator]", "[roles.operator", 1);
    for (path, text, codes) in [
        ("machines/office.toml", &*unknown, &[12][..]),
        ("machines/office.toml", "", &[11, 11, 11]),
        ("domain.toml", &*grammar, &[501]),
        ("domain.toml", &*syntax, &[1]),
        ("domain.toml", &*lost, &[1]),
    ] {
        let (found, text) = said(example(&[(path, text)]).path());
        assert_eq!(found, codes, "{path}: {text}");
    }
    let root = example(&[]);
    fs::write(root.path().join("machines/office.toml"), b"\xff").unwrap();
    let (found, text) = said(root.path());
    assert_eq!(found, [2], "{text}");
}

#[test]
fn names_of_files_and_invisible_characters_do_not_steer_the_terminal() {
    let root = domain(&[("people/\u{1b}[31mx.toml", "nonsense = 1\n"), ("people/bom.toml", "\u{feff}ssh = []\n")]);
    let (_, text) = said(root.path());
    assert!(text.contains("--> people/\\u{1b}[31mx.toml"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{feff}'), "{text:?}");
}

#[test]
fn many_unknown_keys_are_each_said_once() {
    let keys: String = (0..20_000).map(|n| format!("unknown{n} = 1\n")).collect();
    let machine = fs::read_to_string(domain(&[]).path().join("machines/pi.toml")).unwrap();
    let (report, sources) = judged(domain(&[("machines/pi.toml", &(keys + &machine))]).path());
    assert_eq!(report.diagnostics.len(), 20_000);
    assert!(json(&report, &sources).contains("\"line\": 20000"));
}

#[test]
fn what_nobody_has_is_answered_by_what_is_near() {
    let root = example(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_leafwright"))
        .args(["build", "wbe", "--domain"])
        .arg(root.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("error: there is no machine wbe; write web\n"));
    let (codes, text) = said(
        domain(&[(
            "machines/pi.toml",
            "configuration = [\"leaf\"]\nhardware = \"../../etc/passwd\"\nperson = \"ada\"\n",
        )])
        .path(),
    );
    assert_eq!(codes, [20], "{text}");
    assert!(text.contains("hardware profile") && !text.contains("machine name"), "{text}");
}

/// Who asked for data and cannot have it hears of that; who has read enough does not.
#[test]
fn what_cannot_be_written_is_no_success() {
    let explain = |stdout: std::process::Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_leafwright"));
        let output = command.args(["explain", "LW0421"]).stdout(stdout).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, said) = explain(full.into());
    assert!(code == Some(4) && said.contains("cannot write to stdout: No space left"), "{code:?} {said}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(explain(writer.into()), (Some(0), String::new()));
}
