//! A report onto the disk: beside its place, synced, renamed; and not at all where it says the same already.
//!
//! Refuses: half a file, and a private one that others may read.

use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Written,
    Unchanged,
}

/// Makes `path` hold `text`. `mode` is that of a new file, and the most that a file that is there keeps.
pub fn put(path: &Path, text: &str, mode: u32) -> Result<Put> {
    let say = || format!("cannot write {}", path.display());
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        let now = fs::metadata(path).with_context(say)?.permissions().mode() & 0o777;
        if now & !mode == 0 {
            return Ok(Put::Unchanged);
        }
    }
    let name = path.file_name().with_context(say)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::options().write(true).create_new(true).mode(mode).open(&beside).and_then(|mut file| {
        // The mode that was asked for, whatever the umask left of it.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.with_context(say)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).with_context(say)?;
    Ok(Put::Written)
}
