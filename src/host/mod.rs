//! The only door to the world: files, processes, nats-server, the clock.
//!
//! Refuses: decisions.

pub mod closure;
pub mod nats_server;
pub mod process;
pub mod fake;
pub mod jetstream;
pub mod monitor;
pub mod world;

pub use world::World;
