//! sysusers.d and tmpfiles.d: the user that runs nats-server, and the directories and modes of what it reads.
//!
//! Refuses: creating secrets; a file that is not there is left alone.

use super::credentials::Credential;
use super::template::{self, Format};
use crate::resolve::Machine;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    description: &'a str,
    home: &'a str,
}

pub fn sysusers(machine: &Machine) -> Result<String, String> {
    let users = [User { name: "nats", description: "nats-server", home: &machine.options.leaf.store }];
    template::core(Format::Lines, "sysusers", &BTreeMap::from([("users", users)]))
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct Line<'a> {
    path: &'a str,
    /// `d` makes a directory, `z` sets the mode of what is there.
    kind: &'static str,
    mode: &'a str,
    user: &'a str,
    group: &'a str,
}

/// Directories of credentials can be passed through but not read; each credential belongs to its reader.
pub fn tmpfiles(credentials: &[Credential]) -> Result<String, String> {
    let mut lines = BTreeSet::from([
        line("/etc/leafwright", "d", "0755", "root"),
        line("/etc/leafwright/credentials", "d", "0711", "root"),
        line("/etc/nats", "d", "0755", "root"),
    ]);
    for credential in credentials {
        lines.insert(line(&credential.path, "z", &credential.mode, &credential.owner));
    }
    template::core(Format::Lines, "tmpfiles", &BTreeMap::from([("lines", lines)]))
}

fn line<'a>(path: &'a str, kind: &'static str, mode: &'a str, user: &'a str) -> Line<'a> {
    Line { path, kind, mode, user, group: user }
}
