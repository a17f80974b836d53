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

/// The closure of a generation, damaged where its configuration of nats-server lies.
fn damage(machine: &Machine, generation: u64) {
    let record = machine.read(&format!("/var/lib/leafwright/generations/{generation}.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let file = format!("/var/lib/leafwright/store/{}/etc/nats/nats-server.json", record["closure"].as_str().unwrap());
    machine.must(["sh", "-c", &format!("chmod u+w {file} && printf X >>{file} && chmod 0444 {file}")]);
}

/// The way back needs a whole closure: the watchdog says which is not and tries again, and the text that it was made of mends it,
/// though something is pending.
pub fn a_damaged_way_back_is_mended_by_its_text() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
    let mut apply = begin(&office, &operator);
    damage(&office, 1);
    damage(&office, 2);
    apply.kill();
    until("the watchdog has failed, and is started again", DEADLINE, || {
        office.must(["systemctl", "show", "--value", "-p", "NRestarts", "leafwright-watchdog.service"]).trim() != "0"
    });
    let said = office.must(["journalctl", "--no-pager", "-u", "leafwright-watchdog.service"]);
    assert!(said.contains("the closure of generation 1 is damaged") && said.contains("help: apply the text"), "{said}");
    assert!(!register(&office)["pending"].is_null());
    operator.write("office", &text);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
    assert!(output.stderr.contains("the machine is back at generation 1, because"), "{}", output.stderr);
    is_back_at(&office, 1);

    // One that cannot be read at all goes even so: what is ours on the machine is known.
    operator.append("office", BYSTANDER);
    let mut apply = begin(&office, &operator);
    until("it runs", DEADLINE, || office.is_active("bystander.service"));
    let record = office.read("/var/lib/leafwright/generations/3.json").unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    office.must(["rm", "-r", &format!("/var/lib/leafwright/store/{}", record["closure"].as_str().unwrap())]);
    apply.kill();
    is_back_at(&office, 1);
    assert!(!office.is_active("bystander.service"));
    assert_eq!(office.must(["find", "/etc/systemd/system", "-name", "bystander.service"]), "");
}

/// What only a test had goes with it, also where something else came after it: by a power cut in its middle, and by a boot.
pub fn nothing_of_a_test_outlives_its_boot() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
    let test = || {
        operator.write("office", &text);
        operator.append("office", BYSTANDER);
        let output = operator.apply(&office, ["--mode", "test", "--steady", "0"]);
        assert!(output.success() && office.is_active("bystander.service"), "{}", output.stderr);
        operator.write("office", &text);
    };
    let nothing_is_left = || {
        let left = office.must(["find", "/etc/systemd/system", "-name", "bystander.service"]);
        assert_eq!((left.as_str(), office.is_active("bystander.service")), ("", false));
        assert!(register(&office)["leaving"].is_null());
    };
    test();
    let _apply = begin(&office, &operator);
    office.power_cut();
    office.boot();
    office.wait_running(DEADLINE);
    is_back_at(&office, 1);
    nothing_is_left();

    test();
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    let output = operator.apply(&office, ["--mode", "boot"]);
    assert!(output.success(), "{}", output.stderr);
    office.reboot();
    office.wait_running(DEADLINE);
    until("the boot's gates have decided", DEADLINE, || register(&office)["current"] != 1);
    sound(&office);
    nothing_is_left();
}

