//! A whole domain on real machines: bootstrapped from nothing over ssh, linked over TLS, a to-do that goes round.

use crate::apply::sound;
use crate::back::register;
use crate::lab::{DEADLINE, Lab, Machine, Output, until};
use crate::operator::Operator;
use std::env::consts::ARCH;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// The operator's ssh: a key of its own that the machines know, and the machines' host keys, known.
struct Ssh {
    directory: tempfile::TempDir,
}

impl Ssh {
    fn to(machines: &[Machine]) -> Self {
        let ssh = Self { directory: tempfile::tempdir().unwrap() };
        let key = ssh.file("key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status().unwrap();
        assert!(made.success());
        let mut known = String::new();
        for machine in machines {
            machine.must(["ssh-keygen", "-A"]);
            machine.write("/root/.ssh/authorized_keys", &std::fs::read_to_string(format!("{key}.pub")).unwrap());
            machine.must(["chmod", "-R", "go=", "/root/.ssh"]);
            machine.must(["systemctl", "start", "ssh"]);
            let host = machine.read("/etc/ssh/ssh_host_ed25519_key.pub").unwrap();
            known += &format!("{} {host}", machine.address());
        }
        std::fs::write(ssh.file("known"), known).unwrap();
        ssh
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// The words of a bootstrap of this machine, by the host keys in a file.
    fn bootstrap(&self, operator: &Operator, machine: &Machine, known: &str) -> Vec<String> {
        let target = format!("root@{}", machine.address());
        let (store, key, known) = (operator.store(), self.file("key"), self.file(known));
        let demo = format!("{}=/usr/lib/leafwright/leafwright-demo", env!("CARGO_BIN_EXE_leafwright-demo"));
        let server = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/bin/nats-server");
        let words = ["bootstrap", machine.name(), "--ssh", &target, "--ssh-identity", &key, "--known-hosts", &known];
        let more = ["--store", store.to_str().unwrap(), "--nats-server", server, "--program", &demo];
        words.into_iter().chain(more).map(str::to_owned).collect()
    }

    /// A machine's nats-server on this loopback, as long as what this gives lives.
    fn forward(&self, machine: &Machine) -> Forward {
        let target = format!("root@{}", machine.address());
        let known = format!("UserKnownHostsFile={}", self.file("known"));
        let mut ssh = Command::new("ssh");
        ssh.args(["-N", "-o", "BatchMode=yes", "-o", &known, "-i", &self.file("key")]);
        Forward(ssh.args(["-L", "4222:127.0.0.1:4222", &target]).spawn().unwrap())
    }
}

struct Forward(std::process::Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub fn a_bare_machine_is_bootstrapped_over_ssh() {
    let lab = Lab::new();
    let [office] = lab.running([("office", "10.77.0.21")]);
    assert!(!office.exec(["which", "leafwright"]).success(), "the machine is bare");
    let operator = Operator::new(&[&office]);
    operator.sign();
    let ssh = Ssh::to(std::slice::from_ref(&office));
    let store = operator.store();
    // An unknown host key is never taken.
    let output = operator.run_words(&ssh.bootstrap(&operator, &office, "nobody"));
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("host key"), "{}", output.stderr);

    wrong_programs_are_told_before_anything_is_there(&operator, &ssh, &office);

    // Killed while it sends, while keys are made, while it applies; each next one goes on. What was begun there goes on there.
    let words = ssh.bootstrap(&operator, &office, "known");
    let mut said = String::new();
    for step in ["2 of 7", "4 of 7", "6 of 7"] {
        operator.killed_after(&words, step);
    }
    until("the last one comes to its end", DEADLINE, || {
        let output = operator.run_words(&words);
        assert!(output.success() || output.stderr.contains("is in use: "), "{}{}", output.stdout, output.stderr);
        said = output.stderr.clone();
        output.success()
    });
    // Its domain is away: that is told, and all that the machine does alone is proved.
    assert!(said.contains("not proved yet: no member of hub (oak, ash, elm) takes its link"), "{said}");
    sound(&office);
    let output = office.exec(["leafwright", "verify"]);
    assert_eq!(output.status.code(), Some(4), "{}{}", output.stdout, output.stderr);
    for line in ["✗ links", "    ✗ office → hub: no link", "✓ queries", "✓ rights", " 1 failed, "] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
    assert!(office.is_active("nats-server.service") && office.is_active("todos@1.service"));
    // The private halves are there and nowhere else.
    let made_there = office.read("/var/lib/leafwright/keys/machines/office/leaf.nk").expect("it has a key");
    let here = std::fs::read_to_string(store.join("machines/office/leaf.nk")).unwrap_or_default();
    assert!(!made_there.is_empty() && here != made_there, "the key was made on the machine");
    does_nothing(&operator, &ssh, &office);
    what_it_compiles_is_what_is_compiled_here(&operator, &ssh, &office);
}

/// A Leafwright that makes something else of the same text, as another version may: nothing is applied.
fn what_it_compiles_is_what_is_compiled_here(operator: &Operator, ssh: &Ssh, machine: &Machine) {
    let other = ssh.file("another");
    let script = "#!/bin/sh\n[ \"$1\" = build ] && echo 77-office && exit\n\
        [ \"$1\" = apply ] && touch /root/applied\nexec /mnt/tools/leafwright \"$@\"\n";
    std::fs::write(&other, script).unwrap();
    let mut words = ssh.bootstrap(operator, machine, "known");
    words.extend(["--leafwright".to_owned(), other]);
    let output = operator.run_words(&words);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    let here = operator.must(["build", machine.name()]);
    let said = [
        "root@10.77.0.21 compiles office to another closure than this machine",
        "  there 77-office, by leafwright ",
        &format!("  here  {}, by leafwright ", here.lines().next().unwrap()),
    ];
    for words in said {
        assert!(output.stderr.contains(words), "{words:?} is not in {}", output.stderr);
    }
    assert!(machine.read("/root/applied").is_none(), "it was applied");
}

/// One of another architecture, and one that does not run there.
fn wrong_programs_are_told_before_anything_is_there(operator: &Operator, ssh: &Ssh, machine: &Machine) {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(18, 0);
    // EM_S390
    elf.extend([22, 0]);
    let (other, silent) = (ssh.file("other"), ssh.file("silent"));
    std::fs::write(&other, elf).unwrap();
    std::fs::write(&silent, "#!/bin/sh\necho 'libc.so.6: version GLIBC_9.9 not found' >&2\nexit 1\n").unwrap();
    for (option, file, said) in [
        (
            "--leafwright",
            &other,
            &*format!("is for s390x, and root@10.77.0.21 is {ARCH}\nhelp: name one for {ARCH} with --leafwright FILE"),
        ),
        ("--nats-server", &other, &*format!("help: name one for {ARCH} with --nats-server FILE")),
        ("--leafwright", &silent, "does not run on root@10.77.0.21: libc.so.6: version GLIBC_9.9 not found"),
    ] {
        let mut words = ssh.bootstrap(operator, machine, "known");
        if let Some(at) = words.iter().position(|word| word == option) {
            words.drain(at..at + 2);
        }
        words.extend([option.to_owned(), file.clone()]);
        let output = operator.run_words(&words);
        assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
        assert!(output.stderr.contains(said), "{}", output.stderr);
    }
    let there = machine.must(["ls", "-A", "/usr/local/bin"]);
    assert_eq!(there.trim(), "", "nothing was put there");
}

/// A second bootstrap of a machine finds everything done, and says so.
fn does_nothing(operator: &Operator, ssh: &Ssh, machine: &Machine) {
    let before = machine.must(["systemctl", "show", "--value", "-p", "InvocationID", "nats-server.service"]);
    let again = operator.run_words(&ssh.bootstrap(operator, machine, "known"));
    let said = &again.stderr;
    assert!(again.success() && said.contains("nothing to do: this machine is generation "), "{said}");
    assert!(said.contains("leafwright is there") && !said.contains("MiB sent"), "{said}");
    assert_eq!(machine.must(["systemctl", "show", "--value", "-p", "InvocationID", "nats-server.service"]), before);
}

/// The cluster of the example and two of its leaves, running and bare.
pub fn five(lab: &Lab) -> ([Machine; 5], Operator) {
    let machines = lab.running([
        ("ash", "10.77.0.11"),
        ("elm", "10.77.0.12"),
        ("oak", "10.77.0.13"),
        ("office", "10.77.0.21"),
        ("web", "10.77.0.22"),
    ]);
    let operator = Operator::new(&machines.iter().collect::<Vec<_>>());
    (machines, operator)
}

/// From five machines that have systemd, sshd and nothing of ours to a domain, by what the operator has: no key was
/// made and nothing was signed before the first of them.
pub fn five_bare_machines_become_a_domain() {
    let lab = Lab::new();
    let (machines, operator) = five(&lab);
    let ssh = Ssh::to(&machines);
    let [ash, .., office, web] = &machines;
    let began = Instant::now();
    for machine in &machines {
        assert!(!machine.exec(["which", "leafwright", "nats-server"]).success(), "{} is bare", machine.name());
        let output = operator.run_words(&ssh.bootstrap(&operator, machine, "known"));
        assert!(output.success(), "{}: {}{}", machine.name(), output.stdout, output.stderr);
        println!("{} is bootstrapped {:.1} s after the first began", machine.name(), began.elapsed().as_secs_f64());
        let unproved = output.stderr.split("not proved yet: ").nth(1).unwrap_or_default();
        let missing = match machine.name() {
            "ash" => "ash has no route to oak and elm\n",
            "elm" => "elm has no route to oak\n",
            _ => "",
        };
        assert!(unproved.starts_with(missing) && unproved.is_empty() == missing.is_empty(), "{}", output.stderr);
    }
    // The keys of the machines that are not here, which nobody needed until now.
    operator.sign();
    // What belongs to no single machine: by the operator's own keys, which never leave, through a member's loopback.
    let (store, journal) = (operator.store(), operator.domain().join(".."));
    let words = ["apply", "domain", "--keys", store.to_str().unwrap(), "--state", journal.to_str().unwrap(), "--yes"];
    let _forwarded = ssh.forward(ash);
    // Stopped in the middle by Ctrl-C: it lets the lease go.
    let mut stopped = 0;
    until("an apply of the domain is stopped", DEADLINE, || {
        let (process, said) = operator.stopped_after(&words, "    1 of ");
        stopped = process;
        assert!(!said.contains("the domain: "), "it came to its end before it was stopped: {said}");
        said.contains("it was stopped: Ctrl-C")
    });
    // By two people at once, each with a journal of his own: one does it, the other finds nothing left to do.
    let other = journal.join("other");
    std::fs::create_dir(&other).unwrap();
    let others = words.map(|word| if word == journal.to_str().unwrap() { other.to_str().unwrap() } else { word });
    until("the cluster takes its streams", DEADLINE, || {
        let both = std::thread::scope(|scope| {
            let second = scope.spawn(|| operator.run(others));
            [operator.run(words), second.join().unwrap()]
        });
        both.iter().for_each(|output| println!("{}", output.stderr));
        let waits = both.iter().any(|output| output.stderr.contains(&format!("(process {stopped})")));
        assert!(!waits, "somebody waits for whom was stopped");
        both.iter().all(Output::success)
    });
    what_is_only_looked_at_stays(&operator, &words);
    let goes_round = |title: &str| {
        until(&format!("the office's list, asked on web's loopback, has {title:?}"), DEADLINE, || {
            web.in_network(|| http("GET /todos HTTP/1.0\r\n\r\n")).is_some_and(|answer| answer.contains(title))
        });
    };
    goes_round("mend the north fence");
    let answer = web.in_network(|| {
        http("POST /todos HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 18\r\n\r\ntitle=oil the gate")
    });
    assert!(answer.as_deref().is_some_and(|answer| answer.contains(" 20") || answer.contains(" 30")), "{answer:?}");
    goes_round("oil the gate");
    println!("from bare to a to-do that went round: {:.1} s", began.elapsed().as_secs_f64());

    for machine in &machines {
        sound(machine);
        proved(machine);
        exposed_little(machine);
        does_nothing(&operator, &ssh, machine);
    }
    let again = operator.run(words);
    assert!(again.success() && again.stderr.contains("nothing to do"), "{}", again.stderr);
    what_cannot_link_goes_back(&operator, office);
    goes_round("oil the gate");
    crate::firewall::cuts_the_link_and_goes(&operator, ash, office);
    // Nothing that was acknowledged is lost.
    goes_round("oil the gate");
}

/// A dry run of `apply domain` says what would be done, and does nothing of it; what is for machines is refused.
fn what_is_only_looked_at_stays(operator: &Operator, words: &[&str]) {
    let path = operator.domain().join("domain.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("ack_wait = \"30s\"", "ack_wait = \"31s\"", 1)).unwrap();
    for _ in 0..2 {
        let dry: Vec<&str> = words.iter().copied().chain(["--dry-run"]).collect();
        let output = operator.run_words(&dry);
        assert!(output.success() && output.stderr.contains("ack_wait is 30s and must be 31s"), "{}", output.stderr);
        assert!(!output.stderr.contains("1 of 3"), "{}", output.stderr);
    }
    let of_a_machine: [&[&str]; 5] = [
        &["--plan", "plan.json"],
        &["--root", "/tmp"],
        &["--mode", "test"],
        &["--dry-run", "--out", "x"],
        &["--within", "5"],
    ];
    for option in of_a_machine {
        let output = operator.run_words(&[words, option].concat());
        assert_eq!(output.status.code(), Some(2), "{option:?}: {}", output.stderr);
    }
    std::fs::write(&path, text).unwrap();
    let output = operator.run_words(words);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
}

/// `verify` on the machine itself, by its own keys: green, and red where something that it promises is away.
fn proved(machine: &Machine) {
    let verify = || machine.exec(["leafwright", "verify", machine.name(), "--within", "5"]);
    let output = verify();
    assert!(output.success() && output.stdout.contains(" 0 failed, "), "{}{}", output.stdout, output.stderr);
    if machine.name() == "office" {
        println!("{}", output.stdout);
        machine.must(["systemctl", "stop", "todos@1.service"]);
        let output = verify();
        assert_eq!(output.status.code(), Some(4), "{}", output.stdout);
        assert!(output.stdout.contains("✗ todos.list: "), "{}", output.stdout);
        machine.must(["systemctl", "start", "todos@1.service"]);
        let other = machine.exec(["leafwright", "verify", "web"]);
        assert_eq!(other.status.code(), Some(2), "{}", other.stderr);
    }
}

/// A configuration that boots and cannot link: the machine proves its new link, and goes back when the domain does not answer.
fn what_cannot_link_goes_back(operator: &Operator, office: &Machine) {
    let before = ["ash", "elm", "oak"].map(|member| (member, operator.text_of(member)));
    for (member, text) in &before {
        operator.write(member, &text.replace("10.77.0.1", "10.77.0.9"));
    }
    // A server that listens elsewhere is no excuse: that the link was there is asked where the old one listens.
    let text = operator.text_of("office");
    operator.settings("office", "leaf.listen = \"127.0.0.1:4223\"");
    let output = operator.apply(office, ["--within", "15"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("the domain answers over the link"), "{}", output.stderr);
    assert!(sound(office).contains("office is generation 1"));
    operator.write("office", &text);
    let output = operator.apply(office, ["--within", "15"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("the domain answers over the link"), "{}", output.stderr);
    assert!(sound(office).contains("office is generation 1"));

    // A boot proves no less. It may take two minutes; here it has less.
    let shorter = "[Service]\nExecStart=\nExecStart=/usr/local/bin/leafwright machine confirm --within 10\n";
    let drop_in = "/etc/systemd/system/leafwright-confirm.service.d/shorter.conf";
    let at = office.path(drop_in);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(&at, shorter).unwrap();
    let output = operator.apply(office, ["--mode", "boot"]);
    assert!(output.stderr.contains("begins with the next boot"), "{}", output.stderr);
    office.reboot();
    office.wait_running(DEADLINE);
    until("the boot has gone back", DEADLINE, || register(office)["returned"]["from"] == 4);
    let reason = register(office)["returned"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("the domain answers over the link"), "{reason}");
    assert!(sound(office).contains("office is generation 1"));
    office.must(["rm", drop_in]);
    office.must(["systemctl", "daemon-reload"]);

    // And a rollback to what cannot link comes back.
    let output = office.exec(["leafwright", "rollback", "3", "--yes", "--within", "10", "--steady", "0"]);
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
    let mut looked_at = 0;
    for unit in units.split_whitespace().filter(|unit| !unit.starts_with("leafwright-") && !unit.starts_with("dbus")) {
        let unit = unit.replace("@.", "@1.");
        if machine.is_active(&unit) {
            machine.must(["systemd-analyze", "security", "--threshold=25", "--no-pager", &unit]);
            looked_at += 1;
        }
    }
    let leaf = machine.address().starts_with("10.77.0.2");
    assert_eq!(looked_at, if leaf { 2 } else { 1 }, "nats-server, and a leaf's service: {units}");
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
