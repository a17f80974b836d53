//! The only door to the world: files, processes, keys, nats-server, the clock.
//!
//! Refuses: decisions.

pub mod ca;
pub mod closure;
pub mod fake;
pub mod jetstream;
pub mod keys;
pub mod monitor;
pub mod nats_server;
pub mod process;
mod provision;
pub mod world;

pub use provision::provision;
pub use world::World;
