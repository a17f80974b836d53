//! Files that must survive a power cut: written beside and renamed; directories synced; trees removed whatever their modes say.
//!
//! Refuses: half a file.

use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes beside, syncs, renames: the file is the old one or the new one, never half of either.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let beside = path.with_extension("new");
    let _old = fs::remove_file(&beside);
    let say = || format!("cannot write {}", path.display());
    let mut file = File::options().create_new(true).write(true).mode(mode).open(&beside).with_context(say)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It takes the room of what comes next.
        let _half = fs::remove_file(&beside);
    }
    written.with_context(say)
}

/// As `write`, and after a power cut it is still the new one.
pub fn write_for_good(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write(path, bytes, mode)?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// What was renamed, linked or removed in the directory stays so after a power cut.
pub fn sync_directory(directory: &Path) -> Result<()> {
    let say = || format!("cannot sync {}", directory.display());
    File::open(directory).with_context(say)?.sync_all().with_context(say)
}

/// Removes a directory and all below it; those that nobody may write are opened first.
pub fn remove_tree(directory: &Path) -> Result<()> {
    let say = || format!("cannot remove {}", directory.display());
    unseal(directory).with_context(say)?;
    fs::remove_dir_all(directory).with_context(say)
}

fn unseal(directory: &Path) -> std::io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unseal(&entry.path())?;
        }
    }
    Ok(())
}
