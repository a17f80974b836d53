//! One JetStream domain under test: plan against it, apply to it, count what is in it.

use super::plans::{desired, leaf, machine};
use async_nats::client::RequestErrorKind;
use leafwright::apply::{self, Closures, Journal, Live};
use leafwright::compile::Desired;
use leafwright::compile::desired::Objects;
use leafwright::diag::Sources;
use leafwright::host::World;
use leafwright::host::jetstream::JetStream;
use leafwright::name::MachineName;
use leafwright::plan::{self, Plan, Scope};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A source that lost its origin is tried again after growing pauses, of half a minute and more.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Closures that are always in place: here it is about JetStream.
pub struct InPlace;

impl Closures for InPlace {
    fn current(&self, machine: &MachineName) -> anyhow::Result<Option<String>> {
        Ok(Some(format!("closure-{machine}")))
    }

    fn write(&mut self, _: &MachineName, _: &str) -> anyhow::Result<()> {
        anyhow::bail!("it was in place")
    }
}

pub struct Bench {
    pub jetstreams: BTreeMap<Scope, JetStream>,
    journal: tempfile::TempDir,
}

impl Bench {
    /// Machine `one` on its own server.
    pub fn alone(jetstream: JetStream) -> Self {
        Self { jetstreams: [(machine("one"), jetstream)].into(), journal: tempfile::tempdir().unwrap() }
    }

    pub fn cluster(jetstream: JetStream) -> Self {
        Self { jetstreams: [(Scope::Cluster, jetstream)].into(), journal: tempfile::tempdir().unwrap() }
    }

    /// The first of its scopes with these objects.
    pub fn desired(&self, objects: Objects) -> Desired {
        match self.jetstreams.keys().next().unwrap() {
            Scope::Machine(_) => desired(vec![leaf("one", objects)], None),
            Scope::Cluster => desired(vec![], Some(("hub", "oak", objects))),
        }
    }

    pub fn jetstream(&self) -> &JetStream {
        self.jetstreams.values().next().unwrap()
    }

    fn live<'a>(&self, desired: &'a Desired, journal: &Journal) -> Live<'a, InPlace> {
        Live::new(desired, InPlace, self.jetstreams.clone(), journal.made())
    }

    pub async fn plan(&self, desired: &Desired) -> Plan {
        let journal = self.journal();
        let observed = self.live(desired, &journal).observe().await.unwrap();
        plan::between(desired, &observed, &Sources::default())
    }

    pub fn journal(&self) -> Journal {
        Journal::open(&self.journal.path().join("journal")).unwrap()
    }

    /// Plans and applies; the plan after that must be empty. Returns the plan that was applied.
    pub async fn apply(&self, desired: &Desired) -> Plan {
        let plan = self.plan(desired).await;
        let mut journal = self.journal();
        let mut live = self.live(desired, &journal);
        apply::run(&plan, &mut live, &mut journal, |_| ()).await.unwrap();
        let second = self.plan(desired).await;
        assert!(
            second.is_empty(),
            "after {}the second plan is not empty: {}",
            plan::render::human(&plan),
            plan::render::human(&second)
        );
        plan
    }

    pub async fn publish(&self, subject: &str, count: usize) {
        for n in 0..count {
            let ack = self.acknowledged(subject, format!("message {n}")).await;
            assert!(!String::from_utf8_lossy(&ack.payload).contains("error"), "{subject}: {ack:?}");
        }
    }

    /// A new stream answers its maker before its cluster's other servers know that somebody listens: no responders means
    /// that nothing was stored, and is asked again, as NATS clients do.
    async fn acknowledged(&self, subject: &str, payload: String) -> async_nats::Message {
        let since = Instant::now();
        loop {
            match self.jetstream().client().request(subject.to_owned(), payload.clone().into()).await {
                Err(error) if error.kind() == RequestErrorKind::NoResponders && since.elapsed() < DEADLINE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                answer => return answer.unwrap(),
            }
        }
    }

    pub async fn messages(&self, stream: &str) -> u64 {
        self.jetstream().stream(stream).await.unwrap().expect("the stream is there").messages
    }

    /// Polls until the stream's count of messages is as wanted; the last count else.
    pub async fn until(&self, stream: &str, wanted: impl Fn(u64) -> bool) -> u64 {
        let since = Instant::now();
        loop {
            let count = self.messages(stream).await;
            if wanted(count) || since.elapsed() > DEADLINE {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn raw(&self, call: &str, body: &Value) -> Result<Value, leafwright::host::jetstream::ApiError> {
        self.jetstream().request(call, body).await
    }

    pub async fn delete(&self, stream: &str) {
        self.raw(&format!("STREAM.DELETE.{stream}"), &Value::Null).await.unwrap();
    }
}
