//! Loads an event set into the stream that only the seeder writes: exactly once, resumable after a kill at any point,
//! the same after every deduplication window has passed.
//!
//! Refuses: message ids as a guarantee, streams that hold anything but a prefix of the set, and sets that did not only grow.
//! How it is exactly once: `docs/seeding.md`.

pub mod api;
mod batch;
mod compare;
mod digest;
mod error;
mod load;
pub mod progress;
mod stored;
#[doc(hidden)]
pub mod synthetic;
pub mod talk;

pub use compare::{Depth, check};
pub use digest::Prefixes;
pub use error::{Difference, SeedError};
pub use load::{Loaded, Progress, load};
