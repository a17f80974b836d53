//! Names become things, options merge through the layers, expressions are evaluated, rules are checked.
//!
//! Refuses: I/O, and handing on anything that could still be missing or mistyped: after this floor there is no look-up and no maybe.

pub mod model;
pub mod grammar;
pub mod hardware;
pub mod schemas;
pub mod contracts;
pub mod events;
pub mod rules;
pub mod types;
pub mod directives;
pub mod val;

mod budget;
mod cluster;
mod codes;
mod core;
mod evaluate;
mod explain;
mod expr;
mod fit;
mod layers;
mod machine;
mod modules;
mod places;
mod references;
mod schema;
mod shared;

pub use core::{fields, reference};
pub use explain::{Definition, Explanation, Verdict, Whose, explain};
pub use layers::{Class, Layer};
pub use model::*;
pub use places::Places;

use crate::declare::{self, Body, Declared, Module};
use crate::diag::{Checked, Diagnostic, Report, Span};
use crate::name::{AccountName, ByteSize, EventSetName, MachineName, ModuleName, ServiceName, ZoneName};
use expr::Expressions;
use grammar::Grammar;
use layers::Ground;
use machine::{Base, Subject};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Resolves a whole domain; all machines in parallel.
pub fn domain(declared: &Declared) -> Checked<Domain> {
    judged(declared, &[Generated::Counts])
}

/// The same, of a domain that must be sound without the generated layer too: what is wrong then is all that is said.
pub fn domain_in_foreground(declared: &Declared) -> Checked<Domain> {
    judged(declared, &[Generated::LeftOut, Generated::Counts])
}

/// The layer that `up` generates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generated {
    LeftOut,
    Counts,
}

fn judged(declared: &Declared, rounds: &[Generated]) -> Checked<Domain> {
    let mut report = Report::default();
    // Without a domain there is nothing to resolve; `declare` has said so.
    let Some(domain) = &declared.domain else { return Checked::new(None, report) };
    let resolved = whole(domain, declared, rounds, &mut report);
    report.rules_wait |= resolved.is_none();
    let mut report = once(report.sorted());
    if resolved.as_ref().is_none_or(|resolved| resolved.machines.len() < declared.machines.len())
        && !report.has_errors()
        && declared.broken.is_empty()
    {
        // Nobody may be left out silently, not even by a fault of ours.
        report.push(Diagnostic::error(
            codes::NO_VALUE,
            domain.name.span,
            "the domain could not be resolved as a whole",
        ));
    }
    Checked::new(resolved.filter(|_| !report.has_errors()), report)
}

/// What is wrong in a shared file is found by everybody who reads it, each with the help that fits; it is said once.
fn once(mut report: Report) -> Report {
    report.diagnostics.dedup_by(|b, a| a.primary.span == b.primary.span && a.code == b.code && a.message == b.message);
    report
}

/// The domain, as far as it could be resolved; whoever goes on looks at the report first. In each round the machines are
/// resolved and the rules asked, until one finds what is wrong.
fn whole(domain: &declare::Domain, declared: &Declared, rounds: &[Generated], report: &mut Report) -> Option<Domain> {
    references::check(domain, declared, report);
    // What is said and what is run have nothing to do with each other until both are known.
    let (spoken, run) = rayon::join(|| spoken(domain, declared), || run(domain, declared, rounds));
    let Run { rounds, cluster, report: found } = run;
    report.absorb(found);
    let Spoken { grammar, linked, events, report: found } = spoken;
    report.absorb(found);
    let mut rounds = rounds.into_iter();
    let (machines, mut found) = rounds.next()?;
    let unread = declared.unread.iter().any(|path| path.starts_with("machines/"));
    let resolved = machines.len() == declared.machines.len() && !unread;
    let complete = resolved && cluster.is_some() != domain.clusters.is_empty();
    if complete
        && RUNNING.iter().all(|path| !declared.is_broken(path))
        && let Some(grammar) = &grammar
    {
        report.absorb(contracts::traffic(declared, grammar, &running(&machines)));
    }
    let (messages, services) = linked.unwrap_or_default();
    let events = events.unwrap_or_default();
    report.absorb(rules::event_sets(declared));
    report.absorb(rules::unused_events(declared));
    report.absorb(rules::repeated_events(declared));
    report.absorb(rules::placeholders(declared));
    report.absorb(rules::reported_hardware(declared));
    let Some(grammar) = grammar else {
        report.absorb(found);
        return None;
    };
    let mut resolved = Domain {
        name: domain.name.value.clone(),
        dns: domain.dns.value.clone(),
        account: account(domain),
        cluster,
        machines,
        messages,
        services,
        people: declared.people.values().map(person).collect(),
        roles: domain.roles.values().map(role).collect(),
        events,
        domain_events: domain.events.iter().map(|set| set.value.clone()).collect(),
        spaces: grammar.spaces(),
        origin: domain.name.span,
    };
    let ruled = RULED.iter().all(|path| !declared.is_broken(path));
    found.absorb(ruled_upon((complete && ruled).then_some(&resolved)));
    for (machines, again) in rounds {
        if report.has_errors() || found.has_errors() {
            break;
        }
        let complete = complete && machines.len() == declared.machines.len();
        resolved.machines = machines;
        found = again;
        found.absorb(ruled_upon((complete && ruled).then_some(&resolved)));
    }
    report.absorb(found);
    Some(resolved)
}

