//! What must be: the closures of all machines and of the domain itself.
//!
//! Refuses: I/O, and choices that the declarations did not make. Templates only print.

pub mod artefact;
pub mod desired;
pub mod jetstream;

pub use artefact::{Artefact, ArtefactKind, Closure, Effect};
pub use desired::{Desired, DesiredServer, Endpoint, Seed, SeedTarget, ServiceProcess};
