//! Files on the machine: placed, linked, removed, and what they replaced.

use super::fixture::{Machine, closure_with_modes, crash_at_each, machine, tree};
use leafwright::host::machine::files::{Change, look, place_all};
use leafwright::host::machine::{go_on, manifest, store};
use leafwright::plan::machine::SeenFile;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

/// The changes that place a closure with these files.
fn placing(machine: &Machine, files: &[(&str, u32, &str)]) -> Vec<Change> {
    let (closure, text) = closure_with_modes(files);
    let entry = store::import(&machine.home, &machine.lock(), &closure, &text, &mut go_on).unwrap();
    let listed = manifest::read(&entry).unwrap().artefacts.into_iter();
    listed
        .map(|listed| Change::Place {
            path: format!("/{}", listed.path),
            from: entry.join(&listed.path),
            mode: listed.mode,
            digest: listed.digest,
        })
        .collect()
}

fn link(path: &str, to: &str) -> Change {
    Change::Link { path: path.into(), to: to.into() }
}

fn remove(path: &str) -> Change {
    Change::Remove { path: path.into() }
}

fn place(machine: &Machine, changes: &[Change]) {
    place_all(&machine.home, &machine.lock(), changes, &mut go_on).unwrap();
}

fn refused(machine: &Machine, changes: &[Change]) -> String {
    let before = tree(&machine.at("/leafwright-test"));
    let fault = place_all(&machine.home, &machine.lock(), changes, &mut go_on).unwrap_err();
    assert_eq!(tree(&machine.at("/leafwright-test")), before, "{fault:#}");
    format!("{fault:#}")
}

fn etc(machine: &Machine) -> BTreeMap<String, String> {
    tree(&machine.at("/leafwright-test"))
}

#[test]
fn files_are_placed_with_their_modes_and_what_they_replaced_comes_back() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o640);
    symlink("/run/theirs", machine.at("/leafwright-test/resolv.conf")).unwrap();
    let before = etc(&machine);
    let mut changes = placing(
        &machine,
        &[
            ("leafwright-test/motd", 0o644, "ours"),
            ("leafwright-test/resolv.conf", 0o644, "ours"),
            ("leafwright-test/deep/er/key", 0o600, "ours"),
        ],
    );
    changes.push(link("/leafwright-test/wants/a.service", "../a.service"));
    place(&machine, &changes);
    let placed = etc(&machine);
    let expected = [
        ("deep", "dir 0755"),
        ("deep/er", "dir 0755"),
        ("deep/er/key", "file 0600 ours"),
        ("motd", "file 0644 ours"),
        ("resolv.conf", "file 0644 ours"),
        ("wants", "dir 0755"),
        ("wants/a.service", "link ../a.service"),
    ];
    assert_eq!(placed, BTreeMap::from(expected.map(|(path, what)| (path.to_owned(), what.to_owned()))));
    // Nothing is renamed that is as it must be.
    place_all(&machine.home, &machine.lock(), &changes, &mut |step| {
        anyhow::ensure!(!step.starts_with("rename"), "{step}");
        Ok(())
    })
    .unwrap();
    // Drift is mended; the original is still theirs.
    fs::write(machine.at("/leafwright-test/motd"), "by hand").unwrap();
    place(&machine, &changes);
    assert_eq!(etc(&machine), placed);

    let paths = [
        "/leafwright-test/motd",
        "/leafwright-test/resolv.conf",
        "/leafwright-test/deep/er/key",
        "/leafwright-test/wants/a.service",
        "/leafwright-test/never/placed",
    ];
    place(&machine, &paths.map(remove));
    let mut after = etc(&machine);
    // Directories that were made stay.
    after.retain(|path, _| before.contains_key(path) || !["deep", "deep/er", "wants"].contains(&path.as_str()));
    assert_eq!(after, before);
    assert!(!machine.home.originals().exists(), "no copy is kept of what is back");
    // What is not ours is not removed.
    place(&machine, &paths.map(remove));
    assert_eq!(fs::read_to_string(machine.at("/leafwright-test/motd")).unwrap(), "theirs");
}

#[test]
fn originals_keep_their_owner_where_the_test_may_give_files_away() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o4755);
    let mine = std::os::unix::fs::chown(machine.at("/leafwright-test/motd"), Some(123), Some(456));
    if mine.is_err() {
        eprintln!("SKIPPED: only root gives files away");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI runs as root");
        return;
    }
    // Giving it away took the bit away.
    fs::set_permissions(machine.at("/leafwright-test/motd"), std::os::unix::fs::PermissionsExt::from_mode(0o4755))
        .unwrap();
    let seen = || look(machine.home.root(), ["/leafwright-test/motd"]).unwrap();
    let before = seen();
    assert!(
        matches!(before["/leafwright-test/motd"], SeenFile::File { mode: 0o4755, uid: 123, gid: 456, .. }),
        "{before:?}"
    );
    place(&machine, &placing(&machine, &[("leafwright-test/motd", 0o644, "ours")]));
    assert!(matches!(seen()["/leafwright-test/motd"], SeenFile::File { mode: 0o644, uid: 0, gid: 0, .. }));
    place(&machine, &[remove("/leafwright-test/motd")]);
    assert_eq!(seen(), before);
}

