//! systemd units: nats-server, the services, the target that holds them, and what `units.*` declares. Typed models, printed by one template.
//!
//! Refuses: shells, units that a name could smuggle out of their directory, and services that reach what they did not declare.

use super::hardening;
use super::link::{self, Linked};
use super::quote::{self, Unwritable};
use super::template::{self, Format};
use crate::declare::MessageKind;
use crate::diag::{Code, Diagnostic, Report, Span};
use crate::name::{Duration, ServiceName};
use crate::resolve::{Machine, Part, Service, Unit, directives};
use serde::Serialize;
use std::collections::BTreeMap;

pub const NATS: &str = "nats-server.service";
pub const TARGET: &str = "leafwright.target";
pub const CONFIG: &str = "/etc/nats/nats-server.json";

/// A unit and the option paths under which its directives are declared, the strongest first.
pub struct UnitFile {
    pub name: String,
    pub unit: Unit,
    pub options: Vec<String>,
}

/// What units are triggered by: digests of what they read.
#[derive(Clone, Debug, Default)]
pub struct Triggers {
    pub nats_reload: String,
    pub nats_restart: String,
    pub environments: BTreeMap<ServiceName, String>,
}

/// The unit of a service: a template, so that one or many instances are the same thing.
pub fn service_unit(service: &ServiceName) -> String {
    format!("{service}@.service")
}

pub fn instance_unit(service: &ServiceName, instance: u32) -> String {
    format!("{service}@{instance}.service")
}

/// All units of a machine, by name.
pub fn of_machine(linked: &Linked<'_>, machine: &Machine, triggers: &Triggers, report: &mut Report) -> Vec<UnitFile> {
    let mut refuse = |option: &str, fault: Unwritable| {
        let span = machine.origins.of(option).unwrap_or(machine.origin);
        report.push(Diagnostic::error(Code(702), span, fault.0).label("ends up in a unit"));
    };
    let mut units = BTreeMap::from([(TARGET.to_owned(), target(machine))]);
    match nats(machine, triggers) {
        Ok(unit) => drop(units.insert(NATS.to_owned(), unit)),
        Err(fault) => refuse("leaf.store", fault),
    }
    for (name, service) in services(machine) {
        let options = vec![format!("services.{name}.unit"), format!("services.{name}")];
        match self::service(linked, machine, name, service, triggers) {
            Ok(mut unit) => {
                overlay(&mut unit, &service.unit);
                let name = service_unit(name);
                units.insert(name.clone(), UnitFile { name, unit, options });
            }
            Err(fault) => refuse(&options[1], fault),
        }
    }
    for (name, declared) in &machine.options.units {
        let option = format!("units.\"{name}\"");
        let unit = units.entry(name.clone()).or_insert_with(|| UnitFile {
            name: name.clone(),
            unit: Unit::new(),
            options: vec![],
        });
        overlay(&mut unit.unit, declared);
        unit.options.insert(0, option);
    }
    units.into_values().collect()
}

/// Lays declared directives over a unit: each replaces the directive of its name as a whole, an empty list takes it away.
fn overlay(unit: &mut Unit, declared: &Unit) {
    for (section, directives) in declared {
        let section = unit.entry(capitalised(section)).or_default();
        for (directive, values) in directives {
            match values.is_empty() {
                true => drop(section.remove(directive)),
                false => drop(section.insert(directive.clone(), values.clone())),
            }
        }
    }
}

