//! A machine's history on a real nats-server: every event once and in order, whatever is lost, killed or done twice at once.
#![cfg(feature = "world")]

#[path = "../common/ports.rs"]
mod ports;
#[expect(dead_code, reason = "the servers of another test too")]
#[path = "../seed/servers.rs"]
mod servers;

use leafwright::host::jetstream::JetStream;
use leafwright::host::machine::history::{Change, Data, Event, Kind, Steps};
use leafwright::machine::history::{Stream, Writers, send};
use leafwright::name::FileFormat;
use leafwright::seed::api::codes;
use serde_json::{Value, json};
use servers::{DEADLINE, Servers, Sync, create};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const EVENTS: usize = 2_000;
const URL: &str = "LEAFWRIGHT_TEST_PUBLISHER";

/// `number` makes the id and the time, so that another process has the same.
fn event(machine: &str, number: usize) -> Event {
    let data = Data {
        machine: machine.into(),
        person: Some("ada".into()),
        generation: Change { from: Some(1), to: Some(2) },
        digest: None,
        duration_ms: None,
        steps: Steps::of(["place /etc/motd".to_owned()]),
        reason: None,
    };
    let kind = if number.is_multiple_of(2) { Kind::Applied } else { Kind::RolledBack };
    let time = format!("2026-11-26T{:02}:{:02}:{:02}.000Z", number / 3600, number / 60 % 60, number % 60);
    Event { format: FileFormat::History.version(), id: format!("{machine}-{number}"), kind, time, data }
}

fn events(machine: &str, count: usize) -> Vec<Event> {
    (1..=count).map(|number| event(machine, number)).collect()
}

fn office(jetstream: &JetStream) -> Stream<'_> {
    let (name, subject, source) = ("PRV-office", "prv.meadow.office", "/meadow/office");
    Stream { jetstream, name, subject, source, writers: Writers::Nobody }
}

fn member<'a>(jetstream: &'a JetStream, subject: &'a str) -> Stream<'a> {
    Stream { jetstream, name: "PRV", subject, source: "/meadow/member", writers: Writers::Others }
}

fn config(name: &str, subjects: &[&str], replicas: usize) -> Value {
    json!({
        "name": name, "subjects": subjects, "num_replicas": replicas, "deny_delete": true, "deny_purge": true,
        "discard": "new", "retention": "limits", "storage": "file", "allow_direct": true,
    })
}

/// The ids in the stream, in its order.
async fn ids(jetstream: &JetStream, stream: &str) -> Vec<String> {
    let context = async_nats::jetstream::new(jetstream.client().clone());
    let stream = context.get_stream(stream).await.unwrap();
    let mut ids = vec![];
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        ids.push(message.headers.get("ce-id").unwrap().to_string());
    }
    ids
}

fn wanted(machine: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{machine}-{number}")).collect()
}

async fn one() -> (Servers, JetStream) {
    let servers = Servers::start(1, Sync::Default);
    let jetstream = servers.jetstream().await;
    create(&jetstream, config("PRV-office", &["prv.meadow.office.>"], 1)).await;
    (servers, jetstream)
}

#[tokio::test]
async fn the_nth_event_is_the_nth_message_and_is_sent_once() {
    let (_servers, jetstream) = one().await;
    assert_eq!(send(&office(&jetstream), &events("office", 3)).await, Ok(3));
    assert_eq!(send(&office(&jetstream), &events("office", 3)).await, Ok(0));
    assert_eq!(send(&office(&jetstream), &events("office", 5)).await, Ok(2));
    assert_eq!(ids(&jetstream, "PRV-office").await, wanted("office", 1..=5));

    let context = async_nats::jetstream::new(jetstream.client().clone());
    let stream = context.get_stream("PRV-office").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), "prv.meadow.office.rolled-back");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-source", "/meadow/office"),
        ("ce-type", "machine.rolled-back"),
        ("ce-time", "2026-11-26T00:00:01.000Z"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(message.headers.get(name).unwrap().as_str(), value, "{name}");
    }
    let data: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!((&data["machine"], &data["generation"]["to"]), (&json!("office"), &json!(2)));
}

#[tokio::test]
async fn a_file_that_was_lost_goes_on_and_one_from_a_copy_repeats_nothing() {
    let (_servers, jetstream) = one().await;
    send(&office(&jetstream), &events("office", 10)).await.unwrap();
    // Begun anew: it knows nothing of what was before.
    let anew: Vec<Event> = (11..=12).map(|number| event("office", number)).collect();
    assert_eq!(send(&office(&jetstream), &anew).await, Ok(2));
    assert_eq!(send(&office(&jetstream), &anew).await, Ok(0));
    // Brought back as it was after the fifth; and one that is so old that nobody looks back so far is refused.
    let copy: Vec<Event> = (1..=5).chain([20]).map(|number| event("office", number)).collect();
    assert_eq!(send(&office(&jetstream), &copy).await, Ok(1));
    assert_eq!(ids(&jetstream, "PRV-office").await, wanted("office", (1..=12).chain([20])));
    let many: Vec<Event> = (21..=400).map(|number| event("office", number)).collect();
    send(&office(&jetstream), &many).await.unwrap();
    let failure = send(&office(&jetstream), &copy).await.unwrap_err();
    assert!(failure.to_string().contains("move it away"), "{failure}");
    assert_eq!(ids(&jetstream, "PRV-office").await.len(), 13 + many.len());
}

