//! `store/<digest>-<machine>/`: closures as they were compiled, read-only, with files that several have on disk once.
//!
//! Refuses: a closure whose digest is not that of its files, and changing one that is there; a damaged one is replaced by a whole one.

use super::lock::Lock;
use super::manifest::{MANIFEST, Manifest, parse};
use super::{Home, Hook, pool};
use crate::compile::{Closure, Digesting, digest_of};
use crate::host::{closure, disk};
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The manifest's own digest: what it says of kinds and effects is not part of the closure's.
const SEAL: &str = "manifest.sha256";
const DIRECTORY: u32 = 0o555;

/// What is wrong with one file of a closure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Below the closure; empty for the closure as a whole.
    pub path: String,
    pub what: Wrong,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    Missing,
    Surplus,
    /// A link or a device where a file is listed.
    NoFile,
    Bytes,
    Mode {
        is: u32,
        wanted: u32,
    },
    /// All files are as listed, and the list is not that of this closure.
    Closure,
}

/// A file on its way into the store.
type Part<'a> = (String, u32, Cow<'a, [u8]>);

/// Puts a compiled closure into the store and returns its directory. One syncfs for all of its files.
pub fn import(home: &Home, held: &Lock, closure: &Closure, text: &str, hook: Hook<'_>) -> Result<PathBuf> {
    let manifest = parse(text.as_bytes()).with_context(|| format!("the manifest of {}", closure.name))?;
    ensure!(manifest.digest == closure.digest, "the manifest is about another closure of {}", closure.name);
    let parts = closure
        .artefacts
        .iter()
        .map(|artefact| Ok((artefact.path.clone(), artefact.mode, Cow::from(artefact.bytes.as_slice()))));
    place(home, held, (&manifest, text.as_bytes()), parts, hook)
}

/// Puts a closure that `build --out` wrote into the store: only if every file is as its manifest says, and none is missing or too many.
pub fn import_directory(home: &Home, held: &Lock, directory: &Path, hook: Hook<'_>) -> Result<PathBuf> {
    let text = fs::read(directory.join(MANIFEST))
        .with_context(|| format!("{} holds no closure\nhelp: write one with `build --out DIR`", directory.display()))?;
    let manifest = parse(&text).with_context(|| directory.join(MANIFEST).display().to_string())?;
    let listed: BTreeSet<&str> = manifest.artefacts.iter().map(|listed| listed.path.as_str()).collect();
    for (path, is) in closure::list(directory)? {
        let known = is.is_dir() || path == MANIFEST || path == SEAL || listed.contains(path.as_str());
        ensure!(known, "{} is not in the manifest beside it", directory.join(path).display());
    }
    let parts = manifest.artefacts.iter().map(|listed| {
        let path = directory.join(&listed.path);
        let is = fs::symlink_metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(is.is_file(), "{} is not a file", path.display());
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(digest_of(&bytes) == listed.digest, "{} is not what its manifest says", path.display());
        Ok((listed.path.clone(), listed.mode, Cow::from(bytes)))
    });
    place(home, held, (&manifest, &text), parts, hook)
}

