//! A change of generation on a machine in memory that dies at every effect: killed, or without power. It ends in the old
//! generation or in the new one, whole, whoever goes on with it: the watchdog, the boot.
#![cfg(feature = "world")]

#[path = "compile/fixture.rs"]
#[expect(dead_code, unused_imports, reason = "the other half is for `tests/compile.rs`")]
mod fixture;

use anyhow::Result;
use fixture::edit;
use leafwright::apply::machine::{
    self, Change, Count, Failure, Generation, Objects, Progress, activate, carry_out, go_back,
};
use leafwright::compile::gates::{DeclaredGate, Proof};
use leafwright::compile::packages::DeclaredPackage;
use leafwright::host::door::Door;
use leafwright::host::door_fake::{Death, FakeMachine, Unsynced};
use leafwright::host::machine::register::Mode;
use leafwright::name::ByteSize;
use leafwright::plan::machine::gates::{Gate, Reach, of};
use leafwright::plan::machine::{Content, MachinePlan, SeenFile, between, paths_and_units, secrets};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

struct NoObjects;

impl Objects for NoObjects {
    async fn reconcile(&mut self) -> Result<usize> {
        Ok(0)
    }
}

fn compiled(fixture: &fixture::Fixture) -> leafwright::compile::Compiled {
    let identity = fixture::identity(&fixture.domain);
    leafwright::compile::domain(&fixture.domain, &identity).value.expect("the fixture is sound")
}

/// Two generations of one machine: the second has another limit of nats-server, one service more, one file less, two
/// packages instead of one, and credentials that are encrypted.
fn generations() -> (Generation, Generation) {
    let content = |change: fn(&mut leafwright::resolve::Machine)| {
        let mut fixture = fixture::meadow();
        edit(&mut fixture.domain, "office", change);
        Content::of(&compiled(&fixture).machines["office"]).unwrap()
    };
    let motd = |machine: &mut leafwright::resolve::Machine| {
        let file = leafwright::resolve::File {
            text: Some("welcome\n".to_owned()),
            template: None,
            values: BTreeMap::default(),
            mode: "0644".to_owned(),
        };
        machine.options.files.insert("/etc/motd".to_owned(), file.into());
        machine.options.credentials.encrypted = false;
        machine.options.packages = [("cowsay".to_owned(), BTreeMap::default())].into();
    };
    let old = content(motd);
    let new = content(|machine| {
        machine.options.leaf.max_pending = ByteSize::bytes(16 << 20);
        let service = machine.options.services.get_mut("todos").unwrap();
        service.instances += 1;
        service.environment.insert("LANG".to_owned(), "C.UTF-8".to_owned());
    });
    (Generation { number: 1, content: old }, Generation { number: 2, content: new })
}

async fn plan(machine: &mut FakeMachine, old: Option<&Content>, new: &Content) -> MachinePlan {
    let (paths, units) = paths_and_units(old, new);
    let units = units.into_iter().filter(|unit| !unit.contains('*')).collect();
    let seen = machine.observe(&paths, &units).await.unwrap();
    let number = machine.generations.iter().find(|(_, content)| content.digest == new.digest);
    let number = *number.expect("it is in the store").0;
    let stale = machine.stale(number).await.unwrap();
    secrets::with(between(old, new, &seen), &stale, &seen)
}

async fn change(
    machine: &mut FakeMachine,
    old: Option<&Generation>,
    new: &Generation,
) -> Result<machine::Done, Failure> {
    change_within(machine, old, new, 60).await
}

async fn change_within(
    machine: &mut FakeMachine,
    old: Option<&Generation>,
    new: &Generation,
    seconds: u64,
) -> Result<machine::Done, Failure> {
    let plan = plan(machine, old.map(|old| &old.content), &new.content).await;
    machine::install(machine, new.number, &plan, &mut |_| ()).await?;
    let gates = of(&new.content, Reach::Machine);
    let change = Change {
        plan: &plan,
        old,
        new,
        mode: Mode::Persist,
        gates: &gates,
        within: Duration::from_secs(seconds),
        steady: Duration::from_secs(5),
    };
    activate(machine, &mut NoObjects, &change, &mut |_| ()).await
}

