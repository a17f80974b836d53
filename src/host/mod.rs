//! The only door to the world: files, processes, keys, nats-server, the clock.
//!
//! Refuses: decisions.

#[cfg(feature = "world")]
pub mod accounts;
#[cfg(feature = "world")]
pub mod ca;
pub mod closure;
#[cfg(feature = "world")]
pub mod door;
#[cfg(feature = "world")]
pub mod door_fake;
pub mod disk;
#[cfg(feature = "world")]
pub mod credentials;
#[cfg(feature = "world")]
pub mod endpoint;
#[cfg(feature = "world")]
pub mod enrolment;
#[cfg(feature = "world")]
pub mod executable;
#[cfg(feature = "world")]
pub mod fake;
pub mod hardware;
#[cfg(feature = "world")]
pub mod jetstream;
#[cfg(feature = "world")]
pub mod identity_files;
#[cfg(feature = "world")]
pub mod keys;
#[cfg(feature = "world")]
pub mod interrupt;
#[cfg(feature = "world")]
pub mod lease;
#[cfg(feature = "world")]
pub mod link;
#[cfg(feature = "world")]
pub mod listeners;
#[cfg(feature = "world")]
pub mod machine;
#[cfg(feature = "world")]
pub mod monitor;
#[cfg(feature = "world")]
pub mod nats_server;
#[cfg(feature = "world")]
pub mod packages;
#[cfg(feature = "world")]
pub mod process;
#[cfg(feature = "world")]
pub mod programs;
#[cfg(feature = "world")]
mod provision;
#[cfg(feature = "world")]
pub mod remote;
#[cfg(feature = "world")]
pub mod systemd;
#[cfg(feature = "world")]
pub mod world;

#[cfg(feature = "world")]
pub use provision::{Elsewhere, Provisioned, Rest, Wish, lacks, prepare_store, provision};
#[cfg(feature = "world")]
pub use world::World;