/// Sections may be written as TOML likes its keys: `service` is `Service`.
fn capitalised(section: &str) -> String {
    let mut chars = section.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

type Section = BTreeMap<String, Vec<String>>;

fn section<const N: usize>(directives: [(&str, String); N]) -> Section {
    directives.into_iter().map(|(name, value)| (name.to_owned(), vec![value])).collect()
}

fn unit(sections: [(&str, Section); 3]) -> Unit {
    sections.into_iter().map(|(name, section)| (name.to_owned(), section)).collect()
}

fn nats(machine: &Machine, triggers: &Triggers) -> Result<UnitFile, Unwritable> {
    let leaf = &machine.options.leaf;
    let mut service = section([
        ("Type", "exec".to_owned()),
        ("User", "nats".to_owned()),
        ("Group", "nats".to_owned()),
        ("ExecStartPre", format!("nats-server -t -c {CONFIG}")),
        ("ExecStart", format!("nats-server -c {CONFIG}")),
        ("ExecReload", "/bin/kill -HUP $MAINPID".to_owned()),
        ("KillSignal", stop_signal(machine.part).to_owned()),
        ("TimeoutStopSec", "150".to_owned()),
        ("Restart", "always".to_owned()),
        ("RestartSec", "1".to_owned()),
        ("LimitNOFILE", leaf.limit_nofile.to_string()),
    ]);
    match leaf.store.strip_prefix("/var/lib/").filter(|rest| !rest.is_empty() && !rest.contains("..")) {
        Some(state) => service
            .extend(section([("StateDirectory", quote::field(state)?), ("StateDirectoryMode", "0700".to_owned())])),
        None => service.extend(section([("ReadWritePaths", quote::field(&leaf.store)?)])),
    }
    service.extend(hardening::shared());
    service.extend(hardening::server());
    Ok(UnitFile {
        name: NATS.to_owned(),
        unit: unit([
            (
                "Unit",
                section([
                    ("Description", format!("nats-server of {}", machine.name)),
                    ("After", "network.target".to_owned()),
                    ("StartLimitIntervalSec", "0".to_owned()),
                    ("X-Reload-Triggers", triggers.nats_reload.clone()),
                    ("X-Restart-Triggers", triggers.nats_restart.clone()),
                ]),
            ),
            ("Service", service),
            ("Install", section([("WantedBy", TARGET.to_owned())])),
        ]),
        options: vec!["leaf".to_owned()],
    })
}

/// A member goes in lame duck mode: it hands its leaders over, and whoever is connected goes to another member. The clients
/// of a leaf have nowhere to go, and one that is connected would keep it down for 10 s and more: JetStream ends first
/// (`lameDuckMode` in nats-server's server/server.go, `lame_duck_grace_period`).
fn stop_signal(part: Part) -> &'static str {
    match part {
        Part::Member => "SIGUSR2",
        Part::Leaf => "SIGTERM",
    }
}

/// Services run on leaves: a member of the cluster has no users of its own for them.
pub fn services(machine: &Machine) -> impl Iterator<Item = (&ServiceName, &Service)> {
    let leaf = machine.part == Part::Leaf;
    machine.options.services.iter().filter(move |_| leaf).map(|(name, service)| (name, &**service))
}

fn target(machine: &Machine) -> UnitFile {
    let instances =
        services(machine).flat_map(|(name, service)| (1..=service.instances).map(move |at| instance_unit(name, at)));
    let wants = std::iter::once(NATS.to_owned()).chain(instances).collect();
    let mut head = section([("Description", format!("everything that {} is for", machine.name))]);
    head.insert("Wants".to_owned(), wants);
    UnitFile {
        name: TARGET.to_owned(),
        unit: Unit::from([
            ("Unit".to_owned(), head),
            ("Install".to_owned(), section([("WantedBy", "multi-user.target".to_owned())])),
        ]),
        options: vec!["services".to_owned()],
    }
}

fn service(
    linked: &Linked<'_>,
    machine: &Machine,
    name: &ServiceName,
    service: &Service,
    triggers: &Triggers,
) -> Result<Unit, Unwritable> {
    let mut body = section([
        ("Type", "exec".to_owned()),
        ("DynamicUser", "yes".to_owned()),
        ("ExecStart", quote::command(&service.exec)?),
        ("EnvironmentFile", format!("/{}", super::environment::path(name))),
        (
            super::credentials::directive(machine),
            format!("{}:{}", super::environment::CREDENTIAL, super::credentials::service_file(machine, name)),
        ),
        ("Restart", "always".to_owned()),
        ("RestartSec", seconds(service.restart_delay)),
    ]);
    body.insert(
        "Environment".to_owned(),
        vec![
            quote::assignment("NATS_NKEY_SEED_FILE", &format!("%d/{}", super::environment::CREDENTIAL))?,
            quote::assignment("LEAFWRIGHT_INSTANCE", "%i")?,
        ],
    );
    body.extend(hardening::shared());
    body.extend(hardening::service(service));
    if let Some(memory) = service.memory_max {
        body.extend(section([("MemoryMax", memory.as_bytes().to_string())]));
    }
    if let Some(quota) = &service.cpu_quota {
        body.extend(section([("CPUQuota", quota.clone())]));
    }
    let description = match (service.description.as_str(), answers(linked, service)) {
        ("", true) => format!("{name} (answers queries)"),
        ("", false) => name.to_string(),
        (text, _) => text.to_owned(),
    };
    Ok(unit([
        (
            "Unit",
            section([
                ("Description", quote::specifiers(&description)?),
                ("After", NATS.to_owned()),
                ("Requires", NATS.to_owned()),
                ("StartLimitIntervalSec", "0".to_owned()),
                ("X-Restart-Triggers", triggers.environments.get(name).cloned().unwrap_or_default()),
            ]),
        ),
        ("Service", body),
        ("Install", section([("WantedBy", TARGET.to_owned()), ("DefaultInstance", "1".to_owned())])),
    ]))
}

