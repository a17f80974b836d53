//! Whoever runs the domain: the example's text with the lab's addresses, its key store, and what is taken to a machine and back.

use crate::lab::{Machine, Output};
use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// Where the domain's text lies on a machine.
pub const DOMAIN: &str = "/var/lib/leafwright/domain";

const PARTS: [&str; 8] =
    ["domain.toml", "machines", "modules", "hardware", "people", "events", "contracts", "identity"];

pub struct Operator {
    directory: tempfile::TempDir,
}

impl Operator {
    /// The example domain, with new keys, and these machines at their addresses.
    pub fn new(machines: &[&Machine]) -> Self {
        let operator = Self { directory: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in PARTS.iter().filter(|part| **part != "identity") {
            copy(&root.join(part), &operator.domain().join(part));
        }
        // What the lab's machines really have at least: a machine that is less than its profile is refused.
        for profile in ["mini-pc", "rack-server"] {
            let text = "arch = \"x86_64\"\ncores = 1\nmemory = \"8GiB\"\ndisk = \"100GB\"\n";
            fs::write(operator.domain().join(format!("hardware/{profile}.toml")), text).unwrap();
        }
        for machine in machines {
            operator.settings(machine.name(), &format!("network.host = \"{}\"", machine.address()));
        }
        let store = operator.store();
        operator.must(["keys", "init", "--store", store.to_str().unwrap()]);
        operator
    }

    pub fn domain(&self) -> PathBuf {
        self.directory.path().join("domain")
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("keys")
    }

    /// Lines for `[settings]` of a machine.
    pub fn settings(&self, machine: &str, lines: &str) {
        let path = self.domain().join(format!("machines/{machine}.toml"));
        let mut text = fs::read_to_string(&path).unwrap();
        if !text.contains("[settings]") {
            // Before tables of its own, which would take the lines.
            let at = text.find("[settings").unwrap_or(text.len());
            text.insert_str(at, "\n[settings]\n");
        }
        fs::write(&path, text.replacen("[settings]\n", &format!("[settings]\n{lines}\n"), 1)).unwrap();
    }

    pub fn text_of(&self, machine: &str) -> String {
        fs::read_to_string(self.domain().join(format!("machines/{machine}.toml"))).unwrap()
    }

    pub fn write(&self, machine: &str, text: &str) {
        fs::write(self.domain().join(format!("machines/{machine}.toml")), text).unwrap();
    }

    /// Tables at the end of a machine's file.
    pub fn append(&self, machine: &str, tables: &str) {
        let path = self.domain().join(format!("machines/{machine}.toml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}\n{tables}\n")).unwrap();
    }

    pub fn run<const N: usize>(&self, args: [&str; N]) -> Output {
        self.run_words(&args)
    }

    pub fn run_words(&self, args: &[impl AsRef<std::ffi::OsStr>]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        let output = command.args(args).arg("--domain").arg(self.domain()).output().unwrap();
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `kill -9` as soon as it says this. What it has started elsewhere goes on.
    pub fn killed_after(&self, args: &[String], said: &str) {
        let (mut child, heard) = self.begun(args);
        let heard: Vec<String> = heard.map_while(Result::ok).take_while(|line| !line.starts_with(said)).collect();
        assert!(child.try_wait().unwrap().is_none(), "it ended before {said:?}: {heard:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ctrl-C as soon as it says this, if it ever does: its number, and all that it said.
    pub fn stopped_after(&self, args: &[&str], said: &str) -> (u32, String) {
        let (mut child, heard) = self.begun(args);
        let heard = heard.map_while(Result::ok).inspect(|line| {
            if line.starts_with(said) {
                let process = rustix::process::Pid::from_child(&child);
                let _ended = rustix::process::kill_process(process, rustix::process::Signal::INT);
            }
        });
        let heard: Vec<String> = heard.collect();
        child.wait().unwrap();
        (child.id(), heard.join("\n"))
    }

    fn begun(&self, args: &[impl AsRef<std::ffi::OsStr>]) -> (Child, Lines<BufReader<ChildStderr>>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        command.args(args).arg("--domain").arg(self.domain()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let heard = BufReader::new(child.stderr.take().unwrap()).lines();
        (child, heard)
    }

    pub fn must<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self.run(args);
        assert!(output.success(), "{args:?}: {}{}", output.stdout, output.stderr);
        output.stdout + &output.stderr
    }

    /// Keys made on the machine, and their public halves signed here.
    pub fn enrol(&self, machine: &Machine) {
        let (file, store) = (self.requested(machine), self.store());
        self.must(["keys", "enrol", &file, "--store", store.to_str().unwrap()]);
    }

    /// The same, where the machine has other keys than before.
    pub fn enrol_anew(&self, machine: &Machine) {
        let (file, store) = (self.requested(machine), self.store());
        self.must(["keys", "enrol", &file, "--store", store.to_str().unwrap(), "--replace", machine.name()]);
    }

    /// The machine makes the keys that it lacks; the file with its request.
    fn requested(&self, machine: &Machine) -> String {
        self.take_to(machine);
        let request = machine.exec(["leafwright", "keys", "make", machine.name(), "--domain", DOMAIN]);
        assert!(request.success(), "{}", request.stderr);
        let file = self.directory.path().join(format!("{}.request", machine.name()));
        fs::write(&file, request.stdout).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Signs what nobody has enrolled.
    pub fn sign(&self) {
        let store = self.store();
        self.must(["keys", "sign", "--store", store.to_str().unwrap()]);
    }

    /// What a user of the cluster logs in with.
    pub fn creds_of(&self, user: &str) -> String {
        let (store, file) = (self.store(), self.directory.path().join("creds"));
        let _none = fs::remove_file(&file);
        self.must(["keys", "creds", user, "--store", store.to_str().unwrap(), "--out", file.to_str().unwrap()]);
        fs::read_to_string(file).unwrap()
    }

    /// The domain's text, as it is now.
    pub fn take_to(&self, machine: &Machine) {
        let there = machine.path(DOMAIN);
        if there.exists() {
            fs::remove_dir_all(&there).unwrap();
        }
        for part in PARTS {
            let from = self.domain().join(part);
            if from.exists() {
                copy(&from, &there.join(part));
            }
        }
    }

    /// `apply` on the machine, with the text as it is now.
    pub fn apply<const N: usize>(&self, machine: &Machine, more: [&str; N]) -> Output {
        self.take_to(machine);
        let words = ["leafwright", "apply", machine.name(), "--domain", DOMAIN, "--yes"];
        machine.exec(words.into_iter().chain(more))
    }

    /// What must go well.
    pub fn applied(&self, machine: &Machine) -> String {
        let output = self.apply(machine, []);
        assert!(output.success(), "{}{}", output.stdout, output.stderr);
        output.stdout + &output.stderr
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
