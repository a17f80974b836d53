//! `tap`: the messages that pass by.

use super::door::Door;
use super::{Exit, WrongUsage, talk};
use crate::name::SubjectPattern;
use crate::seed::talk::{line, tap};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use std::path::Path;

/// Watch messages by subject pattern, one a line, until Ctrl-C
#[derive(clap::Args)]
pub struct Args {
    /// Such as `evt.meadow.>`
    pattern: String,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    #[command(flatten)]
    door: Door,
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let pattern = SubjectPattern::parse(&args.pattern).map_err(|fault| WrongUsage(fault.to_string()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let client = args.door.connect(root).await?;
        let mut messages = tap(&client, pattern.to_string()).await?.take(args.count.unwrap_or(usize::MAX));
        while let Some(message) = messages.next().await {
            talk::print(&format!("{}\n", line(&message)));
        }
        Ok(Exit::Done)
    })
}
