//! A world in memory that answers as nats-server does, and can fail at any step, before or after the effect.
//!
//! Refuses: being a server. It stores configurations and counts, no messages.

use super::world::{Load, World};
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::name::MachineName;
use crate::plan::{Observed, ObservedConsumer, ObservedServer, ObservedStream, Scope, consumers, streams};
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;

/// When the chosen effect fails: without having happened, or after it has (an answer that was lost).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    Before,
    After,
}

#[derive(Debug, Default)]
pub struct Fake {
    pub observed: Observed,
    /// The effect (counted from 1) that fails, once.
    pub fails_at: Option<(usize, Fails)>,
    /// Effects so far, failed ones too, in words.
    pub done: Vec<String>,
}

impl Fake {
    fn effect(&mut self, what: String, act: impl FnOnce(&mut Observed) -> Result<()>) -> Result<()> {
        self.done.push(what);
        let fails = self.fails_at.filter(|(at, _)| *at == self.done.len()).map(|(_, when)| when);
        if fails == Some(Fails::Before) {
            bail!("the fake world was told to fail before this");
        }
        act(&mut self.observed)?;
        ensure!(fails.is_none(), "the fake world was told to fail after this");
        Ok(())
    }
}

impl World for Fake {
    async fn observe(&mut self) -> Result<Observed> {
        Ok(self.observed.clone())
    }

    async fn write_closure(&mut self, machine: &MachineName, digest: &str) -> Result<()> {
        self.effect(format!("write {machine}"), |observed| {
            let server = ObservedServer { closure: Some(digest.to_owned()), ..ObservedServer::default() };
            observed.servers.insert(machine.clone(), server);
            Ok(())
        })
    }

    async fn create_stream(&mut self, on: &Scope, config: &StreamConfig) -> Result<()> {
        self.effect(format!("create {}", config.name), |observed| {
            let streams = &mut observed.objects.entry(on.clone()).or_default().streams;
            ensure!(!streams.contains_key(&config.name), "stream name already in use");
            let stream =
                ObservedStream { config: server_form(config), extra: BTreeMap::new(), messages: 0, last_sequence: 0 };
            streams.insert(config.name.clone(), stream);
            Ok(())
        })
    }

    async fn update_stream(&mut self, on: &Scope, config: &StreamConfig) -> Result<()> {
        self.effect(format!("update {}", config.name), |observed| {
            let stream = observed.objects.entry(on.clone()).or_default().streams.get_mut(&config.name);
            let Some(stream) = stream else { bail!("stream not found") };
            ensure!(!streams::diff(config, &stream.config).is_empty(), "an update that changes nothing was sent");
            stream.config = server_form(config);
            Ok(())
        })
    }

    async fn create_consumer(&mut self, on: &Scope, stream: &str, config: &ConsumerConfig) -> Result<()> {
        self.effect(format!("create {stream}/{}", config.durable_name), |observed| {
            let objects = observed.objects.entry(on.clone()).or_default();
            ensure!(objects.streams.contains_key(stream), "stream not found");
            let consumers = objects.consumers.entry(stream.to_owned()).or_default();
            ensure!(!consumers.contains_key(&config.durable_name), "consumer already exists");
            let consumer = ObservedConsumer { config: config.clone(), extra: BTreeMap::new() };
            consumers.insert(config.durable_name.clone(), consumer);
            Ok(())
        })
    }

    async fn update_consumer(&mut self, on: &Scope, stream: &str, config: &ConsumerConfig) -> Result<()> {
        self.effect(format!("update {stream}/{}", config.durable_name), |observed| {
            let consumers = observed.objects.entry(on.clone()).or_default().consumers.get_mut(stream);
            let Some(consumer) = consumers.and_then(|all| all.get_mut(&config.durable_name)) else {
                bail!("consumer does not exist")
            };
            ensure!(!consumers::diff(config, &consumer.config).is_empty(), "an update that changes nothing was sent");
            consumer.config = config.clone();
            Ok(())
        })
    }

    async fn load_events(&mut self, on: &Scope, load: Load<'_>) -> Result<()> {
        self.effect(format!("load {}", load.set), |observed| {
            let stream = observed.objects.entry(on.clone()).or_default().streams.get_mut(load.stream.as_str());
            let Some(stream) = stream else { bail!("stream not found") };
            ensure!(stream.last_sequence == load.from, "wrong last sequence: {}", stream.last_sequence);
            (stream.messages, stream.last_sequence) = (load.to, load.to);
            Ok(())
        })
    }
}

/// With what the server adds to a configuration.
fn server_form(config: &StreamConfig) -> StreamConfig {
    let mut config = config.clone();
    config.metadata.insert("_nats.level".into(), "5".into());
    config
}
