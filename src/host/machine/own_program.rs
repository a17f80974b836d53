//! `programs/<sha256>`: the Leafwrights that this machine's generations were made by, so that going back brings back the one before.
//!
//! Refuses: another place than the machine's own, and putting back one that is damaged or cannot read this machine's state.

use super::gc::entries;
use super::generations::Record;
use super::lock::Lock;
use super::{Home, make_directory};
use crate::compile::digest_of;
use crate::host::{disk, programs};
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File, FileTimes, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Where a machine has this program.
pub const PROGRAM: &str = "/usr/local/bin/leafwright";
/// For a program that only lists generations.
const LISTING: Duration = Duration::from_secs(10);

fn installed(home: &Home) -> PathBuf {
    home.root().join(PROGRAM.trim_start_matches('/'))
}

/// The directory of those that are kept.
pub fn all(home: &Home) -> PathBuf {
    home.state().join("programs")
}

fn kept(home: &Home, digest: &str) -> PathBuf {
    all(home).join(digest)
}

/// The path of this process's program, as it was when this was first asked: after another one is put in its place the kernel would
/// call it deleted. Whoever starts asks at once.
pub fn running() -> Result<PathBuf> {
    static RUNNING: OnceLock<Option<PathBuf>> = OnceLock::new();
    RUNNING.get_or_init(|| std::env::current_exe().ok()).clone().context("cannot tell which program this is")
}

fn runs_from(path: &Path) -> bool {
    running().is_ok_and(|running| running == path)
}

/// Is the machine's own program another file by now than the one that runs from its place?
pub fn was_replaced(home: &Home) -> bool {
    let installed = installed(home);
    let inode = |path: &Path| fs::metadata(path).map(|is| (is.dev(), is.ino())).ok();
    runs_from(&installed) && inode(Path::new("/proc/self/exe")) != inode(&installed)
}

/// Keeps the running program, if it is the machine's own: its digest. Who runs another one upgrades nothing.
pub fn keep(home: &Home, held: &Lock) -> Result<Option<String>> {
    match runs_from(&installed(home)) {
        true => keep_installed(home, held),
        false => Ok(None),
    }
}

fn keep_installed(home: &Home, _held: &Lock) -> Result<Option<String>> {
    let installed = installed(home);
    // A power cut in the middle of putting one back leaves it.
    let _half = fs::remove_file(installed.with_extension("new"));
    let is = match fs::symlink_metadata(&installed) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        // One that a link leads to belongs to whoever made the link.
        is => is.with_context(|| format!("cannot look at {}", installed.display()))?,
    };
    if !is.is_file() {
        return Ok(None);
    }
    if let Some(known) = known(home, &is)? {
        return Ok(Some(known));
    }
    let bytes = read(&installed)?;
    let digest = digest_of(&bytes);
    let kept = kept(home, &digest);
    if !kept.is_file() {
        make_directory(&all(home), 0o755)?;
        disk::write_for_good(&kept, &bytes, 0o755)?;
    }
    mark(&kept, &is);
    Ok(Some(digest))
}

/// By its length and its time it is known again, without being read; else it is read.
fn mark(path: &Path, like: &Metadata) {
    let time = like.modified().map(|time| FileTimes::new().set_modified(time));
    let _read_next_time = time.and_then(|time| File::options().append(true).open(path)?.set_times(time));
}

/// The kept one that was copied from a file like this one.
fn known(home: &Home, is: &Metadata) -> Result<Option<String>> {
    for name in entries(&all(home))? {
        if fs::metadata(kept(home, &name)).is_ok_and(|kept| is_like(&kept, is)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn is_like(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len() && one.modified().ok().zip(other.modified().ok()).is_some_and(|(one, other)| one == other)
}

/// Is the machine's own program, running now, another one than the generation was made by? Of a record that does not say so: no.
pub fn is_new(home: &Home, record: &Record) -> bool {
    let (Some(digest), installed) = (&record.program, installed(home)) else { return false };
    runs_from(&installed) && is_other(&installed, &kept(home, digest), digest)
}

/// Read only where length and time do not tell.
fn is_other(installed: &Path, kept: &Path, digest: &str) -> bool {
    let like = [installed, kept].map(fs::symlink_metadata);
    let [Ok(installed_is), kept_is] = like else { return false };
    if !installed_is.is_file() || kept_is.is_ok_and(|kept_is| is_like(&installed_is, &kept_is)) {
        return false;
    }
    let other = read(installed).is_ok_and(|bytes| digest_of(&bytes) != digest);
    if !other {
        mark(kept, &installed_is);
    }
    other
}

/// Makes the Leafwright of a generation the machine's own again, if it is not.
pub async fn put_back(home: &Home, held: &Lock, record: &Record) -> Result<()> {
    let (Some(digest), installed) = (&record.program, installed(home)) else { return Ok(()) };
    let kept = kept(home, digest);
    if !is_other(&installed, &kept, digest) {
        return Ok(());
    }
    let bytes = read(&kept)?;
    ensure!(digest_of(&bytes) == *digest, "{} is damaged", kept.display());
    let state = home.state().to_str().context("the path of the state directory is no text")?;
    // One of before a format that is here would be of no use to anybody.
    let listed = programs::run(&kept, ["generations", "--json", "--state", state], LISTING).await?;
    listed.ok().context("it cannot read what this machine's state has become")?;
    // The one that goes may be nowhere else; `gc` takes it when no generation was made by it.
    keep_installed(home, held)?;
    disk::write_for_good(&installed, &bytes, 0o755)?;
    if let Ok(is) = fs::metadata(&kept) {
        mark(&installed, &is);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
