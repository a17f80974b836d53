//! How fast event sets are loaded, beside a publisher written by hand for this one purpose, on the same servers in the same run.
//!
//! `cargo run --release --example bench_seed [EVENTS] [ROUNDS]`. Both sides give the same guarantee: atomic batches of 1,000,
//! each tied to its place by the expected last sequence, eight on their way at once. The hand-written one speaks the raw
//! protocol over one socket, verifies nothing and cannot resume; the loader does both and stores prefix digests besides.

#[path = "../tests/common/ports.rs"]
mod ports;
#[path = "../tests/seed/servers.rs"]
mod servers;

use leafwright::compile::Seed;
use leafwright::host::jetstream::JetStream;
use leafwright::seed::{self, synthetic};
use servers::{Servers, Sync, create, seed_stream};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const AHEAD: usize = 8;
const BATCH: usize = 1_000;

/// The publisher written by hand: raw protocol, nothing that the guarantee does not need.
fn by_hand(port: u16, seed: &Seed) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    stream.set_nodelay(true).expect("a socket");
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone().expect("a socket")), stream);
    reader.read_line(&mut String::new()).expect("INFO");
    writer.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB acks.* 1\r\n").expect("sent");
    let (mut bytes, mut headers) = (Vec::new(), Vec::new());
    let mut on_their_way = 0;
    // Another seeder may run at once.
    let id = std::process::id();
    for (number, batch) in seed.events.events.chunks(BATCH).enumerate() {
        bytes.clear();
        for (index, event) in batch.iter().enumerate() {
            headers.clear();
            headers.extend_from_slice(b"NATS/1.0\r\n");
            for (name, value) in &event.headers {
                write!(headers, "{name}: {value}\r\n").expect("memory");
            }
            write!(headers, "Nats-Msg-Id: {}/{}\r\n", seed.target.prefix, event.id).expect("memory");
            write!(headers, "Nats-Batch-Id: {id:06}.{number}\r\nNats-Batch-Sequence: {}\r\n", index + 1)
                .expect("memory");
            let reply = if index + 1 == batch.len() { " acks.a" } else { "" };
            if index == 0 {
                write!(headers, "Nats-Expected-Last-Sequence: {}\r\n", number * BATCH).expect("memory");
            }
            if !reply.is_empty() {
                headers.extend_from_slice(b"Nats-Batch-Commit: 1\r\n");
            }
            headers.extend_from_slice(b"\r\n");
            let (subject, length) = (&event.subject, headers.len() + event.payload.len());
            write!(bytes, "HPUB {}.{subject}{reply} {} {length}\r\n", seed.target.prefix, headers.len())
                .expect("memory");
            bytes.extend_from_slice(&headers);
            bytes.extend_from_slice(&event.payload);
            bytes.extend_from_slice(b"\r\n");
        }
        writer.write_all(&bytes).expect("sent");
        on_their_way += 1;
        if on_their_way == AHEAD {
            acknowledged(&mut reader, &mut writer);
            on_their_way -= 1;
        }
    }
    for _ in 0..on_their_way {
        acknowledged(&mut reader, &mut writer);
    }
}

fn acknowledged(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("the server lives");
        if line.starts_with("PING") {
            writer.write_all(b"PONG\r\n").expect("sent");
        } else if let Some(rest) = line.strip_prefix("MSG ") {
            let length: usize = rest.trim().rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a length");
            let mut payload = vec![0; length + 2];
            reader.read_exact(&mut payload).expect("a payload");
            let text = String::from_utf8_lossy(&payload).into_owned();
            assert!(!text.contains("error"), "{text}");
            return;
        } else {
            assert!(line.starts_with("PONG") || line.starts_with("INFO"), "{line}");
        }
    }
}

/// The last sequence of the stream, so that neither side calls done what is not.
async fn stored(jetstream: &JetStream) -> u64 {
    let reply = jetstream.client().request("$JS.API.STREAM.INFO.SEED", "".into()).await.expect("INFO");
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).expect("JSON");
    info["state"]["last_seq"].as_u64().expect("a number")
}

async fn fresh(jetstream: &JetStream, replicas: usize) {
    // A busy machine deletes slowly; `create` waits until the name is free.
    let _ = jetstream.client().request("$JS.API.STREAM.DELETE.SEED", "".into()).await;
    create(jetstream, seed_stream("SEED", replicas)).await;
}

/// The port of the member that leads the stream: neither side pays for a route that the other does not.
async fn leading(jetstream: &JetStream, servers: &Servers) -> u16 {
    let reply = jetstream.client().request("$JS.API.STREAM.INFO.SEED", "".into()).await.expect("INFO");
    let info: serde_json::Value = serde_json::from_slice(&reply.payload).expect("JSON");
    let leader = info["cluster"]["leader"].as_str().and_then(|name| name[1..].parse::<usize>().ok());
    servers.members[leader.unwrap_or(0)].port
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let (count, rounds) = (arguments.next().unwrap_or(100_000), arguments.next().unwrap_or(5));
    let seed = synthetic::seed("SEED", synthetic::events(count));
    println!("{count} events of 256 B, 5 headers; median of {rounds} alternating rounds after one of warm-up\n");
    println!("| replicas | sync_interval | by hand, events/s | leafwright | ratio |");
    println!("| --- | --- | ---: | ---: | ---: |");
    for (replicas, sync) in [(1, Sync::Default), (1, Sync::Always), (3, Sync::Default), (3, Sync::Always)] {
        let servers = Servers::start(replicas, sync);
        let jetstream = servers.jetstream().await;
        let mut times = [vec![], vec![]];
        for round in 0..=rounds {
            for (way, times) in times.iter_mut().enumerate() {
                fresh(&jetstream, replicas).await;
                let port = leading(&jetstream, &servers).await;
                let near = servers::connect(&format!("nats://127.0.0.1:{port}")).await;
                let begun = Instant::now();
                match way {
                    0 => tokio::task::block_in_place(|| by_hand(port, &seed)),
                    _ => drop(seed::load(&near, &seed, |_| ()).await.expect("loaded")),
                }
                let took = begun.elapsed();
                assert_eq!(stored(&jetstream).await, count as u64);
                if round > 0 {
                    times.push(took);
                }
            }
        }
        let [hand, ours] = times.map(|times| count as f64 / median(times));
        let sync = if sync == Sync::Always { "always" } else { "2m" };
        println!("| {replicas} | {sync} | {hand:.0} | {ours:.0} | {:.2} |", ours / hand);
    }
}
