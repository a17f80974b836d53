//! `status`: this machine against the generation that it is.

use super::apply::block_on;
use super::{Exit, talk};
use crate::host::machine::{Home, STATE};
use crate::machine::{self, Status};
use crate::plan::machine::render;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Say what this machine is and what differs from that; exit 3 where anything does
#[derive(clap::Args)]
pub struct Args {
    /// As JSON, `"format": 1`
    #[arg(long)]
    json: bool,
    /// Where generations are kept
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

pub fn run(args: &Args) -> Result<Exit> {
    let home = Home::new(&args.state, None)?;
    let Some(status) = block_on(machine::status(&home))? else {
        talk::say("nothing was ever applied on this machine");
        if args.json {
            talk::print("{\"format\": 1, \"generation\": null}\n");
        }
        return Ok(Exit::Difference);
    };
    let text = if args.json { format!("{:#}\n", as_json(&status)) } else { human(&status) };
    talk::print(&text);
    Ok(if status.is_sound() { Exit::Done } else { Exit::Difference })
}

fn human(status: &Status) -> String {
    let register = &status.register;
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    match register.active_generation() {
        Some(active) if register.current == Some(active) => {
            line(format!("{} is generation {active}", register.machine))
        }
        Some(active) => line(format!("{} is generation {active}, until the next boot", register.machine)),
        None => line(format!("{} is no generation", register.machine)),
    }
    if let Some(holder) = &status.busy {
        line(format!("at work: {holder}"));
    }
    if let Some(pending) = &register.pending {
        line(format!("generation {} is not committed", pending.to));
    }
    if let Some(next) = register.next {
        line(format!("generation {next} begins with the next boot"));
    }
    if let Some(returned) = &register.returned {
        line(format!("generation {} was given up, because {}", returned.from, returned.reason));
    }
    if !status.failed.is_empty() {
        let failed: Vec<&str> = status.failed.iter().map(String::as_str).collect();
        line(format!("failed units: {}", failed.join(", ")));
    }
    if !status.damages.is_empty() {
        line("the closure of its generation is damaged; `apply` of the same text makes it whole:".to_owned());
        status.damages.iter().for_each(|damage| line(format!("  {damage}")));
        return text;
    }
    match status.drift.as_ref().filter(|plan| !plan.is_empty()) {
        None => line("nothing differs".to_owned()),
        Some(plan) => {
            line("what differs, and what `apply` would do:".to_owned());
            line(render::human(plan).trim_end().to_owned());
        }
    }
    text
}

fn as_json(status: &Status) -> Value {
    let register = &status.register;
    json!({
        "format": 1,
        "machine": register.machine,
        "generation": register.active_generation(),
        "register": register,
        "failed": status.failed,
        "damages": status.damages.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sound": status.is_sound(),
        "drift": status.drift,
    })
}
