//! What sysusers.d and tmpfiles.d of a generation made: its users and directories, against those that are there.
//!
//! Refuses: judging where nobody looked, and changing a user that exists: `systemd-sysusers` makes what is missing and no more.

use super::between::Case;
use super::content::{Content, Placed};
use super::model::{Observation, SeenFile, SeenUser, Stray, Why};
use crate::compile::ArtefactKind;
use crate::resolve::Unit;
use std::collections::BTreeMap;

/// A line `u` of sysusers.d.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemUser {
    pub name: String,
    pub home: String,
}

/// A line `d` of tmpfiles.d.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: String,
    pub mode: u32,
    pub user: String,
    pub group: String,
}

/// The users of a file that `compile` wrote; lines of other kinds say nothing here.
pub fn users(text: &str) -> Vec<SystemUser> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let user = |words: Vec<&str>| match words.as_slice() {
        ["u", name, _, .., home] => Some(SystemUser { name: (*name).to_owned(), home: (*home).to_owned() }),
        _ => None,
    };
    lines.filter_map(user).collect()
}

/// The directories of a file that `compile` wrote.
pub fn directories(text: &str) -> Vec<Directory> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let directory = |words: Vec<&str>| match words.as_slice() {
        ["d", path, mode, user, group] => Some(Directory {
            path: (*path).to_owned(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            user: (*user).to_owned(),
            group: (*group).to_owned(),
        }),
        _ => None,
    };
    lines.filter_map(directory).collect()
}

/// Where sysusers.d and tmpfiles.d say the same as before, and what they made is not there any more: the reason to run
/// the program again that makes it.
pub fn drifted(case: &Case<'_>, kind: ArtefactKind) -> Option<Why> {
    let known = case.seen.users.as_ref()?;
    let what: Vec<String> = match kind {
        ArtefactKind::Sysusers => {
            gone(case.new, case.seen).map(|user| format!("the user {} is gone", user.name)).collect()
        }
        ArtefactKind::Tmpfiles => {
            case.new.directories.iter().filter_map(|wanted| strayed(wanted, case.seen, known)).collect()
        }
        _ => vec![],
    };
    (!what.is_empty()).then(|| Why::Drifted { what: what.join("; ") })
}

fn gone<'a>(content: &'a Content, seen: &'a Observation) -> impl Iterator<Item = &'a SystemUser> {
    let known = seen.users.as_ref();
    content.users.iter().filter(move |user| known.is_some_and(|known| !known.contains_key(&user.name)))
}

/// How a directory is not as it must be.
fn strayed(wanted: &Directory, seen: &Observation, known: &BTreeMap<String, SeenUser>) -> Option<String> {
    let Directory { path, mode, user, group } = wanted;
    match seen.files.get(path) {
        None => Some(format!("{path} is gone")),
        Some(SeenFile::Directory { mode: is, uid, gid }) => {
            let id =
                |name: &str, of: fn(&SeenUser) -> u32| if name == "root" { Some(0) } else { known.get(name).map(of) };
            let owners = (id(user, |user| user.uid), id(group, |user| user.gid));
            match (is & 0o7777 == *mode, owners == (Some(*uid), Some(*gid))) {
                (true, true) => None,
                (false, _) => Some(format!("the mode of {path} is {:04o} and not {mode:04o}", is & 0o7777)),
                (true, false) => Some(format!("{path} belongs to {uid}:{gid} and not to {user}:{group}")),
            }
        }
        // In the place of a directory: told by whoever places files there.
        Some(SeenFile::File { .. } | SeenFile::Link { .. } | SeenFile::Other) => {
            Some(format!("{path} is no directory"))
        }
    }
}

/// The user of a unit is made anew, and what runs as the one that was would be nobody's.
pub fn loses_its_user(case: &Case<'_>, unit: &Unit) -> Option<Why> {
    let runs_as = unit.get("Service")?.get("User")?.last()?;
    let gone = gone(case.new, case.seen).find(|user| user.name == *runs_as)?;
    Some(Why::Follows { what: vec![format!("the user {}", gone.name)] })
}

