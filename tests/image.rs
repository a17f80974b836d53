//! `apply --root`: a machine's files below a directory that will be its root. Nothing is started, nothing secret gets in.
#![cfg(feature = "world")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

fn apply(root: &Path) -> Output {
    apply_of(Path::new(env!("CARGO_MANIFEST_DIR")), root)
}

fn apply_of(domain: &Path, root: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
    command.args(["apply", "office", "--yes", "--person", "ada", "--domain"]).arg(domain).arg("--root").arg(root);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_image_has_the_files_of_its_machine_and_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("etc")).unwrap();
    let first = apply(root);
    assert!(first.status.success(), "{}", said(&first));
    for path in ["etc/nats/nats-server.json", "etc/leafwright/ca.pem", "etc/sysusers.d/leafwright.conf"] {
        assert!(root.join(path).is_file(), "{path}");
    }
    let wants = |target: &str, unit: &str| root.join(format!("etc/systemd/system/{target}.wants/{unit}"));
    assert!(wants("multi-user.target", "leafwright.target").is_symlink());
    assert!(wants("basic.target", "leafwright-boot.service").is_symlink());
    let register = fs::read_to_string(root.join("var/lib/leafwright/state.json")).unwrap();
    assert!(register.contains("\"current\": 1"), "{register}");
    let record = fs::read_to_string(root.join("var/lib/leafwright/generations/1.json")).unwrap();
    assert!(record.contains("\"person\": \"ada\""), "whoever applied it: {record}");
    assert!(!root.join("etc/leafwright/credentials/leaf.creds").exists(), "no secret is in an image");

    let config = root.join("etc/nats/nats-server.json");
    let before = fs::metadata(&config).unwrap().ino();
    let second = apply(root);
    assert!(said(&second).contains("nothing to do"), "{}", said(&second));
    assert_eq!(fs::metadata(&config).unwrap().ino(), before);

    // What a hand changed there is put back.
    fs::write(&config, "{}").unwrap();
    let third = apply(root);
    assert!(said(&third).contains("somebody changed it by hand"), "{}", said(&third));
    assert!(fs::read_to_string(&config).unwrap().contains("server_name"));
}

#[test]
fn a_link_in_an_image_does_not_lead_out_of_it() {
    for link in
        ["etc/nats", "etc/systemd", "etc/systemd/system", "etc/leafwright", "etc/systemd/system/basic.target.wants"]
    {
        let directory = tempfile::tempdir().unwrap();
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join(link)).unwrap();
        let output = apply(&root);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{link}: {}", said(&output));
        // As the machine itself would follow it: its own directory of that name is not there.
        assert_eq!(output.status.code(), Some(4), "{link}: {}", said(&output));
        // Where it is there it is the one; but no link takes the place of a directory that holds nothing but what is ours.
        fs::create_dir_all(root.join(outside.strip_prefix("/").unwrap())).unwrap();
        let output = apply(&root);
        assert_eq!(output.status.success(), link.starts_with("etc/systemd"), "{link}: {}", said(&output));
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{link}: {}", said(&output));
    }
}

/// What is for a machine that runs is refused, and not passed over.
#[test]
fn what_an_image_cannot_have_is_refused() {
    let root = tempfile::tempdir().unwrap();
    for words in [["--mode", "boot"], ["--out", "plan.json"], ["--keys", "keys"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        command.args(["apply", "office", "--yes", "--domain", env!("CARGO_MANIFEST_DIR"), "--root"]).arg(root.path());
        let output = command.args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "{words:?}");
    }
}

/// Units of an image speak of the machine's paths, wherever the image was made.
#[test]
fn nothing_in_an_image_knows_where_it_was_made() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("some-image");
    fs::create_dir_all(root.join("etc")).unwrap();
    let output = apply(&root);
    assert!(output.status.success(), "{}", said(&output));
    let found = Command::new("grep").args(["-rl", "some-image"]).arg(&root).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let unit = fs::read_to_string(root.join("etc/systemd/system/leafwright-boot.service")).unwrap();
    assert!(unit.contains("--state /var/lib/leafwright\n"), "{unit}");
}

#[test]
fn packages_of_an_image_are_named_and_not_installed() {
    let directory = tempfile::tempdir().unwrap();
    let (domain, root) = (directory.path().join("domain"), directory.path().join("root"));
    fs::create_dir(&domain).unwrap();
    let parts = ["domain.toml", "machines", "modules", "hardware", "people", "events", "contracts", "identity"];
    let from = parts.map(|part| Path::new(env!("CARGO_MANIFEST_DIR")).join(part));
    assert!(Command::new("cp").arg("-r").args(from).arg(&domain).status().unwrap().success());
    let machine = domain.join("machines/office.toml");
    let named = "\n[settings.packages]\nchrony = {}\ndnsutils = { debian = \"bind9-dnsutils\" }\n";
    fs::write(&machine, fs::read_to_string(&machine).unwrap() + named).unwrap();
    for (path, text) in
        [("etc/os-release", "ID=debian\n"), ("var/lib/dpkg/status", "Package: chrony\nStatus: install ok installed\n")]
    {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    let output = apply_of(&domain, &root);
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains(&format!("not installed in {}: bind9-dnsutils\n", root.display())),
        "{}",
        said(&output)
    );
}
