//! How units of a content hang together: what wants what, what stops with what, what is started after what; and which ought to run.
//!
//! Refuses: units of others. They are named in directives and have no edges of their own here.

use super::content::Content;
use super::enablement::DIRECTORIES;
use std::collections::{BTreeMap, BTreeSet};

type Section = BTreeMap<String, Vec<String>>;
type Edges = BTreeMap<String, BTreeSet<String>>;

/// Targets that a booted machine has reached: what they want ought to run now. What `shutdown.target` or `rescue.target` wants waits.
pub const REACHED: [&str; 12] = [
    "basic.target",
    "default.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network.target",
    "paths.target",
    "remote-fs.target",
    "slices.target",
    "sockets.target",
    "sysinit.target",
    "timers.target",
];

const KINDS: [&str; 9] = ["service", "socket", "timer", "target", "path", "mount", "automount", "slice", "swap"];

/// The edges between units of ours; instances stand for themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Every unit that can be loaded.
    pub units: BTreeSet<String>,
    /// Starting the key starts these (`Wants=`, `Requires=`, …, and the links of `WantedBy=`).
    pub pulls: Edges,
    /// Stopping or restarting one of these does so to the key (`Requires=`, `BindsTo=`, `PartOf=`, …); also a service's own socket,
    /// which systemd does not open while the service runs.
    pub stops_with: Edges,
    /// The key is started after these, and stopped before them.
    pub after: Edges,
    /// The key starts these when it is time (timers, sockets, paths).
    pub triggers: Edges,
    /// What ought to run on a booted machine.
    pub ought: BTreeSet<String>,
}

impl Graph {
    /// `seen` are instances that nobody declared and that are there all the same.
    pub fn of(content: &Content, seen: &BTreeSet<String>) -> Self {
        let mut graph = Self::default();
        graph.units.extend(content.units.keys().filter(|name| !is_template(name)).cloned());
        graph.units.extend(seen.iter().filter(|name| content.definition(name).is_some()).cloned());
        let mut waiting: Vec<String> = graph.units.iter().cloned().collect();
        while let Some(name) = waiting.pop() {
            graph.edges(content, &name);
            let wanted: Vec<_> = graph.pulls.get(&name).into_iter().flatten().cloned().collect();
            for other in wanted.into_iter().filter(|other| content.definition(other).is_some() && !is_template(other)) {
                if graph.units.insert(other.clone()) {
                    waiting.push(other);
                }
            }
        }
        graph.ought = graph.reached(content);
        graph
    }

    /// The edges that the definition of one unit says.
    fn edges(&mut self, content: &Content, name: &str) {
        let Some(unit) = content.definition(name) else { return };
        let none = Section::new();
        let head = unit.get("Unit").unwrap_or(&none);
        let each = |directives: &[&str]| -> Vec<String> {
            directives.iter().flat_map(|directive| words(head, directive)).map(|word| expanded(&word, name)).collect()
        };
        let put = |edges: &mut Edges, others: Vec<String>| edges.entry(name.to_owned()).or_default().extend(others);
        let put_back = |edges: &mut Edges, others: Vec<String>| {
            for other in others {
                edges.entry(other).or_default().insert(name.to_owned());
            }
        };
        put(&mut self.pulls, each(&["Wants", "Requires", "BindsTo", "Upholds"]));
        put(&mut self.stops_with, each(&["Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom"]));
        put_back(&mut self.stops_with, each(&["PropagatesStopTo"]));
        put(&mut self.after, each(&["After"]));
        put_back(&mut self.after, each(&["Before"]));
        // A target waits for what it wants, unless it says otherwise.
        if kind(name) == "target" {
            put(&mut self.after, each(&["Wants", "Requires", "BindsTo"]));
        }
        if let Some(install) = unit.get("Install").filter(|_| template_of(name).is_none()) {
            for (directive, _) in DIRECTORIES {
                let others: Vec<String> = words(install, directive).collect();
                put_back(&mut self.pulls, others.clone());
                for target in others.iter().filter(|other| kind(other) == "target") {
                    self.after.entry(target.clone()).or_default().insert(name.to_owned());
                }
                if directive == "RequiredBy" {
                    put_back(&mut self.stops_with, others);
                }
            }
        }
        self.activation(name, unit);
    }

