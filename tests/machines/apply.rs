//! `apply` on a real machine: what is declared, under systemd; only what must be restarted; and back again.

use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::Operator;

/// A machine with everything that the example's units run.
pub fn equip(machine: &Machine) {
    if !machine.path("/usr/local/bin/leafwright").is_symlink() {
        machine.install_tools();
    }
    machine.must(["mkdir", "-p", "/usr/lib/leafwright"]);
    machine.must(["ln", "-sf", "/usr/local/bin/leafwright-demo", "/usr/lib/leafwright/leafwright-demo"]);
}

/// What systemd says that changes whenever a unit is started again.
pub fn invocation(machine: &Machine, unit: &str) -> String {
    machine.must(["systemctl", "show", "--value", "-p", "InvocationID", unit]).trim().to_owned()
}

/// The office as generation 1, alone: its domain is away.
pub fn office(lab: &Lab) -> (Machine, Operator) {
    let [office] = lab.running([("office", "10.77.0.21")]);
    equip(&office);
    let operator = Operator::new(&[&office]);
    operator.enrol(&office);
    operator.sign();
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success() && output.stderr.contains("generation 1: "), "{}{}", output.stdout, output.stderr);
    // Its domain is away, and was before: that is no reason to go back, and no secret.
    let unproved = "  not proved, as before: the domain answers over the link: ";
    assert!(output.stderr.contains(unproved), "{}", output.stderr);
    (office, operator)
}

/// What `status` prints, and that nothing differs.
pub fn sound(machine: &Machine) -> String {
    let status = machine.exec(["leafwright", "status"]);
    assert!(status.success(), "{}{}", status.stdout, status.stderr);
    status.stdout
}

pub fn a_leaf_becomes_what_is_declared() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    for unit in ["nats-server.service", "todos@1.service", "leafwright.target"] {
        assert!(office.is_active(unit), "{unit}");
    }
    assert!(sound(&office).contains("office is generation 1"));

    // Nothing to do; and nothing was done.
    let before = invocation(&office, "nats-server.service");
    let said = operator.applied(&office);
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(invocation(&office, "nats-server.service"), before);

    a_server_that_would_not_start_is_refused(&office, &operator);

    // A key that nats-server reads again when it is told.
    operator.settings("office", "leaf.memory_max = \"2200MiB\"");
    let said = operator.applied(&office);
    assert!(said.contains("reload nats-server.service"), "{said}");
    assert_eq!(invocation(&office, "nats-server.service"), before, "a reload keeps the process");

    // One that it does not; the plan is kept, and carried out only while it is still the one that was looked at.
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    let plan = "/root/plan.json";
    let kept = operator.apply(&office, ["--dry-run", "--out", plan]);
    assert!(kept.success(), "{}", kept.stderr);
    let held = |more: &str, word: &str| {
        office.must(["sh", "-c", more]);
        let refused = operator.apply(&office, ["--plan", plan]);
        assert_eq!(refused.status.code(), Some(4), "{more}: {}", refused.stderr);
        assert!(refused.stderr.contains(word), "{more}: {}", refused.stderr);
        assert_eq!(invocation(&office, "nats-server.service"), before, "{more}");
    };
    held("chmod 0600 /etc/leafwright/ca.pem", "the plan is stale (state): it would now also");
    office.must(["chmod", "0644", "/etc/leafwright/ca.pem"]);
    let text = operator.text_of("office");
    operator.settings("office", "leaf.max_connections = 321");
    held("true", "the plan is stale (declarations)");
    operator.write("office", &text);
    let output = operator.apply(&office, ["--plan", plan]);
    assert!(output.success() && output.stderr.contains("generation 3: "), "{}", output.stderr);
    let output = operator.apply(&office, ["--plan", plan]);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
    assert_ne!(invocation(&office, "nats-server.service"), before);

    // And back, by number.
    let output = office.exec(["leafwright", "rollback", "1", "--yes"]);
    assert!(output.success(), "{}{}", output.stdout, output.stderr);
    let config = office.read("/etc/nats/nats-server.json").unwrap();
    assert!(!config.contains("2306867200"), "{config}");
    sound(&office);
    until("the service is there again", DEADLINE, || office.is_active("todos@1.service"));
}

