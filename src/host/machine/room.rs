//! Room on the disk that is kept for the way back: taken when a change begins, given back when it is committed or given up. So a
//! disk that runs full meanwhile stops the change and not the return.
//!
//! Refuses: being more than a return writes.

use super::Home;
use super::lock::Lock;
use crate::host::disk;
use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

/// The register twice, and every file of a generation.
const SIZE: usize = 4 << 20;

/// The file, in the state directory. It is there while a change is pending.
pub const NAME: &str = "room";

fn file(home: &Home) -> PathBuf {
    home.state().join(NAME)
}

/// Really written: a file system may promise blocks that it does not have.
pub fn keep(home: &Home, _held: &Lock) -> Result<()> {
    disk::write_for_good(&file(home), &vec![0x5a; SIZE], 0o600)
}

pub fn give_back(home: &Home, _held: &Lock) -> Result<()> {
    let file = file(home);
    let say = || format!("cannot remove {}", file.display());
    match fs::remove_file(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.with_context(say)?,
    }
    // Blocks are free once that is on the disk.
    File::open(home.state()).and_then(|directory| directory.sync_all()).with_context(say)
}
