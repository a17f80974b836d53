//! What was said about an option and below it, strongest first, each with its verdict and what its expressions read.
//!
//! Refuses: tables between options; each option in one is explained by itself.

use super::{BUILT_IN, Decl, Definition, Input, Verdict};
use crate::declare::Value;
use crate::diag::Span;
use crate::resolve::evaluate::{Cut, Evaluation};
use crate::resolve::fit;
use crate::resolve::layers::{Class, Def, Layer, Node, What, push};
use crate::resolve::schema::{At, Default, Schema};
use crate::resolve::types::Type;
use crate::resolve::val::{Val, split_path};

pub(super) fn all<'a>(
    evaluation: &mut Evaluation<'_, 'a>,
    (option, keys): (&str, &[String]),
    (at, kind): (At<'a>, &Type),
    decl: Option<&Decl>,
) -> Vec<Definition> {
    let mut found = vec![];
    let (node, cut) = descend(evaluation, keys);
    collect(evaluation, &mut option.to_owned(), (at, node, cut), &mut found);
    if let Some((default, decl)) = decl.and_then(|decl| Some((decl.default.as_ref()?, decl))) {
        let others = match found.iter().any(|d| matches!(d.verdict, Verdict::Wins | Verdict::Merges)) {
            true => Others::Stand,
            false => Others::None,
        };
        let mut definition = of_default(option, kind, (default, decl.span), others);
        if let (Default::Written(written), true) = (default, counts(definition.verdict)) {
            definition.inputs = inputs(evaluation, option, &written.value);
        }
        found.push(definition);
    }
    found.sort_by(|a, b| (b.class, b.layer, &a.path).cmp(&(a.class, a.layer, &b.path)));
    found
}

fn counts(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Wins | Verdict::Merges)
}

/// What the expressions of a value read. `key` is the entry of the table that the value stands in.
fn inputs(evaluation: &mut Evaluation<'_, '_>, path: &str, value: &Value) -> Vec<Input> {
    let key = split_path(path).and_then(|keys| key_at(evaluation.ground.schema, &keys));
    let read = evaluation.inputs(value, key.as_deref());
    read.into_iter().map(|(path, value)| Input { path, value }).collect()
}

fn key_at(schema: &Schema, keys: &[String]) -> Option<String> {
    let mut at = At::Group(&schema.roots);
    let mut found = None;
    for key in keys {
        if let At::Inside(kind) = at
            && matches!(kind.inner(), Type::Map(..))
        {
            found = Some(key.clone());
        }
        at = at.step(key)?;
    }
    found
}

fn descend<'e, 'a>(evaluation: &mut Evaluation<'e, 'a>, keys: &[String]) -> (Option<&'e Node<'a>>, Cut) {
    let root = evaluation.root;
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
    // An entry that says nothing but that it is there is told; others are told by what they say.
    let is_told = |def: &&Def| match def.what {
        What::Present => node.children.is_empty(),
        What::Replace => false,
        What::Value(_) | What::Written(_) | What::Remove(_) => true,
    };
    for def in node.defs.iter().filter(is_told) {
        let verdict = match &def.what {
            _ if !evaluation.is_on(def.block) => Verdict::Off,
            What::Remove(_) => Verdict::Removes,
            _ if !evaluation.stands(def, cut) => Verdict::Removed,
            What::Present => Verdict::Merges,
            _ if list
                && best.is_some_and(|best| best.class == Class::Settings && def.rank.class == Class::Settings) =>
            {
                Verdict::Merges
            }
            _ if best == Some(def.rank) => Verdict::Wins,
            _ => Verdict::Loses,
        };
        found.push(Definition {
            path: path.clone(),
            layer: Some(def.rank.layer),
            class: def.rank.class,
            span: (def.span != BUILT_IN).then_some(def.span),
            text: text(&def.what),
            verdict,
            inputs: match &def.what {
                What::Written(written) if counts(verdict) => inputs(evaluation, path, &written.value),
                _ => vec![],
            },
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
        What::Present => "{}".to_owned(),
        What::Replace => String::new(),
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
        layer: Some(Layer::OptionDefault),
        class: Class::Default,
        span: (span != BUILT_IN).then_some(span),
        text: match default {
            Default::Fixed(value) => value.to_string(),
            Default::Written(written) => fit::plain(&written.value).to_string(),
        },
        verdict,
        inputs: vec![],
    }
}
