//! Golden closures, determinism, origins, hostile names: what compiles, without any server.

#[path = "compile/fixture.rs"]
mod fixture;

use fixture::{Fixture, edit, name};
use leafwright::compile::{self, ArtefactKind, Compiled, effects};
use leafwright::diag::{Code, Report};
use leafwright::identity::UserId;
use leafwright::resolve::{Domain, directives};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn compiled(domain: &Domain) -> Compiled {
    let checked = compile::domain(domain, &fixture::identity(domain));
    assert!(checked.report.is_empty(), "{:?}", checked.report);
    checked.value.unwrap()
}

fn codes(report: &Report) -> Vec<Code> {
    report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

/// Every file of the closures, as `<machine>/<path>`, with its text; the manifest too.
fn files(fixture: &Fixture) -> Vec<(String, String)> {
    let compiled = compiled(&fixture.domain);
    let mut files = vec![];
    for closure in compiled.machines.values().chain([&compiled.domain]) {
        for artefact in &closure.artefacts {
            files.push((
                format!("{}/{}", closure.name, artefact.path),
                String::from_utf8(artefact.bytes.clone()).unwrap(),
            ));
        }
        files.push((format!("{}/manifest.json", closure.name), compile::manifest(closure, &fixture.sources)));
    }
    files
}

/// Compares with the folder, or rewrites it with `UPDATE=1`.
fn golden(case: &str, files: &[(String, String)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile").join(case);
    if std::env::var_os("UPDATE").is_some() {
        let _absent = std::fs::remove_dir_all(&root);
        for (path, text) in files {
            let target = root.join(path);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, text).unwrap();
        }
        return;
    }
    let expected: BTreeSet<String> = below(&root, &root).into_iter().collect();
    let found: BTreeSet<String> = files.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(found, expected, "the files of {case}; UPDATE=1 rewrites");
    for (path, text) in files {
        let expected = std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(*text, expected, "{case}/{path}; UPDATE=1 rewrites");
    }
}

fn below(root: &Path, directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let paths: Vec<PathBuf> = entries.collect();
    paths
        .into_iter()
        .flat_map(|path| match path.is_dir() {
            true => below(root, &path),
            false => vec![path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()],
        })
        .collect()
}

#[test]
fn a_domain_with_a_cluster() {
    golden("cluster", &files(&fixture::meadow()));
}

#[test]
fn a_machine_that_stands_alone() {
    golden("alone", &files(&fixture::alone()));
}

#[test]
fn a_cluster_of_one_member() {
    golden("one-member", &files(&fixture::one_member()));
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| files(&fixture::meadow()))
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(7));
}

#[test]
fn every_artefact_has_an_origin_and_every_line_of_text_that_knows_one() {
    let Fixture { domain, sources } = fixture::meadow();
    let compiled = compiled(&domain);
    for closure in compiled.machines.values().chain([&compiled.domain]) {
        for artefact in &closure.artefacts {
            let place = format!("{}/{}", closure.name, artefact.path);
            assert!(!artefact.origins.is_empty(), "{place} has no origin");
            assert!(artefact.origins.iter().all(|span| !sources.text(span.source).is_empty()), "{place}");
            let lines = artefact.bytes.iter().filter(|byte| **byte == b'\n').count();
            let exact = matches!(artefact.kind, ArtefactKind::NatsServerConfig | ArtefactKind::Unit);
            assert_eq!(artefact.lines.len(), if exact { lines } else { 0 }, "{place}");
        }
    }
}

#[test]
fn origins_and_comments_are_outside_the_digest() {
    let digests = |fixture: &Fixture| -> Vec<String> {
        compiled(&fixture.domain).machines.into_values().map(|closure| closure.digest).collect()
    };
    let plain = fixture::meadow();
    let mut moved = fixture::meadow();
    edit(&mut moved.domain, "thermo", |thermo| {
        thermo.origin.end -= 1;
        thermo.origins.fallback = Some(thermo.origin);
    });
    assert_eq!(digests(&plain), digests(&moved));
    edit(&mut moved.domain, "thermo", |thermo| thermo.options.leaf.max_connections += 1);
    let (before, after) = (digests(&plain), digests(&moved));
    assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 1, "one machine changes, and no other");
}

