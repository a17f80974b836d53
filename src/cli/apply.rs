//! `apply`, `rollback`: this machine becomes what is declared, or what it was.

use super::{Exit, WrongUsage, keys, talk};
use crate::apply::machine::Progress;
use crate::host::machine::own_program::PROGRAM;
use crate::host::machine::register::Mode;
use crate::host::machine::{Home, STATE};
use crate::machine::{self, Asked, DomainTalk, Order, Outcome, Talk, history};
use crate::name::PersonName;
use crate::plan::machine::{MachinePlan, Reviewed, render};
use crate::plan::render::counted;
use crate::plan::{self, Plan};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Make this machine what is declared: show the plan, ask, apply, prove, commit; go back by itself where it does not hold
///
/// Runs on the machine itself, as root. A watchdog goes back when this dies before the commit, and so does a reboot.
/// `apply domain` makes what belongs to no single machine: the cluster's streams, consumers and events.
#[derive(clap::Args)]
pub struct Args {
    /// Which machine of the domain this is, or `domain` for the cluster's own streams, consumers and events
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// With `domain`: a member of the cluster, as a client reaches it
    #[arg(long, value_name = "ADDRESS", default_value = "nats://127.0.0.1:4222")]
    server: Vec<String>,
    #[command(flatten)]
    how: How,
    /// Write the files of the machine below this directory, for an image or a container; nothing is started
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dry_run", "out", "keys", "within", "steady"])]
    root: Option<PathBuf>,
    /// As far as the pre-checks, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep the plan in this file, to look at it and to carry out this one later
    #[arg(long, value_name = "FILE", requires = "dry_run", conflicts_with = "plan")]
    out: Option<PathBuf>,
    /// Carry out the plan of this file and do not ask; refuse where it would no longer be this one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "root"])]
    plan: Option<PathBuf>,
    /// The machine's own keys [default: keys in the state directory]; with `domain` the domain's key store
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// Go back to a generation: its files and units; streams, events and keys stay as they are
#[derive(clap::Args)]
pub struct RollbackArgs {
    /// The generation [default: the one that the active one came from]
    #[arg(value_name = "N")]
    generation: Option<u64>,
    #[command(flatten)]
    how: How,
}

/// For everything up to the commit.
const WITHIN: Duration = Duration::from_secs(60);
/// How long what was started must stay up before it.
const STEADY: Duration = Duration::from_secs(5);

/// What both have.
#[derive(clap::Args)]
struct How {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How long it lasts: `persist`; `test` is gone after a reboot; `boot` begins with the next one
    #[arg(long, value_name = "MODE", default_value = "persist", value_parser = mode)]
    mode: Mode,
    /// Seconds until everything must hold, but for gates that declare `within` [default: 60]
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// Seconds for which what was started must stay up before the commit [default: 5]
    #[arg(long, value_name = "SECONDS")]
    steady: Option<u64>,
    /// Who does it, for the history: a person of the domain [default: the user who ran this]
    #[arg(long, value_name = "NAME", value_parser = person)]
    person: Option<PersonName>,
    /// Where generations are kept
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

fn person(text: &str) -> Result<PersonName, String> {
    PersonName::parse(text).map_err(|fault| fault.to_string())
}

/// The user who ran this, before `sudo` made him another.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let mut names = names.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    let by_number = || match rustix::process::getuid() {
        root if root.is_root() => "root".to_owned(),
        user => format!("user {}", user.as_raw()),
    };
    names.next().unwrap_or_else(by_number)
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "persist" => Ok(Mode::Persist),
        "test" => Ok(Mode::Test),
        "boot" => Ok(Mode::Boot),
        _ => Err("one of persist, test, boot".to_owned()),
    }
}

