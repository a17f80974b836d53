//! The lock: one holder, known by name, freed by the kernel.

use super::fixture::machine;
use leafwright::host::machine::lock::{self, Busy};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the child finds the lock that it is to hold.
const CHILD: &str = "LEAFWRIGHT_TEST_LOCK";

#[test]
fn one_holds_it_and_says_for_what() {
    let machine = machine();
    let state = machine.home.state();
    assert_eq!(lock::holder(state).unwrap(), None);
    let held = machine.lock();
    held.say("apply of generation 7").unwrap();
    let fault = machine.home.lock("gc").unwrap_err();
    let busy = fault.downcast_ref::<Busy>().unwrap();
    assert_eq!(
        (busy.holder.purpose.as_str(), busy.holder.process),
        ("apply of generation 7", Some(std::process::id()))
    );
    let expected = format!("is in use: apply of generation 7, process {}\nhelp: ", std::process::id());
    assert!(fault.to_string().contains(&expected), "{fault}");
    assert_eq!(lock::holder(state).unwrap().as_ref(), Some(&busy.holder));
    held.say("gc").unwrap();
    assert_eq!(lock::holder(state).unwrap().unwrap().purpose, "gc");
    drop(held);
    assert_eq!(lock::holder(state).unwrap(), None);
    assert_eq!(std::fs::read(state.join("lock")).unwrap(), b"");
    assert!(machine.home.lock("gc").is_ok());
}

#[test]
fn whoever_waits_gets_it_when_it_is_free() {
    let machine = machine();
    let state = machine.home.state().to_owned();
    let held = machine.lock();
    assert!(lock::take_within(&state, "impatient", Duration::ZERO).is_err());
    let waiting = std::thread::spawn(move || lock::take_within(&state, "patient", Duration::from_secs(60)).map(drop));
    drop(held);
    waiting.join().unwrap().unwrap();
}

/// Those who look may take a shared lock for a moment; nobody must mistake one for a holder.
#[test]
fn looking_is_in_nobodys_way() {
    let machine = machine();
    drop(machine.lock());
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    lock::holder(machine.home.state()).unwrap();
                }
            });
        }
        let taken: Vec<_> = (0..200).map(|_| machine.home.lock("apply").map(drop)).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(taken.into_iter().all(|taken| taken.is_ok()));
    });
}

/// The child is this test again, with the place of the lock in its environment.
#[test]
fn the_kernel_frees_it_when_its_holder_is_killed() {
    if let Some(state) = std::env::var_os(CHILD) {
        let _held = lock::try_take(Path::new(&state), "apply of generation 7").unwrap();
        println!("\nheld");
        loop {
            std::thread::park();
        }
    }
    let machine = machine();
    machine.home.make().unwrap();
    let state = machine.home.state();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["locks::the_kernel_frees_it_when_its_holder_is_killed", "--exact", "--nocapture"])
        .env(CHILD, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = said.any(|line| line.unwrap() == "held");
    let holder = lock::holder(state);
    // SIGKILL: the child cleans nothing up.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(held, "the child never held the lock");
    let holder = holder.unwrap().unwrap();
    assert_eq!((holder.purpose.as_str(), holder.process), ("apply of generation 7", Some(child.id())));
    assert_eq!(lock::holder(state).unwrap(), None);
    assert!(std::fs::read_to_string(state.join("lock")).unwrap().contains(&child.id().to_string()), "its text stays");
    let now = lock::try_take(state, "the watchdog").unwrap();
    assert_eq!(lock::holder(state).unwrap().unwrap().process, Some(std::process::id()));
    drop(now);
}

/// What an apply starts does not hold its lock after it is gone.
#[test]
fn a_child_of_the_holder_does_not_inherit_it() {
    let machine = machine();
    let held = machine.lock();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    drop(held);
    let taken = machine.home.lock("next").map(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    taken.unwrap();
}