fn config(compiled: &Compiled, machine: &str) -> Value {
    let closure = &compiled.machines[machine];
    let artefact = closure.artefacts.iter().find(|artefact| artefact.kind == ArtefactKind::NatsServerConfig).unwrap();
    serde_json::from_slice(&artefact.bytes).unwrap()
}

#[test]
fn what_nats_server_dies_of_is_found_in_its_configuration() {
    let compiled = compiled(&fixture::meadow().domain);
    let artefacts = &compiled.machines["thermo"].artefacts;
    let config = artefacts.iter().find(|artefact| artefact.kind == ArtefactKind::NatsServerConfig).unwrap();
    let text = std::str::from_utf8(&config.bytes).unwrap();
    let line = |fault: &str| compile::spoken_of(config, fault).map(|line| text.lines().nth(line as usize - 1).unwrap());
    let died = "[FTL] Error listening on port: 127.0.0.1:4222, \"listen tcp 127.0.0.1:4222: address already in use\"";
    assert!(line(died).unwrap().contains("\"listen\""), "{:?}", line(died));
    let died =
        "[FTL] can't load JetStream: could not create storage directory - mkdir /var/lib/nats: read-only file system";
    assert!(line(died).unwrap().contains("\"store_dir\""), "{:?}", line(died));
    assert_eq!(compile::spoken_of(config, "nats-server: /x/nats-server.json:3:7: unknown field"), Some(3));
    assert_eq!(compile::spoken_of(config, "[FTL] out of luck"), None);
}

#[test]
fn every_key_that_is_emitted_has_its_class() {
    fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys(value, &below, found);
            }),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                items.iter().for_each(|item| keys(item, path, found))
            }
            _ => drop(found.insert(path.to_owned())),
        }
    }
    let compiled = compiled(&fixture::meadow().domain);
    let mut found = BTreeSet::new();
    for machine in compiled.machines.keys() {
        keys(&config(&compiled, machine.as_str()), "", &mut found);
    }
    let missing: Vec<&String> = found.iter().filter(|path| effects::key(path).is_none()).collect();
    assert!(missing.is_empty(), "not in the table of effects: {missing:?}");
    let unused = effects::EFFECTS.iter().filter(|key| !found.iter().any(|path| path.starts_with(key.path)));
    assert_eq!(unused.map(|key| key.path).collect::<Vec<_>>(), Vec::<&str>::new(), "rows for keys that nothing emits");
}

#[test]
fn a_user_without_a_key_is_blamed_on_the_machine() {
    let Fixture { domain, .. } = fixture::meadow();
    let mut identity = fixture::identity(&domain);
    identity.users.remove(&UserId::Service(name!("thermo"), name!("thermometer")));
    let checked = compile::domain(&domain, &identity);
    assert!(checked.value.is_none());
    assert_eq!(codes(&checked.report), [Code(611)]);
    let thermo = domain.machines.iter().find(|machine| machine.name.as_str() == "thermo").unwrap();
    assert_eq!(checked.report.diagnostics[0].primary.span, thermo.origin);
}

#[test]
fn a_secret_in_a_declaration_compiles_to_nothing() {
    let mut fixture = fixture::meadow();
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    edit(&mut fixture.domain, "thermo", |thermo| {
        let service = thermo.options.services.get_mut("thermometer").unwrap();
        service.environment.insert("TOKEN".to_owned(), seed.clone());
    });
    let checked = compile::domain(&fixture.domain, &fixture::identity(&fixture.domain));
    assert!(checked.value.is_none());
    assert_eq!(codes(&checked.report), [Code(601)]);
    assert!(!format!("{:?}", checked.report).contains(&seed), "the finding tells the secret");
}

