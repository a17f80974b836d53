//! `explain CODE`: the long text of a diagnostic. `explain MACHINE OPTION`: where a value came from.

use super::{Exit, WrongUsage, explain_option, print, talk};
use crate::declare;
use crate::diag::Sources;
use crate::diag::codes::{self, Code};
use crate::name::MachineName;
use crate::resolve;
use anyhow::Result;

/// Explain a diagnostic (LW0012), or an option of a machine: its value, and every definition with its place
#[derive(clap::Args)]
pub struct Args {
    /// A code such as LW0012, or a machine
    #[arg(value_name = "CODE|MACHINE")]
    what: String,
    /// An option such as leaf.listen
    #[arg(value_name = "OPTION")]
    option: Option<String>,
    /// The explained option as JSON
    #[arg(long, requires = "option")]
    json: bool,
}

/// Reads the domain only when an option of it is asked for.
pub fn run(args: &Args, read: impl FnOnce() -> Result<Sources>) -> Result<Exit> {
    match &args.option {
        None => code(&args.what),
        Some(option) => explained(args, option, &read()?),
    }
}

fn code(text: &str) -> Result<Exit> {
    let page = Code::parse(text).and_then(codes::explain);
    let unknown = || WrongUsage(format!("there is no code `{text}`; codes look like LW0012, an option is explained with its machine"));
    print(page.ok_or_else(unknown)?);
    Ok(Exit::Done)
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
