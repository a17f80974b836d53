//! Which option stands behind which field of the streams and consumers that Leafwright makes of its own accord,
//! so that a plan's reason names the line that asks for the change.
//!
//! Refuses: guessing. A field without a row has the place of its stream.

use super::desired::Objects;
use crate::diag::Span;
use crate::resolve::Origins;
use std::sync::Arc;

/// Stream (by its name or the part before the first `-`), field, option.
type Row = (&'static str, &'static str, &'static str);

pub const CLUSTER: &[Row] = &[
    ("EVT", "max_bytes", "event_store.max_bytes"),
    ("EVT", "num_replicas", "event_store.replicas"),
    ("PRV", "max_bytes", "history.max_bytes"),
    ("PRV", "num_replicas", "event_store.replicas"),
    ("CMD", "max_bytes", "commands.max_bytes"),
    ("CMD", "max_age", "commands.max_age"),
    ("CMD", "num_replicas", "commands.replicas"),
    ("DLQ", "max_bytes", "commands.max_bytes"),
    ("DLQ", "num_replicas", "commands.replicas"),
];

pub const LEAF: &[Row] = &[
    ("EVT", "max_bytes", "event_store.max_bytes"),
    ("PRV", "max_bytes", "history.max_bytes"),
    ("CMD", "max_bytes", "event_store.commands_max_bytes"),
    ("CMD", "max_age", "event_store.commands_max_age"),
];

/// Fields of consumers, whatever their stream; of a cluster.
const CONSUMERS: [(&str, &str); 2] = [("ack_wait", "commands.ack_wait"), ("max_deliver", "commands.max_deliver")];

/// The objects with the places of single fields added to their origins.
pub fn with_fields(mut objects: Objects, options: &Origins, rows: &[Row]) -> Objects {
    let mut places: Vec<(String, Span)> =
        objects.origins.places.iter().map(|(path, span)| (path.to_owned(), span)).collect();
    for config in &objects.streams {
        let name = config.name.as_str();
        let stem = name.split_once('-').map_or(name, |(stem, _)| stem);
        let own = rows.iter().filter(|(stream, ..)| *stream == stem);
        let own = own.filter_map(|(_, field, option)| Some((format!("{name}.{field}"), exact(options, option)?)));
        places.extend(own);
        let written = format!("streams.{name}.");
        let declared = options.base.iter().chain(options.places.iter());
        let declared = declared.filter_map(|(path, span)| Some((path.strip_prefix(&written)?, span)));
        places.extend(declared.map(|(field, span)| {
            let field = if field == "replicas" { "num_replicas" } else { field };
            (format!("{name}.{field}"), span)
        }));
    }
    for (stream, config) in &objects.consumers {
        let fields = CONSUMERS.iter().filter_map(|(field, option)| Some((field, exact(options, option)?)));
        places
            .extend(fields.map(|(field, span)| (format!("{stream}.consumers.{}.{field}", config.durable_name), span)));
    }
    objects.origins.places = Arc::new(places.into_iter().collect());
    objects
}

/// Where exactly this option was written; an ancestor's place would say less than the stream's own.
fn exact(options: &Origins, path: &str) -> Option<Span> {
    options.places.get(path).or_else(|| options.base.get(path))
}
