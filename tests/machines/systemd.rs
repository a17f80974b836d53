//! The door to systemd on a real one: what it does, what it says when it cannot, and what it does without a bus.
//!
//! Refuses: knowing how the door is built. It asks the probe inside the machine, and looks with systemctl.

use crate::lab::{DEADLINE, Lab, Machine, until};
use serde_json::{Value, json};

const UNITS: [(&str, &str); 8] = [
    ("good.service", "[Service]\nExecStart=/usr/bin/sleep infinity\nExecReload=/usr/bin/touch /run/reloaded\n"),
    ("fails.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo words of a failure; exit 3'\n"),
    ("dies.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'kill -9 $$$$'\n"),
    ("hangs.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/sleep infinity\n"),
    (
        "needs.service",
        "[Unit]\nRequires=fails.service\nAfter=fails.service\n[Service]\nExecStart=/usr/bin/sleep infinity\n",
    ),
    (
        "late.service",
        "[Unit]\nRequires=slow@1.service\nAfter=slow@1.service\n[Service]\nExecStart=/usr/bin/sleep infinity\n",
    ),
    ("slow@.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/sleep 0.3\n"),
    ("masked.service", ""),
];

/// A machine with the units and the probe: this very program, which knows what to do by its first argument.
fn machine(lab: &Lab) -> Machine {
    let machine = lab.machine("ash", "10.77.0.11");
    for (name, text) in UNITS {
        machine.write(&format!("/etc/systemd/system/{name}"), text);
    }
    let probe = std::env::current_exe().expect("this program");
    std::fs::copy(probe, machine.path("/usr/local/bin/machines")).expect("a disk with room");
    machine.boot();
    machine.wait_running(DEADLINE);
    machine
}

/// The probe's answer.
fn ask(machine: &Machine, words: &[&str]) -> Value {
    let said = machine.must(["machines", "--probe"].iter().chain(words));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{words:?}: {error}: {said}"))
}

/// What it answers, which must be no error.
fn good(machine: &Machine, words: &[&str]) -> Value {
    let answer = ask(machine, words);
    assert_eq!(answer["error"], Value::Null, "{words:?}: {answer:#}");
    answer["value"].clone()
}

/// The error, which must be one, and what it has to contain.
fn bad(machine: &Machine, words: &[&str], expected: &[&str]) -> Value {
    let answer = ask(machine, words);
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("{words:?} went well: {answer:#}"));
    for words in expected {
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
    answer["failures"].clone()
}

fn seen(machine: &Machine, unit: &str) -> Value {
    good(machine, &["units", unit])[unit].clone()
}

pub fn jobs_are_done_and_units_are_seen() {
    let lab = Lab::new();
    let ash = machine(&lab);
    let hello = good(&ash, &["hello"]);
    assert_eq!(hello["state"], "running");
    assert!(hello["version"].as_u64() >= Some(250), "{hello}");

    let before = seen(&ash, "good.service");
    assert_eq!(
        (&before["active"], &before["load"], &before["main_pid"]),
        (&json!("inactive"), &json!("loaded"), &json!(0))
    );
    assert_eq!(good(&ash, &["start", "30", "good.service"]), "Done");
    let started = seen(&ash, "good.service");
    assert_eq!(
        (&started["active"], &started["sub"], &started["result"]),
        (&json!("active"), &json!("running"), &json!("success"))
    );
    assert_eq!(started["fragment"], "/etc/systemd/system/good.service");
    assert!(ash.is_active("good.service"));
    assert!(started["active_since"].as_u64() > Some(0) && started["main_pid"].as_u64() > Some(1), "{started}");

    assert_eq!(good(&ash, &["reload", "30", "good.service"]), "Done");
    ash.must(["test", "-e", "/run/reloaded"]);
    assert_eq!(seen(&ash, "good.service"), started, "a reload starts nothing again");
    ash.must(["rm", "/run/reloaded"]);
    assert_eq!(good(&ash, &["reload-or-restart", "30", "good.service"]), "Done");
    ash.must(["test", "-e", "/run/reloaded"]);
    assert_eq!(good(&ash, &["restart", "30", "good.service"]), "Done");
    let restarted = seen(&ash, "good.service");
    assert_ne!(restarted["main_pid"], started["main_pid"]);
    assert_ne!(restarted["invocation"], started["invocation"]);
    assert_eq!(good(&ash, &["stop", "30", "good.service"]), "Done");
    assert!(!ash.is_active("good.service"));
    assert_eq!(good(&ash, &["stop", "30", "good.service"]), "Done", "what is stopped may be stopped");

    // Patterns find what is loaded, and all of it is waited for: late.service starts after slow@1.service has ended.
    assert_eq!(good(&ash, &["units", "slow@*.service"]), json!({}));
    good(&ash, &["start-all", "30", "slow@1.service", "slow@2.service", "late.service"]);
    let units = good(&ash, &["units", "slow@*.service", "late.service", "nothing.service"]);
    let states: Vec<_> = units.as_object().expect("units").iter().map(|(name, unit)| (&**name, &unit["sub"])).collect();
    let expected =
        [("late.service", json!("running")), ("slow@1.service", json!("exited")), ("slow@2.service", json!("exited"))];
    assert_eq!(states, expected.iter().map(|(name, sub)| (*name, sub)).collect::<Vec<_>>());
}

