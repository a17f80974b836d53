//! Files on the machine: looked at, placed from the store, linked, removed. Written beside, synced once, renamed one by one.
//!
//! Refuses: replacing a directory, following a link out of the root directory, and losing what was there before. Every call may be repeated: placing
//! is the same act whatever was there, and a crash in the middle is made whole by the next.

use super::below::{Below, Missing, Owner, Spot};
use super::lock::Lock;
use super::originals::{Originals, Was};
use super::{Home, Hook};
use crate::compile::digest_of;
use crate::plan::machine::SeenFile;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{fstat, fsync, syncfs};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What becomes of one path; absolute, as the machine itself names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A copy of `from`, a file of the store, which must have this digest.
    Place {
        path: String,
        from: PathBuf,
        mode: u32,
        digest: String,
    },
    Link {
        path: String,
        to: String,
    },
    /// What it replaced comes back. A path that is not ours stays as it is.
    Remove {
        path: String,
    },
}

impl Change {
    pub fn path(&self) -> &str {
        match self {
            Self::Place { path, .. } | Self::Link { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// What is at `paths` below `root`; what is absent is absent here. Fails rather than leave something out.
pub fn look<'a>(root: &Path, paths: impl IntoIterator<Item = &'a str>) -> Result<BTreeMap<String, SeenFile>> {
    let mut below = Below::open(root)?;
    let mut seen = BTreeMap::new();
    for path in paths {
        if let Some(spot) = below.spot(path, Missing::Leave)?
            && let Some(is) = spot.look()?
        {
            seen.insert(path.to_owned(), is);
        }
    }
    Ok(seen)
}

/// What is left to do for a path when everything is on disk.
enum Rest {
    Nothing,
    Rename,
    Unlink,
}

/// Is it known what was there before files of ours? On a machine with a generation it must be.
pub fn knows_originals(home: &Home) -> bool {
    Originals::are_there(home)
}

/// Every path on this machine that is ours, whichever generation placed it.
pub fn ours(home: &Home) -> Result<Vec<String>> {
    Ok(Originals::read(home)?.paths().cloned().collect())
}

/// Makes all changes: everything is written beside, each file system synced once, what is replaced remembered, then each path renamed or removed. `hook` is called
/// before each write, the sync, each rename, and the end. A fault before the first rename leaves the machine as it was.
pub fn place_all(home: &Home, _held: &Lock, changes: &[Change], hook: Hook<'_>) -> Result<()> {
    let mut below = Below::open(home.root())?;
    let mut originals = Originals::read(home)?;
    let spots = spots(&mut below, &originals, changes)?;
    let mut rests = vec![];
    for (change, spot, is) in &spots {
        hook(&format!("write {}", spot.path))?;
        spot.clear()?;
        rests.push(prepare(change, spot, is.as_ref(), &mut originals)?);
    }
    hook("sync")?;
    sync(home, spots.iter().map(|(_, spot, _)| &spot.directory))?;
    originals.write()?;
    for ((_, spot, _), rest) in spots.iter().zip(&rests) {
        match rest {
            Rest::Nothing => continue,
            Rest::Rename => {
                hook(&format!("rename {}", spot.path))?;
                spot.rename()?;
            }
            Rest::Unlink => {
                hook(&format!("remove {}", spot.path))?;
                spot.unlink()?;
            }
        }
    }
    let directories: BTreeMap<*const OwnedFd, &Spot> =
        spots.iter().map(|(_, spot, _)| (Rc::as_ptr(&spot.directory), spot)).collect();
    for spot in directories.values() {
        fsync(&spot.directory).with_context(|| format!("cannot sync the directory of {}", spot.path))?;
    }
    hook("end")?;
    let removed = |change: &&Change| matches!(change, Change::Remove { .. });
    let removed: Vec<&str> = changes.iter().filter(removed).map(Change::path).collect();
    originals.forget(&removed)
}

/// Removes what a crash left beside these paths, of a file that in the end was not placed.
pub fn sweep(home: &Home, _held: &Lock, paths: &BTreeSet<String>) -> Result<()> {
    let mut below = Below::open(home.root())?;
    for path in paths {
        if let Some(spot) = below.spot(path, Missing::Leave)? {
            spot.clear()?;
        }
    }
    Ok(())
}

type Place<'a> = (&'a Change, Spot, Option<SeenFile>);

/// Where each change is to be made and what is there now. Everything that must be refused is refused here, before anything is written.
fn spots<'a>(below: &mut Below, originals: &Originals, changes: &'a [Change]) -> Result<Vec<Place<'a>>> {
    let mut spots = vec![];
    let mut paths = BTreeSet::new();
    for change in changes {
        let path = change.path();
        ensure!(paths.insert(path), "{path} is changed twice");
        let missing = match change {
            Change::Remove { .. } if matches!(originals.of(path), None | Some(Was::Nothing)) => Missing::Leave,
            _ => Missing::Make,
        };
        let Some(spot) = below.spot(path, missing)? else { continue };
        let is = spot.look()?;
        if is.as_ref().is_some_and(|is| !is.can_be_replaced())
            && !(matches!(change, Change::Remove { .. }) && originals.of(path).is_none())
        {
            bail!(
                "{path} is a directory or a device, and is never replaced\nhelp: see what it is for, and move it away"
            );
        }
        spots.push((change, spot, is));
    }
    Ok(spots)
}

