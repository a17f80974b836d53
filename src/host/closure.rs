//! Closures on disk: written whole beside their place, synced once, renamed; switched by one symbolic link.
//!
//! Refuses: changing a closure that is there. Its name is its content.

use crate::compile::Closure;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
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

/// Paths below `directory` that are missing, too many, or other than the closure says; sorted.
pub fn differences(closure: &Closure, manifest: &str, directory: &Path) -> Result<Vec<String>> {
    let files = closure.artefacts.iter().map(|artefact| (artefact.path.as_str(), artefact.bytes.as_slice()));
    let wanted: BTreeMap<&str, &[u8]> = files.chain([("manifest.json", manifest.as_bytes())]).collect();
    let mut differing: BTreeSet<String> = BTreeSet::new();
    for (path, bytes) in &wanted {
        if !fs::read(directory.join(path)).is_ok_and(|there| there == *bytes) {
            differing.insert((*path).to_owned());
        }
    }
    let mut present = Vec::new();
    list(directory, "", &mut present)?;
    differing.extend(present.into_iter().filter(|path| !wanted.contains_key(path.as_str())));
    Ok(differing.into_iter().collect())
}

fn list(directory: &Path, below: &str, found: &mut Vec<String>) -> Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(feature = "world")]
/// Puts the closure into the store, if it is not there, and returns its directory. One syncfs for all of its files.
pub fn put(store: &Path, closure: &Closure, manifest: &str) -> Result<PathBuf> {
    let target = store.join(directory_name(closure));
    if target.is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(store).with_context(|| format!("cannot make {}", store.display()))?;
    let beside = store.join(format!(".new-{}", directory_name(closure)));
    if beside.exists() {
        fs::remove_dir_all(&beside).with_context(|| format!("cannot clear {}", beside.display()))?;
    }
    write_content(closure, manifest, &beside)?;
    let directory = File::open(store)?;
    rustix::fs::syncfs(&directory).with_context(|| format!("cannot sync {}", store.display()))?;
    fs::rename(&beside, &target).with_context(|| format!("cannot place {}", target.display()))?;
    directory.sync_all()?;
    Ok(target)
}

#[cfg(feature = "world")]
/// Makes `link` point at `target` in one step.
pub fn switch(link: &Path, target: &Path) -> Result<()> {
    let beside = link.with_extension("new");
    let _old = fs::remove_file(&beside);
    symlink(target, &beside).with_context(|| format!("cannot link {}", beside.display()))?;
    fs::rename(&beside, link).with_context(|| format!("cannot switch {}", link.display()))?;
    let parent = link.parent().unwrap_or(Path::new("/"));
    File::open(parent)?.sync_all().with_context(|| format!("cannot sync {}", parent.display()))
}
