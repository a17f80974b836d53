//! `machines/<machine>.hardware.json`: the report that `hardware detect` wrote, typed, with the place of each part.
//!
//! Refuses: a format that it does not know. A field that it does not know says nothing here: a part that is misspelled is
//! a part that is not known, and what requires it says so.

use super::files::json_fault;
use super::hardware::{DETECTED, Hardware, HardwareName, Requires};
use super::module::Body;
use crate::diag::codes::Code;
use crate::diag::{Diagnostic, Report as Findings, SourceId, Span, Spanned};
use crate::name::{ByteSize, Fault, FileFormat, MachineName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

const REPORT: Code = Code(40);

/// What a machine was found to be. Public: serial numbers and addresses are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub format: u32,
    /// As `uname -m` prints it.
    pub arch: String,
    #[serde(default)]
    pub cpu: Cpu,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    #[serde(default)]
    pub disks: Vec<Disk>,
    #[serde(default)]
    pub nics: Vec<Nic>,
    #[serde(default)]
    pub system: System,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// The version of the TPM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u8>,
    /// Absent on bare metal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtualisation: Option<Virtualisation>,
    /// What runs the container, if this is one: `systemd-nspawn`, `docker`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Physical cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// What the kernel runs on: more than cores where each runs two threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What was plugged in, soldered on, or given by the host.
    pub installed: ByteSize,
    /// What firmware and kernel left, in sixty-fourths of what is installed.
    pub usable: ByteSize,
}

/// Ordered by place: names such as `sda` change from boot to boot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Disk {
    /// The address on its bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub transport: Transport,
    pub size: ByteSize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub rotational: bool,
    pub removable: bool,
}

/// A physical network interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nic {
    /// The address on its bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    pub kind: NicKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// Who made the whole, and what they call it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NicKind {
    Ethernet,
    Wireless,
    #[serde(other)]
    Other,
}

/// An enum of words: each is written, read and parsed as itself; a report's word of a later version is `Other`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal: $($variant:ident = $word:literal),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant,)+
            #[serde(rename = "other", other)]
            Other,
        }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other => "other",
                }
            }

            /// What may be required; nobody requires `other`.
            pub fn parse(text: &str) -> Result<Self, Fault> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Fault::new(format!(concat!("`{}` is no ", $what), text))
                        .help(concat!("these are known:", $(" `", $word, "`"),+))),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
words!(
    /// How a disk is attached.
    Transport, "transport of a disk": Nvme = "nvme", Sata = "sata", Scsi = "scsi", Mmc = "mmc", Usb = "usb", Virtio = "virtio",
    Xen = "xen", Virtual = "virtual"
);
words!(
    /// What starts the kernel.
    Firmware, "firmware": Uefi = "uefi", Bios = "bios", DeviceTree = "device-tree"
);
words!(
    /// What the machine is virtual on.
    Virtualisation, "hypervisor": Kvm = "kvm", Qemu = "qemu", Xen = "xen", Vmware = "vmware", Microsoft = "microsoft",
    Oracle = "oracle", Amazon = "amazon", Google = "google", Parallels = "parallels", Bhyve = "bhyve", Apple = "apple"
);

/// The report of a machine, as it lies in the tree.
#[derive(Debug)]
pub struct Reported {
    pub machine: MachineName,
    pub source: SourceId,
    pub report: Report,
    /// Where each part stands.
    places: BTreeMap<Box<str>, Span>,
    /// What `hardware = "detected"` means for this machine, or the parts that are missing for it.
    pub hardware: Result<Box<Hardware>, Vec<&'static str>>,
}

