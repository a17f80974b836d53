//! A whole domain on real machines: bootstrapped from nothing over ssh, linked over TLS, a to-do that goes round.

use crate::apply::{equip, sound};
use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::Operator;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// The operator's ssh: a key of its own that the machine knows, and the machine's host key, known.
struct Ssh {
    directory: tempfile::TempDir,
}

impl Ssh {
    fn to(machine: &Machine) -> Self {
        let ssh = Self { directory: tempfile::tempdir().unwrap() };
        let key = ssh.file("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status().unwrap();
        assert!(made.success());
        machine.must(["ssh-keygen", "-A"]);
        machine.write("/root/.ssh/authorized_keys", &std::fs::read_to_string(format!("{key}.pub")).unwrap());
        machine.must(["chmod", "-R", "go=", "/root/.ssh"]);
        machine.must(["systemctl", "start", "ssh"]);
        let host = machine.read("/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
        std::fs::write(ssh.file("known"), format!("{} {host}", machine.address())).unwrap();
        ssh
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }
}

pub fn a_bare_machine_is_bootstrapped_over_ssh() {
    let lab = Lab::new();
    let [office] = lab.running([("office", "10.77.0.21")]);
    assert!(!office.exec(["which", "leafwright"]).success(), "the machine is bare");
    let operator = Operator::new(&[&office]);
    operator.sign();
    let ssh = Ssh::to(&office);
    let target = format!("root@{}", office.address());
    let demo = format!("{}=/usr/lib/leafwright/leafwright-demo", env!("CARGO_BIN_EXE_leafwright-demo"));
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/bin/nats-server");
    let (store, key, known) = (operator.store(), ssh.file("key"), ssh.file("known"));
    let words = |known: &str| {
        let words = ["bootstrap", "office", "--ssh", &target, "--ssh-identity", &key, "--known-hosts", known];
        let more = ["--store", store.to_str().unwrap(), "--nats-server", server, "--program", &demo];
        words.into_iter().chain(more).map(str::to_owned).collect::<Vec<_>>()
    };
    // An unknown host key is never taken.
    let output = operator.run_words(&words(&ssh.file("nobody")));
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("host key"), "{}", output.stderr);

    let output = operator.run_words(&words(&known));
    assert!(output.success(), "{}{}", output.stdout, output.stderr);
    sound(&office);
    assert!(office.is_active("nats-server.service") && office.is_active("todos@1.service"));
    // The private halves are there and nowhere else.
    let made_there = office.read("/var/lib/leafwright/keys/machines/office/leaf.nk").expect("it has a key");
    let here = std::fs::read_to_string(store.join("machines/office/leaf.nk")).unwrap_or_default();
    assert!(!made_there.is_empty() && here != made_there, "the key was made on the machine");
    let again = operator.run_words(&words(&known));
    assert!(
        again.success() && again.stderr.contains("nothing to do: this machine is generation 1"),
        "{}",
        again.stderr
    );
}

pub fn five_machines_become_a_domain() {
    let lab = Lab::new();
    let machines = lab.running([
        ("ash", "10.77.0.11"),
        ("elm", "10.77.0.12"),
        ("oak", "10.77.0.13"),
        ("office", "10.77.0.21"),
        ("web", "10.77.0.22"),
    ]);
    let operator = Operator::new(&machines.iter().collect::<Vec<_>>());
    for machine in &machines {
        equip(machine);
        operator.enrol(machine);
    }
    operator.sign();
    let [ash, elm, oak, office, web] = &machines;
    for machine in [ash, elm, oak] {
        operator.applied(machine);
    }
    // What belongs to no single machine: through a member's own loopback.
    let store = operator.store();
    let journal = operator.domain().join("..");
    let words = ["apply", "domain", "--keys", store.to_str().unwrap(), "--state", journal.to_str().unwrap(), "--yes"];
    let mut said = String::new();
    until("the cluster takes its streams", DEADLINE, || {
        let output = ash.in_network(|| operator.run(words));
        said = output.stderr.clone();
        output.success()
    });
    for machine in [office, web] {
        operator.applied(machine);
    }
    for machine in &machines {
        sound(machine);
        exposed_little(machine);
    }
    let again = ash.in_network(|| operator.run(words));
    assert!(again.success() && again.stderr.contains("nothing to do"), "{}", again.stderr);
    // Asked on web's own loopback, answered by the office's service.
    until("the list is answered across the machines", DEADLINE, || {
        web.in_network(|| http("GET /todos HTTP/1.0\r\n\r\n"))
            .is_some_and(|answer| answer.contains("mend the north fence"))
    });
    let answer = web.in_network(|| {
        http("POST /todos HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 18\r\n\r\ntitle=oil the gate")
    });
    assert!(answer.as_deref().is_some_and(|answer| answer.contains(" 20") || answer.contains(" 30")), "{answer:?}");
    let goes_round = || {
        until("the command came to the office, and its outcome back", DEADLINE, || {
            web.in_network(|| http("GET /todos HTTP/1.0\r\n\r\n")).is_some_and(|answer| answer.contains("oil the gate"))
        });
    };
    goes_round();
    what_cannot_link_goes_back(&operator, office);
    // Nothing that was acknowledged is lost.
    goes_round();
}

/// A configuration that boots and cannot link: the machine proves its new link, and goes back when the domain does not answer.
fn what_cannot_link_goes_back(operator: &Operator, office: &Machine) {
    let before = ["ash", "elm", "oak"].map(|member| (member, operator.text_of(member)));
    for (member, text) in &before {
        operator.write(member, &text.replace("10.77.0.1", "10.77.0.9"));
    }
    let output = operator.apply(office, ["--within", "15"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("the domain answers over the link"), "{}", output.stderr);
    assert!(sound(office).contains("office is generation 1"));
    for (member, text) in &before {
        operator.write(member, text);
    }
}

/// Each unit of ours by `systemd-analyze security`: 2.5 of 10 at most.
fn exposed_little(machine: &Machine) {
    let units = machine.must(["sh", "-c", "cd /etc/systemd/system && ls *.service"]);
    for unit in units.split_whitespace().filter(|unit| !unit.starts_with("leafwright-") && !unit.starts_with("dbus")) {
        let unit = unit.replace("@.", "@1.");
        if machine.is_active(&unit) {
            machine.must(["systemd-analyze", "security", "--threshold=25", "--no-pager", &unit]);
        }
    }
}

/// One request to the web service on this machine's loopback.
fn http(request: &str) -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