pub fn new_files_are_seen_after_a_reload() {
    let lab = Lab::new();
    let ash = machine(&lab);
    bad(&ash, &["start", "30", "new.service"], &["cannot start new.service", "not found"]);
    assert_eq!(good(&ash, &["units", "new.service"]), json!({}));
    assert_eq!(good(&ash, &["start", "30", "good.service"]), "Done");
    ash.write("/etc/systemd/system/new.service", UNITS[0].1);
    ash.write("/etc/systemd/system/good.service", &format!("[Unit]\nDescription=other\n{}", UNITS[0].1));
    assert_eq!(seen(&ash, "good.service")["needs_reload"], json!(true));
    good(&ash, &["daemon-reload"]);
    assert_eq!(seen(&ash, "good.service")["needs_reload"], json!(false));
    assert_eq!(good(&ash, &["start", "30", "new.service"]), "Done");

    // A unit whose file goes while it runs is there until it is stopped, and then it is gone.
    ash.must(["rm", "/etc/systemd/system/new.service"]);
    good(&ash, &["daemon-reload"]);
    let orphan = seen(&ash, "new.service");
    assert_eq!((&orphan["load"], &orphan["active"]), (&json!("not-found"), &json!("active")));
    assert_eq!(good(&ash, &["stop", "30", "new.service"]), "Done");
    assert_eq!(good(&ash, &["units", "new.service"]), json!({}));
    assert_eq!(good(&ash, &["stop", "30", "new.service"]), "Skipped");
}

pub fn failures_say_why() {
    let lab = Lab::new();
    let ash = machine(&lab);
    assert_eq!(good(&ash, &["failed"]), json!([]));

    let failures = bad(
        &ash,
        &["start", "30", "fails.service"],
        &["cannot start fails.service", "exit-code, exit code 3", "words of a failure", "help: "],
    );
    assert_eq!((&failures[0]["result"], &failures[0]["exit"]), (&json!("Failed"), &json!("exit code 3")));
    let unit = seen(&ash, "fails.service");
    assert_eq!(
        (&unit["active"], &unit["result"], &unit["exit_status"]),
        (&json!("failed"), &json!("exit-code"), &json!(3))
    );
    bad(&ash, &["start", "30", "dies.service"], &["signal, signal 9"]);
    assert_eq!(good(&ash, &["failed"]), json!(["dies.service", "fails.service"]));
    good(&ash, &["reset-failed", "dies.service"]);
    good(&ash, &["reset-failed", "nothing.service"]);
    assert_eq!(good(&ash, &["failed"]), json!(["fails.service"]));

    let failures = bad(&ash, &["start", "30", "needs.service"], &["it needs fails.service, which failed"]);
    assert_eq!(failures[0]["result"], "Dependency");
    bad(&ash, &["start", "30", "masked.service"], &["cannot start masked.service", "masked", "help: systemctl unmask"]);
    assert_eq!(seen(&ash, "masked.service")["load"], "masked");
    bad(&ash, &["reload", "30", "good.service"], &["cannot reload good.service: it is inactive (dead)"]);

    // All that failed is in the one error, and what could start has started.
    let words = ["start-all", "30", "fails.service", "masked.service", "good.service", "needs.service"];
    let failures = bad(&ash, &words, &["3 of 4 units failed", "exit code 3", "masked", "which failed"]);
    assert_eq!(failures.as_array().map(Vec::len), Some(3));
    assert!(ash.is_active("good.service"));
}

