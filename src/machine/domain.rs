//! `apply domain`: what belongs to no single machine, the cluster's streams, consumers and events, through any member.
//!
//! Refuses: machines' own things, and a creds file that this key store cannot make.

use super::history::{self, Published};
use super::objects::NoClosures;
use crate::apply::{self, Journal, Live, Progress};
use crate::compile::Desired;
use crate::diag::{Checked, Report, Sources};
use crate::foreground::Fault;
use crate::host::endpoint::{self, Endpoint, Login};
use crate::host::jetstream::JetStream;
use crate::host::keys::KeyStore;
use crate::host::machine::Home;
use crate::host::world::World as _;
use crate::identity::{self, UserId};
use crate::load;
use crate::plan::{self, Plan, Scope};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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

/// Observes the cluster at `servers`, plans, and carries the plan out if `agree` says so.
pub async fn apply_domain(
    prepared: &DomainPrepared,
    servers: &[String],
    journal: &Path,
    agree: &mut dyn FnMut(&Plan) -> Result<bool>,
    tell: &mut dyn FnMut(&Plan, Progress<'_>),
) -> Result<Option<Plan>> {
    let DomainPrepared { sources, desired, .. } = prepared;
    anyhow::ensure!(desired.cluster.is_some(), "this domain has no cluster, so nothing belongs to it alone");
    let opened = JetStream::open(Arc::new(prepared.endpoint(servers)?), None, ANSWER).await;
    let jetstream = opened.map_err(|error| not_in(&servers.join(", "), &error))?;
    let mut journal = Journal::open(journal)?;
    let jetstreams = BTreeMap::from([(Scope::Cluster, jetstream)]);
    let closures = NoClosures(desired);
    let mut world = Live { desired, closures, jetstreams, made: journal.made(), progress: Box::new(|_, _| ()) };
    let observed = world.observe().await?;
    let plan = plan::between(desired, &observed, sources);
    if !plan.is_empty() && !agree(&plan)? {
        return Ok(None);
    }
    apply::run(&plan, &mut world, &mut journal, |progress| tell(&plan, progress)).await?;
    Ok(Some(plan))
}
