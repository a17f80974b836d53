//! One machine: the base that it shares with its like, its own delta, the finished options.
//!
//! Refuses: doing for each machine what is the same for all of them.

use super::budget::Interpreter;
use super::codes;
use super::evaluate::{Evaluation, Out};
use super::layers::{Ground, Layer, Layers, Node, PlacedCheck, What, check_defaults, lay, lay_table, push};
use super::model::{self, Origins, Part};
use super::places::{Noted, Places};
use super::references::Followed;
use super::schema::BUILT_IN;
use super::shared::{Recorder, Shared};
use super::val::{self, Val};
use crate::declare::{self, Cluster, Domain, Module};
use crate::diag::{Diagnostic, Report, Severity, Span};
use crate::name::ModuleName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all machines with the same modules, zone and hardware share.
pub struct Base<'a> {
    pub ground: Ground<'a>,
    pub modules: Vec<&'a Module>,
    pub layers: Layers<'a>,
    /// Templates of all modules; of two with one name, the importer's.
    pub templates: Arc<BTreeMap<Box<str>, Arc<str>>>,
    /// Facts by name; a machine's own are still to be filled in.
    facts: Vec<(&'static str, Val)>,
    /// Where the strongest unconditional definition of each path stands.
    pub places: Arc<Places>,
}

/// Lays module, domain, zone and hardware over each other.
pub fn base<'a>(
    ground: Ground<'a>,
    modules: Vec<&'a Module>,
    (domain, followed): (&'a Domain, &Followed<'a>),
    report: &mut Report,
) -> Base<'a> {
    let mut layers = Layers::default();
    check_defaults(ground.schema, ground, report);
    for module in &modules {
        lay(&mut layers, (Layer::Module, &module.body), ground, report);
    }
    lay(&mut layers, (Layer::Domain, &domain.body), ground, report);
    lay(&mut layers, (Layer::Zone, &followed.zone.body), ground, report);
    lay(&mut layers, (Layer::Hardware, &followed.hardware.body), ground, report);
    let mut places = Noted::default();
    collect_places(&layers.root, &mut String::new(), &mut places);
    let templates = modules.iter().flat_map(|module| &module.texts).map(|(name, text)| (name.clone(), text.clone()));
    let templates = Arc::new(templates.collect());
    let facts = base_facts(domain, followed);
    Base { ground, modules, layers, templates, facts, places: Arc::new(places.finish()) }
}

/// The winners' places of a tree, as far as no condition decides.
pub fn collect_places(node: &Node, path: &mut String, places: &mut Noted) {
    let certain = node.defs.iter().filter(|def| def.block == super::layers::BlockId::ALWAYS);
    let strongest =
        certain.filter(|def| !matches!(def.what, What::Remove(_))).max_by_key(|def: &&super::layers::Def| def.rank);
    if let Some(def) = strongest {
        places.insert(path, def.span);
    }
    for (key, child) in &node.children {
        let before = push(path, key);
        collect_places(child, path, places);
        path.truncate(before);
    }
}

/// A machine with everything that its evaluation needs.
#[derive(Clone, Copy)]
pub struct Subject<'a, 'b> {
    pub machine: &'a declare::Machine,
    pub foreground: Option<&'a declare::Table>,
    pub cluster: Option<&'a Cluster>,
    pub followed: Followed<'a>,
    pub base: &'b Base<'a>,
}

impl<'a> Subject<'a, '_> {
    fn part(&self) -> Part {
        let member =
            self.cluster.is_some_and(|cluster| cluster.members.iter().any(|member| member.value == self.machine.name));
        if member { Part::Member } else { Part::Leaf }
    }

    pub fn origin(&self) -> Span {
        self.machine.configuration.first().map_or(Span::new(self.machine.source, 0..0), |first| first.span)
    }

    /// The machine's own delta on top of the base.
    pub fn layers(&self, report: &mut Report) -> Layers<'a> {
        let base = &self.base.layers;
        // Conditions of the base keep their numbers; those of the machine follow.
        let mut layers = Layers { root: base.root.clone(), conditions: base.conditions.clone(), ..Layers::default() };
        lay(&mut layers, (Layer::Machine, &self.machine.body), self.base.ground, report);
        if let Some(foreground) = self.foreground {
            lay_table(&mut layers, foreground, self.base.ground, report);
        }
        layers
    }

    /// The facts of the base, with the machine's own.
    fn facts(&self) -> Vec<(&'static str, Val)> {
        let Self { machine, followed, .. } = self;
        let names = |names: Vec<&str>| Val::List(names.into_iter().map(Val::text).collect());
        let mut facts = self.base.facts.clone();
        for (name, value) in &mut facts {
            *value = match *name {
                "machine.name" => Val::text(machine.name.as_str()),
                "machine.person" | "person.name" => Val::text(followed.person.name.as_str()),
                "machine.cluster" => Val::text(self.cluster.map_or("", |cluster| cluster.name.value.as_str())),
                "machine.part" => Val::text(if self.part() == Part::Member { "member" } else { "leaf" }),
                "machine.configuration" => {
                    names(machine.configuration.iter().map(|module| module.value.as_str()).collect())
                }
                "person.roles" => names(followed.person.roles.iter().map(|role| role.value.as_str()).collect()),
                _ => continue,
            };
        }
        facts
    }
}