#[test]
fn what_cannot_be_written_is_blamed_and_not_written() {
    type Change = fn(&mut leafwright::resolve::Machine);
    let rows: [(&str, u16, Change); 20] = [
        ("a newline in a server name", 702, |m| m.options.leaf.server_name = "a\nb".into()),
        ("a newline in an argument", 702, |m| {
            m.options.services.get_mut("thermometer").unwrap().exec.push("a\nb".into())
        }),
        ("a newline in a variable", 702, |m| {
            m.options.services.get_mut("thermometer").unwrap().environment.insert("A".into(), "x\nB=1".into());
        }),
        ("a variable that is two", 702, |m| {
            m.options.services.get_mut("thermometer").unwrap().environment.insert("A=1\nB".into(), "x".into());
        }),
        ("a newline in a description", 702, |m| {
            m.options.services.get_mut("thermometer").unwrap().description = "x\nUser=root".into()
        }),
        ("a unit in another directory", 703, |m| {
            drop(m.options.units.insert("../x.service".into(), unit("Service", "User", "root")))
        }),
        ("a directive that is two", 703, |m| {
            drop(m.options.units.insert("x.service".into(), unit("Service", "User=root\nGroup", "root")))
        }),
        ("a file outside the tree", 704, |m| drop(m.options.files.insert("/etc/../x".into(), text("").into()))),
        ("a file that is a unit already", 704, |m| {
            m.options.files.insert("/lib/systemd/system/nats-server.service".into(), text("").into());
        }),
        ("a gate of nothing", 706, |m| gate(m, None, None, None)),
        ("a gate of two", 706, |m| gate(m, Some("/bin/true"), Some("todos.list"), None)),
        ("a gate whose program is looked for", 706, |m| gate(m, Some("true"), None, None)),
        ("a gate that asks what nobody here sends or answers", 706, |m| gate(m, None, Some("todos.list"), None)),
        ("a gate that takes too long", 706, |m| gate_within(m, 3601)),
        ("a gate that takes no time", 706, |m| gate_within(m, 0)),
        ("a gate on a stream that draws from nowhere", 706, |m| gate(m, None, None, Some("CMD-thermo"))),
        ("a package that is an option", 707, |m| package(m, "--purge", &[])),
        ("a package that is taken away", 707, |m| package(m, "chrony-", &[])),
        ("a package that is a pattern there", 707, |m| package(m, "chrony", &[("debian", "chron*")])),
        ("a package of no distribution", 707, |m| package(m, "chrony", &[("Debian 13", "chrony")])),
    ];
    for (what, code, change) in rows {
        let mut fixture = fixture::meadow();
        edit(&mut fixture.domain, "thermo", change);
        let checked = compile::domain(&fixture.domain, &fixture::identity(&fixture.domain));
        assert!(checked.value.is_none(), "{what}");
        assert_eq!(codes(&checked.report), [Code(code)], "{what}");
    }
}

fn package(machine: &mut leafwright::resolve::Machine, name: &str, names: &[(&str, &str)]) {
    let names = names.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect();
    machine.options.packages.insert(name.to_owned(), names);
}

fn gate(machine: &mut leafwright::resolve::Machine, exec: Option<&str>, query: Option<&str>, current: Option<&str>) {
    let exec = exec.map(|program| vec![program.to_owned()]);
    let current = current.map(|stream| name!(stream));
    machine
        .options
        .gates
        .insert("g".into(), leafwright::resolve::Gate { exec, query: query.map(str::to_owned), current, within: None });
}

fn gate_within(machine: &mut leafwright::resolve::Machine, seconds: u64) {
    gate(machine, Some("/bin/true"), None, None);
    let gate = machine.options.gates.get_mut("g").expect("it was put there");
    gate.within = Some(leafwright::name::Duration::secs(seconds));
}

fn unit(section: &str, directive: &str, value: &str) -> leafwright::resolve::Unit {
    [(section.to_owned(), [(directive.to_owned(), vec![value.to_owned()])].into())].into()
}

fn text(text: &str) -> leafwright::resolve::File {
    leafwright::resolve::File {
        text: Some(text.to_owned()),
        template: None,
        values: Default::default(),
        mode: "0644".to_owned(),
    }
}

