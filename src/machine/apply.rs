//! The flow of `apply` on the machine itself: recover → store → observe → plan → pre-check → ask → packages → activate.
//!
//! Refuses: starting a second one beside the first, and doing anything that the plan did not say.

use super::history::{self, Begin, End, unwritten};
use super::objects::{OwnObjects, beside};
use super::recover::settled;
use super::rollback::monitor_of;
use super::{Prepared, generation};
use super::{link, precheck};
use crate::apply::machine::{self, Change, Generation, Progress};
use crate::compile;
use crate::host::endpoint::is_refused;
use crate::host::link::OverLink;
use crate::host::machine::boot_units::{self, Installed};
use crate::host::machine::generations::{self, Draft};
use crate::host::machine::history::Kind;
use crate::host::machine::lock::Lock;
use crate::host::machine::real::{Boot, Manager, Real};
use crate::host::machine::register::{self, Mode, Register};
use crate::host::machine::{Home, files, go_on, own_program, store};
use crate::host::systemd::Systemd;
use crate::host::{closure, credentials, packages};
use crate::plan::machine::packages as wanted;
use crate::plan::machine::{
    Content, MachinePlan, Observation, Reviewed, between, gates, paths_and_units, render, secrets,
};
use crate::plan::{self, Plan};
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How long a nats-server that runs may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How an apply is to go.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who wants it, for the history.
    pub person: String,
    pub mode: Mode,
    pub asked: Asked,
    /// The plan that was agreed to: this one, or nothing.
    pub reviewed: Option<Box<Reviewed>>,
    /// For everything up to the commit.
    pub within: Duration,
    /// How long what was started must stay up before the commit.
    pub steady: Duration,
}

/// How far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Looks, and touches nothing.
    Plan,
    /// As far as the pre-checks.
    DryRun,
    /// The whole way, if the person agrees.
    All,
}