/// What the watchdog does, and whoever applies next: nothing where nothing is pending.
async fn recover(machine: &mut FakeMachine, old: &Generation, new: &Generation) {
    if machine.register.attempt.is_some() {
        go_back(machine, Some(old), new, "its apply ended", &mut |_| ()).await.expect("it goes back");
    }
    // What a commit left behind goes with the next apply.
    if machine.register.leaving.is_some() {
        let plan = plan(machine, Some(&old.content), &new.content).await;
        let steps: Vec<_> = plan.steps().cloned().collect();
        let mut count = Count { done: 0, of: steps.len() };
        carry_out(machine, new.number, &steps, &mut count, &mut |_| ()).await.expect("it is tidied");
        machine.tidied().await.unwrap();
    }
}

fn fresh(old: &Generation, new: &Generation) -> FakeMachine {
    let mut machine = FakeMachine::default();
    machine.generations = [(1, old.content.clone()), (2, new.content.clone())].into();
    machine
}

/// A machine that is the old generation, with nothing done yet.
async fn settled(old: &Generation, new: &Generation) -> FakeMachine {
    let mut machine = fresh(old, new);
    change(&mut machine, None, old).await.expect("the first generation");
    assert!(plan(&mut machine, Some(&old.content), &old.content).await.is_empty());
    machine.done.clear();
    machine
}

/// Every file and link of this content, and nothing else of ours; every unit that ought to run, with what it must have read.
fn is_whole(machine: &FakeMachine, content: &Content) -> Result<(), String> {
    let mut wanted: BTreeMap<String, String> =
        content.files.iter().map(|(path, file)| (path.clone(), file.digest.clone())).collect();
    wanted.extend(content.links());
    let there = machine.files.iter().map(|(path, file)| {
        let what = match file {
            SeenFile::File { digest, .. } => digest.clone(),
            SeenFile::Link { to } => to.clone(),
            SeenFile::Directory { .. } | SeenFile::Other => "something else".to_owned(),
        };
        (path.clone(), what)
    });
    let there: BTreeMap<String, String> = there.collect();
    if there != wanted {
        let differs = |path: &&String| there.get(*path) != wanted.get(*path);
        let paths: Vec<&String> = there.keys().chain(wanted.keys()).filter(differs).collect();
        return Err(format!("files: {paths:?}"));
    }
    let named: BTreeSet<&String> = content.credentials.iter().map(|credential| &credential.path).collect();
    if machine.credentials.iter().collect::<BTreeSet<_>>() != named {
        return Err(format!("credentials: {:?} and not {named:?}", machine.credentials));
    }
    for unit in content.steady() {
        match machine.running.get(&unit) {
            None => return Err(format!("{unit} does not run")),
            Some(read) if *read != machine.reads(&unit) => return Err(format!("{unit} runs with something old")),
            Some(_) => {}
        }
    }
    let surplus =
        machine.running.keys().find(|unit| content.definition(unit).is_none() || !content.steady().contains(*unit));
    surplus.map_or(Ok(()), |unit| Err(format!("{unit} runs and ought not to")))
}

fn has(machine: &FakeMachine, package: &DeclaredPackage) -> bool {
    machine.packages.contains(package.names.get("debian").unwrap_or(&package.name))
}

fn is_one_of_both(machine: &FakeMachine, old: &Generation, new: &Generation, what: &str) {
    assert_eq!(machine.register.attempt, None, "{what}: something is pending");
    assert!(machine.half_written.is_empty(), "{what}: half files are left: {:?}", machine.half_written);
    // Packages only come: those of the old generation stay with the new one, those of the new one after the way back.
    let there = |generation: &Generation| generation.content.packages.iter().all(|package| has(machine, package));
    assert!(there(old), "{what}: {:?}", machine.packages);
    assert!(machine.register.active != Some(2) || there(new), "{what}: {:?}", machine.packages);
    let wanted = if machine.register.active == Some(2) { new } else { old };
    assert_eq!(machine.register.active, Some(wanted.number), "{what}");
    if let Err(fault) = is_whole(machine, &wanted.content) {
        panic!("{what}: generation {} is not whole: {fault}", wanted.number);
    }
}

/// How many effects the whole change has.
async fn effects(old: &Generation, new: &Generation) -> usize {
    let mut machine = settled(old, new).await;
    change(&mut machine, Some(old), new).await.expect("it goes well");
    is_one_of_both(&machine, old, new, "undisturbed");
    assert_eq!(machine.register.active, Some(2));
    assert!(plan(&mut machine, Some(&new.content), &new.content).await.is_empty(), "the second plan is empty");
    machine.done.len()
}

