//! `manifest.json` of a closure on disk: what is in it, and what it is about.
//!
//! Refuses: another format, paths that lead out of the closure, and an order that is not the digest's.

use super::versioned;
use crate::compile::{ArtefactKind, Effect};
use crate::name::FileFormat;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer};
use std::fs;
use std::path::{Component, Path};

pub const MANIFEST: &str = "manifest.json";

/// `manifest.json` of a closure.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub digest: String,
    /// In the order of paths.
    pub artefacts: Vec<Listed>,
}

/// An artefact as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    pub kind: ArtefactKind,
    pub path: String,
    #[serde(deserialize_with = "octal")]
    pub mode: u32,
    pub digest: String,
    pub effect: Effect,
    pub origins: Vec<String>,
}

fn octal<'de, D: Deserializer<'de>>(reader: D) -> Result<u32, D::Error> {
    let text = String::deserialize(reader)?;
    u32::from_str_radix(&text, 8).map_err(serde::de::Error::custom)
}

/// Reads the manifest of the closure in `entry`.
pub fn read(entry: &Path) -> Result<Manifest> {
    let path = entry.join(MANIFEST);
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

pub fn parse(text: &[u8]) -> Result<Manifest> {
    let manifest: Manifest = versioned::parse(text, FileFormat::Manifest, "not a manifest")?;
    for (before, listed) in std::iter::once(None).chain(manifest.artefacts.iter().map(Some)).zip(&manifest.artefacts) {
        let plain = Path::new(&listed.path).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(plain && !listed.path.is_empty(), "`{}` leads out of the closure", listed.path);
        ensure!(before.is_none_or(|before| before.path < listed.path), "`{}` is not in its place", listed.path);
    }
    let whole = manifest.digest.len() == 64 && manifest.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(whole && Path::new(&manifest.name).components().count() == 1, "it names no closure");
    Ok(manifest)
}
