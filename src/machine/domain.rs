//! `apply domain`: what belongs to no single machine, the cluster's streams, consumers and events, through any member.
//!
//! Refuses: machines' own things, and a creds file that this key store cannot make.

use super::history::{self, Published};
use super::objects::NoClosures;
use crate::apply::{self, Journal, Live, Progress, journal};
use crate::compile::Desired;
use crate::diag::{Checked, Report, Sources};
use crate::foreground::Fault;
use crate::host::endpoint::{self, Endpoint, Login};
use crate::host::interrupt;
use crate::host::jetstream::JetStream;
use crate::host::keys::KeyStore;
use crate::host::lease::{self, Lease, Terms};
use crate::host::machine::Home;
use crate::host::world::World as _;
use crate::identity::{self, UserId};
use crate::load;
use crate::plan::{self, Observed, Plan, Scope};
use anyhow::{Context as _, Result, bail};
use futures_util::future::{Either, select};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// For a member that is there.
const ANSWER: Duration = Duration::from_secs(10);

/// The domain's own objects, and who may make them.
pub struct DomainPrepared {
    pub sources: Sources,
    pub report: Report,
    desired: Desired,
    creds: crate::host::keys::Secret,
}

/// Reads, judges and compiles; `keys` says where the key store of a domain is, which has the provisioner's key.
pub fn prepare_domain(root: &Path, keys: impl Fn(&str) -> Result<PathBuf>) -> Result<DomainPrepared, Fault> {
    let sources = load::domain(root)?;
    let Checked { value, mut report } = crate::judge(&sources);
    let Some(judged) = value.filter(|_| !report.has_errors()) else { return Err(Fault::unsound(report, &sources)) };
    let built = crate::build(&judged);
    report.absorb(built.report);
    let Some(compiled) = built.value.filter(|_| !report.has_errors()) else {
        return Err(Fault::unsound(report, &sources));
    };
    let written =
        judged.declared.identity.as_ref().context("this domain has no identity yet: run `leafwright keys sign`")?;
    let identity = identity::from_declared(written).value.context("identity/ cannot be read")?;
    let jwt = identity.users.get(&UserId::Provisioner).and_then(|user| user.jwt.as_deref());
    let creds = KeyStore::open(&keys(judged.domain.name.as_str())?)?
        .creds(&UserId::Provisioner, jwt.context("the provisioner has no JWT")?)?;
    let mut desired = compiled.desired;
    // Members say what the cluster is called; leaves are their own business.
    desired.servers.retain(|_, server| server.member);
    Ok(DomainPrepared { sources, report: report.sorted(), desired, creds })
}

impl DomainPrepared {
    fn endpoint(&self, servers: &[String]) -> Result<Endpoint> {
        let addresses = servers.iter().map(|server| {
            server.parse().with_context(|| format!("{server} is no address of a nats-server: HOST[:PORT]"))
        });
        let addresses = addresses.collect::<Result<_>>()?;
        Ok(Endpoint { addresses, login: Some(Login::Creds(self.creds.clone())), inbox: None })
    }
}

/// The history of the machine that this runs on, if it is a member: it has no user of its own that could write it.
pub async fn publish_member(prepared: &DomainPrepared, servers: &[String], home: &Home) -> Published {
    let Ok(endpoint) = prepared.endpoint(servers) else { return Published::Nothing };
    history::publish_member(home, Arc::new(endpoint)).await
}

/// Why one does not get in: nobody answers, or these keys are not this cluster's.
fn not_in(servers: &str, error: &anyhow::Error) -> anyhow::Error {
    if endpoint::is_refused(error) {
        return anyhow::anyhow!(
            "the cluster at {servers} does not know these keys\nhelp: --keys names the key store of the domain that the cluster runs"
        );
    }
    let cause = error.root_cause();
    anyhow::anyhow!(
        "the cluster does not answer at {servers}: {cause}\nhelp: members listen for clients on their own loopback; run this on a member, or forward a port: ssh -L 4222:127.0.0.1:4222 MEMBER"
    )
}

