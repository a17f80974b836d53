//! Back to the generation that a change came from: by itself, after a kill, after a power cut, after a reboot.

use crate::apply::{office, sound};
use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::{DOMAIN, Operator};
use serde_json::Value;

/// The register, as it is on disk.
pub fn register(machine: &Machine) -> Value {
    let text = machine.read("/var/lib/leafwright/state.json").expect("there is a register");
    serde_json::from_str(&text).expect("it is whole")
}

fn is_back_at(machine: &Machine, generation: u64) {
    until("the machine is back", DEADLINE, || {
        let register = register(machine);
        register["pending"].is_null() && register["active"]["generation"] == generation
    });
    assert!(sound(machine).contains(&format!("office is generation {generation}")));
    let config = machine.read("/etc/nats/nats-server.json").unwrap();
    assert!(!config.contains("16777216"), "the old configuration is there: {config}");
    until("the service is there", DEADLINE, || machine.is_active("todos@1.service"));
}

/// A change that restarts nats-server, of an apply that waits long before it commits.
fn begin(machine: &Machine, operator: &Operator) -> crate::lab::Running {
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    operator.take_to(machine);
    applying(machine)
}

fn applying(machine: &Machine) -> crate::lab::Running {
    let words = ["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--steady", "100", "--within", "200"];
    let apply = machine.spawn(words);
    until("the new configuration is placed and runs", DEADLINE, || {
        let placed = machine.read("/etc/nats/nats-server.json").is_some_and(|text| text.contains("16777216"));
        placed && !register(machine)["pending"].is_null() && machine.is_active("todos@1.service")
    });
    apply
}

pub fn a_unit_that_does_not_stay_up_goes_back() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    operator.append("office", "[force.services.todos]\nexec = [\"/bin/sleep\", \"2\"]");
    let output = operator.apply(&office, ["--within", "12"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(output.stderr.contains("the machine is back at generation 1, because"), "{}", output.stderr);
    is_back_at(&office, 1);
    let returned = &register(&office)["returned"];
    assert_eq!((&returned["from"], &returned["to"]), (&2.into(), &1.into()));
}

const BYSTANDER: &str = r#"[settings.units."bystander.service"]
Service = { ExecStart = ["/usr/bin/sleep infinity"] }
Install = { WantedBy = ["leafwright.target"] }"#;

/// A unit of the old generation that does not start any more does not keep the machine from going back, or from being changed.
pub fn what_does_not_start_again_stands_in_nobodys_way() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let once = |program: &str, word: &str| {
        format!(
            "[settings.units.\"once.service\"]\nService = {{ Type = [\"oneshot\"], RemainAfterExit = [\"yes\"], ExecStart = [\"{program}\"], Environment = [\"A={word}\"] }}\nInstall = {{ WantedBy = [\"leafwright.target\"] }}"
        )
    };
    let text = operator.text_of("office");
    operator.append("office", &once("/usr/bin/test -e /root/there", "a"));
    office.must(["touch", "/root/there"]);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    office.must(["rm", "/root/there"]);
    operator.write("office", &text);
    operator.append("office", &once("/usr/bin/test -e /root/there", "b"));
    let output = operator.apply(&office, ["--steady", "0"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    for words in ["the machine is back at generation 2, because", "not as before: the gate \"once.service is active\""]
    {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    assert!(register(&office)["pending"].is_null() && register(&office)["active"]["generation"] == 2);
    assert!(office.is_active("todos@1.service"));
    operator.write("office", &text);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "what drops it is applied: {}", output.stderr);
}

pub fn a_killed_apply_goes_back() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let mut apply = begin(&office, &operator);
    // Its deadline is one of this boot's clock: whoever sets the clock neither ends it nor keeps it.
    let deadline = register(&office)["pending"]["deadline"].as_u64().unwrap();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    let left = deadline / 1000 - u64::try_from(uptime).unwrap();
    assert!((100..=200).contains(&left), "{left} s are left of 200");
    apply.kill();
    is_back_at(&office, 1);
    let reason = register(&office)["returned"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("ended before it was committed"), "{reason}");
    until("the watchdog has written it down, and is gone", DEADLINE, || {
        let told = office.exec(["leafwright", "status", "--history"]).stdout;
        let gone = !office.exec(["systemctl", "is-active", "--quiet", "leafwright-watchdog.service"]).success();
        gone && told.contains("generation 2 was given up, back at generation 1")
    });
    // Stopped by hand: whoever did it sees the machine go back.
    let stopped = applying(&office);
    office.must(["pkill", "-INT", "-f", "^leafwright apply"]);
    let stopped = stopped.wait(DEADLINE);
    assert_eq!(stopped.status.code(), Some(4), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("back at generation 1, because it was stopped: Ctrl-C"), "{}", stopped.stderr);
    is_back_at(&office, 1);
    // And forward again: nothing stands in the way.
    let said = operator.applied(&office);
    assert!(said.contains("generation 4: "), "{said}");
}

pub fn a_power_cut_goes_back() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let _apply = begin(&office, &operator);
    office.power_cut();
    office.boot();
    office.wait_running(DEADLINE);
    is_back_at(&office, 1);
}

