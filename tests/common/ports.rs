//! Ports on loopback for the servers of a test. Below the range from which the kernel takes the ports of outgoing
//! connections, and each given once a process: nobody else can come in between the choice and the server's start.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// How many were given; the first one depends on the process, so that two test binaries at once do not meet.
static GIVEN: AtomicU32 = AtomicU32::new(0);

pub fn free_port() -> u16 {
    let start = std::process::id().wrapping_mul(499);
    (0..COUNT)
        .map(|_| start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT + FIRST)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port on loopback")
}

/// `count` different ones.
pub fn free_ports(count: usize) -> Vec<u16> {
    (0..count).map(|_| free_port()).collect()
}
