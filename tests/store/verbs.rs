//! `generations` and `gc` as they are called.

use super::fixture::{Machine, machine};
use std::process::Command;

struct Said {
    code: i32,
    out: String,
    err: String,
}

fn leafwright(machine: &Machine, args: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_leafwright"))
        .args(args)
        .arg("--root")
        .arg(machine.home.root())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn with_three() -> Machine {
    let machine = machine();
    for text in ["1", "2", "3"] {
        machine.generation(&[("etc/motd", &format!("{text}\n"))], &format!("2026-07-0{text}T10:00:00Z"));
    }
    machine
}

#[test]
fn generations_are_listed_compared_and_pinned() {
    let machine = with_three();
    let said = leafwright(&machine, &["generations"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((said.code, lines.len()), (0, 3), "{}", said.err);
    assert!(lines[0].starts_with("   1  ") && lines[0].ends_with("  2026-07-01T10:00:00Z  ada"), "{}", said.out);
    assert!(lines[2].ends_with("  2026-07-03T10:00:00Z  ada  current, active"), "{}", said.out);

    let said = leafwright(&machine, &["generations", "diff", "1", "3"]);
    assert_eq!((said.code, said.out.as_str()), (0, "M etc/motd\n    -1\n    +3\n"), "{}", said.err);
    assert_eq!(leafwright(&machine, &["generations", "pin", "2"]).code, 0);
    let said = leafwright(&machine, &["generations", "pin", "2"]);
    assert_eq!((said.code, said.err.as_str()), (4, "error: generation 2 is pinned already\n"));
    let said = leafwright(&machine, &["generations", "pin", "7"]);
    assert!(
        said.code == 4
            && said.err.contains("there is no generation 7")
            && said.err.contains("help: there are generations 1, 2, 3"),
        "{}",
        said.err
    );

    let said = leafwright(&machine, &["generations", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&json["format"], &json["machine"]), (&1.into(), &"office".into()));
    assert_eq!(json["generations"][1]["marks"], serde_json::json!(["pinned"]));
    assert_eq!(json["generations"][2]["from"], 2);
    assert_eq!(leafwright(&machine, &["generations", "unpin", "2"]).code, 0);
    assert_eq!(leafwright(&machine, &["generations", "unpin", "2"]).code, 4);
}

#[test]
fn gc_says_what_it_would_do_and_does_it() {
    let machine = with_three();
    let would = leafwright(&machine, &["gc", "--keep", "1", "--dry-run"]);
    assert_eq!(would.code, 0, "{}", would.err);
    assert_eq!(leafwright(&machine, &["generations"]).out.lines().count(), 3);
    let did = leafwright(&machine, &["gc", "--keep", "1"]);
    assert_eq!((did.code, &did.out), (0, &would.out), "{}", did.err);
    assert!(did.out.starts_with("generation 1\ngeneration 2\n") && did.out.lines().count() == 4, "{}", did.out);
    assert!(did.err.starts_with("2 generations, 2 closures: freed "), "{}", did.err);
    assert_eq!(did.err.replace("freed", "would free"), would.err);
    assert_eq!(leafwright(&machine, &["generations"]).out.lines().count(), 1);
    assert_eq!(leafwright(&machine, &["gc", "--older-than", "1d"]).code, 0);
    machine.generation(&[("etc/motd", "ahead")], "9999-07-01T10:00:00Z");
    let said = leafwright(&machine, &["gc", "--older-than", "1d", "--dry-run"]);
    assert!(said.code == 0 && said.err.contains("is of a time that is yet to come, and stays"), "{}", said.err);
    for wrong in [&["gc"] as &[&str], &["gc", "--keep", "1", "--older-than", "1d"], &["gc", "--older-than", "soon"]] {
        assert_eq!(leafwright(&machine, wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn whoever_is_at_work_is_not_disturbed_and_a_question_makes_nothing() {
    let machine = machine();
    let said = leafwright(&machine, &["generations"]);
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (0, "", "nothing was ever applied on this machine\n")
    );
    assert_eq!(leafwright(&machine, &["gc", "--keep", "1"]).code, 0);
    assert_eq!(leafwright(&machine, &["generations", "pin", "1"]).code, 4);
    assert!(!machine.home.state().exists());
    machine.generation(&[("etc/motd", "1")], "2026-07-01T10:00:00Z");
    let held = machine.lock();
    held.say("apply of generation 7").unwrap();
    let said = leafwright(&machine, &["gc", "--keep", "1"]);
    assert!(said.code == 4 && said.err.contains("is in use: apply of generation 7, process "), "{}", said.err);
    assert_eq!(leafwright(&machine, &["generations"]).code, 0);
}

/// `status` itself is about a machine that runs; its history is a file.
#[test]
fn a_history_is_a_file_and_some_of_it_is_told() {
    let machine = machine();
    let status = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        let state = machine.home.state().to_owned();
        let output = command.args(["status", "--history", "--state"]).arg(state).args(more).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(status(&[]), (0, "nothing is known of that yet\n".to_owned()));
    let (code, said) = status(&["-n", "0"]);
    assert!(code == 2 && said.contains("-n <N>"), "{said}");
    let path = machine.home.state().join("history.jsonl");
    std::fs::create_dir_all(machine.home.state()).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(status(&[]), (4, format!("error: {} is not a file\n", path.display())));
}
