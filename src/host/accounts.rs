//! The users of a machine as `/etc/passwd` and `/etc/group` have them: where `systemd-sysusers` writes.
//!
//! Refuses: other sources of users; what sysusers makes is nowhere else.

use crate::plan::machine::SeenUser;
use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

/// All of them, by name.
pub fn users(root: &Path) -> Result<BTreeMap<String, SeenUser>> {
    let (passwd, group) = (read(&root.join("etc/passwd"))?, read(&root.join("etc/group"))?);
    Ok(parse(&passwd, &group))
}

fn read(path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// passwd(5), group(5).
fn parse(passwd: &str, group: &str) -> BTreeMap<String, SeenUser> {
    let mut members: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in group.lines() {
        if let [name, _, _, names] = line.split(':').collect::<Vec<_>>()[..] {
            for member in names.split(',').filter(|member| !member.is_empty() && *member != name) {
                members.entry(member).or_default().insert(name.to_owned());
            }
        }
    }
    let user = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        [name, _, uid, gid, _, home, shell] => {
            let groups = members.get(name).cloned().unwrap_or_default();
            let (home, shell) = (home.to_owned(), shell.to_owned());
            Some((name.to_owned(), SeenUser { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home, shell, groups }))
        }
        _ => None,
    };
    passwd.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_the_groups_they_are_members_of() {
        let users = parse(
            "root:x:0:0:root:/root:/bin/bash\nnats:!*:998:998:nats-server:/var/lib/nats:/usr/sbin/nologin\nodd\n",
            "nats:x:998:nats\nsudo:x:27:ada,nats\nadm:x:4:\n",
        );
        assert_eq!(users.len(), 2);
        let nats = &users["nats"];
        assert_eq!((nats.uid, nats.gid, &*nats.home, &*nats.shell), (998, 998, "/var/lib/nats", "/usr/sbin/nologin"));
        assert_eq!(nats.groups, ["sudo".to_owned()].into());
    }
}