/// Users that are there and are not what was declared.
pub fn changed(content: &Content, seen: &Observation) -> Vec<Stray> {
    let known = seen.users.iter().flatten();
    let ours = known.filter_map(|(name, is)| Some((is, content.users.iter().find(|user| user.name == *name)?)));
    ours.flat_map(|(is, wanted)| differences(is, wanted)).collect()
}

fn differences(is: &SeenUser, SystemUser { name, home }: &SystemUser) -> Vec<Stray> {
    let stray = |what: String, way_out: String| Stray { about: format!("the user {name}"), what, way_out };
    let mut strays = vec![];
    if is.uid == 0 {
        strays
            .push(stray("it has the number of root".into(), format!("`userdel {name}`, then apply: it is made anew")));
    }
    if is.home != *home {
        strays
            .push(stray(format!("its home is {} and not {home}", is.home), format!("`usermod --home {home} {name}`")));
    }
    let shell = is.shell.rsplit('/').next().unwrap_or_default();
    if !matches!(shell, "nologin" | "false") {
        let say = if is.shell.is_empty() { "/bin/sh" } else { &is.shell };
        strays.push(stray(
            format!("it can log in, its shell is {say}"),
            format!("`usermod --shell /usr/sbin/nologin {name}`"),
        ));
    }
    let more: Vec<&str> = is.groups.iter().map(String::as_str).collect();
    if !more.is_empty() {
        let out = more.iter().map(|group| format!("`gpasswd --delete {name} {group}`")).collect::<Vec<_>>().join(", ");
        strays.push(stray(format!("it is in the groups {} besides its own", more.join(", ")), out));
    }
    strays
}

/// What it says of a file of this kind, by path; `None` for other kinds.
pub fn read(content: &mut Content, placed: &Placed, text: &str) {
    match placed.kind {
        ArtefactKind::Sysusers => content.users.extend(users(text)),
        ArtefactKind::Tmpfiles => content.directories.extend(directories(text)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compile_writes_is_read() {
        let [user] = &users("u nats - nats-server /var/lib/nats\n# nothing\n")[..] else { panic!() };
        assert_eq!((&*user.name, &*user.home), ("nats", "/var/lib/nats"));
        let lines = "d /etc/nats 0755 root root\nz /etc/leafwright/credentials/leaf.creds 0400 nats nats\n";
        let [directory] = &directories(lines)[..] else { panic!() };
        assert_eq!((&*directory.path, directory.mode, &*directory.user), ("/etc/nats", 0o755, "root"));
    }

    #[test]
    fn a_user_that_was_changed_is_told_with_a_way_out() {
        let wanted = SystemUser { name: "nats".into(), home: "/var/lib/nats".into() };
        let good = SeenUser {
            uid: 998,
            gid: 998,
            home: "/var/lib/nats".into(),
            shell: "/usr/sbin/nologin".into(),
            groups: [].into(),
        };
        assert_eq!(differences(&good, &wanted), []);
        let told = |change: fn(&mut SeenUser)| {
            let mut is = good.clone();
            change(&mut is);
            differences(&is, &wanted)
                .into_iter()
                .map(|stray| format!("{}; {}", stray.what, stray.way_out))
                .collect::<String>()
        };
        assert!(told(|is| is.uid = 0).contains("the number of root; `userdel nats`"));
        assert!(
            told(|is| is.home = "/root".into()).contains("its home is /root and not /var/lib/nats; `usermod --home")
        );
        assert!(told(|is| is.shell = "/bin/bash".into()).contains("its shell is /bin/bash; `usermod --shell"));
        assert!(told(|is| is.groups = ["sudo".into()].into()).contains("in the groups sudo besides its own; `gpasswd"));
    }
}
