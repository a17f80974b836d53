//! The closure where nothing reads it, and nats-server's configuration tried there: read by `-t`, then booted. `-t` accepts what a
//! boot refuses: limits that contradict each other, accounts that are not there.
//!
//! Refuses: being in the way of the server that runs. The one that is tried has ports of its own on the loopback, an empty store
//! of its own, nobody to talk to, and ends when it is ready; of addresses that are new it is tried whether they can be had.

use super::Prepared;
use crate::compile::{self, Artefact, manifest};
use crate::host::machine::Home;
use crate::host::{closure, disk, nats_server, programs};
use crate::plan::machine::Content;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// The closure, written where nothing reads it; gone when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Where a file of the closure lies in it.
    pub fn path(&self, from: &str) -> PathBuf {
        self.0.join(from)
    }

    pub fn write(home: &Home, prepared: &Prepared) -> Result<Self> {
        let scratch = Self(home.state().join("scratch"));
        if scratch.0.exists() {
            disk::remove_tree(&scratch.0)?;
        }
        let text = manifest(&prepared.closure, &prepared.sources);
        closure::write_content(&prepared.closure, &text, &scratch.0)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next one removes what is left.
        let _left = disk::remove_tree(&self.0);
    }
}

/// Where nats-server listens.
const LISTENS: [&str; 4] = ["/listen", "/http", "/cluster/listen", "/leafnodes/listen"];

/// Addresses that nats-server is to listen on and cannot, each with its declaration. Those that it has already are its own.
pub fn taken(prepared: &Prepared, old: Option<&Content>, new: &Content) -> Vec<String> {
    let listens =
        |content: &Content| LISTENS.map(|at| content.server.pointer(at).and_then(Value::as_str).map(str::to_owned));
    let own: Vec<String> = old.into_iter().flat_map(listens).flatten().collect();
    let wanted = listens(new).into_iter().flatten().filter(|address| !own.contains(address));
    let fault = |address: String| {
        // Given back at once: nobody is let in.
        let error = TcpListener::bind(&address).err()?;
        let words = format!("nats-server cannot listen on {address}: {error}");
        let place =
            compile::server_like(&prepared.machine, &new.server).and_then(|like| spoken_of(prepared, &like, &words));
        Some(with_help(words, place))
    };
    wanted.filter_map(fault).collect()
}

fn with_help(words: String, place: Option<String>) -> String {
    place.map_or(words.clone(), |place| format!("{words}\n  help: {place}"))
}

/// What nats-server has against its configuration, with the declaration that it speaks of.
pub async fn tried(program: &Path, scratch: &Scratch, prepared: &Prepared, content: &Content) -> Option<String> {
    let mut config = content.server.clone();
    relocate(&mut config, scratch, content);
    without_missing_keys(&mut config);
    let told = |what: &str, config: &Value, error: &anyhow::Error| {
        let words = format!("{what}: {error:#}");
        let place = compile::server_like(&prepared.machine, config).and_then(|like| spoken_of(prepared, &like, &words));
        with_help(words, place)
    };
    if let Err(error) = read(program, scratch, prepared, &config).await {
        return Some(told("nats-server does not understand its configuration", &config, &error));
    }
    let config = alone(&config, &scratch.path("tried"));
    let error = boots(program, scratch, prepared, &config).await.err()?;
    Some(told("nats-server does not start with its configuration", &config, &error))
}

async fn read(program: &Path, scratch: &Scratch, prepared: &Prepared, config: &Value) -> Result<()> {
    let path = written(scratch, "read", prepared, config)?;
    programs::check_server_config(program, &path).await
}

async fn boots(program: &Path, scratch: &Scratch, prepared: &Prepared, config: &Value) -> Result<()> {
    let path = written(scratch, "tried", prepared, config)?;
    nats_server::boots(program, &path, &scratch.path("tried/log")).await
}

