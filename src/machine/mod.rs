//! `apply`: the machine that it runs on becomes what is declared, under systemd, and goes back by itself where that does not hold.
//!
//! Refuses: other machines. What belongs to no single machine is `domain`'s, over a connection.

mod domain;
pub mod history;
mod image;
mod link;
mod objects;
mod prepare;
mod apply;
mod boot;
pub mod bootstrap;
mod precheck;
mod prove;
mod recover;
mod rollback;
mod scratch;
mod status;
mod stored;

pub use apply::{Asked, Order, Outcome, Talk, apply};
pub use boot::{Booted, Confirmed, Patience, at_boot, confirm};
pub use domain::{DomainPrepared, Talk as DomainTalk, apply_domain, plan_domain, prepare_domain, publish_member};
pub use image::apply_root;
pub use prepare::{Prepared, closure_name, prepare};
pub use prove::{Proof, Trial, prove};
pub use recover::watch;
pub use rollback::rollback;
pub use status::{Objects, Recorded, Status, record, status};

use crate::apply::machine::Generation;
use crate::host::machine::{Home, boot_units, files, generations, store};
use crate::plan::machine::Content;
use crate::plan::machine::content::Unreadable;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// A generation of the store, typed.
fn generation(home: &Home, number: u64) -> Result<Generation> {
    let record = generations::read(home, number)?;
    let entry = home.entry(&record.closure);
    if let Some(damage) = store::verify(&entry)?.first() {
        bail!(
            "the closure of generation {number} is damaged, {}/{damage}\nhelp: apply the text that it was made of again: that makes the store whole",
            entry.display()
        );
    }
    read(number, &entry, |manifest, text_of| Content::read(manifest, text_of))
}

/// A generation that something is left of on the machine, and that is not to be placed: of a damaged closure what can still be read,
/// of one that is not there every path that is ours.
fn on_its_way_out(home: &Home, number: u64) -> Result<Generation> {
    generation(home, number).or_else(|damaged| {
        let entry = generations::read(home, number).map(|record| home.entry(&record.closure));
        let content = |manifest: &str, text_of: TextOf<'_>| Content::read_damaged(manifest, text_of);
        let found = entry.and_then(|entry| read(number, &entry, content));
        found.or_else(|_| {
            let ours = files::ours(home).ok().filter(|_| files::knows_originals(home)).ok_or(damaged)?;
            let content = Content::of_paths(ours.into_iter().filter(|path| !boot_units::owns(path)));
            Ok(Generation { number, content })
        })
    })
}

/// Reads a text of a closure.
type TextOf<'a> = &'a dyn Fn(&str) -> Option<String>;

fn read(
    number: u64,
    entry: &Path,
    content: impl Fn(&str, TextOf<'_>) -> Result<Content, Unreadable>,
) -> Result<Generation> {
    let manifest = std::fs::read_to_string(entry.join("manifest.json"))
        .with_context(|| format!("the closure of generation {number} is not in the store"))?;
    let content = content(&manifest, &|path| std::fs::read_to_string(entry.join(path)).ok())
        .with_context(|| format!("generation {number}, {}", entry.display()))?;
    Ok(Generation { number, content })
}