fn answers(linked: &Linked<'_>, service: &Service) -> bool {
    !linked.receives(&service.contract, MessageKind::Query).is_empty()
}

/// systemd's spelling of a time: whole seconds where it can be, else milliseconds.
fn seconds(duration: Duration) -> String {
    match duration.as_nanos() {
        nanos if nanos % 1_000_000_000 == 0 => (nanos / 1_000_000_000).to_string(),
        nanos => format!("{}ms", nanos.div_ceil(1_000_000)),
    }
}

#[derive(Serialize)]
struct Printable<'a> {
    sections: Vec<PrintableSection<'a>>,
}

#[derive(Serialize)]
struct PrintableSection<'a> {
    name: &'a str,
    lines: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    directive: &'a str,
    value: &'a str,
}

/// The text of a unit: `[Unit]` first, `[Install]` last, directives by name; and where each line was declared.
pub fn print(file: &UnitFile, machine: &Machine, report: &mut Report) -> Option<(String, Vec<Span>)> {
    let fallback = file.options.iter().find_map(|path| machine.origins.of(path)).unwrap_or(machine.origin);
    if let Err(fault) = judge(file) {
        report.push(Diagnostic::error(Code(703), fallback, fault));
        return None;
    }
    let mut names: Vec<&String> =
        file.unit.iter().filter(|(_, lines)| !lines.is_empty()).map(|(name, _)| name).collect();
    names.sort_by_key(|name| (section_rank(name), *name));
    let sections = names.iter().map(|name| PrintableSection { name, lines: lines(&file.unit[*name]) });
    match template::core(Format::Unit, "unit", &Printable { sections: sections.collect() }) {
        Ok(text) => {
            let text = format!("{}\n", text.trim_end());
            let spans = spans(file, machine, &text, fallback);
            Some((text, spans))
        }
        Err(fault) => {
            report.push(Diagnostic::error(Code(702), fallback, fault).label("ends up in a unit"));
            None
        }
    }
}

fn section_rank(name: &str) -> u8 {
    match name {
        "Unit" => 0,
        "Install" => 2,
        _ => 1,
    }
}

fn lines(section: &Section) -> Vec<Line<'_>> {
    let lines =
        section.iter().flat_map(|(directive, values)| values.iter().map(move |value| Line { directive, value }));
    lines.collect()
}

/// The rules said so before (LW0703); what is printed says it again, because a name that is more than a word would be more lines.
fn judge(file: &UnitFile) -> Result<(), String> {
    if directives::own_section(&file.name).is_err() {
        return Err(format!("`{}` is not the name of a unit", file.name));
    }
    let mut names =
        file.unit.iter().flat_map(|(section, directives)| std::iter::once(section).chain(directives.keys()));
    match names.find(|name| !directives::is_word(name)) {
        None => Ok(()),
        Some(bad) => {
            Err(format!("`{}` cannot be a section or directive of the unit `{}`", bad.escape_debug(), file.name))
        }
    }
}

/// For each line of the text, where its directive was declared.
fn spans(file: &UnitFile, machine: &Machine, text: &str, fallback: Span) -> Vec<Span> {
    let mut section = String::new();
    let place = |line: &str, section: &str| {
        let directive = line.split('=').next().unwrap_or_default();
        let exact = |base: &String| {
            let sections = [section.to_owned(), section.to_lowercase()];
            sections.iter().find_map(|section| machine.origins.places.get(&format!("{base}.{section}.{directive}")))
        };
        file.options.iter().find_map(exact).unwrap_or(fallback)
    };
    text.lines()
        .map(|line| {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            }
            place(line, &section)
        })
        .collect()
}

/// Where a service was declared, for artefacts that are made of it.
pub fn service_origin(machine: &Machine, name: &ServiceName) -> Span {
    machine.origins.of(&link::service_path(name)).unwrap_or(machine.origin)
}
