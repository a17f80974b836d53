//! `identity/` on the disk: what changed is written whole beside its place and renamed, `identity.toml` last, because it
//! names the others; JWTs and certificates of those who are gone are removed.

use crate::identity::{self, PublicIdentity};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The folder in the domain.
pub const FOLDER: &str = "identity";
const SUMMARY: &str = "identity.toml";

/// Makes `directory` hold this identity; returns the paths below it that changed.
pub fn write(directory: &Path, identity: &PublicIdentity) -> Result<Vec<String>> {
    let mut files = identity::files(identity);
    let summary = files.remove(SUMMARY).unwrap_or_default();
    let mut changed = vec![];
    for (path, text) in &files {
        if put(directory, path, text)? {
            changed.push(path.clone());
        }
    }
    if put(directory, SUMMARY, &summary)? {
        changed.push(SUMMARY.to_owned());
    }
    remove_others(directory, "", &files, &mut changed)?;
    Ok(changed)
}

/// Was there a difference?
fn put(directory: &Path, path: &str, text: &str) -> Result<bool> {
    let target = directory.join(path);
    if fs::read(&target).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(false);
    }
    let say = || format!("cannot write {}", target.display());
    fs::create_dir_all(target.parent().unwrap_or(directory)).with_context(say)?;
    let mut beside = target.clone().into_os_string();
    beside.push(".new");
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, &target)).with_context(say)?;
    Ok(true)
}

/// Only what `keys sign` writes, or left half written (`.new`): a note that a person put there stays.
fn remove_others(
    directory: &Path,
    below: &str,
    files: &BTreeMap<String, String>,
    changed: &mut Vec<String>,
) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            remove_others(&entry.path(), &format!("{path}/"), files, changed)?;
            // Fails where something is left in it, which is right.
            let _ = fs::remove_dir(entry.path());
        } else if [".jwt", ".pem", ".new"].iter().any(|end| path.ends_with(end)) && !files.contains_key(&path) {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
            changed.push(path);
        }
    }
    Ok(())
}
