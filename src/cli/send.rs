//! `send`: one message, as its contract has it.

use super::door::Door;
use super::{Exit, WrongUsage, talk};
use crate::compile::{self, Deed};
use crate::diag::Sources;
use crate::foreground::contexts;
use crate::name::{MessageName, SubjectPattern};
use crate::resolve::{Domain, Message};
use crate::seed::talk::{Envelope, Sent, fitting, payload, send};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Send a message of a contract: a command or an event until it is stored, a query until it is answered
#[derive(clap::Args)]
pub struct Args {
    /// Such as `todos.add`
    message: String,
    /// The payload: one JSON object (`'{"title": "milk"}'`), or field by field (`title=milk`)
    #[arg(value_name = "JSON|FIELD=VALUE")]
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
    let payload = written(message, &args.fields)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let sent = runtime.block_on(async {
        let suited = || contexts_for(&judged.domain, Deed::Say, &message.subject.pattern());
        let mut guest = args.door.connect(root, suited).await?;
        let client = guest.client.clone();
        let (id, time) = (client.new_inbox(), OffsetDateTime::now_utc().format(&Rfc3339)?);
        let id = id.rsplit('.').next().unwrap_or(&id).to_owned();
        let source = format!("/{}/cli", judged.domain.name);
        let envelope = Envelope { id: &id, source: &source, time: &time };
        let sent = guest.unless_forbidden(send(&client, message, &payload, &envelope)).await??;
        anyhow::Ok((sent, id))
    });
    let (sent, id) = sent?;
    talk::print(&match sent {
        Sent::Stored { stream, sequence } => {
            format!("{} stored in {stream} as number {sequence}, id {id}\n", message.subject)
        }
        Sent::Answered(text) => format!("{text}\n"),
    });
    Ok(Exit::Done)
}

/// The payload as it was typed, checked against its schema.
fn written(message: &Message, words: &[String]) -> Result<Value> {
    let written = match words {
        [json] if json.trim_start().starts_with('{') => {
            let payload =
                serde_json::from_str(json).map_err(|fault| WrongUsage(format!("the payload is not JSON: {fault}")))?;
            fitting(message, payload)
        }
        fields => payload(message, &fields.iter().map(|field| pair(field)).collect::<Result<Vec<_>, _>>()?),
    };
    Ok(written.map_err(WrongUsage)?)
}

/// The contexts of `up` whose people may do it.
pub(super) fn contexts_for(domain: &Domain, deed: Deed, pattern: &SubjectPattern) -> Vec<String> {
    let people = compile::people_who_may(domain, deed, pattern).into_iter();
    people.map(|(machine, person)| contexts::name(&domain.name, &machine, person.as_str())).collect()
}

fn pair(field: &str) -> Result<(String, String), WrongUsage> {
    let (name, value) = field.split_once('=').ok_or_else(|| WrongUsage(format!("`{field}` is not FIELD=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}
