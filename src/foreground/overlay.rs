//! What differs in the foreground, as a declaration: ports, directories, hosts. The strongest layer, `<foreground>`.
//!
//! Refuses: changing anything else. What `up` runs is what the declarations say, compiled by the same code.

use super::state::loopback;
use crate::name::MachineName;
use crate::resolve::{Domain, Machine, Part};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The name of the generated source.
pub const SOURCE: &str = "<foreground>";

/// The ports that the machines need, by name: `oak.listen`, `web.web.http`.
pub fn ports_wanted(domain: &Domain, machines: &[MachineName]) -> Vec<String> {
    let mut wanted = Vec::new();
    for machine in running(domain, machines) {
        let name = &machine.name;
        wanted.extend([listen(name), format!("{name}.monitor")]);
        if machine.part == Part::Member {
            wanted.extend([format!("{name}.cluster"), format!("{name}.leafnodes")]);
        }
        for (service, options) in &machine.options.services {
            wanted.extend(options.listen.keys().map(|listen| format!("{name}.{service}.{listen}")));
        }
    }
    wanted
}

/// The name of the port on which clients reach a machine's nats-server.
pub fn listen(machine: &MachineName) -> String {
    format!("{machine}.listen")
}

/// The text of the layer.
pub fn text(domain: &Domain, machines: &[MachineName], ports: &BTreeMap<String, u16>, state: &Path) -> String {
    let mut out = String::new();
    for machine in running(domain, machines) {
        one(&mut out, machine, ports, state);
    }
    out
}

fn running<'a>(domain: &'a Domain, machines: &'a [MachineName]) -> impl Iterator<Item = &'a Machine> {
    domain.machines.iter().map(AsRef::as_ref).filter(|machine| machines.contains(&machine.name))
}

fn one(out: &mut String, machine: &Machine, ports: &BTreeMap<String, u16>, state: &Path) {
    let name = &machine.name;
    let home = state.join("machines").join(name.as_str());
    let address = |port: &str| quoted(&loopback(ports[&format!("{name}.{port}")]).to_string());
    let file = |below: &str| quoted(&home.join(below).to_string_lossy());
    let mut table = |path: &str, rows: &[(&str, String)]| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "[machines.{name}.{path}]");
        for (key, value) in rows {
            let _ = writeln!(out, "{key} = {value}");
        }
        let _ = writeln!(out);
    };
    table("network", &[("host", quoted("127.0.0.1"))]);
    let mut leaf = vec![
        ("listen", address("listen")),
        ("monitor", address("monitor")),
        ("store", file("jetstream")),
        ("ca", quoted(&state.join("ca.pem").to_string_lossy())),
    ];
    if machine.part == Part::Leaf {
        leaf.push(("credentials", file("credentials/leaf.creds")));
    }
    table("leaf", &leaf);
    if machine.part == Part::Member {
        table(
            "cluster",
            &[
                ("listen", address("cluster")),
                ("leafnodes", address("leafnodes")),
                ("certificate", file("credentials/server.pem")),
                ("key", file("credentials/server.key")),
            ],
        );
    }
    for (service, options) in &machine.options.services {
        for listen in options.listen.keys() {
            let path = format!("services.{service}.listen.{listen}");
            table(&path, &[("address", address(&format!("{service}.{listen}")))]);
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
