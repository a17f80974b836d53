//! NATS JWTs, version 2: minted and read. A JWT is a pure function of its claims, the generation and the issuer's key.
//!
//! Refuses: the clock (`iat` is the declared generation, `exp` comes from the caller), randomness (`jti` is a hash of
//! the content) and secret bytes (whoever signs is a `Signer` from outside).

mod claims;
mod read;

pub use read::{Claims, Fault, Kind, read, read_account_of, read_again, read_operator, read_user_of};

use super::permissions::{ConnectionType, Permissions};
use crate::name::NKeyPublic;
use claims::{AccountBody, Envelope, OperatorBody, UserBody};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use serde::Serialize;
use sha2::{Digest, Sha512_256};
use std::collections::{BTreeMap, BTreeSet};

/// Holds a private key somewhere and signs with it. Ed25519, 64 bytes.
pub trait Signer {
    fn public(&self) -> NKeyPublic;
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// What an account may use of JetStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JetStream {
    Off,
    Unlimited,
}

/// An account, spoken for by the operator.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub name: &'a str,
    pub key: &'a NKeyPublic,
    pub jetstream: JetStream,
    /// Keys besides the account's own that may sign its users.
    pub signing_keys: &'a [NKeyPublic],
    /// What a user gets whose own JWT says nothing. `None` leaves nats-server's default, which is everything.
    pub default_permissions: Option<&'a Permissions>,
    /// Keys of users whose JWTs count no more if their `iat` is at most this.
    pub revoked: &'a BTreeMap<NKeyPublic, u64>,
}

/// A user, spoken for by its account.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    pub name: &'a str,
    pub key: &'a NKeyPublic,
    pub permissions: &'a Permissions,
    /// Empty allows every kind, as nats-server reads it.
    pub connections: &'a BTreeSet<ConnectionType>,
    /// The account, where one of its signing keys signs instead of its own.
    pub account: Option<&'a NKeyPublic>,
    /// Seconds since 1970 after which nats-server drops the user.
    pub expires: Option<u64>,
}

/// The operator's JWT: self-signed, and it names the system account.
pub fn operator(signer: &dyn Signer, name: &str, system_account: &NKeyPublic, generation: u64) -> String {
    let body = OperatorBody::new(system_account);
    mint(signer, &Envelope::new(name, signer.public(), None, body), generation)
}

/// An account's JWT; the signer is the operator.
pub fn account(signer: &dyn Signer, account: Account<'_>, generation: u64) -> String {
    let body = AccountBody::new(&account);
    mint(signer, &Envelope::new(account.name, account.key.clone(), None, body), generation)
}

/// A user's JWT; the signer is the account, or one of its signing keys.
pub fn user(signer: &dyn Signer, user: User<'_>, generation: u64) -> String {
    let body = UserBody::new(&user);
    mint(signer, &Envelope::new(user.name, user.key.clone(), user.expires, body), generation)
}

/// What nats-server and clients read from a `.creds` file: the JWT, then the seed that answers the server's nonce.
pub fn creds(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

fn mint<B: Serialize>(signer: &dyn Signer, envelope: &Envelope<B>, generation: u64) -> String {
    // A JWT with `iat` 0 counts as never issued, and a revocation "until now" would not reach it.
    let issued = generation.max(1);
    let content = envelope.json(&signer.public(), issued, "");
    let id = BASE32_NOPAD.encode(&Sha512_256::digest(content.as_bytes()));
    let payload = envelope.json(&signer.public(), issued, &id);
    let mut token =
        format!("{}.{}", BASE64URL_NOPAD.encode(HEADER.as_bytes()), BASE64URL_NOPAD.encode(payload.as_bytes()));
    let signature = signer.sign(token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    token
}

#[cfg(test)]
mod tests;
