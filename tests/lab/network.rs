//! The wires: a bridge with 10.77.0.1, a network namespace and a pair of interfaces for each machine, cuts and partitions.
//!
//! Refuses: cuts in one direction. A link that still carries half the traffic proves nothing.

use super::host;

/// In the scenario's own network namespace.
pub fn bridge() {
    host(["ip", "link", "set", "lo", "up"]);
    host(["ip", "link", "add", "br0", "type", "bridge"]);
    host(["ip", "address", "add", "10.77.0.1/24", "dev", "br0"]);
    host(["ip", "link", "set", "br0", "up"]);
}

/// The end of the machine's wire that is on the bridge.
fn port(machine: &str) -> String {
    format!("vb-{machine}")
}

/// A namespace with `eth0` in it, plugged into the bridge.
pub fn plug(machine: &str, address: &str) {
    assert!(port(machine).len() <= 15, "the kernel takes no longer name of an interface: {machine}");
    assert!(address.starts_with("10.77.0."), "{address} is not in 10.77.0.0/24");
    host(["ip", "netns", "add", machine]);
    host(["ip", "link", "add", &port(machine), "type", "veth", "peer", "name", "eth0", "netns", machine]);
    host(["ip", "link", "set", &port(machine), "master", "br0", "up"]);
    host(["ip", "-n", machine, "link", "set", "lo", "up"]);
    host(["ip", "-n", machine, "address", "add", &format!("{address}/24"), "dev", "eth0"]);
    host(["ip", "-n", machine, "link", "set", "eth0", "up"]);
    host(["ip", "-n", machine, "route", "add", "default", "via", "10.77.0.1"]);
}

pub fn link(machine: &str, state: &str) {
    host(["ip", "link", "set", &port(machine), state]);
}

pub fn partition(side: &[&str]) {
    let ports: Vec<String> = side.iter().map(|machine| port(machine)).collect();
    let ports = ports.join(", ");
    host(["nft", "add", "table", "bridge", "lab"]);
    host(["nft", "add", "chain", "bridge", "lab", "forward", "{ type filter hook forward priority 0; }"]);
    for (from, to) in [("==", "!="), ("!=", "==")] {
        let rule = format!("iifname {from} {{ {ports} }} oifname {to} {{ {ports} }} drop");
        host(["nft", "add", "rule", "bridge", "lab", "forward", &rule]);
    }
}

pub fn unpartition() {
    host(["nft", "delete", "table", "bridge", "lab"]);
}
