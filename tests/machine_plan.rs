//! A machine's plan: which change restarts, reloads, starts or stops what, and nothing else; drift; refusals; and then nothing to do.

#[path = "machine_plan/build.rs"]
mod build;
#[path = "compile/fixture.rs"]
mod fixture;
#[path = "machine_plan/simulator.rs"]
mod simulator;

use build::{clock, closure, directive, file, generation, seconds, service, size, socket, timer, unit};
use leafwright::compile;
use leafwright::plan::machine::unit_effects::directives;
use leafwright::plan::machine::{
    Act, Content, MachinePlan, Observation, SeenFile, SeenUnit, Why, between, render, server_digest,
};
use leafwright::resolve::Options;
use leafwright::{build as build_domain, judge, load};
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

struct Row {
    name: &'static str,
    old: fn(&mut Options),
    new: fn(&mut Options),
    units: &'static [&'static str],
}

const SAME: fn(&mut Options) = |_| ();

/// Old and new declarations, and everything that happens to units.
const ROWS: &[Row] = &[
    Row { name: "nothing", old: SAME, new: SAME, units: &[] },
    Row {
        name: "a key that nats-server reloads",
        old: SAME,
        new: |o| o.leaf.max_payload = size(2 << 20),
        units: &["reload nats-server.service"],
    },
    Row {
        name: "more disk is a reload",
        old: SAME,
        new: |o| o.leaf.disk_max = size(2 << 30),
        units: &["reload nats-server.service"],
    },
    Row {
        name: "less disk is a restart, and what requires nats-server goes down with it",
        old: SAME,
        new: |o| o.leaf.disk_max = size((1 << 30) - 1),
        units: &[
            "stop web@1.service",
            "stop todos@2.service",
            "stop todos@1.service",
            "restart nats-server.service",
            "start todos@1.service",
            "start todos@2.service",
            "start web@1.service",
        ],
    },
    Row {
        name: "a key that needs a restart",
        old: |o| {
            o.services.remove("web");
            service(o, "todos").instances = 1;
        },
        new: |o| {
            o.services.remove("web");
            service(o, "todos").instances = 1;
            o.leaf.max_pending = size(32 << 20);
        },
        units: &["stop todos@1.service", "restart nats-server.service", "start todos@1.service"],
    },
    Row {
        name: "a limit of nats-server's unit",
        old: |o| o.services.clear(),
        new: |o| {
            o.services.clear();
            o.leaf.limit_nofile = 4096;
        },
        units: &["restart nats-server.service"],
    },
    Row {
        name: "how nats-server is stopped, alone",
        old: SAME,
        new: |o| unit(o, NATS, &["Service.TimeoutStopSec=60"]),
        units: &[],
    },
    Row {
        name: "how nats-server is stopped, and with which limit it runs",
        old: |o| o.services.clear(),
        new: |o| {
            o.services.clear();
            unit(o, NATS, &["Service.KillSignal=SIGTERM", "Service.LimitNOFILE=9"]);
        },
        units: &["stop nats-server.service", "start nats-server.service"],
    },
    Row {
        name: "the environment of one service",
        old: SAME,
        new: |o| drop(service(o, "todos").environment.insert("COLOUR".into(), "blue".into())),
        units: &["restart todos@1.service", "restart todos@2.service"],
    },
    Row {
        name: "the program of one service",
        old: SAME,
        new: |o| service(o, "web").exec.push("--loud".into()),
        units: &["restart web@1.service"],
    },
    Row {
        name: "the memory of one service",
        old: SAME,
        new: |o| service(o, "web").memory_max = Some(size(128 << 20)),
        units: &["restart web@1.service"],
    },
    Row {
        name: "a description",
        old: SAME,
        new: |o| service(o, "todos").description = "something else".into(),
        units: &[],
    },
    Row {
        name: "how long systemd waits before it starts a service again",
        old: SAME,
        new: |o| service(o, "todos").restart_delay = seconds(9),
        units: &[],
    },
    Row {
        name: "a new service, whose user nats-server must know first",
        old: SAME,
        new: clock,
        units: &["reload nats-server.service", "start clock@1.service"],
    },
    Row {
        name: "a service that goes stops while nats-server knows it still",
        old: clock,
        new: SAME,
        units: &["stop clock@1.service", "reload nats-server.service"],
    },
    Row {
        name: "more instances",
        old: |o| service(o, "todos").instances = 1,
        new: |o| service(o, "todos").instances = 3,
        units: &["start todos@2.service", "start todos@3.service"],
    },
    Row {
        name: "fewer instances",
        old: |o| service(o, "todos").instances = 3,
        new: |o| service(o, "todos").instances = 1,
        units: &["stop todos@3.service", "stop todos@2.service"],
    },
    Row {
        name: "fewer instances of another program",
        old: SAME,
        new: |o| {
            service(o, "todos").instances = 1;
            service(o, "todos").exec.push("--new".into());
        },
        units: &["stop todos@2.service", "restart todos@1.service"],
    },
    Row { name: "a file that no unit reads", old: SAME, new: |o| file(o, "/etc/motd", "hello\n"), units: &[] },
    Row {
        name: "another text in it",
        old: |o| file(o, "/etc/motd", "hello\n"),
        new: |o| file(o, "/etc/motd", "good day\n"),
        units: &[],
    },
    Row {
        name: "a new timer; its service waits until it is time",
        old: SAME,
        new: |o| timer(o, "daily", "/bin/tidy"),
        units: &["start tidy.timer"],
    },
    Row {
        name: "another time",
        old: |o| timer(o, "daily", "/bin/tidy"),
        new: |o| timer(o, "weekly", "/bin/tidy"),
        units: &["restart tidy.timer"],
    },
    Row {
        name: "another job at the same time",
        old: |o| timer(o, "daily", "/bin/tidy"),
        new: |o| timer(o, "daily", "/bin/tidy --more"),
        units: &[],
    },
    Row { name: "a timer that goes", old: |o| timer(o, "daily", "/bin/tidy"), new: SAME, units: &["stop tidy.timer"] },
    Row {
        name: "a new socket; its service waits for a connection",
        old: SAME,
        new: |o| socket(o, "7000"),
        units: &["start talk.socket"],
    },
    Row {
        name: "a socket elsewhere, while its service does not run",
        old: |o| socket(o, "7000"),
        new: |o| socket(o, "7001"),
        units: &["restart talk.socket"],
    },
    Row {
        name: "a oneshot that its target wants, new",
        old: SAME,
        new: |o| once(o, "/bin/once"),
        units: &["start once.service"],
    },
    Row {
        name: "a oneshot that does something else now is run again",
        old: |o| once(o, "/bin/once"),
        new: |o| once(o, "/bin/twice"),
        units: &["start once.service"],
    },
    Row {
        name: "a path unit watches elsewhere after it was read",
        old: |o| watch(o, "/a"),
        new: |o| watch(o, "/b"),
        units: &[],
    },
    Row {
        name: "a unit that nothing wants any more",
        old: |o| unit(o, "lamp.service", &["Service.ExecStart=/bin/lamp", "Install.WantedBy=leafwright.target"]),
        new: |o| unit(o, "lamp.service", &["Service.ExecStart=/bin/lamp"]),
        units: &["stop lamp.service"],
    },
    Row {
        name: "a unit that has to wait for whoever operates the machine",
        old: |o| lamp(o, &["Service.ExecStart=/bin/lamp", "Unit.X-LeafwrightRestart=never"]),
        new: |o| lamp(o, &["Service.ExecStart=/bin/lamp --bright", "Unit.X-LeafwrightRestart=never"]),
        units: &[],
    },
    Row {
        name: "a chain: each goes down before what it requires, and comes up after it",
        old: |o| chain(o, "/bin/a"),
        new: |o| chain(o, "/bin/a --new"),
        units: &["stop c.service", "stop b.service", "restart a.service", "start b.service", "start c.service"],
    },
    Row {
        name: "a drop-in of ours on a unit of ours",
        old: SAME,
        new: |o| file(o, "/etc/systemd/system/web@.service.d/more.conf", "[Service]\nNice=5\n"),
        units: &["restart web@1.service"],
    },
    Row {
        name: "an environment that a service reads if it is there",
        old: |o| {
            file(o, "/etc/lamp.env", "A=1\n");
            lamp(o, &["Service.ExecStart=/bin/lamp", "Service.EnvironmentFile=-/etc/lamp.env"]);
        },
        new: |o| lamp(o, &["Service.ExecStart=/bin/lamp", "Service.EnvironmentFile=-/etc/lamp.env"]),
        units: &["restart lamp.service"],
    },
    Row {
        name: "an instance that is no longer special",
        old: |o| unit(o, "web@1.service", &["Service.ExecStart=/bin/special"]),
        new: SAME,
        units: &["restart web@1.service"],
    },
    Row {
        name: "a drop-in of ours on a unit of others",
        old: SAME,
        new: |o| file(o, "/etc/systemd/system/chrony.service.d/more.conf", "[Service]\nNice=5\n"),
        units: &[],
    },
    Row {
        name: "a unit that nats-server stands on comes before it",
        old: |o| o.services.clear(),
        new: |o| {
            o.services.clear();
            unit(o, "disk.service", &["Service.ExecStart=/bin/disk"]);
            unit(o, NATS, &["Unit.Requires=disk.service", "Unit.After=disk.service", "Service.LimitNOFILE=9"]);
        },
        units: &["start disk.service", "restart nats-server.service"],
    },
    Row {
        name: "the target wants a unit of others",
        old: |o| unit(o, "leafwright.target", &["Unit.Wants=nats-server.service"]),
        new: |o| unit(o, "leafwright.target", &["Unit.Wants=nats-server.service", "Unit.Wants=chrony.service"]),
        units: &["start leafwright.target"],
    },
];

