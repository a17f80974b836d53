//! Every transition of the register in every state: `transitions.txt` is the table. `UPDATE=1` rewrites it.

use anyhow::Result;
use leafwright::host::machine::register::{Active, Mode, Phase, Register};
use leafwright::host::machine::transitions::{AtBoot, Watch};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

pub fn watch(boot_id: &str) -> Watch {
    Watch { nonce: "n".into(), boot_id: boot_id.into(), deadline: 90_000 }
}

type Act = fn(&mut Register) -> Result<String>;

fn done(result: Result<()>) -> Result<String> {
    result.map(|()| String::new())
}

const ACTS: [(&str, Act); 20] = [
    ("allot", |r| Ok(r.allot().to_string())),
    ("begin 8 persist", |r| done(r.begin(8, Mode::Persist, watch("one")))),
    ("begin 8 test", |r| done(r.begin(8, Mode::Test, watch("one")))),
    ("begin 8 boot", |r| done(r.begin(8, Mode::Boot, watch("one")))),
    ("begin 5 persist", |r| done(r.begin(5, Mode::Persist, watch("one")))),
    ("begin 10", |r| done(r.begin(10, Mode::Persist, watch("one")))),
    ("commit", |r| done(r.commit("n", "one"))),
    ("commit of another", |r| done(r.commit("x", "one"))),
    ("commit elsewhen", |r| done(r.commit("n", "two"))),
    ("begin_return", |r| done(r.begin_return("a gate failed"))),
    ("end_return", |r| done(r.end_return("one"))),
    ("tidied", |r| {
        r.tidied();
        Ok(String::new())
    }),
    ("boot again", |r| r.boot(watch("one")).map(|at| format!("{at:?}"))),
    ("boot", |r| r.boot(watch("two")).map(|at| format!("{at:?}"))),
    ("stage 8", |r| done(r.stage(8))),
    ("stage 5", |r| done(r.stage(5))),
    ("stage 10", |r| done(r.stage(10))),
    ("unstage", |r| r.unstage().map(|number| number.to_string())),
    ("pin 2", |r| done(r.pin(2))),
    ("unpin 2", |r| done(r.unpin(2))),
];

fn states() -> Vec<(&'static str, Register)> {
    let fresh = || {
        let mut register = Register::new("office");
        register.highest = 9;
        register
    };
    let settled = || {
        let mut register = fresh();
        register.current = Some(5);
        register.active = Some(Active { generation: 5, boot_id: "one".into() });
        register
    };
    let with = |mut register: Register, change: fn(&mut Register)| {
        change(&mut register);
        register
    };
    vec![
        ("fresh", fresh()),
        ("fresh, staged", with(fresh(), |r| r.next = Some(7))),
        ("fresh, pending", with(fresh(), |r| r.begin(7, Mode::Persist, watch("one")).unwrap())),
        ("settled", settled()),
        ("settled, pinned", with(settled(), |r| r.pin(2).unwrap())),
        ("staged", with(settled(), |r| r.next = Some(7))),
        ("testing", with(settled(), |r| r.active.as_mut().unwrap().generation = 6)),
        (
            "testing, staged",
            with(settled(), |r| {
                r.active.as_mut().unwrap().generation = 6;
                r.next = Some(7);
            }),
        ),
        ("pending", with(settled(), |r| r.begin(7, Mode::Persist, watch("one")).unwrap())),
        ("pending test", with(settled(), |r| r.begin(7, Mode::Test, watch("one")).unwrap())),
        (
            "pending on a test",
            with(settled(), |r| {
                r.active.as_mut().unwrap().generation = 6;
                r.begin(7, Mode::Persist, watch("one")).unwrap();
            }),
        ),
        (
            "pending by a boot",
            with(settled(), |r| {
                r.active.as_mut().unwrap().boot_id = "zero".into();
                r.next = Some(7);
                r.boot(watch("one")).unwrap();
            }),
        ),
        (
            "returning",
            with(settled(), |r| {
                r.begin(7, Mode::Persist, watch("one")).unwrap();
                r.begin_return("no link").unwrap();
            }),
        ),
    ]
}

fn number(number: Option<u64>) -> String {
    number.map_or("-".into(), |number| number.to_string())
}

