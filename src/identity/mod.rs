//! Public identity: JWTs and permission sets as pure functions of declarations and public keys.
//!
//! Refuses: key files, the clock, randomness. Signing takes a signer from outside; times are declared generations.

pub mod enrol;
pub mod jwt;
pub mod permissions;
pub mod public;
pub mod sets;
pub mod signing;

mod behind;
mod text;

pub use behind::{BEHIND, Whose, current};
pub use permissions::{ConnectionType, Permissions, Rules};
pub use public::{Certificate, Issuer, PublicIdentity, PublicUser, Signed, UserId};
pub use signing::{Before, Material, Signers, Wanted, sign};
pub use text::{files, from_declared};
