//! The flow of `up`, after everything is compiled: closures → servers → links → plan → apply → services.
//!
//! Refuses: hiding a half success. What fails is an error; what runs until then is stopped by whoever drops it.

use super::closures::InState;
use super::supervise::Family;
use super::{Prepared, connect, nudge, overlay, servers, services};
use crate::apply::journal::Journal;
use crate::apply::live::{Live, SeedProgress};
use crate::apply::{self, Progress};
use crate::compile::{self, ArtefactKind, Desired};
use crate::host::jetstream::JetStream;
use crate::host::keys::KeyId;
use crate::host::world::World as _;
use crate::name::MachineName;
use crate::plan::{self, Plan, Scope};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// A domain that is up, and what was done to bring it there.
pub struct Running {
    pub family: Family,
    pub handles: BTreeMap<Scope, JetStream>,
    /// Steps that were carried out; 0 is "nothing to do".
    pub steps: usize,
    /// Objects that nobody declared.
    pub undeclared: Vec<plan::Undeclared>,
}

/// What `up` says while it works.
pub trait Talk {
    fn plan(&self, plan: &Plan);
    fn progress(&self, progress: Progress<'_>, plan: &Plan);
    fn phase(&self, text: &str);
    /// What hears of events while they are loaded.
    fn loading(&self) -> SeedProgress<'static>;
}

/// Brings everything up. On an error all children that were started are stopped by dropping them.
pub async fn bring_up(prepared: &Prepared, nats_server: &Path, talk: &(dyn Talk + Sync)) -> Result<Running> {
    let desired = &prepared.compiled.desired;
    keep_streams(prepared)?;
    services::all_there(desired)?;
    let mut journal = Journal::open(&prepared.state.journal())?;
    let files = reconcile(&files_of(desired), BTreeMap::new(), prepared, &mut journal, talk).await?;
    let mut family = Family::default();
    start_servers(prepared, desired, nats_server, &mut family, talk).await?;
    let handles = connect::all(&prepared.compiled, &prepared.store, &prepared.identity).await?;
    let objects = reconcile(desired, handles.clone(), prepared, &mut journal, talk);
    let objects = family.tended(objects, |news| talk.phase(news)).await?;
    let objects = objects.with_context(|| done_before(&files))?;
    start_services(prepared, &mut family)?;
    talk.phase("services start");
    nudge::silent_sources(desired, &handles).await?;
    Ok(Running { family, handles, steps: files.steps.len() + objects.steps.len(), undeclared: objects.undeclared })
}

/// Refuses to make a server that ran alone join others: nats-server would delete its streams.
pub(super) fn keep_streams(prepared: &Prepared) -> Result<()> {
    let Prepared { state, compiled, .. } = prepared;
    for (machine, closure) in &compiled.machines {
        let home = state.machine(machine.as_str());
        let new = closure.artefacts.iter().find(|artefact| artefact.kind == ArtefactKind::NatsServerConfig);
        let Ok(old) = std::fs::read(home.join("current").join(servers::CONFIG)) else { continue };
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(serde_json::Value::Null);
        let stores = std::fs::read_dir(home.join("jetstream")).is_ok_and(|mut found| found.next().is_some());
        if stores && new.is_some_and(|new| compile::forgets_streams(&read(&old), &read(&new.bytes))) {
            bail!(
                "{machine} ran alone, and nats-server would delete its streams when it joins the others; nothing was done\n\
                 help: leave it alone, or begin anew in another directory with --state DIR"
            );
        }
    }
    Ok(())
}

/// What had been done when streams and events were looked at. A closure that was written stays; what runs is stopped.
fn done_before(files: &Plan) -> String {
    match files.steps.len() {
        0 => "the nats-servers were started and are stopped again".to_owned(),
        1 => "1 closure was written, and the nats-servers were started and are stopped again".to_owned(),
        many => format!("{many} closures were written, and the nats-servers were started and are stopped again"),
    }
}

/// Observes, plans, says so, applies.
async fn reconcile(
    desired: &Desired,
    handles: BTreeMap<Scope, JetStream>,
    prepared: &Prepared,
    journal: &mut Journal,
    talk: &(dyn Talk + Sync),
) -> Result<Plan> {
    let Prepared { state, compiled, sources, .. } = prepared;
    let closures = InState { state, compiled, sources };
    let mut world = Live { progress: talk.loading(), ..Live::new(desired, closures, handles, journal.made()) };
    let observed = world.observe().await?;
    let plan = plan::between(desired, &observed, sources);
    talk.plan(&plan);
    apply::run(&plan, &mut world, journal, |progress| talk.progress(progress, &plan)).await?;
    Ok(plan)
}

/// What can be compared before a server runs: closures.
fn files_of(desired: &Desired) -> Desired {
    let mut files = desired.clone();
    files.cluster = None;
    for server in files.servers.values_mut() {
        server.objects = Default::default();
    }
    files
}

/// The nats-servers of `desired`, started, ready and linked.
/// The cluster first, until its streams have leaders: a leaf that asks for its mirrors before that tries again only after a growing pause.
pub(super) async fn start_servers(
    prepared: &Prepared,
    desired: &Desired,
    program: &Path,
    family: &mut Family,
    talk: &(dyn Talk + Sync),
) -> Result<()> {
    talk.phase("starting nats-servers");
    for member in [true, false] {
        let servers: Vec<_> = desired.servers.values().filter(|server| server.member == member).collect();
        for server in &servers {
            family.start(servers::spec(&prepared.state, server, program))?;
        }
        for server in &servers {
            let blame = |words: &str| blamed(prepared, &server.machine, words);
            servers::ready(&prepared.state, server, family, blame).await?;
        }
        servers::linked(&prepared.state, desired, &servers).await?;
        if member {
            streams_have_leaders(prepared, desired).await?;
        }
    }
    Ok(())
}

/// What in the configuration nats-server died of, and where that was declared, as far as its last words show it.
fn blamed(prepared: &Prepared, machine: &MachineName, words: &str) -> Option<String> {
    let artefacts = &prepared.compiled.machines.get(machine)?.artefacts;
    let config = artefacts.iter().find(|artefact| artefact.kind == ArtefactKind::NatsServerConfig)?;
    let (line, span) = compile::spoken_line(config, words)?;
    let place = prepared.sources.place(span);
    // The foreground's own layer is no file that anybody can mend.
    match place.file == overlay::SOURCE {
        true => Some(format!("its configuration says `{line}`")),
        false => Some(format!("its configuration says `{line}`, because of {}:{}", place.file, place.line)),
    }
}

/// Only its leader answers for a stream; one that does not exist yet needs none.
async fn streams_have_leaders(prepared: &Prepared, desired: &Desired) -> Result<()> {
    let Some(objects) = &desired.cluster else { return Ok(()) };
    let cluster = connect::cluster(desired, &prepared.store, &prepared.identity).await?;
    for config in &objects.streams {
        cluster.stream(&config.name).await?;
    }
    Ok(())
}

fn start_services(prepared: &Prepared, family: &mut Family) -> Result<()> {
    for server in prepared.compiled.desired.servers.values() {
        for process in server.processes.iter().filter(|process| process.foreground) {
            let seed = prepared.store.path(&KeyId::User(process.user.clone()));
            let spec = services::spec(&prepared.state, &server.machine, process, &seed)
                .with_context(|| format!("cannot start the service {} on {}", process.service, server.machine))?;
            family.start(spec)?;
        }
    }
    Ok(())
}
