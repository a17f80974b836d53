//! Desired × observed → the plan: which steps, in which order, each because of what.
//!
//! Refuses: removing anything, and steps whose outcome would depend on a choice made later.

use super::consumers;
use super::model::{
    Action, Because, Change, FORMAT, FieldChange, Object, Plan, Refusal, Remedy, Scope, Step, Undeclared, hex,
};
use super::observed::Observed;
use super::rules;
use super::{domain_of, order, scopes, seeds, streams};
use crate::compile::Desired;
use crate::compile::desired::Objects;
use crate::compile::jetstream::{ConsumerConfig, StreamConfig};
use crate::diag::Sources;
use crate::name::StreamName;
use std::collections::{BTreeMap, BTreeSet};

/// The steps from what is observed to what is desired; empty when they agree. `sources` turns origins into places.
pub fn between(desired: &Desired, observed: &Observed, sources: &Sources) -> Plan {
    let mut steps = Vec::new();
    let mut undeclared = Vec::new();
    closures(desired, observed, &mut steps);
    for (scope, objects) in scopes(desired) {
        let domain = domain_of(desired, &scope);
        let view = View { scope: &scope, domain, objects, observed, sources };
        for config in &objects.streams {
            steps.extend(stream(&view, config));
        }
        for (stream, config) in &objects.consumers {
            steps.extend(consumer(&view, stream, config));
        }
        for seed in &objects.seeds {
            steps.extend(seeds::step(&view, seed));
        }
        undeclared.extend(nobody_declared(&view));
    }
    Plan {
        format: FORMAT,
        parent: observed.digest(),
        cluster: domain_of(desired, &Scope::Cluster).map(str::to_owned),
        steps: order::sorted(desired, steps),
        undeclared,
    }
}

/// One scope, desired and observed.
pub(super) struct View<'a> {
    pub scope: &'a Scope,
    pub domain: Option<&'a str>,
    pub objects: &'a Objects,
    pub observed: &'a Observed,
    pub sources: &'a Sources,
}

impl View<'_> {
    pub(super) fn step(&self, id: String, action: Action, because: Because) -> Step {
        Step { id, on: self.scope.clone(), action, because }
    }

    /// Stable names of steps: where, on what, which verb.
    pub(super) fn id(&self, object: &str, verb: &str) -> String {
        let on = match self.scope {
            Scope::Machine(machine) => machine.as_str(),
            Scope::Cluster => "@cluster",
        };
        format!("{on}/{object}/{verb}")
    }

    /// Was this made by an earlier apply, so that its absence is a loss?
    pub(super) fn missing_or_new(&self, id: &str) -> Because {
        if self.observed.made.contains(id) { Because::Missing } else { Because::New }
    }

    /// A refusal that only another declaration mends.
    pub(super) fn refusal(&self, object: Object, name: &str, refusal: Refusal) -> Step {
        let Refusal { say, way_out } = refusal;
        let action = Action::Refuse { object, remedy: Remedy::Declare, changes: vec![], say, way_out };
        self.step(self.id(name, "refuse"), action, Because::Changed { changes: vec![] })
    }

    /// Writes beside each change the line that asks for it.
    fn locate(&self, object: &str, change: &mut Change) {
        for field in &mut change.fields {
            let origin = self.objects.origins.of(&format!("{object}.{}", field.field));
            field.place = origin.map(|span| self.sources.place(span));
        }
    }
}

fn closures(desired: &Desired, observed: &Observed, steps: &mut Vec<Step>) {
    for (machine, server) in &desired.servers {
        let digest = server.closure_digest.clone();
        let before = observed.servers.get(machine).cloned().unwrap_or_default();
        let because = match before.closure {
            Some(before) if before == digest => continue,
            None => Because::New,
            Some(closure) => {
                let mut changes = vec![of_closure("closure", closure.into(), digest.clone().into())];
                changes.extend(of_files(&before.files, &server.closure_files));
                Because::Changed { changes }
            }
        };
        let id = format!("{machine}/closure/write");
        steps.push(Step { id, on: Scope::Machine(machine.clone()), action: Action::WriteClosure { digest }, because });
    }
}

