//! Requirements and reports, row by row.

use super::*;
use crate::declare::report::{Cpu, Memory};
use crate::name::MachineName;

fn size(text: &str) -> ByteSize {
    ByteSize::parse(text).unwrap()
}

fn profile() -> Hardware {
    Hardware {
        name: MachineName::parse("rack-server").unwrap(),
        arch: "x86_64".into(),
        cores: 8,
        memory: size("32GiB"),
        disk: size("1TB"),
        requires: Requires {
            disks: 2,
            transport: Some(Transport::Nvme),
            nics: 2,
            tpm: 2,
            firmware: Some(Firmware::Uefi),
        },
    }
}

fn disk(transport: Transport, text: &str) -> Disk {
    Disk { at: None, transport, size: size(text), model: None, rotational: false, removable: false }
}

fn report() -> Report {
    let nic = crate::declare::report::Nic { at: None, kind: crate::declare::report::NicKind::Ethernet, driver: None };
    Report {
        format: 1,
        arch: "x86_64".into(),
        cpu: Cpu { model: None, cores: Some(8), threads: Some(16) },
        memory: Some(Memory { installed: size("32GiB"), usable: size("31GiB") }),
        disks: vec![disk(Transport::Nvme, "1000204886016B"), disk(Transport::Nvme, "960197124096B")],
        nics: vec![nic.clone(), nic],
        firmware: Some(Firmware::Uefi),
        tpm: Some(2),
        ..Report::default()
    }
}

type Row = (fn(&mut Report), &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    (|r| r.arch = "aarch64".into(), "arch", "arch", "the architecture aarch64 where x86_64 is required"),
    (|r| r.cpu.cores = Some(4), "cores", "cpu", "4 cores where 8 are required"),
    (|r| r.cpu.cores = Some(1), "cores", "cpu", "1 core where 8 are required"),
    (|r| r.cpu.cores = None, "cores", "cpu", "an unknown number of cores where 8 are required"),
    (|r| r.memory = None, "memory", "memory", "an unknown amount of memory where 32GiB is required"),
    (
        |r| r.memory = Some(Memory { installed: size("24GiB"), usable: size("24GiB") }),
        "memory",
        "memory",
        "24GiB of memory where 32GiB is required",
    ),
    (
        |r| r.memory = Some(Memory { installed: size("64GiB"), usable: size("23GiB") }),
        "memory",
        "memory",
        "64GiB of memory, of which 23GiB can be used, where 32GiB is required",
    ),
    (|r| drop(r.disks.pop()), "disks", "disks", "1 disk of 1TB on nvme where 2 are required"),
    (|r| r.disks[0].removable = true, "disks", "disks", "1 disk of 1TB on nvme where 2 are required"),
    (|r| r.disks.clear(), "disk", "disks", "no disk of 1TB on nvme where 2 are required"),
    (
        |r| r.disks.iter_mut().for_each(|disk| disk.transport = Transport::Sata),
        "transport",
        "disks",
        "no disk of 1TB on nvme where 2 are required",
    ),
    (
        |r| r.disks.iter_mut().for_each(|disk| disk.size = size("500107862016B")),
        "disk",
        "disks",
        "no disk of 1TB on nvme (the largest has 500.1GB) where 2 are required",
    ),
    (|r| r.nics.truncate(1), "nics", "nics", "1 network interface where 2 are required"),
    (|r| r.nics.clear(), "nics", "nics", "no network interface where 2 are required"),
    (|r| r.tpm = None, "tpm", "tpm", "no TPM where version 2 is required"),
    (|r| r.tpm = Some(1), "tpm", "tpm", "a TPM of version 1 where version 2 is required"),
    (|r| r.firmware = Some(Firmware::Bios), "firmware", "firmware", "bios firmware where uefi is required"),
    (|r| r.firmware = None, "firmware", "firmware", "unknown firmware where uefi is required"),
];

#[test]
fn a_machine_that_has_what_is_required_lacks_nothing() {
    assert_eq!(unmet(&profile(), &report()), []);
}

#[test]
fn each_lack_is_said_in_a_sentence_and_nothing_else_is() {
    for (change, field, part, says) in ROWS {
        let mut found = report();
        change(&mut found);
        let unmet = unmet(&profile(), &found);
        let [one] = &unmet[..] else { panic!("{says}: {unmet:?}") };
        assert_eq!((one.to_string().as_str(), one.field(), one.part()), (*says, *field, *part));
    }
}

/// Boards keep much for graphics and kernel, flash keeps a reserve: what was sold as such a size counts as it.
#[test]
fn small_boards_and_cards_are_what_they_were_sold_as() {
    for (memory, usable, disk, card) in [
        // Raspberry Pi 4 of 1 GB, Zero 2 W, and cards that are called 32 and 16 GB.
        ("1GiB", "912MiB", "32GB", "30908350464B"),
        ("512MiB", "408MiB", "16GB", "15634268160B"),
    ] {
        let required = Hardware {
            memory: size(memory),
            disk: size(disk),
            arch: "aarch64".into(),
            cores: 4,
            requires: Requires::default(),
            ..profile()
        };
        let found = Report {
            arch: "aarch64".into(),
            cpu: Cpu { model: None, cores: Some(4), threads: Some(4) },
            memory: Some(Memory { installed: size(memory), usable: size(usable) }),
            disks: vec![self::disk(Transport::Mmc, card)],
            ..Report::default()
        };
        assert_eq!(unmet(&required, &found), []);
        let half = Hardware { disk: ByteSize::bytes(2 * required.disk.as_bytes()), ..required };
        assert_eq!(unmet(&half, &found).len(), 1);
    }
}

#[test]
fn sizes_are_said_as_people_say_them() {
    for (text, said) in [("1TB", "1TB"), ("16GiB", "16GiB"), ("1GB", "1GB"), ("500107862016B", "500.1GB"), ("0", "0B")]
    {
        assert_eq!(near(size(text), Base::Ten), said);
    }
    assert_eq!(near(size("1000B"), Base::Two), "1KB");
    assert_eq!(near(size("24684092416B"), Base::Two), "22.9GiB");
}