#[tokio::test]
async fn a_full_stream_says_so_at_once() {
    let servers = Servers::start(1, Sync::Default);
    let jetstream = servers.jetstream().await;
    let mut small = config("PRV-office", &["prv.meadow.office.>"], 1);
    small["max_bytes"] = 2_000.into();
    create(&jetstream, small).await;
    let failure = send(&office(&jetstream), &events("office", 50)).await.unwrap_err();
    assert!(codes::FULL.iter().any(|code| failure.is(*code)), "{failure}");
    let stored = ids(&jetstream, "PRV-office").await;
    assert!(!stored.is_empty() && stored == wanted("office", 1..=stored.len()), "{stored:?}");
}

/// Passes on what comes, and closes the connection instead of bringing an acknowledgement back, as often as it is told.
async fn lossy(port: u16, losses: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let losses = losses.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut up, mut down, mut waits) = ([0; 65_536], [0; 65_536], false);
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => {
                            let Ok(read @ 1..) = read else { return };
                            let event = up[..read].windows(9).any(|bytes| bytes == b"HPUB prv.");
                            waits = event && losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                            server.write_all(&up[..read]).await.unwrap();
                        }
                        read = server.read(&mut down) => {
                            let Ok(read @ 1..) = read else { return };
                            if waits { return }
                            if client.write_all(&down[..read]).await.is_err() { return }
                        }
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_lost_acknowledgement_repeats_nothing() {
    let (servers, jetstream) = one().await;
    let losses = Arc::new(AtomicUsize::new(0));
    let address = lossy(servers.members[0].port, losses.clone()).await;
    let through = servers::connect(&format!("nats://{address}")).await;
    losses.store(5, Ordering::SeqCst);
    let sent = tokio::time::timeout(DEADLINE, send(&office(&through), &events("office", 20))).await.unwrap().unwrap();
    assert_eq!(losses.load(Ordering::SeqCst), 0, "the acknowledgements were lost");
    assert_eq!(sent, 15, "what was stored unheard was not sent again");
    assert_eq!(ids(&jetstream, "PRV-office").await, wanted("office", 1..=20));
}

/// Not a test of its own: the process that gets killed. Does nothing unless it was started as such.
#[test]
fn the_publisher_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jetstream = servers::connect(&url).await;
        send(&office(&jetstream), &events("office", EVENTS)).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_publisher_repeats_nothing() {
    let (servers, jetstream) = one().await;
    let url = servers.members[0].url();
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_publisher_that_is_killed", "--nocapture"]).env(URL, &url);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let context = async_nats::jetstream::new(jetstream.client().clone());
    let stored = async || context.get_stream("PRV-office").await.unwrap().cached_info().state.messages;
    for kill in 1..=8 {
        let mut publisher = start();
        let end = Instant::now() + DEADLINE;
        // Each gets a little further than the one before.
        while stored().await < kill * 30 {
            assert!(Instant::now() < end, "it publishes nothing");
        }
        publisher.kill().unwrap();
        publisher.wait().unwrap();
    }
    let midway = stored().await;
    assert!(midway < EVENTS as u64, "the last kill came too late: {midway}");
    tokio::task::block_in_place(|| assert!(start().wait().unwrap().success()));
    assert_eq!(ids(&jetstream, "PRV-office").await, wanted("office", 1..=EVENTS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_write_one_stream_and_each_event_is_there_once() {
    let servers = Servers::start(3, Sync::Default);
    let jetstream = servers.jetstream().await;
    create(&jetstream, config("PRV", &["prv.meadow.ash.>", "prv.meadow.oak.>"], 3)).await;
    let [ash, oak] = ["ash", "oak"].map(|name| events(name, 20));
    let [to_ash, to_oak] = ["prv.meadow.ash", "prv.meadow.oak"].map(|subject| member(&jetstream, subject));
    let twice = tokio::join!(send(&to_ash, &ash), send(&to_oak, &oak), send(&to_ash, &ash), send(&to_oak, &oak));
    for sent in [twice.0, twice.1, twice.2, twice.3] {
        sent.unwrap();
    }
    let stored = ids(&jetstream, "PRV").await;
    for name in ["ash", "oak"] {
        let own: Vec<String> = stored.iter().filter(|id| id.starts_with(name)).cloned().collect();
        assert_eq!(own, wanted(name, 1..=20));
    }
    assert_eq!(stored.len(), 40);
}
