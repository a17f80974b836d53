//! Identity against the world: the key store on a real disk, and JWTs, permissions and forgeries on real nats-servers.

#![cfg(feature = "world")]

#[path = "../common/ports.rs"]
#[expect(dead_code, reason = "one at a time is enough here")]
mod ports;
mod enrol;
mod forged;
mod servers;
mod store;
mod tokens;
mod link;
