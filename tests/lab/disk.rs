//! Disks of virtual machines: raw images, made of a machine's files, and what a log of every write says of a cut at any point.
//!
//! Refuses: a cut that keeps what was never flushed. What lies between the last flush and the cut may be there or not, each write
//! for itself, as with a disk whose cache is lost.

use super::virtual_machine::hypervisor;
use super::{Machine, STATE, TOOLS, host};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// `QEMU`'s `blklogwrites` writes in the format of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst).
const MAGIC: u64 = 0x006a_7366_7773_6872;
const SECTOR: u64 = 512;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// Sparse, so that it takes what is in it. As large as the machines' profiles ask for.
const SIZE: u64 = 120 << 30;

pub struct Disk(PathBuf);

impl Disk {
    /// The files of a machine that is off, its tools among them, made to boot by themselves: ssh at 10.0.2.15 for the key `key.pub` in `STATE`.
    pub fn of(machine: &Machine) -> Self {
        machine
            .write("/etc/systemd/network/10-virtual.network", "[Match]\nType=ether\n[Network]\nAddress=10.0.2.15/24\n");
        let wanted = |unit: &str| {
            let link = machine.path("/etc/systemd/system/multi-user.target.wants").join(unit);
            let _there = std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), link);
        };
        wanted("systemd-networkd.service");
        wanted("ssh.service");
        let root = machine.root().to_str().expect("the paths of a lab are plain");
        host(["ssh-keygen", "-A", "-f", root]);
        let key = Path::new(STATE).join("key");
        if !key.exists() {
            host(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()]);
        }
        machine.write("/root/.ssh/authorized_keys", &fs::read_to_string(key.with_extension("pub")).expect("just made"));
        // A machine in a container has its tools by a mount.
        let tools = format!("{root}/mnt/tools");
        fs::create_dir_all(&tools).expect("a directory in the machine");
        host(["mount", "--rbind", TOOLS, &tools]);
        let disk = Self(Path::new(STATE).join(format!("{}.disk", machine.name())));
        let image = File::create(&disk.0).expect("a file on a tmpfs");
        image.set_len(SIZE).expect("a sparse file");
        let made = hypervisor(["mkfs.ext4", "-q", "-F", "-J", "size=32", "-d", root]).arg(&disk.0).output();
        let made = made.expect("chroot starts");
        assert!(made.status.success(), "mkfs.ext4: {}", String::from_utf8_lossy(&made.stderr));
        host(["umount", "--recursive", &tools]);
        disk
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The same once more, beside it.
    pub fn copy(&self, name: &str) -> Self {
        let copy = Path::new(STATE).join(format!("{name}.disk"));
        host(["cp".as_ref(), "--sparse=always".as_ref(), self.0.as_os_str(), copy.as_os_str()]);
        Self(copy)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

/// Every write of a virtual machine to its disk, in the order in which they were done.
pub struct Log {
    file: File,
    entries: Vec<Entry>,
}

struct Entry {
    sector: u64,
    sectors: u64,
    flags: u64,
    /// Where its data begins in the log, and where the entry ends there.
    data: u64,
    end: u64,
}

impl Log {
    /// What is whole in it.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).expect("there is a log");
        let length = file.metadata().expect("it is a file").len();
        let word = |at: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).expect("within the log");
            u64::from_le_bytes(bytes)
        };
        assert_eq!((word(0), word(8)), (MAGIC, 1), "a log of the format that is known");
        let (mut entries, mut at) = (vec![], SECTOR);
        while at + SECTOR <= length {
            let (sector, sectors, flags) = (word(at), word(at + 8), word(at + 16));
            let data = at + SECTOR;
            let bytes = if flags & (DISCARD | MARK) == 0 { sectors * SECTOR } else { 0 };
            let end = data + bytes;
            if end > length || (sectors, flags) == (0, 0) {
                break;
            }
            entries.push(Entry { sector, sectors, flags, data, end });
            at = end;
        }
        Self { file, entries }
    }

    /// The number of writes and flushes that are whole below this length of the log.
    pub fn entries_below(&self, length: u64) -> usize {
        self.entries.partition_point(|entry| entry.end <= length)
    }

    /// As many entries and those that follow, up to the next flush: what is not flushed is the most there.
    pub fn before_flush(&self, entries: usize) -> usize {
        let following = self.entries.iter().skip(entries);
        entries + following.take_while(|entry| entry.flags & FLUSH == 0).count()
    }

    /// Takes `disk`, as it was when the log began, to where a power cut after so many entries leaves it: all up to the last flush,
    /// and of the rest what `kept` says. Gives how many writes were lost.
    pub fn replay(&self, disk: &Disk, entries: usize, mut kept: impl FnMut() -> bool) -> usize {
        let image = File::options().write(true).open(&disk.0).expect("there is a disk");
        let done = &self.entries[..entries];
        let flushed = done.iter().rposition(|entry| entry.flags & FLUSH != 0);
        let (mut lost, mut bytes) = (0, vec![]);
        for (number, entry) in done.iter().enumerate() {
            if flushed.is_none_or(|flushed| number > flushed) && entry.flags & FUA == 0 && !kept() {
                lost += 1;
                continue;
            }
            bytes.resize(usize::try_from(entry.sectors * SECTOR).expect("it fits"), 0);
            if entry.flags & DISCARD == 0 {
                self.file.read_exact_at(&mut bytes, entry.data).expect("within the log");
            } else {
                bytes.fill(0);
            }
            image.write_all_at(&bytes, entry.sector * SECTOR).expect("a tmpfs with room");
        }
        lost
    }
}