/// By its own name, so that the line that nats-server speaks of is found.
fn written(scratch: &Scratch, directory: &str, prepared: &Prepared, config: &Value) -> Result<PathBuf> {
    let directory = scratch.path(directory);
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("nats-server.json");
    let like = compile::server_like(&prepared.machine, config).context("it cannot be written for this directory")?;
    std::fs::write(&path, like.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// What in the configuration is to blame, and where that was declared, as far as the words show it.
fn spoken_of(prepared: &Prepared, like: &Artefact, words: &str) -> Option<String> {
    let (line, span) = compile::spoken_line(like, words)?;
    Some(format!("its configuration says `{line}`, because of {}", prepared.sources.place(span)))
}

/// The same configuration for a server that is alone in the world: line by line, so that a fault is found in it as in the other.
fn alone(config: &Value, directory: &Path) -> Value {
    let mut config = config.clone();
    let mut set = |pointer: &str, value: Value| {
        if let Some(there) = config.pointer_mut(pointer) {
            *there = value;
        }
    };
    for listen in LISTENS {
        // Any port that is free.
        set(listen, json!("127.0.0.1:-1"));
    }
    set("/jetstream/store_dir", json!(directory.join("store").display().to_string()));
    let mut nobody = 0_u16;
    let mut to_nobody = |urls: &mut Value| {
        for url in urls.as_array_mut().into_iter().flatten() {
            // Nobody listens there; and no two may be the same.
            nobody += 1;
            let scheme = url.as_str().and_then(|url| url.split_once("://")).map_or("nats", |(scheme, _)| scheme);
            *url = json!(format!("{scheme}://127.0.0.1:{nobody}"));
        }
    };
    config.pointer_mut("/cluster/routes").into_iter().for_each(&mut to_nobody);
    let remotes = config.pointer_mut("/leafnodes/remotes").and_then(Value::as_array_mut).into_iter().flatten();
    remotes.filter_map(|remote| remote.get_mut("urls")).for_each(to_nobody);
    config
}

/// A key that is made later in this apply is not there to be read: its certificate was compared with it already.
fn without_missing_keys(value: &mut Value) {
    let Value::Object(map) = value else { return };
    map.retain(|name, value| {
        let key = value.get("key_file").and_then(Value::as_str);
        name != "tls" || key.is_none_or(|key| Path::new(key).exists())
    });
    map.values_mut().for_each(without_missing_keys);
}

/// Paths of files that are about to be placed become those of the scratch.
fn relocate(value: &mut Value, scratch: &Scratch, content: &Content) {
    match value {
        Value::String(text) => {
            if let Some(file) = content.files.get(text.as_str()) {
                *text = scratch.0.join(&file.from).display().to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, scratch, content)),
        Value::Object(map) => map.values_mut().for_each(|item| relocate(item, scratch, content)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(map) => map.values().for_each(|item| texts(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Every configuration of the golden closures: a new key that listens, dials or stores must be known here.
    #[test]
    fn the_server_that_is_tried_is_alone_in_the_world() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile/cluster");
        let mut tried = 0;
        for machine in ["ash", "elm", "oak", "office", "thermo", "web"] {
            let text = std::fs::read_to_string(cases.join(machine).join("etc/nats/nats-server.json")).unwrap();
            let config: Value = serde_json::from_str(&text).unwrap();
            let alone = alone(&config, Path::new("/scratch/tried"));
            let mut found = vec![];
            texts(&alone, &mut found);
            let free = |text: &&String| {
                *text == "127.0.0.1:-1"
                    || text
                        .split_once("://127.0.0.1:")
                        .is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port < 64))
            };
            let address = |text: &&String| {
                text.contains("://") || text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<i32>().is_ok())
            };
            let outside: Vec<&String> = found.iter().filter(address).filter(|text| !free(text)).collect();
            assert_eq!(outside, Vec::<&String>::new(), "{machine}");
            let paths = found.iter().filter(|text| text.starts_with('/') && !text.starts_with("/scratch/"));
            let kept: Vec<&String> = paths.filter(|path| !path.starts_with("/etc/leafwright/")).collect();
            assert_eq!(
                kept,
                Vec::<&String>::new(),
                "{machine}: only certificates, keys and creds are read where they are"
            );
            assert_eq!(alone["server_name"], config["server_name"]);
            tried += found.iter().filter(|text| text.contains("127.0.0.1:")).count();
        }
        assert!(tried >= 6 * 3, "only {tried} addresses");
    }
}
