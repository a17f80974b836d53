//! Files that say which format they are in: read by who knows it, refused by who is too old for it.
//!
//! Refuses: guessing at what is newer.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The JSON of a file of format 1 to `known`, named by `"format"`. Errors are lowercase phrases for behind the file's name;
/// `damaged` is the one for what is no such file, with a way out.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8], known: u32, damaged: &'static str) -> Result<T> {
    #[derive(Deserialize)]
    struct Header {
        format: u32,
    }
    let header: Header = serde_json::from_slice(text).context(damaged)?;
    ensure!(
        header.format <= known,
        "written by a newer leafwright (format {}, this one knows {known})\nhelp: use that one",
        header.format
    );
    serde_json::from_slice(text).context(damaged)
}
