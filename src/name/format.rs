//! The files that Leafwright writes and reads again, each with the version that this one writes: `"format"` in the file.
//!
//! Refuses: reading what a newer Leafwright wrote. `tests/formats/` has a kept sample of each, in every version there ever was.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// One kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileFormat {
    /// `state.json` of a machine.
    Register,
    /// `generations/<n>.json`
    Generation,
    /// `manifest.json` of a closure, and all that lies beside it.
    Manifest,
    /// `originals.json`
    Originals,
    /// `history.jsonl`, each line.
    History,
    /// `attempt.json`
    Attempt,
    /// `journal.jsonl`, the first line of each run.
    Journal,
    /// What `apply --dry-run --out FILE` keeps.
    Plan,
    /// `state.json` of a directory of `up`.
    Foreground,
    /// What `keys make` asks to be signed.
    Enrolment,
    /// `machines/<machine>.hardware.json`
    Hardware,
}

impl FileFormat {
    pub const ALL: [FileFormat; 11] = [
        FileFormat::Register,
        FileFormat::Generation,
        FileFormat::Manifest,
        FileFormat::Originals,
        FileFormat::History,
        FileFormat::Attempt,
        FileFormat::Journal,
        FileFormat::Plan,
        FileFormat::Foreground,
        FileFormat::Enrolment,
        FileFormat::Hardware,
    ];

    /// The version that is written. It grows when a file changes its meaning; older ones are still read.
    pub const fn version(self) -> u32 {
        match self {
            FileFormat::Register
            | FileFormat::Generation
            | FileFormat::Manifest
            | FileFormat::Originals
            | FileFormat::History
            | FileFormat::Attempt
            | FileFormat::Journal
            | FileFormat::Plan
            | FileFormat::Foreground
            | FileFormat::Enrolment
            | FileFormat::Hardware => 1,
        }
    }

    /// What else can be done about a newer one than taking the Leafwright that wrote it.
    fn or_else(self) -> &'static str {
        match self {
            FileFormat::Plan => ", or make the plan anew: leafwright apply MACHINE --dry-run --out FILE",
            FileFormat::Foreground => ", or another --state DIR",
            FileFormat::Hardware | FileFormat::Enrolment => ", or let this one write it anew",
            FileFormat::Register
            | FileFormat::Generation
            | FileFormat::Manifest
            | FileFormat::Originals
            | FileFormat::History
            | FileFormat::Attempt
            | FileFormat::Journal => ", or a later one; nothing was changed",
        }
    }

    /// The version that a text says it is in, if it is one that can be read here. Looked at alone and first: a newer one may have
    /// fields that nobody here knows.
    pub fn version_in(self, text: &[u8]) -> Result<u32, Unread> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let Head { format } = serde_json::from_slice(text).map_err(Unread::Damaged)?;
        match u32::try_from(format) {
            Ok(0) => Err(Unread::Never),
            Ok(version) if version <= self.version() => Ok(version),
            _ => Err(Unread::Newer { format: self, found: format }),
        }
    }

    /// The JSON of a text in any version up to this one's.
    pub fn parse<T: DeserializeOwned>(self, text: &[u8]) -> Result<T, Unread> {
        self.version_in(text)?;
        serde_json::from_slice(text).map_err(Unread::Damaged)
    }
}

/// Why a text was not read: a phrase for behind the file's name.
#[derive(Debug)]
pub enum Unread {
    /// A newer Leafwright wrote it.
    Newer { format: FileFormat, found: u64 },
    /// Versions begin with 1.
    Never,
    /// No such file.
    Damaged(serde_json::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Newer { format, found } => write!(
                f,
                "written by a newer leafwright (format {found}, this one knows {})\nhelp: use that one{}",
                format.version(),
                format.or_else()
            ),
            Unread::Never => f.write_str("it has the format 0, which never was"),
            Unread::Damaged(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unread {}
