//! How one comes in: addresses of one server or of the members of one cluster, and what opens them.
//!
//! Refuses: printing what it holds, and TLS: clients connect to their own machine's loopback and to nothing else.

use crate::host::keys::Secret;
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// What opens a connection.
pub enum Login {
    /// The seed of an NKey: a user of a leaf.
    NKey(Secret),
    /// The content of a creds file: a user of the cluster.
    Creds(Secret),
}

pub struct Door {
    /// Tried in this order.
    pub addresses: Vec<SocketAddr>,
    /// `None` where the server asks for nothing.
    pub login: Option<Login>,
}

/// The options of `CONNECT` for a server that said `info`. Errors name what is wrong and quote nothing.
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
