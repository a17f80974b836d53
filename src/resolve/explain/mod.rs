//! Where a value came from: every definition of an option, winners and losers, and why.
//!
//! Refuses: a second opinion. It asks the evaluation that every run uses.

mod definitions;

use super::cluster;
use super::evaluate::{Evaluation, Out};
use super::layers::{Class, Layer};
use super::machine::{self, Subject};
use super::schema::{At, BUILT_IN, Decl, Schema, Shape};
use super::types::Type;
use super::val::{Val, split_path};
use super::{BaseKey, HardwareKey, Plans, budget, codes, core, references};
use crate::declare::{Declared, Domain, Hardware, nearest};
use crate::diag::{Checked, Diagnostic, Report, Span};
use crate::name::MachineName;
use std::sync::Arc;

/// An option of one machine, or of the cluster, explained.
#[derive(Debug)]
pub struct Explanation {
    /// The machine, or the cluster.
    pub of: MachineName,
    pub whose: Whose,
    pub option: String,
    /// `None` where nobody said anything, or what was said is wrong.
    pub value: Option<Val>,
    /// The entry on the way to it that does not exist: `services.todos`.
    pub missing: Option<String>,
    /// The type as it is declared; "table" between options, "fact" for what is not an option.
    pub kind: String,
    pub doc: String,
    pub example: Option<Val>,
    /// Strongest first.
    pub definitions: Vec<Definition>,
    /// Of a table between options: each option in it.
    pub below: Vec<Explanation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    Machine,
    Cluster,
}

#[derive(Debug)]
pub struct Definition {
    /// The option itself, or what lies below it.
    pub path: String,
    /// `None` for a fact, which no layer says.
    pub layer: Option<Layer>,
    pub class: Class,
    /// `None` for what is built in.
    pub span: Option<Span>,
    /// As it was written.
    pub text: String,
    pub verdict: Verdict,
    /// What its expressions read, where it counts.
    pub inputs: Vec<Input>,
}

/// Something that an expression reads, and what it is; `None` where nobody said anything.
#[derive(Debug, PartialEq)]
pub struct Input {
    pub path: String,
    pub value: Option<Val>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Wins,
    /// One of several that make up a list or a table.
    Merges,
    Loses,
    /// A stronger layer took it away, by `[remove]` or by a `[force]` of the whole.
    Removed,
    /// It takes something away.
    Removes,
    /// The condition of its block does not hold, or the entry that it would be a part of does not exist.
    Off,
}

/// Explains an option of a machine or of the cluster. The report has what the evaluation found on the way.
pub fn explain(declared: &Declared, of: &MachineName, option: &str) -> Checked<Explanation> {
    let mut report = Report::default();
    let explanation = explained(declared, of, option, &mut report);
    Checked::new(explanation, report.sorted())
}

fn explained(declared: &Declared, name: &MachineName, option: &str, report: &mut Report) -> Option<Explanation> {
    let domain = declared.domain.as_ref()?;
    if declared.machines.contains_key(name) {
        of_machine((declared, domain), name, option, report)
    } else if domain.clusters.contains_key(name) {
        of_cluster((declared, domain), name, option, report)
    } else {
        let error = Diagnostic::error(
            codes::UNKNOWN_NAME,
            domain.name.span,
            format!("there is no machine and no cluster `{name}`"),
        );
        let known = declared.machines.keys().chain(domain.clusters.keys()).map(MachineName::as_str);
        report.push(match nearest(name.as_str(), known) {
            Some(near) => error.help(format!("ask for `{near}`")),
            None => error,
        });
        None
    }
}

fn of_machine(
    (declared, domain): (&Declared, &Domain),
    name: &MachineName,
    option: &str,
    report: &mut Report,
) -> Option<Explanation> {
    let machine = declared.machines.get(name)?;
    let plans = Plans::of(declared, domain, Some(name), report);
    let followed = references::follow(machine, domain, declared, report)?;
    let hardware = followed.hardware;
    let key: BaseKey = (
        machine.configuration.iter().map(|module| &module.value).collect(),
        followed.zone.name.value.clone(),
        HardwareKey::of(hardware),
    );
    let schema = plans.schemas.get(&key.0)?;
    let ground = plans.ground(schema);
    let base = machine::base(ground, plans.closures[&key.0].clone(), (domain, &followed), report);
    let subject = Subject {
        machine,
        foreground: declared.foreground.get(name),
        cluster: domain.clusters.values().next(),
        followed,
        base: &base,
    };
    let layers = subject.layers(report);
    let interpreter = budget::interpreter();
    let evaluation = machine::evaluation(&subject, &layers, &interpreter);
    let asked = Asked { of: name, whose: Whose::Machine, hardware: Some(hardware), domain };
    answer(evaluation, &asked, option, report)
}

