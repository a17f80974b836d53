//! The register on disk.

use super::fixture::machine;
use super::transitions::watch;
use leafwright::host::machine::register::{self, Mode, Register};
use std::fs;

fn full() -> Register {
    let mut register = Register::new("office");
    register.highest = 9;
    register.pin(2).unwrap();
    register.begin(4, Mode::Persist, watch("one")).unwrap();
    register.commit("n", "one").unwrap();
    register.begin(7, Mode::Test, watch("one")).unwrap();
    register.begin_return("no link").unwrap();
    register.end_return("one").unwrap();
    register.stage(8).unwrap();
    register.next = None;
    register.begin(8, Mode::Persist, watch("one")).unwrap();
    register.begin_return("a gate failed").unwrap();
    register
}

#[test]
fn it_is_read_as_it_was_written() {
    let machine = machine();
    assert_eq!(register::read(&machine.home).unwrap(), None);
    let lock = machine.lock();
    register::write(&machine.home, &lock, &full()).unwrap();
    assert_eq!(register::read(&machine.home).unwrap(), Some(full()));
    assert!(register::open(&machine.home, "office").is_ok());
    let fault = register::open(&machine.home, "garden").unwrap_err().to_string();
    assert!(fault.contains("belongs to the machine office, not garden"), "{fault}");
    let mut wrong = full();
    wrong.current = Some(10);
    assert!(register::write(&machine.home, &lock, &wrong).is_err());
    assert_eq!(register::read(&machine.home).unwrap(), Some(full()));
}

#[test]
fn what_is_torn_damaged_or_newer_is_refused_by_name() {
    let machine = machine();
    register::write(&machine.home, &machine.lock(), &full()).unwrap();
    let path = machine.home.register();
    let text = fs::read_to_string(&path).unwrap();
    let refused = |text: &str, why: &str| {
        fs::write(&path, text).unwrap();
        let fault = format!("{:#}", register::read(&machine.home).unwrap_err());
        assert!(
            fault.contains(&path.display().to_string()) && fault.contains(why) && fault.contains("help: "),
            "{fault}"
        );
    };
    for end in 0..text.trim_end().len() {
        refused(&text[..end], "damaged");
    }
    refused(&text.replace("\"format\": 1", "\"format\": 2"), "written by a newer leafwright (format 2");
    refused(&text.replace("\"format\": 1", "\"format\": 0"), "damaged");
    refused(&text.replace("\"current\": 4", "\"current\": 10"), "generation 10");
    refused(&text.replace("\"machine\"", "\"apparatus\""), "damaged");
    // A field that may be null and is not there would be a machine without a current generation.
    refused(&text.replace("\"current\": 4,", ""), "missing field `current`");
    refused(&text.replace("\"next\": null,", ""), "missing field `next`");
}

#[test]
fn a_register_that_is_gone_is_not_a_fresh_machine() {
    let machine = machine();
    machine.generation(&[("etc/a", "1")], "2026-07-01T10:00:00Z");
    fs::remove_file(machine.home.register()).unwrap();
    let fault = register::read(&machine.home).unwrap_err().to_string();
    assert!(fault.contains("is missing, and there are generations"), "{fault}");
}

#[test]
fn a_deadline_means_something_in_its_boot_alone() {
    let pending = full().pending.unwrap();
    assert!(!pending.is_overdue("one", 89_999));
    assert!(pending.is_overdue("one", 90_000));
    assert!(pending.is_overdue("two", 0));
}
