//! What a machine must be × what it was found to be → what is not met, in sentences.
//!
//! Refuses: a second measure. `check` compares the report in the tree, `apply` the one that was just made, both by this function.

use super::model::Hardware;
use crate::declare;
use crate::declare::report::{Disk, Firmware, Report, Transport};
use crate::diag::Spanned;
use crate::name::ByteSize;

/// What is required besides what sizes the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requires {
    /// So many disks, each as large as `disk`.
    pub disks: u32,
    /// How these disks are attached; `None` for any way.
    pub transport: Option<Transport>,
    pub nics: u32,
    /// The least version of a TPM; 0 for none.
    pub tpm: u8,
    pub firmware: Option<Firmware>,
}

impl Default for Requires {
    fn default() -> Self {
        Self { disks: 1, transport: None, nics: 0, tpm: 0, firmware: None }
    }
}

/// The declared hardware, without places.
pub(super) fn required(hardware: &declare::Hardware) -> Hardware {
    let requires = &hardware.requires;
    let number = |number: &Option<Spanned<u32>>| number.as_ref().map(|number| number.value);
    Hardware {
        name: hardware.name.clone(),
        arch: hardware.arch.value.to_string(),
        cores: hardware.cores.value,
        memory: hardware.memory.value,
        disk: hardware.disk.value,
        requires: Requires {
            disks: number(&requires.disks).unwrap_or(1),
            transport: requires.transport.as_ref().map(|transport| transport.value),
            nics: number(&requires.nics).unwrap_or(0),
            tpm: requires.tpm.as_ref().map_or(0, |tpm| tpm.value),
            firmware: requires.firmware.as_ref().map(|firmware| firmware.value),
        },
    }
}

/// One requirement that is not met. `Display` goes on from "this machine has": `4 cores where 8 are required`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    Arch {
        has: String,
        wants: String,
    },
    Cores {
        has: Option<u32>,
        wants: u32,
    },
    Memory {
        has: Option<ByteSize>,
        wants: ByteSize,
    },
    /// Enough is installed, and firmware or kernel keep too much of it.
    Usable {
        has: ByteSize,
        installed: ByteSize,
        wants: ByteSize,
    },
    Disks {
        fit: u32,
        largest: Option<ByteSize>,
        /// Disks that are large enough, and attached in another way.
        elsewhere: u32,
        wants: u32,
        size: ByteSize,
        transport: Option<Transport>,
    },
    Nics {
        has: u32,
        wants: u32,
    },
    Tpm {
        has: Option<u8>,
        wants: u8,
    },
    Firmware {
        has: Option<Firmware>,
        wants: Firmware,
    },
}

/// Firmware and kernel may keep a quarter of the memory, as on the smallest boards; a machine with less is not what was meant.
const fn usable(required: ByteSize) -> u64 {
    required.as_bytes() - required.as_bytes() / 4
}

/// Flash is sold by the size of its chips, and keeps up to a sixteenth of it in reserve.
const fn sold_as(required: ByteSize) -> u64 {
    required.as_bytes() - required.as_bytes() / 16
}

/// What `found` lacks of what is `required`, in the order of the profile's fields. What is not known is not met.
pub fn unmet(required: &Hardware, found: &Report) -> Vec<Unmet> {
    let mut unmet = vec![];
    if found.arch != required.arch {
        unmet.push(Unmet::Arch { has: found.arch.clone(), wants: required.arch.clone() });
    }
    if found.cpu.cores.is_none_or(|cores| cores < required.cores) {
        unmet.push(Unmet::Cores { has: found.cpu.cores, wants: required.cores });
    }
    unmet.extend(memory(required.memory, found));
    unmet.extend(disks(required, found));
    let Requires { nics, tpm, firmware, .. } = required.requires;
    let has = u32::try_from(found.nics.len()).unwrap_or(u32::MAX);
    if has < nics {
        unmet.push(Unmet::Nics { has, wants: nics });
    }
    if found.tpm.unwrap_or(0) < tpm {
        unmet.push(Unmet::Tpm { has: found.tpm, wants: tpm });
    }
    if let Some(wants) = firmware.filter(|firmware| found.firmware != Some(*firmware)) {
        unmet.push(Unmet::Firmware { has: found.firmware, wants });
    }
    unmet
}

fn memory(wants: ByteSize, found: &Report) -> Option<Unmet> {
    let Some(memory) = &found.memory else { return Some(Unmet::Memory { has: None, wants }) };
    if memory.installed < wants {
        return Some(Unmet::Memory { has: Some(memory.installed), wants });
    }
    let enough = memory.usable.as_bytes() >= usable(wants);
    (!enough).then_some(Unmet::Usable { has: memory.usable, installed: memory.installed, wants })
}

