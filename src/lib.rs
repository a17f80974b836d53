//! Leafwright: use this configuration, use this hardware, I am this person, load it with these events.

pub mod name;
pub mod diag;
pub mod declare;
pub mod resolve;
pub mod identity;
pub mod compile;
pub mod plan;
pub mod load;
pub mod cli;
