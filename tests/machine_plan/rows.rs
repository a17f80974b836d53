//! Changes, a row each: old and new declarations, and everything that happens to units.

use super::NATS;
use super::build::{chain, clock, file, lamp, once, seconds, service, size, socket, timer, unit, watch};
use leafwright::resolve::Options;

pub struct Row {
    pub name: &'static str,
    pub old: fn(&mut Options),
    pub new: fn(&mut Options),
    pub units: &'static [&'static str],
}

pub const SAME: fn(&mut Options) = |_| ();

/// Old and new declarations, and everything that happens to units.
pub const ROWS: &[Row] = &[
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
            unit(o, NATS, &["Service.KillSignal=SIGUSR2", "Service.LimitNOFILE=9"]);
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
