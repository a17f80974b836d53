//! `store/.files/<sha256>-<mode>`: every file of the store once; closures share it by hard links. A file that only the pool has is nobody's.
//!
//! Refuses: being trusted. What is linked was compared byte by byte first, and what gets in was synced before.
//!
//! Why a pool and not links to the closure before: any closure may have been the one before (a return, a staged one, two machines of an image),
//! and who shares a file can be told from its link count alone, without reading a manifest.

use super::make_directory;
use crate::compile::digest_of;
use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub const NAME: &str = ".files";
const BESIDE: &str = "new";

/// What a file of the store may be at most: read.
pub fn sealed(mode: u32) -> u32 {
    mode & 0o444
}

fn place(store: &Path, bytes: &[u8], mode: u32) -> PathBuf {
    store.join(NAME).join(format!("{}-{mode:04o}", digest_of(bytes)))
}

/// Makes `target` with these bytes: a link where the pool has them, else a file of its own. Says whether it was written.
pub fn link_or_write(store: &Path, target: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
    let shared = place(store, bytes, mode);
    // Any fault (no such file, too many links, a filesystem without links) leaves writing, which says what is wrong.
    if is_sound(&shared, bytes, mode) && fs::hard_link(&shared, target).is_ok() {
        return Ok(false);
    }
    let say = || format!("cannot write {}", target.display());
    let mut file = File::create_new(target).with_context(say)?;
    file.write_all(bytes).with_context(say)?;
    file.set_permissions(Permissions::from_mode(mode)).with_context(say)?;
    Ok(true)
}

fn is_sound(shared: &Path, bytes: &[u8], mode: u32) -> bool {
    let is = fs::symlink_metadata(shared);
    is.is_ok_and(|is| is.is_file() && is.mode() & 0o7777 == mode && is.len() == bytes.len() as u64)
        && fs::read(shared).is_ok_and(|there| there == bytes)
}

/// Takes a file of a closure that was just placed into the pool; a damaged one of the same name is replaced.
pub fn adopt(store: &Path, file: &Path, bytes_digest: &str, mode: u32) -> Result<()> {
    make_directory(&store.join(NAME), 0o755)?;
    let shared = store.join(NAME).join(format!("{bytes_digest}-{mode:04o}"));
    let beside = shared.with_extension(BESIDE);
    let _old = fs::remove_file(&beside);
    // Sharing saves room; where the filesystem has no links, there is none to save.
    if fs::hard_link(file, &beside).is_ok() {
        fs::rename(&beside, &shared).with_context(|| format!("cannot place {}", shared.display()))?;
        // Renaming one link of a file onto another does nothing at all.
        let _same = fs::remove_file(&beside);
    }
    Ok(())
}

/// Files of the pool that no closure has, and what a crash left of `adopt`.
pub fn unused(store: &Path) -> Result<Vec<PathBuf>> {
    let pool = store.join(NAME);
    let listed = match fs::read_dir(&pool) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(vec![]),
        listed => listed.with_context(|| format!("cannot list {}", pool.display()))?,
    };
    let mut unused = vec![];
    for entry in listed {
        let entry = entry?;
        if entry.metadata()?.nlink() == 1 || entry.path().extension().is_some_and(|end| end == BESIDE) {
            unused.push(entry.path());
        }
    }
    unused.sort();
    Ok(unused)
}
