//! `machines/<machine>.toml`, `people/<person>.toml`.

use super::hardware::HardwareName;
use super::module::Body;
use super::table::{File, Reader, text, word};
use super::value::Table;
use crate::diag::{SourceId, Spanned};
use crate::name::{EventSetName, MachineName, ModuleName, NKeyPublic, PersonName, RoleName, ZoneName};

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

impl Machine {
    pub(super) fn read(file: &mut File, name: Option<MachineName>, table: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, table, top);
        let configuration =
            reader.required("configuration", "configuration = [\"leaf\"]", super::table::list(word(ModuleName::parse)));
        let hardware = reader.required("hardware", "hardware = \"…\"", word(super::hardware::reference));
        let person = reader.required("person", "person = \"…\"", word(PersonName::parse));
        let events = reader.set_of("events", word(EventSetName::parse));
        let zone = reader.optional("zone", word(ZoneName::parse));
        let body = Body::read(&mut reader);
        reader.finish();
        let mut configuration = configuration?;
        super::table::once(file, &mut configuration);
        Some(Self { name: name?, source, configuration, hardware: hardware?, person: person?, events, zone, body })
    }
}

impl Person {
    pub(super) fn read(file: &mut File, name: Option<PersonName>, table: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, table, top);
        let full_name = reader.optional("full_name", text);
        let nkey = reader.optional("nkey", word(NKeyPublic::parse));
        let roles = reader.set_of("roles", word(RoleName::parse));
        let ssh = reader.list_of("ssh", text);
        reader.finish();
        Some(Self { name: name?, source, full_name, nkey, roles, ssh })
    }
}
