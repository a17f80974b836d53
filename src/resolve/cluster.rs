//! The domain's cluster: its options from `[clusters.<name>]`, by the same engine as a machine's.
//!
//! Refuses: options of machines; what lives on the cluster lives on no single one.

use super::budget;
use super::evaluate::{Evaluation, Out};
use super::layers::{Ground, Layer, Layers, lay};
use super::machine::{collect_places, domain_facts, typed};
use super::model::{self, Origins};
use super::places::Noted;
use crate::declare::{Cluster, Domain};
use crate::diag::Report;
use std::sync::Arc;

/// What the cluster's table says.
pub fn layers<'a>(cluster: &'a Cluster, ground: Ground<'a>, report: &mut Report) -> Layers<'a> {
    let mut layers = Layers::default();
    lay(&mut layers, (Layer::Machine, &cluster.body), ground, report);
    layers
}

/// Starts an evaluation of the cluster over its layers.
pub fn evaluation<'e, 'a>(
    (domain, cluster): (&Domain, &Cluster),
    ground: Ground<'a>,
    layers: &'e Layers<'a>,
    interpreter: &'e budget::Interpreter,
) -> Evaluation<'e, 'a> {
    let mut evaluation = Evaluation::new(ground, layers, interpreter, cluster.name.span);
    evaluation.facts = domain_facts(domain);
    evaluation
}

pub fn resolve(cluster: &Cluster, domain: &Domain, ground: Ground, report: &mut Report) -> Option<model::Cluster> {
    let mut own = Report::default();
    let layers = layers(cluster, ground, &mut own);
    let interpreter = budget::interpreter();
    let mut evaluation = evaluation((domain, cluster), ground, &layers, &interpreter);
    let out = evaluation.all();
    let mut places = Noted::default();
    collect_places(&layers.root, &mut String::new(), &mut places);
    evaluation.places.iter().for_each(|(path, span)| places.insert(path, span));
    // No option, and yet what rules about the cluster's size and parts are about.
    places.insert("members", cluster.members_span);
    own.absorb(evaluation.report);
    let options = match &out {
        Out::Value(value) => typed(value, cluster.name.span, &mut own),
        Out::Absent | Out::Failed => None,
    };
    let sound = !own.has_errors();
    report.absorb(own);
    Some(model::Cluster {
        name: cluster.name.value.clone(),
        members: cluster.members.iter().map(|member| member.value.clone()).collect(),
        options: options?,
        origins: Origins { places: Arc::new(places.finish()), base: Arc::default(), fallback: Some(cluster.name.span) },
        origin: cluster.name.span,
    })
    .filter(|_| sound)
}
