//! An event set is loaded in one place: the aggregates of the domain gather what every leaf has, and would have it twice.
//!
//! It looks at what was written, so that each place can be shown.

use crate::declare::Declared;
use crate::diag::{Code, Diagnostic, Report, Span, Spanned};
use crate::name::EventSetName;
use std::collections::BTreeMap;

const CODE: Code = Code(413);

/// Finds event sets that are named by more than one machine, or by a machine and the domain.
pub fn event_sets(declared: &Declared) -> Report {
    let mut report = Report::default();
    let Some(domain) = declared.domain.as_ref().filter(|domain| !domain.clusters.is_empty()) else { return report };
    let mut first: BTreeMap<&EventSetName, (Span, String)> = BTreeMap::new();
    let of_machines = declared.machines.values().flat_map(|machine| {
        let name = &machine.name;
        machine.events.iter().map(move |set| (set, format!("`{name}`")))
    });
    let of_domain = domain.events.iter().map(|set| (set, "the domain".to_owned()));
    for (Spanned { value: set, span }, who) in of_domain.chain(of_machines) {
        let Some((place, other)) = first.get(set) else {
            first.insert(set, (*span, who));
            continue;
        };
        let says = format!("the event set `{set}` is loaded twice, by {other} and by {who}");
        report.push(
            Diagnostic::error(CODE, *span, says)
                .label("every event of it would be in the aggregate twice")
                .also(*place, format!("{other} loads it here"))
                .help("name it once: where its events arose, or in `events` of domain.toml"),
        );
    }
    report
}
