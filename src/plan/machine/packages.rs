//! Packages of the distribution: which of those that a closure names are missing, by the names that they have here.
//!
//! Refuses: removing one, and guessing on a distribution whose package manager nobody here knows.

use super::content::Content;
use super::model::{Act, MachineStep, Why};
use crate::compile::packages::{DeclaredPackage, option};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a machine says of its packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeenPackages {
    /// `ID` and `ID_LIKE` of /etc/os-release, the nearest first: `ubuntu`, `debian`.
    pub distribution: Vec<String>,
    /// Those of `names` that are installed; `None` where no package manager is known.
    pub installed: Option<BTreeSet<String>>,
}

/// What an observation must look at: every name that one of its packages has anywhere.
pub fn names(content: &Content) -> BTreeSet<String> {
    let packages = content.packages.iter();
    packages.flat_map(|package| package.names.values().chain([&package.name])).cloned().collect()
}

/// What is to be done for the packages of `content`: a step each, before all others.
pub fn steps(content: &Content, seen: Option<&SeenPackages>) -> Vec<MachineStep> {
    let Some(seen) = seen else { return vec![] };
    let wanted = called(&content.packages, &seen.distribution);
    match &seen.installed {
        Some(installed) => wanted.into_iter().filter(|(name, _)| !installed.contains(*name)).map(install).collect(),
        None => wanted.into_iter().map(|wanted| refusal(wanted, &seen.distribution)).collect(),
    }
}

/// Packages that are not installed, by the names that they have there; for whoever installs them elsewhere.
pub fn missing(content: &Content, seen: &SeenPackages) -> Vec<String> {
    let wanted = called(&content.packages, &seen.distribution).into_keys();
    let installed = |name: &&str| seen.installed.as_ref().is_some_and(|installed| installed.contains(*name));
    wanted.filter(|name| !installed(name)).map(str::to_owned).collect()
}

/// The name that each has on this distribution → the name that it was declared by.
fn called<'a>(packages: &'a [DeclaredPackage], distribution: &[String]) -> BTreeMap<&'a str, &'a str> {
    let name = |package: &'a DeclaredPackage| {
        let there = distribution.iter().find_map(|id| package.names.get(id));
        (there.unwrap_or(&package.name).as_str(), package.name.as_str())
    };
    packages.iter().map(name).filter(|(name, _)| !name.is_empty()).collect()
}

fn install((package, declared): (&str, &str)) -> MachineStep {
    let act = Act::Install { package: package.to_owned(), declared: declared.to_owned() };
    MachineStep { id: format!("package/{package}/install"), act, why: Why::NotInstalled }
}

fn refusal((package, declared): (&str, &str), distribution: &[String]) -> MachineStep {
    let here = distribution.first().map_or("linux", String::as_str);
    let act = Act::Refuse {
        path: format!("package {package}"),
        say: format!("packages of {here} are not supported: only dpkg and apt are known"),
        way_out: format!("install it by other means, and say so: {}.{here} = \"\"", option(declared)),
    };
    MachineStep { id: format!("package/{package}/refuse"), act, why: Why::NotInstalled }
}

#[cfg(test)]
mod tests {
    use super::super::render;
    use super::*;

    fn content(packages: &[(&str, &[(&str, &str)])]) -> Content {
        let package = |(name, names): &(&str, &[(&str, &str)])| DeclaredPackage {
            name: (*name).to_owned(),
            names: names.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect(),
        };
        Content { packages: packages.iter().map(package).collect(), ..Content::default() }
    }

    fn seen(distribution: &[&str], installed: Option<&[&str]>) -> SeenPackages {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        SeenPackages {
            distribution: owned(distribution),
            installed: installed.map(|words| owned(words).into_iter().collect()),
        }
    }

    fn sentences(content: &Content, seen: &SeenPackages) -> Vec<String> {
        steps(content, Some(seen)).iter().map(render::sentence).collect()
    }

    const DECLARED: &[(&str, &[(&str, &str)])] = &[
        ("chrony", &[]),
        ("dnsutils", &[("debian", "bind9-dnsutils"), ("fedora", "bind-utils")]),
        ("g++", &[("fedora", "")]),
    ];

    #[test]
    fn what_is_missing_is_installed_by_the_name_that_it_has_there() {
        let content = content(DECLARED);
        let one = "install package bind9-dnsutils, because it is not installed";
        // The nearest name counts: Ubuntu has none of its own here, and is like Debian.
        for distribution in [&["debian"][..], &["ubuntu", "debian"]] {
            assert_eq!(sentences(&content, &seen(distribution, Some(&["chrony", "g++", "dnsutils"]))), [one]);
        }
        let all = ["bind9-dnsutils", "chrony", "g++"].map(str::to_owned);
        assert_eq!(missing(&content, &seen(&["debian"], Some(&[]))), all);
        assert_eq!(sentences(&content, &seen(&["debian"], Some(&["chrony", "g++", "bind9-dnsutils"]))), [""; 0]);
        assert_eq!(steps(&content, None), []);
    }

    #[test]
    fn where_no_package_manager_is_known_it_is_refused_with_a_way_out() {
        let steps = steps(&content(DECLARED), Some(&seen(&["fedora"], None)));
        let Act::Refuse { way_out, .. } = &steps[0].act else { panic!("{steps:?}") };
        assert_eq!(way_out, "install it by other means, and say so: packages.dnsutils.fedora = \"\"");
        assert_eq!(
            sentences(&content(DECLARED), &seen(&["fedora"], None)),
            [
                "refused: package bind-utils stays as it is, because packages of fedora are not supported: only dpkg and apt are known",
                "refused: package chrony stays as it is, because packages of fedora are not supported: only dpkg and apt are known",
            ]
        );
        // Seen to otherwise, and said so.
        assert_eq!(sentences(&content(&[("g++", &[("fedora", "")])]), &seen(&["fedora"], None)), [""; 0]);
    }
}
