//! Records, what lies between two, and where a rollback leads.

use super::fixture::machine;
use super::transitions::watch;
use leafwright::host::machine::generations::{self, Changed, Difference, Draft};
use leafwright::host::machine::register::{self, Mode};
use std::fs;

const DAY: &str = "2026-07-01T10:00:00Z";

#[test]
fn a_record_says_where_it_came_from_and_a_rollback_reads_it() {
    let machine = machine();
    for text in ["1", "2", "3"] {
        machine.generation(&[("etc/a", text)], DAY);
    }
    let records = generations::list(&machine.home).unwrap();
    assert_eq!(
        records.iter().map(|record| (record.number, record.from)).collect::<Vec<_>>(),
        [(1, None), (2, Some(1)), (3, Some(2))]
    );
    let mut register = register::read(&machine.home).unwrap().unwrap();
    let to = |register: &register::Register, named| {
        generations::rollback(&machine.home, register, named).map(|record| record.number)
    };
    assert_eq!(to(&register, None).unwrap(), 2);
    assert_eq!(to(&register, Some(1)).unwrap(), 1);
    // Where it came from, not the number below: back from 3 to 1, and 4 came from there.
    register.begin(1, Mode::Persist, watch("one")).unwrap();
    register.commit("n", "one").unwrap();
    register::write(&machine.home, &machine.lock(), &register).unwrap();
    machine.generation(&[("etc/a", "4")], DAY);
    let mut register = register::read(&machine.home).unwrap().unwrap();
    assert_eq!(generations::read(&machine.home, 4).unwrap().from, Some(1));
    assert_eq!(to(&register, None).unwrap(), 1);
    // A test is left first.
    register.begin(2, Mode::Test, watch("one")).unwrap();
    register.commit("n", "one").unwrap();
    assert_eq!(to(&register, None).unwrap(), 1);

    let refused = |register: &register::Register, named| to(register, named).unwrap_err().to_string();
    assert!(refused(&register, Some(2)).contains("generation 2 is active"));
    assert!(
        refused(&register, Some(9)).contains("no generation 9")
            && refused(&register, Some(9)).contains("help: there are generations 1, 2, 3, 4")
    );
    fs::remove_file(machine.home.generations().join("1.json")).unwrap();
    assert!(refused(&register, None).contains("there is no generation 1"));
    let closure = machine.home.entry(&records[2].closure);
    leafwright::host::disk::remove_tree(&closure).unwrap();
    assert!(refused(&register, Some(3)).contains("the closure of generation 3 is not in the store"));
    register.active.as_mut().unwrap().generation = 1;
    assert!(refused(&register::Register::new("office"), None).contains("nothing is active"));
}

#[test]
fn a_record_needs_a_closure_and_a_time() {
    let machine = machine();
    let lock = machine.lock();
    let mut register = register::Register::new("office");
    let draft = |closure: &str, created: &str| Draft {
        closure: closure.into(),
        created: created.into(),
        person: "ada".into(),
        program: None,
        mode: Mode::Persist,
        failing: None,
    };
    let fault = generations::create(&machine.home, &lock, &mut register, draft("0-office", DAY)).unwrap_err();
    assert!(fault.to_string().contains("0-office is not in"), "{fault}");
    drop(lock);
    let record = machine.generation(&[("etc/a", "1")], DAY);
    let fault = generations::create(&machine.home, &machine.lock(), &mut register, draft(&record.closure, "yesterday"))
        .unwrap_err();
    assert!(fault.to_string().contains("yesterday"), "{fault}");
    // The first of a machine has none before it.
    let register = register::read(&machine.home).unwrap().unwrap();
    let fault = generations::rollback(&machine.home, &register, None).unwrap_err().to_string();
    assert!(fault.contains("generation 1 was the first"), "{fault}");
}

#[test]
fn what_lies_between_two_is_told_by_path_and_line() {
    let machine = machine();
    let unit = |memory: &str| format!("[Unit]\nDescription=a\n\n[Service]\nMemoryMax={memory}\nExecStart=/a\n");
    machine.generation(&[("etc/gone", "1"), ("etc/same", "1"), ("lib/systemd/system/a.service", &unit("64M"))], DAY);
    machine.generation(&[("etc/new", "1"), ("etc/same", "1"), ("lib/systemd/system/a.service", &unit("128M"))], DAY);
    let difference = generations::diff(&machine.home, 1, 2).unwrap();
    let lines = ["-[Service] MemoryMax=64M", "+[Service] MemoryMax=128M"].map(str::to_owned).to_vec();
    let expected = Difference {
        added: vec!["etc/new".into()],
        removed: vec!["etc/gone".into()],
        changed: vec![Changed { path: "lib/systemd/system/a.service".into(), lines }],
    };
    assert_eq!(difference, expected);
    assert_eq!(generations::diff(&machine.home, 2, 2).unwrap(), Difference::default());
    assert!(generations::diff(&machine.home, 1, 3).unwrap_err().to_string().contains("no generation 3"));
}
