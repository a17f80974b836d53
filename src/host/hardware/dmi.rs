//! The firmware's own tables (SMBIOS), as far as they say how much memory is plugged in.
//!
//! Refuses: trusting a length. Whatever is cut short says nothing.

use std::collections::BTreeSet;

const ARRAY: u8 = 16;
const DEVICE: u8 = 17;
const END: u8 = 127;
/// An array's use: memory of the system, and not flash or a cache.
const SYSTEM_MEMORY: u8 = 3;

/// The sum of all memory devices in arrays of system memory; `None` where a size is unknown.
pub fn memory(tables: &[u8]) -> Option<u64> {
    let all = structures(tables);
    let arrays: BTreeSet<u16> = all
        .iter()
        .filter(|table| table[0] == ARRAY && table.get(5) == Some(&SYSTEM_MEMORY))
        .filter_map(|table| word(table, 2))
        .collect();
    let devices = all.iter().filter(|table| table[0] == DEVICE);
    let mut sum = 0u64;
    for device in devices.filter(|device| word(device, 4).is_some_and(|array| arrays.contains(&array))) {
        sum = sum.checked_add(size(device)?)?;
    }
    (sum > 0).then_some(sum)
}

/// Sizes are in MiB or KiB by the highest bit; what does not fit stands in a field of its own.
fn size(device: &[u8]) -> Option<u64> {
    match word(device, 0x0c)? {
        // An empty slot.
        0 => Some(0),
        0xffff => None,
        0x7fff => {
            let bytes = device.get(0x1c..0x20)?.try_into().ok()?;
            Some(u64::from(u32::from_le_bytes(bytes) & 0x7fff_ffff) << 20)
        }
        kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) << 10),
        mib => Some(u64::from(mib) << 20),
    }
}

fn word(table: &[u8], at: usize) -> Option<u16> {
    table.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

/// The formatted part of each structure; its strings, up to two zero bytes, are passed over.
fn structures(tables: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest) = (vec![], tables);
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        let Some((table, strings)) = rest.split_at_checked(length).filter(|_| length >= 4) else { break };
        if kind == END {
            break;
        }
        found.push(table);
        let Some(end) = strings.windows(2).position(|pair| pair == [0, 0]) else { break };
        rest = &strings[end + 2..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn structure(kind: u8, handle: u16, rest: &[u8]) -> Vec<u8> {
        let mut table = vec![kind, u8::try_from(4 + rest.len()).unwrap()];
        table.extend(handle.to_le_bytes());
        table.extend(rest);
        table.extend(b"DIMM A\0\0");
        table
    }

    fn array(handle: u16, used_for: u8) -> Vec<u8> {
        structure(ARRAY, handle, &[3, used_for, 0, 0])
    }

    fn device(of: u16, size: u16, extended: u32) -> Vec<u8> {
        let mut rest = of.to_le_bytes().to_vec();
        rest.extend([0; 6]);
        rest.extend(size.to_le_bytes());
        rest.extend([0; 14]);
        rest.extend(extended.to_le_bytes());
        structure(DEVICE, 9, &rest)
    }

    #[test]
    fn slots_are_summed_empty_ones_and_flash_are_not() {
        let tables = [
            array(1, SYSTEM_MEMORY),
            array(2, 5),
            device(1, 16_384, 0),
            device(1, 0x7fff, 32_768),
            device(1, 0x8000 | 512, 0),
            device(1, 0, 0),
            device(2, 16, 0),
            structure(END, 3, &[]),
            device(1, 16_384, 0),
        ];
        assert_eq!(memory(&tables.concat()), Some((48 << 30) + (512 << 10)));
        assert_eq!(memory(&[array(1, SYSTEM_MEMORY), device(1, 0xffff, 0)].concat()), None);
        assert_eq!(memory(b""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = memory(&bytes);
            let _ = memory(&[array(1, SYSTEM_MEMORY), bytes].concat());
        }
    }
}