/// Facts of the domain, the zone and the hardware, and the names of the machine's own.
fn base_facts(domain: &Domain, followed: &Followed) -> Vec<(&'static str, Val)> {
    let Followed { hardware, zone, .. } = followed;
    let [zone, name] = [zone.name.value.as_str(), hardware.name.as_str()].map(Val::text);
    let mut facts = domain_facts(domain);
    facts.extend([
        ("machine.name", Val::Null),
        ("machine.zone", zone.clone()),
        ("machine.person", Val::Null),
        ("machine.hardware", name.clone()),
        ("machine.cluster", Val::Null),
        ("machine.part", Val::Null),
        ("machine.configuration", Val::Null),
        ("hardware.name", name),
        ("hardware.arch", Val::text(&hardware.arch.value)),
        ("hardware.cores", Val::Int(hardware.cores.value.into())),
        ("hardware.memory", Val::Size(hardware.memory.value)),
        ("hardware.disk", Val::Size(hardware.disk.value)),
        ("person.name", Val::Null),
        ("person.roles", Val::Null),
        ("zone.name", zone),
    ]);
    facts
}

/// `domain.*` and `cluster.*`.
pub fn domain_facts(domain: &Domain) -> Vec<(&'static str, Val)> {
    let cluster = domain.clusters.values().next();
    let members =
        cluster.into_iter().flat_map(|cluster| &cluster.members).map(|member| Val::text(member.value.as_str()));
    vec![
        ("domain.name", Val::text(domain.name.value.as_str())),
        ("domain.dns", Val::text(domain.dns.value.as_str())),
        ("domain.account", Val::text(super::account(domain).as_str())),
        ("cluster.name", Val::text(cluster.map_or("", |cluster| cluster.name.value.as_str()))),
        ("cluster.members", Val::List(members.collect())),
    ]
}

/// Starts an evaluation of a machine over its layers.
pub fn evaluation<'e, 'a>(
    subject: &Subject<'a, '_>,
    layers: &'e Layers<'a>,
    interpreter: &'e Interpreter,
) -> Evaluation<'e, 'a> {
    let mut evaluation = Evaluation::new(subject.base.ground, layers, interpreter, subject.origin());
    evaluation.facts = subject.facts();
    evaluation.touched.clone_from(&layers.touched);
    evaluation
}

/// Works out once what all machines of the base have in common; any of them serves as the example.
pub fn share(subject: &Subject, interpreter: &Interpreter) -> Shared {
    let layers = &subject.base.layers;
    let mut evaluation = evaluation(subject, layers, interpreter);
    evaluation.recorder = Some(Recorder::default());
    if let Out::Value(_) = evaluation.all() {
        for (at, placed) in layers.checks.iter().enumerate() {
            let holds = |evaluation: &mut Evaluation| {
                let that = evaluation.ground.expressions.condition(&placed.check.that.value).ok()?;
                evaluation
                    .is_on(placed.block)
                    .then(|| evaluation.holds(&that, &placed.check.that.value, placed.check.that.span))?
            };
            evaluation.recorder.get_or_insert_default().begin();
            let holds = holds(&mut evaluation);
            evaluation.recorder.get_or_insert_default().end_check(at, holds.into());
        }
    }
    evaluation.recorder.unwrap_or_default().shared
}

