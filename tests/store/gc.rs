//! What is removed, what never is, and what a crash in between leaves.

use super::fixture::{Machine, closure, machine, tree};
use super::transitions::watch;
use leafwright::host::machine::gc::{self, Keep, Removal};
use leafwright::host::machine::generations::{self, Draft};
use leafwright::host::machine::history::{self, Change, Data, Event, Kind, Steps};
use leafwright::host::machine::register::{self, Active, Mode, Register};
use leafwright::host::machine::{go_on, lock, store};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use time::OffsetDateTime;

/// Generations 1 to `count`, a day apart; the last is current. Each has a file of its own of ten bytes and one that all share.
fn with_generations(count: usize) -> Machine {
    let machine = machine();
    for number in 1..=count {
        let own = format!("{number:010}");
        machine.generation(&[("etc/shared", "shared"), ("etc/own", &own)], &format!("2026-07-{number:02}T10:00:00Z"));
    }
    machine
}

fn read(machine: &Machine) -> Register {
    register::read(&machine.home).unwrap().unwrap()
}

fn collect(machine: &Machine, keep: Keep) -> Removal {
    gc::collect(&machine.home, &machine.lock(), &read(machine), keep, &mut go_on).unwrap()
}

/// Every generation that is left has its closure, whole.
fn check(machine: &Machine) {
    for record in generations::list(&machine.home).unwrap() {
        assert!(store::verify(&machine.home.entry(&record.closure)).unwrap().is_empty(), "{}", record.number);
    }
}

fn numbers(machine: &Machine) -> Vec<u64> {
    generations::numbers(&machine.home).unwrap().into_iter().collect()
}

fn size(machine: &Machine) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = leafwright::host::closure::list(&machine.home.store()).unwrap();
    let once: std::collections::BTreeMap<u64, u64> =
        files.values().filter(|is| is.is_file()).map(|is| (is.ino(), is.len())).collect();
    once.values().sum()
}

#[test]
fn the_newest_stay_and_numbers_are_never_given_again() {
    let machine = with_generations(5);
    let before = size(&machine);
    let planned = gc::plan(&machine.home, &read(&machine), Keep::Newest(2)).unwrap();
    assert_eq!(numbers(&machine), [1, 2, 3, 4, 5]);
    let removal = collect(&machine, Keep::Newest(2));
    assert_eq!(removal, planned);
    assert_eq!((removal.generations.len(), removal.closures.len()), (3, 3));
    assert_eq!(numbers(&machine), [4, 5]);
    assert_eq!(before - size(&machine), removal.bytes);
    assert!(removal.bytes > 30);
    check(&machine);
    assert_eq!(collect(&machine, Keep::Newest(2)), Removal::default());
    // All but what the machine is; the highest number stays known.
    collect(&machine, Keep::Newest(0));
    assert_eq!(numbers(&machine), [5]);
    assert_eq!(machine.generation(&[("etc/own", "6")], "2026-07-09T10:00:00Z").number, 6);
}

/// What never held is no way back: it does not count, and goes first.
#[test]
fn generations_that_were_given_up_do_not_count() {
    let machine = with_generations(6);
    let event = |kind: Kind, from: u64, to: u64| Event {
        format: 1,
        id: format!("{from:016}{to:016}"),
        kind,
        time: "2026-07-01T10:00:00.000Z".to_owned(),
        data: Data {
            machine: "office".to_owned(),
            person: None,
            generation: Change { from: Some(from), to: Some(to) },
            digest: None,
            duration_ms: None,
            steps: Steps::default(),
            reason: None,
        },
    };
    // The fifth was given up; the fourth too, and held later.
    let events = [event(Kind::Returned, 5, 3), event(Kind::Returned, 4, 3), event(Kind::Applied, 3, 4)];
    for event in events {
        history::append(&machine.home, &machine.lock(), &event).unwrap();
    }
    assert_eq!(collect(&machine, Keep::Newest(3)).generations, BTreeSet::from([1, 2, 5]));
    assert_eq!(numbers(&machine), [3, 4, 6]);
}

