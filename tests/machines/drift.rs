//! What hands change on a machine: found by `status`, named, repaired by `apply`; and then nothing differs.

use crate::apply::{office, sound};
use crate::client::Client;
use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::Operator;
use serde_json::Value;
use std::time::Instant;

/// What is done by hand, and the name that `status` must say.
const HANDS: [(&str, &str); 12] = [
    ("echo x >>/etc/nats/nats-server.json", "/etc/nats/nats-server.json"),
    ("rm /etc/leafwright/services/todos.env", "/etc/leafwright/services/todos.env"),
    ("chmod 0600 /etc/leafwright/ca.pem", "/etc/leafwright/ca.pem"),
    ("ln -sf /dev/null /etc/systemd/system/todos@.service", "/etc/systemd/system/todos@.service"),
    ("rm /etc/systemd/system/multi-user.target.wants/leafwright.target", "multi-user.target.wants/leafwright.target"),
    ("systemctl stop todos@1.service", "todos@1.service"),
    ("echo x >/etc/leafwright/credentials/service-todos.nk", "service-todos.nk"),
    (
        "sed -i s/RestartSec=1/RestartSec=9/ /etc/systemd/system/nats-server.service && systemctl daemon-reload",
        "nats-server.service",
    ),
    (
        "systemctl stop nats-server.service",
        "could not be looked at: its streams and consumers: nats-server does not run",
    ),
    ("chown nats /etc/tmpfiles.d/leafwright.conf", "/etc/tmpfiles.d/leafwright.conf"),
    ("sed -i /^nats:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow", "the user nats is gone"),
    (
        "chmod 0777 /etc/leafwright/credentials && chown nats /etc/nats",
        "the mode of /etc/leafwright/credentials is 0777 and not 0711; /etc/nats belongs to ",
    ),
];

/// What is done by hand that `apply` leaves alone: what `status` must say, and what mends it.
const STRAYS: [(&str, &str, &str); 4] = [
    (
        "usermod --shell /bin/bash nats",
        "it can log in, its shell is /bin/bash",
        "usermod --shell /usr/sbin/nologin nats",
    ),
    (
        "systemctl set-property todos@1.service MemoryMax=99M",
        "todos@1.service: /etc/systemd/system.control/todos@1.service.d/50-MemoryMax.conf adds to it what nobody declared",
        "rm -r /etc/systemd/system.control && systemctl daemon-reload",
    ),
    (
        "mkdir /run/systemd/system/nats-server.service.d && printf '[Service]\nExecStart=\nExecStart=nats-server -a 0.0.0.0 -c /etc/nats/nats-server.json\n' >/run/systemd/system/nats-server.service.d/x.conf && systemctl daemon-reload && systemctl restart nats-server leafwright.target",
        "nats-server.service: it listens on ",
        "rm -r /run/systemd/system/nats-server.service.d && systemctl daemon-reload && systemctl restart nats-server leafwright.target",
    ),
    (
        "systemd-run --quiet --unit=by-hand --property=Type=exec nats-server -a 127.0.0.1 -p 4999",
        "a nats-server by hand, process ",
        "systemctl stop by-hand",
    ),
];

pub fn what_hands_change_is_found_and_repaired() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let began = Instant::now();
    for (hand, name) in HANDS {
        office.must(["sh", "-c", hand]);
        let said = differs(&office, hand);
        assert!(said.contains(name), "{hand}: {said}");
        let output = operator.apply(&office, ["--steady", "0"]);
        assert!(output.success(), "{hand}: {}", output.stderr);
        assert!(output.stderr.contains("generation 1: "), "{hand}: {}", output.stderr);
        sound(&office);
    }
    println!("{} were repaired by {:.1} s", HANDS.len(), began.elapsed().as_secs_f64());
    for (hand, says, mends) in STRAYS {
        office.must(["sh", "-c", hand]);
        until(says, DEADLINE, || differs(&office, hand).contains(says));
        let said = differs(&office, hand);
        assert!(said.contains("and `apply` leaves alone:") && said.contains("help: "), "{hand}: {said}");
        office.must(["sh", "-c", mends]);
        until("nothing differs", DEADLINE, || office.exec(["leafwright", "status"]).success());
    }
    println!("{} more were told by {:.1} s", STRAYS.len(), began.elapsed().as_secs_f64());
    what_leads_a_boot_too(&office, &operator);
    streams_too(&office, &operator);
    println!("streams were put back by {:.1} s", began.elapsed().as_secs_f64());
}

