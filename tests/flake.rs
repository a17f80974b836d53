//! The flake, evaluated with a stand-in for nixpkgs: it knows the machines from the TOML, and its module links their closures.
//!
//! It shows that the flake's own text is right, not that a NixOS machine boots with it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// `None`, said aloud, where there is no Nix; under `CI=true` that is a failure.
fn evaluated() -> Option<Value> {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut nix = Command::new("nix-instantiate");
    nix.args(["--eval", "--strict", "--json", "--store", "dummy://", "tests/flake/stand-in.nix"]).current_dir(root);
    let Ok(output) = nix.output() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "nix-instantiate is missing, and a skip is a failure here"
        );
        eprintln!("SKIPPED: nix-instantiate is missing, flake.nix was not evaluated");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("nix-instantiate prints JSON"))
}

/// Machine → the architecture of its hardware, read without Nix.
fn machines() -> BTreeMap<String, String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let table = |path: String| -> toml::Table {
        std::fs::read_to_string(&path).expect("a declaration").parse().unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let files = std::fs::read_dir(format!("{root}/machines")).expect("machines/");
    let names = files.filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned));
    let arch = |name: &str| {
        let machine = table(format!("{root}/machines/{name}.toml"));
        let hardware = table(format!("{root}/hardware/{}.toml", machine["hardware"].as_str().expect("a name")));
        hardware["arch"].as_str().expect("a name").to_owned()
    };
    names.map(|name| (name.clone(), arch(&name))).collect()
}

#[test]
fn the_flake_knows_every_machine_and_links_its_closure() {
    let Some(flake) = evaluated() else { return };
    let machines = machines();
    assert!(machines.len() > 3, "{machines:?}");
    let names: Vec<&str> = flake["names"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(names, machines.keys().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(flake["none"], serde_json::json!({}), "a machine that is none of ours gets nothing");
    for (name, arch) in &machines {
        assert_eq!(flake["systems"][name], format!("{arch}-linux"));
        let configuration = &flake["configurations"][name];
        assert_eq!(configuration["networking"]["hostName"], *name);
        assert_eq!(configuration["systemd"]["packages"][0], format!("/leafwright-{name}"));
        assert_eq!(configuration["systemd"]["targets"]["leafwright"]["wantedBy"][0], "multi-user.target");
    }
    for system in ["x86_64-linux", "aarch64-linux"] {
        assert_eq!(flake["packages"][system]["closures"], "/leafwright-closures");
        assert_eq!(flake["checks"][system]["domain"], "/leafwright-check");
        let program = flake["packages"][system]["default"].as_str().expect("a name");
        assert_eq!(program, format!("/leafwright-{}", env!("CARGO_PKG_VERSION")));
    }
}
