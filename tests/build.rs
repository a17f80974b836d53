//! `leafwright build` on the committed tree: without a key, the same bytes in any directory, with any number of threads, in any environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn build(domain: &Path, out: &Path, environment: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
    command.args(["build", "--all", "--domain"]).arg(domain).arg("--out").arg(out).env_clear();
    let output = command.envs(environment.iter().copied()).output().expect("leafwright runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let way_out =
        "rm -r identity, then `leafwright keys init` and `leafwright keys sign` with a store outside the tree";
    assert!(output.status.success(), "{said}\nif the identity is behind the declarations: {way_out}");
}

/// Path → content of everything below.
fn content(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(directory: &Path, below: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), &path, found),
                false => drop(found.insert(path, fs::read(entry.path()).unwrap())),
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(directory, "", &mut found);
    found
}

fn copy(from: &Path, to: &Path) {
    for (path, bytes) in content(from) {
        let target = to.join(path.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, bytes).unwrap();
    }
}

fn copy_domain(from: &Path, to: &Path) {
    for part in ["machines", "modules", "hardware", "people", "events", "contracts", "identity"] {
        copy(&from.join(part), &to.join(part));
    }
    fs::copy(from.join("domain.toml"), to.join("domain.toml")).unwrap();
}

#[test]
fn the_committed_domain_builds_to_the_same_bytes_anywhere_and_holds_no_secret() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = directory.path().join("else where");
    copy_domain(root, &elsewhere);
    let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
    build(root, &one, &[("RAYON_NUM_THREADS", "1")]);
    build(
        &elsewhere,
        &two,
        &[("RAYON_NUM_THREADS", "2"), ("TZ", "Asia/Tokyo"), ("LANG", "tr_TR.UTF-8"), ("HOME", "/nowhere")],
    );
    let (one, two) = (content(&one), content(&two));
    assert!(one.len() > 80, "only {} files were built", one.len());
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert_eq!(bytes, &two[path], "{path}");
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains("PRIVATE KEY"), "{path} holds a private key");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let seeds =
            words.filter(|word| word.len() == 58 && word.starts_with('S') && nkeys::KeyPair::from_seed(word).is_ok());
        assert_eq!(seeds.count(), 0, "{path} holds a seed");
    }
}

#[test]
fn check_says_what_is_missing_extra_and_different() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("office");
    let leafwright = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        command.args(["build", "office", "--domain"]).arg(root).arg("--out").arg(&out).args(more).output().unwrap()
    };
    assert!(leafwright(&[]).status.success());
    assert!(leafwright(&["--check"]).status.success());
    fs::remove_file(out.join("credentials.json")).unwrap();
    fs::write(out.join("notes"), "x").unwrap();
    fs::write(out.join("manifest.json"), "{}").unwrap();
    let output = leafwright(&["--check"]);
    let said = String::from_utf8(output.stdout).unwrap().replace(&format!("{}/", out.display()), "");
    assert_eq!(said, "missing    credentials.json\ndifferent  manifest.json\nextra      notes\n");
    assert_eq!(output.status.code(), Some(3));
}

/// `check` compiles nothing, so nobody else would ever show it.
#[test]
fn a_warning_that_only_compiling_finds_is_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    copy_domain(root, directory.path());
    fs::remove_file(directory.path().join("machines/thermo.toml")).unwrap();
    fs::remove_file(directory.path().join("events/sensors.jsonl")).unwrap();
    let leafwright = |verb: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        let output = command.args(verb).arg("--domain").arg(directory.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(leafwright(&["check"]), (Some(0), "the domain is sound\n".to_owned()));
    let (code, said) = leafwright(&["build", "--all"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("warning[LW0611]: identity is behind the declarations"), "{said}");
    assert!(said.contains("is not declared any more"), "{said}");
    assert!(!said.contains("see `leafwright check`"), "{said}");
    // A machine alone is in nobody's way, and nobody in its.
    let (code, said) = leafwright(&["build", "desk"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

/// `keys sign` may be killed between writing and renaming.
#[test]
fn what_a_killed_signature_left_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    copy_domain(Path::new(env!("CARGO_MANIFEST_DIR")), directory.path());
    fs::write(directory.path().join("identity/system-account.jwt.new"), "ey").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_leafwright")).args(["check", "--domain"]).arg(directory.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
