//! `hardware`: what this machine is made of, written down, and compared with what was declared.

use super::{Exit, WrongUsage, talk};
use crate::declare::Reported;
use crate::diag::Sources;
use crate::host::hardware::{self, Detected, Put, put};
use crate::resolve::hardware::unmet;
use anyhow::Result;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Write down what this machine is made of, or compare it with what was declared
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Report processor, memory, disks, network interfaces, firmware, TPM and virtualisation as canonical JSON
    Detect {
        /// Write the report into this file, machines/<machine>.hardware.json [default: print it]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Write serial numbers, UUIDs and addresses into this file, mode 0600; they are in no report
        #[arg(long, value_name = "FILE")]
        private: Option<PathBuf>,
        /// Look at the machine whose files are here
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Compare this machine with its declaration; exit code 3 where it lacks something or is not what its report says
    Check {
        /// The machine that this one is
        #[arg(value_name = "MACHINE")]
        machine: String,
        /// Look at the machine whose files are here
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
}

pub fn run(args: &Args, domain: impl FnOnce() -> Result<Sources>) -> Result<Exit> {
    match &args.verb {
        Verb::Detect { out, private, root } => detect(root, out.as_deref(), private.as_deref()),
        Verb::Check { machine, root } => check(machine, root, &domain()?),
    }
}

fn look(root: &Path) -> Result<Detected> {
    let detected = hardware::detect(root, std::env::consts::ARCH)?;
    for what in &detected.unread {
        talk::say(&format!("warning: {what}"));
    }
    Ok(detected)
}

fn detect(root: &Path, out: Option<&Path>, private: Option<&Path>) -> Result<Exit> {
    let detected = look(root)?;
    let report = hardware::text(&detected.report)?;
    match out {
        Some(out) => written(out, &report, 0o644)?,
        None => talk::print(&report),
    }
    if let Some(private) = private {
        written(private, &detected.private.text()?, 0o600)?;
    }
    Ok(Exit::Done)
}

fn written(path: &Path, text: &str, mode: u32) -> Result<()> {
    let done = match put(path, text, mode)? {
        Put::Written => "written",
        Put::Unchanged => "nothing to do",
    };
    talk::say(&format!("{}: {done}", path.display()));
    Ok(())
}

fn check(name: &str, root: &Path, sources: &Sources) -> Result<Exit> {
    let judged = crate::judge(sources);
    let exit = talk::judge(&judged.report.sorted(), sources);
    let Some(judged) = judged.value.filter(|_| exit == Exit::Done) else { return Ok(exit) };
    let machines = &judged.domain.machines;
    let Some(machine) = machines.iter().find(|machine| machine.name.as_str() == name) else {
        let known: Vec<&str> = machines.iter().map(|machine| machine.name.as_str()).collect();
        return Err(WrongUsage(format!("there is no machine {name}; there are {}", known.join(", "))).into());
    };
    let detected = look(root)?;
    let mut differences: Vec<String> = vec![];
    for unmet in unmet(&machine.hardware, &detected.report) {
        differences.push(format!("this machine has {unmet} (`{name}`, hardware `{}`)", machine.hardware.name));
    }
    if let Some(reported) = judged.declared.reports.get(&machine.name) {
        differences.extend(changed(reported, &detected)?);
    }
    for difference in &differences {
        talk::print(&format!("{difference}\n"));
    }
    if differences.is_empty() {
        talk::say(&format!("this machine has what `{name}` requires"));
        return Ok(Exit::Done);
    }
    Ok(Exit::Difference)
}

/// What is no longer as the report in the tree says, one part a line.
fn changed(reported: &Reported, detected: &Detected) -> Result<Vec<String>> {
    let (mut was, mut is) = (BTreeMap::new(), BTreeMap::new());
    leaves("", &serde_json::to_value(&reported.report)?, &mut was);
    leaves("", &serde_json::to_value(&detected.report)?, &mut is);
    let paths: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let said = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
    let differing = paths.into_iter().filter(|path| was.get(*path) != is.get(*path));
    let machine = &reported.machine;
    let line = |path: &String| {
        format!("machines/{machine}.hardware.json: {path} was {}, and is {}", said(was.get(path)), said(is.get(path)))
    };
    Ok(differing.map(line).collect())
}

/// Every single value with its path, such as `disks.0.size`.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(&below(key), value, found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(place, value)| leaves(&below(&place.to_string()), value, found));
        }
        single => drop(found.insert(path.to_owned(), single.clone())),
    }
}
