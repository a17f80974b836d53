//! Credentials that only their machine can read: what a service gets, what lies on the disk, who starts again when a key changes,
//! and a generation without them that is gone back to.

use crate::apply::{invocation, office, sound};
use crate::lab::{Lab, Machine};
use crate::operator::Operator;

const PLAIN: &str = "/etc/leafwright/credentials/service-todos.nk";
const ENCRYPTED: &str = "/etc/leafwright/credentials/service-todos.nk.cred";
/// Where systemd has handed it over.
const HANDED: &str = "/run/credentials/todos@1.service/nats.nk";
/// One that reads no secret.
const BYSTANDER: &str = "[settings.units.\"bystander.service\"]\nService = { ExecStart = [\"/usr/bin/sleep infinity\"] }\n\
    Install = { WantedBy = [\"leafwright.target\"] }";

fn seed(machine: &Machine) -> String {
    let file = machine.must(["find", "/var/lib/leafwright/keys", "-name", "*todos*"]);
    let seed = machine.read(file.trim()).expect("the key store has it");
    seed.split_whitespace().find(|word| word.starts_with("SU")).expect("a seed").to_owned()
}

/// The service has it, and no file beside the key store.
fn is_handed_over(machine: &Machine) {
    let seed = seed(machine);
    assert!(machine.must(["cat", HANDED]).trim() == seed, "the service was handed something else");
    assert!(!machine.path(PLAIN).exists(), "{PLAIN} is still there");
    assert!(!machine.must(["base64", "--decode", ENCRYPTED]).contains(&seed), "the seed can be read in {ENCRYPTED}");
    let elsewhere = ["grep", "-rlaFf", "-", "/etc", "/var/lib", "--exclude-dir=keys"];
    assert_eq!(machine.exec_with(elsewhere, seed.as_bytes()).stdout, "", "the seed is on the disk");
    assert_eq!(machine.must(["stat", "-c", "%a %U", ENCRYPTED]).trim(), "400 root");
}

fn quick(operator: &Operator, machine: &Machine) -> String {
    let output = operator.apply(machine, ["--steady", "0"]);
    assert!(output.success(), "{}{}", output.stdout, output.stderr);
    output.stderr
}

pub fn credentials_are_encrypted_for_their_machine() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let units = ["todos@1.service", "nats-server.service", "bystander.service"];
    let invocations = || units.map(|unit| invocation(&office, unit));
    operator.append("office", BYSTANDER);
    let text = operator.text_of("office").replacen("[\"todos\"]", "[\"todos\", \"drift\"]", 1);
    operator.write("office", &text);
    quick(&operator, &office);

    // Where it cannot be done it is said before anything is.
    operator.settings("office", "credentials.encrypted = true");
    office.must(["mv", "/usr/bin/systemd-creds", "/root"]);
    let register = office.read("/var/lib/leafwright/state.json");
    let output = operator.apply(&office, []);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    let line = operator.text_of("office").lines().position(|line| line.contains("encrypted")).unwrap() + 1;
    let said =
        format!("machines/office.toml:{line}:25: credentials cannot be encrypted here: cannot run systemd-creds");
    assert!(output.stderr.contains(&said), "{said} is not in {}", output.stderr);
    assert_eq!(office.read("/var/lib/leafwright/state.json"), register);
    office.must(["mv", "/root/systemd-creds", "/usr/bin"]);

    let before = invocations();
    let said = quick(&operator, &office);
    assert!(said.contains(&format!("remove the credential {PLAIN}, because it is no longer declared")), "{said}");
    is_handed_over(&office);
    let after = invocations();
    assert!(before[0] != after[0] && before[1..] == after[1..], "{said}");
    // Other bytes each time, and the same secret: nothing to do.
    let said = quick(&operator, &office);
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(invocations(), after);
    sound(&office);
    // Nor does the timer that looks, in its confinement, find anything.
    office.must(["systemctl", "start", "leafwright-drift.service"]);
    let said = office.must(["journalctl", "--unit", "leafwright-drift.service", "--output", "cat"]);
    assert!(said.contains("nothing new for the history"), "{said}");

    // A generation of plain ones has its own, as long as it is the one.
    office.must(["leafwright", "rollback", "2", "--yes", "--steady", "0"]);
    assert!(office.read(PLAIN).is_some_and(|text| text.trim() == seed(&office)) && !office.path(ENCRYPTED).exists());
    sound(&office);
    quick(&operator, &office);
    is_handed_over(&office);

    // What cannot be decrypted is made again.
    office.must(["cp", "-p", ENCRYPTED, "/root/old"]);
    office.must(["sh", "-c", &format!("echo AAAA >{ENCRYPTED}")]);
    assert_eq!(office.exec(["leafwright", "status"]).status.code(), Some(3));
    quick(&operator, &office);
    is_handed_over(&office);

    // A new key: its reader starts again, nobody else does.
    let before = invocations();
    let old = seed(&office);
    office.must(["find", "/var/lib/leafwright/keys", "-name", "*todos*", "-delete"]);
    operator.enrol_anew(&office);
    let said = quick(&operator, &office);
    let after = invocations();
    assert!(seed(&office) != old, "the key is the old one");
    is_handed_over(&office);
    assert!(before[0] != after[0] && before[1..] == after[1..], "{said}");
    assert!(quick(&operator, &office).contains("nothing to do"));
}
