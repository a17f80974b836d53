//! The only door to the world: files, processes, keys, nats-server, the clock.
//!
//! Refuses: decisions.

pub mod ca;
pub mod closure;
pub mod keys;
pub mod nats_server;
pub mod process;
pub mod fake;
pub mod jetstream;
pub mod monitor;
pub mod world;
mod provision;

pub use provision::provision;
pub use world::World;
