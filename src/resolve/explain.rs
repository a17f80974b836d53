//! Where a value came from: every definition of an option, winners and losers, and why.
//!
//! Refuses: a second opinion. It asks the evaluation that every run uses.

use super::evaluate::{Cut, Evaluation, Out};
use super::layers::{Class, Def, Layer, Node, What, push};
use super::machine::{self, Subject};
use super::schema::{At, BUILT_IN, Decl, Default, Schema, Shape};
use super::types::Type;
use super::val::{Val, split_path};
use super::{BaseKey, HardwareKey, Plans, budget, codes, fit, references};
use crate::declare::{Declared, nearest};
use crate::diag::{Checked, Diagnostic, Report, Span};
use crate::name::MachineName;
use std::sync::Arc;

/// An option of one machine, explained.
#[derive(Debug)]
pub struct Explanation {
    pub machine: MachineName,
    pub option: String,
    /// `None` where nobody said anything, or what was said is wrong.
    pub value: Option<Val>,
    /// The type as it is declared; "table" between options.
    pub kind: String,
    pub doc: String,
    pub example: Option<Val>,
    /// Strongest first.
    pub definitions: Vec<Definition>,
}

#[derive(Debug)]
pub struct Definition {
    /// The option itself, or what lies below it.
    pub path: String,
    pub layer: Layer,
    pub class: Class,
    /// `None` for what is built in.
    pub span: Option<Span>,
    /// As it was written.
    pub text: String,
    pub verdict: Verdict,
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
    /// The condition of its block does not hold.
    Off,
}

/// Explains an option of a machine. The report has what the machine's own evaluation found on the way.
pub fn explain(declared: &Declared, machine: &MachineName, option: &str) -> Checked<Explanation> {
    let mut report = Report::default();
    let explanation = explained(declared, machine, option, &mut report);
    Checked::new(explanation, report.sorted())
}

