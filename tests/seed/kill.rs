//! The seeder itself is killed with -9 at random moments, again and again, and then left to finish.

use super::complete;
use super::servers::{Servers, create, seed_stream};
use leafwright::host::jetstream::JetStream;
use leafwright::seed::{self, synthetic};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const URLS: &str = "LEAFWRIGHT_TEST_SEEDER";
const EVENTS: usize = 100_000;
const KILLS: usize = 20;

/// Not a test of its own: the process that gets killed. Does nothing unless it was started as such.
#[test]
fn the_seeder_that_is_killed() {
    let Ok(urls) = std::env::var(URLS) else { return };
    let seed = synthetic::seed("SEED", synthetic::events(EVENTS));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jetstream = super::servers::connect(&urls).await;
        seed::load(&jetstream, &seed, |progress| println!("\nstored {}", progress.stored)).await.unwrap();
    });
}

/// A child that does not outlive its test.
struct Seeder(Child);

impl Drop for Seeder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(urls: &str) -> Seeder {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::the_seeder_that_is_killed", "--nocapture"]).env(URLS, urls);
    Seeder(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// xorshift64*: the moments are random and can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// Kills a seeder at a random batch and a random moment of it.
/// Answers whether that was between its first and its last event; one that was done before is a whole set, not a kill.
fn killed(urls: &str, random: &mut Random) -> bool {
    let mut seeder = start(urls);
    let lines = BufReader::new(seeder.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut progress = lines.filter(|line| line.starts_with("stored "));
    let word = progress.nth(usize::try_from(random.below(8)).unwrap());
    std::thread::sleep(Duration::from_micros(random.below(8_000)));
    seeder.0.kill().unwrap();
    seeder.0.wait().unwrap();
    let last = progress.last().or(word);
    last.is_some_and(|line| line != "stored 0" && line != format!("stored {EVENTS}"))
}

/// Lets a seeder run to its end.
fn finished(urls: &str) {
    let mut last = start(urls);
    drop(std::io::copy(&mut last.0.stdout.take().unwrap(), &mut std::io::sink()));
    assert!(last.0.wait().unwrap().success());
}

/// Deletes a stream that is there.
async fn delete(jetstream: &JetStream, name: &str) {
    let reply =
        jetstream.client().request(format!("$JS.API.STREAM.DELETE.{name}"), "".into()).await.expect("an answer");
    let reply: serde_json::Value = serde_json::from_slice(&reply.payload).expect("JSON");
    assert_eq!(reply["success"], true, "{reply}");
}

async fn survives(servers: Servers) {
    let seed_of_random = std::env::var("LEAFWRIGHT_TEST_RANDOM").ok().and_then(|text| text.parse().ok());
    let seed_of_random =
        seed_of_random.unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(servers.members[0].port));
    println!("LEAFWRIGHT_TEST_RANDOM={seed_of_random}");
    let jetstream = servers.jetstream().await;
    let urls = servers.members.iter().map(|member| member.url()).collect::<Vec<_>>().join(",");
    let set = synthetic::seed("SEED", synthetic::events(EVENTS));
    let mut random = Random(seed_of_random);
    // A set takes only so many kills before it is complete; then it is compared event by event, and the next one begins.
    let mut midway = 0;
    for sets in 1.. {
        create(&jetstream, seed_stream("SEED", servers.members.len())).await;
        let left = KILLS - midway;
        midway += tokio::task::block_in_place(|| {
            let met = (0..left).filter(|_| killed(&urls, &mut random)).count();
            finished(&urls);
            met
        });
        complete(&jetstream, &set).await;
        println!("{midway} of {KILLS} kills met a seeder between its first and its last event, in {sets} sets");
        if midway >= KILLS {
            return;
        }
        assert!(sets < 10, "too few kills came while events were loaded");
        delete(&jetstream, "SEED").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeder_killed_twenty_times_stores_one_set_r1() {
    survives(super::servers(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeder_killed_twenty_times_stores_one_set_r3() {
    survives(super::servers(3)).await;
}
