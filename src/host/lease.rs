//! The lease of what belongs to no single machine: one key that the cluster itself keeps and that expires, so that no two
//! applies of a domain fight; and the generation that it gives, written into whatever is changed under it.
//!
//! Refuses: taking what somebody living holds, and believing in a lease that could not be renewed.

use super::jetstream::JetStream;
use crate::compile::layout;
use crate::plan::streams::GENERATION;
use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream::kv::{Config, CreateError, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, stream::StorageType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Whose lease it is: there is one for the domain.
const KEY: &str = "domain";
const PAUSE: Duration = Duration::from_millis(200);
/// How long a cluster is waited for that cannot keep a bucket yet.
const OPENING: Duration = Duration::from_secs(10);

/// How the lease of a domain is kept.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// After this long without renewal it is anybody's; it is renewed three times as often.
    pub ttl: Duration,
    /// Copies of it: 1 or 3.
    pub replicas: usize,
}

impl Terms {
    pub fn of_cluster(members: usize) -> Self {
        Self { ttl: Duration::from_secs(30), replicas: if members < 3 { 1 } else { 3 } }
    }
}

/// What is written into the key. Unknown fields are a newer Leafwright's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// In people's words: `ada on desk, process 4711`.
    pub by: String,
    /// Of this run alone.
    pub run: String,
}

/// Held until it is dropped, or not renewed in time. What ends without dropping it is waited for.
pub struct Lease {
    generation: u64,
    state: Arc<State>,
    renewal: JoinHandle<()>,
}

struct State {
    bucket: Store,
    holder: Holder,
    ttl: Duration,
    own: Mutex<Own>,
}

/// The last word of ours that the cluster keeps.
#[derive(Clone, Copy)]
struct Own {
    revision: u64,
    /// Counted from before it was sent, so that it is over here before it is over there.
    until: Instant,
}

impl State {
    fn own(&self) -> Own {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, revision: u64, until: Instant) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Own { revision, until };
    }

    fn value(&self) -> Result<bytes::Bytes> {
        Ok(serde_json::to_vec(&self.holder)?.into())
    }

    /// Until it is lost. Silence is asked again: the lease ends by its own clock.
    async fn renew(&self) -> Result<()> {
        loop {
            tokio::time::sleep(self.ttl / 3).await;
            let Own { revision, until } = self.own();
            let sent = Instant::now();
            match self.bucket.update(KEY, self.value()?, revision).await {
                Ok(revision) => self.keep(revision, sent + self.ttl),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => match self.found().await {
                    // An earlier renewal whose answer was lost. A follower may tell old news, so it gives no time.
                    Ok(Some((holder, revision))) if holder == self.holder => self.keep(revision, until),
                    Ok(_) => return Ok(()),
                    Err(_) => {}
                },
                Err(_) => {}
            }
        }
    }

    /// Who holds it, and the revision of what he wrote.
    async fn found(&self) -> Result<Option<(Holder, u64)>> {
        let entry = self.bucket.entry(KEY).await?.filter(|entry| entry.operation == Operation::Put);
        let unread = || Holder { by: "somebody".to_owned(), run: String::new() };
        Ok(entry.map(|entry| (serde_json::from_slice(&entry.value).unwrap_or_else(|_| unread()), entry.revision)))
    }
}