#[test]
fn the_age_decides_by_the_record() {
    let machine = with_generations(5);
    let now = OffsetDateTime::parse("2026-07-06T10:00:00Z", &time::format_description::well_known::Rfc3339).unwrap();
    let keep = |than| Keep::Younger { than, now };
    assert_eq!(collect(&machine, keep(time::Duration::days(30))), Removal::default());
    assert_eq!(collect(&machine, keep(time::Duration::days(3))).generations, BTreeSet::from([1, 2]));
    assert_eq!(collect(&machine, keep(time::Duration::ZERO)).generations, BTreeSet::from([3, 4]));
}

/// Made while the clock was a year ahead, then a year behind: the order is that of the numbers, and what the machine is stays.
#[test]
fn a_clock_that_jumped_takes_nothing_away_that_is_needed() {
    let machine = machine();
    let years = ["2026-07-01", "2027-07-01", "2025-07-01", "2026-07-02", "2025-07-02"];
    for (number, day) in years.iter().enumerate() {
        machine.generation(&[("etc/own", &number.to_string())], &format!("{day}T10:00:00Z"));
    }
    let mut register = read(&machine);
    register.pin(3).unwrap();
    register::write(&machine.home, &machine.lock(), &register).unwrap();
    assert_eq!(numbers(&machine), [1, 2, 3, 4, 5], "by number");
    let now = OffsetDateTime::parse("2026-07-06T10:00:00Z", &time::format_description::well_known::Rfc3339).unwrap();
    let keep = |now| Keep::Younger { than: time::Duration::days(30), now };
    let removal = collect(&machine, keep(now));
    assert_eq!((removal.generations, removal.ahead), (BTreeSet::new(), BTreeSet::from([2])));
    assert_eq!(numbers(&machine), [1, 2, 3, 4, 5], "3 is pinned, 5 is what the machine is");
    // The clock a year ahead: what is named stays even then.
    collect(&machine, keep(now + time::Duration::days(365)));
    assert_eq!(numbers(&machine), [2, 3, 5]);
    // And a year behind: everything is yet to come.
    let removal = collect(&machine, keep(now - time::Duration::days(600)));
    assert_eq!((removal.generations, removal.ahead), (BTreeSet::new(), BTreeSet::from([2, 3, 5])));
    assert_eq!(machine.generation(&[("etc/own", "6")], "2026-07-09T10:00:00Z").number, 6);
}

#[test]
fn what_the_register_names_is_never_removed() {
    type Name = fn(&mut Register);
    let rows: [(&str, Name, &[u64]); 8] = [
        ("current", |_| {}, &[6]),
        ("active", |r| r.active = Some(Active { generation: 2, boot_id: "one".into() }), &[2, 6]),
        ("next", |r| r.stage(1).unwrap(), &[1, 6]),
        ("pending to", |r| r.begin(3, Mode::Test, watch("one")).unwrap(), &[3, 6]),
        (
            "pending from",
            |r| {
                r.begin(3, Mode::Test, watch("one")).unwrap();
                r.pending.as_mut().unwrap().from = Some(4);
            },
            &[3, 4, 6],
        ),
        (
            "returned from",
            |r| {
                r.begin(5, Mode::Persist, watch("one")).unwrap();
                r.begin_return("no link").unwrap();
                r.end_return("one").unwrap();
            },
            &[5, 6],
        ),
        ("left a moment ago", |r| r.leaving = Some(2), &[2, 6]),
        ("pinned", |r| r.pin(4).unwrap(), &[4, 6]),
    ];
    for (what, name, kept) in rows {
        let machine = with_generations(6);
        let mut register = read(&machine);
        name(&mut register);
        register::write(&machine.home, &machine.lock(), &register).unwrap();
        collect(&machine, Keep::Newest(0));
        assert_eq!(numbers(&machine), kept, "{what}");
        check(&machine);
    }
}

