//! What was on the machine where files of ours are: `originals.json`, one line a path, and copies below `originals/`.
//!
//! A path is ours exactly if it is in here. Refuses: taking back what is damaged, and forgetting before something was put back.

use super::below::{Owner, Spot};
use super::manifest::MANIFEST;
use super::{Home, generations, make_directory, register, versioned};
use crate::compile::digest_of;
use crate::host::disk;
use crate::name::FileFormat;
use crate::plan::machine::{Content, SeenFile};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

pub struct Originals {
    directory: PathBuf,
    index: Index,
    changed: Changed,
}

#[derive(PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    format: u32,
    /// By absolute path on the machine.
    paths: BTreeMap<String, Was>,
}

/// What was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Was {
    Nothing,
    File { digest: String, mode: u32, uid: u32, gid: u32 },
    Link { to: String },
}

/// Where the index is lost: what committed generations have is ours, and nobody knows what was there before them. Of a first
/// generation, which is yet to be committed, nothing is.
fn committed(home: &Home) -> Result<BTreeSet<String>> {
    let Some(register) = register::read(home)? else { return Ok(BTreeSet::new()) };
    let committed = register.active_generation().into_iter().chain(register.leaving);
    Ok(committed.filter_map(|number| paths_of(home, number)).flatten().collect())
}

fn paths_of(home: &Home, number: u64) -> Option<Vec<String>> {
    let entry = home.entry(&generations::read(home, number).ok()?.closure);
    let manifest = fs::read_to_string(entry.join(MANIFEST)).ok()?;
    let content = Content::read_damaged(&manifest, |path| fs::read_to_string(entry.join(path)).ok()).ok()?;
    Some(content.files.keys().cloned().chain(content.links().into_keys()).collect())
}

impl Originals {
    pub fn read(home: &Home) -> Result<Self> {
        let directory = home.originals();
        let path = directory.with_extension("json");
        let index = match fs::read(&path) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => {
                let paths = committed(home)?.into_iter().map(|path| (path, Was::Nothing)).collect();
                let changed = Changed::Yes;
                let index = Index { format: FileFormat::Originals.version(), paths };
                return Ok(Self { directory, index, changed });
            }
            read => {
                let text = read.with_context(|| format!("cannot read {}", path.display()))?;
                parse(&text).with_context(|| path.display().to_string())?
            }
        };
        Ok(Self { directory, index, changed: Changed::No })
    }

    /// Is there an index? A machine with a generation has one.
    pub fn are_there(home: &Home) -> bool {
        home.originals().with_extension("json").exists()
    }

    /// Every path that is ours.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.index.paths.keys()
    }

    pub fn of(&self, path: &str) -> Option<&Was> {
        self.index.paths.get(path)
    }

    /// Remembers what is at `spot`, once; a file is copied. `write` makes it last.
    pub fn remember(&mut self, spot: &Spot, is: Option<&SeenFile>) -> Result<()> {
        if self.index.paths.contains_key(&spot.path) {
            return Ok(());
        }
        let was = match is {
            None => Was::Nothing,
            Some(SeenFile::Link { to }) => Was::Link { to: to.clone() },
            Some(SeenFile::File { digest, mode, uid, gid }) => {
                let bytes = spot.read()?;
                ensure!(digest_of(&bytes) == *digest, "{} changes while it is looked at", spot.path);
                self.copy(&spot.path, &bytes)?;
                Was::File { digest: digest.clone(), mode: *mode, uid: *uid, gid: *gid }
            }
            Some(SeenFile::Directory { .. } | SeenFile::Other) => {
                anyhow::bail!("{} is neither a file nor a link", spot.path)
            }
        };
        self.index.paths.insert(spot.path.clone(), was);
        self.changed = Changed::Yes;
        Ok(())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    fn copy(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let place = self.place(path);
        // Whatever it held, it may be that nobody else was to read it.
        make_directory(&self.directory, 0o700)?;
        make_directory(place.parent().unwrap_or(&self.directory), 0o700)?;
        let say = || format!("cannot write {}", place.display());
        let _old = fs::remove_file(&place);
        let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&place).with_context(say)?;
        file.write_all(bytes).with_context(say)
    }

    /// Writes beside `spot` what was there.
    pub fn bring_back(&self, spot: &Spot, digest: &str, mode: u32, owner: Option<Owner>) -> Result<()> {
        let copy = self.place(&spot.path);
        let bytes = fs::read(&copy).with_context(|| format!("cannot read {}, the original", copy.display()))?;
        ensure!(
            digest_of(&bytes) == digest,
            "{} is damaged, and cannot be brought back to {}\nhelp: put {} back as it was",
            copy.display(),
            spot.path,
            copy.display()
        );
        spot.write_beside(&bytes, mode, owner).map(drop)
    }

    /// Writes the index, if something changed. The copies must be on disk.
    pub fn write(&mut self) -> Result<()> {
        if self.changed == Changed::Yes {
            let text = serde_json::to_string_pretty(&self.index)? + "\n";
            disk::write_for_good(&self.directory.with_extension("json"), text.as_bytes(), 0o600)?;
            self.changed = Changed::No;
        }
        Ok(())
    }

    /// These paths are as they were: they are not ours any more. The index goes first, so that it never names a copy that is gone.
    pub fn forget(&mut self, paths: &[&str]) -> Result<()> {
        let forgotten: Vec<&str> =
            paths.iter().filter(|path| self.index.paths.remove(**path).is_some()).copied().collect();
        if forgotten.is_empty() {
            return Ok(());
        }
        self.changed = Changed::Yes;
        self.write()?;
        for path in forgotten {
            let place = self.place(path);
            let _copy = fs::remove_file(&place);
            // Directories that hold nothing any more; the first that does ends it.
            for parent in place.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.directory)) {
                if fs::remove_dir(parent).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn parse(text: &[u8]) -> Result<Index> {
    versioned::parse(
        text,
        FileFormat::Originals,
        "damaged; nothing was changed\nhelp: put back what it was; it is not guessed",
    )
}
