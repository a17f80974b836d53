//! `programs/<sha256>`: the Leafwrights that this machine's generations were made by, so that going back brings back the one before.
//!
//! Refuses: another place than the machine's own, and putting back one that is damaged or cannot read this machine's state.

use super::generations::Record;
use super::lock::Lock;
use super::{Home, make_directory};
use crate::compile::digest_of;
use crate::host::{disk, programs};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File, FileTimes, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a machine has this program.
pub const PROGRAM: &str = "/usr/local/bin/leafwright";
/// Below the state directory.
pub const NAME: &str = "programs";
/// For a program that only lists generations.
const LISTING: Duration = Duration::from_secs(10);

fn installed(home: &Home) -> PathBuf {
    home.root().join(PROGRAM.trim_start_matches('/'))
}

fn kept(home: &Home, digest: &str) -> PathBuf {
    home.state().join(NAME).join(digest)
}

/// Keeps the running program, if it is the machine's own: its digest. Who runs another one upgrades nothing.
pub fn keep(home: &Home, _held: &Lock, running: &Path) -> Result<Option<String>> {
    let installed = installed(home);
    let is = match fs::symlink_metadata(&installed) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        // One that a link leads to belongs to whoever made the link.
        is => is.with_context(|| format!("cannot look at {}", installed.display()))?,
    };
    if running != installed || !is.is_file() {
        return Ok(None);
    }
    if let Some(known) = known(home, &is)? {
        return Ok(Some(known));
    }
    let bytes = read(&installed)?;
    let digest = digest_of(&bytes);
    let kept = kept(home, &digest);
    if !kept.is_file() {
        make_directory(&home.state().join(NAME), 0o755)?;
        disk::write_for_good(&kept, &bytes, 0o755)?;
    }
    // By its length and this it is known again, without reading it.
    let times = FileTimes::new().set_modified(is.modified()?);
    let set = File::options().append(true).open(&kept).and_then(|file| file.set_times(times));
    set.with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(Some(digest))
}

/// The kept one that was copied from a file like this one.
fn known(home: &Home, is: &Metadata) -> Result<Option<String>> {
    for name in names(home)? {
        if fs::metadata(kept(home, &name)).is_ok_and(|kept| is_like(&kept, is)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn is_like(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.modified().ok().zip(other.modified().ok()).is_some_and(|(one, other)| one == other)
}

/// What lies in `programs/`.
pub fn names(home: &Home) -> Result<Vec<String>> {
    let directory = home.state().join(NAME);
    let listed = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        listed => listed.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    let names = listed.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().with_context(|| format!("cannot list {}", directory.display()))
}

/// Is the machine's own program, running now, another one than the generation was made by? Of a record that does not say so: no.
pub fn is_new(home: &Home, record: &Record, running: &Path) -> bool {
    let (Some(digest), installed) = (&record.program, installed(home)) else { return false };
    running == installed && is_other(&installed, &kept(home, digest), digest)
}

/// Read only where length and time do not tell.
fn is_other(installed: &Path, kept: &Path, digest: &str) -> bool {
    let like = [installed, kept].map(fs::symlink_metadata);
    let [Ok(installed_is), kept_is] = like else { return false };
    let like = kept_is.is_ok_and(|kept_is| is_like(&installed_is, &kept_is));
    !like && installed_is.is_file() && read(installed).is_ok_and(|bytes| digest_of(&bytes) != digest)
}

/// Makes the Leafwright of a generation the machine's own again. Says whether it had to.
pub async fn put_back(home: &Home, _held: &Lock, record: &Record) -> Result<bool> {
    let (Some(digest), installed) = (&record.program, installed(home)) else { return Ok(false) };
    let kept = kept(home, digest);
    if !is_other(&installed, &kept, digest) {
        return Ok(false);
    }
    let bytes = read(&kept)?;
    ensure!(digest_of(&bytes) == *digest, "{} is damaged", kept.display());
    let state = home.state().to_str().context("the path of the state directory is no text")?;
    // One of before a format that is here would be of no use to anybody.
    let listed = programs::run(&kept, ["generations", "--json", "--state", state], LISTING).await?;
    listed.ok().context("it cannot read what this machine's state has become")?;
    disk::write_for_good(&installed, &bytes, 0o755)?;
    let times = fs::metadata(&kept).and_then(|is| is.modified()).map(|time| FileTimes::new().set_modified(time));
    // Only so that it is known again without being read.
    let _read_next_time = times.and_then(|times| File::options().append(true).open(&installed)?.set_times(times));
    Ok(true)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
