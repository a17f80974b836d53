//! The hardened set of directives: what a unit of ours may not do unless it is declared.
//!
//! Refuses: knowing which unit it is for, beyond "any", "the server" and "a service".

use crate::resolve::Service;
use std::collections::BTreeMap;

type Section = BTreeMap<String, Vec<String>>;

/// For every unit of ours. Measured with `systemd-analyze security`.
const SHARED: &[(&str, &str)] = &[
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    // They hold seeds of keys.
    ("LimitCORE", "0"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("ProcSubset", "pid"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    // A refused call is an error and not the end of the process: Go raises its own file limit when it starts.
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
];

/// nats-server reads /proc for its own size, listens where its configuration says, and reaches other machines.
const SERVER: &[(&str, &[&str])] = &[
    ("PrivateUsers", &["yes"]),
    ("RestrictAddressFamilies", &["AF_INET AF_INET6 AF_UNIX"]),
    ("SystemCallFilter", &["@system-service", "~@privileged @resources"]),
];

/// A service talks to its own machine's nats-server.
const SERVICE: &[(&str, &[&str])] = &[
    ("PrivateUsers", &["yes"]),
    ("RestrictAddressFamilies", &["AF_INET AF_INET6 AF_UNIX"]),
    ("SystemCallFilter", &["@system-service", "~@privileged @resources"]),
    ("TasksMax", &["256"]),
    ("IPAddressDeny", &["any"]),
];

pub fn shared() -> Section {
    SHARED.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

pub fn server() -> Section {
    rows(SERVER)
}

/// Localhost, and what is declared: addresses that it may reach, ports that it may listen on.
pub fn service(service: &Service) -> Section {
    let mut section = rows(SERVICE);
    let addresses = std::iter::once("localhost".to_owned()).chain(service.egress.iter().cloned());
    section.insert("IPAddressAllow".to_owned(), addresses.collect());
    section.insert("SocketBindDeny".to_owned(), vec!["any".to_owned()]);
    let ports: Vec<String> = service.listen.values().map(|listen| format!("tcp:{}", listen.address.port())).collect();
    if !ports.is_empty() {
        section.insert("SocketBindAllow".to_owned(), ports);
    }
    section
}

fn rows(rows: &[(&str, &[&str])]) -> Section {
    rows.iter()
        .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()))
        .collect()
}