fn of_cluster(
    (declared, domain): (&Declared, &Domain),
    name: &MachineName,
    option: &str,
    report: &mut Report,
) -> Option<Explanation> {
    let cluster = domain.clusters.get(name)?;
    // What is wrong with machines is no matter of the cluster's options.
    let plans = Plans::of(declared, domain, None, &mut Report::default());
    let ground = plans.ground(&core::CLUSTER_OPTIONS);
    let layers = cluster::layers(cluster, ground, report);
    let interpreter = budget::interpreter();
    let evaluation = cluster::evaluation((domain, cluster), ground, &layers, &interpreter);
    let asked = Asked { of: name, whose: Whose::Cluster, hardware: None, domain };
    answer(evaluation, &asked, option, report)
}

/// Who is asked.
struct Asked<'a> {
    of: &'a MachineName,
    whose: Whose,
    hardware: Option<&'a Hardware>,
    domain: &'a Domain,
}

fn answer(
    mut evaluation: Evaluation<'_, '_>,
    asked: &Asked<'_>,
    option: &str,
    report: &mut Report,
) -> Option<Explanation> {
    let keys = split_path(option).unwrap_or_else(|| option.split('.').map(str::to_owned).collect());
    let schema = evaluation.ground.schema;
    let found = match schema.find(&keys) {
        Ok(_) => Some(one(&mut evaluation, asked, option, &keys)),
        Err((depth, names)) => fact(&evaluation, asked, option, &keys).or_else(|| {
            let facts: Vec<&str> = evaluation.facts.iter().map(|(name, _)| *name).collect();
            report.push(unknown((option, &keys), (depth, &names), (schema, &facts), evaluation.origin));
            None
        }),
    };
    report.absorb(evaluation.report);
    found
}

/// One option, or a table of them.
fn one<'a>(evaluation: &mut Evaluation<'_, 'a>, asked: &Asked<'_>, option: &str, keys: &[String]) -> Explanation {
    let schema = evaluation.ground.schema;
    let (value, missing) = match evaluation.walk(keys) {
        Out::Value(value) => (Some(value), None),
        Out::Absent => (None, missing(evaluation, keys)),
        Out::Failed => (None, None),
    };
    let (at, decl) = place(schema, keys);
    let (mut definitions, mut below) = (vec![], vec![]);
    match at {
        At::Group(group) => below = options(evaluation, asked, option, group),
        At::Inside(kind) => {
            let default = decl.as_ref().filter(|decl| decl.own).map(|decl| &*decl.decl);
            definitions = definitions::all(evaluation, (option, keys), (at, kind), default);
            if missing.is_some() {
                // A default says nothing where there is nothing that it could be a part of.
                definitions.iter_mut().for_each(|definition| definition.verdict = Verdict::Off);
            }
        }
    }
    Explanation {
        of: asked.of.clone(),
        whose: asked.whose,
        option: option.to_owned(),
        value,
        missing,
        kind: decl.as_ref().map_or_else(
            || "table".to_owned(),
            |decl| if decl.own { decl.decl.written.to_string() } else { kind_name(at) },
        ),
        doc: decl.as_ref().map(|decl| decl.decl.doc.to_string()).unwrap_or_default(),
        example: decl.filter(|decl| decl.own).and_then(|decl| decl.decl.example.clone()),
        definitions,
        below,
    }
}

/// Every option of a table between options; tables in it are opened.
fn options<'a>(
    evaluation: &mut Evaluation<'_, 'a>,
    asked: &Asked<'_>,
    path: &str,
    group: &'a std::collections::BTreeMap<Arc<str>, Shape>,
) -> Vec<Explanation> {
    let mut found = vec![];
    for (key, shape) in group {
        let path = format!("{path}.{key}");
        match shape {
            Shape::Group(inner) => found.extend(options(evaluation, asked, &path, inner)),
            Shape::Option(_) => {
                let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
                found.push(one(evaluation, asked, &path, &keys));
            }
        }
    }
    found
}

