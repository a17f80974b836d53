//! A file tree as a machine shows it, below a root: small files, links, directories.
//!
//! Refuses: leaving the root, waiting on what is no plain file, and believing what it reads. What is absent is absent; what is
//! there and cannot be read is remembered.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// No file here is larger: `/proc/cpuinfo` of a thousand threads has about 2 MB.
const LARGEST: u64 = 8 << 20;
/// No name of a part is longer.
const LONGEST: usize = 120;

pub struct Tree {
    root: PathBuf,
    unread: BTreeSet<String>,
}

/// Whether a file that cannot be read is worth a sentence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Miss {
    Said,
    Silent,
}

impl Tree {
    pub fn open(root: &Path) -> Result<Self> {
        let root = fs::canonicalize(root).with_context(|| format!("cannot read {}", root.display()))?;
        if !root.is_dir() {
            bail!("{} is no directory\nhelp: name the root of a machine's files with --root", root.display());
        }
        Ok(Self { root, unread: BTreeSet::new() })
    }

    pub fn unread(self) -> Vec<String> {
        self.unread.into_iter().collect()
    }

    /// Remembers something that could not be found out.
    pub fn say(&mut self, what: impl Into<String>) {
        self.unread.insert(what.into());
    }

    pub fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        self.read(path, Miss::Said)
    }

    /// The same of a file that most users may not read, where something else says nearly as much.
    pub fn bytes_if_allowed(&mut self, path: &str) -> Option<Vec<u8>> {
        self.read(path, Miss::Silent)
    }

    fn read(&mut self, path: &str, miss: Miss) -> Option<Vec<u8>> {
        match self.try_read(path) {
            Ok(bytes) => bytes,
            Err(why) => {
                if miss == Miss::Said {
                    self.say(format!("cannot read /{path}: {why}"));
                }
                None
            }
        }
    }

    fn try_read(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(real) = self.real(path)? else { return Ok(None) };
        let kind = fs::metadata(&real).map_err(|error| plain(&error))?;
        if !kind.is_file() {
            return Err("it is no file".to_owned());
        }
        let file = File::open(&real).map_err(|error| plain(&error))?;
        let mut bytes = vec![];
        match file.take(LARGEST + 1).read_to_end(&mut bytes) {
            // A device that has no such value says so only when it is asked.
            Err(error) if matches!(error.raw_os_error(), Some(ENODEV | ENXIO | EINVAL | EOPNOTSUPP)) => Ok(None),
            Err(error) => Err(plain(&error)),
            Ok(_) if bytes.len() as u64 > LARGEST => Err(format!("it has more than {} MiB", LARGEST >> 20)),
            Ok(_) => Ok(Some(bytes)),
        }
    }

    /// Where the path leads in the end; `None` where there is nothing, an error where it leads out of the root.
    fn real(&self, path: &str) -> Result<Option<PathBuf>, String> {
        match fs::canonicalize(self.root.join(path)) {
            Ok(real) if real.starts_with(&self.root) => Ok(Some(real)),
            Ok(_) => Err("it leads out of the root".to_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(plain(&error)),
        }
    }

    /// The whole text of a file, as it is.
    pub fn text(&mut self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        self.utf8(path, bytes)
    }

    fn utf8(&mut self, path: &str, bytes: Vec<u8>) -> Option<String> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                self.say(format!("cannot read /{path}: it is not UTF-8"));
                None
            }
        }
    }

    /// A name: one line without what ends or pads it. Empty is absent.
    pub fn word(&mut self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        self.tidied(path, &text)
    }

    /// The same of a file that most users may not read.
    pub fn word_if_allowed(&mut self, path: &str) -> Option<String> {
        let text = String::from_utf8(self.bytes_if_allowed(path)?).ok()?;
        self.tidied(path, &text)
    }

    fn tidied(&mut self, path: &str, text: &str) -> Option<String> {
        let word = tidy(text)?;
        if word.len() > LONGEST {
            self.say(format!("cannot read /{path}: a name of {} bytes is none", word.len()));
            return None;
        }
        Some(word)
    }

    /// The names in a list that ends each with a zero byte, as device trees have them.
    pub fn words(&mut self, path: &str) -> Vec<String> {
        let text = self.text(path).unwrap_or_default();
        text.split('\0').filter_map(tidy).filter(|word| word.len() <= LONGEST).collect()
    }

    pub fn number(&mut self, path: &str) -> Option<u64> {
        let word = self.word(path)?;
        let number = word.parse().ok();
        if number.is_none() {
            self.say(format!("cannot read /{path}: it is no number"));
        }
        number
    }

    pub fn exists(&self, path: &str) -> bool {
        matches!(self.real(path), Ok(Some(_)))
    }

    /// The names in a directory, sorted; none where there is none.
    pub fn names(&mut self, path: &str) -> Vec<String> {
        let listed = match self.real(path) {
            Ok(Some(real)) => fs::read_dir(real).map_err(|error| plain(&error)),
            Ok(None) => return vec![],
            Err(why) => Err(why),
        };
        match listed {
            Ok(entries) => {
                let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                let mut names: Vec<String> = names.collect();
                names.sort();
                names
            }
            Err(why) => {
                self.say(format!("cannot list /{path}: {why}"));
                vec![]
            }
        }
    }

    /// Where a path leads below the root: `sys/devices/pci0000:00/…`.
    pub fn leads_to(&self, path: &str) -> Option<String> {
        let real = self.real(path).ok().flatten()?;
        let below = real.strip_prefix(&self.root).ok()?;
        below.to_str().map(str::to_owned)
    }
}

const ENXIO: i32 = 6;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// The error without its number.
fn plain(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or(&words).to_lowercase()
}

/// One line: control characters are spaces, and of several spaces there is one.
fn tidy(text: &str) -> Option<String> {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}
