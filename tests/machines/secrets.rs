//! Where the secrets of a machine are, and that they are nowhere else: after an apply, a second one, a failing one, one that
//! is killed with a core file wished for, and a rollback.
//!
//! Refuses: believing the scan. It finds each secret where it is meant to be.

use crate::apply::{office, sound};
use crate::back::register;
use crate::lab::{DEADLINE, Lab, Machine, Output, until};
use crate::operator::DOMAIN;
use std::collections::BTreeSet;

/// Everything that is kept on a machine, but what the kernel shows of itself. The tools are not the machine's.
const KEPT: &str = "grep -rlaFf - / --exclude-dir=proc --exclude-dir=sys --exclude-dir=tools --exclude-dir=usr";
/// What can be seen of all processes, a file each.
const SEEN: &str = "grep -laFf - /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null";
/// What can be asked for, each answer behind its question.
const ASKED: [&str; 6] = [
    "journalctl --no-pager -o export --all",
    "journalctl --no-pager -o export --all --file /var/log/journal/*/*",
    "ps -eww -o args,",
    "systemctl show --no-pager '*'",
    "systemctl cat --no-pager '*.service'",
    "leafwright generations --json; leafwright generations diff 1 2",
];
/// Where secrets are meant to be: the key store, the files that systemd hands over, where it has handed them over.
const MEANT: [&str; 3] = ["/var/lib/leafwright/keys/", "/etc/leafwright/credentials/", "/run/credentials/"];

/// The seeds on the machine, each a line.
fn seeds(machine: &Machine) -> BTreeSet<String> {
    let files = "cat $(find /var/lib/leafwright/keys /etc/leafwright/credentials -type f)";
    let text = machine.must(["sh", "-c", files]);
    let is_seed =
        |word: &&str| word.len() == 58 && word.starts_with("SU") && word.bytes().all(|b| b.is_ascii_alphanumeric());
    text.split_whitespace().filter(is_seed).map(str::to_owned).collect()
}

