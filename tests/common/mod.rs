//! Shared by the test binaries: small declarations and real servers. Refuses: assertions.
#![allow(dead_code, reason = "each test binary uses a part")]

#[cfg(feature = "world")]
pub mod bench;
pub mod plans;
pub mod ports;
#[cfg(feature = "world")]
pub mod server;