/// Writes beside, syncs, renames. What was written anew goes into the pool afterwards: it never holds what is not on disk.
fn place<'a>(
    home: &Home,
    _held: &Lock,
    (manifest, text): (&Manifest, &[u8]),
    parts: impl Iterator<Item = Result<Part<'a>>>,
    hook: Hook<'_>,
) -> Result<PathBuf> {
    let (store, name) = (home.store(), format!("{}-{}", manifest.digest, manifest.name));
    let target = store.join(&name);
    let there = target.is_dir();
    // One that cannot even be read is damaged, too.
    if there && verify(&target).is_ok_and(|damages| damages.is_empty()) {
        return Ok(target);
    }
    let mut written = BTreeMap::new();
    let beside = closure::beside(&store, &name, |beside| {
        let mut digesting = Digesting::default();
        for part in parts {
            let (path, mode, bytes) = part?;
            digesting.put(&path, mode, &bytes);
            hook(&format!("write {path}"))?;
            fill(&store, beside, (path, pool::sealed(mode), &bytes), &mut written)?;
        }
        ensure!(digesting.finish() == manifest.digest, "the files of {name} are not those of its digest");
        let seal = digest_of(text) + "\n";
        fill(&store, beside, (MANIFEST.to_owned(), 0o444, text), &mut written)?;
        fill(&store, beside, (SEAL.to_owned(), 0o444, seal.as_bytes()), &mut written)?;
        seal_directories(beside)?;
        hook("sync")
    })?;
    hook("rename")?;
    let flags = if there { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
    renameat_with(CWD, &beside, CWD, &target, flags).with_context(|| format!("cannot place {}", target.display()))?;
    disk::sync_directory(&store)?;
    for ((digest, mode), path) in written {
        hook(&format!("share {path}"))?;
        pool::adopt(&store, &target.join(path), &digest, mode)?;
    }
    if there {
        disk::remove_tree(&beside)?;
    }
    Ok(target)
}

/// Files that were written and not linked, by what they are.
type Written = BTreeMap<(String, u32), String>;

fn fill(store: &Path, beside: &Path, (path, mode, bytes): (String, u32, &[u8]), written: &mut Written) -> Result<()> {
    let target = beside.join(&path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    if pool::link_or_write(store, &target, bytes, mode)? {
        written.insert((digest_of(bytes), mode), path);
    }
    Ok(())
}

fn seal_directories(directory: &Path) -> Result<()> {
    let below = closure::list(directory)?.into_iter().filter(|(_, is)| is.is_dir()).map(|(path, _)| path);
    for path in below.chain([String::new()]) {
        let path = directory.join(path);
        fs::set_permissions(&path, Permissions::from_mode(DIRECTORY))
            .with_context(|| format!("cannot seal {}", path.display()))?;
    }
    Ok(())
}

/// What is wrong with a closure of the store: every file's digest and mode, and the digest of the whole as `compile` has it; sorted.
pub fn verify(entry: &Path) -> Result<Vec<Damage>> {
    let mut found = closure::list(entry)?;
    if found.is_empty() {
        bail!("there is no closure at {}", entry.display());
    }
    let mut damages = BTreeSet::new();
    let mut say = |path: &str, what: Wrong| {
        damages.insert(Damage { path: path.to_owned(), what });
    };
    found.insert(String::new(), fs::symlink_metadata(entry)?);
    let manifest = own_manifest(entry, &mut found, &mut say)?;
    let Some(manifest) = manifest else { return Ok(damages.into_iter().collect()) };
    let mut digesting = Digesting::default();
    for listed in &manifest.artefacts {
        let is = found.remove(&listed.path);
        let Some(bytes) = file(entry, (&listed.path, pool::sealed(listed.mode)), is, &mut say)? else { continue };
        if digest_of(&bytes) != listed.digest {
            say(&listed.path, Wrong::Bytes);
        }
        digesting.put(&listed.path, listed.mode, &bytes);
    }
    for (path, is) in &found {
        match is.mode() & 0o7777 {
            _ if !is.is_dir() => say(path, Wrong::Surplus),
            DIRECTORY => {}
            mode => say(path, Wrong::Mode { is: mode, wanted: DIRECTORY }),
        }
    }
    let named = entry.file_name().is_some_and(|name| *name == *format!("{}-{}", manifest.digest, manifest.name));
    if damages.is_empty() && !(named && digesting.finish() == manifest.digest) {
        damages.insert(Damage { path: String::new(), what: Wrong::Closure });
    }
    Ok(damages.into_iter().collect())
}

/// The manifest, if it is the one that was sealed and can be read.
fn own_manifest(
    entry: &Path,
    found: &mut BTreeMap<String, Metadata>,
    say: &mut dyn FnMut(&str, Wrong),
) -> Result<Option<Manifest>> {
    let is = found.remove(MANIFEST);
    let text = file(entry, (MANIFEST, 0o444), is, say)?;
    let is = found.remove(SEAL);
    let seal = file(entry, (SEAL, 0o444), is, say)?;
    let (Some(text), Some(seal)) = (text, seal) else { return Ok(None) };
    if (digest_of(&text) + "\n").as_bytes() != seal {
        say(MANIFEST, Wrong::Bytes);
        return Ok(None);
    }
    parse(&text).map(Some).with_context(|| entry.join(MANIFEST).display().to_string())
}

/// The bytes of a listed file, if it is one.
fn file(
    entry: &Path,
    (path, wanted): (&str, u32),
    is: Option<Metadata>,
    say: &mut dyn FnMut(&str, Wrong),
) -> Result<Option<Vec<u8>>> {
    match is.as_ref() {
        None => say(path, Wrong::Missing),
        Some(is) if !is.is_file() => say(path, Wrong::NoFile),
        Some(is) => {
            let mode = is.mode() & 0o7777;
            if mode != wanted {
                say(path, Wrong::Mode { is: mode, wanted });
            }
            let path = entry.join(path);
            return fs::read(&path).map(Some).with_context(|| format!("cannot read {}", path.display()));
        }
    }
    Ok(None)
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "." } else { &self.path };
        match self.what {
            Wrong::Missing => write!(f, "{path}: missing"),
            Wrong::Surplus => write!(f, "{path}: not of this closure"),
            Wrong::NoFile => write!(f, "{path}: not a file"),
            Wrong::Bytes => write!(f, "{path}: its bytes are not those that were compiled"),
            Wrong::Mode { is, wanted } => write!(f, "{path}: mode {is:04o} instead of {wanted:04o}"),
            Wrong::Closure => write!(f, "{path}: its files are not those of its digest"),
        }
    }
}