/// A unit of the distribution that a test had in its place is the distribution's again, and runs: by a way back, and by a boot.
pub fn what_was_the_distributions_is_its_again() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
    let theirs = "[Service]\nExecStart=/usr/bin/sleep 1000001\n[Install]\nWantedBy=multi-user.target\n";
    office.write("/usr/lib/systemd/system/bystander.service", theirs);
    office.must(["systemctl", "daemon-reload"]);
    office.must(["systemctl", "enable", "--now", "bystander.service"]);
    let is_theirs = || {
        let shown = office.must(["systemctl", "show", "-p", "ActiveState,ExecStart", "bystander.service"]);
        shown.contains("ActiveState=active") && shown.contains("1000001")
    };
    assert!(is_theirs());
    operator.append("office", BYSTANDER);
    let mut apply = begin(&office, &operator);
    until("ours runs", DEADLINE, || !is_theirs() && office.is_active("bystander.service"));
    apply.kill();
    is_back_at(&office, 1);
    until("theirs runs", DEADLINE, is_theirs);

    // Ours does not even start.
    operator.write("office", &text);
    operator.append("office", &BYSTANDER.replace("/usr/bin/sleep infinity", "/usr/bin/false"));
    let output = operator.apply(&office, ["--within", "5", "--steady", "2"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
    is_back_at(&office, 1);
    until("theirs runs", DEADLINE, is_theirs);

    operator.write("office", &text);
    operator.append("office", BYSTANDER);
    let output = operator.apply(&office, ["--mode", "test", "--steady", "0"]);
    assert!(output.success() && !is_theirs(), "{}", output.stderr);
    office.reboot();
    is_back_at(&office, 1);
    until("theirs runs", DEADLINE, is_theirs);
}

const HANGS: &str = r#"[settings.units."hangs.service"]
Service = { Type = ["oneshot"], ExecStart = ["/usr/bin/sleep infinity"] }
Install = { WantedBy = ["leafwright.target"] }"#;

/// A boot that never comes to its end, one that cannot place what it tries, and one whose gates are not asked yet.
pub fn a_boot_that_cannot_be_proved_is_given_up() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
    let stage = |tables: &str| {
        operator.write("office", &text);
        operator.append("office", tables);
        let output = operator.apply(&office, ["--mode", "boot"]);
        assert!(output.success() && output.stderr.contains("begins with the next boot"), "{}", output.stderr);
    };
    let reason_of = |from: u64| {
        until("the machine is back", DEADLINE, || register(&office)["returned"]["from"] == from);
        register(&office)["returned"]["reason"].as_str().unwrap_or_default().to_owned()
    };
    // A unit that was dropped is not remembered as failed.
    let runs = || {
        let state = || office.exec(["systemctl", "is-system-running"]).stdout;
        until("nothing has failed", DEADLINE, || state().trim() == "running");
    };
    let drop_in = "/etc/systemd/system/leafwright-confirm.service.d/test.conf";
    let confirm = |lines: &str| {
        office.must(["mkdir", "-p", "/etc/systemd/system/leafwright-confirm.service.d"]);
        office.write(drop_in, lines);
        office.must(["systemctl", "daemon-reload"]);
    };
    stage(HANGS);
    confirm("[Service]\nExecStart=\nExecStart=/usr/local/bin/leafwright machine confirm --booting 5 --within 5\n");
    office.power_off();
    office.boot();
    let reason = reason_of(2);
    assert!(reason.contains("and systemd waits for hangs.service"), "{reason}");
    runs();
    is_back_at(&office, 1);

    // Something stands where a file was to be.
    stage("files.\"/etc/stands\".text = \"ours\\n\"");
    office.must(["mkdir", "/etc/stands"]);
    office.power_off();
    office.boot();
    let reason = reason_of(3);
    assert!(reason.contains("the boot could not place it"), "{reason}");
    is_back_at(&office, 1);

    // Nobody is faster than the gates of a boot.
    stage(BYSTANDER);
    confirm("[Service]\nExecStartPre=/bin/sh -c 'until test -e /root/now; do sleep 0.2; done'\n");
    office.power_off();
    office.boot();
    operator.write("office", &text);
    until("an apply is refused", DEADLINE, || {
        let placed = register(&office)["pending"]["to"] == 4;
        placed && operator.apply(&office, ["--steady", "0"]).stderr.contains("this boot tries generation 4")
    });
    assert_eq!(register(&office)["pending"]["to"], 4);
    office.must(["touch", "/root/now"]);
    until("the boot's gates have decided", DEADLINE, || register(&office)["current"] == 4);
    until("nothing differs", DEADLINE, || office.exec(["leafwright", "status"]).success());
    assert!(sound(&office).contains("office is generation 4") && office.is_active("bystander.service"));

    // And where nobody lets them decide, whoever comes goes back.
    stage("files.\"/etc/meadow/note\".text = \"staged\\n\"");
    confirm("[Unit]\nConditionPathExists=/root/never\n");
    office.reboot();
    operator.write("office", &text);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    for words in ["was given up and the machine is back at generation 4", "generation 6: "] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    office.must(["rm", drop_in]);
    office.must(["systemctl", "daemon-reload"]);
    assert!(sound(&office).contains("office is generation 6"));
}

