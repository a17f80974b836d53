//! How the verbs that talk to one server come in: an address and a key file.
//!
//! Refuses: keys on the command line, where every process can read them.

use crate::host::keys::Secret;
use crate::seed::Login;
use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Door {
    /// The nats-server of this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4222")]
    server: SocketAddr,
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

impl Door {
    pub async fn connect(&self) -> Result<Client> {
        let options = match self.login()? {
            None => ConnectOptions::new(),
            Some(Login::NKey(seed)) => ConnectOptions::with_nkey(seed.reveal().trim().to_owned()),
            // The library's error could quote the file.
            Some(Login::Creds(creds)) => ConnectOptions::with_credentials(creds.reveal())
                .map_err(|_| anyhow::anyhow!("the creds file is damaged"))?,
        };
        let options = match &self.inbox {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        };
        let client = options.name("leafwright").connect(self.server.to_string()).await;
        client.with_context(|| format!("cannot connect to {}", self.server))
    }

    fn login(&self) -> Result<Option<Login>> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())).map(Secret::new)
        };
        Ok(match (&self.nkey, &self.creds) {
            (Some(path), _) => Some(Login::NKey(read(path)?)),
            (None, Some(path)) => Some(Login::Creds(read(path)?)),
            (None, None) => None,
        })
    }
}
