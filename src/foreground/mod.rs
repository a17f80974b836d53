//! `up`: the machines of a domain as child processes on loopback, in a state directory, without root and without systemd.
//!
//! Refuses: touching the machine that it runs on.

pub mod overlay;
pub mod services;
pub mod state;
pub mod summary;
pub mod supervise;
