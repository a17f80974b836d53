//! `explain CODE`: the long text of a diagnostic. `explain MACHINE OPTION`, `explain CLUSTER OPTION`: where a value came from.

use super::{Exit, WrongUsage, explain_option, page, print, talk};
use crate::declare::{self, Declared};
use crate::diag::Sources;
use crate::diag::codes::{self, Code};
use crate::name::MachineName;
use crate::resolve;
use anyhow::Result;

/// Explain a diagnostic (LW0012), or an option of a machine or cluster: its value, and every definition with its place
///
/// `explain LW0012`, `explain office leaf.listen`, `explain office leaf` (every option of the table),
/// `explain hub event_store.replicas` (of a cluster), `explain office hardware.cores` (what expressions read).
#[derive(clap::Args)]
pub struct Args {
    /// A code such as LW0012, a machine, or a cluster
    #[arg(value_name = "CODE|MACHINE|CLUSTER")]
    what: String,
    /// An option such as leaf.listen, or a table of options such as leaf
    #[arg(value_name = "OPTION")]
    option: Option<String>,
    /// The explained option as JSON
    #[arg(long, requires = "option")]
    json: bool,
}

/// Reads the domain only when a code is not what was asked for.
pub fn run(args: &Args, read: impl FnOnce() -> Result<Sources>) -> Result<Exit> {
    match &args.option {
        None => match Code::parse(&args.what).and_then(codes::explain) {
            Some(text) => {
                print(&page::shown(text, page::on_stdout()));
                Ok(Exit::Done)
            }
            None => Err(half_a_question(&args.what, read).into()),
        },
        Some(option) => explained(args, option, &read()?),
    }
}

/// One word that is no code: what is missing to make it a question.
fn half_a_question(what: &str, read: impl FnOnce() -> Result<Sources>) -> WrongUsage {
    let declared = read().ok().and_then(|sources| declare::all(&sources).value);
    let names = |declared: &Declared| -> Vec<String> {
        let clusters = declared.domain.iter().flat_map(|domain| domain.clusters.keys());
        declared.machines.keys().chain(clusters).map(ToString::to_string).collect()
    };
    let known = declared.as_ref().map(names).unwrap_or_default();
    let cluster = declared
        .and_then(|declared| declared.domain)
        .is_some_and(|domain| domain.clusters.keys().any(|name| name.as_str() == what));
    let (table, option) =
        if cluster { ("event_store", "event_store.replicas") } else { ("leaf", "leaf.max_connections") };
    WrongUsage(if known.iter().any(|name| name == what) {
        format!(
            "which option of {what}?\nhelp: name one: `leafwright explain {what} {option}`, or a table of them: `leafwright explain {what} {table}`"
        )
    } else if what.to_ascii_uppercase().starts_with("LW") && what[2..].chars().all(|c| c.is_ascii_digit()) {
        format!("there is no code `{what}`; codes look like LW0012")
    } else if known.is_empty() {
        format!("there is no code `{what}`; codes look like LW0012, an option is explained with its machine")
    } else {
        format!(
            "`{what}` is no code, no machine and no cluster\nhelp: an option is explained with its machine: `leafwright explain {} {what}`; there are {}; codes look like LW0012",
            known[0],
            known.join(", ")
        )
    })
}

fn explained(args: &Args, option: &str, sources: &Sources) -> Result<Exit> {
    let machine = MachineName::parse(&args.what).map_err(|fault| WrongUsage(fault.message))?;
    let checked = declare::all(sources).then(|declared| resolve::explain(&declared, &machine, option));
    let exit = talk::judge(&checked.report.sorted(), sources);
    if let Some(explanation) = &checked.value {
        match args.json {
            true => print(&format!("{:#}\n", explain_option::json(explanation, sources))),
            false => print(&explain_option::text(explanation, sources)),
        }
    }
    Ok(exit)
}