pub fn modes_last_as_long_as_they_say() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let text = operator.text_of("office");
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
    // Taken back, and staged again.
    let staged = operator.text_of("office");
    operator.write("office", &text);
    let output = operator.apply(&office, []);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
    assert!(output.stderr.contains("does not begin with the next boot any more"), "{}", output.stderr);
    assert!(register(&office)["next"].is_null());
    operator.write("office", &staged);
    let output = operator.apply(&office, ["--mode", "boot"]);
    assert!(output.success() && register(&office)["next"] == 5, "{}", output.stderr);
    office.reboot();
    office.wait_running(DEADLINE);
    until("the boot's gates have decided", DEADLINE, || register(&office)["current"] == 5);
    assert!(sound(&office).contains("office is generation 5"));
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

    // Without the list of what is ours a file still goes, and that nobody knows what was there is said.
    operator.write("office", &format!("{base}\nfiles.\"/etc/motd\".text = \"ours\\n\"\n"));
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    office.must(["rm", "/var/lib/leafwright/originals.json"]);
    operator.write("office", &base);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success() && output.stderr.contains("originals.json is gone"), "{}", output.stderr);
    assert_eq!(office.read("/etc/motd"), None);
    sound(&office);
}

/// A new leafwright at its usual place makes a generation of its own: an apply that dies brings the one before back, and so does a
/// rollback.
pub fn another_leafwright_is_a_generation() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    // Bytes behind a program are no part of it.
    let install = || {
        let script = "cp /usr/local/bin/leafwright /root/new && echo >>/root/new && mv -f /root/new /usr/local/bin/leafwright && sha256sum </usr/local/bin/leafwright";
        office.must(["sh", "-c", script])
    };
    let own = || office.must(["sh", "-c", "sha256sum </usr/local/bin/leafwright"]);
    let applied = |generation: u64| {
        let output = operator.apply(&office, ["--steady", "0"]);
        let says = format!("generation {generation}: ");
        assert!(output.success() && output.stderr.contains(&says), "{}", output.stderr);
        output.stderr
    };
    // The first one of its own; a generation that does not say what made it is no reason for another.
    let first = install();
    let output = operator.apply(&office, []);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    applied(2);
    let second = install();
    assert!(sound(&office).contains("leafwright itself is another one than made this generation"));
    let said = applied(3);
    assert!(said.contains("another build of leafwright ") && said.contains("a generation of its own"), "{said}");
    let output = operator.apply(&office, []);
    assert!(output.success() && output.stderr.contains("nothing to do"), "{}", output.stderr);

    let third = install();
    let words = ["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--steady", "100", "--within", "200"];
    let mut apply = office.spawn(words);
    until("it is at work", DEADLINE, || register(&office)["pending"]["to"] == 4);
    assert_eq!(own(), third);
    apply.kill();
    until("the machine is back", DEADLINE, || register(&office)["pending"].is_null());
    assert_eq!((register(&office)["active"]["generation"].as_u64(), own()), (Some(3), second));
    sound(&office);

    let output = office.exec(["leafwright", "rollback", "2", "--yes", "--steady", "0"]);
    assert!(output.success() && output.stderr.contains(" takes the place of this one again"), "{}", output.stderr);
    assert_eq!(own(), first);
    sound(&office);
    // What no generation needs goes: the third was given up, which is still told.
    let kept = || office.must(["sh", "-c", "ls /var/lib/leafwright/programs | wc -l"]);
    assert_eq!(kept().trim(), "3");
    office.must(["leafwright", "gc", "--keep", "1"]);
    assert_eq!(kept().trim(), "2");
    sound(&office);
}
