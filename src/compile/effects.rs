//! What a change of nats-server's configuration asks for: a reload or a restart, by key. Measured on nats-server 2.15.1.
//!
//! Refuses: guessing. A key that is not in the table is a restart, and a test fails when a key that is emitted is not in it.

use super::artefact::Effect;
use serde_json::Value;
use std::collections::BTreeSet;

/// One key of the configuration: what its change asks for, and the option that says it.
pub struct Key {
    /// Dotted; places in lists are left out. Stands for everything below it that has no row of its own.
    pub path: &'static str,
    pub effect: Effect,
    pub option: &'static str,
}

const fn reload(path: &'static str, option: &'static str) -> Key {
    Key { path, effect: Effect::Reload, option }
}

const fn restart(path: &'static str, option: &'static str) -> Key {
    Key { path, effect: Effect::Restart, option }
}

/// The reload-or-restart class of every key that is emitted; a test tries each on a real server.
pub const EFFECTS: &[Key] = &[
    reload("accounts", "services"),
    restart("cluster.listen", "cluster.listen"),
    restart("cluster.name", "cluster"),
    reload("cluster.no_advertise", "cluster"),
    reload("cluster.routes", "cluster"),
    reload("cluster.tls", "cluster.certificate"),
    restart("http", "leaf.monitor"),
    restart("jetstream.domain", "leaf.domain"),
    // Up is a reload; `effect_between` knows down.
    reload("jetstream.max_file_store", "leaf.disk_max"),
    reload("jetstream.max_memory_store", "leaf.memory_max"),
    restart("jetstream.store_dir", "leaf.store"),
    restart("jetstream.sync_interval", "leaf.sync_interval"),
    restart("lame_duck_duration", "leaf"),
    restart("leafnodes.listen", "cluster.leafnodes"),
    restart("leafnodes.no_advertise", "cluster.leafnodes"),
    reload("leafnodes.remotes", "leaf"),
    reload("leafnodes.remotes.account", "leaf"),
    reload("leafnodes.remotes.credentials", "leaf.credentials"),
    restart("leafnodes.remotes.deny_exports", "leaf"),
    restart("leafnodes.remotes.deny_imports", "leaf"),
    reload("leafnodes.remotes.tls", "leaf.ca"),
    reload("leafnodes.remotes.urls", "leaf"),
    reload("leafnodes.tls", "cluster.certificate"),
    restart("listen", "leaf.listen"),
    reload("max_connections", "leaf.max_connections"),
    reload("max_payload", "leaf.max_payload"),
    restart("max_pending", "leaf.max_pending"),
    restart("operator", "cluster"),
    restart("resolver", "cluster"),
    reload("resolver_preload", "cluster"),
    restart("server_name", "leaf.server_name"),
    reload("server_tags", "leaf"),
    restart("system_account", "leaf"),
];

/// The row that speaks of `path`: its own, or that of the nearest key above it.
pub fn key(path: &str) -> Option<&'static Key> {
    let mut path = path;
    loop {
        if let Some(key) = EFFECTS.iter().find(|key| key.path == path) {
            return Some(key);
        }
        path = &path[..path.rfind('.')?];
    }
}

/// A key that is not what it was.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyChange {
    /// A JSON pointer, places in lists and all: `/leafnodes/remotes/0/urls`.
    pub pointer: String,
    pub from: Value,
    pub to: Value,
    pub effect: Effect,
}

/// What turning the configuration `old` into `new` asks for. One change that cannot be reloaded makes nats-server refuse the whole reload.
pub fn effect_between(old: &Value, new: &Value) -> Effect {
    changes_between(old, new).into_iter().map(|change| change.effect).max().unwrap_or(Effect::None)
}

/// Every key that differs, with what it asks for; in the order of keys.
pub fn changes_between(old: &Value, new: &Value) -> Vec<KeyChange> {
    let mut changes = vec![];
    changed((old, new), "", "", &mut changes);
    changes
}

fn changed((old, new): (&Value, &Value), path: &str, pointer: &str, changes: &mut Vec<KeyChange>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                changed((&of(old), &of(new)), &below, &pointer, changes);
            }
        }
        // A link that was changed in place, not one that came or went.
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() && new.iter().all(Value::is_object) => {
            for (at, pair) in old.iter().zip(new).enumerate() {
                changed(pair, path, &format!("{pointer}/{at}"), changes);
            }
        }
        _ => changes.push(KeyChange {
            pointer: pointer.to_owned(),
            from: old.clone(),
            to: new.clone(),
            effect: single(path, old, new),
        }),
    }
}