/// A register in one line.
fn line(register: &Register) -> String {
    let active =
        register.active.as_ref().map_or("-".into(), |active| format!("{}@{}", active.generation, active.boot_id));
    let mut line = format!("current {} active {active} next {}", number(register.current), number(register.next));
    if let Some(pending) = &register.pending {
        let mode = format!("{:?}", pending.mode).to_lowercase();
        let _ = write!(line, " pending {}>{} {mode} @{}", number(pending.from), pending.to, pending.boot_id);
        if let Phase::Returning { reason } = &pending.phase {
            let _ = write!(line, " returning ({reason})");
        }
    }
    if let Some(leaving) = register.leaving {
        let _ = write!(line, " leaving {leaving}");
    }
    if !register.pinned.is_empty() {
        let _ = write!(line, " pinned {:?}", register.pinned);
    }
    if let Some(returned) = &register.returned {
        let _ = write!(line, " returned {}>{} ({})", returned.from, number(returned.to), returned.reason);
    }
    line
}

#[test]
fn every_transition_in_every_state_is_as_the_table_says() {
    let mut table = String::new();
    for (name, state) in states() {
        let _ = writeln!(table, "== {name}: {}", line(&state));
        for (act, change) in ACTS {
            let mut register = state.clone();
            let said = match change(&mut register) {
                Err(fault) => {
                    assert_eq!(register, state, "{name}: {act} was refused and changed something");
                    format!("refused: {}", fault.to_string().lines().next().unwrap_or_default())
                }
                Ok(said) if register == state => format!("{said} as before").trim().to_owned(),
                Ok(said) => format!("{said} {}", line(&register)).trim().to_owned(),
            };
            let _ = writeln!(table, "{act:18} {said}");
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/transitions.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(table == expected, "tests/store/transitions.txt says otherwise; UPDATE=1 rewrites it:\n{table}");
}

/// The generations of which something is on the machine after `act`, if each of them does its own part and nothing else.
fn on_the_machine(before: &BTreeSet<u64>, act: &str, state: &Register, next: &Register) -> BTreeSet<u64> {
    let mut there = before.clone();
    match act {
        "end_return" => {
            let pending = state.pending.as_ref().unwrap();
            there.remove(&pending.to);
            there.extend(pending.from);
        }
        "tidied" => {
            state.leaving.map(|left| there.remove(&left));
        }
        _ => there.extend(next.pending.iter().map(|pending| pending.to)),
    }
    there
}

/// From a fresh machine, whatever happens in whatever order: a boot always leads to what is current, and nothing is lost.
#[test]
fn wherever_it_comes_to_a_boot_leads_to_what_is_current() {
    let mut seen: BTreeMap<String, (Register, BTreeSet<u64>)> = BTreeMap::new();
    let mut open = vec![(Register { highest: 9, ..Register::new("office") }, BTreeSet::new())];
    while let Some((state, there)) = open.pop() {
        let known = format!("{} {there:?}", serde_json::to_string(&state).unwrap());
        if seen.insert(known, (state.clone(), there.clone())).is_some() {
            continue;
        }
        for (name, change) in ACTS.iter().filter(|(name, _)| *name != "allot" && !name.contains("pin")) {
            let mut next = state.clone();
            if change(&mut next).is_ok() {
                // History decides nothing, and there is no end to it.
                next.returned = None;
                assert!(
                    next.current == state.current || name.starts_with("commit"),
                    "{name} changed what is current: {}",
                    line(&next)
                );
                assert!(next.present().is_subset(&next.named()), "{}", line(&next));
                let there = on_the_machine(&there, name, &state, &next);
                assert!(
                    there.is_subset(&next.present()),
                    "after {name} of {}: {there:?} are on the machine, and the register does not say so: {}",
                    line(&state),
                    line(&next)
                );
                open.push((next, there));
            }
        }
    }
    assert!(seen.len() > 100, "only {} states were reached", seen.len());
    for (state, _) in seen.values() {
        let mut register = state.clone();
        let mut steps = 0;
        loop {
            match register.boot(watch("three")).unwrap() {
                AtBoot::Stay => break,
                AtBoot::Return => register.end_return("three").unwrap(),
                AtBoot::Activate => register.begin_return("a gate failed").unwrap(),
            }
            steps += 1;
            assert!(steps <= 3, "a boot of {} does not end", line(state));
        }
        assert_eq!((register.current, register.pending.as_ref()), (state.current, None), "{}", line(state));
        assert_eq!(register.active_generation(), state.current, "after a boot of {}", line(state));
    }
}
