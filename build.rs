//! Lists what ships inside the binary: the pages of the diagnostic codes and the standard modules.
//!
//! Refuses: judging them; tests do. A new page or module needs no line of code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=docs/codes");
    println!("cargo::rerun-if-changed=modules");
    fs::write(out.join("codes.rs"), codes(&root)).expect("the output directory can be written");
    fs::write(out.join("modules.rs"), modules(&root)).expect("the output directory can be written");
}

/// The names in a directory, sorted; none if there is no such directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn include(path: &str) -> String {
    format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{path}\"))")
}

/// `docs/codes/LW0012.md` with the first line `# LW0012: unknown key` is the row (12, "unknown key", its text).
fn codes(root: &Path) -> String {
    let mut table = String::from("&[\n");
    for name in names(&root.join("docs/codes")) {
        let Some(number) = name.strip_prefix("LW").and_then(|name| name.strip_suffix(".md")) else { continue };
        let number: u16 =
            number.parse().unwrap_or_else(|_| panic!("docs/codes/{name} is not named LW and four digits"));
        let path = format!("docs/codes/{name}");
        let text = fs::read_to_string(root.join(&path)).expect("a page can be read");
        let first = text.lines().next().unwrap_or_default();
        let title = first.strip_prefix(&format!("# LW{number:04}: "));
        let title = title.unwrap_or_else(|| panic!("{path} must begin with `# LW{number:04}: `"));
        writeln!(table, "    (Code({number}), {title:?}, {}),", include(&path)).expect("a string can be written");
    }
    table + "]\n"
}

/// Every `module.toml` and template below `modules/`.
fn modules(root: &Path) -> String {
    let mut table = String::from("&[\n");
    for module in names(&root.join("modules")) {
        for file in names(&root.join("modules").join(&module)) {
            if file == "module.toml" || file.ends_with(".tera") {
                let path = format!("modules/{module}/{file}");
                writeln!(table, "    ({path:?}, {}),", include(&path)).expect("a string can be written");
            }
        }
    }
    table + "]\n"
}