/// Resolves a machine.
pub fn resolve(
    subject: &Subject,
    shared: &Shared,
    interpreter: &Interpreter,
    report: &mut Report,
) -> Option<model::Machine> {
    let mut own = Report::default();
    let layers = subject.layers(&mut own);
    let mut evaluation = evaluation(subject, &layers, interpreter);
    evaluation.shared = Some(shared);
    let out = evaluation.all();
    if let Out::Value(_) = out {
        for (at, check) in subject.base.layers.checks.iter().enumerate() {
            if !shared.check_holds(at, &evaluation.touched) {
                judge(&mut evaluation, check, subject.base);
            }
        }
        for check in &layers.checks {
            judge(&mut evaluation, check, subject.base);
        }
    }
    own.absorb(evaluation.report);
    let options = match &out {
        Out::Value(value) => options(value, subject.origin(), &mut own),
        Out::Absent | Out::Failed => None,
    };
    let origins = Origins {
        places: Arc::new(evaluation.places.finish()),
        base: subject.base.places.clone(),
        fallback: Some(subject.origin()),
    };
    let sound = !own.has_errors();
    report.absorb(own);
    let Subject { machine, followed, .. } = subject;
    Some(model::Machine {
        name: machine.name.clone(),
        part: subject.part(),
        zone: followed.zone.name.value.clone(),
        hardware: super::hardware::required(followed.hardware),
        person: followed.person.name.clone(),
        events: machine.events.iter().map(|set| set.value.clone()).collect(),
        modules: subject.base.modules.iter().map(|module| module.name.clone()).collect::<Vec<ModuleName>>(),
        options: options?,
        templates: subject.base.templates.clone(),
        origins,
        origin: subject.origin(),
    })
    .filter(|_| sound)
}

/// The built-in options as structs; what modules declare beside them is read by templates and expressions only.
fn options(value: &Val, origin: Span, report: &mut Report) -> Option<model::Options> {
    let core = only(value, &super::core::MACHINE_OPTIONS.roots);
    typed(&core, origin, report)
}

/// Reads a tree into its struct; that it does not fit is a fault of Leafwright, reported rather than panicked about.
pub fn typed<T: serde::de::DeserializeOwned>(value: &Val, origin: Span, report: &mut Report) -> Option<T> {
    match val::read(value) {
        Ok(options) => Some(options),
        Err(fault) => {
            report.push(Diagnostic::error(
                codes::DOES_NOT_FIT,
                origin,
                format!("the option tree does not fit its model: {fault}"),
            ));
            None
        }
    }
}

/// The part of a tree that a schema knows.
pub fn only(value: &Val, group: &BTreeMap<Arc<str>, super::schema::Shape>) -> Val {
    let kept = group.iter().filter_map(|(key, shape)| {
        let value = value.get(key)?;
        let value = match shape {
            super::schema::Shape::Group(inner) => only(value, inner),
            super::schema::Shape::Option(_) => value.clone(),
        };
        Some((key.clone(), value))
    });
    Val::Map(kept.collect())
}

/// An assertion that does not hold, or a warning whose condition does not.
fn judge(evaluation: &mut Evaluation, placed: &PlacedCheck, base: &Base) {
    if !evaluation.is_on(placed.block) {
        return;
    }
    let check = placed.check;
    let Ok(that) = evaluation.ground.expressions.condition(&check.that.value) else { return };
    if evaluation.holds(&that, &check.that.value, check.that.span) != Some(false) {
        return;
    }
    let say = if check.say.value.contains("${") {
        evaluation.text(&check.say.value, check.say.span)
    } else {
        Some(Val::text(&check.say.value))
    };
    let message = match say {
        Some(Val::Text(text)) => text.to_string(),
        Some(other) => other.to_string(),
        None => return,
    };
    // The line that the user wrote: what the condition reads, where the machine or the domain says it.
    let written = that.slots().find_map(|slot| {
        let path = slot.keys.iter().map(|key| val::path_key(key).into_owned()).collect::<Vec<_>>().join(".");
        let span = evaluation.places.get(&path).or_else(|| base.places.get(&path))?;
        (!base.modules.iter().any(|module| module.source == span.source)).then_some(span)
    });
    let own = placed.layer > Layer::Module;
    let primary = match written {
        Some(span) if span != BUILT_IN => span,
        _ if own => check.that.span,
        _ => evaluation.origin,
    };
    let (code, words) = match placed.severity {
        Severity::Error => (codes::ASSERTION, "asserted here"),
        Severity::Warning => (codes::WARNING, "watched here"),
    };
    let mut finding = match placed.severity {
        Severity::Error => Diagnostic::error(code, primary, message),
        Severity::Warning => Diagnostic::warning(code, primary, message),
    };
    if primary != check.that.span {
        finding = finding.also(check.that.span, words);
    }
    evaluation.report.push(finding);
}
