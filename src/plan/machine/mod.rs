//! What changes on one machine: the content of the generation that is active × the one that must be × what was observed there
//! → ordered steps with reasons.
//!
//! Refuses: I/O, and knowing how a closure came about: one that was just compiled and one from the store are the same.

mod between;
pub mod content;
pub mod drop_ins;
pub mod enablement;
pub mod gates;
pub mod listeners;
pub mod model;
pub mod packages;
pub mod render;
pub mod secrets;
pub mod unit_effects;

mod accounts;
mod files;
mod graph;
mod lay_out;
mod read_unit;
mod reviewed;
mod server;
mod units;

pub use accounts::{Directory, SystemUser, changed as changed_users};
pub use between::{back_between, between, paths_and_units};
pub use content::{Content, Placed, Unreadable};
pub use model::{
    Act, FORMAT, FieldEffect, MachinePlan, MachineStep, Observation, SeenFile, SeenUnit, SeenUser, Stray, Why,
};
pub use read_unit::read_unit;
pub use reviewed::{Moved, Reviewed};
pub use server::digest as server_digest;
