//! `source` and `id` name an event (CloudEvents 1.0, 3.1.1): a line that was copied into another set is loaded twice,
//! because each set goes its own way into the aggregate.

use crate::declare::{Declared, Event};
use crate::diag::{Code, Diagnostic, Report};
use crate::name::EventSetName;
use crate::resolve::events;
use std::collections::{BTreeMap, BTreeSet};

const CODE: Code = Code(414);

/// Findings shown of one set: who copied a file copied all of it.
const SHOWN: usize = 3;

/// Finds events that stand in more than one of the sets that anybody loads.
pub fn repeated_events(declared: &Declared) -> Report {
    let mut report = Report::default();
    let of_domain = declared.domain.iter().flat_map(|domain| &domain.events);
    let of_machines = declared.machines.values().flat_map(|machine| &machine.events);
    let loaded: BTreeSet<&EventSetName> = of_domain.chain(of_machines).map(|set| &set.value).collect();
    let sets: Vec<_> = loaded.into_iter().filter_map(|name| Some((name, declared.events.get(name)?))).collect();
    if sets.len() < 2 {
        return report;
    }
    let mut first: BTreeMap<(&str, &str), (&EventSetName, &Event)> = BTreeMap::new();
    for (name, set) in sets {
        let mut again = vec![];
        for event in &set.events {
            let (other, before) = *first.entry((&event.source, &event.id)).or_insert((name, event));
            // Within one set `declare` has said it.
            if other != name {
                again.push((event, other, before));
            }
        }
        let faults = again.into_iter().map(|(event, other, before)| finding(name, event, other, before));
        events::absorb(faults.collect(), SHOWN, &mut report);
    }
    report
}

fn finding(name: &EventSetName, event: &Event, other: &EventSetName, before: &Event) -> Diagnostic {
    let says = format!("the event `{}` of `{}` is in the event set `{other}` as well", event.id, event.source);
    Diagnostic::error(CODE, event.span, says)
        .label("it would be stored twice")
        .also(before.span, format!("in `{other}` it stands here"))
        .help(format!("take it out of `{name}`, or, if something else happened, give it an id of its own"))
}
