//! `hardware detect` on the files of whole machines: a folder below `tests/hardware/` has the machine as text (`machine.txt`), the
//! report, and the private part.
//!
//! `UPDATE=1 cargo test --test hardware` rewrites the expectations: read the difference.

use leafwright::declare::report::Report;
use leafwright::host::hardware::{Detected, Put, detect, put, text};
use leafwright::name::FileFormat;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hardware")
}

/// `\n`, `\0`, `\xNN` and `\\` in the text of a file.
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (vec![], text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let (byte, length) = match (first, after.first()) {
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'0')) => (0, 2),
            (b'\\', Some(b'x')) => (u8::from_str_radix(std::str::from_utf8(&after[1..3]).unwrap(), 16).unwrap(), 4),
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// One line a file (`path = text`, a further line with `path += text`), link (`path -> target`) or directory (`path/`).
fn lay(text: &str, root: &Path) {
    let made = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((path, target)) = line.split_once(" -> ") {
            symlink(target, made(path)).unwrap();
        } else if let Some((path, text)) = line.split_once(" += ") {
            let mut bytes = fs::read(root.join(path)).unwrap();
            bytes.extend(unescape(text));
            bytes.push(b'\n');
            fs::write(root.join(path), bytes).unwrap();
        } else if let Some((path, text)) = line.split_once(" = ") {
            let mut bytes = unescape(text);
            // What a device tree holds ends with a zero byte, everything else with its line.
            if !path.starts_with("proc/device-tree") && !path.ends_with("/DMI") {
                bytes.push(b'\n');
            }
            fs::write(made(path), bytes).unwrap();
        } else {
            fs::create_dir_all(root.join(line)).unwrap();
        }
    }
}

fn machine(case: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    lay(&fs::read_to_string(home().join(case).join("machine.txt")).unwrap(), root.path());
    root
}

fn look(root: &Path) -> Detected {
    detect(root, "x86_64").unwrap()
}

/// What is expected beside what is.
fn same(file: &Path, is: &str, faults: &mut Vec<String>) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, is).unwrap();
    }
    let wanted = fs::read_to_string(file).unwrap_or_default();
    if wanted != is {
        faults.push(format!("{}\n--- expected\n{wanted}\n--- is\n{is}", file.display()));
    }
}

#[test]
fn machines_are_what_they_are() {
    let mut faults = vec![];
    let mut count = 0;
    for entry in fs::read_dir(home()).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let root = machine(&case);
        let found = look(root.path());
        let folder = home().join(&case);
        let report = text(&found.report).unwrap();
        same(&folder.join("report.json"), &report, &mut faults);
        same(&folder.join("private.json"), &found.private.text().unwrap(), &mut faults);
        assert_eq!(found.unread, Vec::<String>::new(), "{case}: everything can be read");
        let again = look(root.path());
        assert_eq!(text(&again.report).unwrap(), report, "{case}: two runs");
        assert_eq!(again.private.text().unwrap(), found.private.text().unwrap(), "{case}: two runs");
        assert_eq!(
            serde_json::from_str::<Report>(&report).unwrap(),
            found.report,
            "{case}: what is written is what is read"
        );
        count += 1;
    }
    assert!(count >= 5, "only {count} machines");
    assert!(faults.is_empty(), "{}\nUPDATE=1 rewrites the expectations", faults.join("\n"));
}

/// Every value of a private part, outside of addresses on a bus, which are public.
fn private_words(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != "at").for_each(|(_, value)| private_words(value, found));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| private_words(value, found)),
        serde_json::Value::String(word) => found.push(word.clone()),
        _ => {}
    }
}

#[test]
fn nothing_private_is_in_a_report() {
    let mut words = 0;
    for entry in fs::read_dir(home()).unwrap() {
        let case = entry.unwrap().file_name().into_string().unwrap();
        let found = look(machine(&case).path());
        let report = text(&found.report).unwrap();
        let mut private = vec![];
        private_words(&serde_json::from_str(&found.private.text().unwrap()).unwrap(), &mut private);
        for word in &private {
            assert!(!report.contains(&format!("\"{word}\"")), "{case}: {word} is in the report");
        }
        words += private.len();
    }
    assert!(words > 20, "only {words} private words were looked for");
}

/// What is given anew at each boot: which of two disks is `sda`, free memory, the state of a link.
#[test]
fn another_boot_gives_the_same_bytes() {
    let root = machine("rack-server");
    let before = text(&look(root.path()).report).unwrap();
    let swap = |one: &str, other: &str| {
        let (one, other, aside) = (root.path().join(one), root.path().join(other), root.path().join("aside"));
        fs::rename(&one, &aside).unwrap();
        fs::rename(&other, &one).unwrap();
        fs::rename(&aside, &other).unwrap();
    };
    swap("sys/block/nvme0n1", "sys/block/nvme1n1");
    swap("sys/class/net/eno1", "sys/class/net/eno2");
    let memory = root.path().join("proc/meminfo");
    let changed = fs::read_to_string(&memory)
        .unwrap()
        .replace("527993424 kB", "527991012 kB")
        .replace("MemFree:  ", "MemFree: 7");
    fs::write(&memory, changed).unwrap();
    assert_eq!(text(&look(root.path()).report).unwrap(), before);
}

