//! Public identity: JWTs and permission sets as pure functions of declarations and public keys.
//!
//! Refuses: key files, the clock, randomness. Signing takes a signer from outside; times are declared generations.

pub mod jwt;
pub mod permissions;
pub mod public;

pub use permissions::{ConnectionType, Permissions, Rules};
pub use public::{PublicIdentity, PublicUser, Signed, UserId};