/// The files that are new, gone or other; none where it is not known what there was.
fn of_files(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<FieldChange> {
    if before.is_empty() {
        return vec![];
    }
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let digest = |files: &BTreeMap<String, String>, path| files.get(path).cloned().into();
    let changes = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changes.map(|path| of_closure(path, digest(before, path), digest(after, path))).collect()
}

fn of_closure(field: &str, from: serde_json::Value, to: serde_json::Value) -> FieldChange {
    FieldChange { field: field.to_owned(), from, to, class: super::Class::Safe, refusal: None, place: None }
}

fn stream(view: &View<'_>, desired: &StreamConfig) -> Option<Step> {
    let name = format!("stream/{}", desired.name);
    let object = Object::Stream(desired.name.clone());
    let declared = declared_digest(&streams::normalise(desired));
    let to = to_send(desired, &declared);
    let Some(observed) = view.observed.stream(view.scope, &desired.name) else {
        if let Some(refusal) = seeds::lost(view, &desired.name) {
            return Some(view.refusal(object, &name, refusal));
        }
        let config = Box::new(StreamConfig { first_seq: desired.first_seq, ..to });
        let id = view.id(&name, "create");
        let because = view.missing_or_new(&id);
        return Some(view.step(id, Action::CreateStream { config }, because));
    };
    let mut change = streams::diff(desired, &observed.config);
    change.fields.extend(consumers::extra(rules::STREAM_EXTRA, &observed.extra).fields);
    view.locate(&desired.name, &mut change);
    let origin = Origin::of(observed.config.metadata.get(streams::DECLARED), &declared);
    changed(view, Found { object, name, change, origin }, |changes| {
        // The server copied `mirror_direct` from the mirror's origin; it is not ours to turn back.
        let (first_seq, mirror_direct) = (observed.config.first_seq, observed.config.mirror_direct);
        let to = Box::new(StreamConfig { first_seq, mirror_direct, ..to });
        Action::UpdateStream { from: Box::new(observed.config.clone()), to, changes }
    })
}

fn consumer(view: &View<'_>, stream: &StreamName, desired: &ConsumerConfig) -> Option<Step> {
    let name = format!("consumer/{stream}/{}", desired.durable_name);
    let mut to = Box::new(consumers::normalise(desired));
    let declared = declared_digest(&*to);
    to.metadata.insert(streams::DECLARED.into(), declared.clone());
    let Some(observed) = view.observed.consumer(view.scope, stream.as_str(), &desired.durable_name) else {
        let id = view.id(&name, "create");
        let because = view.missing_or_new(&id);
        return Some(view.step(id, Action::CreateConsumer { stream: stream.clone(), config: to }, because));
    };
    let mut change = consumers::diff(desired, &observed.config);
    change.fields.extend(consumers::extra(rules::CONSUMER_EXTRA, &observed.extra).fields);
    view.locate(&format!("{stream}.consumers.{}", desired.durable_name), &mut change);
    let origin = Origin::of(observed.config.metadata.get(streams::DECLARED), &declared);
    let object = Object::Consumer(stream.to_string(), desired.durable_name.clone());
    changed(view, Found { object, name, change, origin }, |changes| {
        let from = Box::new(observed.config.clone());
        Action::UpdateConsumer { stream: stream.clone(), from, to, changes }
    })
}

/// Who made the difference.
#[derive(Clone, Copy)]
enum Origin {
    Declaration,
    Hand,
}

impl Origin {
    /// The object carries the digest of the declaration that was applied: if it is today's, somebody changed the object.
    fn of(applied: Option<&String>, declared: &str) -> Self {
        if applied.is_some_and(|applied| applied == declared) { Origin::Hand } else { Origin::Declaration }
    }
}

/// An object that is there, and how it differs.
struct Found {
    object: Object,
    name: String,
    change: Change,
    origin: Origin,
}

/// Nothing, an update in place, or a refusal that names the worst field.
fn changed(view: &View<'_>, found: Found, update: impl FnOnce(Vec<FieldChange>) -> Action) -> Option<Step> {
    let Found { object, name, change, origin } = found;
    if change.is_empty() {
        return None;
    }
    let class = change.class();
    let changes = change.fields;
    let because = match origin {
        Origin::Hand => Because::Drifted { changes: changes.clone() },
        Origin::Declaration => Because::Changed { changes: changes.clone() },
    };
    let worst = changes.iter().find(|field| field.class == class).and_then(|field| field.refusal.clone());
    let Some(Refusal { say, way_out }) = worst else {
        return Some(view.step(view.id(&name, "update"), update(changes), because));
    };
    let remedy = match (&object, class) {
        (Object::Consumer(..), _) => Remedy::RecreateConsumer,
        (_, super::Class::Impossible) => Remedy::CopyAndSwitch,
        _ => Remedy::Declare,
    };
    let action = Action::Refuse { object, remedy, changes, say, way_out };
    Some(view.step(view.id(&name, "refuse"), action, because))
}

/// What is sent: every value explicit, as `pedantic` demands, and the digest that will tell drift from a new declaration.
fn to_send(desired: &StreamConfig, declared: &str) -> StreamConfig {
    let mut config = streams::normalise(desired);
    config.mirror_direct = desired.mirror_direct;
    config.metadata.insert(streams::DECLARED.into(), declared.into());
    config
}

fn declared_digest(config: &impl serde::Serialize) -> String {
    let mut digest = hex(&serde_json::to_vec(config).unwrap_or_default());
    digest.truncate(16);
    digest
}

fn nobody_declared(view: &View<'_>) -> Vec<Undeclared> {
    let Some(observed) = view.observed.objects.get(view.scope) else { return vec![] };
    let streams = observed.streams.keys().filter(|name| !view.objects.streams.iter().any(|own| own.name == **name));
    let mut found: Vec<_> = streams.map(|name| Object::Stream(name.clone())).collect();
    for (stream, consumers) in &observed.consumers {
        let own = |name: &str| {
            view.objects.consumers.iter().any(|(on, own)| on.as_str() == stream && own.durable_name == name)
        };
        // Consumers of an undeclared stream are that stream's matter.
        let declared = view.objects.streams.iter().any(|own| own.name == *stream);
        let names = consumers.keys().filter(|name| declared && !own(name));
        found.extend(names.map(|name| Object::Consumer(stream.clone(), name.clone())));
    }
    found.into_iter().map(|object| Undeclared { on: view.scope.clone(), object }).collect()
}
