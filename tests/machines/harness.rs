//! The machines themselves: what later scenarios rest on, each claim from both sides.
//!
//! Refuses: knowing Leafwright, but for its programs being there.

use crate::lab::{DEADLINE, Lab, Machine, until};
use std::net::UdpSocket;
use std::time::Duration;

/// Does one datagram get there? A ping that fails does not say which way is closed.
fn hears(to: &Machine, from: &Machine) -> bool {
    let ear = to.in_network(|| UdpSocket::bind((to.address(), 4711))).unwrap();
    ear.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mouth = from.in_network(|| UdpSocket::bind((from.address(), 0))).unwrap();
    mouth.send_to(b"heather", (to.address(), 4711)).unwrap();
    ear.recv(&mut [0; 16]).is_ok()
}

pub fn machines_meet_and_are_parted() {
    let lab = Lab::new();
    let [ash, elm, oak] = lab.running([("ash", "10.77.0.11"), ("elm", "10.77.0.12"), ("oak", "10.77.0.13")]);
    let all = [&ash, &elm, &oak];
    for from in all {
        assert_eq!(from.must(["hostname"]).trim(), from.name());
        for to in all {
            assert!(from.reaches(to.address()), "{} does not reach {}", from.name(), to.name());
        }
    }

    lab.cut(&ash);
    assert!(!ash.reaches(elm.address()) && !elm.reaches(ash.address()), "the cut is not one");
    assert!(elm.reaches(oak.address()), "the cut is too wide");
    lab.heal(&ash);
    until("ash is back", DEADLINE, || ash.reaches(elm.address()) && elm.reaches(ash.address()));

    lab.partition(&[&ash, &elm]);
    for one in [&ash, &elm] {
        assert!(!one.reaches(oak.address()) && !oak.reaches(one.address()), "{} reaches oak", one.name());
        assert!(!hears(one, &oak), "what oak says gets to {}", one.name());
        assert!(!hears(&oak, one), "what {} says gets to oak", one.name());
        assert!(one.reaches("10.77.0.1"), "its link is down");
    }
    assert!(ash.reaches(elm.address()) && elm.reaches(ash.address()), "one side is parted in itself");
    lab.unpartition();
    until("oak is back", DEADLINE, || oak.reaches(ash.address()) && elm.reaches(oak.address()));
    until("oak and ash hear one another", DEADLINE, || hears(&oak, &ash) && hears(&ash, &oak));
}

const BEAT: &str = "\
[Service]
ExecStart=/usr/bin/sleep infinity
Restart=always
RestartSec=10ms
[Install]
WantedBy=multi-user.target
";

pub fn units_restart_and_disks_outlive_power() {
    let lab = Lab::new();
    let [ash] = lab.running([("ash", "10.77.0.11")]);
    let main_pid = || ash.must(["systemctl", "show", "--value", "--property=MainPID", "beat"]).trim().to_owned();

    assert!(!ash.is_active("beat"), "it runs before there is one");
    ash.write("/etc/systemd/system/beat.service", BEAT);
    ash.must(["systemctl", "daemon-reload"]);
    ash.must(["systemctl", "enable", "--now", "beat"]);
    let first = main_pid();
    ash.must(["kill", "-9", &first]);
    until("beat is back", DEADLINE, || ash.is_active("beat") && !["0", &first].contains(&main_pid().as_str()));

    ash.must(["sh", "-c", "echo kept >/var/lib/kept; echo lost >/run/lost"]);
    let booted = ash.boot_id();
    ash.power_cut();
    assert_eq!(ash.read("/var/lib/kept").as_deref(), Some("kept\n"));
    assert!(ash.root().join("var/lib/kept").is_file());
    ash.boot();
    ash.wait_running(DEADLINE);
    assert_eq!(ash.must(["cat", "/var/lib/kept"]), "kept\n");
    assert!(!ash.exec(["cat", "/run/lost"]).success(), "/run outlived the power cut");
    assert!(ash.is_active("beat"), "it is enabled");

    let cut = ash.boot_id();
    assert_ne!(booted, cut);
    ash.reboot();
    assert_ne!(cut, ash.boot_id());
    assert_eq!(ash.boots(), 3);
    assert!(ash.is_active("beat"));

    ash.power_off();
    assert!(ash.read("/var/lib/kept").is_some());
    ash.boot();
    ash.wait_running(DEADLINE);
    let journal = ash.must(["journalctl", "--list-boots", "--no-pager", "--quiet"]);
    assert_eq!(journal.lines().count(), 4, "the journal outlives boots:\n{journal}");
}

/// Says what it may do, one fact a line.
const CONFINED: &str = "\
[Service]
Type=oneshot
RemainAfterExit=yes
DynamicUser=yes
StateDirectory=confined
LoadCredential=word:/etc/word
IPAddressDeny=any
IPAddressAllow=localhost
ProtectSystem=strict
PrivateTmp=yes
ExecStart=/usr/local/bin/confined
";

