//! What somebody added to units of ours by drop-ins, `systemctl edit` or `systemctl set-property` (systemd.unit(5), systemctl(1)).
//!
//! Refuses: drop-ins of the distribution, of generators, and those for all units of a kind: they are the machine's own business.

use super::content::Content;
use super::model::{Observation, Stray};
use std::path::Path;

/// Where an administrator's lie; the distribution's lie below `/usr/lib`.
const BY_HAND: [&str; 5] = [
    "/etc/systemd/system/",
    "/etc/systemd/system.control/",
    "/run/systemd/system/",
    "/run/systemd/system.control/",
    "/usr/local/lib/systemd/system/",
];

/// What nobody declared, as a file or otherwise.
pub fn strays(content: &Content, seen: &Observation) -> Vec<Stray> {
    let ours = seen.units.iter().filter(|(name, _)| content.definition(name).is_some());
    let all = ours.flat_map(|(name, unit)| unit.drop_ins.iter().map(move |path| (name, path)));
    let added = all.filter(|(_, path)| is_for_one(path) && !content.files.contains_key(*path));
    added.map(|(name, path)| stray(name, path)).collect()
}

/// `nats-server.service.d`, and not `service.d`.
fn is_for_one(path: &str) -> bool {
    let directory = Path::new(path).parent().and_then(Path::file_stem).and_then(|stem| stem.to_str());
    BY_HAND.iter().any(|below| path.starts_with(below)) && directory.is_some_and(|unit| unit.contains('.'))
}

fn stray(unit: &str, path: &str) -> Stray {
    let way_out = format!(
        "`rm {path} && systemctl daemon-reload`, and `systemctl restart {unit}` where it runs with that; or declare it: `units.\"{unit}\"`"
    );
    Stray { about: unit.to_owned(), what: format!("{path} adds to it what nobody declared"), way_out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_administrator_adds_to_one_unit_is_told() {
        for path in [
            "/etc/systemd/system/nats-server.service.d/override.conf",
            "/etc/systemd/system.control/todos@1.service.d/50-MemoryMax.conf",
            "/run/systemd/system/nats-server.service.d/x.conf",
        ] {
            assert!(is_for_one(path), "{path}");
        }
        for path in [
            "/usr/lib/systemd/system/nats-server.service.d/debian.conf",
            "/etc/systemd/system/service.d/all.conf",
            "/run/systemd/generator/nats-server.service.d/x.conf",
            "x.conf",
        ] {
            assert!(!is_for_one(path), "{path}");
        }
    }
}