impl Reported {
    pub(super) fn read(
        source: SourceId,
        machine: Option<MachineName>,
        text: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        let parts: BTreeMap<Cow<'_, str>, &RawValue> = match serde_json::from_str(text) {
            Ok(parts) => parts,
            Err(error) if error.is_data() => {
                let top = Diagnostic::error(REPORT, Span::new(source, 0..0), "a hardware report is a JSON object");
                findings.push(top.help(AGAIN));
                return None;
            }
            Err(error) => {
                findings.push(json_fault(source, text, 0, &error));
                return None;
            }
        };
        let places: BTreeMap<Box<str>, Span> =
            parts.iter().map(|(key, value)| ((&**key).into(), placed(source, text, key, value.get()))).collect();
        if let Some(wrong) = wrong_format(&parts, &places, source) {
            findings.push(wrong);
            return None;
        }
        let report: Report = match serde_json::from_str(text) {
            Ok(report) => report,
            Err(error) => {
                findings.push(unfit(source, text, &error));
                return None;
            }
        };
        let machine = machine?;
        let hardware = detected(source, &report, &places).map(Box::new);
        Some(Self { machine, source, report, places, hardware })
    }

    /// Where a part of the report stands.
    pub fn place(&self, part: &str) -> Option<Span> {
        self.places.get(part).copied()
    }
}

/// A value of one line, or the key of a longer one.
fn placed(source: SourceId, text: &str, key: &str, value: &str) -> Span {
    let start = (value.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.get(..start).filter(|_| value.contains('\n'));
    let quoted = format!("\"{key}\"");
    match before.and_then(|before| before.rfind(&quoted)) {
        Some(key) => Span::new(source, key..key + quoted.len()),
        None => Span::new(source, start..start + value.len()),
    }
}

const AGAIN: &str = "let the machine write it: `leafwright hardware detect --out machines/<machine>.hardware.json`";

fn wrong_format(
    parts: &BTreeMap<Cow<'_, str>, &RawValue>,
    places: &BTreeMap<Box<str>, Span>,
    source: SourceId,
) -> Option<Diagnostic> {
    let span = places.get("format").copied().unwrap_or(Span::new(source, 0..0));
    let known = FileFormat::Hardware.version();
    match parts.get("format").map(|format| format.get().parse::<u32>()) {
        Some(Ok(older)) if (1..=known).contains(&older) => None,
        Some(Ok(newer)) if newer > known => {
            let says = format!("the report has format {newer}, and this leafwright reads {known}");
            Some(Diagnostic::error(REPORT, span, says).help("use the leafwright that wrote it, or a later one"))
        }
        _ => Some(Diagnostic::error(REPORT, span, "the report names no format").help(AGAIN)),
    }
}

/// JSON that is no report, in the words of whoever read it.
fn unfit(source: SourceId, text: &str, error: &serde_json::Error) -> Diagnostic {
    let place = json_fault(source, text, 0, error).primary.span;
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
    Diagnostic::error(REPORT, place, words).help(AGAIN)
}

/// The machine's hardware as its report has it; the largest disk that stays in it is the disk.
fn detected(
    source: SourceId,
    report: &Report,
    places: &BTreeMap<Box<str>, Span>,
) -> Result<Hardware, Vec<&'static str>> {
    let place = |part: &str| places.get(part).copied().unwrap_or(Span::new(source, 0..0));
    let disk = report.disks.iter().filter(|disk| !disk.removable).map(|disk| disk.size).max();
    // Where firmware or kernel keep more than a quarter, what is left is what the machine has.
    let memory = report.memory.as_ref().map(|Memory { installed, usable }| {
        if usable.as_bytes() >= installed.as_bytes() - installed.as_bytes() / 4 { *installed } else { *usable }
    });
    let name = HardwareName::parse(DETECTED).ok();
    match (name, report.cpu.cores, memory, disk) {
        (Some(name), Some(cores), Some(memory), Some(disk)) => Ok(Hardware {
            name,
            source,
            doc: None,
            arch: Spanned::new(report.arch.as_str().into(), place("arch")),
            cores: Spanned::new(cores, place("cpu")),
            memory: Spanned::new(memory, place("memory")),
            disk: Spanned::new(disk, place("disks")),
            requires: Requires::default(),
            body: Body::default(),
        }),
        (_, cores, memory, disk) => {
            let known = [("cores", cores.is_some()), ("memory", memory.is_some()), ("disk", disk.is_some())];
            Err(known.into_iter().filter(|(_, known)| !known).map(|(part, _)| part).collect())
        }
    }
}
