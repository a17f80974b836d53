//! References between files: a machine's hardware (a profile, or its own report), person, zone, events; a cluster's members; roles.
//!
//! Refuses: names that nobody declared. What is handed on exists.

use super::codes;
use crate::declare::{self, Cluster, DETECTED, Declared, Domain, Hardware, nearest};
use crate::diag::{Diagnostic, Report, Span, Spanned};
use crate::name::{MachineName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// A machine's references, followed.
#[derive(Clone, Copy)]
pub struct Followed<'a> {
    pub hardware: &'a Hardware,
    pub person: &'a declare::Person,
    pub zone: &'a declare::Zone,
}

/// Follows the references of a machine; `None` when one leads nowhere (all that do are reported).
pub fn follow<'a>(
    machine: &declare::Machine,
    domain: &'a Domain,
    declared: &'a Declared,
    report: &mut Report,
) -> Option<Followed<'a>> {
    let broken = &declared.broken;
    let hardware = match machine.hardware.value.as_str() {
        DETECTED => detected(machine, declared, report),
        _ => find("hardware profile", &machine.hardware, &declared.hardware, (broken, report)),
    };
    let person = find("person", &machine.person, &declared.people, (broken, report));
    let zone = zone(machine, domain, broken, report);
    let before = report.diagnostics.len();
    for set in &machine.events {
        find("event set", set, &declared.events, (broken, report));
    }
    let events = report.diagnostics.len() == before;
    Some(Followed { hardware: hardware?, person: person?, zone: zone? }).filter(|_| events)
}

/// `hardware = "detected"`: what the report beside the machine says.
fn detected<'a>(machine: &declare::Machine, declared: &'a Declared, report: &mut Report) -> Option<&'a Hardware> {
    let path = format!("machines/{}.hardware.json", machine.name);
    let span = machine.hardware.span;
    match declared.reports.get(&machine.name).map(|reported| (reported, &reported.hardware)) {
        Some((_, Ok(hardware))) => Some(hardware),
        Some((reported, Err(unknown))) => {
            let says = format!("the report of `{}` does not say: {}", machine.name, unknown.join(", "));
            report.push(
                Diagnostic::error(codes::NOT_DETECTED, span, says)
                    .also(Span::new(reported.source, 0..0), "the report")
                    .help("write a profile in `hardware/` with what is known otherwise, and name it here"),
            );
            None
        }
        None if declared.broken.contains(&path) => None,
        None => {
            let says = format!("nothing was detected on `{}` yet: there is no `{path}`", machine.name);
            let help = format!("on the machine, run `leafwright hardware detect --out {path}`, or name a profile");
            report.push(Diagnostic::error(codes::NOT_DETECTED, span, says).help(help));
            None
        }
    }
}

fn zone<'a>(
    machine: &declare::Machine,
    domain: &'a Domain,
    broken: &BTreeSet<String>,
    report: &mut Report,
) -> Option<&'a declare::Zone> {
    match (machine.zone.as_ref().or(domain.zone.as_ref()), domain.zones.len()) {
        (Some(zone), _) => find("zone", zone, &domain.zones, (broken, report)),
        (None, 1) => domain.zones.values().next(),
        (None, _) if broken.contains("domain.toml") => None,
        (None, _) => {
            let names: Vec<&str> = domain.zones.keys().map(ZoneName::as_str).collect();
            let example = names.first().copied().unwrap_or("home");
            let error = Diagnostic::error(
                codes::NO_ZONE,
                Span::new(machine.source, 0..0),
                format!("the machine `{}` is in no zone", machine.name),
            );
            report.push(match names.is_empty() {
                true => error.help("declare one in domain.toml: `[zones.home]`"),
                false => error.help(format!("add `zone = \"{example}\"`; the zones are {}", names.join(", "))),
            });
            None
        }
    }
}