static PLAIN: std::sync::OnceLock<Compiled> = std::sync::OnceLock::new();

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]
    /// Hostile texts in options are values in the artefacts and nothing else: what is read back has the same structure.
    #[test]
    fn texts_cannot_change_the_structure(hostile in "[a-z \"'\\\\;{}%$#=\\[\\],:]{0,24}") {
        let mut fixture = fixture::meadow();
        edit(&mut fixture.domain, "thermo", |thermo| {
            thermo.options.leaf.server_name = hostile.clone();
            thermo.options.leaf.store = hostile.clone();
            let service = thermo.options.services.get_mut("thermometer").unwrap();
            service.description = format!("x{hostile}.");
            service.exec.push(hostile.clone());
            service.environment.insert("HOSTILE".to_owned(), hostile.clone());
        });
        let plain = PLAIN.get_or_init(|| compiled(&fixture::meadow().domain));
        let attacked = compiled(&fixture.domain);
        let (mut was, is) = (config(plain, "thermo"), config(&attacked, "thermo"));
        was["server_name"] = hostile.clone().into();
        was["jetstream"]["store_dir"] = hostile.clone().into();
        proptest::prop_assert_eq!(was, is);
        let shape = |compiled: &Compiled, path: &str| -> Vec<String> {
            let artefact = compiled.machines["thermo"].artefacts.iter().find(|artefact| artefact.path == path).unwrap();
            let text = String::from_utf8(artefact.bytes.clone()).unwrap();
            text.lines().map(|line| line.split('=').next().unwrap().to_owned()).collect()
        };
        let unit = "lib/systemd/system/thermometer@.service";
        proptest::prop_assert_eq!(shape(plain, unit), shape(&attacked, unit));
        let mut variables = shape(plain, "etc/leafwright/services/thermometer.env");
        variables.insert(0, "HOSTILE".to_owned());
        proptest::prop_assert_eq!(variables, shape(&attacked, "etc/leafwright/services/thermometer.env"));
    }
}

/// Whether the program runs here; where it must (CI) and does not, the test fails.
fn is_here(program: &str) -> bool {
    let here = std::process::Command::new(program).arg("--version").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{program} is not on this machine");
    if !here {
        eprintln!("SKIPPED: {program} is not on this machine");
    }
    here
}

/// Whatever this machine's systemd takes, `check` knows (LW0418).
#[test]
fn systemds_own_directives_are_known() {
    let systemd = "/usr/lib/systemd/systemd";
    if !is_here(systemd) {
        return;
    }
    let listed = std::process::Command::new(systemd).arg("--dump-configuration-items").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let (mut section, mut count, mut unknown) = ("", 0, vec![]);
    for line in listed.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let (Some((directive, _)), Some(mut known)) = (line.split_once('='), directives::of_section(section))
        {
            count += 1;
            unknown.extend((!known.any(|known| known == directive)).then(|| format!("{section}.{directive}")));
        }
    }
    assert!(count > 1000, "{count} directives:\n{listed}");
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// What systemd itself says of the units: that it understands every directive, and how exposed each is.
#[test]
fn systemd_understands_the_units_and_finds_them_closed() {
    if !is_here("systemd-analyze") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let compiled = compiled(&fixture::meadow().domain);
    for machine in ["office", "oak", "web"] {
        let home = directory.path().join(machine);
        std::fs::create_dir_all(&home).unwrap();
        let units = compiled.machines[machine].artefacts.iter().filter(|artefact| artefact.kind == ArtefactKind::Unit);
        let mut services = vec![];
        for unit in units {
            let path = home.join(unit.path.rsplit('/').next().unwrap());
            // nats-server is where the machine has it; here it is elsewhere, and systemd looks for every program.
            let text = String::from_utf8(unit.bytes.clone()).unwrap().replace("=nats-server ", "=/bin/true ");
            std::fs::write(&path, text).unwrap();
            services.extend(unit.path.ends_with(".service").then(|| path.clone()));
        }
        for service in &services {
            let said = analyze(&["verify", "--man=no", "--recursive-errors=no"], service);
            assert_eq!(said, Ok(String::new()), "{}", service.display());
            // Hundredths: 2.5 of 10.
            let said = analyze(&["security", "--offline=true", "--no-pager", "--threshold=25"], service);
            assert!(said.is_ok(), "{}: {said:?}", service.display());
        }
    }
}

fn analyze(arguments: &[&str], unit: &Path) -> Result<String, String> {
    let output = std::process::Command::new("systemd-analyze").args(arguments).arg(unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{said}{}", String::from_utf8_lossy(&output.stdout))) }
}