/// Writes beside what must come, remembers what goes.
fn prepare(change: &Change, spot: &Spot, is: Option<&SeenFile>, originals: &mut Originals) -> Result<Rest> {
    match change {
        Change::Place { from, mode, digest, .. } => {
            originals.remember(spot, is)?;
            let owner = owner(0, 0);
            let same = |is: &SeenFile| match is {
                SeenFile::File { digest: there, mode: bits, uid, gid } => {
                    (there, bits) == (digest, mode) && owner.is_none_or(|owner| owner == Owner { uid: *uid, gid: *gid })
                }
                _ => false,
            };
            if is.is_some_and(same) {
                return Ok(Rest::Nothing);
            }
            let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
            ensure!(
                digest_of(&bytes) == *digest,
                "{} is damaged: {} is not placed\nhelp: build and apply the same text again, which makes the store whole",
                from.display(),
                spot.path
            );
            spot.write_beside(&bytes, *mode, owner)?;
            Ok(Rest::Rename)
        }
        Change::Link { to, .. } => {
            originals.remember(spot, is)?;
            if is == Some(&SeenFile::Link { to: to.clone() }) {
                return Ok(Rest::Nothing);
            }
            spot.link_beside(to)?;
            Ok(Rest::Rename)
        }
        Change::Remove { .. } => match originals.of(&spot.path) {
            Some(Was::Nothing) if is.is_some() => Ok(Rest::Unlink),
            None | Some(Was::Nothing) => Ok(Rest::Nothing),
            Some(Was::Link { to }) => spot.link_beside(to).map(|()| Rest::Rename),
            Some(Was::File { digest, mode, uid, gid }) => {
                originals.bring_back(spot, digest, *mode, owner(*uid, *gid)).map(|()| Rest::Rename)
            }
        },
    }
}

/// Only root gives files away; an image that somebody else builds gets its owners when it is packed.
pub(super) fn owner(uid: u32, gid: u32) -> Option<Owner> {
    rustix::process::geteuid().is_root().then_some(Owner { uid, gid })
}

/// One syncfs for each file system that was written to.
fn sync<'a>(home: &Home, directories: impl Iterator<Item = &'a Rc<OwnedFd>>) -> Result<()> {
    home.make()?;
    let state = File::open(home.state()).with_context(|| format!("cannot open {}", home.state().display()))?;
    let mut synced = BTreeSet::new();
    for directory in directories.map(|directory| directory.as_fd()).chain([state.as_fd()]) {
        let device = fstat(directory).context("cannot tell a file system")?.st_dev;
        if synced.insert(device) {
            syncfs(directory).context("cannot sync a file system")?;
        }
    }
    Ok(())
}