/// Looks a name up; reports it with the nearest one if there is none.
pub fn find<'m, N: Ord + std::borrow::Borrow<str>, T>(
    what: &str,
    name: &Spanned<N>,
    known: &'m BTreeMap<N, T>,
    (broken, report): (&BTreeSet<String>, &mut Report),
) -> Option<&'m T> {
    let found = known.get::<N>(&name.value);
    let known_to_be_away = match what {
        "zone" | "role" => !broken.contains("domain.toml"),
        _ => !broken.contains(&file(what, name.value.borrow())),
    };
    if found.is_none() && known_to_be_away {
        let error =
            Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no {what} `{}`", name.value.borrow()));
        let names: Vec<&str> = known.keys().map(std::borrow::Borrow::borrow).collect();
        report.push(match nearest(name.value.borrow(), names.iter().copied()) {
            Some(near) => error.help(format!("write `{near}`")),
            None => {
                let make = makes(what, name.value.borrow());
                error.help(match names.as_slice() {
                    [] => make,
                    [only] => format!("there is {only}; or {make}"),
                    few if few.len() <= 20 => format!("there are {}; or {make}", few.join(", ")),
                    _ => make,
                })
            }
        });
    }
    found
}

/// How there comes to be one of this name.
fn makes(what: &str, name: &str) -> String {
    match what {
        "zone" => format!("declare it in domain.toml: `[zones.{name}]`"),
        "role" => format!("declare it in domain.toml: `[roles.{name}]`"),
        "hardware profile" => format!("write `{}`: arch, cores, memory and disk", file(what, name)),
        _ => format!("write `{}`", file(what, name)),
    }
}

/// The file that would define the name; what could not be read is not unknown.
fn file(what: &str, name: &str) -> String {
    match what {
        "hardware profile" => format!("hardware/{name}.toml"),
        "person" => format!("people/{name}.toml"),
        "event set" => format!("events/{name}.jsonl"),
        _ => format!("machines/{name}.toml"),
    }
}

/// References of the domain itself and of people.
pub fn check(domain: &Domain, declared: &Declared, report: &mut Report) {
    let broken = &declared.broken;
    for set in &domain.events {
        find("event set", set, &declared.events, (broken, report));
    }
    if let Some(zone) = &domain.zone {
        find("zone", zone, &domain.zones, (broken, report));
    }
    for reported in declared.reports.values() {
        let name = Spanned::new(reported.machine.clone(), Span::new(reported.source, 0..0));
        find("machine", &name, &declared.machines, (broken, report));
    }
    for person in declared.people.values() {
        for role in &person.roles {
            find("role", role, &domain.roles, (broken, report));
        }
    }
    for cluster in domain.clusters.values() {
        members(cluster, declared, report);
    }
    if let Some(second) = domain.clusters.values().nth(1) {
        let mut error = Diagnostic::error(codes::CLUSTER_MEMBERS, second.name.span, "a domain has one cluster");
        if let Some(first) = domain.clusters.values().next() {
            error = error.also(first.name.span, "the first cluster is here");
        }
        report.push(error.help("put all members into one cluster of 1, 3 or 5; superclusters are not known yet"));
    }
}

fn members(cluster: &Cluster, declared: &Declared, report: &mut Report) {
    let mut seen: BTreeMap<&MachineName, Span> = BTreeMap::new();
    for member in &cluster.members {
        find("machine", member, &declared.machines, (&declared.broken, report));
        if let Some(first) = seen.insert(&member.value, member.span) {
            report.push(
                Diagnostic::error(codes::CLUSTER_MEMBERS, member.span, format!("`{}` is a member twice", member.value))
                    .also(first, "first named here")
                    .help("name each machine once"),
            );
        }
    }
    if let Some(machine) = declared.machines.get(&cluster.name.value) {
        report.push(
            Diagnostic::error(
                codes::CLUSTER_MEMBERS,
                cluster.name.span,
                format!("`{}` names a machine and the cluster; both are JetStream domains", machine.name),
            )
            .also(Span::new(machine.source, 0..0), "the machine")
            .help("give the cluster a name of its own, such as `hub`"),
        );
    }
}