#[tokio::test]
async fn killed_at_every_effect_it_ends_whole() {
    let (old, new) = generations();
    let count = effects(&old, &new).await;
    assert!(count >= 15, "only {count} effects");
    let mut ended = BTreeMap::new();
    for at in 1..=count {
        for death in [Death::Before, Death::After] {
            let mut machine = settled(&old, &new).await;
            machine.dies_at = Some((at, death));
            change(&mut machine, Some(&old), &new).await.expect_err("it dies");
            machine.revive();
            recover(&mut machine, &old, &new).await;
            is_one_of_both(&machine, &old, &new, &format!("killed {death:?} effect {at} of {count}"));
            *ended.entry(machine.register.active).or_insert(0) += 1;
        }
    }
    assert_eq!(ended.values().sum::<usize>(), 2 * count);
    assert!(ended.len() == 2, "both ends occur: {ended:?}");
}

#[tokio::test]
async fn without_power_at_every_effect_the_next_boot_is_whole() {
    let (old, new) = generations();
    let count = effects(&old, &new).await;
    for at in 1..=count {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn] {
            let mut machine = settled(&old, &new).await;
            machine.dies_at = Some((at, Death::After));
            change(&mut machine, Some(&old), &new).await.expect_err("it dies");
            machine.power_cut(unsynced);
            recover(&mut machine, &old, &new).await;
            machine.boot();
            is_one_of_both(&machine, &old, &new, &format!("power cut ({unsynced:?}) at effect {at} of {count}"));
        }
    }
}

#[tokio::test]
async fn killed_while_it_goes_back_it_goes_back_again() {
    let (old, new) = generations();
    let broken = Gate::Unit { unit: "nats-server.service".to_owned() };
    let failing = |machine: &mut FakeMachine| drop(machine.failing.insert(broken.clone(), "it crashed".to_owned()));
    let mut machine = settled(&old, &new).await;
    failing(&mut machine);
    let failure = change(&mut machine, Some(&old), &new).await.expect_err("a gate fails");
    let Failure::Returned(returned) = &failure else { panic!("{failure}") };
    assert_eq!((returned.from, returned.to), (2, Some(1)));
    assert!(failure.to_string().contains("nats-server.service is active"), "{failure}");
    is_one_of_both(&machine, &old, &new, "a gate failed");
    let count = machine.done.len();
    let back = machine.done.iter().position(|effect| effect == "begin return").expect("it went back");
    for at in back + 1..=count {
        for death in [Death::Before, Death::After] {
            let mut machine = settled(&old, &new).await;
            failing(&mut machine);
            machine.dies_at = Some((at, death));
            change(&mut machine, Some(&old), &new).await.expect_err("it dies");
            machine.revive();
            recover(&mut machine, &old, &new).await;
            is_one_of_both(&machine, &old, &new, &format!("killed {death:?} effect {at} on the way back"));
            assert_eq!(machine.register.active, Some(1));
        }
    }
}

/// Ctrl-C: whoever asked for it sees the machine go back; once it is committed, it stays.
#[tokio::test]
async fn stopped_at_every_effect_it_is_back_or_committed() {
    let (old, new) = generations();
    let count = effects(&old, &new).await;
    let mut ended = BTreeMap::new();
    for at in 1..=count {
        let mut machine = settled(&old, &new).await;
        machine.stops_at = Some(at);
        let done = change(&mut machine, Some(&old), &new).await;
        is_one_of_both(&machine, &old, &new, &format!("stopped after effect {at} of {count}"));
        match done {
            Ok(_) => assert_eq!(machine.register.active, Some(2)),
            Err(failure) => {
                assert!(failure.to_string().ends_with("because it was stopped: Ctrl-C"), "{failure}");
                assert!(!machine.watchdog && machine.register.active == Some(1), "{at}");
            }
        }
        *ended.entry(machine.register.active).or_insert(0) += 1;
    }
    assert!(ended.len() == 2, "both ends occur: {ended:?}");
}