/// Whoever listens and answers.
pub trait Talk: Send {
    fn say(&mut self, line: &str);
    fn plan(&mut self, plan: &MachinePlan, objects: Option<&Plan>);
    fn agree(&mut self) -> Result<bool>;
    fn progress(&mut self, progress: Progress<'_>);
}

/// How it ended, when it ended well.
#[derive(Debug)]
pub enum Outcome {
    NothingToDo {
        generation: u64,
        /// The empty plan, for whoever keeps it.
        plan: Option<Box<Reviewed>>,
    },
    /// There is something to do, and it was not asked for.
    Planned(Box<Reviewed>),
    /// The person said no.
    NotAgreed,
    Applied {
        generation: u64,
        steps: usize,
        mode: Mode,
    },
    /// For the next boot.
    Staged {
        generation: u64,
    },
}

/// What was found and what shall be.
pub(super) struct Found {
    pub old: Option<Generation>,
    pub new: Content,
    pub plan: MachinePlan,
    objects: Option<Plan>,
}

type OwnDoor<'a> = Real<'a, OverLink>;

pub async fn apply(home: &Home, prepared: &Prepared, order: &Order, talk: &mut dyn Talk) -> Result<Outcome> {
    let machine = prepared.machine.name.as_str();
    let lock = home.lock(&format!("apply of {machine}"))?;
    let mut register = register::open(home, machine)?;
    if order.asked == Asked::All {
        register = put_right(home, &lock, prepared, register, talk).await?;
    }
    let mut door = Real {
        home,
        lock: &lock,
        register,
        systemd: Systemd::connect().await?,
        manager: Manager::Runs,
        boot: Boot::this()?,
        monitor: prepared.monitor(),
        keys: prepared.key_store.clone(),
        link: prepared.link()?,
        before: None,
        monitor_before: None,
    };
    door.before = door.register.active_generation().and_then(|active| link::before(home, active));
    let found = find(home, prepared, &mut door, talk).await?;
    let active = door.register.active_generation();
    let more = found.objects.as_ref().is_some_and(|plan| !plan.is_empty());
    let same = found.old.as_ref().is_some_and(|old| old.content.digest == found.new.digest);
    let now = Reviewed::new(found.plan.clone(), found.objects.clone());
    let upgrade = upgrade(home, active)?;
    let nothing = found.plan.is_empty() && !more && upgrade.is_none();
    if let (true, true, Some(generation)) = (nothing, same, active) {
        if order.asked == Asked::All {
            mend_boot_units(&door, talk).await?;
        }
        // One that was only tried is to stay now: that is not nothing.
        if order.mode == Mode::Test || door.register.current == active || order.asked != Asked::All {
            take_back(&mut door, order, talk)?;
            return Ok(Outcome::NothingToDo { generation, plan: Some(Box::new(now)) });
        }
        talk.say(&format!("generation {generation} is here until the next boot; from now on it stays"));
    }
    match &upgrade {
        Some(upgrade) if found.plan.is_empty() && !more => talk.say(upgrade),
        upgrade => {
            upgrade.iter().for_each(|upgrade| talk.say(upgrade));
            talk.plan(&found.plan, found.objects.as_ref());
        }
    }
    if let Some(refused) = found.plan.refused().next() {
        bail!("nothing was done, because {}", render::sentence(refused));
    }
    if let Some(objects) = found.objects.as_ref().filter(|plan| plan.refused().next().is_some()) {
        bail!("nothing was done, for what is refused:\n{}", plan::render::refusals(objects));
    }
    if order.asked == Asked::Plan {
        return Ok(Outcome::Planned(Box::new(now)));
    }
    if let Some(reviewed) = &order.reviewed {
        reviewed.still(&now).map_err(|moved| {
            anyhow!("nothing was done, because {moved}\nhelp: look at the new plan: leafwright apply {machine} --dry-run --out FILE")
        })?;
    }
    precheck::all(home, prepared, &found).await?;
    if order.asked == Asked::DryRun {
        return Ok(Outcome::Planned(Box::new(now)));
    }
    if order.reviewed.is_none() && !talk.agree()? {
        return Ok(Outcome::NotAgreed);
    }
    // What is for a boot is proved there by what is seen now, so it has a record of its own.
    let number = match active.filter(|_| same && upgrade.is_none() && order.mode != Mode::Boot) {
        Some(active) => active,
        None => {
            let gates = gates::of(&found.new, prepared.reach());
            let failing = match order.mode {
                Mode::Boot => Some(link::failing(&mut door, &gates, found.old.as_ref()).await),
                Mode::Persist | Mode::Test => None,
            };
            stored(home, &lock, prepared, (&order.person, order.mode, failing), &mut door.register)?
        }
    };
    carry_out(prepared, order, found, number, &mut door, talk).await
}

/// What is lost and what an earlier apply left behind, before anything else.
async fn put_right(
    home: &Home,
    lock: &Lock,
    prepared: &Prepared,
    register: Register,
    talk: &mut dyn Talk,
) -> Result<Register> {
    if register.active.is_some() && !files::knows_originals(home) {
        talk.say("originals.json is gone: what was on this machine before its generations is not known any more");
    }
    mend_store(home, lock, prepared, &register)?;
    settled(home, lock, register, talk).await
}

/// A damaged closure of a generation that is on the machine is made whole where it is the one that was just compiled: the way back
/// needs it as well.
pub(super) fn mend_store(home: &Home, lock: &Lock, prepared: &Prepared, register: &Register) -> Result<()> {
    let present = register.present().into_iter().map(|number| generations::read(home, number));
    let same = present.filter_map(Result::ok).any(|record| record.digest() == prepared.closure.digest);
    if same {
        let manifest = compile::manifest(&prepared.closure, &prepared.sources);
        store::import(home, lock, &prepared.closure, &manifest, &mut go_on)?;
    }
    Ok(())
}

/// Whether the machine's own program is another one than its generation was made by: that is a generation of its own, which it can
/// go back from.
fn upgrade(home: &Home, active: Option<u64>) -> Result<Option<String>> {
    let Some(record) = active.map(|active| generations::read(home, active)).transpose()? else { return Ok(None) };
    Ok(own_program::is_new(home, &record).then(|| {
        let (before, now) = (&record.leafwright, env!("CARGO_PKG_VERSION"));
        match before == now {
            true => {
                format!("another build of leafwright {now} takes the place of the one before: a generation of its own")
            }
            false => format!("leafwright {now} takes the place of leafwright {before}: a generation of its own"),
        }
    }))
}

/// Where there is nothing to do, nothing else begins with the next boot.
fn take_back(door: &mut OwnDoor<'_>, order: &Order, talk: &mut dyn Talk) -> Result<()> {
    let stays = order.asked == Asked::All && order.mode != Mode::Test;
    if let Some(next) = door.register.next.filter(|_| stays) {
        door.register.unstage()?;
        register::write(door.home, door.lock, &door.register)?;
        talk.say(&format!("generation {next} does not begin with the next boot any more"));
    }
    Ok(())
}

/// They belong to no generation, so no plan has them.
async fn mend_boot_units(door: &OwnDoor<'_>, talk: &mut dyn Talk) -> Result<()> {
    let faults = boot_units::faults(door.home)?;
    if !faults.is_empty() {
        let program = own_program::running()?;
        let program = program.display();
        faults.iter().for_each(|fault| talk.say(&format!("{fault}: written again, to start {program}")));
        install_boot_units(door).await?;
    }
    Ok(())
}

async fn install_boot_units(door: &OwnDoor<'_>) -> Result<()> {
    let program = own_program::running()?;
    if boot_units::install(door.home, door.lock, &program)? == Installed::Anew {
        door.systemd.daemon_reload().await?;
    }
    Ok(())
}

/// Was it nats-server that did not take the login, and is it to have another configuration, in which other keys may be?
fn knows_later(error: &anyhow::Error, old: Option<&Generation>, new: &Content) -> bool {
    old.is_some_and(|old| old.content.server != new.server) && is_refused(error)
}

async fn find(home: &Home, prepared: &Prepared, door: &mut OwnDoor<'_>, talk: &mut dyn Talk) -> Result<Found> {
    let new = Content::of(&prepared.closure)?;
    let old = door.register.active_generation().map(|active| generation(home, active)).transpose()?;
    let (paths, units) = paths_and_units(old.as_ref().map(|old| &old.content), &new);
    // A server that does not run has nothing that could be compared; the apply will.
    let runs = |seen: &Observation| seen.server_digest.is_some();
    let runs_at = old.as_ref().and_then(|old| link::runs_at(home, old.number));
    let objects = OwnObjects { runs_at, ..prepared.objects(home) };
    door.monitor_before = old.as_ref().and_then(monitor_of);
    let (mut seen, objects) = beside(door.observe_before(&paths, &units), objects.plan(ANSWER), runs).await?;
    seen.packages = Some(packages::look(home.root(), &wanted::names(&new))?);
    let plan = between(old.as_ref().map(|old| &old.content), &new, &seen);
    let stale = credentials::stale(&prepared.references()?, &prepared.key_store, home.root())?;
    let plan = secrets::with(plan, &stale, &seen);
    let objects = match objects.transpose() {
        // The server that runs does not know these keys; the one that comes does.
        Err(error) if knows_later(&error, old.as_ref(), &new) => {
            talk.say("streams and events are looked at later: nats-server does not know the keys that are here yet");
            None
        }
        looked => looked?.flatten(),
    };
    Ok(Found { old, new, plan, objects })
}

/// The closure in the store, and a generation that names it.
pub(super) fn stored(
    home: &Home,
    lock: &Lock,
    prepared: &Prepared,
    (person, mode, failing): (&str, Mode, Option<BTreeSet<String>>),
    register: &mut Register,
) -> Result<u64> {
    let manifest = compile::manifest(&prepared.closure, &prepared.sources);
    store::import(home, lock, &prepared.closure, &manifest, &mut go_on)?;
    let draft = Draft {
        closure: closure::directory_name(&prepared.closure),
        created: OffsetDateTime::now_utc().format(&Rfc3339).context("there is no time")?,
        person: person.to_owned(),
        program: own_program::keep(home, lock)?,
        mode,
        failing,
    };
    Ok(generations::create(home, lock, register, draft)?.number)
}

/// The packages, and then what could not be looked at without them: units may run what they bring.
async fn install(
    prepared: &Prepared,
    found: &Found,
    number: u64,
    door: &mut OwnDoor<'_>,
    talk: &mut dyn Talk,
) -> Result<()> {
    if found.plan.first.is_empty() {
        return Ok(());
    }
    machine::install(door, number, &found.plan, &mut |progress| talk.progress(progress)).await?;
    precheck::with_packages(door.home, prepared, &found.new).await
}

async fn carry_out(
    prepared: &Prepared,
    order: &Order,
    found: Found,
    number: u64,
    door: &mut OwnDoor<'_>,
    talk: &mut dyn Talk,
) -> Result<Outcome> {
    let home = door.home;
    install_boot_units(door).await?;
    let (plan, objects) = (&found.plan, found.objects.as_ref());
    let from = if order.mode == Mode::Boot { door.register.current } else { door.register.active_generation() };
    let begin = Begin { kind: Kind::Applied, person: &order.person, from, to: number, plan, objects };
    unwritten(history::begin(home, door.lock, &begin)).iter().for_each(|line| talk.say(line));
    if let Err(failure) = install(prepared, &found, number, door, talk).await {
        let end = End::NotBegun { reason: format!("{failure:#}") };
        unwritten(history::ended(home, door.lock, from, number, &end)).iter().for_each(|line| talk.say(line));
        return Err(failure);
    }
    if order.mode == Mode::Boot {
        door.register.stage(number)?;
        register::write(home, door.lock, &door.register)?;
        return Ok(Outcome::Staged { generation: number });
    }
    let new = Generation { number, content: found.new };
    let gates = gates::of(&new.content, prepared.reach());
    let change = Change {
        plan: &found.plan,
        old: found.old.as_ref(),
        new: &new,
        mode: order.mode,
        gates: &gates,
        within: order.within,
        steady: order.steady,
    };
    let mut objects = prepared.objects(home);
    let done = machine::activate(door, &mut objects, &change, &mut |progress| talk.progress(progress)).await;
    let written = history::ended(home, door.lock, from, number, &End::of(&done));
    unwritten(written).iter().for_each(|line| talk.say(line));
    let done = done?;
    Ok(Outcome::Applied { generation: number, steps: done.steps, mode: order.mode })
}