fn once(options: &mut Options, exec: &str) {
    let lines = ["Service.Type=oneshot", &format!("Service.ExecStart={exec}"), "Install.WantedBy=leafwright.target"];
    unit(options, "once.service", &lines);
}

fn watch(options: &mut Options, path: &str) {
    unit(options, "look.path", &[&format!("Path.PathChanged={path}"), "Install.WantedBy=paths.target"]);
    unit(options, "look.service", &["Service.Type=oneshot", "Service.ExecStart=/bin/look"]);
}

fn lamp(options: &mut Options, lines: &[&str]) {
    unit(options, "lamp.service", lines);
    unit(options, "lamp.service", &["Install.WantedBy=leafwright.target"]);
}

fn chain(options: &mut Options, exec: &str) {
    let wanted = "Install.WantedBy=leafwright.target";
    unit(options, "a.service", &[&format!("Service.ExecStart={exec}"), wanted]);
    unit(
        options,
        "b.service",
        &["Service.ExecStart=/bin/b", "Unit.Requires=a.service", "Unit.After=a.service", wanted],
    );
    unit(options, "c.service", &["Service.ExecStart=/bin/c", "Unit.BindsTo=b.service", "Unit.After=b.service", wanted]);
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
     13  let systemd read its units again, because /etc/systemd/system/leafwright.target, /etc/systemd/system/leafwright.target.wants/nats-server.service, /etc/systemd/system/multi-user.target.wants/leafwright.target, and 2 more change
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
     11  let systemd read its units again, because /etc/systemd/system/leafwright.target, /etc/systemd/system/leafwright.target.wants/lamp.service, /etc/systemd/system/nats-server.service, and 1 more change
     12  restart nats-server.service, because leaf.max_pending (/max_pending) is 32MiB, was 64MiB
     13  start todos@1.service, because /etc/leafwright/services/todos.env changes
     14  remove /etc/motd, because it is no longer declared
     15  remove /etc/systemd/system/lamp.service, because it is no longer declared
     16  let systemd read its units again, because /etc/systemd/system/lamp.service changes
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
fn a_manifest_that_cannot_be_read_whole_is_refused() {
    let good = r#"{"format": 1, "name": "a", "digest": "d", "artefacts": [{"kind": "unit", "path": "lib/systemd/system/a.service", "mode": "0644", "digest": "x", "effect": "restart", "origins": []}]}"#;
    assert!(Content::read(good, |_| Some("[Unit]\n".into())).is_ok());
    for (manifest, reason) in [
        (good.replace("\"format\": 1", "\"format\": 2"), "has format 2"),
        (good.replace("\"format\": 1,", ""), "says no format"),
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

mod any {
    use super::*;
    use proptest::prelude::*;

    /// Declarations by a row of small numbers.
    fn declare(options: &mut Options, dice: &[u8; 12]) {
        let [todos, env, exec, said, web, bus, kill, time, port, motd, links, lamps] = *dice;
        match todos {
            0 => drop(options.services.remove("todos")),
            count => {
                let todos = service(options, "todos");
                todos.instances = u32::from(count);
                todos.environment.insert("N".into(), env.to_string());
                todos.exec.push(exec.to_string());
                todos.description = said.to_string();
                if kill > 1 {
                    directive(&mut todos.unit, "Service.KillSignal=SIGINT");
                }
            }
        }
        if web == 0 {
            options.services.remove("web");
        }
        options.leaf.max_payload = size(1 << (20 + bus % 2));
        options.leaf.max_pending = size(64 << (20 + bus / 2));
        if time > 0 {
            timer(options, ["", "daily", "weekly", "monthly"][usize::from(time)], &format!("/bin/tidy {said}"));
        }
        if port > 0 {
            socket(options, &(7000 + u32::from(port)).to_string());
        }
        if motd > 0 {
            file(options, "/etc/motd", &motd.to_string());
        }
        if links > 0 {
            chain(options, &format!("/bin/a {links}"));
        }
        if lamps > 0 {
            lamp(options, &[&format!("Service.ExecStart=/bin/lamp {lamps}"), "Unit.PartOf=nats-server.service"]);
        }
    }

    fn dice() -> impl Strategy<Value = [u8; 12]> {
        prop::array::uniform12(0_u8..4)
    }

    fn made(dice: &[u8; 12]) -> Generation {
        Generation::of(&closure(|options| declare(options, dice), if dice[3] > 1 { "two" } else { "one" }))
    }

    /// What hands do: a file is edited, removed, replaced; a unit is stopped, started, or fails.
    fn meddle(machine: &mut Machine, deeds: &[(u8, prop::sample::Index)]) {
        for (deed, index) in deeds {
            let paths: Vec<String> = machine.files.keys().cloned().collect();
            let units: Vec<String> = machine.running().into_iter().map(str::to_owned).collect();
            if paths.is_empty() || units.is_empty() {
                return;
            }
            let (path, unit) = (index.get(&paths).clone(), index.get(&units).clone());
            match deed {
                0 => drop(machine.files.remove(&path)),
                1 => drop(machine.files.insert(path, edited_config())),
                2 => drop(machine.files.insert(path, SeenFile::Link { to: "/dev/null".into() })),
                3 => {
                    machine.kill(&unit);
                    machine.failed.insert(unit);
                }
                4 => machine.take(&Act::DaemonReload),
                _ => machine.kill(&unit),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// `apply` itself asserts that the second plan is empty, and that every file and process is the new generation's.
        #[test]
        fn there_and_back_and_then_nothing(a in dice(), b in dice()) {
            let (old, new) = (made(&a), made(&b));
            let mut machine = machine(&old);
            let (files, running) = (machine.files.clone(), machine.running().join(" "));
            machine.apply(Some(&old), &new);
            machine.apply(Some(&new), &old);
            prop_assert_eq!(&machine.files, &files);
            prop_assert_eq!(machine.running().join(" "), running);
        }

        #[test]
        fn after_any_meddling_too(
            a in dice(),
            b in dice(),
            deeds in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 0..5),
        ) {
            let (old, new) = (made(&a), made(&b));
            let mut machine = machine(&old);
            meddle(&mut machine, &deeds);
            machine.apply(Some(&old), &new);
        }

        /// Cut at any step: on to the new one, or back to the old one, by the same act.
        #[test]
        fn a_run_that_was_cut_goes_on_or_returns(a in dice(), b in dice(), cut in any::<prop::sample::Index>(), back in any::<bool>()) {
            let (old, new) = (made(&a), made(&b));
            let mut machine = machine(&old);
            machine.know(&new);
            let plan = between(Some(&old.content), &new.content, &machine.observe());
            let steps: Vec<_> = plan.steps().cloned().collect();
            let done = cut.index(steps.len() + 1);
            steps[..done].iter().for_each(|step| machine.take(&step.act));
            match back {
                true => drop(machine.apply(Some(&new), &old)),
                false => drop(machine.apply(Some(&old), &new)),
            }
        }
    }
}
