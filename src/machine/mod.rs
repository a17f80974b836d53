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
pub mod bootstrap;
mod precheck;
mod prove;
mod recover;
mod rollback;
mod scratch;
mod status;
mod stored;

pub use apply::{Asked, Order, Outcome, Talk, apply};
pub use domain::{DomainPrepared, Talk as DomainTalk, apply_domain, plan_domain, prepare_domain, publish_member};
pub use image::apply_root;
pub use prepare::{Prepared, closure_name, prepare};
pub use prove::{Proof, Trial, prove};
pub use recover::{Booted, Confirmed, at_boot, confirm, watch};
pub use rollback::rollback;
pub use status::{Objects, Recorded, Status, record, status};

use crate::apply::machine::Generation;
use crate::host::machine::{Home, generations, store};
use crate::plan::machine::Content;
use anyhow::{Context as _, Result, bail};

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
    let manifest = std::fs::read_to_string(entry.join("manifest.json"))
        .with_context(|| format!("the closure of generation {number} is not in the store"))?;
    let content = Content::read(&manifest, |path| std::fs::read_to_string(entry.join(path)).ok())
        .with_context(|| format!("generation {number}, {}", entry.display()))?;
    Ok(Generation { number, content })
}
