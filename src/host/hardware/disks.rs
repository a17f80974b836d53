//! Disks: what is attached, and not what was made of it. Loop, RAM and mapped devices count only where nothing else is there.
//!
//! Refuses: names such as `sda` in the report; they are given anew at each boot.

use super::place;
use super::tree::Tree;
use crate::declare::report::{Disk, Transport};
use crate::name::ByteSize;
use serde_json::{Map, Value};

const BLOCK: &str = "sys/block";
/// The kernel counts in these, whatever the disk does.
const SECTOR: u64 = 512;

pub fn disks(tree: &mut Tree, private: &mut Vec<Value>) -> Vec<Disk> {
    let names = tree.names(BLOCK);
    if names.is_empty() {
        tree.say("cannot tell which disks there are: /sys/block has none");
    }
    let (attached, made): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| tree.exists(&format!("{BLOCK}/{name}/device")));
    let mut found: Vec<(Disk, Value)> = attached.iter().filter_map(|name| attached_disk(tree, name)).collect();
    if found.is_empty() {
        found = made.iter().filter_map(|name| made_disk(tree, name)).collect();
    }
    found.sort_by(|(a, own), (b, other)| a.cmp(b).then_with(|| own.to_string().cmp(&other.to_string())));
    let (disks, own): (Vec<Disk>, Vec<Value>) = found.into_iter().unzip();
    private.extend(own);
    disks
}

/// Drives for media, the boot parts of a memory card, and the single paths of a disk that has several.
fn is_no_disk(tree: &mut Tree, name: &str) -> bool {
    let media = ["sr", "fd"].iter().any(|kind| name.starts_with(kind));
    let part = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    media || part || tree.word(&format!("{BLOCK}/{name}/hidden")).is_some_and(|hidden| hidden == "1")
}

fn attached_disk(tree: &mut Tree, name: &str) -> Option<(Disk, Value)> {
    if is_no_disk(tree, name) {
        return None;
    }
    let path = tree.leads_to(&format!("{BLOCK}/{name}/device")).unwrap_or_default();
    disk(tree, name, transport(name, &path), place::of(&path))
}

fn made_disk(tree: &mut Tree, name: &str) -> Option<(Disk, Value)> {
    let is_memory = name.starts_with("ram") || name.starts_with("zram");
    (!is_memory).then(|| disk(tree, name, Transport::Virtual, None))?
}

fn disk(tree: &mut Tree, name: &str, transport: Transport, at: Option<String>) -> Option<(Disk, Value)> {
    let of = |what: &str| format!("{BLOCK}/{name}/{what}");
    let sectors = tree.number(&of("size"));
    if sectors.is_none() {
        tree.say(format!("cannot tell how large the disk {name} is"));
    }
    // An empty reader of cards is no disk.
    let size = ByteSize::bytes(sectors?.checked_mul(SECTOR).filter(|size| *size > 0)?);
    let model = tree
        .word(&of("device/model"))
        .or_else(|| tree.word(&of("device/name")).filter(|_| transport == Transport::Mmc));
    let flag = |tree: &mut Tree, what: &str| tree.word(&of(what)).is_some_and(|flag| flag == "1");
    let found = Disk {
        at,
        transport,
        size,
        model,
        rotational: flag(tree, "queue/rotational"),
        removable: flag(tree, "removable"),
    };
    let mut own = Map::new();
    own.insert("name".into(), name.into());
    if let Some(at) = &found.at {
        own.insert("at".into(), at.as_str().into());
    }
    let serial = ["serial", "device/serial"].iter().find_map(|place| tree.word_if_allowed(&of(place)));
    let wwid = ["wwid", "device/wwid", "device/cid"].iter().find_map(|place| tree.word_if_allowed(&of(place)));
    for (key, value) in [("serial", serial), ("wwid", wwid)] {
        own.extend(value.map(|value| (key.to_owned(), Value::from(value))));
    }
    Some((found, own.into()))
}

/// By the kind of its driver, which gives it its name, and for SCSI's many by the way to it.
fn transport(name: &str, path: &str) -> Transport {
    const NAMES: [(&str, Transport); 4] =
        [("nvme", Transport::Nvme), ("mmcblk", Transport::Mmc), ("vd", Transport::Virtio), ("xvd", Transport::Xen)];
    if let Some((_, transport)) = NAMES.iter().find(|(start, _)| name.starts_with(start)) {
        return *transport;
    }
    if !name.starts_with("sd") {
        return Transport::Other;
    }
    let passes = |bus: &str| {
        let numbered = |part: &str| part.strip_prefix(bus).is_some_and(|rest| rest.parse::<u32>().is_ok());
        path.split('/').any(numbered)
    };
    match () {
        () if passes("usb") => Transport::Usb,
        () if passes("ata") => Transport::Sata,
        () if passes("virtio") => Transport::Virtio,
        () => Transport::Scsi,
    }
}
