//! How the verbs that talk to one server come in: a context of the `nats` command, or an address and a key file.
//!
//! Refuses: keys on the command line, where `ps` would show them.

use super::WrongUsage;
use crate::foreground::contexts;
use crate::host::endpoint::Login;
use crate::host::keys::Secret;
use crate::host::machine::lock;
use anyhow::{Context, Result, anyhow};
use async_nats::{Client, ConnectOptions, Event, ServerError};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

#[derive(clap::Args)]
pub struct Door {
    /// A `nats` context, by name (such as `up` writes them) or by file: address, key and inbox in one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "nkey", "creds", "inbox"])]
    context: Option<String>,
    /// The nats-server of this machine [default: 127.0.0.1:4222]
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    /// A file with the seed of your NKey: a user of a leaf
    #[arg(long, value_name = "FILE", conflicts_with = "creds")]
    nkey: Option<PathBuf>,
    /// A creds file: a user of the cluster
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// What your inboxes begin with, where your key may hear no others: `_INBOX.<machine>.<person>`
    #[arg(long, value_name = "PREFIX")]
    inbox: Option<String>,
}

/// The parts of a context file that matter here; the `nats` command knows more.
#[derive(Deserialize)]
struct ContextFile {
    url: String,
    nkey: Option<PathBuf>,
    creds: Option<PathBuf>,
    inbox_prefix: Option<String>,
}

/// Whoever came in, and what the server forbids them from then on.
pub struct Guest {
    pub client: Client,
    /// `ada on desk`, as the inbox tells.
    pub who: String,
    refusals: UnboundedReceiver<String>,
}

impl Guest {
    /// What is forbidden looks like silence to the client, so whichever comes first counts: the work's end or the server's no.
    pub async fn unless_forbidden<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            Some(refusal) = self.refusals.recv() => Err(anyhow!(told(&self.who, &refusal))),
            done = work => Ok(done),
        }
    }
}

/// nats-server's `Permissions Violation for Subscription to ">"` in the words of the declarations.
fn told(who: &str, refusal: &str) -> String {
    let subject = refusal.split('"').nth(1).unwrap_or("this");
    let (verb, right) = if refusal.contains("Subscription") { ("hear", "subscribe") } else { ("send to", "publish") };
    let help = match subject.starts_with("_INBOX.") {
        true => "name the inbox that belongs to the key with --inbox, or take a context with --context".to_owned(),
        false => format!("a role's `{right}` in domain.toml allows it to a person"),
    };
    format!("{who} may not {verb} `{subject}`\nhelp: {help}")
}

impl Door {
    /// `root` is the domain's directory: contexts of its own `up` are found first. `suited` are those that would do, for the error
    /// that asks for one.
    pub async fn connect(&self, root: &Path, suited: impl Fn() -> Vec<String>) -> Result<Guest> {
        if self.is_open() && up_runs(root) {
            let suited = suited().into_iter().chain(people(root)).find(|name| places_of(name, root)[1].is_file());
            if let Some(name) = suited {
                let text = format!("`up` runs this domain here; as whom?\nhelp: add --context {name}");
                return Err(WrongUsage(text).into());
            }
        }
        let file = self.context_file(root)?;
        let options = login(&file)?.map_or_else(|| Ok(ConnectOptions::new()), |login| login.options())?;
        let options = match &file.inbox_prefix {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        };
        let (tell, refusals) = unbounded_channel();
        let options = options.event_callback(move |event| {
            if let Event::ServerError(ServerError::Other(text)) = event
                && text.to_lowercase().contains("permissions violation")
            {
                // Whoever does not listen any more has what it came for.
                let _gone = tell.send(text);
            }
            std::future::ready(())
        });
        let client = options.name("leafwright").connect(&file.url).await;
        let client = client.with_context(|| format!("cannot connect to {}", file.url))?;
        Ok(Guest { client, who: who(file.inbox_prefix.as_deref()), refusals })
    }

    /// Nothing says where to go and as whom.
    fn is_open(&self) -> bool {
        let Self { context, server, nkey, creds, inbox } = self;
        [context, server, inbox].iter().all(|text| text.is_none()) && [nkey, creds].iter().all(|file| file.is_none())
    }

    fn context_file(&self, root: &Path) -> Result<ContextFile> {
        let Some(name) = &self.context else {
            let Self { server, nkey, creds, inbox, .. } = self;
            let url = server.clone().unwrap_or_else(|| "127.0.0.1:4222".to_owned());
            return Ok(ContextFile { url, nkey: nkey.clone(), creds: creds.clone(), inbox_prefix: inbox.clone() });
        };
        let places = places_of(name, root);
        let found = places.iter().find(|place| place.is_file());
        let path = found.with_context(|| {
            let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            format!("there is no context {name}; looked for {}", tried.join(", "))
        })?;
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not a context of `nats`", path.display()))
    }
}

/// `_INBOX.desk.ada` is the inbox of ada on desk.
fn who(inbox: Option<&str>) -> String {
    let parts: Vec<&str> = inbox.unwrap_or_default().split('.').collect();
    match parts.as_slice() {
        ["_INBOX", machine, person] => format!("{person} on {machine}"),
        _ => "this user".to_owned(),
    }
}

/// Where `up` keeps its state unless it is told otherwise.
fn state(root: &Path) -> PathBuf {
    root.join(".leafwright")
}

fn up_runs(root: &Path) -> bool {
    lock::holder(&state(root)).is_ok_and(|holder| holder.is_some())
}

/// The contexts of people that `up` wrote; the provisioners' are not for sending.
fn people(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state(root).join(contexts::DIRECTORY)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<String> = names.filter(|name| !name.ends_with("-provisioner")).collect();
    names.sort_unstable();
    names
}

/// The file itself, then `up`'s contexts of this domain, then the user's own.
fn places_of(name: &str, root: &Path) -> Vec<PathBuf> {
    let file = format!("{name}.json");
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let configuration = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let mut places = vec![PathBuf::from(name), state(root).join(contexts::DIRECTORY).join(&file)];
    places.extend(configuration.map(|directory| directory.join("nats/context").join(&file)));
    places
}

fn login(file: &ContextFile) -> Result<Option<Login>> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())).map(Secret::new)
    };
    Ok(match (&file.nkey, &file.creds) {
        (Some(path), _) => Some(Login::NKey(read(path)?)),
        (None, Some(path)) => Some(Login::Creds(read(path)?)),
        (None, None) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_told_in_the_words_of_the_declarations() {
        assert_eq!(who(Some("_INBOX.desk.ada")), "ada on desk");
        assert_eq!(
            told("ada on desk", "Permissions Violation for Subscription to \">\""),
            "ada on desk may not hear `>`\nhelp: a role's `subscribe` in domain.toml allows it to a person"
        );
        assert_eq!(
            told("ada on desk", "Permissions Violation for Publish to \"evt.meadow.todos.added\""),
            "ada on desk may not send to `evt.meadow.todos.added`\nhelp: a role's `publish` in domain.toml allows it to a person"
        );
        let inbox = told(&who(None), "Permissions Violation for Subscription to \"_INBOX.x.*\"");
        assert!(inbox.starts_with("this user may not hear `_INBOX.x.*`\nhelp: name the inbox"), "{inbox}");
    }
}