fn explained(declared: &Declared, name: &MachineName, option: &str, report: &mut Report) -> Option<Explanation> {
    let domain = declared.domain.as_ref()?;
    let Some(machine) = declared.machines.get(name) else {
        let error = Diagnostic::error(codes::UNKNOWN_NAME, domain.name.span, format!("there is no machine `{name}`"));
        report.push(match nearest(name.as_str(), declared.machines.keys().map(MachineName::as_str)) {
            Some(near) => error.help(format!("ask for `{near}`")),
            None => error,
        });
        return None;
    };
    let plans = Plans::of(declared, domain, Some(name), report);
    let followed = references::follow(machine, domain, declared, report)?;
    let key: BaseKey = (
        machine.configuration.iter().map(|module| &module.value).collect(),
        followed.zone.name.value.clone(),
        HardwareKey::of(followed.hardware),
    );
    let schema = plans.schemas.get(&key.0)?;
    let ground = plans.ground(schema);
    let base = machine::base(ground, plans.closures[&key.0].clone(), (domain, &followed), report);
    let subject = Subject {
        machine,
        foreground: declared.foreground.get(name),
        domain,
        cluster: domain.clusters.values().next(),
        followed,
        base: &base,
    };
    let layers = subject.layers(report);
    let interpreter = budget::interpreter();
    let mut evaluation = machine::evaluation(&subject, &layers, &interpreter);
    let keys = split_path(option).unwrap_or_else(|| option.split('.').map(str::to_owned).collect());
    if let Err((depth, names)) = schema.find(&keys) {
        report.push(unknown((option, &keys), (depth, &names), schema, evaluation.origin));
        return None;
    }
    let value = match evaluation.walk(&keys) {
        Out::Value(value) => Some(value),
        Out::Absent | Out::Failed => None,
    };
    let (at, decl) = place(schema, &keys);
    let mut definitions = vec![];
    let (node, cut) = descend(&mut evaluation, &layers.root, &keys);
    let default = decl.as_ref().filter(|decl| decl.own).and_then(|decl| decl.decl.default.as_ref());
    collect(&mut evaluation, &mut option.to_owned(), (at, node, cut), &mut definitions);
    if let (At::Inside(kind), Some(default)) = (at, default) {
        let stands = definitions.iter().any(|d| matches!(d.verdict, Verdict::Wins | Verdict::Merges));
        let others = if stands { Others::Stand } else { Others::None };
        definitions.push(of_default(
            option,
            kind,
            (default, decl.as_ref().map_or(BUILT_IN, |decl| decl.decl.span)),
            others,
        ));
    }
    definitions.sort_by(|a, b| (b.class, b.layer, &a.path).cmp(&(a.class, a.layer, &b.path)));
    report.absorb(evaluation.report);
    Some(Explanation {
        machine: name.clone(),
        option: option.to_owned(),
        value,
        kind: decl.as_ref().map_or_else(
            || "table".to_owned(),
            |decl| if decl.own { decl.decl.written.to_string() } else { kind_name(at) },
        ),
        doc: decl.as_ref().map(|decl| decl.decl.doc.to_string()).unwrap_or_default(),
        example: decl.filter(|decl| decl.own).and_then(|decl| decl.decl.example.clone()),
        definitions,
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
    schema: &Schema,
    origin: Span,
) -> Diagnostic {
    let error = Diagnostic::error(codes::UNKNOWN_OPTION, origin, format!("there is no option `{option}` here"));
    let key = &keys[depth.min(keys.len() - 1)];
    if let Some(near) = nearest(key, names.iter().map(String::as_str)) {
        let mended: Vec<&str> = keys.iter().enumerate().map(|(at, key)| if at == depth { near } else { key }).collect();
        return error.help(format!("ask for `{}`", mended.join(".")));
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

fn descend<'e, 'a>(
    evaluation: &mut Evaluation<'e, 'a>,
    root: &'e Node<'a>,
    keys: &[String],
) -> (Option<&'e Node<'a>>, Cut) {
    let mut node = Some(root);
    let mut cut = Cut::NOTHING;
    for key in keys {
        if let Some(node) = node {
            cut = evaluation.descend(node, cut, key);
        }
        node = node.and_then(|node| node.children.get(&**key)).map(|child| &**child);
    }
    (node, cut)
}

fn collect<'e, 'a>(
    evaluation: &mut Evaluation<'e, 'a>,
    path: &mut String,
    (at, node, cut): (At<'a>, Option<&'e Node<'a>>, Cut),
    found: &mut Vec<Definition>,
) {
    let Some(node) = node else { return };
    let standing: Vec<&Def> = evaluation.standing(Some(node), cut);
    let best = standing.iter().map(|def| def.rank).max();
    let list = matches!(at, At::Inside(kind) if matches!(kind.inner(), Type::List(_) | Type::Set(_)));
    for def in &node.defs {
        let verdict = match &def.what {
            _ if !evaluation.is_on(def.block) => Verdict::Off,
            What::Remove(_) => Verdict::Removes,
            What::Present | What::Replace => continue,
            _ if !evaluation.stands(def, cut) => Verdict::Removed,
            _ if list
                && best.is_some_and(|best| best.class == Class::Settings && def.rank.class == Class::Settings) =>
            {
                Verdict::Merges
            }
            _ if best == Some(def.rank) => Verdict::Wins,
            _ => Verdict::Loses,
        };
        if matches!(def.what, What::Present | What::Replace) {
            continue;
        }
        found.push(Definition {
            path: path.clone(),
            layer: def.rank.layer,
            class: def.rank.class,
            span: (def.span != BUILT_IN).then_some(def.span),
            text: text(&def.what),
            verdict,
        });
    }
    for (key, child) in &node.children {
        let cut = evaluation.descend(node, cut, key);
        let Some(at) = at.step(key) else { continue };
        let before = push(path, key);
        collect(evaluation, path, (at, Some(child), cut), found);
        path.truncate(before);
    }
}

fn text(what: &What) -> String {
    match what {
        What::Value(value) => value.to_string(),
        What::Written(written) => fit::plain(&written.value).to_string(),
        What::Remove(items) => Val::List(items.iter().map(|item| item.value.clone()).collect()).to_string(),
        What::Present | What::Replace => String::new(),
    }
}

/// Is there a definition that stands beside the default?
#[derive(Clone, Copy)]
enum Others {
    Stand,
    None,
}

fn of_default(option: &str, kind: &Type, (default, span): (&Default, Span), others: Others) -> Definition {
    let table = matches!(kind.inner(), Type::Map(..) | Type::Record(_));
    let verdict = match (others, table) {
        (Others::None, _) => Verdict::Wins,
        (Others::Stand, true) => Verdict::Merges,
        (Others::Stand, false) => Verdict::Loses,
    };
    Definition {
        path: option.to_owned(),
        layer: Layer::OptionDefault,
        class: Class::Default,
        span: (span != BUILT_IN).then_some(span),
        text: match default {
            Default::Fixed(value) => value.to_string(),
            Default::Written(written) => fit::plain(&written.value).to_string(),
        },
        verdict,
    }
}