/// The first entry on the way that does not exist.
fn missing(evaluation: &mut Evaluation<'_, '_>, keys: &[String]) -> Option<String> {
    let schema = evaluation.ground.schema;
    // Looking at the whole of an entry may find faults of its neighbours; they are not what was asked about.
    let before = evaluation.report.diagnostics.len();
    let depth = (1..keys.len()).find(|depth| {
        let entry = matches!(schema.find(&keys[..*depth]), Ok(At::Inside(_)));
        entry && matches!(evaluation.walk(&keys[..*depth]), Out::Absent)
    });
    evaluation.report.diagnostics.truncate(before);
    let path: Vec<_> = keys[..depth?].iter().map(|key| super::val::path_key(key)).collect();
    Some(path.join("."))
}

/// What expressions may read besides options: `hardware.cores`, `machine.zone`.
fn fact(evaluation: &Evaluation<'_, '_>, asked: &Asked<'_>, option: &str, keys: &[String]) -> Option<Explanation> {
    let keys: Vec<Box<str>> = keys.iter().map(|key| key.as_str().into()).collect();
    let value = evaluation.fact(&keys)?;
    let span = match (option, asked.hardware) {
        ("hardware.arch", Some(hardware)) => Some(hardware.arch.span),
        ("hardware.cores", Some(hardware)) => Some(hardware.cores.span),
        ("hardware.memory", Some(hardware)) => Some(hardware.memory.span),
        ("hardware.disk", Some(hardware)) => Some(hardware.disk.span),
        ("domain.name", _) => Some(asked.domain.name.span),
        ("domain.dns", _) => Some(asked.domain.dns.span),
        _ => None,
    };
    let definition = span.map(|span| Definition {
        path: option.to_owned(),
        layer: None,
        class: Class::Settings,
        span: Some(span),
        text: value.to_string(),
        verdict: Verdict::Wins,
        inputs: vec![],
    });
    Some(Explanation {
        of: asked.of.clone(),
        whose: asked.whose,
        option: option.to_owned(),
        value: Some(value),
        missing: None,
        kind: "fact".to_owned(),
        doc: "What is so, and no option: expressions read it, no layer sets it.".to_owned(),
        example: None,
        definitions: definition.into_iter().collect(),
        below: vec![],
    })
}

fn kind_name(at: At) -> String {
    match at {
        At::Group(_) => "table".into(),
        At::Inside(kind) => kind.name(),
    }
}

fn unknown(
    (option, keys): (&str, &[String]),
    (depth, names): (usize, &[String]),
    (schema, facts): (&Schema, &[&str]),
    origin: Span,
) -> Diagnostic {
    let error = Diagnostic::error(codes::UNKNOWN_OPTION, origin, format!("there is no option `{option}` here"));
    let key = &keys[depth.min(keys.len() - 1)];
    if let Some(near) = nearest(key, names.iter().map(String::as_str)) {
        let mended: Vec<&str> = keys.iter().enumerate().map(|(at, key)| if at == depth { near } else { key }).collect();
        return error.help(format!("ask for `{}`", mended.join(".")));
    }
    if let Some(near) = nearest(option, facts.iter().copied()) {
        return error.help(format!("ask for `{near}`"));
    }
    match schema.elsewhere(key).as_slice() {
        [] => error.help(format!("what stands there: {}", names.join(", "))),
        found => error.help(format!("there is `{}`", found.join("`, `"))),
    }
}

/// The innermost declaration on the way to a path.
struct Declaration {
    decl: Arc<Decl>,
    /// The path is the declared option itself, not an entry or part of it.
    own: bool,
}

fn place<'s>(schema: &'s Schema, keys: &[String]) -> (At<'s>, Option<Declaration>) {
    let mut at = At::Group(&schema.roots);
    let mut found: Option<Declaration> = None;
    for key in keys {
        let declared = match at {
            At::Group(group) => match group.get(&**key) {
                Some(Shape::Option(decl)) => Some(decl.clone()),
                _ => None,
            },
            At::Inside(kind) => match kind.inner() {
                Type::Record(record) => record.fields.get(&**key).cloned(),
                _ => None,
            },
        };
        found = match (declared, found) {
            (Some(decl), _) => Some(Declaration { decl, own: true }),
            (None, found) => found.map(|found| Declaration { own: false, ..found }),
        };
        match at.step(key) {
            Some(next) => at = next,
            None => break,
        }
    }
    (at, found)
}
