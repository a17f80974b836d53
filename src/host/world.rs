//! The door: what can be done to the world, one call an effect. The real one is `apply::Live`, one in memory is `host::fake`.
//!
//! Refuses: deciding. Each call does what its arguments say, whole, or fails.

use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::name::{EventSetName, MachineName, StreamName};
use crate::plan::{Observed, Scope};
use anyhow::Result;
use std::future::Future;

/// Events `from..to` of a set, for the stream that only the seeder writes.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub set: &'a EventSetName,
    pub stream: &'a StreamName,
    pub from: u64,
    pub to: u64,
}

pub trait World: Send {
    /// Everything that a plan compares; fails rather than leave something out.
    fn observe(&mut self) -> impl Future<Output = Result<Observed>> + Send;
    fn write_closure(&mut self, machine: &MachineName, digest: &str) -> impl Future<Output = Result<()>> + Send;
    fn create_stream(&mut self, on: &Scope, config: &StreamConfig) -> impl Future<Output = Result<()>> + Send;
    fn update_stream(&mut self, on: &Scope, config: &StreamConfig) -> impl Future<Output = Result<()>> + Send;
    fn create_consumer(
        &mut self,
        on: &Scope,
        stream: &str,
        config: &ConsumerConfig,
    ) -> impl Future<Output = Result<()>> + Send;
    fn update_consumer(
        &mut self,
        on: &Scope,
        stream: &str,
        config: &ConsumerConfig,
    ) -> impl Future<Output = Result<()>> + Send;
    fn load_events(&mut self, on: &Scope, load: Load<'_>) -> impl Future<Output = Result<()>> + Send;
}
