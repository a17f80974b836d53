//! A machine that takes the steps of a plan as systemd and a file system would, and remembers what each process was started with.
//!
//! Refuses: what systemd refuses (a socket of a service that runs), a reload that nats-server would refuse, and everything that
//! happens to a unit without the plan having said so.

use leafwright::compile::{ArtefactKind, Closure, Effect, effect_between};
use leafwright::plan::machine::unit_effects::{Class, class};
use leafwright::plan::machine::{
    Act, Content, MachinePlan, Observation, SeenFile, SeenUnit, between, read_unit, server_digest,
};
use leafwright::resolve::Unit;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const UNITS: &str = "/etc/systemd/system/";
const NATS: &str = "nats-server.service";
const CONFIG: &str = "/etc/nats/nats-server.json";

/// A generation: its content, and the bytes behind the digests.
#[derive(Clone)]
pub struct Generation {
    pub content: Content,
    pub texts: BTreeMap<String, String>,
}

impl Generation {
    pub fn of(closure: &Closure) -> Self {
        let content = Content::of(closure).unwrap();
        let by_path: BTreeMap<&str, &[u8]> =
            closure.artefacts.iter().map(|artefact| (artefact.path.as_str(), artefact.bytes.as_slice())).collect();
        let text = |from: &str| String::from_utf8(by_path[from].to_vec()).unwrap();
        let texts = content.files.values().map(|placed| (placed.digest.clone(), text(&placed.from))).collect();
        Self { content, texts }
    }
}

