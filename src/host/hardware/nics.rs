//! Physical network interfaces: those with a device of their own.
//!
//! Refuses: bridges, tunnels and virtual functions; speed and state of the link, which change with a cable; and in the report
//! also names and addresses.

use super::place;
use super::tree::Tree;
use crate::declare::report::{Nic, NicKind};
use serde_json::{Map, Value};

const NET: &str = "sys/class/net";
/// `ARPHRD_ETHER`
const ETHERNET: u64 = 1;

pub fn nics(tree: &mut Tree, private: &mut Vec<Value>) -> Vec<Nic> {
    let mut found: Vec<(Nic, Value)> = vec![];
    for name in tree.names(NET) {
        let of = |what: &str| format!("{NET}/{name}/{what}");
        if !tree.exists(&of("device")) || tree.exists(&of("device/physfn")) {
            continue;
        }
        let path = tree.leads_to(&of("device")).unwrap_or_default();
        let driver = tree.leads_to(&of("device/driver"));
        let driver = driver.and_then(|path| path.rsplit('/').next().map(str::to_owned));
        let nic = Nic { at: place::of(&path), kind: kind(tree, &name), driver };
        let mut own = Map::new();
        own.insert("name".into(), name.as_str().into());
        own.extend(nic.at.as_deref().map(|at| ("at".to_owned(), Value::from(at))));
        own.extend(tree.word_if_allowed(&of("address")).map(|mac| ("mac".to_owned(), Value::from(mac))));
        found.push((nic, own.into()));
    }
    found.sort_by(|(a, own), (b, other)| a.cmp(b).then_with(|| own.to_string().cmp(&other.to_string())));
    let (nics, own): (Vec<Nic>, Vec<Value>) = found.into_iter().unzip();
    private.extend(own);
    nics
}

fn kind(tree: &mut Tree, name: &str) -> NicKind {
    if tree.exists(&format!("{NET}/{name}/wireless")) || tree.exists(&format!("{NET}/{name}/phy80211")) {
        return NicKind::Wireless;
    }
    match tree.number(&format!("{NET}/{name}/type")) {
        Some(ETHERNET) => NicKind::Ethernet,
        _ => NicKind::Other,
    }
}
