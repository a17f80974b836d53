//! Where a client comes in, and as whom: addresses of one server or of the members of one cluster, and what opens them.
//!
//! Refuses: printing what it holds, and waiting without end.

use super::keys::Secret;
use anyhow::{Context as _, Result, anyhow};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// What opens a connection.
pub enum Login {
    /// The seed of an NKey: a user of a leaf.
    NKey(Secret),
    /// The content of a creds file: a user of the cluster.
    Creds(Secret),
}

impl Login {
    /// The library's options for it. Errors quote nothing, as the library's own could.
    pub fn options(&self) -> Result<ConnectOptions> {
        match self {
            Login::NKey(seed) => Ok(ConnectOptions::with_nkey(seed.reveal().trim().to_owned())),
            Login::Creds(creds) => {
                ConnectOptions::with_credentials(creds.reveal()).map_err(|_| anyhow!("the credentials are damaged"))
            }
        }
    }
}

pub struct Endpoint {
    /// Tried until one opens.
    pub addresses: Vec<ServerAddr>,
    /// `None` where the server asks for nothing.
    pub login: Option<Login>,
    /// What its inboxes begin with, where it may hear no others.
    pub inbox: Option<String>,
}

impl Endpoint {
    /// Addresses of this machine or of its network.
    pub fn at(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        let parsed = |address: SocketAddr| address.to_string().parse().expect("a socket address is a server's address");
        Self { addresses: addresses.into_iter().map(parsed).collect(), login: None, inbox: None }
    }

    #[must_use]
    pub fn login(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    #[must_use]
    pub fn inbox(self, prefix: String) -> Self {
        Self { inbox: Some(prefix), ..self }
    }

    /// A connection of the client library to whichever address opens first, within `patience`.
    pub async fn connect(&self, patience: Duration) -> Result<Client> {
        let options = self.login.as_ref().map_or_else(|| Ok(ConnectOptions::new()), Login::options)?;
        let options = match &self.inbox {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        };
        let options = options.name("leafwright").ignore_discovered_servers().connection_timeout(patience);
        let connecting = tokio::time::timeout(patience, options.connect(self.addresses.clone()));
        Ok(connecting.await.context("no answer in time")??)
    }
}

/// Did somebody answer, and not take the login?
pub fn is_refused(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ConnectError>().is_some_and(|error| {
        matches!(error.kind(), ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication)
    })
}

/// The options of `CONNECT` for a server that said `info`, for who speaks the protocol by hand.
/// Errors name what is wrong and quote nothing.
pub fn connect_options(info: &Value, login: Option<&Login>) -> Result<Value, String> {
    let mut options = json!({
        "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1, "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"), "name": "leafwright",
    });
    let nonce = info["nonce"].as_str().unwrap_or_default().as_bytes();
    let sign = |pair: &KeyPair| pair.sign(nonce).map_err(|_| "the key cannot sign".to_owned());
    let signature = match login {
        None => return Ok(options),
        Some(Login::NKey(seed)) => {
            let pair = KeyPair::from_seed(seed.reveal().trim()).map_err(|_| "the key is damaged")?;
            options["nkey"] = pair.public_key().into();
            sign(&pair)?
        }
        Some(Login::Creds(creds)) => {
            let [jwt, seed] = creds_parts(creds.reveal()).ok_or("the credentials are damaged")?;
            options["jwt"] = jwt.into();
            sign(&KeyPair::from_seed(seed).map_err(|_| "the key in the credentials is damaged")?)?
        }
    };
    options["sig"] = BASE64URL_NOPAD.encode(&signature).into();
    Ok(options)
}

/// A creds file has two framed blocks: the JWT, then the seed.
fn creds_parts(creds: &str) -> Option<[&str; 2]> {
    let framed = |line: &&str| line.trim_start().starts_with("-----");
    let mut lines = creds.lines();
    let mut block = || {
        lines.by_ref().find(framed)?;
        lines.by_ref().map(str::trim).find(|line| !line.is_empty())
    };
    let jwt = block()?;
    // The end of the first block, then the beginning of the second.
    lines.by_ref().find(framed)?;
    lines.by_ref().find(framed)?;
    let seed = lines.map(str::trim).find(|line| !line.is_empty())?;
    Some([jwt, seed])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creds_file_is_taken_apart() {
        let creds = "-----BEGIN NATS USER JWT-----\neyJ\n------END NATS USER JWT------\n\n****\nNKEY\n\n-----BEGIN USER NKEY SEED-----\nSUX\n------END USER NKEY SEED------\n";
        assert_eq!(creds_parts(creds), Some(["eyJ", "SUX"]));
        assert_eq!(creds_parts("eyJ"), None);
    }

    #[test]
    fn nothing_of_a_damaged_secret_is_told() {
        for login in [Login::NKey(Secret::new("SUSECRET".into())), Login::Creds(Secret::new("SUSECRET".into()))] {
            let error = connect_options(&json!({ "nonce": "n" }), Some(&login)).unwrap_err();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