/// What a process was started with: the directives that need a restart, the files that it read.
#[derive(Clone, Debug, PartialEq)]
struct Started {
    by: BTreeMap<String, Vec<String>>,
    read: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
pub struct Machine {
    texts: BTreeMap<String, String>,
    pub files: BTreeMap<String, SeenFile>,
    /// What systemd has read: the digest of each unit's file, by the unit's name; and the links.
    loaded: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    runs: BTreeMap<String, Started>,
    pub failed: BTreeSet<String>,
    /// nats-server's configuration and the digests of its certificates, as it read them last.
    server: Option<(Value, BTreeMap<String, String>)>,
    pub active: Option<(u64, String)>,
    /// `restart todos@1.service`, since it was emptied.
    pub log: Vec<String>,
}

fn template(unit: &str) -> Option<String> {
    let (prefix, rest) = unit.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

impl Machine {
    pub fn know(&mut self, generation: &Generation) {
        self.texts.extend(generation.texts.clone());
    }

    fn text(&self, digest: &str) -> String {
        self.texts.get(digest).cloned().unwrap_or_else(|| format!("[Service]\nByHand={digest}\n"))
    }

    fn loaded_unit(&self, unit: &str) -> Option<Unit> {
        let digest = self.loaded.get(unit).or_else(|| self.loaded.get(&template(unit)?))?;
        Some(read_unit(&self.text(digest)))
    }

    fn words(unit: &Unit, section: &str, directives: &[&str]) -> Vec<String> {
        let lines = directives.iter().filter_map(|directive| unit.get(section)?.get(*directive)).flatten();
        lines.flat_map(|line| line.split_whitespace()).map(str::to_owned).collect()
    }

    pub fn runs(&self, unit: &str) -> bool {
        self.runs.contains_key(unit)
    }

    pub fn running(&self) -> Vec<&str> {
        self.runs.keys().map(String::as_str).collect()
    }

    pub fn kill(&mut self, unit: &str) {
        self.runs.remove(unit);
        if unit == NATS {
            self.server = None;
        }
    }

    fn digest_at(&self, path: &str) -> Option<String> {
        match self.files.get(path) {
            Some(SeenFile::File { digest, .. }) => Some(digest.clone()),
            _ => None,
        }
    }

    /// What a process of this definition would be started with now.
    fn started(&self, name: &str, unit: &Unit) -> Started {
        let mut by = BTreeMap::new();
        for (section, directives) in unit {
            for (directive, values) in directives.iter().filter(|(key, _)| class(name, section, key) >= Class::Reload) {
                by.insert(format!("{section}.{directive}"), values.clone());
            }
        }
        let files = Self::words(unit, "Service", &["EnvironmentFile"]);
        let files = files.into_iter().map(|file| file.trim_start_matches('-').to_owned());
        let credentials = Self::words(unit, "Service", &["LoadCredential"]);
        let credentials = credentials.iter().filter_map(|line| Some(line.split_once(':')?.1.to_owned()));
        let read = files.chain(credentials);
        let dropped = self.files.keys().filter(|path| {
            let of = |unit: &str| path.starts_with(&format!("{UNITS}{unit}.d/"));
            of(name) || template(name).is_some_and(|template| of(&template))
        });
        let read = read.chain(dropped.cloned());
        let read = read.filter_map(|path| Some((path.clone(), self.digest_at(&path)?))).collect();
        Started { by, read }
    }

    fn server_reads(&mut self) {
        let config = self.digest_at(CONFIG).map(|digest| self.text(&digest)).unwrap_or_default();
        let certificates = self.files.keys().filter(|path| path.ends_with(".pem"));
        let certificates = certificates.filter_map(|path| Some((path.clone(), self.digest_at(path)?))).collect();
        self.server = Some((serde_json::from_str(&config).unwrap_or(Value::Null), certificates));
    }

    fn start(&mut self, unit: &str) {
        let Some(definition) = self.loaded_unit(unit) else { return };
        if let Some(service) = unit.strip_suffix(".socket") {
            assert!(!self.runs(&format!("{service}.service")), "systemd does not open {unit} while its service runs");
        }
        if !self.runs(unit) {
            self.log.push(format!("start {unit}"));
            self.failed.remove(unit);
            let ends = Self::words(&definition, "Service", &["Type"]) == ["oneshot"]
                && Self::words(&definition, "Service", &["RemainAfterExit"]) != ["yes"];
            if !ends {
                self.runs.insert(unit.to_owned(), self.started(unit, &definition));
            }
            if unit == NATS {
                self.server_reads();
            }
        }
        // What it wants is started with it.
        let mut wanted = Self::words(&definition, "Unit", &["Wants", "Requires", "BindsTo"]);
        let own = [format!("{UNITS}{unit}.wants/"), format!("{UNITS}{unit}.requires/")];
        let linked = self.links.keys().filter_map(|path| own.iter().find_map(|own| path.strip_prefix(own.as_str())));
        wanted.extend(linked.map(str::to_owned));
        for other in wanted.into_iter().filter(|other| !self.runs(other)).collect::<Vec<_>>() {
            self.start(&other);
        }
    }

    /// Units that systemd would take down with this one.
    fn dependents(&self, unit: &str) -> Vec<String> {
        let requires = ["Requires", "BindsTo", "PartOf", "Requisite"];
        let depends = |name: &&String| {
            let definition = self.loaded_unit(name).unwrap_or_default();
            Self::words(&definition, "Unit", &requires).iter().any(|other| other == unit)
        };
        self.runs.keys().filter(|name| *name != unit).filter(depends).cloned().collect()
    }

    pub fn take(&mut self, act: &Act) {
        match act {
            Act::Place { path, mode, digest, .. } => {
                self.files.insert(path.clone(), SeenFile::File { digest: digest.clone(), mode: *mode, uid: 0, gid: 0 });
            }
            Act::Link { path, to } => drop(self.files.insert(path.clone(), SeenFile::Link { to: to.clone() })),
            Act::Remove { path } => drop(self.files.remove(path)),
            Act::Install { .. } => panic!("no package is looked at here"),
            Act::Users => self.log.push("users".to_owned()),
            Act::Directories => self.log.push("directories".to_owned()),
            Act::Credentials { .. } => self.log.push("credentials".to_owned()),
            Act::RemoveCredential { .. } => {}
            Act::DaemonReload => self.read_units(),
            Act::Stop { unit } => {
                assert_eq!(
                    self.dependents(unit),
                    Vec::<String>::new(),
                    "they go down with {unit}, and no step said so"
                );
                self.log.push(format!("stop {unit}"));
                self.kill(unit);
            }
            Act::Restart { unit } => {
                assert_eq!(
                    self.dependents(unit),
                    Vec::<String>::new(),
                    "they restart with {unit}, and no step said so"
                );
                self.kill(unit);
                self.start(unit);
                assert_eq!(self.log.last(), Some(&format!("start {unit}")), "{unit} pulled something in");
                self.log.pop();
                self.log.push(format!("restart {unit}"));
            }
            Act::Start { unit } => self.start(unit),
            Act::Reload { unit } => self.reload(unit),
            Act::Refuse { .. } => panic!("a plan with a refusal is not applied"),
        }
    }

    fn reload(&mut self, unit: &str) {
        assert!(self.runs(unit), "{unit} does not run and cannot be reloaded");
        let definition = self.loaded_unit(unit).unwrap();
        self.log.push(format!("reload {unit}"));
        if unit == NATS {
            let (old, _) = self.server.clone().unwrap();
            self.server_reads();
            let (new, _) = self.server.clone().unwrap();
            assert!(effect_between(&old, &new) <= Effect::Reload, "nats-server refuses this reload");
        } else {
            let started = self.started(unit, &definition);
            self.runs.insert(unit.to_owned(), started);
        }
    }

    fn read_units(&mut self) {
        self.log.push("daemon-reload".to_owned());
        self.loaded.clear();
        self.links.clear();
        for (path, seen) in &self.files {
            let Some(name) = path.strip_prefix(UNITS) else { continue };
            match seen {
                SeenFile::File { digest, .. } if !name.contains('/') => {
                    self.loaded.insert(name.to_owned(), digest.clone());
                }
                SeenFile::Link { to } => drop(self.links.insert(path.clone(), to.clone())),
                _ => {}
            }
        }
    }

    /// What an observer would say.
    pub fn observe(&self) -> Observation {
        let names = self.loaded.keys().filter(|name| !name.contains("@.")).chain(self.runs.keys()).chain(&self.failed);
        let units = names.map(|name| {
            let file = self.loaded.get(name).map(|_| name.clone()).or_else(|| template(name)).unwrap_or_default();
            let on_disk = self.digest_at(&format!("{UNITS}{file}"));
            let active = match (self.runs(name), self.failed.contains(name)) {
                (true, _) => "active",
                (_, true) => "failed",
                _ => "inactive",
            };
            let seen = SeenUnit {
                active: active.to_owned(),
                fragment: format!("{UNITS}{file}"),
                needs_reload: on_disk.as_ref() != self.loaded.get(&file),
                main_pid: u32::from(self.runs(name)),
                ..SeenUnit::default()
            };
            (name.clone(), seen)
        });
        Observation {
            active: self.active.clone(),
            files: self.files.clone(),
            units: units.collect(),
            failed: self.failed.clone(),
            server_digest: self.server.as_ref().map(|(config, _)| format!("sha256:{}", server_digest(config))),
            users: None,
            packages: None,
        }
    }

    /// Plans, takes every step, and holds the result to everything that was promised. Returns the plan.
    pub fn apply(&mut self, old: Option<&Generation>, new: &Generation) -> MachinePlan {
        self.know(new);
        let plan = between(old.map(|old| &old.content), &new.content, &self.observe());
        self.log.clear();
        let steps: Vec<_> = plan.steps().cloned().collect();
        steps.iter().for_each(|step| self.take(&step.act));
        self.active = Some((self.active.as_ref().map_or(1, |(number, _)| number + 1), new.content.digest.clone()));
        self.is_said_by(&plan);
        self.is_as(new);
        let second = between(Some(&new.content), &new.content, &self.observe());
        assert!(
            second.is_empty(),
            "the second plan is not empty: {}",
            leafwright::plan::machine::render::human(&second)
        );
        plan
    }

    /// Each unit went down and came up at most once, and a step said so.
    fn is_said_by(&self, plan: &MachinePlan) {
        let mut seen = BTreeSet::new();
        for line in &self.log {
            assert!(seen.insert(line.clone()) || line == "daemon-reload", "`{line}` happened twice: {:?}", self.log);
        }
        let said = |line: &str| {
            plan.steps().any(|step| match &step.act {
                Act::Start { unit } => line == format!("start {unit}"),
                Act::Stop { unit } => line == format!("stop {unit}"),
                Act::Restart { unit } => line == format!("restart {unit}") || line == format!("start {unit}"),
                Act::Reload { unit } => line == format!("reload {unit}"),
                Act::Users => line == "users",
                Act::Directories => line == "directories",
                Act::Credentials { .. } => line == "credentials",
                Act::DaemonReload => line == "daemon-reload",
                _ => false,
            })
        };
        for line in &self.log {
            // A oneshot is run by what wants it.
            let once =
                line.strip_prefix("start ").is_some_and(|unit| !self.runs(unit) && !said(&format!("stop {unit}")));
            assert!(said(line) || once, "`{line}` happened and no step said so");
        }
    }

    /// Every file, link and process is that of the generation.
    fn is_as(&self, generation: &Generation) {
        let content = &generation.content;
        for (path, placed) in &content.files {
            let file = SeenFile::File { digest: placed.digest.clone(), mode: placed.mode, uid: 0, gid: 0 };
            assert_eq!(self.files.get(path), Some(&file), "{path}");
        }
        for (name, digest) in &self.loaded {
            assert_eq!(
                content.files.get(&format!("{UNITS}{name}")).map(|placed| &placed.digest),
                Some(digest),
                "{name}"
            );
        }
        for (name, started) in &self.runs {
            let definition = content.definition(name).unwrap_or_else(|| panic!("{name} runs and is not declared"));
            if !definition.get("Unit").is_some_and(|head| head.contains_key("X-LeafwrightRestart")) {
                assert_eq!(*started, self.started(name, definition), "{name} runs by something else");
            }
        }
        if let Some((config, certificates)) = &self.server {
            assert_eq!(*config, content.server, "nats-server runs with another configuration");
            for (path, placed) in content.files.iter().filter(|(_, placed)| placed.kind == ArtefactKind::Certificate) {
                assert_eq!(certificates.get(path), Some(&placed.digest), "{path}");
            }
        }
    }
}
