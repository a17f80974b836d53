//! How an explained option reads, for people and for programs.
//!
//! Refuses: working anything out; `resolve::explain` has.

use crate::diag::Sources;
use crate::resolve::{Class, Explanation, Layer, Verdict};
use serde_json::json;
use std::fmt::Write as _;

/// For people: value, type, doc, then every definition, strongest first.
#[must_use]
pub fn text(explanation: &Explanation, sources: &Sources) -> String {
    let mut out = match &explanation.value {
        Some(value) => format!("{} = {value}\n", explanation.option),
        None => format!("{} has no value\n", explanation.option),
    };
    let mut line = |name: &str, text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name:<9}{text}");
    };
    if !explanation.doc.is_empty() {
        line("doc", &explanation.doc);
    }
    line("type", &explanation.kind);
    if let Some(example) = &explanation.example {
        line("example", &example.to_string());
    }
    let rows: Vec<[String; 4]> = explanation
        .definitions
        .iter()
        .map(|definition| {
            let place = definition.span.map_or_else(|| "built in".to_owned(), |span| sources.place(span).to_string());
            let below = definition.path.strip_prefix(&explanation.option).unwrap_or_default();
            let below = below.trim_start_matches('.');
            let text = if below.is_empty() { definition.text.clone() } else { format!("{below} = {}", definition.text) };
            [verdict(definition.verdict).to_owned(), said(definition.layer, definition.class), place, text]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [verdict, said, place, text] in &rows {
        let _ = writeln!(out, "  {verdict:<0$}  {said:<1$}  {place:<2$}  {text}", widths[0], widths[1], widths[2]);
    }
    out
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
            })
        })
        .collect();
    json!({
        "machine": explanation.machine,
        "option": explanation.option,
        "value": explanation.value.as_ref().map(crate::resolve::val::Val::json),
        "type": explanation.kind,
        "doc": explanation.doc,
        "example": explanation.example.as_ref().map(crate::resolve::val::Val::json),
        "definitions": definitions,
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

/// "machine [settings]", "option default".
fn said(layer: Layer, class: Class) -> String {
    let layer = match layer {
        Layer::OptionDefault => return "option default".to_owned(),
        Layer::ModuleDefault | Layer::Module => "module",
        Layer::Domain => "domain",
        Layer::Zone => "zone",
        Layer::Hardware => "hardware",
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
