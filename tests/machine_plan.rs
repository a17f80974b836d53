//! A machine's plan: which change restarts, reloads, starts or stops what, and nothing else; drift; refusals; and then nothing to do.

#[path = "machine_plan/any.rs"]
mod any;
#[path = "machine_plan/build.rs"]
mod build;
#[path = "compile/fixture.rs"]
#[expect(dead_code, reason = "the other half is for `tests/compile.rs`")]
mod fixture;
#[path = "machine_plan/rows.rs"]
mod rows;
#[path = "machine_plan/simulator.rs"]
mod simulator;

use build::{clock, closure, file, generation, lamp, service, size, socket, timer, unit};
use leafwright::compile;
use leafwright::plan::machine::unit_effects::directives;
use leafwright::plan::machine::{
    Act, Content, Directory, MachinePlan, Observation, SeenFile, SeenUnit, SeenUser, SystemUser, Why, back_between,
    between, render, server_digest,
};
use leafwright::{build as build_domain, judge, load};
use rows::{ROWS, SAME};
use simulator::{Generation, Machine};
use std::collections::BTreeMap;
use std::path::Path;

const NATS: &str = "nats-server.service";

/// What the plan does to units, in order: `restart todos@1.service`.
fn verbs(plan: &MachinePlan) -> Vec<String> {
    let verb = |act: &Act| match act {
        Act::Stop { unit } => Some(format!("stop {unit}")),
        Act::Reload { unit } => Some(format!("reload {unit}")),
        Act::Restart { unit } => Some(format!("restart {unit}")),
        Act::Start { unit } => Some(format!("start {unit}")),
        _ => None,
    };
    plan.steps().filter_map(|step| verb(&step.act)).collect()
}

fn ids(plan: &MachinePlan) -> Vec<&str> {
    plan.steps().map(|step| step.id.as_str()).collect()
}

/// A machine on which the generation was applied.
fn machine(generation: &Generation) -> Machine {
    let mut machine = Machine::default();
    machine.apply(None, generation);
    machine
}

#[test]
fn each_change_does_what_it_must_and_nothing_else() {
    for row in ROWS {
        let (old, new) = (generation(row.old), generation(row.new));
        let mut machine = machine(&old);
        let (files, running) = (machine.files.clone(), machine.running().join(" "));
        let plan = machine.apply(Some(&old), &new);
        assert_eq!(verbs(&plan), row.units, "{}:\n{}", row.name, render::human(&plan));
        assert_eq!(row.name == "nothing", plan.is_empty(), "{}", row.name);
        // And back: the old state, to the byte.
        machine.apply(Some(&new), &old);
        assert_eq!(machine.files, files, "{}", row.name);
        assert_eq!(machine.running().join(" "), running, "{}", row.name);
    }
    assert!(ROWS.len() >= 25);
}

