//! Leafwright: use this configuration, use this hardware, I am this person, load it with these events.

pub mod name;
pub mod diag;
pub mod declare;
pub mod resolve;
pub mod identity;
pub mod compile;
pub mod plan;
#[cfg(feature = "world")]
pub mod host;
pub mod load;
#[cfg(feature = "world")]
pub mod apply;
#[cfg(feature = "world")]
pub mod seed;
#[cfg(feature = "world")]
pub mod verify;
#[cfg(feature = "world")]
pub mod foreground;
pub mod cli;
