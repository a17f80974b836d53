//! The dependency policy of `deny.toml`: licences, sources, and no crate twice without a reason.
//!
//! It judges what `cargo metadata` says of `Cargo.lock`; it does not look for advisories, which needs a database.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

struct Policy {
    licenses: BTreeSet<String>,
    registries: BTreeSet<String>,
    /// `name@version`
    twice: BTreeSet<String>,
}

fn policy(text: &str) -> Policy {
    let table: toml::Table = text.parse().expect("deny.toml is TOML");
    let words = |value: &toml::Value| value.as_str().expect("a string").to_owned();
    let list = |table: &toml::Value, key: &str| -> BTreeSet<String> {
        table[key].as_array().expect("a list").iter().map(words).collect()
    };
    let skip = table["bans"]["skip"].as_array().expect("a list").iter();
    Policy {
        licenses: list(&table["licenses"], "allow"),
        registries: list(&table["sources"], "allow-registry"),
        twice: skip.map(|entry| words(&entry["crate"])).collect(),
    }
}

/// Is the SPDX expression satisfied by the allowed licences? `OR` needs one side, `AND` both; `/` is an old `OR`.
fn allowed(expression: &str, licenses: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, licenses) && rest.is_empty()
}

fn either(words: &mut &[&str], licenses: &BTreeSet<String>) -> bool {
    let mut holds = both(words, licenses);
    while let Some(("OR", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) {
        *words = rest;
        holds |= both(words, licenses);
    }
    holds
}

fn both(words: &mut &[&str], licenses: &BTreeSet<String>) -> bool {
    let mut holds = one(words, licenses);
    while let Some(("AND", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) {
        *words = rest;
        holds &= one(words, licenses);
    }
    holds
}

/// A licence, maybe `WITH` an exception (which only ever allows more), or a group in parentheses.
fn one(words: &mut &[&str], licenses: &BTreeSet<String>) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    *words = rest;
    if *first == "(" {
        let holds = either(words, licenses);
        let closed = words.first() == Some(&")");
        *words = words.get(1..).unwrap_or_default();
        return holds && closed;
    }
    if words.first() == Some(&"WITH") {
        *words = words.get(2..).unwrap_or_default();
    }
    licenses.contains(*first)
}

fn faults(metadata: &Value, policy: &Policy) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    let mut faults = vec![];
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        let (name, version) = (package["name"].as_str().unwrap_or(""), package["version"].as_str().unwrap_or(""));
        versions.entry(name).or_default().push(version);
        // The crate itself has no source; another path dependency is not from a registry.
        let registry = package["source"].as_str().and_then(|source| source.strip_prefix("registry+"));
        if name != "leafwright" && !registry.is_some_and(|registry| policy.registries.contains(registry)) {
            faults.push(format!("{name} {version} comes from {}", package["source"]));
        }
        if !package["license"].as_str().is_some_and(|license| allowed(license, &policy.licenses)) {
            faults.push(format!("{name} {version} has the licence {}", package["license"]));
        }
    }
    let mut needed = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let listed: Vec<String> =
            versions.iter().map(|v| format!("{name}@{v}")).filter(|id| policy.twice.contains(id)).collect();
        if listed.len() + 1 < versions.len() {
            faults.push(format!("{name} is there in versions {}", versions.join(", ")));
        }
        needed.extend(listed);
    }
    faults.extend(policy.twice.difference(&needed).map(|id| format!("deny.toml skips {id} without need")));
    faults
}

#[test]
fn the_dependencies_keep_the_policy() {
    let root = env!("CARGO_MANIFEST_DIR");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // One platform, so that the answer is the same everywhere.
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let output = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(platform)
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = std::fs::read_to_string(format!("{root}/deny.toml")).expect("deny.toml");
    let faults = faults(&metadata, &policy(&text));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let licenses = ["MIT", "ISC", "Apache-2.0"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND Zlib", false),
        ("GPL-3.0-only OR MIT AND Zlib", false),
        ("Apache-2.0 WITH LLVM-exception OR Zlib", true),
        ("", false),
        ("MIT MIT", false),
        ("(MIT", false),
    ] {
        assert_eq!(allowed(expression, &licenses), expected, "{expression}");
    }
}

#[test]
fn what_the_policy_forbids_is_found() {
    let policy = policy(
        "[licenses]\nallow = [\"MIT\"]\n[sources]\nallow-registry = [\"https://r\"]\n\
         [bans]\nskip = [{ crate = \"old@1.0.0\" }, { crate = \"gone@1.0.0\" }]\n",
    );
    let package = |name: &str, version: &str, license: &str, source: &str| serde_json::json!({ "name": name, "version": version, "license": license, "source": source });
    let metadata = serde_json::json!({ "packages": [
        package("old", "1.0.0", "MIT", "registry+https://r"),
        package("old", "2.0.0", "MIT", "registry+https://r"),
        package("twice", "1.0.0", "MIT", "registry+https://r"),
        package("twice", "2.0.0", "MIT", "registry+https://r"),
        package("bound", "1.0.0", "GPL-3.0-only", "registry+https://r"),
        package("forked", "1.0.0", "MIT", "git+https://g"),
    ]});
    let found = faults(&metadata, &policy).join("\n");
    for expected in ["twice is there", "bound 1.0.0 has", "forked 1.0.0 comes from", "gone@1.0.0 without need"] {
        assert!(found.contains(expected), "{expected} is not in:\n{found}");
    }
    assert!(!found.contains("old"), "{found}");
}