const TRIES: &str = r#"#!/bin/bash
try() { if "${@:2}" >/dev/null 2>&1; then echo "$1 yes"; else echo "$1 no"; fi }
open() { timeout 1 bash -c ": </dev/tcp/$1/22"; }
{
    try root [ "$(id -u)" = 0 ]
    echo "word $(cat "$CREDENTIALS_DIRECTORY/word")"
    try source cat /etc/word
    try etc touch /etc/touched
    try state touch "$STATE_DIRECTORY/touched"
    try localhost open 127.0.0.1
    try elm open 10.77.0.12
} >"$STATE_DIRECTORY/facts"
"#;

pub fn a_hardened_unit_is_confined() {
    let lab = Lab::new();
    let [ash, elm] = lab.running([("ash", "10.77.0.11"), ("elm", "10.77.0.12")]);
    // Something that listens on both sides of the border.
    for machine in [&ash, &elm] {
        machine.must(["ssh-keygen", "-A"]);
        machine.must(["systemctl", "start", "ssh"]);
    }
    let confined = ash.path("/usr/local/bin/confined");
    ash.write("/usr/local/bin/confined", TRIES);
    std::fs::set_permissions(confined, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    ash.write("/etc/word", "heather");
    ash.must(["chmod", "600", "/etc/word"]);

    let facts = |unit: &str| {
        ash.write("/etc/systemd/system/confined.service", unit);
        ash.must(["systemctl", "daemon-reload"]);
        ash.must(["systemctl", "restart", "confined"]);
        ash.must(["cat", "/var/lib/confined/facts"])
    };
    assert_eq!(
        facts(CONFINED),
        "root no\nword heather\nsource no\netc no\nstate yes\nlocalhost yes\nelm no\n",
        "the unit is not held"
    );
    // The same without what holds it: so it is the unit that held it, and not the machine.
    let lines =
        CONFINED.lines().filter(|line| !["DynamicUser", "IPAddress", "ProtectS"].iter().any(|k| line.starts_with(k)));
    let free: Vec<&str> = lines.collect();
    assert_eq!(
        facts(&(free.join("\n") + "\n")),
        "root yes\nword heather\nsource yes\netc yes\nstate yes\nlocalhost yes\nelm yes\n",
        "the machine holds it, not the unit"
    );
}

pub fn processes_run_hang_and_die() {
    let lab = Lab::new();
    let [ash, elm] = lab.running([("ash", "10.77.0.11"), ("elm", "10.77.0.12")]);

    assert!(!ash.exec(["which", "leafwright"]).success(), "a fresh machine has no tools");
    ash.install_tools();
    for (tool, version) in [("leafwright", "leafwright "), ("nats-server", "nats-server: v")] {
        assert!(ash.must([tool, "--version"]).starts_with(version));
    }
    assert!(ash.exec(["which", "leafwright-demo"]).success() && !elm.exec(["which", "nats-server"]).success());

    assert_eq!(ash.exec_with(["cat"], b"heather").stdout, "heather");
    let failed = ash.exec(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((failed.status.code(), &*failed.stdout, &*failed.stderr), (Some(7), "out\n", "err\n"));
    // A unit of the machine is in the machine's cgroups, another command beside them.
    let cgroup = ["grep", "^0::", "/proc/self/cgroup"];
    let (scoped, beside) = (ash.run_scoped(cgroup).stdout, ash.exec(cgroup).stdout);
    assert!(scoped.starts_with("0::/system.slice/run-") && beside.starts_with("0::/../command-"), "{scoped}{beside}");
    assert_eq!(ash.run_scoped(["sh", "-c", "exit 7"]).status.code(), Some(7));

    // On a machine's network, its loopback is ours, and from the bridge it is not.
    let heard = ash.in_network(|| std::net::TcpListener::bind("127.0.0.1:4222")).unwrap();
    assert!(ash.in_network(|| std::net::TcpStream::connect("127.0.0.1:4222")).is_ok());
    assert!(std::net::TcpStream::connect("127.0.0.1:4222").is_err());
    assert!(elm.in_network(|| std::net::TcpStream::connect("127.0.0.1:4222")).is_err());
    drop(heard);

    // Killed, a command takes along what it started.
    let alive = || ash.exec(["pgrep", "-f", "sleep 4711"]).success();
    let mut running = ash.spawn(["sh", "-c", "sleep 4711 & echo started; wait"]);
    until("it has started", DEADLINE, || running.stdout() == "started\n" && alive());
    assert!(running.is_running());
    running.kill();
    assert!(!running.is_running() && running.stderr().is_empty());
    until("its child is dead", DEADLINE, || !alive());

    // A machine that hangs answers pings and runs nothing; a command to it waits until it goes on.
    ash.freeze();
    assert!(elm.reaches(ash.address()));
    let mut waiting = ash.spawn(["true"]);
    assert!(!elm.exec(["sleep", "0.2"]).stdout.contains('x') && waiting.is_running());
    ash.thaw();
    assert!(waiting.wait(Duration::from_secs(30)).success());
    ash.wait_running(DEADLINE);
}
