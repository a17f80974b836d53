//! How much memory is installed, and how much of it firmware and kernel leave.
//!
//! Refuses: what is free. What is installed is asked of whoever knows: the firmware's tables, the board's revision; of a virtual
//! machine the device tree or the blocks that it was given. Else it is the next size that memory is sold in.

use super::dmi;
use super::tree::Tree;
use crate::declare::report::{Memory, Virtualisation};
use crate::name::ByteSize;

const TABLES: &str = "sys/firmware/dmi/tables/DMI";
const BLOCKS: &str = "sys/devices/system/memory";
const TREE: &str = "proc/device-tree";

pub fn memory(tree: &mut Tree, virtualisation: Option<Virtualisation>) -> Option<Memory> {
    let usable = total(tree)?;
    let told = [from_dmi, from_revision].into_iter().find_map(|ask| believable(ask(tree), usable));
    let installed = told.unwrap_or_else(|| {
        let seen = believable(from_device_tree(tree), usable);
        match virtualisation {
            // A host gives any size, and gives it whole.
            Some(_) => seen.or_else(|| believable(from_blocks(tree), usable)).unwrap_or(usable),
            // Firmware that keeps a part for itself leaves it out of what it tells.
            None => sold(seen.unwrap_or(usable)),
        }
    });
    // A kernel of another version keeps a little more or less; sixty-fourths do not show it.
    let step = (installed / 64).max(1);
    Some(Memory { installed: ByteSize::bytes(installed), usable: ByteSize::bytes(usable / step * step) })
}

/// Nobody has less than the kernel sees.
fn believable(installed: Option<u64>, usable: u64) -> Option<u64> {
    installed.filter(|installed| *installed >= usable)
}

/// `MemTotal`, in bytes.
fn total(tree: &mut Tree) -> Option<u64> {
    let info = tree.text("proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    let bytes = kib.and_then(|kib| kib.checked_mul(1024)).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        tree.say("cannot tell how much memory there is: /proc/meminfo does not say MemTotal");
    }
    bytes
}

fn from_dmi(tree: &mut Tree) -> Option<u64> {
    // Only root may read it; for others, what follows says the same of nearly every machine.
    let tables = tree.bytes_if_allowed(TABLES)?;
    dmi::memory(&tables)
}

/// Raspberry Pi: three bits of the revision say how much was soldered on, from 256 MiB up.
fn from_revision(tree: &mut Tree) -> Option<u64> {
    let bytes = tree.bytes(&format!("{TREE}/system/linux,revision"))?;
    let code = u32::from_be_bytes(bytes.try_into().ok()?);
    let new_style = code & (1 << 23) != 0;
    new_style.then(|| (256 << 20) << ((code >> 20) & 7))
}

/// The `reg` of every `memory@…`: pairs of address and size, each of as many 32-bit cells as the root says.
fn from_device_tree(tree: &mut Tree) -> Option<u64> {
    let cells = |tree: &mut Tree, what: &str, usual: u32| {
        let bytes = tree.bytes(&format!("{TREE}/{what}"));
        let cells = bytes.and_then(|bytes| bytes.try_into().ok()).map_or(usual, u32::from_be_bytes);
        usize::try_from(cells).ok().filter(|cells| (1..=2).contains(cells))
    };
    let (address, size) = (cells(tree, "#address-cells", 2)?, cells(tree, "#size-cells", 1)?);
    let nodes: Vec<String> =
        tree.names(TREE).into_iter().filter(|name| name == "memory" || name.starts_with("memory@")).collect();
    let mut sum = 0u64;
    for node in nodes {
        let bytes = tree.bytes(&format!("{TREE}/{node}/reg")).unwrap_or_default();
        for pair in bytes.chunks_exact((address + size) * 4) {
            let number = pair[address * 4..].iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            sum = sum.checked_add(number)?;
        }
    }
    (sum > 0).then_some(sum)
}

/// What the host gave: blocks of one size, each there as a whole.
fn from_blocks(tree: &mut Tree) -> Option<u64> {
    let size = u64::from_str_radix(&tree.word(&format!("{BLOCKS}/block_size_bytes"))?, 16).ok()?;
    let is_block = |name: &&String| name.strip_prefix("memory").is_some_and(|number| number.parse::<u32>().is_ok());
    let count = tree.names(BLOCKS).iter().filter(is_block).count();
    size.checked_mul(count as u64)
}

/// The next size that memory is sold in: a power of two, or one and a half of it.
fn sold(bytes: u64) -> u64 {
    let Some(power) = bytes.checked_next_power_of_two() else { return bytes };
    let between = power / 4 * 3;
    if between >= bytes { between } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sold_is_the_next_size() {
        const MIB: u64 = 1 << 20;
        for (usable, installed) in
            [(925, 1024), (416, 512), (1900, 2048), (3_800, 4096), (7_900, 8192), (15_600, 16_384), (23_900, 24_576)]
        {
            assert_eq!(sold(usable * MIB), installed * MIB);
        }
        assert_eq!((sold(64 * MIB), sold(0), sold(u64::MAX)), (64 * MIB, 0, u64::MAX));
    }
}
