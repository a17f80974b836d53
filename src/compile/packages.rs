//! `packages.*`: packages of the distribution that a machine needs, as data that goes with the closure.
//!
//! Refuses: what is no name and could be read as an option or a pattern; and knowing which distribution the machine has.

use super::artefact::{Artefact, ArtefactKind};
use super::closure::artefact;
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::Machine;
use crate::resolve::val::path_key;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row of `packages.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeclaredPackage {
    /// As it was declared: `packages.<name>`. Its name wherever `names` has no other.
    pub name: String,
    /// By the `ID` of a distribution (os-release(5)); empty where none is needed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

/// The option of a package: where its declaration is looked for.
pub fn option(name: &str) -> String {
    format!("packages.{}", path_key(name))
}

/// `packages.json`, where there is anything in it.
pub fn of_machine(machine: &Machine, report: &mut Report) -> Option<Artefact> {
    let mut packages = vec![];
    let mut origins = vec![];
    for (name, names) in &machine.options.packages {
        let option = option(name);
        let origin = machine.origins.of(&option).unwrap_or(machine.origin);
        match judge(name, names) {
            Ok(()) => {
                packages.push(DeclaredPackage { name: name.clone(), names: names.clone() });
                origins.push(origin);
            }
            Err(bad) => {
                let fault = format!("`{}` is not {}", bad.text.escape_debug(), bad.what);
                report.push(Diagnostic::error(Code(707), origin, fault).help(bad.help));
            }
        }
    }
    let text = serde_json::to_string_pretty(&packages).unwrap_or_default();
    (!packages.is_empty()).then(|| artefact(ArtefactKind::Packages, "packages.json", text + "\n", origins))
}

struct Bad<'a> {
    text: &'a str,
    what: &'static str,
    help: &'static str,
}

fn judge<'a>(name: &'a str, names: &'a BTreeMap<String, String>) -> Result<(), Bad<'a>> {
    let called = names.values().map(String::as_str).filter(|name| !name.is_empty());
    let bad = std::iter::once(name).chain(called).find(|name| !is_package(name));
    if let Some(text) = bad {
        let help = "a name such as `chrony`, without version, suite or architecture";
        return Err(Bad { text, what: "the name of a package", help });
    }
    match names.keys().find(|id| !is_distribution(id)) {
        Some(text) => {
            let help = "the `ID` that /etc/os-release says there, such as `debian`";
            Err(Bad { text, what: "the ID of a distribution", help })
        }
        None => Ok(()),
    }
}

/// What the package managers of most distributions take as a name. A `-` at the end would ask apt to remove it.
fn is_package(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && !text.ends_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
}

/// os-release(5): lower-case letters, digits, `.`, `_` and `-`.
fn is_distribution(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    !text.is_empty() && text.chars().all(plain)
}