impl How {
    /// Times that were asked for, which a boot does not hear of: its gates have two minutes.
    fn given_times(&self) -> [(&'static str, bool); 2] {
        [("--within", self.within.is_some()), ("--steady", self.steady.is_some())]
    }

    fn order(&self, asked: Asked) -> Result<Order> {
        if let (Mode::Boot, Some((option, _))) = (self.mode, self.given_times().iter().find(|(_, given)| *given)) {
            let says = format!("{option} is for a change that is made now; after a boot the gates have two minutes");
            return Err(WrongUsage(says).into());
        }
        let seconds = |given: Option<u64>, else_: Duration| given.map_or(else_, Duration::from_secs);
        let (within, steady) = (seconds(self.within, WITHIN), seconds(self.steady, STEADY));
        Ok(Order { person: self.who(), mode: self.mode, asked, reviewed: None, within, steady })
    }

    fn who(&self) -> String {
        self.person.as_ref().map_or_else(user, ToString::to_string)
    }

    fn home(&self) -> Result<Home> {
        Home::new(&self.state, None)
    }

    fn voice(&self) -> Voice {
        Voice { agreed: self.yes, waiting: None }
    }
}

pub fn run(args: &Args, root: &Path) -> Result<Exit> {
    let began = Instant::now();
    if args.machine == "domain" {
        return domain(args, root);
    }
    let home = args.how.home()?;
    let keys = args.keys.clone().unwrap_or_else(|| args.how.state.join("keys"));
    // A boot has no words that it could be told another place with, and proves what it can.
    if args.how.mode == Mode::Boot && args.keys.is_some() && keys != args.how.state.join("keys") {
        let says = "--keys elsewhere is for a change that is made now; a boot proves its link with the keys in the state directory";
        return Err(WrongUsage(says.to_owned()).into());
    }
    let prepared = match machine::prepare(root, &args.machine, &keys) {
        Ok(prepared) => prepared,
        Err(fault) => return talk::failed(fault),
    };
    talk::judge(&prepared.report, &prepared.sources);
    if let Some(person) = args.how.person.as_ref().filter(|person| !prepared.domain.people.contains_key(*person)) {
        let known: Vec<&str> = prepared.domain.people.keys().map(PersonName::as_str).collect();
        return Err(WrongUsage(format!("there is no person {person}; there are {}", known.join(", "))).into());
    }
    if let Some(below) = &args.root {
        if args.how.mode != Mode::Persist {
            return Err(WrongUsage(
                "--mode is for a machine that runs: an image has one generation, which its first boot begins with"
                    .into(),
            )
            .into());
        }
        let home = Home::new(&args.how.state, Some(below))?;
        let outcome =
            machine::apply_root(&home, &prepared, (&args.how.who(), Path::new(PROGRAM)), &mut args.how.voice())?;
        return tell(outcome, began);
    }
    let asked = if args.dry_run { Asked::DryRun } else { Asked::All };
    let reviewed = args.plan.as_deref().map(reviewed).transpose()?;
    let order = Order { reviewed, ..args.how.order(asked)? };
    let mut voice = args.how.voice();
    let outcome = block_on(async {
        let outcome = machine::apply(&home, &prepared, &order, &mut voice).await;
        if asked == Asked::All {
            publish(&home, &keys).await;
        }
        outcome
    })?;
    if let Outcome::Planned(plan) | Outcome::NothingToDo { plan: Some(plan), .. } = &outcome
        && let Some(file) = &args.out
    {
        std::fs::write(file, plan.json()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    tell(outcome, began)
}

fn reviewed(file: &Path) -> Result<Box<Reviewed>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Box::new(Reviewed::parse(&text).with_context(|| format!("cannot carry out {}", file.display()))?))
}

/// What became of this machine, to whoever wants to know; never longer than two seconds.
pub(super) async fn publish(home: &Home, keys: &Path) {
    let published = history::publish(home, keys).await;
    published.told().iter().for_each(|line| talk::say(line));
}

fn domain(args: &Args, root: &Path) -> Result<Exit> {
    let of_a_machine = [
        ("--root", args.root.is_some()),
        ("--out", args.out.is_some()),
        ("--plan", args.plan.is_some()),
        ("--mode", args.how.mode != Mode::Persist),
    ];
    if let Some((option, _)) = of_a_machine.iter().chain(&args.how.given_times()).find(|(_, given)| *given) {
        return Err(WrongUsage(format!(
            "{option} is for a machine; `apply domain` changes the cluster's own objects, now"
        ))
        .into());
    }
    let prepared = match machine::prepare_domain(root, |name| keys::store_or(args.keys.as_deref(), name)) {
        Ok(prepared) => prepared,
        Err(fault) => return talk::failed(fault),
    };
    talk::judge(&prepared.report, &prepared.sources);
    let mut voice = args.how.voice();
    let journal = args.how.state.join("domain-journal.jsonl");
    if args.dry_run {
        let plan = block_on(machine::plan_domain(&prepared, &args.server, &journal))?;
        talk::say(plan::render::human(&plan).trim_end());
        return Ok(if plan.refused().next().is_some() { Exit::World } else { Exit::Done });
    }
    let home = args.how.home()?;
    let done = block_on(async {
        let person = args.how.who();
        let done = machine::apply_domain(&prepared, &args.server, &journal, &person, &mut voice).await;
        let published = machine::publish_member(&prepared, &args.server, &home).await;
        published.told().iter().for_each(|line| talk::say(line));
        done
    })?;
    talk::say(&match done {
        None => "nothing was done, as you said".to_owned(),
        Some(plan) if plan.is_empty() => "nothing to do".to_owned(),
        Some(plan) => format!("the domain: {}", counted(plan.steps.len(), "step")),
    });
    Ok(Exit::Done)
}

pub fn rollback(args: &RollbackArgs) -> Result<Exit> {
    let began = Instant::now();
    let home = args.how.home()?;
    let order = args.how.order(Asked::All)?;
    let mut voice = args.how.voice();
    let outcome = block_on(async {
        let outcome = machine::rollback(&home, args.generation, &order, &mut voice).await;
        publish(&home, &home.state().join("keys")).await;
        outcome
    })?;
    tell(outcome, began)
}

/// One thread is enough for one machine, and starts faster than several.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(work)
}