#[test]
fn a_fresh_machine_gets_everything_in_order() {
    let new = generation(|o| {
        o.services.remove("web");
        service(o, "todos").instances = 1;
    });
    let plan = between(None, &new.content, &Observation::default());
    insta::assert_snapshot!(render::human(&plan), @r#"
      1  place /etc/leafwright/ca.pem, because it is new
      2  place /etc/leafwright/services/todos.env, because it is new
      3  place /etc/nats/nats-server.json, because it is new
      4  place /etc/systemd/system/leafwright.target, because it is new
      5  place /etc/systemd/system/nats-server.service, because it is new
      6  place /etc/systemd/system/todos@.service, because it is new
      7  place /etc/sysusers.d/leafwright.conf, because it is new
      8  place /etc/tmpfiles.d/leafwright.conf, because it is new
      9  link /etc/systemd/system/leafwright.target.wants/nats-server.service to /etc/systemd/system/nats-server.service, because it is new
     10  link /etc/systemd/system/multi-user.target.wants/leafwright.target to /etc/systemd/system/leafwright.target, because it is new
     11  make users, because /etc/sysusers.d/leafwright.conf changes
     12  make directories, because /etc/tmpfiles.d/leafwright.conf changes
     13  let systemd read its units again, because leafwright.target, leafwright.target.wants/nats-server.service, multi-user.target.wants/leafwright.target and 2 more change
     14  start nats-server.service, because it is new
     15  start todos@1.service, because it is new
     16  start leafwright.target, because it is new
    10 files to place, 3 units to start, nothing to remove
    "#);
    assert_eq!(plan.from, None);
    assert_eq!(plan.to, new.content.digest);
}

#[test]
fn what_changes_is_said_with_its_reason() {
    let old = generation(|o| {
        o.services.remove("web");
        file(o, "/etc/motd", "hello\n");
        unit(o, "lamp.service", &["Service.ExecStart=/bin/lamp", "Install.WantedBy=leafwright.target"]);
    });
    let new = generation(|o| {
        o.services.remove("web");
        service(o, "todos").instances = 1;
        o.leaf.max_pending = size(32 << 20);
        drop(service(o, "todos").environment.insert("COLOUR".into(), "blue".into()));
        file(o, "/etc/issue", "hello\n");
    });
    let mut machine = machine(&old);
    insta::assert_snapshot!(render::human(&machine.apply(Some(&old), &new)), @r#"
      1  stop todos@2.service, because it is no longer declared
      2  stop todos@1.service, because /etc/leafwright/services/todos.env changes
      3  stop lamp.service, because it is no longer declared
      4  place /etc/issue, because it is new
      5  place /etc/leafwright/services/todos.env, because its content changed
      6  place /etc/nats/nats-server.json, because leaf.max_pending (/max_pending) is 32MiB, was 64MiB
      7  place /etc/systemd/system/leafwright.target, because Unit.Wants is nats-server.service, todos@1.service, was nats-server.service, todos@1.service, todos@2.service
      8  place /etc/systemd/system/nats-server.service, because Unit.X-Reload-Triggers is not what it was; Unit.X-Restart-Triggers is not what it was
      9  place /etc/systemd/system/todos@.service, because Unit.X-Restart-Triggers is not what it was
     10  remove /etc/systemd/system/leafwright.target.wants/lamp.service, because it is no longer declared
     11  let systemd read its units again, because leafwright.target, leafwright.target.wants/lamp.service, nats-server.service and 1 more change
     12  restart nats-server.service, because leaf.max_pending (/max_pending) is 32MiB, was 64MiB
     13  start todos@1.service, because /etc/leafwright/services/todos.env changes
     14  remove /etc/motd, because it is no longer declared
     15  remove /etc/systemd/system/lamp.service, because it is no longer declared
     16  let systemd read its units again, because lamp.service changes
    6 files to place, 2 units to restart, 2 to stop, 3 files to remove
    "#);
}

#[test]
fn a_certificate_that_was_renewed_is_reloaded() {
    let [old, new] = ["one", "two"].map(|ca| Generation::of(&closure(|_| (), ca)));
    let plan = machine(&old).apply(Some(&old), &new);
    assert_eq!(ids(&plan), ["file/etc/leafwright/ca.pem/place", "unit/nats-server.service/reload"]);
    assert_eq!(plan.steps().last().unwrap().why, Why::Follows { what: vec!["/etc/leafwright/ca.pem".into()] });
}

#[test]
fn a_socket_is_closed_before_its_service_and_opened_before_it() {
    let [old, new] = [generation(|o| socket(o, "7000")), generation(|o| socket(o, "7001"))];
    let mut machine = machine(&old);
    machine.take(&Act::Start { unit: "talk.service".into() });
    let plan = machine.apply(Some(&old), &new);
    assert_eq!(
        verbs(&plan),
        ["stop talk.socket", "stop talk.service", "start talk.socket", "start talk.service"],
        "{}",
        render::human(&plan)
    );
}

#[test]
fn a_job_in_progress_is_let_finish() {
    let [old, new] = [generation(|o| timer(o, "daily", "/bin/a")), generation(|o| timer(o, "daily", "/bin/b"))];
    let mut seen = machine(&old).observe();
    let job = seen.units.entry("tidy.service".into()).or_default();
    job.active = "activating".into();
    assert_eq!(verbs(&between(Some(&old.content), &new.content, &seen)), Vec::<String>::new());
}

#[test]
fn stops_come_before_files_and_links_go_before_targets_start() {
    let old = generation(|o| lamp(o, &["Service.ExecStart=/bin/lamp"]));
    let new = generation(SAME);
    let plan = machine(&old).apply(Some(&old), &new);
    assert_eq!(
        ids(&plan),
        [
            "unit/lamp.service/stop",
            "file/etc/systemd/system/leafwright.target.wants/lamp.service/remove",
            "daemon-reload",
            "file/etc/systemd/system/lamp.service/remove",
            "daemon-reload/last",
        ]
    );
    assert_eq!((plan.before.len(), plan.after.len(), plan.last.len()), (3, 0, 2));
}

/// What a hand did to the machine, and what the plan for the same generation does about it.
#[test]
fn drift_is_put_right() {
    let todos = "/etc/systemd/system/todos@.service";
    let link = "/etc/systemd/system/leafwright.target.wants/nats-server.service";
    let edited = |mode| SeenFile::File { digest: "by hand".into(), mode, uid: 0, gid: 0 };
    type Hand = Box<dyn Fn(&mut Machine)>;
    let put = |path: &'static str, seen: SeenFile| -> Hand {
        Box::new(move |machine| drop(machine.files.insert(path.to_owned(), seen.clone())))
    };
    let all: &[&str] = &["restart todos@1.service", "restart todos@2.service"];
    let server: &[&str] = &[
        "stop web@1.service",
        "stop todos@2.service",
        "stop todos@1.service",
        "restart nats-server.service",
        "start todos@1.service",
        "start todos@2.service",
        "start web@1.service",
    ];
    let rows: Vec<(&str, Hand, &[&str], &str)> = vec![
        (
            "a file",
            put("/etc/motd", edited(0o644)),
            &[],
            "put /etc/motd back, because somebody changed it by hand: it was edited",
        ),
        ("a file that is gone", Box::new(|m| drop(m.files.remove("/etc/motd"))), &[], "it is gone"),
        (
            "a unit",
            put(todos, edited(0o644)),
            all,
            "restart todos@1.service, because somebody changed it by hand: it was edited",
        ),
        ("a mask", put(todos, SeenFile::Link { to: "/dev/null".into() }), all, "it is masked"),
        ("a link that is gone", Box::new(move |m| drop(m.files.remove(link))), &[], "it is disabled"),
        (
            "an environment",
            put("/etc/leafwright/services/todos.env", edited(0o644)),
            all,
            "restart todos@1.service, because /etc/leafwright/services/todos.env changes",
        ),
        (
            "a configuration that the server never read",
            put("/etc/nats/nats-server.json", edited(0o644)),
            &[],
            "it was edited",
        ),
        (
            "a configuration that it runs with",
            Box::new(move |m| {
                m.files.insert("/etc/nats/nats-server.json".into(), edited_config());
                m.kill(NATS);
                m.take(&Act::Start { unit: NATS.into() });
            }),
            server,
            "restart nats-server.service, because somebody changed it by hand: it runs with another configuration",
        ),
        (
            "a service that was stopped",
            Box::new(|m| m.kill("todos@2.service")),
            &["start todos@2.service"],
            "it ought to run and is inactive",
        ),
        (
            "a service that failed",
            Box::new(|m| {
                m.kill("todos@2.service");
                m.failed.insert("todos@2.service".into());
            }),
            &["start todos@2.service"],
            "it ought to run and is failed",
        ),
    ];
    let content = generation(|o| file(o, "/etc/motd", "hello\n"));
    for (name, hand, units, said) in rows {
        let mut machine = machine(&content);
        hand(&mut machine);
        let plan = machine.apply(Some(&content), &content);
        let human = render::human(&plan);
        assert_eq!(verbs(&plan), units, "{name}:\n{human}");
        assert!(human.contains(said), "{name}: {said:?} is not in\n{human}");
    }
}

fn edited_config() -> SeenFile {
    SeenFile::File { digest: "by hand".into(), mode: 0o644, uid: 0, gid: 0 }
}

#[test]
fn looks_are_put_right_without_a_restart() {
    let content = generation(SAME);
    let path = "/etc/leafwright/services/todos.env";
    for (mode, uid, said) in [(0o666, 0, "its mode is 0666 and not 0644"), (0o644, 1000, "it belongs to 1000:0")] {
        let mut machine = machine(&content);
        let Some(SeenFile::File { digest, .. }) = machine.files.get(path).cloned() else { panic!("{path}") };
        machine.files.insert(path.into(), SeenFile::File { digest, mode, uid, gid: 0 });
        let plan = machine.apply(Some(&content), &content);
        assert_eq!(verbs(&plan), Vec::<String>::new());
        assert!(render::human(&plan).contains(said), "{}", render::human(&plan));
    }
}

#[test]
fn a_relative_link_means_the_same() {
    let content = generation(SAME);
    let mut machine = machine(&content);
    let link = "/etc/systemd/system/multi-user.target.wants/leafwright.target";
    machine.files.insert(link.into(), SeenFile::Link { to: "../leafwright.target".into() });
    assert!(between(Some(&content.content), &content.content, &machine.observe()).is_empty());
}

#[test]
fn the_distribution_s_own_unit_gives_way() {
    let content = generation(|o| o.services.clear());
    let mut seen = Observation::default();
    let theirs = SeenUnit {
        active: "active".into(),
        fragment: "/lib/systemd/system/nats-server.service".into(),
        ..SeenUnit::default()
    };
    seen.units.insert(NATS.into(), theirs);
    let plan = between(None, &content.content, &seen);
    assert_eq!(verbs(&plan), ["restart nats-server.service", "start leafwright.target"]);
    // And again, when somebody removed nothing and systemd has it from elsewhere all the same.
    let mut seen = machine(&content).observe();
    seen.units.get_mut(NATS).unwrap().fragment = "/lib/systemd/system/nats-server.service".into();
    let plan = between(Some(&content.content), &content.content, &seen);
    assert_eq!(ids(&plan), ["daemon-reload", "unit/nats-server.service/restart"]);
}

/// A server that stores something does not join a cluster, which would not know its streams. One that goes back to its cluster after
/// an attempt to stand alone does: the cluster knows them, and the machine could never be changed again.
#[test]
fn a_server_joins_a_cluster_on_the_way_back_alone() {
    let alone = generation(|_| ()).content;
    let mut member = alone.clone();
    member.server["cluster"] = serde_json::json!({"name": "hub"});
    let seen = machine(&generation(|_| ())).observe();
    let forward = between(Some(&alone), &member, &seen);
    let refused: Vec<String> = forward.refused().map(render::sentence).collect();
    assert!(refused.len() == 1 && refused[0].contains("would delete its streams"), "{refused:?}");
    assert_eq!(back_between(&alone, &member, &seen).refused().count(), 0);
}

#[test]
fn what_must_not_be_done_stands_first_with_a_way_out() {
    let content = generation(|o| {
        file(o, "/etc/motd", "hello\n");
        file(o, "/etc/a/b", "below\n");
        unit(o, "lamp.service", &["Service.ExecStart=/a", "Install.WantedBy=../../x", "Install.Alias=web@.service"]);
        unit(o, "odd.service", &["Service.ExecStart=/a", "Unit.X-LeafwrightRestart=perhaps"]);
    });
    let mut seen = Observation::default();
    seen.files.insert("/etc/motd".into(), SeenFile::Other);
    seen.files.insert("/etc/a".into(), SeenFile::Link { to: "/b".into() });
    let plan = between(None, &content.content, &seen);
    assert_eq!(plan.refused().count(), 5);
    assert!(plan.before[..5].iter().all(|step| matches!(step.act, Act::Refuse { .. })));
    let human = render::human(&plan);
    let refused: Vec<&str> = human.lines().take(10).collect();
    insta::assert_snapshot!(refused.join("\n"), @r#"
    1  refused: /etc/systemd/system/lamp.service stays as it is, because `WantedBy=../../x` does not name a unit
         help: write the unit's whole name, without specifiers: `WantedBy=multi-user.target`
    2  refused: /etc/systemd/system/web@.service stays as it is, because `Alias=web@.service` of lamp.service is also a file of this machine
         help: take the alias out of `units."lamp.service".Install`, or the other declaration away
    3  refused: /etc/a/b stays as it is, because /etc/a is a file, and would have to be a directory
         help: apply once without a file at or below /etc/a, then again
    4  refused: /etc/motd stays as it is, because there is a directory or a device, which is never replaced
         help: look at it, then move it out of the way: `mv /etc/motd /etc/motd.aside`
    5  refused: /etc/systemd/system/odd.service stays as it is, because `X-LeafwrightRestart=perhaps` means nothing
         help: write `never`, `reload` or `restart`
    "#);
    assert!(human.ends_with("5 refused, so nothing is done\n"), "{human}");
}

#[test]
fn a_plan_fits_one_observation_and_survives_json() {
    let content = generation(SAME);
    let machine = machine(&content);
    let seen = machine.observe();
    let plan = between(Some(&content.content), &generation(clock).content, &seen);
    assert!(plan.fits(&seen));
    let mut later = seen.clone();
    later.units.get_mut(NATS).unwrap().main_pid += 1;
    later.failed.insert("somebody-elses.service".into());
    assert!(plan.fits(&later));
    later.units.get_mut(NATS).unwrap().active = "failed".into();
    assert!(!plan.fits(&later));
    let read: MachinePlan = serde_json::from_str(&render::json(&plan)).unwrap();
    assert_eq!(read, plan);
    assert_eq!(read.digest(), plan.digest());
}

#[test]
fn compiled_and_from_the_store_is_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = load::domain(root).unwrap();
    let compiled = judge(&sources).value.and_then(|judged| build_domain(&judged).value).expect("the example domain");
    assert!(compiled.machines.len() > 5);
    for closure in compiled.machines.values() {
        let texts: BTreeMap<&str, &[u8]> =
            closure.artefacts.iter().map(|artefact| (artefact.path.as_str(), artefact.bytes.as_slice())).collect();
        let text = |path: &str| texts.get(path).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let of = Content::of(closure).unwrap();
        let read = Content::read(&compile::manifest(closure, &sources), text).unwrap();
        assert_eq!(of, read, "{}", closure.name);
        assert!(of.units.contains_key(NATS) && of.server.is_object() && of.files.len() >= 5, "{}", closure.name);
        // Whatever we print has a row that says what its change asks for.
        for (name, unit) in of.units.iter().filter(|(name, _)| name.ends_with(".service")) {
            for (section, directive) in unit.iter().flat_map(|(section, all)| all.keys().map(move |key| (section, key)))
            {
                let known = directives().any(|row| row.section == section && row.directive == directive);
                assert!(known || section == "Install" || directive.starts_with("X-"), "{name}: {section}.{directive}");
            }
        }
    }
}

#[test]
fn odd_units_come_back_from_the_store() {
    let fixture::Fixture { mut domain, sources } = fixture::alone();
    let odd = "\"a b\" %n $X # no comment ; \\x [y] = ä\u{a0}";
    fixture::edit(&mut domain, "office", |office| {
        let lines = [&format!("Service.ExecStart={odd}"), &format!("Service.ExecStart={odd}{odd}")];
        lines.iter().for_each(|line| unit(&mut office.options, "odd.service", &[line]));
        unit(&mut office.options, "odd.service", &["Service.CapabilityBoundingSet=", "X-Own.Key==#;"]);
    });
    let compiled = compile::domain(&domain, &fixture::identity(&domain)).value.unwrap();
    let closure = compiled.machines.values().next().unwrap();
    let text = |path: &str| {
        let found = closure.artefacts.iter().find(|artefact| artefact.path == path)?;
        String::from_utf8(found.bytes.clone()).ok()
    };
    let read = Content::read(&compile::manifest(closure, &sources), text).unwrap();
    assert_eq!(read, Content::of(closure).unwrap());
    let office = domain.machines.iter().find(|machine| machine.name.as_str() == "office").unwrap();
    assert_eq!(read.units["odd.service"], office.options.units["odd.service"]);
}

#[test]
fn a_manifest_that_cannot_be_read_whole_is_refused() {
    let good = r#"{"format": 1, "name": "a", "digest": "d", "artefacts": [{"kind": "unit", "path": "lib/systemd/system/a.service", "mode": "0644", "digest": "x", "effect": "restart", "origins": []}]}"#;
    assert!(Content::read(good, |_| Some("[Unit]\n".into())).is_ok());
    for (manifest, reason) in [
        (good.replace("\"format\": 1", "\"format\": 2"), "written by a newer leafwright (format 2"),
        (good.replace("\"format\": 1,", ""), "missing field `format`"),
        (good.replace("\"unit\"", "\"spell\""), "spell"),
        (good.replace("0644", "rw"), "is not the mode"),
        ("{".into(), "cannot be read"),
    ] {
        let fault = Content::read(&manifest, |_| Some("[Unit]\n".into())).unwrap_err();
        assert!(fault.to_string().contains(reason), "{fault}");
    }
    assert!(Content::read(good, |_| None).unwrap_err().0.contains("no text at `lib/systemd/system/a.service`"));
}

#[test]
fn links_are_those_of_systemctl_enable() {
    let content = generation(|o| {
        unit(
            o,
            "lamp.service",
            &[
                "Service.ExecStart=/a",
                "Install.WantedBy=multi-user.target leafwright.target",
                "Install.RequiredBy=web@1.service",
                "Install.Alias=light.service",
            ],
        );
    });
    let links: Vec<String> = content.content.links().into_iter().map(|(path, to)| format!("{path} -> {to}")).collect();
    // As `systemctl --root=… enable` of systemd 252 makes them; templates are wanted by instance.
    insta::assert_snapshot!(links.join("\n"), @r#"
    /etc/systemd/system/leafwright.target.wants/lamp.service -> /etc/systemd/system/lamp.service
    /etc/systemd/system/leafwright.target.wants/nats-server.service -> /etc/systemd/system/nats-server.service
    /etc/systemd/system/light.service -> /etc/systemd/system/lamp.service
    /etc/systemd/system/multi-user.target.wants/lamp.service -> /etc/systemd/system/lamp.service
    /etc/systemd/system/multi-user.target.wants/leafwright.target -> /etc/systemd/system/leafwright.target
    /etc/systemd/system/web@1.service.requires/lamp.service -> /etc/systemd/system/lamp.service
    "#);
}

/// The digest that a server reports is that of the generation's file, so that drift is seen without reading anything back.
#[test]
fn nats_server_reports_the_digest_that_is_computed() {
    let nats_server = std::env::var_os("LEAFWRIGHT_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let content = generation(|o| o.leaf.server_name = "office&<co>\u{2028}ü".into());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nats-server.json");
    std::fs::write(&path, content.content.server.to_string()).unwrap();
    let output = std::process::Command::new(nats_server).arg("-t").arg("-c").arg(&path).output();
    let output = output.expect("nats-server is needed for this test: see README");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("(sha256:{})", server_digest(&content.content.server))), "{said}");
}