/// The units that belong to no generation, and a nats-server that hangs.
fn what_leads_a_boot_too(office: &Machine, operator: &Operator) {
    let hands = [
        ("rm /etc/systemd/system/leafwright-boot.service", "leafwright-boot.service is not there"),
        (
            "sed -i s/confirm/boot/ /etc/systemd/system/leafwright-confirm.service",
            "leafwright-confirm.service is not as it was written",
        ),
        (
            "rm /etc/systemd/system/basic.target.wants/leafwright-boot.service",
            "leafwright-boot.service is not wanted by basic.target",
        ),
    ];
    for (hand, says) in hands {
        office.must(["sh", "-c", hand]);
        let said = differs(office, hand);
        assert!(said.contains(&format!("write it again, because {says}")), "{hand}: {said}");
        let output = operator.apply(office, ["--steady", "0"]);
        assert!(output.success() && output.stderr.contains("nothing to do"), "{hand}: {}", output.stderr);
        assert!(output.stderr.contains(&format!("{says}: written again")), "{hand}: {}", output.stderr);
        sound(office);
    }
    office.must(["systemctl", "kill", "--signal=STOP", "nats-server.service"]);
    let said = differs(office, "a server that hangs");
    assert!(said.contains("could not be looked at: what nats-server runs: no answer at http://127.0.0.1:"), "{said}");
    office.must(["systemctl", "kill", "--signal=CONT", "nats-server.service"]);
    until("nothing differs", DEADLINE, || office.exec(["leafwright", "status"]).success());
}

/// A stream that is gone, and one that was changed.
fn streams_too(office: &Machine, operator: &Operator) {
    let mut client = Client::of(office);
    client.subscribe("_INBOX.hand");
    let mut ask = |call: &str, body: &str| {
        client.publish(&format!("$JS.API.STREAM.{call}"), "_INBOX.hand", body);
        let answer = client.hear().expect("nats-server answers");
        assert!(!answer.contains("\"error\""), "{call}: {answer}");
        answer
    };
    let info: Value = serde_json::from_str(&ask("INFO.EVT-office", "")).unwrap();
    let mut config = info["config"].clone();
    config["description"] = "by hand".into();
    ask("UPDATE.EVT-office", &config.to_string());
    ask("DELETE.KEEP-EVT", "");
    let said = differs(office, "streams");
    for words in ["EVT-office", "create stream KEEP-EVT on office, because it was made before and is gone"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let json = office.exec(["leafwright", "status", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["objects"]["steps"].as_array().map(Vec::len), Some(2), "{json}");
    let output = operator.apply(office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    sound(office);
}

/// A flipped byte in the store is found before it is used, and the same text makes the store whole.
pub fn a_damaged_store_is_named_and_mended() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    let script = "f=$(ls /var/lib/leafwright/store/*-office/etc/nats/nats-server.json) && chmod u+w $f && printf X | dd of=$f conv=notrunc status=none && chmod 0444 $f && echo x >/etc/nats/nats-server.json";
    office.must(["sh", "-c", script]);
    let output = operator.apply(&office, ["--steady", "0"]);
    assert!(output.success(), "{}", output.stderr);
    sound(&office);
    assert!(office.read("/etc/nats/nats-server.json").unwrap().starts_with('{'));

    office.must(["sh", "-c", &script.replace(" && echo x >/etc/nats/nats-server.json", "")]);
    let output = office.exec(["leafwright", "status"]);
    assert_eq!(output.status.code(), Some(3), "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("nats-server.json: its bytes are not those that were compiled"),
        "{}",
        output.stdout
    );
}

fn differs(machine: &Machine, hand: &str) -> String {
    let status = machine.exec(["leafwright", "status"]);
    assert_eq!(status.status.code(), Some(3), "{hand}: {}{}", status.stdout, status.stderr);
    status.stdout
}
