//! `files.*` names files that a generation can own: by an absolute path, none below another, none that the machine keeps for itself or
//! that does not outlive a boot.
//!
//! hier(7), file-hierarchy(7); passwd(5), sysusers.d(5): systemd-sysusers and useradd write what they find and put it back whole.

use super::holder::span;
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::{Domain, Machine};
use crate::resolve::val::path_key;

const CODE: Code = Code(421);

pub const RULE: Rule =
    Rule { code: CODE, name: "file-paths", title: "a file where none can be declared", check: Check::Machine(check) };

/// Who has it: the path, or everything below it where that ends in `/`; and a way out.
const OTHERS: &[(&[&str], &str, &str)] = &[
    (&["/proc/", "/sys/", "/dev/"], "the kernel's, and no file", "kernel parameters go into `/etc/sysctl.d/…`"),
    (
        &["/run/", "/tmp/", "/var/run/"],
        "gone with the next boot",
        "name a place that stays; what a service needs at run time is its `RuntimeDirectory=`",
    ),
    (
        &["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"],
        "written by the programs that make users",
        "declare a user in a file of its own, `/etc/sysusers.d/….conf`",
    ),
    (&["/etc/machine-id"], "made by the machine itself", "leave it to systemd"),
    (
        &[
            "/var/lib/leafwright",
            "/var/lib/leafwright/",
            "/etc/leafwright/credentials",
            "/etc/leafwright/credentials/",
            "/usr/local/bin/leafwright",
        ],
        "leafwright's own",
        "secrets are named under `credentials`; `leafwright bootstrap` brings programs",
    ),
];

/// They lead a boot and the way back, and belong to no generation (docs/apply.md, "The way back").
const OWN_UNITS: [&str; 3] = ["leafwright-boot.service", "leafwright-confirm.service", "leafwright-watchdog.service"];
const NAME_IT: &str = "give yours another name";

fn check(machine: &Machine, _: &Domain, report: &mut Report) {
    for unit in machine.options.units.keys().filter(|unit| OWN_UNITS.contains(&unit.as_str())) {
        let place = span(machine, &format!("units.{}", path_key(unit)));
        report.push(Diagnostic::error(CODE, place, format!("`{unit}` is leafwright's own unit")).help(NAME_IT));
    }
    let files = &machine.options.files;
    for path in files.keys() {
        let mut directories = path.match_indices('/').map(|(at, _)| &path[..at]);
        let above = directories.find(|directory| files.contains_key(*directory));
        if let Some((says, way_out)) = fault(path, above) {
            let place = span(machine, &format!("files.{}", path_key(path)));
            report.push(Diagnostic::error(CODE, place, format!("`{}` {says}", path.escape_debug())).help(way_out));
        }
    }
}

fn fault(path: &str, above: Option<&str>) -> Option<(String, String)> {
    if !is_sound(path) {
        let way_out = "it begins with `/` and has no `.`, `..`, empty part or control character: \"/etc/motd\"";
        return Some(("is not the absolute path of a file".to_owned(), way_out.to_owned()));
    }
    if let Some(above) = above {
        let way_out = format!("`{above}` is a file or a directory, not both: rename one of them");
        return Some((format!("lies below the file `{above}`"), way_out));
    }
    if path.strip_prefix("/etc/systemd/system/").is_some_and(|unit| OWN_UNITS.contains(&unit)) {
        return Some(("is leafwright's own unit".to_owned(), NAME_IT.to_owned()));
    }
    let has = |own: &&str| if own.ends_with('/') { path.starts_with(own) } else { path == *own };
    let (_, whose, way_out) = OTHERS.iter().find(|(paths, _, _)| paths.iter().any(has))?;
    Some((format!("is {whose}"), (*way_out).to_owned()))
}

/// Absolute, without `.`, `..` and empty parts.
pub fn is_sound(path: &str) -> bool {
    let sound = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
    path.strip_prefix('/').is_some_and(|below| below.split('/').all(sound))
}
