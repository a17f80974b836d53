//! Virtual machines, for what a container cannot show: a power cut that takes the page cache along. QEMU emulates the processor, so it
//! works everywhere and takes its time.
//!
//! Refuses: any network but a forward of ssh on this scenario's loopback.

use super::{DEADLINE, Disk, HYPERVISOR, Output, STATE, host, until};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

/// A processor that is emulated takes many times as long.
const SLOW: Duration = DEADLINE.saturating_mul(2);

/// A machine that is on. Dropped, its power is cut.
pub struct Virtual {
    qemu: Child,
    port: u16,
    console: PathBuf,
    /// What goes through ssh besides commands.
    forward: Option<Child>,
}

/// A program of the file system with QEMU and a kernel, which sees the lab's disks where they are.
pub(super) fn hypervisor<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    static MOUNTED: Once = Once::new();
    let root = std::env::var(HYPERVISOR).expect("the scenario's row in main.rs begins with `Virtual`");
    MOUNTED.call_once(|| {
        for (from, to) in [("/dev", "dev"), ("/proc", "proc"), (STATE, "run/lab")] {
            let place = format!("{root}/{to}");
            std::fs::create_dir_all(&place).expect("a directory below target");
            host(["mount", "--rbind", from, &place]);
        }
    });
    let mut command = Command::new("chroot");
    command.arg(root).args(args).stdin(Stdio::null());
    command
}

impl Virtual {
    /// Boots from the disk. Where there is a `log`, every write is in it before the machine hears that it is done.
    pub fn boot(name: &str, disk: &Disk, log: Option<&Path>) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let file = format!("driver=file,node-name=file,filename={}", disk.path().display());
        let logged = log.map(|log| {
            File::create(log).expect("a file on a tmpfs");
            let log = log.display();
            format!("driver=blklogwrites,node-name=disk,file=file,log.driver=file,log.filename={log},log-super-update-interval=1")
        });
        let console = Path::new(STATE).join(format!("{name}.console"));
        let words = "console=ttyS0 root=/dev/vda rootflags=noinit_itable rw quiet panic=-1 systemd.getty_auto=no \
            systemd.mask=systemd-modules-load.service";
        let network = format!("user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22");
        let mut command = hypervisor(["qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "9G"]);
        command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", "/boot/vmlinuz"]);
        command.args(["-initrd", "/boot/initrd.img", "-append", words, "-nic", &network, "-blockdev", &file]);
        let last = if let Some(logged) = &logged {
            command.args(["-blockdev", logged]);
            "disk"
        } else {
            "file"
        };
        command.args(["-device", &format!("virtio-blk-pci,drive={last}")]);
        let output = File::create(&console).expect("a file on a tmpfs");
        command.stderr(output.try_clone().expect("a file")).stdout(output);
        Self { qemu: command.spawn().expect("chroot starts"), port, console, forward: None }
    }

    fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        let key = Path::new(STATE).join("key");
        command.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        command.args([
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "ConnectTimeout=10",
            "-p",
            &self.port.to_string(),
            "-i",
        ]);
        command.arg(key).arg("root@127.0.0.1").stdin(Stdio::null());
        command
    }

    /// A line for the machine's shell, to its end.
    pub fn exec(&self, line: &str) -> Output {
        let output = self.ssh().args(["--", line]).output().expect("ssh starts");
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn must(&self, line: &str) -> String {
        let output = self.exec(line);
        assert!(output.success(), "{line}: {output:#?}\n{}", self.said());
        output.stdout
    }

    /// The same, told line by line of its stdout; all of it.
    pub fn told(&self, line: &str, mut tell: impl FnMut(&str)) -> String {
        let mut ssh = self.ssh().args(["--", line]).stdout(Stdio::piped()).spawn().expect("ssh starts");
        let lines = BufReader::new(ssh.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let said: Vec<String> = lines.inspect(|line| tell(line)).collect();
        let said = said.join("\n");
        assert!(ssh.wait().is_ok_and(|status| status.success()), "{line}: {said}\n{}", self.said());
        said
    }

    /// Until its boot is done, with nothing failed.
    pub fn wait_running(&mut self) {
        let mut said = String::new();
        until("the virtual machine runs", SLOW, || {
            let ended = self.qemu.try_wait().expect("it was started");
            assert!(ended.is_none(), "QEMU has ended: {ended:?}\n{}", self.said());
            self.exec("systemctl is-system-running --wait; systemctl --failed --no-legend --plain")
                .stdout
                .clone_into(&mut said);
            assert!(!said.starts_with("degraded"), "it is degraded: {said}\n{}", self.said());
            said.starts_with("running")
        });
    }

    /// Until a command of the shell succeeds.
    pub fn until(&self, what: &str, line: &str) {
        until(what, SLOW, || self.exec(line).success());
    }

    /// A port of this scenario's loopback that leads to one of the machine's.
    pub fn forward(&mut self, to: u16) -> u16 {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let forward = format!("127.0.0.1:{port}:127.0.0.1:{to}");
        let mut command = self.ssh();
        command
            .args(["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.forward = Some(command.spawn().expect("ssh starts"));
        let there = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("ssh forwards", SLOW, there);
        port
    }

    /// At once: what the machine's kernel held back is gone, what the disk was given stays.
    pub fn power_cut(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for child in self.forward.iter_mut().chain([&mut self.qemu]) {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }

    /// The end of what was said on its console.
    fn said(&self) -> String {
        let said = std::fs::read(&self.console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        self.end();
    }
}
