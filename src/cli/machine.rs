//! `machine`: what units of Leafwright's own run; nothing for people.

use super::apply::{block_on, publish};
use super::{Exit, talk};
use crate::host::machine::{Home, STATE};
use crate::machine::{self, Booted, Confirmed, Patience};
use anyhow::Result;
use std::path::PathBuf;
use std::time::Duration;

/// What Leafwright's own units run
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Go back when an apply has died, or when its time is over
    Watch {
        #[arg(long, default_value = STATE)]
        state: PathBuf,
        #[arg(long)]
        within_ms: u64,
    },
    /// Before anything of ours is started: make files and register agree
    Boot {
        #[arg(long, default_value = STATE)]
        state: PathBuf,
    },
    /// After a boot that tries a generation: let the gates decide
    Confirm {
        #[arg(long, default_value = STATE)]
        state: PathBuf,
        /// Seconds until the gates are looked at of a boot that does not come to its end
        #[arg(long, value_name = "SECONDS")]
        booting: Option<u64>,
        /// Seconds until its gates must hold
        #[arg(long, value_name = "SECONDS")]
        within: Option<u64>,
    },
}

pub fn run(args: &Args) -> Result<Exit> {
    match &args.verb {
        Verb::Watch { state, within_ms } => {
            let home = Home::new(state, None)?;
            let returned = block_on(async {
                let returned = machine::watch(&home, Duration::from_millis(*within_ms)).await;
                publish(&home, &home.state().join("keys")).await;
                returned
            })?;
            returned.into_iter().for_each(|returned| talk::say(&returned.to_string()));
        }
        Verb::Boot { state } => match block_on(machine::at_boot(&Home::new(state, None)?))? {
            Booted::AsItWas => talk::say("this machine is what it was"),
            Booted::Returned(returned) => talk::say(&returned.to_string()),
            Booted::Trying(generation) => talk::say(&format!("this boot tries generation {generation}")),
        },
        Verb::Confirm { state, booting, within } => {
            let Patience { booting: full, within: long, steady } = Patience::default();
            let or = |named: &Option<u64>, else_: Duration| named.map_or(else_, Duration::from_secs);
            let patience = Patience { booting: or(booting, full), within: or(within, long), steady };
            let home = Home::new(state, None)?;
            let confirmed = block_on(async {
                let confirmed = machine::confirm(&home, patience).await;
                publish(&home, &home.state().join("keys")).await;
                confirmed
            })?;
            match confirmed {
                None => {}
                Some(Confirmed::Committed(generation)) => talk::say(&format!("generation {generation} is committed")),
                Some(Confirmed::Returned(returned)) => talk::say(&returned.to_string()),
            }
        }
    }
    Ok(Exit::Done)
}