fn tell(outcome: Outcome, began: Instant) -> Result<Exit> {
    let time = began.elapsed().as_secs_f64();
    match outcome {
        Outcome::NothingToDo { generation, .. } => {
            talk::say(&format!("nothing to do: this machine is generation {generation}"))
        }
        Outcome::Planned(_) => talk::say("nothing was done"),
        Outcome::NotAgreed => talk::say("nothing was done, as you said"),
        Outcome::Staged { generation } => talk::say(&format!("generation {generation} begins with the next boot")),
        Outcome::Applied { generation, steps, mode } => {
            let lasts = if mode == Mode::Test { ", until the next boot" } else { "" };
            talk::say(&format!("generation {generation}: {} in {time:.1} s{lasts}", counted(steps, "step")));
        }
    }
    Ok(Exit::Done)
}

/// What is said on stderr while it works.
struct Voice {
    agreed: bool,
    /// The gate that was last waited for, so that each is told once.
    waiting: Option<String>,
}

impl Voice {
    fn agreed(&self) -> Result<bool> {
        if self.agreed {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            return Err(WrongUsage("nobody is there to be asked; say --yes".to_owned()).into());
        }
        let mut stderr = std::io::stderr().lock();
        let asked = write!(stderr, "do it? [y/N] ").and_then(|()| stderr.flush());
        asked.context("cannot ask")?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("cannot hear the answer")?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

impl DomainTalk for Voice {
    fn agree(&mut self, plan: &Plan) -> Result<bool> {
        talk::say(plan::render::human(plan).trim_end());
        self.agreed()
    }

    fn waits_for(&mut self, whom: &str) {
        talk::say(&format!("  waiting for {whom}, who applies this domain, too"));
    }

    fn changed(&mut self) {
        talk::say("  something changed since that plan was made");
    }

    fn progress(&mut self, plan: &Plan, progress: crate::apply::Progress<'_>) {
        if let crate::apply::Progress::Done { number, of, step } = progress {
            talk::say(&format!("  {number:>3} of {of}  {}", plan::render::sentence(plan, step)));
        }
    }
}

impl Talk for Voice {
    fn say(&mut self, line: &str) {
        talk::say(line);
    }

    fn plan(&mut self, plan: &MachinePlan, objects: Option<&Plan>) {
        talk::say(render::human(plan).trim_end());
        if let Some(objects) = objects.filter(|objects| !objects.is_empty()) {
            talk::say(plan::render::human(objects).trim_end());
        }
    }

    fn agree(&mut self) -> Result<bool> {
        self.agreed()
    }

    fn progress(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::Step { number, of, step } => {
                talk::say(&format!("  {number:>3} of {of}  {}", render::sentence(step)));
            }
            Progress::Begins { .. } | Progress::Objects { steps: 0 } => {}
            Progress::Objects { steps } => talk::say(&format!("  streams and events: {}", counted(steps, "step"))),
            Progress::Waiting { gate, what } => {
                let name = gate.name();
                if self.waiting.as_ref() != Some(&name) {
                    talk::say(&format!("  waiting until {name}: {what}"));
                    self.waiting = Some(name);
                }
            }
            Progress::Committed => talk::say("  committed"),
            Progress::AsBefore { gate, what } => {
                talk::say(&format!("  not proved, as before: {}: {what}", gate.name()));
            }
            Progress::Failed { unit } => {
                talk::say(&format!("  {unit} failed meanwhile, which is not ours: systemctl status {unit}"))
            }
            Progress::NotOwn { why } => talk::say(&format!("  leafwright itself stays as it is: {why}")),
            Progress::GoingBack { reason } => talk::say(&format!("going back: {reason}")),
        }
    }
}
