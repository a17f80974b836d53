//! How an explained option reads, for people and for programs.
//!
//! Refuses: working anything out; `resolve::explain` has.

use crate::diag::Sources;
use crate::resolve::val::Val;
use crate::resolve::{Class, Definition, Explanation, Layer, Verdict, Whose, fields};
use serde_json::json;
use std::fmt::Write as _;

/// For people: value, type, doc, then every definition, strongest first; of a table, each option in it.
#[must_use]
pub fn text(explanation: &Explanation, sources: &Sources) -> String {
    if !explanation.below.is_empty() {
        return table(explanation, sources);
    }
    let mut out = match (&explanation.value, &explanation.missing) {
        (Some(value), _) => format!("{} = {value}\n", explanation.option),
        (None, Some(missing)) => {
            format!("{} has no value, because {} has no `{missing}`\n", explanation.option, explanation.of)
        }
        (None, None) => format!("{} has no value\n", explanation.option),
    };
    let mut line = |name: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name:<9}{text}");
    };
    if !explanation.doc.is_empty() {
        line("doc", &explanation.doc);
    }
    line("type", &explanation.kind);
    let fields = fields(&explanation.option);
    if !fields.is_empty() {
        line("fields", &format!("{}: docs/options.md", fields.join(", ")));
    }
    if let Some(example) = &explanation.example {
        line("example", &example.to_string());
    }
    let rows: Vec<[String; 4]> =
        explanation.definitions.iter().map(|definition| row(explanation, definition, sources)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for ([verdict, said, place, text], definition) in rows.iter().zip(&explanation.definitions) {
        let _ = writeln!(out, "  {verdict:<0$}  {said:<1$}  {place:<2$}  {text}", widths[0], widths[1], widths[2]);
        for input in &definition.inputs {
            let value = input.value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            let _ = writeln!(out, "  {:<1$}    {2} = {value}", "", widths[0], input.path);
        }
    }
    out
}

/// The options of a table, one a line: what it is, and who said so.
fn table(explanation: &Explanation, sources: &Sources) -> String {
    let Explanation { of, option, below, .. } = explanation;
    let mut out = format!("{option} of {of}: {} options\n", below.len());
    let rows: Vec<[String; 3]> = below
        .iter()
        .map(|inner| {
            let value = inner.value.as_ref().map_or_else(|| "no value".to_owned(), |value| format!("= {value}"));
            let stands = |d: &&Definition| matches!(d.verdict, Verdict::Wins | Verdict::Merges);
            let by = inner.definitions.iter().find(stands).map_or_else(String::new, |definition| {
                let [_, said, place, _] = row(inner, definition, sources);
                format!("{said}  {place}")
            });
            [inner.option.clone(), value, by]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1).min(WIDEST)];
    for [option, value, by] in &rows {
        let line = format!("  {option:<0$}  {value:<1$}  {by}", widths[0], widths[1]);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let _ = writeln!(out, "each by itself: `leafwright explain {of} {}`", below[0].option);
    out
}

/// A longer value pushes what follows it to the right, and no other line.
const WIDEST: usize = 44;

/// Verdict, who said it, where, what.
fn row(explanation: &Explanation, definition: &Definition, sources: &Sources) -> [String; 4] {
    let place = definition.span.map_or_else(|| "built in".to_owned(), |span| sources.place(span).to_string());
    let below = definition.path.strip_prefix(&explanation.option).unwrap_or_default();
    let below = below.trim_start_matches('.');
    let text = if below.is_empty() { definition.text.clone() } else { format!("{below} = {}", definition.text) };
    let said = said(explanation.whose, definition.layer, definition.class);
    [verdict(definition.verdict).to_owned(), said, place, text]
}

/// For programs.
#[must_use]
pub fn json(explanation: &Explanation, sources: &Sources) -> serde_json::Value {
    let definitions: Vec<_> = explanation
        .definitions
        .iter()
        .map(|definition| {
            json!({
                "path": definition.path,
                "layer": definition.layer,
                "class": definition.class,
                "place": definition.span.map(|span| sources.place(span)),
                "text": definition.text,
                "verdict": definition.verdict,
                "inputs": definition.inputs.iter().map(|input| json!({
                    "path": input.path,
                    "value": input.value.as_ref().map(Val::json),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let (machine, cluster) = match explanation.whose {
        Whose::Machine => (Some(&explanation.of), None),
        Whose::Cluster => (None, Some(&explanation.of)),
    };
    json!({
        "machine": machine,
        "cluster": cluster,
        "option": explanation.option,
        "value": explanation.value.as_ref().map(Val::json),
        "type": explanation.kind,
        "doc": explanation.doc,
        "example": explanation.example.as_ref().map(Val::json),
        "missing": explanation.missing,
        "definitions": definitions,
        "options": explanation.below.iter().map(|inner| json(inner, sources)).collect::<Vec<_>>(),
    })
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Wins => "wins",
        Verdict::Merges => "merges",
        Verdict::Loses => "loses",
        Verdict::Removed => "removed",
        Verdict::Removes => "removes",
        Verdict::Off => "off",
    }
}

/// "machine [settings]", "option default", "fact".
fn said(whose: Whose, layer: Option<Layer>, class: Class) -> String {
    let Some(layer) = layer else { return "fact".to_owned() };
    let layer = match layer {
        Layer::OptionDefault => return "option default".to_owned(),
        Layer::ModuleDefault | Layer::Module => "module",
        Layer::Domain => "domain",
        Layer::Zone => "zone",
        Layer::Hardware => "hardware",
        Layer::Machine if whose == Whose::Cluster => "cluster",
        Layer::Machine => "machine",
        Layer::Foreground => return "foreground".to_owned(),
    };
    let class = match class {
        Class::Default => "[default]",
        Class::Settings => "[settings]",
        Class::Force => "[force]",
    };
    format!("{layer} {class}")
}