#[tokio::test]
async fn packages_come_before_anything_is_begun_and_stay_whatever_becomes_of_it() {
    let (old, new) = generations();
    let mut machine = settled(&old, &new).await;
    assert_eq!(machine.packages, ["cowsay".to_owned()].into());
    machine.failing.insert(Gate::Unit { unit: "nats-server.service".to_owned() }, "it crashed".to_owned());
    change(&mut machine, Some(&old), &new).await.expect_err("a gate fails");
    is_one_of_both(&machine, &old, &new, "a gate failed");
    assert_eq!(machine.register.active, Some(1));
    assert_eq!(
        machine.done[..3],
        ["install bind9-dnsutils", "install chrony", "begin"],
        "all of it: {:?}",
        machine.done
    );
    assert_eq!(machine.packages, ["bind9-dnsutils", "chrony", "cowsay"].map(str::to_owned).into());
    // Killed between two packages: nothing is pending, and the next one installs what is left.
    let mut machine = settled(&old, &new).await;
    machine.dies_at = Some((1, Death::After));
    let failure = change(&mut machine, Some(&old), &new).await.expect_err("it dies");
    assert!(matches!(failure, Failure::NotInstalled(_)), "{failure}");
    machine.revive();
    is_one_of_both(&machine, &old, &new, "killed between two packages");
    let left = plan(&mut machine, Some(&old.content), &new.content).await;
    let left: Vec<&str> = left.first.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(left, ["package/chrony/install"]);
    // One that was taken away by a hand comes back, and nothing else is done.
    change(&mut machine, Some(&old), &new).await.expect("it goes well");
    machine.packages.clear();
    let drift = plan(&mut machine, Some(&new.content), &new.content).await;
    assert_eq!(drift.steps().count(), 2, "{drift:?}");
}

#[tokio::test]
async fn a_first_generation_that_fails_leaves_nothing() {
    let (old, new) = generations();
    let mut machine = fresh(&old, &new);
    machine.failing.insert(Gate::Unit { unit: "nats-server.service".to_owned() }, "it crashed".to_owned());
    let failure = change(&mut machine, None, &old).await.expect_err("a gate fails");
    assert!(matches!(failure, Failure::Returned(_)), "{failure}");
    assert_eq!((machine.files.len(), machine.running.len()), (0, 0), "{:?}", machine.files.keys());
    assert_eq!(machine.register.active, None);
}

#[tokio::test]
async fn what_was_broken_before_does_not_stand_in_the_way() {
    let (old, new) = generations();
    let mut machine = settled(&old, &new).await;
    machine.failing.insert(Gate::Link, "no answer".to_owned());
    let plan = plan(&mut machine, Some(&old.content), &new.content).await;
    let gates = of(&new.content, Reach::Link);
    assert!(gates.contains(&Gate::Link));
    let times = (Duration::from_secs(60), Duration::from_secs(5));
    let change = Change {
        plan: &plan,
        old: Some(&old),
        new: &new,
        mode: Mode::Persist,
        gates: &gates,
        within: times.0,
        steady: times.1,
    };
    let mut told = vec![];
    let mut tell = |progress: Progress<'_>| {
        if let Progress::AsBefore { gate, what } = progress {
            told.push((gate.clone(), what.to_owned()));
        }
    };
    activate(&mut machine, &mut NoObjects, &change, &mut tell).await.expect("the link was away before");
    assert_eq!(told, [(Gate::Link, "no answer".to_owned())]);
    assert_eq!(machine.register.active, Some(2));
}

/// What a gate declares of time is its own: it may take longer than all others, or less.
#[tokio::test]
async fn a_gate_has_the_time_that_it_declares() {
    let rows = [
        (None, 30, Ok(())),
        (None, 100, Err("not yet, after 60 s")),
        (Some(200), 100, Ok(())),
        (Some(90), 100, Err("not yet, after 90 s")),
        (Some(3), 30, Err("not yet, after 3 s")),
    ];
    for (within, opens, expected) in rows {
        let (old, mut new) = generations();
        let mut machine = settled(&old, &new).await;
        let proof = Proof::Program { exec: vec!["/bin/probe".to_owned()] };
        let declared =
            DeclaredGate { name: "probe".to_owned(), within_ms: within.map(|seconds: u64| seconds * 1000), proof };
        new.content.gates = vec![declared.clone()];
        let began = machine.clock();
        machine.opens.insert(Gate::Declared(declared), began + Duration::from_secs(opens));
        let done = change(&mut machine, Some(&old), &new).await.map(drop).map_err(|failure| failure.to_string());
        let took = (machine.clock() - began).as_secs();
        match expected {
            Ok(()) => assert!(done.is_ok() && took >= opens + 5, "{within:?} {opens}: {done:?} after {took} s"),
            Err(says) => assert!(done.as_ref().is_err_and(|said| said.contains(says)), "{within:?} {opens}: {done:?}"),
        }
    }
}

