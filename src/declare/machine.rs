//! `machines/<machine>.toml`, `hardware/<profile>.toml`, `people/<person>.toml`.

use super::module::Body;
use crate::diag::{SourceId, Spanned};
use crate::name::{ByteSize, EventSetName, MachineName, ModuleName, NKeyPublic, PersonName, RoleName, ZoneName};

/// Hardware profiles are named like machines: one DNS label.
pub type HardwareName = MachineName;

/// A machine: configuration + hardware + person + events, and settings.
#[derive(Debug)]
pub struct Machine {
    /// From the file's name.
    pub name: MachineName,
    pub source: SourceId,
    pub configuration: Vec<Spanned<ModuleName>>,
    pub hardware: Spanned<HardwareName>,
    pub person: Spanned<PersonName>,
    pub events: Vec<Spanned<EventSetName>>,
    pub zone: Option<Spanned<ZoneName>>,
    /// The layer `machine`.
    pub body: Body,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Hardware {
    pub name: HardwareName,
    pub source: SourceId,
    pub doc: Option<Spanned<Box<str>>>,
    /// `x86_64`, `aarch64`, …: the name that `uname -m` prints.
    pub arch: Spanned<Box<str>>,
    pub cores: Spanned<u32>,
    pub memory: Spanned<ByteSize>,
    pub disk: Spanned<ByteSize>,
    /// The layer `hardware`.
    pub body: Body,
}

/// Who acts. Never a secret.
#[derive(Debug)]
pub struct Person {
    pub name: PersonName,
    pub source: SourceId,
    /// `full_name = "Ada Lovelace"`
    pub full_name: Option<Spanned<Box<str>>>,
    /// `nkey = "U…"`: made by the person with `keys person`; absent until then.
    pub nkey: Option<Spanned<NKeyPublic>>,
    pub roles: Vec<Spanned<RoleName>>,
    /// `ssh = ["ssh-ed25519 …"]`
    pub ssh: Vec<Spanned<Box<str>>>,
}
