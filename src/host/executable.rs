//! What an executable file is for, from its first bytes.
//!
//! Refuses: guessing. A script, and whatever else is not ELF, is for every machine as far as this can tell.

use std::fmt;

/// An architecture as `uname -m` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture(&'static str);

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// `e_machine` (elf.h) and the machines that run it.
const MACHINES: [(u16, &[&str]); 6] = [
    (62, &["x86_64"]),
    (183, &["aarch64"]),
    (40, &["armv7l", "armv6l", "armv8l", "arm"]),
    (243, &["riscv64"]),
    (21, &["ppc64le", "ppc64"]),
    (22, &["s390x"]),
];

/// Which machine an ELF file is for (elf(5)); `None` where it does not say, or says one that nobody here knows.
pub fn architecture(file: &[u8]) -> Option<Architecture> {
    const LITTLE: u8 = 1;
    let header = file.get(..20).filter(|header| header.starts_with(b"\x7fELF"))?;
    let [low, high] = [header[18], header[19]];
    let number = if header[5] == LITTLE { u16::from_le_bytes([low, high]) } else { u16::from_be_bytes([low, high]) };
    MACHINES.iter().find(|(known, _)| *known == number).map(|(_, names)| Architecture(names[0]))
}

/// Does a machine that calls itself this (`uname -m`) run it?
pub fn runs_on(file: &[u8], machine: &str) -> bool {
    let Some(Architecture(found)) = architecture(file) else { return true };
    MACHINES.iter().filter(|(_, names)| names[0] == found).any(|(_, names)| names.contains(&machine))
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
        assert!(runs_on(&own, std::env::consts::ARCH));
        let pi = elf(1, [183, 0]);
        assert_eq!(architecture(&pi).unwrap().to_string(), "aarch64");
        assert!(runs_on(&pi, "aarch64") && !runs_on(&pi, "x86_64"));
        assert!(runs_on(&elf(1, [40, 0]), "armv7l") && !runs_on(&elf(1, [40, 0]), "aarch64"));
        assert_eq!(architecture(&elf(2, [0, 22])).unwrap().to_string(), "s390x");
        assert_eq!(architecture(b"#!/bin/sh\n"), None);
        assert!(runs_on(b"#!/bin/sh\n", "aarch64") && runs_on(b"\x7fELF", "aarch64"));
    }
}
