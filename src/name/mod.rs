//! Names and quantities that are always valid: parsed once at the border, trusted from then on. And the formats of files.
//!
//! Refuses: knowing what a name refers to, where it was written, and every kind of I/O.

mod format;
mod quantity;
mod subject;
mod words;

pub use format::{FileFormat, Unread};
pub use quantity::{ByteSize, Duration};
pub use subject::{Subject, SubjectPattern};
pub use words::{
    AccountName, BucketName, ConsumerName, DomainName, EventSetName, HostName, MachineName, MessageName, ModuleName,
    NKeyPublic, PersonName, RoleName, ServiceName, StreamName, ZoneName,
};

/// Why a text is not a valid name or quantity: a lowercase phrase without full stop, and a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub help: Option<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
