//! The files of a domain, from the disk: its root, its texts in path order, and the standard modules.
//!
//! Refuses: judging what it reads (a file that is not text, or that nothing reads, is `declare`'s to report),
//! and following a link that leads back to where it came from.

use crate::declare::{Expected, STANDARD, expected};
use crate::diag::Sources;
use anyhow::{Context as _, Result};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The standard modules, as (path, text).
const MODULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The folders of a domain, in path order. `domain.toml` stands between `contracts` and `events`, where its path puts it.
const FOLDERS: [&str; 7] = ["contracts", "events", "hardware", "identity", "machines", "modules", "people"];

/// The nearest directory at or above `from` that has a `domain.toml`.
pub fn root(from: &Path) -> Option<PathBuf> {
    from.ancestors().find(|directory| directory.join("domain.toml").is_file()).map(Path::to_path_buf)
}

/// Everything that the domain's root holds, and the standard modules that it does not shadow.
pub fn domain(root: &Path) -> Result<Sources> {
    let mut found = vec![];
    if root.join("domain.toml").exists() {
        found.push(Found { path: "domain.toml".to_owned(), expected: Expected::Read });
    }
    for folder in FOLDERS {
        let directory = root.join(folder);
        if directory.is_dir() {
            walk(&directory, folder, &mut vec![], &mut found)?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let read: Vec<Result<Vec<u8>>> = found.par_iter().with_min_len(32).map(|found| content(root, found)).collect();
    let mut sources = Sources::default();
    standard(&found, &mut sources);
    for (found, bytes) in found.into_iter().zip(read) {
        sources.add_bytes(found.path, bytes?);
    }
    Ok(sources)
}

struct Found {
    path: String,
    expected: Expected,
}

fn content(root: &Path, found: &Found) -> Result<Vec<u8>> {
    match found.expected {
        Expected::Read => fs::read(root.join(&found.path)).with_context(|| format!("cannot read {}", found.path)),
        Expected::Ignored | Expected::Unexpected => Ok(vec![]),
    }
}

/// The standard modules come first, except those of which the root has its own (or, in our repository, the very same).
fn standard(found: &[Found], sources: &mut Sources) {
    let own: BTreeSet<&str> =
        found.iter().filter_map(|found| found.path.strip_prefix("modules/")?.split('/').next()).collect();
    for (path, text) in MODULES {
        let module = path.split('/').nth(1).unwrap_or_default();
        if !own.contains(module) {
            sources.add(format!("{STANDARD}{path}"), *text);
        }
    }
}

/// Collects the files below `directory`; `above` holds the real paths of the linked directories that led here.
fn walk(directory: &Path, path: &str, above: &mut Vec<PathBuf>, found: &mut Vec<Found>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {path}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {path}"))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{path}/{name}");
        let mut kind = entry.file_type().with_context(|| format!("cannot read {path}"))?;
        let linked = kind.is_symlink();
        if linked {
            kind = fs::metadata(entry.path()).with_context(|| format!("{path} links to nothing"))?.file_type();
        }
        if kind.is_dir() {
            folder(&entry.path(), &path, above, found)?;
        } else {
            match expected(&path) {
                Expected::Ignored => {}
                expected => found.push(Found { path, expected }),
            }
        }
    }
    Ok(())
}

fn folder(directory: &Path, path: &str, above: &mut Vec<PathBuf>, found: &mut Vec<Found>) -> Result<()> {
    // Test cases of a module hold domains of their own.
    if path.starts_with("modules/") && (path.ends_with("/cases") || path.ends_with("/tests")) {
        return Ok(());
    }
    let real = fs::canonicalize(directory).with_context(|| format!("cannot read {path}"))?;
    if above.contains(&real) {
        anyhow::bail!("{path} is a link that leads back to a directory above it");
    }
    above.push(real);
    walk(directory, path, above, found)?;
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests;