    /// What a socket, timer or path starts; a socket is there before its service.
    fn activation(&mut self, name: &str, unit: &crate::resolve::Unit) {
        let (section, directive) = match kind(name) {
            "socket" => ("Socket", "Service"),
            "timer" => ("Timer", "Unit"),
            "path" => ("Path", "Unit"),
            _ => return,
        };
        let section = unit.get(section);
        let named = section.and_then(|section| words(section, directive).last());
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let other = named.map_or_else(|| format!("{stem}.service"), |word| expanded(&word, name));
        // A service for each connection has nothing to hold the socket with.
        let accepts = section.is_some_and(|section| says_yes(section, "Accept"));
        if kind(name) == "socket" && !accepts {
            self.after.entry(other.clone()).or_default().insert(name.to_owned());
            self.stops_with.entry(other.clone()).or_default().insert(name.to_owned());
        }
        self.triggers.entry(name.to_owned()).or_default().insert(other);
    }

    /// What the reached targets want, directly or by units of ours.
    fn reached(&self, content: &Content) -> BTreeSet<String> {
        let mut ought = BTreeSet::new();
        let mut waiting: Vec<&str> = REACHED.to_vec();
        while let Some(name) = waiting.pop() {
            for other in self.pulls.get(name).into_iter().flatten() {
                if content.definition(other).is_some() && ought.insert(other.clone()) {
                    waiting.push(other);
                }
            }
        }
        ought
    }

    /// Does something of ours start it when it is time?
    pub fn is_triggered(&self, name: &str) -> bool {
        let by = |template: &str| self.triggers.values().any(|others| others.contains(template));
        // For each connection of an accepting socket there is an instance of the service's template.
        by(name) || template_of(name).is_some_and(|template| by(&template) || by(&template.replace("@.", ".")))
    }

    /// Everything that `name` reaches by pulling and by order: what must be there before it.
    pub fn grounds(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![name];
        while let Some(name) = waiting.pop() {
            for other in [&self.pulls, &self.after].into_iter().filter_map(|edges| edges.get(name)).flatten() {
                if self.units.contains(other) && found.insert(other.clone()) {
                    waiting.push(other);
                }
            }
        }
        found
    }

    /// The edges of order of both: what is stopped has them from before and from now.
    pub fn ordered_with(&self, other: &Graph) -> Graph {
        let mut both = Graph { units: &self.units | &other.units, after: self.after.clone(), ..Graph::default() };
        for (name, others) in &other.after {
            both.after.entry(name.clone()).or_default().extend(others.iter().cloned());
        }
        both
    }

    /// Each unit's place in an order in which everything is started after what it says; a cycle is cut where it closes.
    pub fn order(&self) -> BTreeMap<String, usize> {
        let mut ranks = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for name in &self.units {
            self.visit(name, &mut seen, &mut ranks);
        }
        ranks
    }

    fn visit<'a>(&'a self, name: &'a str, seen: &mut BTreeSet<&'a str>, ranks: &mut BTreeMap<String, usize>) {
        if !seen.insert(name) {
            return;
        }
        for other in self.after.get(name).into_iter().flatten() {
            self.visit(other, seen, ranks);
        }
        ranks.insert(name.to_owned(), ranks.len());
    }
}

/// `todos@1.service` → `todos@.service`; `None` for what is no instance.
pub fn template_of(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

pub fn is_template(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with('@') && stem.matches('@').count() == 1)
}

/// `service` of `todos@1.service`.
pub fn kind(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// A whole name of a unit, which cannot leave its directory.
pub fn is_unit(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    KINDS.contains(&kind(name)) && name.len() > kind(name).len() + 1 && name.chars().all(word)
}

/// The words of a directive that may be repeated; an empty line takes back what came before.
pub fn words(section: &Section, directive: &str) -> impl Iterator<Item = String> {
    let values = section.get(directive).map_or(&[][..], Vec::as_slice);
    let from = values.iter().rposition(|value| value.is_empty()).map_or(0, |at| at + 1);
    let words: Vec<String> =
        values[from..].iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect();
    words.into_iter()
}

/// What systemd takes for true.
pub fn says_yes(section: &Section, directive: &str) -> bool {
    let last = section.get(directive).and_then(|values| values.last());
    last.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "yes" | "y" | "true" | "t" | "on"))
}

/// The specifiers that are of use in the name of another unit.
pub fn expanded(word: &str, name: &str) -> String {
    if !word.contains('%') {
        return word.to_owned();
    }
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::new();
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match (c, c == '%') {
            (_, true) => match chars.next() {
                Some('i') => out.push_str(instance),
                Some('p') => out.push_str(prefix),
                Some('n') => out.push_str(name),
                Some('N') => out.push_str(stem),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            },
            (c, false) => out.push(c),
        }
    }
    out
}