fn single(path: &str, old: &Value, new: &Value) -> Effect {
    let shrinks = path.starts_with("jetstream.max_") && old.as_u64() > new.as_u64();
    let appears = path.starts_with("jetstream.") && (old.is_null() || new.is_null());
    match key(path) {
        Some(_) if shrinks || appears => Effect::Restart,
        Some(key) => key.effect,
        // A whole section came or went; the strictest of its keys decides.
        None => {
            let below = format!("{path}.");
            let rows = EFFECTS.iter().filter(|key| key.path.starts_with(&below)).map(|key| key.effect);
            rows.max().unwrap_or(Effect::Restart)
        }
    }
}

/// A server that ran alone loses its streams when it joins a cluster: half a minute later nats-server deletes what the cluster
/// does not know (`jetstream_cluster.go`, `checkForOrphans`).
pub fn forgets_streams(old: &Value, new: &Value) -> bool {
    let clustered = |config: &Value| config.get("cluster").is_some_and(|cluster| !cluster.is_null());
    !clustered(old) && clustered(new)
}

/// The part of the configuration whose change needs a restart, for `X-Restart-Triggers`.
pub fn restart_part(config: &Value) -> Value {
    prune(config, "").unwrap_or(Value::Null)
}

fn prune(value: &Value, path: &str) -> Option<Value> {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter_map(|(key, value)| {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                prune(value, &below).map(|value| (key.clone(), value))
            });
            let kept: serde_json::Map<String, Value> = kept.collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
            let kept: Vec<Value> = items.iter().filter_map(|item| prune(item, path)).collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        plain => (key(path).is_none_or(|key| key.effect > Effect::Reload)).then(|| plain.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_sorted_and_says_each_key_once() {
        assert!(EFFECTS.windows(2).all(|pair| pair[0].path < pair[1].path));
    }

    #[test]
    fn the_strictest_change_decides() {
        let base = json!({
            "server_name": "a", "max_payload": 1,
            "jetstream": {"max_file_store": 10, "domain": "a"},
            "leafnodes": {"remotes": [{"urls": ["x"], "deny_exports": ["e"]}]},
            "accounts": {"M": {"users": [{"nkey": "U1"}]}},
        });
        let with = |pointer: &str, value: Value| {
            let mut config = base.clone();
            *config.pointer_mut(pointer).unwrap() = value;
            effect_between(&base, &config)
        };
        assert_eq!(effect_between(&base, &base), Effect::None);
        for (pointer, value, effect) in [
            ("/max_payload", json!(2), Effect::Reload),
            ("/server_name", json!("b"), Effect::Restart),
            ("/jetstream/max_file_store", json!(11), Effect::Reload),
            ("/jetstream/max_file_store", json!(9), Effect::Restart),
            ("/jetstream/domain", json!("b"), Effect::Restart),
            ("/leafnodes/remotes/0/urls", json!(["y"]), Effect::Reload),
            ("/leafnodes/remotes/0/deny_exports", json!([]), Effect::Restart),
            ("/leafnodes/remotes", json!([]), Effect::Reload),
            ("/accounts/M/users", json!([]), Effect::Reload),
            ("/accounts/M/users/0/nkey", json!("U2"), Effect::Reload),
            ("/jetstream", json!(null), Effect::Restart),
        ] {
            assert_eq!(with(pointer, value.clone()), effect, "{pointer} becomes {value}");
        }
    }

    #[test]
    fn a_change_says_where_it_is() {
        let old = json!({"a/b": 1, "leafnodes": {"remotes": [{"urls": ["x"]}, {"urls": ["y"]}]}});
        let new = json!({"leafnodes": {"remotes": [{"urls": ["x"]}, {"urls": ["z"]}]}});
        let pointers: Vec<_> = changes_between(&old, &new).into_iter().map(|change| change.pointer).collect();
        assert_eq!(pointers, ["/a~1b", "/leafnodes/remotes/1/urls"]);
        assert!(changes_between(&new, &new).is_empty());
    }

    #[test]
    fn whoever_joins_a_cluster_forgets_its_streams() {
        let (alone, joined) = (json!({"server_name": "a"}), json!({"server_name": "a", "cluster": {"name": "hub"}}));
        assert!(forgets_streams(&alone, &joined));
        assert!(!forgets_streams(&joined, &alone) && !forgets_streams(&joined, &joined));
    }

    #[test]
    fn only_what_restarts_is_in_the_restart_part() {
        let config = json!({
            "server_name": "a", "max_payload": 1,
            "leafnodes": {"remotes": [{"urls": ["x"], "deny_exports": ["e"]}]},
            "accounts": {"M": {"users": []}},
        });
        let part = restart_part(&config);
        assert_eq!(part, json!({"server_name": "a", "leafnodes": {"remotes": [{"deny_exports": ["e"]}]}}));
    }
}
