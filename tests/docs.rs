//! The documents, held to what is there: links lead somewhere, named files exist, excerpts are the files' own text.
//!
//! The pages of `docs/codes/` are run by the test of the diagnostics; here only their links are followed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every `*.md` of the repository, outside of what is built or fetched.
fn documents() -> Vec<PathBuf> {
    let (mut found, mut open) = (vec![], vec![root().to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match path.is_dir() {
                true if name.starts_with('.') || name == "target" => {}
                true => open.push(path),
                false if name.ends_with(".md") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// The targets of `[text](target)` outside of fenced blocks.
fn links(text: &str) -> Vec<String> {
    let plain: String = text.split("```").step_by(2).collect();
    let targets = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.split('#').next().unwrap_or_default().to_owned()).collect()
}

/// Paths in backquotes that are meant as files of this repository: those under a directory that it has.
fn named_files(text: &str) -> Vec<String> {
    let tops = ["src/", "tests/", "docs/", "examples/", "templates/", "modules/", ".ci/"];
    let plain: String = text.split("```").step_by(2).collect();
    let quoted = plain.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| tops.iter().any(|top| word.starts_with(top)) && !word.contains(['<', '*', ' ', '…']);
    let is_pattern = |word: &&str| word.contains("nnnn");
    quoted.filter(is_path).filter(|word| !is_pattern(word)).map(str::to_owned).collect()
}

/// Fenced blocks that are headed by a line such as "`machines/office.toml`:", with the file they are an excerpt of.
fn excerpts(text: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut parts = text.split("```");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let heading = before.trim_end().lines().last().unwrap_or_default();
        if let Some(path) = heading.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            let body = block.split_once('\n').map_or("", |(_, body)| body);
            found.push((path.to_owned(), body.to_owned()));
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file() {
    let mut faults = vec![];
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document is text");
        let here = document.parent().expect("it is in a directory");
        for target in links(&text).iter().filter(|target| !target.is_empty() && !target.contains("://")) {
            if !here.join(target).exists() {
                faults.push(format!("{}: {target} leads nowhere", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_that_the_map_names_exists() {
    let mut faults = vec![];
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let files = named_files(&read(document));
        faults.extend(
            files.into_iter().filter(|path| !root().join(path).exists()).map(|path| format!("{document}: {path}")),
        );
    }
    assert!(named_files(&read("ARCHITECTURE.md")).len() > 20, "the map names files");
    assert!(faults.is_empty(), "these do not exist:\n{}", faults.join("\n"));
}

#[test]
fn excerpts_are_the_text_of_the_files() {
    let domain = format!("`domain.toml`:\n\n```toml\n{}```", read("domain.toml"));
    assert!(read("README.md").contains(&domain), "README.md shows all of domain.toml, as it is");
    let excerpts = excerpts(&read("README.md"));
    assert!(excerpts.len() >= 6, "the README shows the declarations, and not {} of them", excerpts.len());
    for (path, body) in excerpts {
        assert!(read(&path).contains(&body), "README.md shows text of {path} that is not in it:\n{body}");
    }
}

/// Every variable that a service is given is told of, and none that it is not given.
#[test]
fn the_environment_of_a_service_is_as_its_page_says() {
    let page = read("docs/services.md");
    let code =
        read("src/compile/environment.rs") + &read("src/compile/machine.rs") + &read("src/foreground/services.rs");
    let code = code + "LEAFWRIGHT_SUBJECT_";
    let names = |text: &str| -> std::collections::BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let ours = |word: &&str| word.starts_with("LEAFWRIGHT_") || word.starts_with("NATS_");
        words.filter(ours).map(|word| word.trim_end_matches('_').to_owned()).collect()
    };
    let given = names(&code);
    assert!(given.len() > 10, "{given:?}");
    for name in &given {
        assert!(page.contains(name.as_str()), "docs/services.md does not tell of {name}");
    }
    for name in names(&page) {
        assert!(given.iter().any(|given| name.starts_with(given.as_str())), "no service is given {name}");
    }
}

#[test]
fn the_map_fits_in_the_head() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "ARCHITECTURE.md has {lines} lines, and 200 at most");
}

#[test]
fn every_module_and_decision_has_its_page() {
    for entry in fs::read_dir(root().join("modules")).expect("modules/") {
        let module = entry.expect("an entry").path();
        assert!(module.join("README.md").exists(), "{} has no README.md", module.display());
    }
    let index = read("docs/decisions/README.md");
    for entry in fs::read_dir(root().join("docs/decisions")).expect("docs/decisions/") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the index");
    }
}

/// What the flake takes into a build must be there: a missing path fails only when somebody evaluates it.
#[test]
fn the_paths_of_the_flake_exist() {
    let text = read("flake.nix");
    let words = text.split(|c: char| c.is_whitespace() || "()[];".contains(c));
    let paths: Vec<&str> = words.filter(|word| word.starts_with("./") && word.len() > 2).collect();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths.into_iter().filter(|path| !["./.", "./identity"].contains(path)) {
        assert!(root().join(path).exists(), "flake.nix names {path}, which does not exist");
    }
}

/// The verbs that the README shows, tried for their help.
#[test]
fn every_verb_of_the_readme_exists() {
    let text = read("README.md");
    let verbs = text.split("`leafwright ").skip(1).filter_map(|rest| rest.split([' ', '`']).next());
    let verbs: std::collections::BTreeSet<&str> = verbs.collect();
    assert!(verbs.len() >= 6, "{verbs:?}");
    let missing = |verb: &&str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_leafwright")).args([verb, "--help"]).output().expect("leafwright runs");
        !output.status.success()
    };
    // Without the feature `world` the verbs that touch servers are not there.
    let pure = ["check", "build", "explain", "hardware"];
    let missing: Vec<&str> =
        verbs.into_iter().filter(|verb| cfg!(feature = "world") || pure.contains(verb)).filter(missing).collect();
    assert!(missing.is_empty(), "the README shows verbs that do not exist: {missing:?}");
}

#[test]
fn the_readers_find_what_is_wrong() {
    assert_eq!(links("[a](b.md#c) ```[x](y)``` [d](https://e)"), ["b.md", "https://e"]);
    assert_eq!(
        named_files("`src/a.rs` `other` `docs/codes/LWnnnn.md` ```\n`src/b.rs`\n``` `modules/<m>/x`"),
        ["src/a.rs"]
    );
    assert_eq!(
        excerpts("text\n\n`a.toml`:\n\n```toml\nx = 1\n```\n\n```sh\nls\n```\n"),
        [("a.toml".into(), "x = 1\n".into())]
    );
}

/// The page of options is made of the table that the resolver reads: `UPDATE=1` writes it.
#[test]
fn the_page_of_options_is_the_table() {
    let made = leafwright::resolve::reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join("docs/options.md"), &made).unwrap();
    }
    assert!(read("docs/options.md") == made, "docs/options.md is not what the table says: UPDATE=1 rewrites it");
    assert!(made.lines().filter(|line| line.starts_with("| `")).count() > 100);
}
