//! `status`: this machine against the generation that it is; with `--history` what became of it, or of any machine of the domain.

use super::apply::{block_on, publish};
use super::{Exit, WrongUsage, history, talk};
use crate::host::machine::lock::Holder;
use crate::host::machine::register::{Mode, Pending, Phase};
use crate::host::machine::{Home, STATE};
use crate::machine::{self, Recorded, Status};
use crate::name::MachineName;
use crate::plan;
use crate::plan::machine::render;
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Say what this machine is and what differs from that; exit 3 where anything does
#[derive(clap::Args)]
pub struct Args {
    /// As JSON, `"format": 1`
    #[arg(long)]
    json: bool,
    /// What became of this machine: applies, rollbacks, returns, drift
    #[arg(long)]
    history: bool,
    /// With --history: of another machine of the domain, or of `all`, asked over this machine's link
    #[arg(long, value_name = "MACHINE", requires = "history")]
    of: Option<String>,
    /// With --history: so many events, the last ones
    #[arg(short = 'n', value_name = "N", requires = "history", default_value = "20")]
    number: NonZeroUsize,
    /// Write into the history what differs now and did not before; a timer does it (module `drift`)
    #[arg(long, conflicts_with = "history")]
    record: bool,
    /// Where generations are kept
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

pub fn run(args: &Args) -> Result<Exit> {
    let home = Home::new(&args.state, None)?;
    if args.history {
        return told(args, &home);
    }
    let Some(status) = block_on(looked_at(args, &home))? else {
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

/// Whatever could not be published before goes now.
async fn looked_at(args: &Args, home: &Home) -> Result<Option<Status>> {
    let status = match args.record {
        false => machine::status(home).await?,
        true => machine::record(home).await?.map(|(status, recorded)| {
            talk::say(&match recorded {
                Recorded::News(kind) => format!("into the history: {}", kind.token()),
                Recorded::NoNews => "nothing new for the history".to_owned(),
                Recorded::AtWork => "somebody is at work on this machine: nothing goes into the history".to_owned(),
            });
            status
        }),
    };
    publish(home, &home.state().join("keys")).await;
    Ok(status)
}

fn told(args: &Args, home: &Home) -> Result<Exit> {
    let of = match args.of.as_deref() {
        None => None,
        Some("all") => Some(None),
        Some(name) => Some(Some(MachineName::parse(name).map_err(|fault| WrongUsage(fault.to_string()))?)),
    };
    let keys = home.state().join("keys");
    let mut found = match &of {
        None => machine::history::own(home)?,
        Some(machine) => block_on(machine::history::of_domain(home, &keys, machine.as_ref()))?,
    };
    let first = found.events.len().saturating_sub(args.number.get());
    found.events.drain(..first);
    if args.json {
        talk::print(&format!("{:#}\n", json!({ "format": 1, "events": found.events, "strange": found.strange })));
        return Ok(Exit::Done);
    }
    match found.events.as_slice() {
        [] => talk::say("nothing is known of that yet"),
        events => talk::print(&history::human(events)),
    }
    if found.strange > 0 {
        talk::say(&format!("{} messages beside them are no events that this leafwright knows", found.strange));
    }
    Ok(Exit::Done)
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
        line(half_way(pending, status.busy.as_ref()));
    }
    if let Some(next) = register.next {
        line(format!("generation {next} begins with the next boot; `apply` of what is here now takes that back"));
    }
    if status.upgraded {
        line("leafwright itself is another one than made this generation; the next `apply` makes that a generation of its own".to_owned());
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
    // What differs from either end of a change says nothing.
    if register.pending.is_none() {
        differences(status, &mut line);
    }
    text
}

/// Where a change stands that did not come to its end, and who brings it there.
fn half_way(pending: &Pending, at_work: Option<&Holder>) -> String {
    let to = pending.to;
    let says = match &pending.phase {
        Phase::Activating => format!("generation {to} is not committed"),
        Phase::Returning { reason } => format!("the machine goes back from generation {to}, because {reason}"),
    };
    match (at_work, pending.mode) {
        (Some(_), _) => says,
        (None, Mode::Boot) => format!(
            "{says}\nhelp: leafwright-confirm.service decides; where it does not run, the next `apply` or `rollback` goes back first"
        ),
        (None, _) => format!(
            "{says}\nhelp: leafwright-watchdog.service goes back; where it does not run, the next `apply`, `rollback` or boot does: journalctl -u leafwright-watchdog"
        ),
    }
}

/// What `apply` would do, what it leaves alone, and where nobody could look.
fn differences(status: &Status, line: &mut dyn FnMut(String)) {
    let drift = status.drift.as_ref().filter(|plan| !plan.is_empty());
    let objects = status.objects.plan().filter(|plan| !plan.is_empty());
    if drift.is_some() || objects.is_some() || !status.boot.is_empty() {
        line("what differs, and what `apply` would do:".to_owned());
        drift.iter().for_each(|plan| line(render::human(plan).trim_end().to_owned()));
        objects.iter().for_each(|plan| line(plan::render::human(plan).trim_end().to_owned()));
        status.boot.iter().for_each(|fault| line(format!("  write it again, because {fault}")));
    }
    if !status.strays.is_empty() {
        line("what differs, and `apply` leaves alone:".to_owned());
        for stray in &status.strays {
            line(format!("  {stray}"));
            line(format!("       help: {}", stray.way_out));
        }
    }
    status.unseen().for_each(|what| line(format!("could not be looked at: {what}")));
    if let Some(left) = status.register.leaving {
        line(format!("something of generation {left} may still be there; the next `apply` removes it"));
    }
    if status.is_sound() && status.register.leaving.is_none() {
        line("nothing differs".to_owned());
    }
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
        "objects": status.objects.plan(),
        "strays": status.strays,
        "boot": status.boot,
        "upgraded": status.upgraded,
        "unseen": status.unseen().collect::<Vec<_>>(),
    })
}
