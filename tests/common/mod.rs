//! Shared by the test binaries: small declarations and real servers. Refuses: assertions.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod plans;
#[cfg(feature = "world")]
pub mod server;
