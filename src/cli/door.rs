//! How the verbs that talk to one server come in: a context of the `nats` command, or an address and a key file.
//!
//! Refuses: keys on the command line, where `ps` would show them.

use crate::host::keys::Secret;
use crate::seed::Login;
use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Door {
    /// A `nats` context, by name (such as `up` writes them) or by file: address, key and inbox in one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["server", "nkey", "creds", "inbox"])]
    context: Option<String>,
    /// The nats-server of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4222")]
    server: String,
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

impl Door {
    /// `root` is the domain's directory: contexts of its own `up` are found first.
    pub async fn connect(&self, root: &Path) -> Result<Client> {
        let file = self.context_file(root)?;
        let options = match login(&file)? {
            None => ConnectOptions::new(),
            Some(Login::NKey(seed)) => ConnectOptions::with_nkey(seed.reveal().trim().to_owned()),
            // The library's error could quote the file.
            Some(Login::Creds(creds)) => ConnectOptions::with_credentials(creds.reveal())
                .map_err(|_| anyhow::anyhow!("the creds file is damaged"))?,
        };
        let options = match &file.inbox_prefix {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        };
        let client = options.name("leafwright").connect(&file.url).await;
        client.with_context(|| format!("cannot connect to {}", file.url))
    }

    fn context_file(&self, root: &Path) -> Result<ContextFile> {
        let Some(name) = &self.context else {
            let Self { server, nkey, creds, inbox, .. } = self;
            let url = server.clone();
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

/// The file itself, then `up`'s contexts of this domain, then the user's own.
fn places_of(name: &str, root: &Path) -> Vec<PathBuf> {
    let file = format!("{name}.json");
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let configuration = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let mut places = vec![PathBuf::from(name), root.join(".leafwright/nats/context").join(&file)];
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