/// What sysusers.d and tmpfiles.d made is made again where it is gone, and who ran as the user starts again.
#[test]
fn a_user_and_a_directory_that_are_gone_are_made_again() {
    let content = generation(|o| {
        unit(o, NATS, &["Service.ExecStart=/a", "Service.User=nats", "Install.WantedBy=multi-user.target"]);
    });
    let first = content.clone();
    let mut content = content.content;
    content.users = vec![SystemUser { name: "nats".into(), home: "/var/lib/nats".into() }];
    let (path, user) = ("/etc/nats".to_owned(), "root".to_owned());
    content.directories = vec![Directory { path: path.clone(), mode: 0o755, group: user.clone(), user }];
    let mut machine = Machine::default();
    machine.apply(None, &first);
    let mut seen = machine.observe();
    let plan = |seen: &Observation| {
        ids(&between(Some(&content), &content, seen)).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(plan(&seen), [""; 0], "nobody looked");
    let nats =
        SeenUser { uid: 9, gid: 9, home: "/var/lib/nats".into(), shell: "/usr/sbin/nologin".into(), groups: [].into() };
    seen.users = Some([("nats".to_owned(), nats)].into());
    seen.files.insert(path.clone(), SeenFile::Directory { mode: 0o755, uid: 0, gid: 0 });
    assert_eq!(plan(&seen), [""; 0]);
    for (mode, uid) in [(0o700, 0), (0o755, 9)] {
        let mut other = seen.clone();
        other.files.insert(path.clone(), SeenFile::Directory { mode, uid, gid: 0 });
        assert_eq!(plan(&other), ["directories"]);
    }
    seen.users = Some([].into());
    seen.files.remove(&path);
    let steps = plan(&seen);
    let bare: Vec<&String> = steps.iter().filter(|step| !step.contains('@')).collect();
    assert_eq!(bare, ["users", "directories", "unit/nats-server.service/restart"], "{steps:?}");
}
