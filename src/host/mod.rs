//! The only door to the world.

pub mod ca;
pub mod keys;
mod provision;

pub use provision::provision;
