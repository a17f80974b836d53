//! What nats-server is asked for: by the keys of its configuration that differ, and by what it says that it runs with.
//!
//! Refuses: trusting the file alone. A server that reports another configuration than the generation's is brought to it.

use super::between::Case;
use super::content::Content;
use super::enablement::Fault;
use super::files::Drift;
use super::model::FieldEffect;
use crate::compile::units::CONFIG;
use crate::compile::{canonical, effects};
use crate::plan::model::hex;
use serde_json::Value;

/// What nats-server must be told about its configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Nothing: it runs with it, or with the same one as before.
    Nothing,
    /// These keys differ.
    Changed(Vec<FieldEffect>),
    /// It runs with a configuration that neither generation has, so that nobody knows which keys differ.
    Unknown,
}

/// `running` is the digest that the server reports; `drift` says how far the file on disk was from both contents.
pub fn told(old: &Content, new: &Content, running: Option<&str>, drift: Drift) -> Told {
    let wanted = digest(&new.server);
    match running.map(|digest| digest.trim_start_matches("sha256:")) {
        Some(running) if running == wanted => return Told::Nothing,
        Some(running) if running != digest(&old.server) => return Told::Unknown,
        None if drift == Drift::Bytes => return Told::Unknown,
        _ => {}
    }
    match changes(old, new) {
        changes if changes.is_empty() => Told::Nothing,
        changes => Told::Changed(changes),
    }
}

/// A server that would forget what it stores is not brought there.
pub fn fault(case: &Case<'_>) -> Option<Fault> {
    let (old, new) = (&case.old.server, &case.new.server);
    (!old.is_null() && !new.is_null() && effects::forgets_streams(old, new)).then(|| Fault {
        path: CONFIG.to_owned(),
        say: "nats-server ran alone, and would delete its streams when it joins the others".to_owned(),
        way_out: "make the new members of the cluster on machines that hold nothing yet".to_owned(),
    })
}

pub fn changes(old: &Content, new: &Content) -> Vec<FieldEffect> {
    let changes = effects::changes_between(&old.server, &new.server).into_iter();
    changes
        .map(|change| FieldEffect { field: change.pointer, from: change.from, to: change.to, effect: change.effect })
        .collect()
}

/// What nats-server reports as `config_digest` when it runs with this configuration, without `sha256:` before it: SHA-256 of the
/// parsed configuration as Go's `encoding/json` writes it. Compared with `nats-server -t` by a test.
pub fn digest(config: &Value) -> String {
    let mut text = String::new();
    for c in canonical::compact(config).chars() {
        match c {
            // Go protects whoever pastes JSON into HTML or JavaScript.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text += &format!("\\u{:04x}", u32::from(c)),
            c => text.push(c),
        }
    }
    text.push('\n');
    hex(text.as_bytes())
}
