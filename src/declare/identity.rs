//! `identity/`: what `keys sign` wrote. `identity.toml` with the generation and the public keys; beside it the JWTs and
//! certificates, each a file that is taken as it is.
//!
//! Refuses: secrets, and judging signatures; that is the floor `identity`'s.

use crate::diag::{SourceId, Spanned};
use crate::name::{MachineName, NKeyPublic};
use std::collections::BTreeMap;

/// Everything below `identity/`.
#[derive(Debug)]
pub struct Identity {
    /// `identity/identity.toml`
    pub source: SourceId,
    /// `generation = 3`
    pub generation: Spanned<u64>,
    /// `operator = "O…"`
    pub operator: Spanned<NKeyPublic>,
    /// `system_account = "A…"`
    pub system_account: Spanned<NKeyPublic>,
    /// `account = "A…"`
    pub account: Spanned<NKeyPublic>,
    /// `[users]`, by the text form of the user: `"machines/thermo/leaf" = "U…"`
    pub users: BTreeMap<Box<str>, Spanned<NKeyPublic>>,
    /// `[certificates.<machine>]`
    pub certificates: BTreeMap<MachineName, Certificate>,
    /// The other files, by path below `identity/`: `account.jwt`, `machines/thermo/leaf.jwt`, `ca.pem`.
    pub files: BTreeMap<Box<str>, (SourceId, Box<str>)>,
}

/// What a server's certificate says, so that no pure floor must read X.509.
#[derive(Debug)]
pub struct Certificate {
    /// `names = ["oak.meadow.example"]`
    pub names: Vec<Spanned<Box<str>>>,
    /// `not_after = "2027-11-21T00:00:00Z"`
    pub not_after: Spanned<Box<str>>,
}