/// Whoever listens and answers.
pub trait Talk: Send {
    /// A plan that is not empty: shall it be carried out?
    fn agree(&mut self, plan: &Plan) -> Result<bool>;
    /// Somebody else applies this domain, and is waited for.
    fn waits_for(&mut self, whom: &str);
    /// What was agreed to is not what is to be done now.
    fn changed(&mut self);
    fn progress(&mut self, plan: &Plan, progress: Progress<'_>);
}

/// What `apply_domain` would do now. Nothing is changed, and no lease is taken.
pub async fn plan_domain(prepared: &DomainPrepared, servers: &[String], journal: &Path) -> Result<Plan> {
    let DomainPrepared { sources, desired, .. } = prepared;
    let (mut world, _) = opened(prepared, servers, journal).await?;
    Ok(plan::between(desired, &world.observe().await?, sources))
}

async fn opened<'a>(
    prepared: &'a DomainPrepared,
    servers: &[String],
    journal: &Path,
) -> Result<(Live<'a, NoClosures<'a>>, JetStream)> {
    let desired = &prepared.desired;
    anyhow::ensure!(desired.cluster.is_some(), "this domain has no cluster, so nothing belongs to it alone");
    let opened = JetStream::open(Arc::new(prepared.endpoint(servers)?), None, ANSWER).await;
    let jetstream = opened.map_err(|error| not_in(&servers.join(", "), &error))?;
    let jetstreams = BTreeMap::from([(Scope::Cluster, jetstream.clone())]);
    Ok((Live::new(desired, NoClosures(desired), jetstreams, journal::made_in(journal)?), jetstream))
}

/// Observes the cluster at `servers`, plans, and carries the plan out for `person`, if the answer is yes: under the lease of the domain.
pub async fn apply_domain(
    prepared: &DomainPrepared,
    servers: &[String],
    journal: &Path,
    person: &str,
    talk: &mut dyn Talk,
) -> Result<Option<Plan>> {
    let DomainPrepared { sources, desired, .. } = prepared;
    let (mut world, jetstream) = opened(prepared, servers, journal).await?;
    let observed = world.observe().await?;
    let plan = plan::between(desired, &observed, sources);
    if plan.is_empty() {
        return Ok(Some(plan));
    }
    let terms = Terms::of_cluster(desired.cluster_members.len());
    let mut seen = (plan, generation(&observed));
    let mut stop = None;
    loop {
        let (agreed, highest) = seen;
        if agreed.refused().next().is_some() {
            bail!("nothing of this plan was done, for what it refuses:\n{}", plan::render::refusals(&agreed));
        }
        if !talk.agree(&agreed)? {
            return Ok(None);
        }
        let work = async {
            let whom = &mut |whom: &str| talk.waits_for(whom);
            world.lease = Some(Lease::take(&jetstream, terms, &by(person), highest, whom).await?);
            under_lease(&agreed, &mut world, journal, sources, talk).await
        };
        // One for all rounds: what came while somebody was asked again is heard afterwards.
        let stop = stop.get_or_insert_with(|| Box::pin(interrupt::came()));
        let done = match select(stop, pin!(work)).await {
            Either::Left(_) => Err(stopped()),
            Either::Right((done, _)) => done,
        };
        if let Some(lease) = world.lease.take() {
            lease.release().await;
        }
        match done? {
            Carried::Out(plan) => return Ok(Some(plan)),
            // Asked without the lease: nobody need wait for an answer.
            Carried::Moved { now, highest } => {
                talk.changed();
                seen = (now, highest);
            }
        }
    }
}

/// Each step is whole or not begun, so nothing need be undone.
fn stopped() -> anyhow::Error {
    anyhow::anyhow!("it was stopped: Ctrl-C\nhelp: what was done stays; `leafwright apply domain` does the rest")
}

enum Carried {
    Out(Plan),
    /// The plan is another one now, and nothing was done.
    Moved {
        now: Plan,
        highest: u64,
    },
}

/// What was agreed to, if that is still what has to be done.
async fn under_lease(
    agreed: &Plan,
    world: &mut Live<'_, NoClosures<'_>>,
    journal: &Path,
    sources: &Sources,
    talk: &mut dyn Talk,
) -> Result<Carried> {
    // Nobody else writes it now.
    let mut journal = Journal::open(journal)?;
    world.made = journal.made();
    let observed = world.observe().await?;
    let plan = plan::between(world.desired, &observed, sources);
    // What somebody else made meanwhile, and this plan does not touch, is no reason to ask again.
    if plan.steps != agreed.steps && !plan.is_empty() {
        return Ok(Carried::Moved { now: plan, highest: generation(&observed) });
    }
    apply::run(&plan, world, &mut journal, |progress| talk.progress(&plan, progress)).await?;
    Ok(Carried::Out(plan))
}

/// The highest generation that changed anything.
fn generation(observed: &Observed) -> u64 {
    let objects = observed.objects.values();
    let marks = objects.flat_map(|objects| {
        let streams = objects.streams.values().map(|stream| &stream.config.metadata);
        streams.chain(objects.consumers.values().flatten().map(|(_, consumer)| &consumer.config.metadata))
    });
    marks.filter_map(lease::generation_in).max().unwrap_or(0)
}

fn by(person: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{person} on {host} (process {})", std::process::id())
}
