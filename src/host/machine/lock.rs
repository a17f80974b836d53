//! The lock of a state directory: one `flock`, with the holder's process and purpose written into the file.
//!
//! Refuses: two holders. The kernel frees the lock when its holder ends, however it ends; the file itself stays.

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait between two tries; also how long somebody who only looks may be in the way.
const PAUSE: Duration = Duration::from_millis(5);
/// Tries of `try_take`: a look at the lock is over long before the last.
const TRIES: u32 = 20;

/// Held until it is dropped, or until the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Who holds a lock, in the holder's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// `apply of generation 7`; empty while the holder has not written it yet.
    pub purpose: String,
    pub process: Option<u32>,
}

/// Somebody else holds it. Found again by `downcast_ref`.
#[derive(Clone, Debug)]
pub struct Busy {
    pub directory: PathBuf,
    pub holder: Holder,
}

/// Takes the lock of `directory`, or says who holds it.
pub fn try_take(directory: &Path, purpose: &str) -> Result<Lock> {
    take_within(directory, purpose, PAUSE * (TRIES - 1))
}

/// Takes the lock of `directory` as soon as it is free, or says who still holds it at the end.
pub fn take_within(directory: &Path, purpose: &str, patience: Duration) -> Result<Lock> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let started = Instant::now();
    while !taken(&file, FlockOperation::NonBlockingLockExclusive, &path)? {
        if started.elapsed() >= patience {
            let holder = read(&file).with_context(|| format!("cannot read {}", path.display()))?;
            return Err(Busy { directory: directory.to_owned(), holder }.into());
        }
        std::thread::sleep(PAUSE.min(patience));
    }
    let lock = Lock { file, path };
    lock.say(purpose)?;
    Ok(lock)
}

/// Who holds the lock of `directory` now; `None` where nobody does. Whoever looks holds nothing.
pub fn holder(directory: &Path) -> Result<Option<Holder>> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let holder = read(&file).with_context(|| format!("cannot read {}", path.display()))?;
    // Without a text nobody holds it, and looking takes nothing; a text without a holder is what a crash leaves. Shared, so that those who look
    // are not in each other's way.
    let silent = file.metadata().is_ok_and(|is| is.len() == 0);
    let free = silent || taken(&file, FlockOperation::NonBlockingLockShared, &path)?;
    Ok((!free).then_some(holder))
}

fn taken(file: &File, how: FlockOperation, path: &Path) -> Result<bool> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(fault) => Err(fault).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn read(mut file: &File) -> std::io::Result<Holder> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let (purpose, process) = text.trim().rsplit_once(", process ").unwrap_or_default();
    Ok(Holder { purpose: purpose.to_owned(), process: process.parse().ok() })
}

impl Lock {
    /// Writes what it is held for: `apply of generation 7, process 1234`.
    pub fn say(&self, purpose: &str) -> Result<()> {
        let text = format!("{purpose}, process {}\n", std::process::id());
        let say = || format!("cannot write {}", self.path.display());
        // In this order it is never empty while it is held.
        self.file.write_all_at(text.as_bytes(), 0).with_context(say)?;
        self.file.set_len(text.len() as u64).with_context(say)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody must take a text for a holder; after a crash it stays, and the kernel knows better.
        let _ = self.file.set_len(0);
    }
}

impl Holder {
    /// `process 1234`
    pub fn process_text(&self) -> String {
        self.process.map_or("a process that has not said its number".to_owned(), |process| format!("process {process}"))
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.purpose.is_empty() {
            true => f.write_str(&self.process_text()),
            false => write!(f, "{}, {}", self.purpose, self.process_text()),
        }
    }
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is in use: {}\nhelp: wait until that has ended", self.directory.display(), self.holder)
    }
}

impl std::error::Error for Busy {}
