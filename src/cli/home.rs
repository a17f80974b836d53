//! Where a verb finds the state of the machine that it is about.
//!
//! Refuses: nothing; the state directory judges itself.

use crate::host::machine::lock::Lock;
use crate::host::machine::register::{self, Register};
use crate::host::machine::{Home, STATE};
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Where {
    /// The machine's root directory, for an image [default: this machine]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the machine keeps its state, as it names it itself
    #[arg(long, global = true, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

impl Where {
    pub fn home(&self) -> Result<Home> {
        Home::new(&self.state, self.root.as_deref())
    }

    /// The register, held: nobody else changes it until the lock is dropped. `None` where nothing was ever applied; there a question
    /// makes no state directory either.
    pub fn held(&self, purpose: &str) -> Result<Option<(Home, Lock, Register)>> {
        let home = self.home()?;
        if register::read(&home)?.is_none() {
            return Ok(None);
        }
        let lock = home.lock(purpose)?;
        Ok(register::read(&home)?.map(|register| (home, lock, register)))
    }
}