/// Messages and events.
struct Spoken {
    grammar: Option<Grammar>,
    linked: Option<contracts::Linked>,
    events: Option<BTreeMap<EventSetName, Arc<EventSet>>>,
    report: Report,
}

fn spoken(domain: &declare::Domain, declared: &Declared) -> Spoken {
    let mut report = Report::default();
    let grammar = taken(Grammar::of(domain), &mut report);
    let linked = grammar.as_ref().and_then(|grammar| taken(contracts::link(declared, grammar), &mut report));
    // Without a grammar there are no messages, and no event could be one.
    let events = linked.as_ref().and_then(|(messages, _)| taken(events::compile(declared, messages), &mut report));
    Spoken { grammar, linked, events, report }
}

/// The machines of each round with what is found in it, and the cluster.
struct Run {
    rounds: Vec<(Vec<Arc<Machine>>, Report)>,
    cluster: Option<Cluster>,
    report: Report,
}

fn run(domain: &declare::Domain, declared: &Declared, rounds: &[Generated]) -> Run {
    let mut report = Report::default();
    let plans = Plans::of(declared, domain, None, &mut report);
    let rounds = plans.machines(rounds, &mut report);
    let cluster = plans.cluster(&mut report);
    Run { rounds, cluster, report }
}

/// With a machine or half a domain missing, the rules would find what is not wrong.
fn ruled_upon(complete: Option<&Domain>) -> Report {
    complete.map_or(Report { rules_wait: true, ..Report::default() }, rules::all)
}

/// What says which services run, and what they say.
const RUNNING: [&str; 5] = ["contracts/", "domain.toml", "hardware/", "machines/", "modules/"];
/// What the rules of the whole are about.
const RULED: [&str; 2] = ["contracts/", "domain.toml"];

/// The account as declared, or the domain's name in upper case.
fn account(domain: &declare::Domain) -> AccountName {
    let upper = || AccountName::parse(&domain.name.value.as_str().to_uppercase()).ok();
    let declared = domain.account.as_ref().map(|account| account.value.clone());
    // A domain name is a DNS label, and every label in upper case is an account name.
    declared.or_else(upper).unwrap_or_else(|| unreachable!("a label in upper case is an account name"))
}

fn person(person: &declare::Person) -> (crate::name::PersonName, Person) {
    let resolved = Person {
        name: person.name.clone(),
        nkey: person.nkey.as_ref().map(|nkey| nkey.value.clone()),
        roles: person.roles.iter().map(|role| role.value.clone()).collect(),
        ssh: person.ssh.iter().map(|key| key.value.to_string()).collect(),
        origin: Span::new(person.source, 0..0),
    };
    (person.name.clone(), resolved)
}

fn role(role: &declare::Role) -> (crate::name::RoleName, Role) {
    let name = role.name.value.clone();
    let origin = role.publish.first().map_or(role.name.span, |pattern| pattern.span);
    (name.clone(), Role { name, publish: role.publish.clone(), subscribe: role.subscribe.clone(), origin })
}

/// The value, and its report with the others.
fn taken<T>(checked: Checked<T>, report: &mut Report) -> Option<T> {
    report.absorb(checked.report);
    checked.value
}

