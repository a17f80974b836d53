//! Identity against the world: the key store on a real disk, and JWTs, permissions and forgeries on real nats-servers.

#![cfg(feature = "world")]

mod servers;
mod store;
mod tokens;
mod link;
