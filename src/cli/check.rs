//! `check`: judge the whole domain.

use super::{Exit, talk};
use crate::diag;
use crate::diag::{Sources, json};
use anyhow::Result;

/// Judge the whole domain: every mistake, each with its place and a way out
#[derive(clap::Args)]
pub struct Args {
    /// Findings as text on stderr, or as JSON on stdout
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

pub fn run(args: &Args, sources: &Sources) -> Result<Exit> {
    let report = domain(sources);
    match args.format {
        Format::Json => {
            talk::print(&json(&report, sources));
            Ok(talk::verdict(&report))
        }
        Format::Human => {
            talk::show(&report, sources);
            talk::say(&talk::summary(&report));
            Ok(talk::verdict(&report))
        }
    }
}

/// All findings about the domain, in source order.
fn domain(sources: &Sources) -> diag::Report {
    let diag::Checked { value, report } = crate::check(sources);
    // The process ends with the report: nobody waits until thousands of machines are taken apart.
    std::mem::forget(value);
    report.sorted()
}
