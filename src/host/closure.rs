//! Closures on disk: written whole beside their place, synced once, renamed; switched by one symbolic link.
//!
//! Refuses: changing a closure that is there. Its name is its content.

#[cfg(feature = "world")]
use super::disk;
use crate::compile::Closure;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
#[cfg(feature = "world")]
use std::os::unix::fs::symlink;
use std::path::Path;
#[cfg(feature = "world")]
use std::path::PathBuf;

/// `<digest>-<name>`
pub fn directory_name(closure: &Closure) -> String {
    format!("{}-{}", closure.digest, closure.name)
}

/// Writes the closure's content and its manifest into `directory`, which must be empty or absent.
pub fn write_content(closure: &Closure, manifest: &str, directory: &Path) -> Result<()> {
    let mut made = BTreeSet::new();
    let files =
        closure.artefacts.iter().map(|artefact| (artefact.path.as_str(), artefact.mode, artefact.bytes.as_slice()));
    for (path, mode, bytes) in files.chain([("manifest.json", 0o644, manifest.as_bytes())]) {
        let target = directory.join(path);
        let parent = target.parent().unwrap_or(directory);
        if made.insert(parent.to_owned()) {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let say = || format!("cannot write {}", target.display());
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&target).with_context(say)?;
        file.write_all(bytes).with_context(say)?;
    }
    Ok(())
}

/// How a file differs from what the closure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Missing,
    Extra,
    Different,
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            How::Missing => "missing",
            How::Extra => "extra",
            How::Different => "different",
        })
    }
}

/// Paths below `directory` that are missing, too many, or other than the closure says; sorted.
pub fn differences(closure: &Closure, manifest: &str, directory: &Path) -> Result<BTreeMap<String, How>> {
    let files = closure.artefacts.iter().map(|artefact| (artefact.path.as_str(), artefact.bytes.as_slice()));
    let wanted: BTreeMap<&str, &[u8]> = files.chain([("manifest.json", manifest.as_bytes())]).collect();
    let mut differing = BTreeMap::new();
    for (path, bytes) in &wanted {
        match fs::read(directory.join(path)) {
            Ok(there) if there == *bytes => {}
            Ok(_) => drop(differing.insert((*path).to_owned(), How::Different)),
            Err(_) => drop(differing.insert((*path).to_owned(), How::Missing)),
        }
    }
    let present = list(directory)?.into_iter().filter(|(_, is)| !is.is_dir()).map(|(path, _)| path);
    differing.extend(present.filter(|path| !wanted.contains_key(path.as_str())).map(|path| (path, How::Extra)));
    Ok(differing)
}

/// Everything below `directory` as it is, links not followed; nothing where there is no directory.
pub fn list(directory: &Path) -> Result<BTreeMap<String, Metadata>> {
    let mut found = BTreeMap::new();
    if directory.is_dir() {
        list_into(directory, "", &mut found)?;
    }
    Ok(found)
}

fn list_into(directory: &Path, below: &str, found: &mut BTreeMap<String, Metadata>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        let is = entry.metadata().with_context(|| format!("cannot look at {}", entry.path().display()))?;
        if is.is_dir() {
            list_into(&entry.path(), &format!("{path}/"), found)?;
        }
        found.insert(path, is);
    }
    Ok(())
}

#[cfg(feature = "world")]
/// Puts the closure into the store, if it is not there, and returns its directory. One syncfs for all of its files.
pub fn put(store: &Path, closure: &Closure, manifest: &str) -> Result<PathBuf> {
    let name = directory_name(closure);
    let target = store.join(&name);
    if !target.is_dir() {
        let beside = beside(store, &name, |beside| write_content(closure, manifest, beside))?;
        fs::rename(&beside, &target).with_context(|| format!("cannot place {}", target.display()))?;
        disk::sync_directory(store)?;
    }
    Ok(target)
}

#[cfg(feature = "world")]
/// Has `fill` write an entry of the store beside its place, and syncs it, once; whoever calls renames it.
pub fn beside(store: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    fs::create_dir_all(store).with_context(|| format!("cannot make {}", store.display()))?;
    let beside = store.join(format!(".new-{name}"));
    if beside.exists() {
        disk::remove_tree(&beside)?;
    }
    fill(&beside)?;
    let directory = File::open(store)?;
    rustix::fs::syncfs(&directory).with_context(|| format!("cannot sync {}", store.display()))?;
    Ok(beside)
}

#[cfg(feature = "world")]
/// Makes `link` point at `target` in one step.
pub fn switch(link: &Path, target: &Path) -> Result<()> {
    let beside = link.with_extension("new");
    let _old = fs::remove_file(&beside);
    symlink(target, &beside).with_context(|| format!("cannot link {}", beside.display()))?;
    fs::rename(&beside, link).with_context(|| format!("cannot switch {}", link.display()))?;
    disk::sync_directory(link.parent().unwrap_or(Path::new("/")))
}