/// An address that somebody else has, and a server that refuses to start with what its `-t` has accepted, as another version
/// might: told with the declaration, before anything is done; and the server that runs is not disturbed.
fn a_server_that_would_not_start_is_refused(office: &Machine, operator: &Operator) {
    let text = operator.text_of("office");
    let before = invocation(office, "nats-server.service");
    let refused = |setting: &str, words: &str| {
        operator.settings("office", setting);
        let line = operator.text_of("office").lines().position(|line| line == setting).unwrap() + 1;
        let output = operator.apply(office, []);
        assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
        assert!(output.stderr.contains("nothing was done") && output.stderr.contains(words), "{}", output.stderr);
        let place = format!("because of machines/office.toml:{line}:");
        assert!(output.stderr.contains(&place), "{place} is not in {}", output.stderr);
        assert_eq!(invocation(office, "nats-server.service"), before);
        assert!(!office.path("/var/lib/leafwright/scratch").exists());
        operator.write("office", &text);
    };
    let taken = "nats-server cannot listen on 127.0.0.1:53: Address already in use";
    let _other = office.in_network(|| std::net::TcpListener::bind("127.0.0.1:53")).expect("a free port");
    refused("leaf.monitor = \"127.0.0.1:53\"", taken);
    let other = "#!/bin/sh\ncase $1 in --version|-t) exec /usr/local/bin/nats-server.real \"$@\";; esac\n\
        echo '[9] 2026/11/26 09:00:00 [FTL] max_connections is nothing for this version' >&2\nexit 1\n";
    office.must(["mv", "/usr/local/bin/nats-server", "/usr/local/bin/nats-server.real"]);
    office.write("/usr/local/bin/nats-server", other);
    office.must(["chmod", "755", "/usr/local/bin/nats-server"]);
    let died = "nats-server does not start with its configuration: [FTL] max_connections is nothing for this version";
    refused("leaf.max_connections = 321", died);
    office.must(["mv", "/usr/local/bin/nats-server.real", "/usr/local/bin/nats-server"]);
}

/// An image that was made elsewhere boots as its generation, and its first apply brings what no image has.
pub fn an_image_boots_as_its_generation() {
    let lab = Lab::new();
    let office = lab.machine("office", "10.77.0.21");
    let operator = Operator::new(&[&office]);
    operator.sign();
    let root = office.root().to_str().unwrap().to_owned();
    operator.must(["apply", "office", "--root", &root, "--yes"]);
    office.install_tools();
    office.boot();
    office.wait_booted(DEADLINE);
    let shows = ["systemctl", "show", "-p", "ConditionResult,ActiveState,Result", "leafwright-boot.service"];
    let boot = office.must(shows);
    for line in ["ConditionResult=yes", "ActiveState=active", "Result=success"] {
        assert!(boot.lines().any(|found| found == line), "{line}: {boot}");
    }
    equip(&office);
    operator.enrol_anew(&office);
    let said = operator.applied(&office);
    assert!(said.contains("make leaf.creds, "), "{said}");
    assert!(sound(&office).contains("office is generation "));
    office.reboot();
    sound(&office);
}

/// Gates that are declared: what runs and does not answer is not committed, and neither is what a program says no to.
pub fn declared_gates_decide() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
    let rows = [
        (
            "[settings.gates.mine]\nexec = [\"/bin/false\"]\nwithin = \"2s\"",
            "gate mine: /bin/false ends with 0\" does not hold: /bin/false failed with 1: , after 2 s",
        ),
        (
            "[force.services.todos]\nexec = [\"/usr/bin/sleep\", \"infinity\"]",
            "gate list: qry.meadow.todos.list is answered",
        ),
    ];
    for (tables, gate) in rows {
        operator.append("office", tables);
        let output = operator.apply(&office, ["--within", "4", "--steady", "0"]);
        assert_eq!(output.status.code(), Some(4), "{tables}: {}", output.stderr);
        assert!(output.stderr.contains(gate), "{tables}: {}", output.stderr);
        assert!(sound(&office).contains("office is generation 1"));
        operator.write("office", &text);
    }
    operator.append("office", "[settings.gates.mine]\nexec = [\"/bin/true\"]");
    assert!(operator.applied(&office).contains("generation 4: "));
}

/// A machine that lost its keys gets others: the server that runs does not know them, and is brought to one that does.
pub fn new_keys_are_applied_to_a_machine_that_runs() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    office.must(["mv", "/var/lib/leafwright/keys", "/root/keys"]);
    operator.enrol_anew(&office);
    operator.sign();
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    for words in ["nats-server does not know the keys that are here yet", "generation 2: "] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    sound(&office);
    let output = operator.apply(&office, []);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
}