#[test]
fn a_kernel_that_does_not_say_its_architecture_is_of_the_programs() {
    let root = machine("qemu-vm");
    fs::remove_file(root.path().join("proc/sys/kernel/arch")).unwrap();
    assert_eq!(detect(root.path(), "riscv64").unwrap().report.arch, "riscv64");
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_reported() {
    let root = machine("rack-server");
    let at = |path: &str| root.path().join(path);
    fs::write(at("sys/class/dmi/id/product_name"), b"Power\xffEdge\n").unwrap();
    // Larger than any such file, and without a byte on disk.
    fs::File::create(at("proc/cpuinfo")).unwrap().set_len(1 << 40).unwrap();
    fs::remove_file(at("proc/meminfo")).unwrap();
    fs::remove_file(at("sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme1/nvme1n1/size")).unwrap();
    fs::create_dir(at("sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/nvme1/nvme1n1/size")).unwrap();
    fs::remove_file(at("sys/class/tpm/tpm0/tpm_version_major")).unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    symlink(outside.path(), at("sys/class/tpm/tpm0/tpm_version_major")).unwrap();
    fs::remove_file(at("sys/class/dmi/id/sys_vendor")).unwrap();
    assert!(Command::new("mkfifo").arg(at("sys/class/dmi/id/sys_vendor")).status().unwrap().success());
    fs::remove_dir_all(at("sys/class/net")).unwrap();
    fs::write(at("sys/class/net"), "").unwrap();

    let found = look(root.path());
    assert_eq!(
        found.unread,
        [
            "cannot list /sys/class/net: not a directory",
            "cannot read /proc/cpuinfo: it has more than 8 MiB",
            "cannot read /sys/block/nvme1n1/size: it is no file",
            "cannot read /sys/class/dmi/id/product_name: it is not UTF-8",
            "cannot read /sys/class/dmi/id/sys_vendor: it is no file",
            "cannot read /sys/class/tpm/tpm0/tpm_version_major: it leads out of the root",
            "cannot tell how large the disk nvme1n1 is",
            "cannot tell how much memory there is: /proc/meminfo does not say MemTotal",
            "cannot tell the version of the TPM: /sys/class/tpm/tpm0/tpm_version_major does not say it",
        ]
    );
    let Report { cpu, memory, disks, nics, system, tpm, .. } = &found.report;
    assert_eq!((cpu.cores, cpu.model.as_deref(), memory, tpm), (Some(4), None, &None, &None));
    assert_eq!((disks.len(), nics.len(), system.product.as_deref()), (1, 0, Some("0PYXKY")));
    assert_eq!(serde_json::from_str::<Report>(&text(&found.report).unwrap()).unwrap(), found.report);
}

#[test]
fn nothing_at_all_is_a_report_too() {
    let root = tempfile::tempdir().unwrap();
    let found = look(root.path());
    assert_eq!(
        found.report,
        Report { format: FileFormat::Hardware.version(), arch: "x86_64".into(), ..Report::default() }
    );
    assert_eq!(found.unread.len(), 3, "{:?}", found.unread);
    assert!(detect(&root.path().join("absent"), "x86_64").is_err());
}

#[test]
fn a_file_that_says_the_same_is_left_alone_and_a_private_one_stays_private() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("private.json");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(put(&file, "{}\n", 0o600).unwrap(), Put::Written);
    assert_eq!((put(&file, "{}\n", 0o600).unwrap(), mode()), (Put::Unchanged, 0o600));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!((put(&file, "{}\n", 0o600).unwrap(), mode()), (Put::Written, 0o600));
    assert_eq!(put(&file, "{ }\n", 0o600).unwrap(), Put::Written);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["private.json"], "nothing is left beside it");
    assert!(put(&folder.path().join("absent/report.json"), "{}\n", 0o644).is_err());
}

/// Runs the binary; exit code, stdout, stderr.
fn leafwright(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
    let out = command.current_dir(folder).env("NO_COLOR", "1").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

fn domain(hardware: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("domain.toml", "name = \"meadow\"\ndns = \"meadow.example\"\nzone = \"home\"\n\n[zones.home]\n"),
        ("people/ada.toml", "full_name = \"Ada Lovelace\"\n"),
        ("hardware/pi.toml", "arch = \"aarch64\"\ncores = 4\nmemory = \"1GiB\"\ndisk = \"32GB\"\n"),
        ("machines/office.toml", &format!("configuration = [\"leaf\"]\nhardware = \"{hardware}\"\nperson = \"ada\"\n")),
    ];
    for (path, text) in files {
        fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        fs::write(root.path().join(path), text).unwrap();
    }
    root
}

