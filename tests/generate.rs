//! The bench's domain: the same bytes each time, and as large as the benches say.

#[path = "common/generate.rs"]
mod generate;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn read(directory: &Path, files: &mut BTreeMap<String, String>, root: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(&path, files, root);
        } else {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).expect("text"));
        }
    }
}

fn generated(count: usize) -> BTreeMap<String, String> {
    let root = tempfile::tempdir().expect("a temporary directory");
    generate::domain(root.path(), count).expect("it is written");
    let mut files = BTreeMap::new();
    read(root.path(), &mut files, root.path());
    files
}

#[test]
fn the_same_count_gives_the_same_bytes() {
    assert_eq!(generated(40), generated(40));
}

#[test]
fn every_machine_is_there_with_its_sixty_lines() {
    let files = generated(40);
    for number in 0..40 {
        let text = &files[&format!("machines/{}.toml", generate::name(number))];
        assert_eq!(text.lines().count(), generate::LINES);
    }
    assert_eq!(files.keys().filter(|path| path.starts_with("machines/")).count(), 43);
}

#[test]
fn the_domain_is_sound() {
    let root = tempfile::tempdir().expect("a temporary directory");
    generate::domain(root.path(), 40).expect("it is written");
    let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_leafwright"));
    let output = check.arg("check").arg("--domain").arg(root.path()).output().expect("leafwright runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
