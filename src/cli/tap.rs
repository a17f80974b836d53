//! `tap`: the messages that pass by.

use super::door::Door;
use super::send::contexts_for;
use super::{Exit, WrongUsage, talk};
use crate::compile::Deed;
use crate::name::SubjectPattern;
use crate::seed::talk::{line, tap};
use crate::{judge, load};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use std::path::Path;

/// Watch messages by subject pattern, one a line, until Ctrl-C
///
/// One hears what passes on the machine that one is on: what its services send, and what comes there for them.
#[derive(clap::Args)]
pub struct Args {
    /// Such as `evt.meadow.todos.*` [default: the domain's events]
    pattern: Option<String>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    #[command(flatten)]
    door: Door,
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let domain = judge(&load::domain(root)?).value.map(|judged| judged.domain);
    let pattern = match (&args.pattern, &domain) {
        (Some(pattern), _) => SubjectPattern::parse(pattern).map_err(|fault| WrongUsage(fault.to_string()))?,
        (None, Some(domain)) => domain.spaces.events.clone(),
        (None, None) => {
            let text = "the domain is not sound, so its events are unknown: see `leafwright check`, or name a pattern";
            return Err(WrongUsage(text.to_owned()).into());
        }
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let suited = || domain.as_ref().map_or(vec![], |domain| contexts_for(domain, Deed::Hear, &pattern));
        let mut guest = args.door.connect(root, suited).await?;
        let mut messages = tap(&guest.client, pattern.to_string()).await?.take(args.count.unwrap_or(usize::MAX));
        talk::say(&format!("{} listens to `{pattern}`: {HERE}", guest.who));
        while let Some(message) = guest.unless_forbidden(messages.next()).await? {
            talk::print(&format!("{}\n", line(&message)));
        }
        Ok(Exit::Done)
    })
}

/// Who hears nothing should not think that nothing happens.
const HERE: &str = "what passes on that machine; events of others come there only for a service that receives them";