pub fn what_hangs_is_cancelled() {
    let lab = Lab::new();
    let ash = machine(&lab);
    let expected =
        ["cannot start hangs.service: not done within 1s", "cancelled", "activating (start)", "systemctl stop"];
    let failures = bad(&ash, &["start", "1", "hangs.service"], &expected);
    assert_eq!(failures[0]["result"], "Overdue(1s)");
    assert_eq!(ash.must(["systemctl", "list-jobs", "--no-legend"]).trim(), "", "the job is still there");
    // Cancelling a job ends the waiting and not the program.
    assert_eq!(seen(&ash, "hangs.service")["active"], "activating");
    assert_eq!(good(&ash, &["stop", "30", "hangs.service"]), "Done");
    assert_eq!(seen(&ash, "hangs.service")["active"], "failed");

    // One that hangs keeps nobody else.
    let failures = bad(&ash, &["start-all", "1", "hangs.service", "good.service"], &["1 of 2 units failed"]);
    assert_eq!(failures[0]["unit"], "hangs.service");
    assert!(ash.is_active("good.service"));
}

pub fn a_transient_service_outlives_who_started_it() {
    let lab = Lab::new();
    let ash = machine(&lab);
    let script = "echo $WHO >/run/who; exec sleep infinity";
    assert_eq!(good(&ash, &["transient", "watch.service", "/bin/sh", "-c", script]), "Done");
    until("it has run", DEADLINE, || ash.exec(["grep", "-q", "leafwright", "/run/who"]).success());
    bad(&ash, &["transient", "watch.service", "/bin/true"], &["cannot start watch.service", "already loaded"]);
    let properties = "CollectMode,Type,IgnoreOnIsolate,TimeoutStopUSec";
    let shown = ash.must(["systemctl", "show", "watch.service", "--property", properties]);
    for line in ["CollectMode=inactive-or-failed", "Type=exec", "IgnoreOnIsolate=yes", "TimeoutStopUSec=7s"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
    assert_eq!(good(&ash, &["stop", "30", "watch.service"]), "Done");
    assert_eq!(good(&ash, &["units", "watch.service"]), json!({}));

    let mut probe =
        ash.spawn(["machines", "--probe", "transient-and-wait", "watch.service", "/usr/bin/sleep", "infinity"]);
    until("it has started", DEADLINE, || probe.stdout().contains("started"));
    let started = seen(&ash, "watch.service");
    probe.kill();
    assert!(!probe.is_running());
    good(&ash, &["daemon-reload"]);
    assert_eq!(seen(&ash, "watch.service"), started);
    ash.must(["kill", "-9", &started["main_pid"].to_string()]);
    until("nothing of it is left", DEADLINE, || good(&ash, &["units", "watch.service"]) == json!({}));
    assert_eq!(good(&ash, &["failed"]), json!([]));

    bad(&ash, &["transient", "watch.service", "/no/such/program"], &["cannot start watch.service"]);
    assert_eq!(good(&ash, &["units", "watch.service"]), json!({}));
}

pub fn without_a_bus_its_own_socket_does() {
    let lab = Lab::new();
    let ash = machine(&lab);
    assert_eq!(ask(&ash, &["hello"])["direct"], json!(false));
    assert_eq!(ask(&ash, &["--direct", "hello"])["direct"], json!(true));

    ash.must(["systemctl", "stop", "dbus.socket", "dbus.service"]);
    let answer = ask(&ash, &["start", "30", "good.service"]);
    assert_eq!((&answer["direct"], &answer["value"]), (&json!(true), &json!("Done")), "{answer}");
    assert!(ash.is_active("good.service"));
    assert_eq!(seen(&ash, "good.service")["active"], "active");
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "machines", "--probe", "hello"];
    let error = ash.must(nobody);
    for words in [
        "cannot reach systemd: over the system bus",
        "directly: cannot connect to /run/systemd/private",
        "help: this needs root",
    ] {
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
    good(&ash, &["daemon-reload"]);
    bad(&ash, &["start", "30", "fails.service"], &["exit code 3", "words of a failure"]);
    bad(&ash, &["start", "1", "hangs.service"], &["not done within 1s"]);
    assert_eq!(good(&ash, &["transient", "watch.service", "/usr/bin/sleep", "infinity"]), "Done");
    assert!(!ash.is_active("dbus.service"), "somebody started it");

    // A daemon that does not answer, as one that waits for its turn early in the boot: its socket takes everybody in.
    ash.must(["systemctl", "start", "dbus.service"]);
    until("the bus is back", DEADLINE, || ask(&ash, &["hello"])["direct"] == json!(false));
    ash.must(["systemctl", "kill", "--signal=STOP", "dbus.service"]);
    let answer = ask(&ash, &["--direct", "restart", "30", "good.service"]);
    assert_eq!((&answer["direct"], &answer["value"]), (&json!(true), &json!("Done")), "{answer}");
    assert_eq!(ask(&ash, &["hello"])["direct"], json!(true));
    ash.must(["systemctl", "kill", "--signal=CONT", "dbus.service"]);
    assert_eq!(ask(&ash, &["hello"])["direct"], json!(false));
}
