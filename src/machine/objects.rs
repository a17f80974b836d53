//! The streams, consumers and events of this machine, through its own nats-server: observed, planned, applied as everywhere.
//!
//! Refuses: the cluster's objects, and anything that a rollback would have to undo: what is here goes forward only.

use super::link::own_server;
use crate::apply::machine::Objects;
use crate::apply::{self, Closures, Journal, Live};
use crate::compile::Desired;
use crate::diag::Sources;
use crate::host::endpoint;
use crate::host::jetstream::JetStream;
use crate::host::keys::KeyStore;
use crate::host::world::World as _;
use crate::identity::UserId;
use crate::name::MachineName;
use crate::plan::{self, Plan, Scope};
use anyhow::{Context as _, Result, bail};
use futures_util::future::{Either, select};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// nats-server has just been started: it is asked again until then.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

pub struct OwnObjects<'a> {
    pub machine: &'a MachineName,
    pub desired: &'a Desired,
    pub sources: &'a Sources,
    pub keys: Option<&'a KeyStore>,
    pub journal: PathBuf,
    /// Where the server listens that runs now, if that is not where the new one will.
    pub runs_at: Option<SocketAddr>,
}

/// A look at the machine, and a question to its nats-server beside it. The answer is waited for where the look says that
/// somebody is `there` to give one; else there is none.
pub(super) async fn beside<S, T>(
    look: impl Future<Output = Result<S>>,
    question: impl Future<Output = T>,
    there: impl Fn(&S) -> bool,
) -> Result<(S, Option<T>)> {
    match select(pin!(look), pin!(question)).await {
        Either::Left((seen, question)) => {
            let seen = seen?;
            let answer = if there(&seen) { Some(question.await) } else { None };
            Ok((seen, answer))
        }
        Either::Right((answer, look)) => {
            let seen = look.await?;
            let answer = there(&seen).then_some(answer);
            Ok((seen, answer))
        }
    }
}

/// Closures are the register's business: here the right one is always there.
pub(super) struct NoClosures<'a>(pub &'a Desired);

impl Closures for NoClosures<'_> {
    fn current(&self, machine: &MachineName) -> Result<Option<String>> {
        Ok(self.0.servers.get(machine).map(|server| server.closure_digest.clone()))
    }

    fn write(&mut self, machine: &MachineName, _digest: &str) -> Result<()> {
        bail!("the closure of {machine} is not written here")
    }
}

impl OwnObjects<'_> {
    /// Has this machine anything in a JetStream of its own?
    fn is_any(&self) -> bool {
        self.desired.servers.values().any(|server| !server.member)
    }

    /// Steps that are wanted now, and nothing done. The server must run.
    pub async fn plan(&self, patience: Duration) -> Result<Option<Plan>> {
        if !self.is_any() {
            return Ok(None);
        }
        let made = apply::journal::made_in(&self.journal)?;
        let mut world = self.world(self.connect(self.runs_at, patience).await?, made);
        let observed = world.observe().await?;
        Ok(Some(plan::between(self.desired, &observed, self.sources)))
    }

    fn world(&self, jetstream: JetStream, made: std::collections::BTreeSet<String>) -> Live<'_, NoClosures<'_>> {
        let jetstreams = BTreeMap::from([(Scope::Machine(self.machine.clone()), jetstream)]);
        Live::new(self.desired, NoClosures(self.desired), jetstreams, made)
    }

    async fn connect(&self, at: Option<SocketAddr>, patience: Duration) -> Result<JetStream> {
        let server = self.desired.servers.get(self.machine).context("this machine was not compiled")?;
        let address = at.unwrap_or(server.listen);
        let user = UserId::LocalProvisioner(self.machine.clone());
        let endpoint = match self.keys {
            Some(keys) => own_server(self.machine, address, keys)?,
            None => None,
        };
        let endpoint = Arc::new(endpoint.with_context(|| {
            format!("this machine has no key of {user}\nhelp: make it with `leafwright keys make {}`", self.machine)
        })?);
        let trying = async {
            loop {
                match JetStream::open(endpoint.clone(), None, patience).await {
                    Ok(jetstream) => return Ok(jetstream),
                    Err(error) if endpoint::is_refused(&error) => {
                        return Err(error.context(format!("{address} does not know {user}")));
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        let opened = tokio::time::timeout(patience, trying).await;
        opened.with_context(|| format!("nats-server does not answer at {address}"))?
    }
}

impl Objects for OwnObjects<'_> {
    async fn reconcile(&mut self) -> Result<usize> {
        if !self.is_any() {
            return Ok(0);
        }
        let mut journal = Journal::open(&self.journal)?;
        let mut world = self.world(self.connect(None, PATIENCE).await?, journal.made());
        let observed = world.observe().await?;
        let plan = plan::between(self.desired, &observed, self.sources);
        Ok(apply::run(&plan, &mut world, &mut journal, |_| ()).await?.steps)
    }
}
