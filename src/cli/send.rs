//! `send`: one message, as its contract has it.

use super::door::Door;
use super::{Exit, WrongUsage, talk};
use crate::diag::Sources;
use crate::name::MessageName;
use crate::seed::talk::{Envelope, Sent, payload, send};
use anyhow::{Context, Result};
use std::path::Path;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Send a message of a contract: a command or an event until it is stored, a query until it is answered
#[derive(clap::Args)]
pub struct Args {
    /// Such as `todos.add`
    message: String,
    /// The payload, field by field: `title=milk`
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    #[command(flatten)]
    door: Door,
}

pub fn run(args: &Args, sources: &Sources, root: &Path) -> Result<Exit> {
    let judged = crate::judge(sources);
    let exit = talk::judge(&judged.report, sources);
    let Some(judged) = judged.value.filter(|_| exit == Exit::Done) else { return Ok(Exit::Unsound) };
    let message = MessageName::parse(&args.message).ok().and_then(|name| judged.domain.messages.get(&name));
    let message = message.ok_or_else(|| WrongUsage(format!("no contract has a message `{}`", args.message)))?;
    let fields: Vec<_> = args.fields.iter().map(|field| pair(field)).collect::<Result<_, _>>()?;
    let payload = payload(message, &fields).map_err(WrongUsage)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let sent = runtime.block_on(async {
        let client = args.door.connect(root).await?;
        let (id, time) = (client.new_inbox(), OffsetDateTime::now_utc().format(&Rfc3339)?);
        let id = id.rsplit('.').next().unwrap_or(&id);
        let source = format!("/{}/cli", judged.domain.name);
        anyhow::Ok(send(&client, message, &payload, &Envelope { id, source: &source, time: &time }).await?)
    })?;
    talk::print(&match sent {
        Sent::Stored { stream, sequence } => format!("{} stored in {stream} as number {sequence}\n", message.subject),
        Sent::Answered(text) => format!("{text}\n"),
    });
    Ok(Exit::Done)
}

fn pair(field: &str) -> Result<(String, String), WrongUsage> {
    let (name, value) = field.split_once('=').ok_or_else(|| WrongUsage(format!("`{field}` is not FIELD=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}
