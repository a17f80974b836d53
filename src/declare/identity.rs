//! `identity/`: what `keys sign` wrote. `identity.toml` with the generation and the public keys; beside it the JWTs and
//! certificates, each a file that is taken as it is.
//!
//! Refuses: secrets, and judging signatures; that is the floor `identity`'s.

use super::table::{File, Reader, count, table, text, word};
use super::value::{Entry, Table};
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
    /// `enrolled = ["office"]`: machines whose keys were made on them
    pub enrolled: Vec<Spanned<MachineName>>,
    /// `[revoked]`: keys that others took the place of, each with the generation
    pub revoked: BTreeMap<NKeyPublic, Spanned<u64>>,
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

impl Identity {
    /// `identity.toml`; the files beside it are added by whoever has them.
    pub(super) fn read(file: &mut File, toml: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, toml, top);
        let generation = reader.required("generation", "generation = 1", count);
        let operator = reader.required("operator", "operator = \"O…\"", word(NKeyPublic::parse));
        let system_account = reader.required("system_account", "system_account = \"A…\"", word(NKeyPublic::parse));
        let account = reader.required("account", "account = \"A…\"", word(NKeyPublic::parse));
        let enrolled = reader.set_of("enrolled", word(MachineName::parse));
        let revoked = reader.optional("revoked", table).map(|revoked| revoked.value).unwrap_or_default();
        let revoked = revoked.entries.into_iter().filter_map(|entry| revoked_key(reader.file, entry)).collect();
        let users = reader.optional("users", table).map(|users| users.value).unwrap_or_default();
        let users = users.entries.into_iter().filter_map(|user| user_key(reader.file, user)).collect();
        let certificates =
            reader.each("certificates", MachineName::parse, |file, _, table, at| Certificate::read(file, table, at));
        reader.finish();
        Some(Self {
            source,
            generation: generation?.map(u64::from),
            operator: operator?,
            system_account: system_account?,
            account: account?,
            users,
            certificates,
            enrolled,
            revoked,
            files: BTreeMap::new(),
        })
    }
}

fn user_key(file: &mut File, entry: Entry) -> Option<(Box<str>, Spanned<NKeyPublic>)> {
    let key = word(NKeyPublic::parse)(file, &entry.key.value, entry.value)?;
    Some((entry.key.value, key))
}

fn revoked_key(file: &mut File, entry: Entry) -> Option<(NKeyPublic, Spanned<u64>)> {
    let Entry { key, value } = entry;
    let name = match NKeyPublic::parse(&key.value) {
        Ok(name) => name,
        Err(fault) => return file.fault(key.span, fault),
    };
    Some((name, count(file, &key.value, value)?.map(u64::from)))
}

impl Certificate {
    fn read(file: &mut File, table: Table, at: crate::diag::Span) -> Option<Self> {
        let mut reader = Reader::new(file, table, at);
        let names = reader.list_of("names", text);
        let not_after = reader.required("not_after", "not_after = \"2027-01-01T00:00:00Z\"", text);
        reader.finish();
        Some(Self { names, not_after: not_after? })
    }
}
