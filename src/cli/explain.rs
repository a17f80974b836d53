//! `explain CODE`: the long text of a diagnostic.

use super::{Exit, WrongUsage, print};
use crate::diag::codes::{self, Code};
use anyhow::Result;

/// Explain a diagnostic: why it is said, a wrong example and a right one
#[derive(clap::Args)]
pub struct Args {
    /// A code such as LW0012
    #[arg(value_name = "CODE")]
    code: String,
}

pub fn run(args: &Args) -> Result<Exit> {
    let page = Code::parse(&args.code).and_then(codes::explain);
    let unknown = || WrongUsage(format!("there is no code `{}`; codes look like LW0012", args.code));
    print(page.ok_or_else(unknown)?);
    Ok(Exit::Done)
}