fn disks(required: &Hardware, found: &Report) -> Option<Unmet> {
    let (size, Requires { disks: wants, transport, .. }) = (required.disk, required.requires);
    let attached = |disk: &&Disk| transport.is_none_or(|transport| disk.transport == transport);
    let fixed = || found.disks.iter().filter(|disk| !disk.removable);
    let large = |disk: &&Disk| disk.size.as_bytes() >= sold_as(size);
    let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let fit = counted(fixed().filter(attached).filter(large).count());
    (fit < wants).then(|| Unmet::Disks {
        fit,
        largest: fixed().filter(attached).map(|disk| disk.size).max(),
        elsewhere: counted(fixed().filter(|disk| !attached(disk)).filter(large).count()),
        wants,
        size,
        transport,
    })
}

impl Unmet {
    /// The field of the profile that asks for it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Arch { .. } => "arch",
            Self::Cores { .. } => "cores",
            Self::Memory { .. } | Self::Usable { .. } => "memory",
            Self::Disks { fit: 1.., .. } => "disks",
            Self::Disks { elsewhere: 1.., .. } => "transport",
            Self::Disks { .. } => "disk",
            Self::Nics { .. } => "nics",
            Self::Tpm { .. } => "tpm",
            Self::Firmware { .. } => "firmware",
        }
    }

    /// The part of the report that says so.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Arch { .. } => "arch",
            Self::Cores { .. } => "cpu",
            Self::Memory { .. } | Self::Usable { .. } => "memory",
            Self::Disks { .. } => "disks",
            Self::Nics { .. } => "nics",
            Self::Tpm { .. } => "tpm",
            Self::Firmware { .. } => "firmware",
        }
    }
}

impl std::fmt::Display for Unmet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let many = |count: u32, one: &str| match count {
            0 => format!("no {one}"),
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        let are = |count: u32| if count == 1 { "1 is".to_owned() } else { format!("{count} are") };
        match self {
            Self::Arch { has, wants } => write!(f, "the architecture {has} where {wants} is required"),
            Self::Cores { has: None, wants } => write!(f, "an unknown number of cores where {} required", are(*wants)),
            Self::Cores { has: Some(has), wants } => {
                write!(f, "{} where {} required", many(*has, "core"), are(*wants))
            }
            Self::Memory { has: None, wants } => {
                write!(f, "an unknown amount of memory where {} is required", near(*wants, Base::Two))
            }
            Self::Memory { has: Some(has), wants } => {
                write!(f, "{} of memory where {} is required", near(*has, Base::Two), near(*wants, Base::Two))
            }
            Self::Usable { has, installed, wants } => write!(
                f,
                "{} of memory, of which {} can be used, where {} is required",
                near(*installed, Base::Two),
                near(*has, Base::Two),
                near(*wants, Base::Two)
            ),
            Self::Disks { fit, largest, wants, size, transport, .. } => {
                let on = transport.map(|transport| format!(" on {transport}")).unwrap_or_default();
                let largest = match largest {
                    Some(largest) if *fit == 0 => format!(" (the largest has {})", near(*largest, Base::Ten)),
                    _ => String::new(),
                };
                let disks = many(*fit, "disk");
                write!(f, "{disks} of {}{on}{largest} where {} required", near(*size, Base::Ten), are(*wants))
            }
            Self::Nics { has, wants } => {
                write!(f, "{} where {} required", many(*has, "network interface"), are(*wants))
            }
            Self::Tpm { has: None, wants } => write!(f, "no TPM where version {wants} is required"),
            Self::Tpm { has: Some(has), wants } => {
                write!(f, "a TPM of version {has} where version {wants} is required")
            }
            Self::Firmware { has, wants } => {
                let has = has.map_or("unknown", Firmware::as_str);
                write!(f, "{has} firmware where {wants} is required")
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Base {
    Two,
    Ten,
}

/// As it was written where that is short, else with one decimal, memory by powers of two and disks by powers of ten.
fn near(size: ByteSize, base: Base) -> String {
    const TWO: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    const TEN: [(&str, u64); 4] = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    let bytes = size.as_bytes();
    let whole = |(name, unit): &(&'static str, u64)| {
        (bytes >= *unit && bytes.is_multiple_of(*unit)).then_some((bytes / unit, *name))
    };
    let exact = TEN.iter().chain(&TWO).filter_map(whole).min();
    if let Some((number, name)) = exact.filter(|(number, _)| *number < 10_000) {
        return format!("{number}{name}");
    }
    let units = match base {
        Base::Two => TWO,
        Base::Ten => TEN,
    };
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        None => format!("{bytes}B"),
        Some((name, unit)) => format!("{}.{}{name}", bytes / unit, (bytes % unit) * 10 / unit),
    }
}

#[cfg(test)]
mod tests;