/// Each step on a machine of its own, so that no run profits from the one before.
#[test]
fn a_crash_before_each_step_and_then_one_run_is_as_one_run() {
    let clean = with_generations(3);
    let mut all = vec![];
    gc::collect(&clean.home, &clean.lock(), &read(&clean), Keep::Newest(1), &mut |step| {
        all.push(step.to_owned());
        Ok(())
    })
    .unwrap();
    let kinds: Vec<&str> = all.iter().map(|step| step.split(' ').next().unwrap()).collect();
    // Two own files and two manifests with their seals.
    assert_eq!(
        kinds,
        [
            "forget", "forget", "take", "remove", "take", "remove", "remove", "remove", "remove", "remove", "remove",
            "remove"
        ]
    );
    for (stop, step) in all.iter().enumerate() {
        let machine = with_generations(3);
        let mut seen = 0;
        let crashed = gc::collect(&machine.home, &machine.lock(), &read(&machine), Keep::Newest(1), &mut |_| {
            seen += 1;
            anyhow::ensure!(seen <= stop, "crashed");
            Ok(())
        });
        assert!(crashed.is_err());
        check(&machine);
        collect(&machine, Keep::Newest(1));
        assert_eq!(tree(&machine.home.store()), tree(&clean.home.store()), "after a crash before {step}");
        assert_eq!(numbers(&machine), [3]);
    }
}

#[test]
fn what_is_not_ours_stays_and_what_cannot_be_read_stops_it() {
    let machine = with_generations(3);
    fs::create_dir_all(machine.home.entry("notes/of-mine")).unwrap();
    fs::create_dir_all(machine.home.entry(".new-half")).unwrap();
    fs::write(machine.home.generations().join("4.new"), "{").unwrap();
    for file in ["state.new", "room.new", "room"] {
        fs::write(machine.home.state().join(file), "half").unwrap();
    }
    // Somebody sends a domain.
    fs::create_dir(machine.home.state().join("domain.new")).unwrap();
    let broken = machine.home.generations().join("2.json");
    let text = fs::read_to_string(&broken).unwrap();
    fs::write(&broken, &text[..20]).unwrap();
    let fault = gc::collect(&machine.home, &machine.lock(), &read(&machine), Keep::Newest(1), &mut go_on).unwrap_err();
    assert!(format!("{fault:#}").contains("2.json: damaged\nhelp: "), "{fault:#}");
    assert_eq!(numbers(&machine), [1, 2, 3]);
    fs::write(&broken, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let fault = gc::plan(&machine.home, &read(&machine), Keep::Newest(1)).unwrap_err();
    assert!(format!("{fault:#}").contains("written by a newer leafwright"), "{fault:#}");
    fs::remove_file(&broken).unwrap();
    let left = ["generations/4.new", "store/.new-half", "state.new", "room.new", "room"].map(str::to_owned).into();
    assert_eq!(collect(&machine, Keep::Newest(1)).leftovers, left);
    assert!(!machine.home.generations().join("4.new").exists() && !machine.home.state().join("room").exists());
    assert!(machine.home.state().join("domain.new").is_dir());
    assert!(machine.home.entry("notes/of-mine").exists());
    fs::remove_file(machine.home.generations().join("3.json")).unwrap();
    let fault = gc::plan(&machine.home, &read(&machine), Keep::Newest(1)).unwrap_err().to_string();
    assert!(fault.contains("names generation 3, of which there is no record"), "{fault}");
}

/// Whoever imports and whoever collects hold the same lock, so that no closure goes between its import and its record.
#[test]
fn an_import_at_the_same_time_loses_nothing() {
    let machine = with_generations(1);
    let patience = Duration::from_secs(60);
    let state = machine.home.state();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..12 {
                let held = lock::take_within(state, "import", patience).unwrap();
                let own = format!("{round}");
                let (closure, manifest) = closure(&[("etc/shared", "shared"), ("etc/own", &own)]);
                let entry = store::import(&machine.home, &held, &closure, &manifest, &mut go_on).unwrap();
                let closure = entry.file_name().unwrap().to_str().unwrap().to_owned();
                let mut register = read(&machine);
                let draft = Draft {
                    closure,
                    created: "2026-07-09T10:00:00Z".into(),
                    person: "ada".into(),
                    program: None,
                    mode: Mode::Test,
                    failing: None,
                };
                let number = generations::create(&machine.home, &held, &mut register, draft).unwrap().number;
                register.begin(number, Mode::Persist, watch("one")).unwrap();
                register.commit("n", "one").unwrap();
                register.tidied();
                register::write(&machine.home, &held, &register).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..12 {
                let held = lock::take_within(state, "gc", patience).unwrap();
                gc::collect(&machine.home, &held, &read(&machine), Keep::Newest(0), &mut go_on).unwrap();
                check(&machine);
            }
        });
    });
    check(&machine);
    assert_eq!(numbers(&machine).last(), Some(&13));
}