/// Everywhere that one of the secrets is found.
fn found(machine: &Machine, seeds: &BTreeSet<String>) -> Vec<String> {
    let needles = seeds.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let ask = |script: &str| machine.exec_with(["sh", "-c", script], needles.as_bytes()).stdout;
    let mut places: Vec<String> =
        [KEPT, SEEN].iter().flat_map(|scan| ask(scan).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let said = |question: &&&str| {
        ask(&format!(
            "cat >/dev/shm/needles; ({question}) 2>&1 | grep -aFqf /dev/shm/needles && echo y; rm /dev/shm/needles"
        ))
        .contains('y')
    };
    places.extend(ASKED.iter().filter(said).map(|question| (*question).to_owned()));
    places
}

fn tells_nothing(output: &Output, seeds: &BTreeSet<String>) {
    let told = seeds.iter().any(|seed| output.stdout.contains(seed) || output.stderr.contains(seed));
    assert!(!told, "a secret was told");
}

/// In no place but those that are meant for it; and there it is seen.
fn stays(machine: &Machine, seeds: &BTreeSet<String>, when: &str) {
    let (meant, elsewhere): (Vec<String>, Vec<String>) =
        found(machine, seeds).into_iter().partition(|place| MEANT.iter().any(|meant| place.starts_with(meant)));
    assert_eq!(elsewhere, Vec::<String>::new(), "{when}");
    for place in MEANT {
        assert!(meant.iter().any(|found| found.starts_with(place)), "the scan does not see {place}: {meant:?}");
    }
}

pub fn secrets_stay_where_they_are_meant_to_be() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let seeds = seeds(&office);
    assert!(seeds.len() >= 3, "the leaf's, the provisioner's, the service's: {}", seeds.len());
    stays(&office, &seeds, "after the first apply");
    // The scan is no blind one: it sees a secret in a file, a command line, an environment and the journal.
    let one = seeds.first().expect("there are some");
    office.write("/var/lib/leafwright/store/leak", &format!("x{one}x"));
    let run = format!("systemd-run -q --unit=leak --setenv=LEAK={one} sh -c 'echo $LEAK; sleep 1000; : {one}'");
    office.must(["sh", "-c", &run]);
    until("the journal has it", DEADLINE, || office.must(["journalctl", "-u", "leak", "-o", "cat"]).contains(one));
    let places = found(&office, &seeds);
    for place in ["/var/lib/leafwright/store/leak", "/cmdline", "/environ", ASKED[0], ASKED[2], ASKED[3]] {
        assert!(places.iter().any(|found| found.contains(place)), "{place} is not among {places:?}");
    }
    office.must(["systemctl", "stop", "leak"]);
    let clean = "rm /var/lib/leafwright/store/leak; rm -r /run/log/journal /var/log/journal; systemctl restart systemd-journald";
    office.exec(["sh", "-c", clean]);

    for words in [&["status", "--json"][..], &["generations", "--json"], &["status"]] {
        tells_nothing(&office.exec(["leafwright"].iter().chain(words)), &seeds);
    }
    let again = operator.apply(&office, []);
    assert!(again.success() && again.stderr.contains("nothing to do"), "{}", again.stderr);
    tells_nothing(&again, &seeds);

    // One that fails, looked at all the while.
    let base = operator.text_of("office");
    operator.append("office", "[force.services.todos]\nexec = [\"/bin/sleep\", \"2\"]");
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    operator.take_to(&office);
    let words = ["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--within", "8"];
    let mut failing = office.spawn(words);
    let needles = seeds.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let mut looks = 0;
    while failing.is_running() {
        let seen = office.exec_with(["sh", "-c", SEEN], needles.as_bytes());
        assert_eq!(seen.stdout, "", "while it applies");
        looks += 1;
    }
    let output = failing.wait(DEADLINE);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    tells_nothing(&output, &seeds);
    println!("{} secrets, looked at {looks} times while an apply failed", seeds.len());
    tells_nothing(&office.exec(["leafwright", "status", "--json"]), &seeds);
    stays(&office, &seeds, "after an apply that failed");

    // And one that dies where a core file is wished for.
    operator.write("office", &base);
    operator.settings("office", "leaf.max_pending = \"32MiB\"");
    operator.take_to(&office);
    leaves_no_core(&office);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    let output = office.exec(["leafwright", "rollback", "1", "--yes", "--steady", "0"]);
    assert!(output.success(), "{}{}", output.stdout, output.stderr);
    tells_nothing(&output, &seeds);
    sound(&office);
    stays(&office, &seeds, "after a rollback");
}

/// Wherever core files go on this host, by its kernel's one pattern: here it must be the directory of the process.
fn leaves_no_core(office: &Machine) {
    office.must(["mkdir", "-p", "/var/tmp/cores"]);
    let cores = || office.must(["sh", "-c", "ls /var/tmp/cores"]);
    let wished = |command: &str| format!("ulimit -c unlimited; cd /var/tmp/cores; exec {command}");
    let dies = |mut running: crate::lab::Running, name: &str| {
        until("it dies", DEADLINE, || {
            office.exec(["pkill", "-ABRT", "-f", name]);
            !running.is_running()
        });
    };
    let begun = || !register(office)["pending"].is_null();
    let apply = "leafwright apply office --domain /var/lib/leafwright/domain --yes --steady 100 --within 200";
    let applying = office.spawn(["sh", "-c", &wished(apply)]);
    until("it is at work", DEADLINE, begun);
    dies(applying, "^leafwright apply");
    assert_eq!(cores(), "", "a core file of an apply");
    until("the machine is back", DEADLINE, || !begun());
    sound(office);
    // So it is leafwright that has none, and not the host.
    let plain = office.spawn(["sh", "-c", &wished("sleep 1000")]);
    until("it sleeps", DEADLINE, || office.exec(["pgrep", "-x", "sleep"]).success());
    dies(plain, "^sleep 1000");
    let file = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if !file.starts_with(['|', '/']) {
        assert_ne!(cores(), "", "no core file of a program that allows it, by {file}");
    }
    office.must(["rm", "-r", "/var/tmp/cores"]);
    // Of what holds seeds as long as the machine runs, none either.
    for unit in ["nats-server.service", "todos@1.service"] {
        let pid = office.must(["systemctl", "show", "--value", "-p", "MainPID", unit]);
        let limits = office.must(["cat", &format!("/proc/{}/limits", pid.trim())]);
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit").to_owned();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{unit}: {core}");
    }
}
