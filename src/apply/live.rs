//! The real world of an apply: closures through whoever keeps them, JetStream through one connection a scope, events through the seeder.
//!
//! Refuses: leaving a scope out. What it has no connection to fails, and so does what does not answer.

use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::compile::{Desired, Seed};
use crate::host::World;
use crate::host::jetstream::JetStream;
use crate::host::lease::{Lease, Watch};
use crate::host::monitor::require_version;
use crate::host::world::Load;
use crate::name::{EventSetName, MachineName};
use crate::plan::{self, Observed, ObservedObjects, ObservedServer, Scope, StoredSeed};
use crate::seed::{self, Depth, SeedError};
use anyhow::{Context, Result};
use futures_util::future::{join, join_all};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};

/// How many scopes are observed at once.
const AT_ONCE: usize = 64;

/// Where closures are kept: a machine's own store, a state directory, a root directory.
pub trait Closures: Send {
    /// The digest of the closure that is current.
    fn current(&self, machine: &MachineName) -> Result<Option<String>>;
    /// The digest of each of its files, by path; nothing where that is not known.
    fn files(&self, _machine: &MachineName) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// Puts the closure with this digest into place and makes it current.
    fn write(&mut self, machine: &MachineName, digest: &str) -> Result<()>;
}

/// Told while events are loaded.
pub type SeedProgress<'a> = Box<dyn FnMut(&EventSetName, seed::Progress) + Send + 'a>;

pub struct Live<'a, C> {
    pub desired: &'a Desired,
    pub closures: C,
    /// One for each scope of the desired state, as its provisioner.
    pub jetstreams: BTreeMap<Scope, JetStream>,
    /// From the journal.
    pub made: BTreeSet<String>,
    pub progress: SeedProgress<'a>,
    /// Under which the cluster's objects are changed, where others could do so at the same time.
    pub lease: Option<Lease>,
}

impl<'a, C> Live<'a, C> {
    /// Without a lease, and silent while events are loaded.
    pub fn new(
        desired: &'a Desired,
        closures: C,
        jetstreams: BTreeMap<Scope, JetStream>,
        made: BTreeSet<String>,
    ) -> Self {
        Self { desired, closures, jetstreams, made, progress: Box::new(|_, _| ()), lease: None }
    }

    fn lease(&self, on: &Scope) -> Option<&Lease> {
        self.lease.as_ref().filter(|_| *on == Scope::Cluster)
    }

    fn watch(&self, on: &Scope) -> Option<Watch> {
        self.lease(on).map(Lease::watch)
    }

    fn jetstream(&self, on: &Scope) -> Result<JetStream> {
        self::on(&self.jetstreams, on)
    }

    fn seed(&self, on: &Scope, set: &EventSetName) -> Result<&Seed> {
        let objects = plan::scopes(self.desired).find(|(scope, _)| scope == on).map(|(_, objects)| objects);
        let seed = objects.and_then(|objects| objects.seeds.iter().find(|seed| seed.set == *set));
        seed.with_context(|| format!("event set {set} is not declared for {}", name(on)))
    }
}

impl<C: Closures> World for Live<'_, C> {
    async fn observe(&mut self) -> Result<Observed> {
        let mut observed = Observed { made: self.made.clone(), ..Observed::default() };
        // While the servers answer, the disk is looked at.
        let looks = looks(self.desired, &self.jetstreams);
        let looks = looks.map(|looks| tokio::spawn(stream::iter(looks).buffered(AT_ONCE).try_collect()));
        for machine in self.desired.servers.keys() {
            let closure = self.closures.current(machine)?;
            let files = self.closures.files(machine);
            observed.servers.insert(machine.clone(), ObservedServer { closure, files });
        }
        let seen: Vec<Seen> = looks?.await.context("cannot observe")??;
        for Seen { scope, objects, seeds } in seen {
            observed.seeds.extend(seeds.into_iter().map(|(set, stored)| ((scope.clone(), set), stored)));
            observed.objects.insert(scope, objects);
        }
        Ok(observed)
    }

    async fn write_closure(&mut self, machine: &MachineName, digest: &str) -> Result<()> {
        self.closures.write(machine, digest)
    }

    async fn create_stream(&mut self, on: &Scope, config: &StreamConfig) -> Result<()> {
        let jetstream = self.jetstream(on)?;
        let config = signed_stream(self.lease(on), &jetstream, config).await?;
        held(self.watch(on), async { Ok(jetstream.create_stream(&config).await?) }).await
    }

    async fn update_stream(&mut self, on: &Scope, config: &StreamConfig) -> Result<()> {
        let jetstream = self.jetstream(on)?;
        let config = signed_stream(self.lease(on), &jetstream, config).await?;
        held(self.watch(on), async { Ok(jetstream.update_stream(&config).await?) }).await
    }

    async fn create_consumer(&mut self, on: &Scope, stream: &str, config: &ConsumerConfig) -> Result<()> {
        let jetstream = self.jetstream(on)?;
        let config = signed_consumer(self.lease(on), &jetstream, (stream, config)).await?;
        held(self.watch(on), async { Ok(jetstream.create_consumer(stream, &config).await?) }).await
    }

    async fn update_consumer(&mut self, on: &Scope, stream: &str, config: &ConsumerConfig) -> Result<()> {
        let jetstream = self.jetstream(on)?;
        let config = signed_consumer(self.lease(on), &jetstream, (stream, config)).await?;
        held(self.watch(on), async { Ok(jetstream.update_consumer(stream, &config).await?) }).await
    }

    async fn load_events(&mut self, on: &Scope, load: Load<'_>) -> Result<()> {
        let jetstream = self.jetstream(on)?;
        let watch = self.watch(on);
        let seed = self.seed(on, load.set)?.clone();
        let progress = &mut self.progress;
        let loaded = async {
            seed::load(&jetstream, &seed, |at| progress(&seed.set, at)).await?;
            Ok(())
        };
        held(watch, loaded).await
    }
}

