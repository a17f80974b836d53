//! A disk without room: refused beforehand; and where it runs full in the middle of an apply, the machine goes back all the same.

use crate::apply::{invocation, office, sound};
use crate::back::register;
use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::DOMAIN;

/// Fills the disk when the service is started, to the last byte.
const FILLS: &str = r#"services.todos.unit.Service.ExecStartPre = ["+-/bin/sh -c 'cat /dev/zero >/var/filler'"]"#;

/// Seen from outside: what a command says lies on the same disk.
fn free(machine: &Machine) -> u64 {
    let disk = rustix::fs::statvfs(machine.root()).unwrap();
    disk.f_bavail * disk.f_frsize
}

pub fn a_disk_that_runs_full_goes_back() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let base = operator.text_of("office");
    let server = invocation(&office, "nats-server.service");

    // Too little before anything is done.
    operator.settings("office", "services.todos.cpu_quota = \"50%\"");
    let most = (free(&office) >> 20) - 30;
    office.must(["sh", "-c", &format!("head -c {most}M /dev/zero >/var/filler")]);
    let before = office.read("/var/lib/leafwright/state.json");
    let output = operator.apply(&office, []);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("nothing was done, because"), "{}", output.stderr);
    assert!(output.stderr.contains("there is no room in /var/lib/leafwright: "), "{}", output.stderr);
    assert_eq!(office.read("/var/lib/leafwright/state.json"), before);
    office.must(["rm", "/var/filler"]);

    // Full after the pre-checks: what proves the new generation holds, and it cannot be committed.
    operator.settings("office", FILLS);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(free(&office) < 8 << 20, "the disk is full: {}", output.stderr);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    let said = ["/var/lib/leafwright/state.json", "No space left", "the machine is back at generation 1"];
    for words in said {
        assert!(output.stderr.contains(words), "{words:?} is not in {}", output.stderr);
    }
    is_back(&office, "No space left");

    // The same, killed: the watchdog has the room, too.
    office.must(["rm", "/var/filler"]);
    operator.take_to(&office);
    let words = ["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--steady", "100", "--within", "200"];
    let mut apply = office.spawn(words);
    until("the disk is full", DEADLINE, || {
        free(&office) < 8 << 20 && !register(&office)["pending"].is_null() && office.is_active("todos@1.service")
    });
    apply.kill();
    is_back(&office, "its apply ended before it was committed");
    assert_eq!(invocation(&office, "nats-server.service"), server, "no part of the change");

    // With room again, forward.
    office.must(["rm", "/var/filler"]);
    operator.write("office", &base);
    operator.settings("office", "services.todos.cpu_quota = \"50%\"");
    let said = operator.applied(&office);
    assert!(said.contains("generation 4: "), "{said}");
    sound(&office);
}

fn is_back(machine: &Machine, reason: &str) {
    until("the machine is back", DEADLINE, || register(machine)["pending"].is_null());
    let status = sound(machine);
    assert!(status.contains("office is generation 1") && status.contains(reason), "{status}");
    let unit = machine.read("/etc/systemd/system/todos@.service").unwrap();
    assert!(!unit.contains("filler") && !unit.contains("CPUQuota"), "{unit}");
    let half = machine.must(["sh", "-c", "find /etc /var/lib/leafwright -name '*leafwright-new' -o -name '*.new'"]);
    assert_eq!(half, "", "half a file is left");
}
