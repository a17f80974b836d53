//! What was meant to be filled in was filled in: no option's value is a placeholder.

use crate::declare::{Body, Declared, Table, Value};
use crate::diag::{Code, Diagnostic, Report, Span};
use rayon::prelude::*;

const CODE: Code = Code(602);

/// Looks at every value of every option in the domain, in zones, clusters, hardware profiles, modules and machines.
pub fn placeholders(declared: &Declared) -> Report {
    let domain = declared.domain.iter().flat_map(|domain| {
        let zones = domain.zones.values().map(|zone| &zone.body);
        let clusters = domain.clusters.values().map(|cluster| &cluster.body);
        std::iter::once(&domain.body).chain(zones).chain(clusters)
    });
    let hardware = declared.hardware.values().map(|hardware| &hardware.body);
    let modules = declared.modules.values().map(|module| &module.body);
    let machines = declared.machines.values().map(|machine| &machine.body);
    let bodies: Vec<&Body> = domain.chain(hardware).chain(modules).chain(machines).collect();
    let reports: Vec<Report> = bodies.par_iter().map(|body| of_body(body)).collect();
    let mut all = Report::default();
    for report in reports {
        all.absorb(report);
    }
    all
}

fn of_body(body: &Body) -> Report {
    let mut report = Report::default();
    for block in &body.blocks {
        for table in [&block.default, &block.settings, &block.force] {
            of_table(table, &mut report);
        }
    }
    report
}

fn of_table(table: &Table, report: &mut Report) {
    for entry in &table.entries {
        of_value(&entry.value.value, entry.value.span, report);
    }
}

fn of_value(value: &Value, span: Span, report: &mut Report) {
    match value {
        Value::Text(text) if is_placeholder(text) => {
            let finding = Diagnostic::error(CODE, span, format!("`{text}` is a placeholder, not a value"));
            report.push(finding.help("write what is meant, or leave the option out for its default"));
        }
        Value::List(values) => values.iter().for_each(|value| of_value(&value.value, value.span, report)),
        Value::Table(table) => of_table(table, report),
        _ => {}
    }
}

/// The whole value, not a part of it: `TODO` is one, `todo-list` is a name.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 8] =
        ["changeme", "change-me", "change_me", "fixme", "tbd", "placeholder", "replaceme", "replace-me"];
    let text = text.trim();
    if text.is_empty() || text.len() > 64 {
        return false;
    }
    let filler = text.len() >= 3 && text.bytes().all(|byte| byte.eq_ignore_ascii_case(&b'x'));
    let bracketed = text.len() > 2
        && text.starts_with('<')
        && text.ends_with('>')
        && !text[1..text.len() - 1].contains(['<', '>', '\n']);
    text == "TODO" || filler || bracketed || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn a_placeholder_is_a_whole_value() {
        for text in ["CHANGEME", "ChangeMe", "TODO", "xxx", "XXXX", "<your host>", " TBD "] {
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["", "todos", "todo", "xx", "x", "a <b>", "evt.>", ">", "<a> and <b>", "taxxx"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