/// From one generation to another, crashed before every effect; returning is placing the old one, with the paths of both.
#[test]
fn a_crash_at_any_step_is_made_whole_by_returning() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o640);
    machine.write("/leafwright-test/issue", "theirs too", 0o644);
    let original = etc(&machine);
    let old = placing(
        &machine,
        &[
            ("leafwright-test/motd", 0o644, "old"),
            ("leafwright-test/gone", 0o644, "old"),
            ("leafwright-test/same", 0o644, "same"),
        ],
    );
    let mut new = placing(
        &machine,
        &[
            ("leafwright-test/motd", 0o644, "new"),
            ("leafwright-test/issue", 0o600, "new"),
            ("leafwright-test/same", 0o644, "same"),
        ],
    );
    new.push(link("/leafwright-test/link", "motd"));
    new.push(remove("/leafwright-test/gone"));
    let mut back = old.clone();
    back.extend([remove("/leafwright-test/issue"), remove("/leafwright-test/link")]);
    let everything = [
        "/leafwright-test/motd",
        "/leafwright-test/gone",
        "/leafwright-test/same",
        "/leafwright-test/issue",
        "/leafwright-test/link",
    ]
    .map(remove);

    place(&machine, &old);
    let placed = etc(&machine);
    let mut states = vec![];
    let steps = crash_at_each(
        |hook| place_all(&machine.home, &machine.lock(), &new, hook),
        |step| {
            let crashed = etc(&machine);
            // Of each path there is what was or what comes, never anything else; until the first rename nothing has changed.
            let known = |path: &str| [&placed, &original].iter().any(|tree| tree.get(path) == crashed.get(path));
            for (path, what) in &crashed {
                let beside = path.contains(".leafwright-new");
                assert!(
                    beside || known(path) || what.contains("new") || what == "link motd",
                    "before {step}: {path} is {what}"
                );
            }
            if step.starts_with("write") || step == "sync" {
                let mut unchanged = crashed.clone();
                unchanged.retain(|path, _| !path.contains(".leafwright-new"));
                assert_eq!(unchanged, placed, "before {step}");
            }
            place(&machine, &back);
            assert_eq!(etc(&machine), placed, "returned from a crash before {step}");
            states.push(step.to_owned());
        },
    );
    assert_eq!(states, steps);
    let kinds: Vec<&str> = steps.iter().map(|step| step.split(' ').next().unwrap()).collect();
    assert_eq!(
        kinds,
        ["write", "write", "write", "write", "write", "sync", "rename", "rename", "rename", "remove", "end"]
    );
    // And all the way back to a machine without anything of ours, crashed at each step too.
    let after = etc(&machine);
    crash_at_each(
        |hook| {
            place(&machine, &new);
            assert_eq!(etc(&machine), after);
            place_all(&machine.home, &machine.lock(), &everything, hook)
        },
        |step| {
            place(&machine, &everything);
            assert_eq!(etc(&machine), original, "before {step}");
        },
    );
    assert_eq!(etc(&machine), original);
}

/// The record is written before the rename: what was never replaced must not go when the machine returns.
#[test]
fn what_was_not_replaced_yet_survives_the_return() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o640);
    let before = etc(&machine);
    let changes = placing(&machine, &[("leafwright-test/motd", 0o644, "ours")]);
    let mut crash = |step: &str| match step.starts_with("rename") {
        true => anyhow::bail!("crash"),
        false => Ok(()),
    };
    place_all(&machine.home, &machine.lock(), &changes, &mut crash).unwrap_err();
    place(&machine, &[remove("/leafwright-test/motd")]);
    assert_eq!(etc(&machine), before);
}

#[test]
fn what_must_not_be_replaced_is_refused_before_anything_is_written() {
    let machine = machine();
    fs::create_dir_all(machine.at("/leafwright-test/motd/below")).unwrap();
    let changes =
        placing(&machine, &[("leafwright-test/first", 0o644, "ours"), ("leafwright-test/motd", 0o644, "ours")]);
    let fault = refused(&machine, &changes);
    assert!(
        fault.contains("/leafwright-test/motd is a directory or a device, and is never replaced\nhelp: "),
        "{fault}"
    );
    assert!(refused(&machine, &[link("/leafwright-test/motd", "x")]).contains("never replaced"));
    assert!(
        refused(&machine, &[link("/leafwright-test/a", "x"), remove("/leafwright-test/a")])
            .contains("/leafwright-test/a is changed twice")
    );
    for path in [
        "leafwright-test/a",
        "/leafwright-test/../a",
        "/leafwright-test//a",
        "/leafwright-test/./a",
        "/leafwright-test/a/",
        "/",
        "",
    ] {
        assert!(refused(&machine, &[link(path, "x")]).contains("is not a plain absolute path"), "{path}");
    }
    // Removing what is not ours is nothing, whatever it is.
    place(&machine, &[remove("/leafwright-test/motd")]);
    assert!(machine.at("/leafwright-test/motd/below").is_dir());
}

