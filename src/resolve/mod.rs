//! Names become things, options merge through the layers, expressions are evaluated, rules are checked.
//!
//! Refuses: I/O, and handing on anything that could still be missing or mistyped: after this floor there is no look-up and no maybe.

pub mod model;
pub mod grammar;
pub mod schemas;
pub mod contracts;
pub mod events;
pub mod rules;

pub use model::*;
