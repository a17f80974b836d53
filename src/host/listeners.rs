//! Who listens over TCP: sockets of `/proc/self/net/tcp` and `tcp6` by the processes that hold them, processes by their control group.
//!
//! Refuses: calling unheard what it may not look into: that is named. Sockets in a network of their own (`PrivateNetwork=`) reach nobody.

use crate::plan::machine::listeners::Listening;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where control groups are mounted (the unified hierarchy).
const CGROUPS: &str = "/sys/fs/cgroup";
/// As the kernel writes the state LISTEN (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// What was seen, and what could not be.
#[derive(Debug, Default)]
pub struct Heard {
    pub listening: Listening,
    pub unseen: Vec<String>,
}

/// What units listen on, each with its control group; and every nats-server that is in none of them.
pub fn look(units: &BTreeMap<String, String>) -> Heard {
    let sockets = sockets();
    let mut heard = Heard::default();
    let mut ours = BTreeSet::new();
    for (unit, group) in units {
        let group = Path::new(CGROUPS).join(group.trim_start_matches('/'));
        let there = processes(&group);
        let hidden: BTreeSet<u32> =
            there.iter().copied().filter(|process| !heard.of(unit, *process, &sockets)).collect();
        // One that has ended listens no more; one that is still there is hidden from us.
        let hidden = processes(&group).into_iter().find(|process| hidden.contains(process));
        heard.unseen.extend(hidden.map(|process| format!("where {unit} listens: process {process} is hidden")));
        ours.extend(there);
    }
    for process in servers().filter(|process| !ours.contains(process)) {
        heard.of(&format!("a nats-server by hand, process {process}"), process, &sockets);
    }
    heard
}

impl Heard {
    /// `false`: there is no such process to be seen.
    fn of(&mut self, who: &str, process: u32, sockets: &BTreeMap<u64, SocketAddr>) -> bool {
        match held(process) {
            Ok(inodes) => {
                let addresses = inodes.iter().filter_map(|inode| sockets.get(inode)).copied();
                let addresses: Vec<SocketAddr> = addresses.collect();
                if !addresses.is_empty() {
                    self.listening.entry(who.to_owned()).or_default().extend(addresses);
                }
            }
            Err(fault) if fault.kind() == ErrorKind::NotFound => return false,
            Err(fault) => self.unseen.push(format!("where {who} listens (process {process}): {fault}")),
        }
        true
    }
}

/// The processes of a control group and of those below it.
fn processes(group: &Path) -> Vec<u32> {
    let own = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    let below: Vec<PathBuf> = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.extend(below.iter().filter(|path| path.is_dir()).flat_map(|path| processes(path)));
    found
}

/// Processes that are called nats-server.
fn servers() -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|process| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim() == "nats-server")
    })
}

/// The sockets that a process holds, by their inodes.
fn held(process: u32) -> std::io::Result<BTreeSet<u64>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fd"))? {
        // One that was closed meanwhile is held no more.
        let Ok(to) = fs::read_link(entry?.path()) else { continue };
        let inode: Option<u64> =
            to.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inodes.extend(inode);
    }
    Ok(inodes)
}

/// Every listening socket of this network by its inode.
fn sockets() -> BTreeMap<u64, SocketAddr> {
    let read = |table: &str| fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
    ["tcp", "tcp6"].into_iter().flat_map(|table| parse(&read(table))).collect()
}

/// proc_pid_net(5): the local address in hexadecimal, 32 bits at a time in the order of this machine; state; inode.
fn parse(table: &str) -> Vec<(u64, SocketAddr)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(&LISTEN), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
            return None;
        };
        let (ip, port) = local.split_once(':')?;
        Some((inode.parse().ok()?, SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?)))
    };
    table.lines().filter_map(row).collect()
}

fn address(hex: &str) -> Option<IpAddr> {
    let words = (0..hex.len()).step_by(8).map(|at| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok());
    let words = words.collect::<Option<Vec<u32>>>()?;
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn sockets_that_listen_are_found_with_their_addresses() {
        let listeners: Vec<TcpListener> =
            ["127.0.0.1:0", "[::1]:0"].iter().filter_map(|at| TcpListener::bind(at).ok()).collect();
        assert!(!listeners.is_empty());
        let mut heard = Heard::default();
        heard.of("this test", std::process::id(), &sockets());
        for listener in &listeners {
            let address = listener.local_addr().unwrap();
            assert!(heard.listening["this test"].contains(&address), "{address}: {heard:?}");
        }
        assert_eq!(heard.unseen, [""; 0]);
    }

    #[test]
    fn a_row_that_is_none_is_passed_over() {
        assert_eq!(
            parse("  sl  local_address rem_address   st\nnonsense\n 0: 0100007F:1F90 00000000:0000 01 0 0 0 0 0 7"),
            []
        );
        assert_eq!(address("0100007"), None);
        assert_eq!(address("zz00007F"), None);
    }
}
