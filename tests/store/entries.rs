//! Closures in the store: read-only, shared, verified.

use super::fixture::{closure, closure_with_modes, crash_at_each, machine, tree};
use leafwright::host::closure::write_content;
use leafwright::host::machine::{go_on, store};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [(&str, &str); 3] =
    [("etc/nats/nats-server.json", "{}\n"), ("etc/motd", "hello\n"), ("lib/systemd/system/a.service", "[Unit]\n")];

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn damages(entry: &Path) -> Vec<String> {
    store::verify(entry).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_imported_is_read_only_sound_and_as_it_was_compiled() {
    let machine = machine();
    let lock = machine.lock();
    let (closure, manifest) =
        closure_with_modes(&[("etc/a", 0o644, "a"), ("etc/b", 0o600, "b"), ("etc/c", 0o755, "c")]);
    let entry = store::import(&machine.home, &lock, &closure, &manifest, &mut go_on).unwrap();
    assert_eq!(entry, machine.home.entry(&format!("{}-office", closure.digest)));
    assert_eq!(damages(&entry), [""; 0]);
    let modes = ["etc/a", "etc/b", "etc/c", "manifest.json", "etc", ""].map(|path| mode(&entry.join(path)));
    assert_eq!(modes, [0o444, 0o400, 0o444, 0o444, 0o555, 0o555]);
    assert_eq!(fs::read_to_string(entry.join("manifest.json")).unwrap(), manifest);
    // Once more changes nothing.
    let before = fs::metadata(&entry).unwrap().ino();
    store::import(&machine.home, &lock, &closure, &manifest, &mut |step| panic!("{step}")).unwrap();
    assert_eq!(fs::metadata(&entry).unwrap().ino(), before);
}

#[test]
fn a_file_of_two_closures_is_on_disk_once_and_a_damaged_one_is_not_shared() {
    let machine = machine();
    let lock = machine.lock();
    let import = |files: &[(&str, &str)]| {
        let (closure, manifest) = closure(files);
        store::import(&machine.home, &lock, &closure, &manifest, &mut go_on).unwrap()
    };
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    let one = import(&[("etc/a", "same"), ("etc/b", "one")]);
    let two = import(&[("etc/a", "same"), ("etc/b", "two"), ("etc/c", "same")]);
    assert_eq!(inode(one.join("etc/a")), inode(two.join("etc/a")));
    assert_eq!(inode(one.join("etc/a")), inode(two.join("etc/c")));
    assert_ne!(inode(one.join("etc/b")), inode(two.join("etc/b")));
    // Two closures and the pool.
    assert_eq!(fs::metadata(one.join("etc/a")).unwrap().nlink(), 4);

    set_mode(&one.join("etc/a"), 0o644);
    fs::write(one.join("etc/a"), "sane").unwrap();
    set_mode(&one.join("etc/a"), 0o444);
    let three = import(&[("etc/a", "same"), ("etc/b", "three")]);
    assert_ne!(inode(one.join("etc/a")), inode(three.join("etc/a")));
    assert_eq!(damages(&three), [""; 0]);
    let bytes = |path: &str| format!("{path}: its bytes are not those that were compiled");
    assert_eq!(damages(&one), [bytes("etc/a")]);
    assert_eq!(damages(&two), [bytes("etc/a"), bytes("etc/c")]);
    // Importing what is damaged makes it whole.
    assert_eq!(import(&[("etc/a", "same"), ("etc/b", "one")]), one);
    assert_eq!(damages(&one), [""; 0]);
    assert_eq!(inode(one.join("etc/a")), inode(three.join("etc/a")));
}

#[test]
fn each_damage_is_named() {
    type Harm = fn(&Path);
    fn open(entry: &Path, path: &str) -> PathBuf {
        let path = entry.join(path);
        set_mode(path.parent().unwrap(), 0o755);
        path
    }
    fn close(path: &Path) {
        set_mode(path.parent().unwrap(), 0o555);
    }
    fn rewrite(entry: &Path, path: &str, from: &str, to: &str) {
        let path = open(entry, path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        set_mode(&path, 0o444);
        close(&path);
    }
    let rows: [(Harm, &str); 11] = [
        (|entry| rewrite(entry, "etc/motd", "hello", "hellp"), "etc/motd: its bytes are not those that were compiled"),
        (
            |entry| rewrite(entry, "manifest.json", "\"effect\": \"none\"", "\"effect\": \"nonf\""),
            "manifest.json: its bytes are not those that were compiled",
        ),
        (
            |entry| rewrite(entry, "manifest.json", "\"kind\": \"file\"", "\"kind\": \"unit\""),
            "manifest.json: its bytes are not those that were compiled",
        ),
        (
            |entry| {
                let path = open(entry, "etc/motd");
                fs::remove_file(&path).unwrap();
                close(&path);
            },
            "etc/motd: missing",
        ),
        (
            |entry| {
                let path = open(entry, "manifest.sha256");
                fs::remove_file(&path).unwrap();
                close(&path);
            },
            "manifest.sha256: missing",
        ),
        (
            |entry| {
                let path = open(entry, "etc/extra");
                fs::write(&path, "").unwrap();
                close(&path);
            },
            "etc/extra: not of this closure",
        ),
        (
            |entry| {
                let path = open(entry, "etc/motd");
                fs::remove_file(&path).unwrap();
                symlink("nats/nats-server.json", &path).unwrap();
                close(&path);
            },
            "etc/motd: not a file",
        ),
        (|entry| set_mode(&entry.join("etc/motd"), 0o644), "etc/motd: mode 0644 instead of 0444"),
        (|entry| set_mode(&entry.join("etc/nats"), 0o755), "etc/nats: mode 0755 instead of 0555"),
        (|entry| set_mode(entry, 0o755), ".: mode 0755 instead of 0555"),
        // One closure under another's name: every file is as its manifest says.
        (
            |entry| fs::rename(entry, entry.with_file_name("0-office")).unwrap(),
            ".: its files are not those of its digest",
        ),
    ];
    for (harm, named) in rows {
        let machine = machine();
        let (closure, manifest) = closure(&FILES);
        let entry = store::import(&machine.home, &machine.lock(), &closure, &manifest, &mut go_on).unwrap();
        harm(&entry);
        let there = if entry.exists() { entry } else { entry.with_file_name("0-office") };
        assert_eq!(damages(&there), [named]);
    }
    assert!(store::verify(Path::new("/nowhere")).is_err());
}

/// What `build --out` writes for a machine of the example: digested on disk as it was when it was compiled.
#[test]
fn a_directory_that_build_wrote_is_imported_only_if_it_is_whole() {
    let machine = machine();
    let lock = machine.lock();
    let out = machine.directory.path().join("out");
    let built = Command::new(env!("CARGO_BIN_EXE_leafwright"))
        .args(["build", "thermo", "--domain", env!("CARGO_MANIFEST_DIR"), "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let entry = store::import_directory(&machine.home, &lock, &out, &mut go_on).unwrap();
    assert_eq!(damages(&entry), [""; 0]);
    assert!(tree(&entry).len() > 10, "{:?}", tree(&entry));
}

#[test]
fn a_directory_that_is_not_whole_leaves_nothing_in_the_store() {
    type Harm = fn(&Path);
    let rows: [(Harm, &str); 7] = [
        (|out| fs::write(out.join("etc/motd"), "hellp\n").unwrap(), "etc/motd is not what its manifest says"),
        (|out| fs::remove_file(out.join("etc/motd")).unwrap(), "cannot read"),
        (|out| fs::write(out.join("etc/extra"), "").unwrap(), "etc/extra is not in the manifest"),
        (|out| fs::remove_file(out.join("manifest.json")).unwrap(), "holds no closure\nhelp: "),
        (|out| change(out, "etc/motd", "../../motd"), "leads out of the closure"),
        (|out| change(out, "\"0644\"", "\"0755\""), "are not those of its digest"),
        (|out| change(out, "\"format\": 1", "\"format\": 2"), "written by a newer leafwright"),
    ];
    fn change(out: &Path, from: &str, to: &str) {
        let path = out.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    for (harm, why) in rows {
        let machine = machine();
        let lock = machine.lock();
        let out = machine.directory.path().join("out");
        let (closure, manifest) = closure(&FILES);
        write_content(&closure, &manifest, &out).unwrap();
        harm(&out);
        let fault = format!("{:#}", store::import_directory(&machine.home, &lock, &out, &mut go_on).unwrap_err());
        assert!(fault.contains(why), "{fault}");
        let entries = fs::read_dir(machine.home.store()).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let placed: Vec<_> = entries.filter(|name| !name.to_string_lossy().starts_with('.')).collect();
        assert!(placed.is_empty(), "{placed:?}");
    }
}

#[test]
fn a_crash_at_any_step_leaves_every_closure_whole() {
    let machine = machine();
    let lock = machine.lock();
    let (old, manifest) = closure(&[("etc/motd", "hello\n"), ("etc/only", "old\n")]);
    let old = store::import(&machine.home, &lock, &old, &manifest, &mut go_on).unwrap();
    let (new, manifest) = closure(&FILES);
    let target = machine.home.entry(&format!("{}-office", new.digest));
    let steps = crash_at_each(
        |hook| {
            // Each try begins without the new closure, and with whatever else the crash before it left.
            let _gone = leafwright::host::disk::remove_tree(&target);
            store::import(&machine.home, &lock, &new, &manifest, hook).map(drop)
        },
        |step| {
            assert_eq!(damages(&old), [""; 0], "before {step}");
            assert_eq!(target.exists(), step.starts_with("share"), "before {step}");
            assert!(!target.exists() || damages(&target).is_empty(), "before {step}");
        },
    );
    assert_eq!(damages(&target), [""; 0]);
    let kinds: Vec<&str> = steps.iter().map(|step| step.split(' ').next().unwrap()).collect();
    assert_eq!(kinds[..5], ["write", "write", "write", "sync", "rename"]);
}
