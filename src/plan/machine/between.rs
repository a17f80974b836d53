//! Content of the active generation × content that must be × observation → the plan of one machine.
//!
//! Refuses: doing anything when one thing must not be done.

use super::content::Content;
use super::enablement::{self, Enablement};
use super::graph::Graph;
use super::model::{FORMAT, MachinePlan, Observation};
use super::{files, lay_out, packages, server, units};
use std::collections::BTreeSet;

/// What is compared, looked at once.
pub struct Case<'a> {
    pub old: &'a Content,
    pub new: &'a Content,
    pub seen: &'a Observation,
    pub old_links: Enablement,
    pub new_links: Enablement,
    pub old_graph: Graph,
    pub new_graph: Graph,
}

impl<'a> Case<'a> {
    fn of(old: &'a Content, new: &'a Content, seen: &'a Observation) -> Self {
        // Instances that nobody declared and that run all the same.
        let extra: BTreeSet<String> =
            seen.units.keys().filter(|name| super::graph::template_of(name).is_some()).cloned().collect();
        Self {
            old,
            new,
            seen,
            old_links: enablement::of(old),
            new_links: enablement::of(new),
            old_graph: Graph::of(old, &extra),
            new_graph: Graph::of(new, &extra),
        }
    }

    pub fn old_paths(&self) -> impl Iterator<Item = &String> {
        self.old.files.keys().chain(self.old_links.links.keys())
    }

    pub fn new_paths(&self) -> impl Iterator<Item = &String> {
        self.new.files.keys().chain(self.new_links.links.keys())
    }

    pub fn runs(&self, unit: &str) -> bool {
        self.seen.units.get(unit).is_some_and(super::model::SeenUnit::runs)
    }
}

/// What leads from `old` to `new` on a machine that is as `seen`. The plan after that is empty.
pub fn between(old: Option<&Content>, new: &Content, seen: &Observation) -> MachinePlan {
    lead(old, new, seen, Way::Forward)
}

/// The same for a return: `given_up` is what was being applied, `old` what was there before.
pub fn back_between(given_up: &Content, old: &Content, seen: &Observation) -> MachinePlan {
    lead(Some(given_up), old, seen, Way::Back)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Forward,
    Back,
}

fn lead(old: Option<&Content>, new: &Content, seen: &Observation, way: Way) -> MachinePlan {
    let nothing = Content::default();
    let case = Case::of(old.unwrap_or(&nothing), new, seen);
    let mut faults = files::faults(&case);
    faults.extend(units::faults(&case));
    // One that was alone for the time of an attempt goes back to its cluster, which knows its streams; else it could never go back.
    faults.extend(server::fault(&case).filter(|_| way == Way::Forward));
    let differences = files::differences(&case);
    let verdicts = units::verdicts(&case, &differences);
    let phases = lay_out::phases(&case, &differences, &verdicts, faults);
    MachinePlan {
        format: FORMAT,
        machine: new.name.clone(),
        from: seen.active.clone(),
        to: new.digest.clone(),
        parent: seen.digest(),
        first: packages::steps(new, seen.packages.as_ref()),
        before: phases.before,
        after: phases.after,
        last: phases.last,
    }
}

/// What an observation must look at: every path of both, every unit of both, and all instances of their templates, as patterns.
pub fn paths_and_units(old: Option<&Content>, new: &Content) -> (BTreeSet<String>, BTreeSet<String>) {
    let both = || old.into_iter().chain([new]);
    let instances = |template: &String| template.replacen("@.", "@*.", 1);
    let paths = both().flat_map(Content::paths).collect();
    let units = both().flat_map(|content| content.concrete().into_iter().chain(content.templates().map(instances)));
    (paths, units.collect())
}