pub fn modes_last_as_long_as_they_say() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    let output = operator.apply(&office, ["--mode", "test"]);
    assert!(output.success(), "{}", output.stderr);
    assert!(sound(&office).contains("office is generation 2, until the next boot"));
    office.reboot();
    office.wait_running(DEADLINE);
    is_back_at(&office, 1);

    // Tried, and then kept: that is not nothing to do.
    let output = operator.apply(&office, ["--mode", "test"]);
    assert!(output.success(), "{}", output.stderr);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success() && output.stderr.contains("from now on it stays"), "{}", output.stderr);
    assert_eq!(register(&office)["current"], register(&office)["active"]["generation"]);
    let output = operator.apply(&office, ["--mode", "test"]);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
    let output = office.exec(["leafwright", "rollback", "1", "--yes", "--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);

    let output = operator.apply(&office, ["--mode", "boot", "--within", "5"]);
    assert!(output.status.code() == Some(2) && output.stderr.contains("--within is for"), "{}", output.stderr);
    // With a unit that the boot did not know of when it began.
    operator.append("office", BYSTANDER);
    let output = operator.apply(&office, ["--mode", "boot"]);
    assert!(output.stderr.contains("begins with the next boot"), "{}", output.stderr);
    is_back_at(&office, 1);
    office.reboot();
    office.wait_running(DEADLINE);
    until("the boot's gates have decided", DEADLINE, || register(&office)["current"] == 4);
    assert!(sound(&office).contains("office is generation 4"));
    assert!(office.is_active("bystander.service"), "a unit that is new starts in the boot that places it");
    // And back at the next boot, in the same way.
    let output = office.exec(["leafwright", "rollback", "1", "--mode", "boot", "--yes"]);
    assert!(output.success() && output.stderr.contains("generation 1 begins with the next boot"), "{}", output.stderr);
    office.reboot();
    office.wait_running(DEADLINE);
    until("the boot's gates have decided", DEADLINE, || register(&office)["current"] == 1);
    assert!(sound(&office).contains("office is generation 1") && !office.is_active("bystander.service"));
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    assert!(office.read("/etc/nats/nats-server.json").unwrap().contains("16777216"));
}

/// What could not go after the commit goes with the next apply.
pub fn what_a_commit_left_goes_later() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let base = operator.text_of("office");
    let theirs = office.read("/etc/motd").expect("the machine has one of its own");
    operator.write("office", &format!("{base}\nfiles.\"/etc/motd\".text = \"ours\\n\"\n"));
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    office.must(["mv", "/var/lib/leafwright/originals", "/var/lib/leafwright/away"]);
    operator.write("office", &base);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    assert!(
        output.stderr.contains("the generation is committed, but not all of the old one is gone"),
        "{}",
        output.stderr
    );
    assert_eq!((&register(&office)["current"], &register(&office)["leaving"]), (&3.into(), &2.into()));
    office.must(["mv", "/var/lib/leafwright/away", "/var/lib/leafwright/originals"]);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    assert!(register(&office)["leaving"].is_null());
    assert_eq!(office.read("/etc/motd").as_deref(), Some(theirs.as_str()));
    sound(&office);
}
