//! Files below a root directory, reached by descriptors: a link on the way leads nowhere but below that root, as it would on the machine itself.
//!
//! Refuses: `..`, relative paths, and kernels without `openat2` (before 5.6).

use crate::plan::machine::SeenFile;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, fchmod, fchown, fsync, mkdirat, open, openat,
    openat2, readlinkat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The root, and the directories below it that were opened.
pub struct Below {
    root: OwnedFd,
    name: PathBuf,
    open: BTreeMap<String, Rc<OwnedFd>>,
}

/// Whether directories that are missing are made (0755).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Make,
    Leave,
}

/// Where one path is: a name in an open directory.
pub struct Spot {
    pub path: String,
    pub directory: Rc<OwnedFd>,
    name: String,
}

impl Below {
    pub fn open(root: &Path) -> Result<Self> {
        let opened = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let opened = opened.with_context(|| format!("cannot open {}", root.display()))?;
        Ok(Self { root: opened, name: root.to_owned(), open: BTreeMap::new() })
    }

    /// The place of `path`; `None` where its directory is missing and left so.
    pub fn spot(&mut self, path: &str, missing: Missing) -> Result<Option<Spot>> {
        let (parent, name) = split(path)?;
        let say = || format!("cannot open the directory of {path} below {}", self.name.display());
        let directory = match self.open.get(parent) {
            Some(directory) => directory.clone(),
            None => {
                let Some(opened) = self.directory(parent, missing).with_context(say)? else { return Ok(None) };
                self.open.entry(parent.to_owned()).or_insert(Rc::new(opened)).clone()
            }
        };
        Ok(Some(Spot { path: path.to_owned(), directory, name: name.to_owned() }))
    }

    fn directory(&self, path: &str, missing: Missing) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let whole = if path.is_empty() { "/" } else { path };
        match openat2(&self.root, whole, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NOENT | Errno::NOTDIR) if missing == Missing::Leave => Ok(None),
            Err(Errno::NOENT) if !path.is_empty() => {
                let (parent, name) = path.rsplit_once('/').unwrap_or_default();
                let Some(parent) = self.directory(parent, missing)? else { return Ok(None) };
                match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => {}
                    Err(Errno::EXIST) => bail!("{path} is a link that leads nowhere"),
                    Err(fault) => return Err(fault.into()),
                }
                let made = openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty())?;
                fchmod(&made, Mode::from_raw_mode(0o755))?;
                Ok(Some(made))
            }
            Err(fault) => Err(fault.into()),
        }
    }
}

fn split(path: &str) -> Result<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/').unwrap_or_default();
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let sound = path.starts_with('/') && path[1..].split('/').all(plain);
    ensure!(sound, "`{path}` is not a plain absolute path");
    Ok((parent, name))
}

/// Who owns a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Spot {
    /// What is there; `None` where nothing is.
    pub fn look(&self) -> Result<Option<SeenFile>> {
        let is = match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            is => is.with_context(|| format!("cannot look at {}", self.path))?,
        };
        Ok(Some(match FileType::from_raw_mode(is.st_mode) {
            FileType::RegularFile => self.file(&is)?,
            FileType::Symlink => {
                let to = readlinkat(&self.directory, &self.name, vec![]);
                let to = to.with_context(|| format!("cannot read the link {}", self.path))?;
                SeenFile::Link { to: to.to_string_lossy().into_owned() }
            }
            FileType::Directory => SeenFile::Directory { mode: is.st_mode & 0o7777, uid: is.st_uid, gid: is.st_gid },
            _ => SeenFile::Other,
        }))
    }

    fn file(&self, is: &Stat) -> Result<SeenFile> {
        let digest = crate::compile::digest_of(&self.read()?);
        Ok(SeenFile::File { digest, mode: is.st_mode & 0o7777, uid: is.st_uid, gid: is.st_gid })
    }

    pub fn read(&self) -> Result<Vec<u8>> {
        let say = || format!("cannot read {}", self.path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.directory, &self.name, flags, Mode::empty()).with_context(say)?);
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).with_context(say)?;
        Ok(bytes)
    }

    /// `.<name>.leafwright-new`: hidden, and with an end that neither systemd nor any `*.d` directory reads.
    fn beside(&self) -> String {
        format!(".{}.leafwright-new", self.name)
    }

    /// Removes what a crash left beside.
    pub fn clear(&self) -> Result<()> {
        match unlinkat(&self.directory, self.beside(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(fault) => Err(fault).with_context(|| format!("cannot remove what is left beside {}", self.path)),
        }
    }

    /// Synced when this returns, the file and its name.
    pub fn write_for_good(&self, bytes: &[u8], mode: u32, owner: Option<Owner>) -> Result<()> {
        let say = || format!("cannot write {}", self.path);
        self.clear()?;
        self.write_beside(bytes, mode, owner)?.sync_all().with_context(say)?;
        self.rename()?;
        fsync(&self.directory).with_context(say)
    }

    pub fn write_beside(&self, bytes: &[u8], mode: u32, owner: Option<Owner>) -> Result<File> {
        let say = || format!("cannot write beside {}", self.path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.directory, self.beside(), flags, Mode::from_raw_mode(0o600)).with_context(say)?;
        let mut file = File::from(opened);
        file.write_all(bytes).with_context(say)?;
        if let Some(Owner { uid, gid }) = owner {
            fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).with_context(say)?;
        }
        // After the owner: changing that takes away the bits of setuid.
        fchmod(&file, Mode::from_raw_mode(mode)).with_context(say)?;
        Ok(file)
    }

    pub fn link_beside(&self, to: &str) -> Result<()> {
        symlinkat(to, &self.directory, self.beside()).with_context(|| format!("cannot link beside {}", self.path))
    }

    /// What was written beside takes its place.
    pub fn rename(&self) -> Result<()> {
        renameat(&self.directory, self.beside(), &self.directory, &self.name)
            .with_context(|| format!("cannot place {}", self.path))
    }

    pub fn unlink(&self) -> Result<()> {
        unlinkat(&self.directory, &self.name, AtFlags::empty()).with_context(|| format!("cannot remove {}", self.path))
    }
}
