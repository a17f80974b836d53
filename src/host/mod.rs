//! The only door to the world: files, processes, keys, nats-server, the clock.
//!
//! Refuses: decisions.

pub mod ca;
pub mod closure;
pub mod keys;
pub mod nats_server;
pub mod process;
mod provision;

pub use provision::provision;
