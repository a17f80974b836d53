//! What an executable file is for, from its first bytes.
//!
//! Refuses: guessing. A script, and whatever else is not ELF, is for every machine as far as this can tell.

/// `e_machine` (elf.h), and the machines that run it, as they call themselves (`uname -m`).
const MACHINES: [(u16, &[&str]); 6] = [
    (62, &["x86_64"]),
    (183, &["aarch64"]),
    (40, &["armv7l", "armv6l", "armv8l", "arm"]),
    (243, &["riscv64"]),
    (21, &["ppc64le", "ppc64"]),
    (22, &["s390x"]),
];

/// The machines that an ELF file is for (elf(5)), as `uname -m` says it, the usual name first; `None` where it does not say, or
/// says one that nobody here knows.
pub fn machines(file: &[u8]) -> Option<&'static [&'static str]> {
    const LITTLE: u8 = 1;
    let header = file.get(..20).filter(|header| header.starts_with(b"\x7fELF"))?;
    let [low, high] = [header[18], header[19]];
    let number = if header[5] == LITTLE { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
    MACHINES.iter().find(|(known, _)| *known == number).map(|(_, names)| *names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, order, 1];
        file.resize(18, 0);
        file.extend(machine);
        file.resize(64, 0);
        file
    }

    #[test]
    fn an_elf_file_says_what_it_is_for_and_others_do_not() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(machines(&own).unwrap().contains(&std::env::consts::ARCH));
        assert_eq!(machines(&elf(1, [183, 0])), Some(&["aarch64"][..]));
        assert!(machines(&elf(1, [40, 0])).unwrap().contains(&"armv7l"));
        assert_eq!(machines(&elf(2, [0, 22])), Some(&["s390x"][..]));
        assert_eq!(machines(&elf(1, [255, 255])), None);
        assert_eq!(machines(b"#!/bin/sh\n"), None);
        assert_eq!(machines(b"\x7fELF"), None);
    }
}