/// For each contract, the machines on which a service with it runs.
fn running(machines: &[Arc<Machine>]) -> BTreeMap<ServiceName, Vec<MachineName>> {
    let mut running: BTreeMap<ServiceName, Vec<MachineName>> = BTreeMap::new();
    for machine in machines {
        for service in machine.options.services.values() {
            let names = running.entry(service.contract.clone()).or_default();
            if names.last() != Some(&machine.name) {
                names.push(machine.name.clone());
            }
        }
    }
    running
}

/// Modules that no machine has are looked at too, as far as they can be alone: their imports and their options.
fn unused(closures: &BTreeMap<Vec<&ModuleName>, Vec<&Module>>, declared: &Declared, report: &mut Report) {
    let used: BTreeSet<&ModuleName> = closures.values().flatten().map(|module| &module.name).collect();
    for module in declared.modules.values().filter(|module| !used.contains(&module.name)) {
        let own = crate::diag::Spanned::new(module.name.clone(), Span::new(module.source, 0..0));
        let closure = modules::closure(&[own], declared, report);
        modules::schema(&closure, declared, report);
    }
}

/// An interpreter is as dear as so many machines.
const FEW: usize = 4;

/// Everything that is worked out once: option trees and expressions.
struct Plans<'a> {
    declared: &'a Declared,
    domain: &'a declare::Domain,
    /// Only this machine, or all.
    only: Option<&'a MachineName>,
    closures: BTreeMap<Vec<&'a ModuleName>, Vec<&'a Module>>,
    schemas: BTreeMap<Vec<&'a ModuleName>, schema::Schema>,
    expressions: Expressions,
    others: Vec<(&'a str, &'a ModuleName)>,
}

impl<'a> Plans<'a> {
    fn of(
        declared: &'a Declared,
        domain: &'a declare::Domain,
        only: Option<&'a MachineName>,
        report: &mut Report,
    ) -> Self {
        let mut closures: BTreeMap<Vec<&ModuleName>, Vec<&Module>> = BTreeMap::new();
        for machine in declared.machines.values().filter(|machine| only.is_none_or(|name| machine.name == *name)) {
            let key: Vec<&ModuleName> = machine.configuration.iter().map(|module| &module.value).collect();
            match closures.get(&key) {
                // Unknown modules are reported at every machine that names them.
                Some(closure) if key.iter().all(|name| closure.iter().any(|module| module.name == **name)) => {}
                _ => {
                    closures.insert(key, modules::closure(&machine.configuration, declared, report));
                }
            }
        }
        if only.is_none() {
            unused(&closures, declared, report);
        }
        let schemas =
            closures.iter().map(|(key, closure)| (key.clone(), modules::schema(closure, declared, report))).collect();
        let others = declared
            .modules
            .values()
            .flat_map(|module| module.options.iter().map(|option| (&*option.path.value, &module.name)));
        let mut plans = Self {
            declared,
            domain,
            only,
            closures,
            schemas,
            expressions: Expressions::default(),
            others: others.collect(),
        };
        plans.expressions = plans.parse();
        plans
    }

    /// Every expression of every body and default, each text once.
    fn parse(&self) -> Expressions {
        let mut texts = BTreeSet::new();
        let mut conditions = BTreeSet::new();
        let schemas = self.schemas.values().chain([&*core::MACHINE_OPTIONS, &*core::CLUSTER_OPTIONS]);
        for decl in schemas.flat_map(schema::Schema::all) {
            expr::of_decl(&decl, &mut texts);
        }
        let texts_owned: Vec<Box<str>> = texts.into_iter().collect();
        let mut texts: BTreeSet<&str> = texts_owned.iter().map(|text| &**text).collect();
        for body in self.bodies() {
            expr::of_body(body, &mut texts, &mut conditions);
        }
        Expressions::parse(texts, conditions)
    }

