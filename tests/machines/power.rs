//! Power cuts of a virtual machine, whose page cache goes with it, at many points of an apply: the machine boots into the old or the
//! new generation, whole, and what was acknowledged is there.

use crate::apply::office;
use crate::client::{Client, provisioner};
use crate::lab::{DEADLINE, Disk, Lab, Log, Virtual, until};
use crate::operator::DOMAIN;
use leafwright::host::endpoint::Login;
use serde_json::Value;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many cuts: more are asked for by `LEAFWRIGHT_POWER_CUTS`.
const CUTS: usize = 6;

/// Between two messages: seldom, because what nats-server flushes for one takes along what others have not flushed.
const BETWEEN: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(200);

const SEED: u64 = 20_261_127;

const LOG: &str = "/run/lab/writes.log";

/// What was acknowledged: the number in its stream, and how long the log of writes was by then.
struct Acknowledged {
    sequence: u64,
    log: u64,
}

fn length() -> u64 {
    std::fs::metadata(LOG).expect("there is a log").len()
}

pub fn what_lies_on_the_disk_after_a_power_cut_is_whole() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    operator.settings("office", "leaf.max_pending = \"16MiB\"\nfiles.\"/etc/meadow/note\".text = \"second\\n\"");
    operator.take_to(&office);
    let login = provisioner(&office);
    office.power_off();
    let disk = Disk::of(&office);

    // Once to its end, with every write in the log.
    let run = disk.copy("run");
    let mut machine = Virtual::boot("run", &run, Some(Path::new(LOG)));
    machine.wait_running();
    let port = machine.forward(4222);
    let (stop, began) = (AtomicBool::new(false), length());
    let mut committed = None;
    let (acknowledged, ended) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(port, &login, &stop));
        let apply = format!("leafwright apply office --domain {DOMAIN} --yes --steady 1 2>&1");
        let said = machine.told(&apply, |line| {
            if line.trim() == "committed" {
                committed = Some(length());
            }
        });
        let ended = length();
        assert!(said.contains("generation 2: "), "{said}");
        stop.store(true, Ordering::SeqCst);
        (publisher.join().expect("it publishes"), ended)
    });
    machine.power_cut();
    drop(run);
    let log = Log::read(Path::new(LOG));
    let (began, ended) = (log.entries_below(began), log.entries_below(ended));
    let committed = log.entries_below(committed.expect("it was said"));
    assert!(ended - began > 50 && acknowledged.len() > 3, "{} writes, {}", ended - began, acknowledged.len());
    let cuts: usize = std::env::var("LEAFWRIGHT_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().expect("a number"));
    let mut random = Random(SEED);
    let mut points: Vec<(usize, u64)> = (0..cuts)
        .map(|number| {
            let bound = |number| began + (ended - began) * number / cuts;
            let point = bound(number) + random.below(bound(number + 1) - bound(number));
            // Every other one where the most is at stake.
            (if number % 2 == 0 { point } else { log.before_flush(point) }, random.next())
        })
        .collect();
    points.extend([(committed, random.next()), (ended, random.next())]);
    println!(
        "{} writes and flushes, {} messages acknowledged, {} cuts",
        ended - began,
        acknowledged.len(),
        points.len()
    );
    let next = Mutex::new(points.into_iter().enumerate());
    let after = |number: usize, entries: usize, seed: u64| {
        let (disk, mut random) = (disk.copy(&format!("cut{number}")), Random(seed));
        // Whoever has said that it is committed has flushed all of it.
        let lost = log.replay(&disk, entries, || entries < committed && random.below(2) == 0);
        let kept = acknowledged.iter().rev().find(|message| log.entries_below(message.log) <= entries);
        let generation = is_whole(&format!("cut{number}"), &disk, &login, kept.map_or(0, |message| message.sequence));
        let at = entries - began;
        let all = ended - began;
        println!("cut {number}, after {at} of {all} entries, {lost} of them lost: generation {generation}");
        assert!(entries < committed || generation == 2, "what was committed is gone");
        generation
    };
    let generations: Vec<u64> = std::thread::scope(|scope| {
        let worker = || {
            let mut found = vec![];
            while let Some((number, (entries, seed))) = { next.lock().expect("no panic").next() } {
                found.push(after(number, entries, seed));
            }
            found
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().expect("every cut ends whole")).collect()
    });
    assert!(generations.contains(&1), "no cut was before the commit: {generations:?}");
}

/// Boots what a cut has left: a generation, whole, and every message up to `sequence`. Gives the generation.
fn is_whole(name: &str, disk: &Disk, login: &Login, sequence: u64) -> u64 {
    let mut machine = Virtual::boot(name, disk, None);
    machine.wait_running();
    let register = || -> Value {
        serde_json::from_str(&machine.must("cat /var/lib/leafwright/state.json")).expect("the register is whole")
    };
    until("the machine is at a generation", DEADLINE, || register()["pending"].is_null());
    machine.until("the service runs", "systemctl is-active --quiet nats-server.service todos@1.service");
    machine.until("nothing differs", "leafwright status");
    let generation = register()["active"]["generation"].as_u64().expect("it has one");
    let second = generation == 2;
    let placed = [
        machine.must("cat /etc/nats/nats-server.json").contains("16777216"),
        machine.exec("cat /etc/meadow/note").stdout == "second\n",
    ];
    assert!((1..=2).contains(&generation) && placed == [second; 2], "generation {generation}, and {placed:?}");
    machine.must("leafwright gc --keep 9");
    let half = "find /etc /var/lib/leafwright -name '*leafwright-new' -o -name '*.new'";
    assert_eq!(machine.must(half), "", "half a file is left");
    let stream = TcpStream::connect(("127.0.0.1", machine.forward(4222))).expect("ssh forwards");
    let mut client = Client::over(stream, login).expect("nats-server takes the connection");
    client.subscribe("_INBOX.power");
    for number in 1..=sequence {
        client.publish("$JS.API.STREAM.MSG.GET.EVT-office", "_INBOX.power", &format!("{{\"seq\":{number}}}"));
        let answer = client.hear().expect("it answers");
        assert!(answer.contains("\"data\""), "message {number} of {sequence} was acknowledged, and is lost: {answer}");
    }
    generation
}

/// Publishes until it is told to stop, and connects again while nats-server restarts.
fn publish(port: u16, login: &Login, stop: &AtomicBool) -> Vec<Acknowledged> {
    let mut acknowledged = vec![];
    let (mut client, mut pause) = (None, BETWEEN);
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(pause);
        pause = BETWEEN;
        let Some(open) = &mut client else {
            client = TcpStream::connect(("127.0.0.1", port)).ok().and_then(|stream| Client::over(stream, login));
            if let Some(open) = &mut client {
                open.subscribe("_INBOX.power");
            }
            pause = AGAIN;
            continue;
        };
        open.publish("evt.meadow.power.cut", "_INBOX.power", "{}");
        let answer = open.hear();
        // Before the log is looked at: what is in it by now was written before the answer, or after, and both may be lost later.
        let log = length();
        let Some(answer) = answer else {
            client = None;
            continue;
        };
        // Nobody answers with no words while JetStream is not there yet.
        if let Ok(answer) = serde_json::from_str::<Value>(&answer) {
            acknowledged.push(Acknowledged { sequence: answer["seq"].as_u64().expect("it was stored"), log });
        }
    }
    acknowledged
}

/// Numbers that are the same each time: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).expect("it fits")).expect("it fits")
    }
}
