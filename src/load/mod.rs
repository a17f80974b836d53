//! The files of a domain, from the disk: its root, its texts in path order, and the standard modules.
//!
//! Refuses: judging what it reads (a file that is not text, or that nothing reads, is `declare`'s to report), reading
//! what is no file, is too large or lies outside the tree, and following a link that leads back to where it came from.

use crate::declare::{Expected, STANDARD, expected};
use crate::diag::Sources;
use anyhow::{Context as _, Result};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// No declaration that a person wrote is larger.
const LARGEST: u64 = 16 << 20;
/// Event sets are written by programs; places in a file are counted in 32 bits.
const LARGEST_EVENTS: u64 = 2 << 30;

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
    let real = fs::canonicalize(root).with_context(|| format!("cannot read {}", root.display()))?;
    let mut walk = Walk { root: &real, above: vec![], found: vec![] };
    for name in FOLDERS.into_iter().chain(["domain.toml"]) {
        let place = real.join(name);
        match fs::symlink_metadata(&place) {
            Ok(at) if at.is_file() == (name == "domain.toml") || at.is_symlink() => {
                walk.entry(&place, name.to_owned(), at.file_type())?;
            }
            Ok(at) if at.is_file() => walk.refuse(name.to_owned(), "is a file, and has to be a directory"),
            // A fifo of that name is no folder, and without any there is none.
            _ => {}
        }
    }
    let mut found = walk.found;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let read: Vec<Result<Content>> = found.par_iter().with_min_len(32).map(|found| content(&real, found)).collect();
    let mut sources = Sources::default();
    standard(&found, &mut sources);
    for (found, content) in found.into_iter().zip(read) {
        match content? {
            Content::Bytes(bytes) => drop(sources.add_bytes(found.path, bytes)),
            Content::Refused(why) => drop(sources.add_refused(found.path, why)),
        }
    }
    Ok(sources)
}

struct Found {
    path: String,
    expected: Expected,
    /// Why it is not looked at.
    refused: Option<String>,
}

enum Content {
    Bytes(Vec<u8>),
    Refused(String),
}

fn content(root: &Path, found: &Found) -> Result<Content> {
    if let Some(why) = &found.refused {
        return Ok(Content::Refused(why.clone()));
    }
    if found.expected != Expected::Read {
        return Ok(Content::Bytes(vec![]));
    }
    let largest = if found.path.ends_with(".jsonl") { LARGEST_EVENTS } else { LARGEST };
    let say = || format!("cannot read {}", found.path);
    let file = fs::File::open(root.join(&found.path)).with_context(say)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata().with_context(say)?.len().min(largest))?);
    file.take(largest + 1).read_to_end(&mut bytes).with_context(say)?;
    if bytes.len() as u64 > largest {
        return Ok(Content::Refused(format!("is larger than {} MiB", largest >> 20)));
    }
    Ok(Content::Bytes(bytes))
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

/// Collects what lies below the root.
struct Walk<'r> {
    /// The real path of the domain's root.
    root: &'r Path,
    /// The real paths of the directories that led here.
    above: Vec<PathBuf>,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, path: &str) -> Result<()> {
        let entries = fs::read_dir(directory).with_context(|| format!("cannot list {path}"))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {path}"))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with('.') {
                let path = format!("{path}/{name}");
                let kind = entry.file_type().with_context(|| format!("cannot read {path}"))?;
                self.entry(&entry.path(), path, kind)?;
            }
        }
        Ok(())
    }

    /// `kind` is the entry's own: only links are asked where they lead.
    fn entry(&mut self, place: &Path, path: String, mut kind: fs::FileType) -> Result<()> {
        if kind.is_symlink() {
            kind = match fs::metadata(place) {
                Ok(at) => at.file_type(),
                Err(fault) if fault.kind() == ErrorKind::NotFound => {
                    if expected(&path) != Expected::Ignored {
                        self.refuse(path, "is a link that leads nowhere");
                    }
                    return Ok(());
                }
                Err(fault) => return Err(fault).with_context(|| format!("cannot read {path}")),
            };
            let real = fs::canonicalize(place).with_context(|| format!("cannot read {path}"))?;
            if !real.starts_with(self.root) && expected(&path) != Expected::Ignored {
                self.refuse(path, OUTSIDE);
                return Ok(());
            }
        }
        if kind.is_dir() && expected(&path) == Expected::Read {
            self.refuse(path, "is a directory, and has to be a file");
            return Ok(());
        }
        if kind.is_dir() {
            return self.folder(place, &path);
        }
        match expected(&path) {
            Expected::Ignored => {}
            _ if !kind.is_file() => self.refuse(path, "is no regular file"),
            expected => self.found.push(Found { path, expected, refused: None }),
        }
        Ok(())
    }

    fn folder(&mut self, place: &Path, path: &str) -> Result<()> {
        // Test cases of a module hold domains of their own.
        if path.starts_with("modules/") && (path.ends_with("/cases") || path.ends_with("/tests")) {
            return Ok(());
        }
        let real = fs::canonicalize(place).with_context(|| format!("cannot read {path}"))?;
        if self.above.contains(&real) {
            anyhow::bail!("{path} is a link that leads back to a directory above it");
        }
        self.above.push(real);
        self.directory(place, path)?;
        self.above.pop();
        Ok(())
    }

    fn refuse(&mut self, path: String, why: &str) {
        self.found.push(Found { path, expected: Expected::Unexpected, refused: Some(why.to_owned()) });
    }
}

const OUTSIDE: &str = "is a link that leads out of the domain's directory";

#[cfg(test)]
mod tests;