/// While the lease of what is changed is held; without one to its end.
async fn held<T>(watch: Option<Watch>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match watch {
        Some(watch) => watch.during(work).await,
        None => work.await,
    }
}

/// The stream as it is sent: under a lease with its generation, once it is sure that no newer one was here.
async fn signed_stream(lease: Option<&Lease>, jetstream: &JetStream, config: &StreamConfig) -> Result<StreamConfig> {
    let mut config = config.clone();
    if let Some(lease) = lease {
        let there = jetstream.stream(&config.name).await?;
        lease.sign(there.as_ref().map(|there| &there.config.metadata), &mut config.metadata)?;
    }
    Ok(config)
}

async fn signed_consumer(
    lease: Option<&Lease>,
    jetstream: &JetStream,
    (stream, config): (&str, &ConsumerConfig),
) -> Result<ConsumerConfig> {
    let mut config = config.clone();
    if let Some(lease) = lease {
        let there = jetstream.consumer(stream, &config.durable_name).await?;
        lease.sign(there.as_ref().map(|there| &there.config.metadata), &mut config.metadata)?;
    }
    Ok(config)
}

/// What is to be asked of each scope.
fn looks(
    desired: &Desired,
    jetstreams: &BTreeMap<Scope, JetStream>,
) -> Result<Vec<impl Future<Output = Result<Seen>> + Send + use<>>> {
    let mut looks = Vec::new();
    for (scope, objects) in plan::scopes(desired) {
        // Before the servers run there are closures to compare and nothing else.
        let nothing = objects.streams.is_empty() && objects.consumers.is_empty() && objects.seeds.is_empty();
        if nothing && !jetstreams.contains_key(&scope) {
            continue;
        }
        looks.push(look(on(jetstreams, &scope)?, scope, objects.seeds.clone()));
    }
    Ok(looks)
}

fn on(jetstreams: &BTreeMap<Scope, JetStream>, scope: &Scope) -> Result<JetStream> {
    jetstreams.get(scope).cloned().with_context(|| format!("there is no connection to {}", name(scope)))
}

/// One scope as it was seen.
struct Seen {
    scope: Scope,
    objects: ObservedObjects,
    seeds: Vec<(EventSetName, StoredSeed)>,
}

async fn look(jetstream: JetStream, scope: Scope, seeds: Vec<Seed>) -> Result<Seen> {
    let failed = || format!("cannot observe {}", name(&scope));
    let server = jetstream.client().server_info();
    require_version(&server.server_name, &server.version)?;
    // Asked for side by side; of a stream that is not there nothing is stored.
    let counts = seeds.iter().map(|seed| seed::check(jetstream.client(), jetstream.prefix(), seed, Depth::Digest));
    let (objects, counts) = join(jetstream.observe(), join_all(counts)).await;
    let objects = objects.with_context(failed)?;
    let mut stored = Vec::new();
    for (seed, count) in seeds.iter().zip(counts) {
        if objects.streams.contains_key(seed.target.stream.as_str()) {
            stored.push((seed.set.clone(), compared(count).with_context(failed)?));
        }
    }
    Ok(Seen { scope, objects, seeds: stored })
}

fn compared(count: Result<u64, SeedError>) -> Result<StoredSeed, SeedError> {
    match count {
        Ok(count) => Ok(StoredSeed::Prefix(count)),
        Err(SeedError::Longer { stored, .. }) => Ok(StoredSeed::Prefix(stored)),
        Err(SeedError::Differs { difference, .. }) => Ok(StoredSeed::Differs(difference.number.saturating_sub(1))),
        Err(error) => Err(error),
    }
}

fn name(scope: &Scope) -> &str {
    match scope {
        Scope::Machine(machine) => machine.as_str(),
        Scope::Cluster => "the cluster",
    }
}
