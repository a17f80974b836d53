//! `hardware/<profile>.toml`: what a machine is made of, and what is required of it besides.
//!
//! Refuses: a profile with the name that stands for the machine's own report.

use super::module::Body;
use super::nearest;
use super::report::{Firmware, Transport};
use super::table::{File, Reader, count, table, text, word};
use super::value::{Table, Value};
use crate::diag::codes::Code;
use crate::diag::{Diagnostic, SourceId, Span, Spanned};
use crate::name::{ByteSize, Fault, MachineName};

const TYPE: Code = Code(13);

/// Hardware profiles are named like machines: one DNS label.
pub type HardwareName = MachineName;

/// `hardware = "detected"`: what the report beside the machine says.
pub const DETECTED: &str = "detected";

/// What a machine is made of: from a profile, or from its report.
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
    pub requires: Requires,
    /// The layer `hardware`.
    pub body: Body,
}

/// `[requires]`: what sizes nothing and must be there nevertheless.
#[derive(Debug, Default)]
pub struct Requires {
    /// So many disks, each as large as `disk`.
    pub disks: Option<Spanned<u32>>,
    /// How these disks are attached.
    pub transport: Option<Spanned<Transport>>,
    /// So many physical network interfaces.
    pub nics: Option<Spanned<u32>>,
    /// A TPM of this version or a later one.
    pub tpm: Option<Spanned<u8>>,
    pub firmware: Option<Spanned<Firmware>>,
}

/// What a machine names as its hardware.
pub(super) fn reference(text: &str) -> Result<HardwareName, Fault> {
    let says = |message: String| message.replace("machine name", "hardware profile's name");
    HardwareName::parse(text).map_err(|fault| Fault { message: says(fault.message), ..fault })
}

/// The name of a profile, which `detected` is not.
pub(super) fn profile_name(text: &str) -> Result<HardwareName, Fault> {
    match text {
        DETECTED => Err(Fault::new("`detected` stands for the report that lies beside a machine")
            .help("write what the machine is, such as `mini-pc`")),
        _ => reference(text),
    }
}

impl Hardware {
    pub(super) fn read(file: &mut File, name: Option<HardwareName>, table: Table) -> Option<Self> {
        let (source, top) = (file.source, file.top());
        let mut reader = Reader::new(file, table, top);
        let doc = reader.optional("doc", text);
        let arch = reader.required("arch", "arch = \"x86_64\"", word(arch));
        let cores = reader.required("cores", "cores = 4", count);
        let memory = reader.required("memory", "memory = \"4GiB\"", word(ByteSize::parse));
        let disk = reader.required("disk", "disk = \"32GB\"", word(ByteSize::parse));
        let requires = reader.optional("requires", Requires::read).unwrap_or_default();
        let body = Body::read(&mut reader);
        reader.finish();
        Some(Self {
            name: name?,
            source,
            doc,
            arch: arch?,
            cores: cores?,
            memory: memory?,
            disk: disk?,
            requires,
            body,
        })
    }
}

impl Requires {
    fn read(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Self> {
        let Spanned { value, span } = table(file, key, value)?;
        let mut reader = Reader::new(file, value, span);
        let requires = Self {
            disks: reader.optional("disks", count),
            transport: reader.optional("transport", word(Transport::parse)),
            nics: reader.optional("nics", count),
            tpm: reader.optional("tpm", tpm),
            firmware: reader.optional("firmware", word(Firmware::parse)),
        };
        reader.finish();
        Some(requires)
    }

    /// Where `field` was written.
    pub fn place(&self, field: &str) -> Option<Span> {
        match field {
            "disks" => self.disks.as_ref().map(|it| it.span),
            "transport" => self.transport.as_ref().map(|it| it.span),
            "nics" => self.nics.as_ref().map(|it| it.span),
            "tpm" => self.tpm.as_ref().map(|it| it.span),
            "firmware" => self.firmware.as_ref().map(|it| it.span),
            _ => None,
        }
    }
}

/// What `uname -m` prints on the machines that Linux and nats-server run on (`UTS_MACHINE` of the kernel).
const ARCHITECTURES: [&str; 13] = [
    "x86_64",
    "aarch64",
    "armv6l",
    "armv7l",
    "armv8l",
    "arm",
    "i386",
    "i686",
    "riscv64",
    "ppc64le",
    "ppc64",
    "s390x",
    "loongarch64",
];

fn arch(text: &str) -> Result<Box<str>, Fault> {
    if ARCHITECTURES.contains(&text) {
        return Ok(text.into());
    }
    // Other tools' names for the same.
    let usual = match text {
        "amd64" | "x64" => Some("x86_64"),
        "arm64" => Some("aarch64"),
        "armhf" => Some("armv7l"),
        _ => nearest(text, ARCHITECTURES),
    };
    let fault = Fault::new(format!("`{text}` is no architecture, as `uname -m` prints it"));
    Err(match usual {
        Some(usual) => fault.help(format!("write `{usual}`")),
        None => fault.help(format!("there are {}", ARCHITECTURES.join(", "))),
    })
}

/// TPMs come in two versions.
fn tpm(file: &mut File, key: &str, value: Spanned<Value>) -> Option<Spanned<u8>> {
    match value.value {
        Value::Int(1) => Some(Spanned::new(1, value.span)),
        Value::Int(2) => Some(Spanned::new(2, value.span)),
        Value::Int(_) => {
            let wrong = Diagnostic::error(TYPE, value.span, format!("`{key}` must be 1 or 2"));
            file.report.push(wrong.help("write the version that is needed: `tpm = 2`"));
            None
        }
        _ => file.wrong(key, "an integer", &value),
    }
}