#[test]
fn detect_prints_or_writes_and_then_has_nothing_to_do() {
    let (root, folder) = (machine("raspberry-pi-4"), tempfile::tempdir().unwrap());
    let golden = fs::read_to_string(home().join("raspberry-pi-4/report.json")).unwrap();
    let root = root.path().to_str().unwrap();
    let (code, data, talk) = leafwright(folder.path(), &["hardware", "detect", "--root", root]);
    assert_eq!((code, data, talk.as_str()), (Some(0), golden.clone(), ""));
    let write = ["hardware", "detect", "--root", root, "--out", "pi.json", "--private", "own.json"];
    assert_eq!(
        leafwright(folder.path(), &write),
        (Some(0), String::new(), "pi.json: written\nown.json: written\n".into())
    );
    assert_eq!(fs::read_to_string(folder.path().join("pi.json")).unwrap(), golden);
    let mode = fs::metadata(folder.path().join("own.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = "pi.json: nothing to do\nown.json: nothing to do\n";
    assert_eq!(leafwright(folder.path(), &write), (Some(0), String::new(), said.into()));
}

#[test]
fn a_detected_machine_is_what_its_report_says() {
    let (root, domain) = (machine("raspberry-pi-4"), domain("detected"));
    let root = root.path().to_str().unwrap();
    let (code, _, talk) = leafwright(domain.path(), &["check"]);
    assert!(code == Some(1) && talk.contains("LW0105"), "{talk}");
    let out = "machines/office.hardware.json";
    assert_eq!(leafwright(domain.path(), &["hardware", "detect", "--root", root, "--out", out]).0, Some(0));
    assert_eq!(leafwright(domain.path(), &["check"]).0, Some(0));
    let (code, data, talk) = leafwright(domain.path(), &["hardware", "check", "office", "--root", root]);
    assert_eq!((code, data.as_str(), talk.as_str()), (Some(0), "", "this machine has what `office` requires\n"));
}

/// Machines with one profile share what follows from it; machines that were detected are alike only where their figures are.
#[test]
fn each_detected_machine_is_sized_by_its_own_report() {
    let domain = domain("detected");
    let pi = machine("raspberry-pi-4");
    let hub = "configuration = [\"cluster\"]\nhardware = \"pi\"\nperson = \"ada\"\n";
    fs::write(domain.path().join("machines/oak.toml"), hub).unwrap();
    let file = domain.path().join("domain.toml");
    let cluster = fs::read_to_string(&file).unwrap() + "\n[clusters.hub]\nmembers = [\"oak\"]\n";
    fs::write(file, cluster).unwrap();
    for (name, sectors) in [("office", 62_333_952u64), ("attic", 62_333_952), ("barn", 500_000_000)] {
        let office = domain.path().join("machines/office.toml");
        let own = domain.path().join(format!("machines/{name}.toml"));
        if own != office {
            fs::copy(&office, own).unwrap();
        }
        fs::write(pi.path().join("sys/block/mmcblk0/size"), format!("{sectors}\n")).unwrap();
        let report = text(&look(pi.path()).report).unwrap();
        put(&domain.path().join(format!("machines/{name}.hardware.json")), &report, 0o644).unwrap();
    }
    let sources = leafwright::load::domain(domain.path()).unwrap();
    let judged = leafwright::judge(&sources);
    let domain = judged.value.unwrap_or_else(|| panic!("{:?}", judged.report)).domain;
    let disk_max = |name: &str| {
        let machine = domain.machines.iter().find(|machine| machine.name.as_str() == name).unwrap();
        assert_eq!(machine.hardware.name.as_str(), "detected");
        (machine.hardware.disk.as_bytes(), machine.options.leaf.disk_max.as_bytes())
    };
    assert_eq!(disk_max("office"), disk_max("attic"));
    assert_eq!(disk_max("barn").0, 256_000_000_000);
    assert!(disk_max("barn").1 > disk_max("office").1, "{:?} {:?}", disk_max("barn"), disk_max("office"));
}

#[test]
fn another_machine_than_was_declared_is_a_difference() {
    let (pi, vm, domain) = (machine("raspberry-pi-4"), machine("qemu-vm"), domain("pi"));
    let check = |root: &TempDir| {
        leafwright(domain.path(), &["hardware", "check", "office", "--root", root.path().to_str().unwrap()])
    };
    assert_eq!(check(&pi).0, Some(0));
    let (code, data, _) = check(&vm);
    assert_eq!(code, Some(3));
    assert_eq!(
        data,
        "this machine has the architecture x86_64 where aarch64 is required (`office`, hardware `pi`)\n\
         this machine has 2 cores where 4 are required (`office`, hardware `pi`)\n\
         this machine has no disk of 32GB (the largest has 20GiB) where 1 is required (`office`, hardware `pi`)\n"
    );
    let report = domain.path().join("machines/office.hardware.json");
    put(&report, &text(&look(pi.path()).report).unwrap(), 0o644).unwrap();
    let revision = pi.path().join("proc/device-tree/system/linux,revision");
    fs::write(revision, 0x00b0_3111_u32.to_be_bytes()).unwrap();
    let (code, data, _) = check(&pi);
    assert_eq!(code, Some(3));
    assert_eq!(
        data.lines().next(),
        Some("machines/office.hardware.json: memory.installed was \"1GiB\", and is \"2GiB\"")
    );
    let (code, _, talk) = leafwright(domain.path(), &["hardware", "check", "nobody"]);
    assert!(code == Some(2) && talk.contains("there are office"), "{talk}");
}
