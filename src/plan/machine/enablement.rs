//! Enablement as data: what `[Install]` of a unit asks for becomes symbolic links of the generation, so that nothing runs `systemctl enable`.
//!
//! The links are those that `systemctl enable` makes (systemd 252): absolute, in `<unit>.wants/`, `.requires/`, `.upholds/`, or an alias
//! beside the unit. Templates have none: their instances are wanted by name. `Also=` needs nothing: every unit of a generation is enabled.
//!
//! Refuses: names that are not units, such as those with specifiers or slashes, and an alias in the place of a file.

use super::content::{Content, UNITS};
use super::graph::{is_template, is_unit, words};
use std::collections::BTreeMap;

/// Directive of `[Install]`, and the ending of the directory that its links are in.
pub const DIRECTORIES: [(&str, &str); 3] = [("WantedBy", "wants"), ("RequiredBy", "requires"), ("UpheldBy", "upholds")];

/// The links of a content, and what stands in `[Install]` and cannot become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enablement {
    pub links: BTreeMap<String, String>,
    pub faults: Vec<Fault>,
}

/// A link that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: String,
    pub say: String,
    pub way_out: String,
}

pub fn of(content: &Content) -> Enablement {
    let mut enablement = Enablement::default();
    for (name, unit) in content.units.iter().filter(|(name, _)| !is_template(name)) {
        let Some(install) = unit.get("Install") else { continue };
        let own = format!("{UNITS}{name}");
        for (directive, ending) in DIRECTORIES {
            for other in words(install, directive) {
                let path = format!("{UNITS}{other}.{ending}/{name}");
                enablement.put(directive, &other, path, &own);
            }
        }
        for alias in words(install, "Alias").filter(|alias| alias != name) {
            let path = format!("{UNITS}{alias}");
            match content.files.contains_key(&path) {
                true => enablement.faults.push(Fault {
                    say: format!("`Alias={alias}` of {name} is also a file of this machine"),
                    way_out: format!("take the alias out of `units.\"{name}\".Install`, or the other declaration away"),
                    path,
                }),
                false => enablement.put("Alias", &alias, path, &own),
            }
        }
    }
    enablement
}

impl Enablement {
    fn put(&mut self, directive: &str, other: &str, path: String, own: &str) {
        if is_unit(other) {
            self.links.insert(path, own.to_owned());
            return;
        }
        self.faults.push(Fault {
            path: own.to_owned(),
            say: format!("`{directive}={}` does not name a unit", other.escape_debug()),
            way_out: format!("write the unit's whole name, without specifiers: `{directive}=multi-user.target`"),
        });
    }
}
