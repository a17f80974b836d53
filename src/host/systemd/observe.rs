//! What systemd has loaded, and how it is.
//!
//! Refuses: leaving out what it could not read.

use super::Systemd;
use super::bus::{ANSWER, Properties, read};
use crate::plan::machine::SeenUnit;
use anyhow::{Context, Result};
use futures_util::future::{try_join, try_join_all};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

/// A row of `ListUnits…`: name, description, load, active and sub state, the unit it follows, path, job.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

impl Systemd {
    /// Units whose jobs run now: what everything else waits for; sorted.
    pub async fn at_work(&self) -> Result<Vec<String>> {
        // id, unit, type, state, and two paths (org.freedesktop.systemd1, ListJobs).
        type Jobs = Vec<(u32, String, String, String, OwnedObjectPath, OwnedObjectPath)>;
        let answer = self.bus.manager("ListJobs", &(), ANSWER).await;
        let jobs: Jobs = read(&answer.context("systemd does not list its jobs")?)?;
        let running = jobs.into_iter().filter(|(_, _, _, state, _, _)| state == "running");
        let mut units: Vec<String> = running.map(|(_, unit, ..)| unit).collect();
        units.sort();
        Ok(units)
    }

    /// Units by their primary names. A name without `*`, `?` or `[` is loaded if it was not, a pattern finds what is loaded.
    /// What has neither a file nor a process is left out.
    pub async fn units<S: AsRef<str>>(&self, wanted: &[S]) -> Result<BTreeMap<String, SeenUnit>> {
        let wanted = wanted.iter().map(AsRef::as_ref);
        let (patterns, names): (Vec<&str>, Vec<&str>) = wanted.partition(|name| name.contains(['*', '?', '[']));
        let (by_name, by_pattern) = try_join(self.by_name(&names), self.by_pattern(&[], &patterns)).await?;
        let rows = by_name.into_iter().chain(by_pattern);
        // A unit whose file is gone and that still runs is there.
        let there = rows.filter(|row| row.2 != "not-found" || row.3 != "inactive");
        Ok(try_join_all(there.map(|row| self.seen(row))).await?.into_iter().collect())
    }

    async fn seen(&self, row: Row) -> Result<(String, SeenUnit)> {
        let properties = self.bus.properties(row.6.as_str()).await;
        let seen = properties.and_then(|properties| seen(&properties));
        let seen = seen.with_context(|| format!("cannot see the unit {}", row.0))?;
        Ok((row.0, seen))
    }

    /// Every unit that has failed, of whoever.
    pub async fn failed(&self) -> Result<BTreeSet<String>> {
        let rows = self.by_pattern(&["failed"], &["*"]).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// The control groups of these units, of those that have one now.
    pub async fn control_groups<S: AsRef<str>>(&self, units: &[S]) -> Result<BTreeMap<String, String>> {
        let one = async |unit: &str| -> Result<(String, String)> {
            let group = maybe::<String>(&self.unit(unit).await?, "ControlGroup")?;
            Ok((unit.to_owned(), group))
        };
        let all = try_join_all(units.iter().map(|unit| one(unit.as_ref()))).await?;
        Ok(all.into_iter().filter(|(_, group)| !group.is_empty()).collect())
    }

    async fn by_name(&self, names: &[&str]) -> Result<Vec<Row>> {
        if names.is_empty() {
            return Ok(vec![]);
        }
        let answer = self.bus.manager("ListUnitsByNames", &(names,), ANSWER).await;
        read(&answer.with_context(|| format!("cannot list the units {}", names.join(", ")))?)
    }

    async fn by_pattern(&self, states: &[&str], patterns: &[&str]) -> Result<Vec<Row>> {
        if patterns.is_empty() {
            return Ok(vec![]);
        }
        let answer = self.bus.manager("ListUnitsByPatterns", &(states, patterns), ANSWER).await;
        read(&answer.with_context(|| format!("cannot list the units {}", patterns.join(", ")))?)
    }

    /// All that systemd says of one unit, loaded or not.
    pub(super) async fn unit(&self, unit: &str) -> Result<Properties> {
        self.bus.properties(&path(unit)).await
    }
}

/// A unit's object: what is not a letter or a digit is written as `_` and two hexadecimal digits, and so is a digit in front.
fn path(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (place, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && place > 0) {
            path.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(path, "_{byte:02x}");
        }
    }
    path
}

/// Whatever kind of unit it is: what a kind does not have is zero or empty.
fn seen(properties: &Properties) -> Result<SeenUnit> {
    Ok(SeenUnit {
        load: needed(properties, "LoadState")?,
        active: needed(properties, "ActiveState")?,
        sub: needed(properties, "SubState")?,
        file_state: needed(properties, "UnitFileState")?,
        fragment: needed(properties, "FragmentPath")?,
        drop_ins: needed(properties, "DropInPaths")?,
        needs_reload: needed(properties, "NeedDaemonReload")?,
        main_pid: maybe(properties, "MainPID")?,
        invocation: hexadecimal(&needed::<Vec<u8>>(properties, "InvocationID")?),
        active_since: needed(properties, "ActiveEnterTimestampMonotonic")?,
        restarts: maybe(properties, "NRestarts")?,
        result: maybe(properties, "Result")?,
        exit_status: maybe(properties, "ExecMainStatus")?,
    })
}

fn needed<T: TryFrom<OwnedValue>>(properties: &Properties, name: &str) -> Result<T> {
    let value = properties.get(name).with_context(|| format!("systemd does not say its {name}"))?;
    T::try_from(value.try_clone()?).ok().with_context(|| format!("systemd says its {name} in another form"))
}

/// A property that only some kinds of units have.
pub(super) fn maybe<T: TryFrom<OwnedValue> + Default>(properties: &Properties, name: &str) -> Result<T> {
    if properties.contains_key(name) { needed(properties, name) } else { Ok(T::default()) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn the_object_of_a_unit_is_named_as_systemd_names_it() {
        let rows = [
            ("nats-server.service", "nats_2dserver_2eservice"),
            ("9p@a-b.mount", "_39p_40a_2db_2emount"),
            ("dev-a\\x2d9.device", "dev_2da_5cx2d9_2edevice"),
        ];
        for (unit, expected) in rows {
            assert_eq!(path(unit), format!("/org/freedesktop/systemd1/unit/{expected}"));
        }
    }
}
