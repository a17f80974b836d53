//! Versioned files of a machine's state, as errors of the world.
//!
//! Refuses: guessing at what is newer.

use crate::name::{FileFormat, Unread};
use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

/// Errors are phrases for behind the file's name; `damaged` is the one for what is no such file, with a way out.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8], format: FileFormat, damaged: &'static str) -> Result<T> {
    match format.parse(text) {
        Err(Unread::Newer { format, found }) => Err(Unread::Newer { format, found }.into()),
        parsed => parsed.context(damaged),
    }
}
