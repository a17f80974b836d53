//! Cores, threads and the processor's name.
//!
//! Refuses: frequencies and flags, which change with load and microcode.

use super::tree::Tree;
use crate::declare::report::Cpu;
use std::collections::BTreeSet;

const INFO: &str = "proc/cpuinfo";
const CPUS: &str = "sys/devices/system/cpu";

pub fn cpu(tree: &mut Tree) -> Cpu {
    let info = tree.text(INFO);
    let info = info.as_deref().unwrap_or_default();
    let threads = threads(tree, info);
    let cores = cores(tree, info).or(threads);
    if cores.is_none() {
        tree.say("cannot tell the number of cores: neither /proc/cpuinfo nor /sys/devices/system/cpu says it");
    }
    Cpu { model: model(tree, info), cores, threads }
}

/// The values of a key in `/proc/cpuinfo`, one a processor.
pub fn values<'i>(info: &'i str, key: &str) -> impl Iterator<Item = &'i str> {
    info.lines().filter_map(move |line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then_some(value.trim())
    })
}

fn threads(tree: &mut Tree, info: &str) -> Option<u32> {
    let present = tree.word(&format!("{CPUS}/present"));
    let count = present.as_deref().and_then(counted);
    count.or_else(|| u32::try_from(values(info, "processor").count()).ok().filter(|count| *count > 0))
}

/// `0-3,6` is five.
fn counted(list: &str) -> Option<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').try_fold(0u32, |sum, part| sum.checked_add(range(part)?)).filter(|sum| *sum > 0)
}

/// Threads of one core have its package and number in common. A processor that is offline has no topology; its core's other
/// thread speaks for it.
fn cores(tree: &mut Tree, info: &str) -> Option<u32> {
    let mut cores = BTreeSet::new();
    for name in tree.names(CPUS) {
        let number = name.strip_prefix("cpu").filter(|number| number.parse::<u32>().is_ok());
        if number.is_none() {
            continue;
        }
        let of = |tree: &mut Tree, what: &str| tree.word(&format!("{CPUS}/{name}/topology/{what}"));
        if let Some(core) = of(tree, "core_id") {
            cores.insert((of(tree, "physical_package_id"), core));
        }
    }
    if cores.is_empty() {
        // Without /sys: what the processors themselves say.
        let packages = values(info, "physical id");
        cores.extend(packages.zip(values(info, "core id")).map(|(package, core)| (Some(package.into()), core.into())));
    }
    u32::try_from(cores.len()).ok().filter(|count| *count > 0)
}

/// The name that the processor has, or the first that its device tree knows it by.
fn model(tree: &mut Tree, info: &str) -> Option<String> {
    let named = ["model name", "cpu model", "uarch"].iter().find_map(|key| values(info, key).next());
    let named = named.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
    named.filter(|name| !name.is_empty() && name.len() <= 120).or_else(|| {
        let cpus = tree.names("proc/device-tree/cpus").into_iter().find(|name| name.starts_with("cpu@"))?;
        tree.words(&format!("proc/device-tree/cpus/{cpus}/compatible")).into_iter().next()
    })
}