    fn bodies(&self) -> impl Iterator<Item = &'a Body> {
        let Self { declared, domain, .. } = *self;
        [&domain.body]
            .into_iter()
            .chain(domain.zones.values().map(|zone| &zone.body))
            .chain(domain.clusters.values().map(|cluster| &cluster.body))
            .chain(declared.modules.values().map(|module| &module.body))
            .chain(declared.hardware.values().map(|hardware| &hardware.body))
            .chain(declared.machines.values().map(|machine| &machine.body))
    }

    fn ground<'s>(&'s self, schema: &'s schema::Schema) -> Ground<'s> {
        Ground { schema, declared: self.declared, expressions: &self.expressions, others: &self.others }
    }

    /// All machines, once for each round, with what is found in it.
    fn machines(&self, rounds: &[Generated], report: &mut Report) -> Vec<(Vec<Arc<Machine>>, Report)> {
        let mut bases: BTreeMap<BaseKey<'_>, Base<'_>> = BTreeMap::new();
        let mut subjects = vec![];
        for machine in
            self.declared.machines.values().filter(|machine| self.only.is_none_or(|name| machine.name == *name))
        {
            let Some(followed) = references::follow(machine, self.domain, self.declared, report) else { continue };
            let modules: Vec<&ModuleName> = machine.configuration.iter().map(|module| &module.value).collect();
            let key = (modules, followed.zone.name.value.clone(), HardwareKey::of(followed.hardware));
            let closure = &self.closures[&key.0];
            if !key.0.iter().all(|name| closure.iter().any(|module| module.name == **name)) {
                continue;
            }
            if !bases.contains_key(&key) {
                let ground = self.ground(&self.schemas[&key.0]);
                let base = machine::base(ground, closure.clone(), (self.domain, &followed), report);
                bases.insert(key.clone(), base);
            }
            subjects.push((machine, followed, key));
        }
        let subjects: Vec<(Subject<'_, '_>, BaseKey<'_>)> = subjects
            .into_iter()
            .map(|(machine, followed, key)| {
                let foreground = self.declared.foreground.get(&machine.name);
                let cluster = self.domain.clusters.values().next();
                (Subject { machine, foreground, cluster, followed, base: &bases[&key] }, key)
            })
            .collect();
        let examples: BTreeMap<&BaseKey<'_>, &Subject<'_, '_>> =
            subjects.iter().map(|(subject, key)| (key, subject)).collect();
        let examples: Vec<_> = examples.into_iter().collect();
        let shared = examples
            .into_par_iter()
            .with_min_len(FEW)
            .map_init(budget::interpreter, |interpreter, (key, subject)| (key, machine::share(subject, interpreter)));
        let shared: BTreeMap<&BaseKey<'_>, shared::Shared> = shared.collect();
        let round = |generated: &Generated| {
            let resolved: Vec<(Option<Arc<Machine>>, Report)> = subjects
                .par_iter()
                .with_min_len(FEW)
                .map_init(budget::interpreter, |interpreter, (subject, key)| {
                    let mut report = Report::default();
                    let foreground = subject.foreground.filter(|_| *generated == Generated::Counts);
                    let subject = Subject { foreground, ..*subject };
                    let resolved = machine::resolve(&subject, &shared[key], interpreter, &mut report).map(Arc::new);
                    (resolved, report)
                })
                .collect();
            let (mut machines, mut report) = (vec![], Report::default());
            for (machine, found) in resolved {
                machines.extend(machine);
                report.absorb(found);
            }
            (machines, report)
        };
        rounds.iter().map(round).collect()
    }

    fn cluster(&self, report: &mut Report) -> Option<Cluster> {
        let cluster = self.domain.clusters.values().next()?;
        cluster::resolve(cluster, self.domain, self.ground(&core::CLUSTER_OPTIONS), report)
    }
}

/// What makes machines alike.
type BaseKey<'a> = (Vec<&'a ModuleName>, ZoneName, HardwareKey<'a>);

/// Hardware is alike by its profile, and where it was detected by what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum HardwareKey<'a> {
    Profile(&'a MachineName),
    Detected { arch: &'a str, cores: u32, memory: ByteSize, disk: ByteSize },
}

impl<'a> HardwareKey<'a> {
    fn of(hardware: &'a declare::Hardware) -> Self {
        match hardware.name.as_str() {
            declare::DETECTED => Self::Detected {
                arch: &hardware.arch.value,
                cores: hardware.cores.value,
                memory: hardware.memory.value,
                disk: hardware.disk.value,
            },
            _ => Self::Profile(&hardware.name),
        }
    }
}
