//! The lease of what belongs to no single machine: one key that the cluster itself keeps and that expires, so that no two
//! applies of a domain fight; and the generation that it gives, written into whatever is changed under it.
//!
//! Refuses: taking what somebody living holds, and believing in a lease that could not be renewed.

use super::jetstream::JetStream;
use super::machine::real::boottime;
use crate::compile::layout;
use crate::plan::streams::GENERATION;
use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::kv::bucket::Status;
use async_nats::jetstream::kv::{Config, CreateError, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, ErrorCode, stream::StorageType};
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Whose lease it is: there is one for the domain.
const KEY: &str = "domain";
const PAUSE: Duration = Duration::from_millis(200);
/// How soon what is done under a lease hears that it is lost.
const LOOK: Duration = Duration::from_millis(50);
/// No generation is so high: a mark above it was made by hand, and would be the last for ever.
const HIGHEST: u64 = 1 << 53;
/// How long a cluster is waited for that cannot keep a bucket yet.
const OPENING: Duration = Duration::from_secs(20);
/// For one question: what is asked while a leader is being elected is answered by nobody, and is asked again.
const ANSWER: Duration = Duration::from_secs(2);

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
    /// By `boottime`, so that a laptop that was suspended has no lease; from before it was sent, so that it is over here before it is over there.
    until: Duration,
    /// The cluster has told that it is somebody else's, or nobody's.
    lost: bool,
}

impl State {
    fn own(&self) -> Own {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, revision: u64, until: Duration) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Own { revision, until, lost: false };
    }

    fn lose(&self) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).lost = true;
    }

    fn holds(&self) -> Result<()> {
        let Own { until, lost, .. } = self.own();
        let why = match lost {
            true => "it is not ours any more",
            false if boottime() < until => return Ok(()),
            false => "it could not be renewed in time",
        };
        bail!("the lease of the domain was lost: {why}, and somebody else may change the cluster now")
    }

    fn value(&self) -> Result<bytes::Bytes> {
        Ok(serde_json::to_vec(&self.holder)?.into())
    }

    /// Until it is lost. Silence is asked again soon: the lease ends by its own clock, and the next answer may be there in time.
    async fn renew(&self) -> Result<()> {
        loop {
            tokio::time::sleep(self.ttl / 3).await;
            loop {
                let Own { revision, until, .. } = self.own();
                let sent = boottime();
                match self.bucket.update(KEY, self.value()?, revision).await {
                    Ok(revision) => {
                        self.keep(revision, sent + self.ttl);
                        break;
                    }
                    Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => match self.found().await {
                        // An earlier renewal whose answer was lost. It gives no time, because nobody knows when it came: the next one does.
                        Ok(Some((holder, revision))) if holder == self.holder => self.keep(revision, until),
                        Ok(_) => {
                            self.lose();
                            return Ok(());
                        }
                        Err(_) => {}
                    },
                    Err(_) => {}
                }
                tokio::time::sleep(PAUSE).await;
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
        let began = boottime();
        let own = Mutex::new(Own { revision: 0, until: began, lost: false });
        let state = Arc::new(State { bucket, holder, ttl: terms.ttl, own });
        let mut told = None;
        loop {
            let sent = boottime();
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
                }
                Ok(Some((Holder { by, .. }, _))) => {
                    if told.as_ref() != Some(&by) {
                        waiting(&by);
                    }
                    told = Some(by);
                }
                Ok(None) | Err(_) => {}
            }
            if failed.is_some() {
                // Somebody may have removed the bucket while one waited.
                let _away = open(jetstream, terms).await;
            }
            if boottime().saturating_sub(began) > terms.ttl + terms.ttl / 3 {
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
        self.state.holds()
    }

    pub fn watch(&self) -> Watch {
        Watch(self.state.clone())
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
        let bucket = &self.state.bucket;
        if bucket.delete_expect_revision(KEY, Some(self.state.own().revision)).await.is_err()
            && let Ok(Some((holder, revision))) = self.state.found().await
            && holder == self.state.holder
        {
            // A renewal whose answer was not waited for. One that cannot be let go ends by itself.
            let _ = bucket.delete_expect_revision(KEY, Some(revision)).await;
        }
    }
}

/// What is done only while the lease is held.
pub struct Watch(Arc<State>);

impl Watch {
    /// `work` to its end, or as far as it comes before the lease is lost: whatever is asked again and again ends with it.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        // First, so that what woke up late does nothing more.
        match select(pin!(self.lost()), pin!(work)).await {
            Either::Left((error, _)) => Err(error),
            Either::Right((done, _)) => done,
        }
    }

    async fn lost(&self) -> anyhow::Error {
        loop {
            if let Err(error) = self.0.holds() {
                return error;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// The generation that changed an object last.
pub fn generation_in(metadata: &BTreeMap<String, String>) -> Option<u64> {
    metadata.get(GENERATION)?.parse().ok().filter(|generation| *generation < HIGHEST)
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
    let mut context = jetstream::with_prefix(jetstream.client().clone(), jetstream.prefix());
    context.set_timeout(ANSWER);
    let began = boottime();
    loop {
        match opened(&context, terms).await {
            Ok((bucket, status)) => return lets_go(&status, terms).map(|()| bucket),
            Err(error) if boottime().saturating_sub(began) > OPENING => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn opened(context: &jetstream::Context, terms: Terms) -> Result<(Store, Status)> {
    let bucket = match context.get_stream(layout::LEASE_STREAM).await {
        Ok(_) => context.get_key_value(layout::LEASE_BUCKET).await?,
        Err(error) if is_absent(&error) => made(context, terms).await?,
        // What is there and does not answer is not made anew.
        Err(error) => return Err(error.into()),
    };
    let status = bucket.status().await?;
    Ok((bucket, status))
}

async fn made(context: &jetstream::Context, terms: Terms) -> Result<Store> {
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

fn is_absent(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// One that somebody changed by hand could hold a lease for ever, or lose it with one member.
fn lets_go(status: &Status, terms: Terms) -> Result<()> {
    let config = &status.info.config;
    let says = if config.max_age != terms.ttl {
        format!("keeps its keys for {} s and not for {} s", config.max_age.as_secs(), terms.ttl.as_secs())
    } else if config.storage != StorageType::File {
        "is in memory and not in files".to_owned()
    } else if config.num_replicas < terms.replicas {
        format!("has {} replica and not {}, as this cluster can have", config.num_replicas, terms.replicas)
    } else {
        return Ok(());
    };
    bail!(
        "the bucket `{name}` of the cluster {says}\nhelp: it was made by hand, or when the cluster was smaller; when nobody applies this domain, remove it: `nats kv rm {name}`; it is made anew",
        name = layout::LEASE_BUCKET
    )
}
