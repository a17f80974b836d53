//! `apply --root`: a machine's files below a directory that will be its root. Nothing is started, nothing secret gets in.
#![cfg(feature = "world")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

fn apply(root: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
    command.args(["apply", "office", "--yes", "--domain", env!("CARGO_MANIFEST_DIR"), "--root"]).arg(root);
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
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, root.join("etc/nats")).unwrap();
    let _output = apply(&root);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was written outside");
}