/// A unit that ends by itself may have failed before, and not by this; what others' units do is told and decides nothing.
#[tokio::test]
async fn a_unit_that_fails_meanwhile_is_no_better_than_one_that_does_not_run() {
    let job = |(old, mut new): (Generation, Generation)| {
        let oneshot = [("Type".to_owned(), vec!["oneshot".to_owned()])].into();
        new.content.units.insert("night.service".to_owned(), [("Service".to_owned(), oneshot)].into());
        (old, new)
    };
    let rows = [
        (None, Some("night.service"), Err("the gate \"night.service has not failed\" does not hold")),
        (Some("night.service"), Some("night.service"), Ok(vec![])),
        (None, Some("cups.service"), Ok(vec!["cups.service".to_owned()])),
        (Some("cups.service"), Some("cups.service"), Ok(vec![])),
    ];
    for (before, meanwhile, expected) in rows {
        let (old, new) = job(generations());
        let mut machine = settled(&old, &new).await;
        machine.failed.extend(before.map(str::to_owned));
        machine.brings_down.extend(meanwhile.map(|unit| ("todos@2.service".to_owned(), unit.to_owned())));
        let plan = plan(&mut machine, Some(&old.content), &new.content).await;
        let gates = of(&new.content, Reach::Machine);
        let (old, new) = (Some(&old), &new);
        let (within, steady) = (Duration::from_secs(60), Duration::from_secs(5));
        let change = Change { plan: &plan, old, new, mode: Mode::Persist, gates: &gates, within, steady };
        let mut told = vec![];
        let mut tell = |progress: Progress<'_>| {
            if let Progress::Failed { unit } = progress {
                told.push(unit.to_owned());
            }
        };
        let done = activate(&mut machine, &mut NoObjects, &change, &mut tell).await;
        match expected {
            Ok(others) => assert!(done.is_ok() && told == others, "{before:?} {meanwhile:?}: {done:?}, {told:?}"),
            Err(says) => assert!(done.is_err_and(|failure| failure.to_string().contains(says)), "{before:?}"),
        }
    }
}

/// One answer that is late before a change excuses nothing after it; one that never comes does.
#[tokio::test]
async fn an_answer_that_is_late_before_is_asked_for_again() {
    for (late, stands) in [(1, true), (2, true), (3, false)] {
        let (old, new) = generations();
        let mut machine = settled(&old, &new).await;
        machine.late.insert(Gate::Link, late);
        let before = machine::before(&mut machine, &of(&new.content, Reach::Link), Some(&old)).await;
        let holds = matches!(before[&Gate::Link], leafwright::plan::machine::gates::Seen::Holds { .. });
        assert_eq!(holds, stands, "after {late} answers that were late: {:?}", before[&Gate::Link]);
    }
    // Who says at once that nobody is there is believed.
    let (old, new) = generations();
    let mut machine = settled(&old, &new).await;
    machine.failing.insert(Gate::Link, "no responders".to_owned());
    let began = machine.clock();
    machine::before(&mut machine, &of(&new.content, Reach::Link), Some(&old)).await;
    assert_eq!(machine.clock(), began);
}

/// A job that never ends ends the apply when its time is over, and the machine is back.
#[tokio::test]
async fn an_apply_that_hangs_ends_by_itself() {
    let (old, new) = generations();
    let mut machine = settled(&old, &new).await;
    machine.hangs = Some("start todos@2.service".to_owned());
    let failure = change_within(&mut machine, Some(&old), &new, 1).await.expect_err("it hangs");
    assert!(machine.hangs.is_none() && matches!(failure, Failure::Returned(_)), "{failure}");
    assert!(
        failure
            .to_string()
            .contains("it took too long: unit/todos@2.service/start had not ended; not all of it was done within 1 s"),
        "{failure}"
    );
    is_one_of_both(&machine, &old, &new, "it hung");
    assert_eq!((machine.register.active, machine.watchdog), (Some(1), false));
}