#[test]
fn a_damaged_store_is_not_placed() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o644);
    let changes = placing(&machine, &[("leafwright-test/motd", 0o644, "ours")]);
    let Change::Place { from, .. } = &changes[0] else { unreachable!() };
    fs::set_permissions(from, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(from, "hers").unwrap();
    let fault = refused(&machine, &changes);
    assert!(fault.contains("is damaged: /leafwright-test/motd is not placed\nhelp: "), "{fault}");
}

#[test]
fn links_on_the_way_lead_nowhere_but_below_the_root() {
    let machine = machine();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(machine.at("/leafwright-test")).unwrap();
    fs::create_dir_all(machine.at("/opt/inside")).unwrap();
    symlink(outside.path(), machine.at("/leafwright-test/absolute")).unwrap();
    symlink("../../../../../../../../../../tmp", machine.at("/leafwright-test/upwards")).unwrap();
    symlink("/opt/inside", machine.at("/leafwright-test/inside")).unwrap();
    let fault = refused(&machine, &[link("/leafwright-test/absolute/a", "x")]);
    assert!(fault.contains("leads nowhere"), "{fault}");
    place(&machine, &[link("/leafwright-test/inside/a", "x")]);
    assert!(machine.at("/opt/inside/a").is_symlink(), "as on the machine itself");
    fs::create_dir(machine.at("/tmp")).unwrap();
    place(&machine, &[link("/leafwright-test/upwards/leafwright-was-here", "x")]);
    assert!(machine.at("/tmp/leafwright-was-here").is_symlink());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!std::path::Path::new("/tmp/leafwright-was-here").exists());
    // The state directory as well.
    fs::remove_dir_all(machine.at("/var")).ok();
    symlink(outside.path(), machine.at("/var")).unwrap();
    let fault =
        leafwright::host::machine::Home::new("/var/lib/leafwright".as_ref(), Some(machine.home.root())).unwrap_err();
    assert!(fault.to_string().contains("leads out of"), "{fault}");
}

#[test]
fn what_is_there_is_seen_as_it_is() {
    let machine = machine();
    machine.write("/leafwright-test/file", "text", 0o4750);
    machine.write("/leafwright-test/no-directory", "", 0o644);
    symlink("file", machine.at("/leafwright-test/link")).unwrap();
    fs::create_dir(machine.at("/leafwright-test/directory")).unwrap();
    let paths = [
        "/leafwright-test/file",
        "/leafwright-test/link",
        "/leafwright-test/directory",
        "/leafwright-test/none",
        "/none/none",
        "/leafwright-test/no-directory/none",
    ];
    let seen = look(machine.home.root(), paths).unwrap();
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        ["/leafwright-test/directory", "/leafwright-test/file", "/leafwright-test/link"]
    );
    assert_eq!(seen["/leafwright-test/link"], SeenFile::Link { to: "file".into() });
    assert!(matches!(seen["/leafwright-test/directory"], SeenFile::Directory { .. }));
    let SeenFile::File { digest, mode, .. } = &seen["/leafwright-test/file"] else { panic!("{seen:?}") };
    assert_eq!((digest.as_str(), *mode), ("982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1", 0o4750));
    symlink("loop", machine.at("/leafwright-test/loop")).unwrap();
    assert!(
        look(machine.home.root(), ["/leafwright-test/loop/x"]).is_err(),
        "whoever looks fails rather than leave something out"
    );
}

#[test]
fn a_damaged_or_newer_index_of_originals_is_refused() {
    let machine = machine();
    machine.write("/leafwright-test/motd", "theirs", 0o644);
    let changes = placing(&machine, &[("leafwright-test/motd", 0o644, "ours")]);
    place(&machine, &changes);
    let index = machine.home.originals().with_extension("json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, &text[..text.len() / 2]).unwrap();
    assert!(refused(&machine, &changes).contains("originals.json: damaged"));
    fs::write(&index, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(refused(&machine, &changes).contains("written by a newer leafwright"));
    fs::write(&index, &text).unwrap();
    fs::write(machine.home.originals().join("leafwright-test/motd"), "hers").unwrap();
    assert!(
        refused(&machine, &[remove("/leafwright-test/motd")])
            .contains("cannot be brought back to /leafwright-test/motd")
    );
}

/// Said, not asserted: a time is not a fault.
#[test]
fn looking_at_a_machine_is_quick() {
    let machine = machine();
    let text = "x".repeat(2_000);
    let paths: Vec<String> = (0..22).map(|n| format!("/leafwright-test/some/where/{n}.conf")).collect();
    paths.iter().for_each(|path| machine.write(path, &text, 0o644));
    let times: Vec<Duration> = (0..20)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(look(machine.home.root(), paths.iter().map(String::as_str)).unwrap().len(), 22);
            started.elapsed()
        })
        .collect();
    println!("22 files of 2 kB are looked at in {:?} (the quickest of 20)", times.iter().min().unwrap());
}