impl Lease {
    /// Takes it; waits for as long as somebody else's would take to end, tells `waiting` once for whom.
    /// The generation is above `seen`, the highest that was found in the cluster, and above that of every lease before.
    pub async fn take(
        jetstream: &JetStream,
        terms: Terms,
        by: &str,
        seen: u64,
        waiting: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self> {
        let bucket = open(jetstream, terms).await.context("the lease of the domain cannot be kept")?;
        let holder = Holder { by: by.to_owned(), run: super::machine::history::new_id()? };
        let began = Instant::now();
        let own = Mutex::new(Own { revision: 0, until: began });
        let state = Arc::new(State { bucket, holder, ttl: terms.ttl, own });
        let mut told = None;
        loop {
            let sent = Instant::now();
            let failed = match state.bucket.create(KEY, state.value()?).await {
                Ok(revision) => {
                    state.keep(revision, sent + terms.ttl);
                    return Ok(Self::begin(state, revision.max(seen.saturating_add(1))));
                }
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => None,
                // It may have ended between two questions; silence is asked again.
                Err(error) => Some(error),
            };
            match state.found().await {
                Ok(Some((holder, revision))) if holder == state.holder => {
                    // Stored by a request whose answer was lost, at a time that nobody told.
                    let _ = state.bucket.delete_expect_revision(KEY, Some(revision)).await;
                    continue;
                }
                Ok(Some((Holder { by, .. }, _))) => {
                    if told.as_ref() != Some(&by) {
                        waiting(&by);
                    }
                    told = Some(by);
                }
                Ok(None) | Err(_) => {}
            }
            if began.elapsed() > terms.ttl + terms.ttl / 3 {
                return Err(in_vain(failed, told, terms));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn begin(state: Arc<State>, generation: u64) -> Self {
        let renewed = state.clone();
        let renewal = tokio::spawn(async move {
            // It ends when the lease is lost; what `until` says then is over by itself.
            let _ = renewed.renew().await;
        });
        Self { generation, state, renewal }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Fails where it is not sure that nobody else holds it.
    pub fn holds(&self) -> Result<()> {
        if Instant::now() < self.state.own().until {
            return Ok(());
        }
        bail!(
            "the lease of the domain was lost: it could not be renewed in time, and somebody else may change the cluster now"
        )
    }

    /// Puts the generation on an object that is about to be changed; fails where a newer one was there before.
    pub fn sign(&self, there: Option<&BTreeMap<String, String>>, new: &mut BTreeMap<String, String>) -> Result<()> {
        self.holds()?;
        let before = there.and_then(generation_in).unwrap_or(0);
        anyhow::ensure!(
            before <= self.generation,
            "generation {before} has changed it since, and this run is generation {}",
            self.generation
        );
        new.insert(GENERATION.to_owned(), self.generation.to_string());
        Ok(())
    }

    /// Lets go, so that the next one need not wait.
    pub async fn release(self) {
        self.renewal.abort();
        // One that cannot be let go ends by itself.
        let _ = self.state.bucket.delete_expect_revision(KEY, Some(self.state.own().revision)).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// The generation that changed an object last.
pub fn generation_in(metadata: &BTreeMap<String, String>) -> Option<u64> {
    metadata.get(GENERATION)?.parse().ok()
}

fn in_vain(failed: Option<CreateError>, holder: Option<String>, terms: Terms) -> anyhow::Error {
    match (failed, holder) {
        (Some(error), _) => anyhow!(error).context("the lease of the domain cannot be taken"),
        (None, holder) => anyhow!(
            "{} is applying this domain; nothing was done\nhelp: wait for the end of that; a run that died lets go by itself after {} s",
            holder.as_deref().unwrap_or("somebody"),
            terms.ttl.as_secs()
        ),
    }
}

/// The bucket, made where there is none. A cluster that was just started elects first, and knows all its members a moment later.
async fn open(jetstream: &JetStream, terms: Terms) -> Result<Store> {
    let context = jetstream::with_prefix(jetstream.client().clone(), jetstream.prefix());
    let began = Instant::now();
    loop {
        match opened(&context, terms).await {
            Ok(bucket) => return lets_go(bucket, terms).await,
            Err(error) if began.elapsed() > OPENING => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn opened(context: &jetstream::Context, terms: Terms) -> Result<Store> {
    if let Ok(bucket) = context.get_key_value(layout::LEASE_BUCKET).await {
        return Ok(bucket);
    }
    let config = Config {
        bucket: layout::LEASE_BUCKET.to_owned(),
        description: "who applies this domain; kept by leafwright".to_owned(),
        history: 1,
        max_age: terms.ttl,
        storage: StorageType::File,
        num_replicas: terms.replicas,
        ..Config::default()
    };
    Ok(context.create_key_value(config).await?)
}

/// One that somebody changed by hand could hold a lease for ever.
async fn lets_go(bucket: Store, terms: Terms) -> Result<Store> {
    let age = bucket.status().await?.max_age();
    anyhow::ensure!(
        age == terms.ttl,
        "the bucket `{name}` of the cluster keeps its keys for {} s and not for {} s\nhelp: somebody changed it; when nobody applies this domain, remove it: `nats kv rm {name}`; it is made anew",
        age.as_secs(),
        terms.ttl.as_secs(),
        name = layout::LEASE_BUCKET
    );
    Ok(bucket)
}
