//! What hands change on a machine: found by `status`, named, repaired by `apply`; and then nothing differs.

use crate::apply::{office, sound};
use crate::lab::{Lab, Machine};

/// What is done by hand, and the name that `status` must say.
const HANDS: [(&str, &str); 10] = [
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
    ("systemctl stop nats-server.service", "nats-server.service"),
    ("chown nats /etc/tmpfiles.d/leafwright.conf", "/etc/tmpfiles.d/leafwright.conf"),
];

pub fn what_hands_change_is_found_and_repaired() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    for (hand, name) in HANDS {
        office.must(["sh", "-c", hand]);
        let said = differs(&office, hand);
        assert!(said.contains(name), "{hand}: {said}");
        let output = operator.apply(&office, ["--steady", "0"]);
        assert!(output.success(), "{hand}: {}", output.stderr);
        assert!(output.stderr.contains("generation 1: "), "{hand}: {}", output.stderr);
        sound(&office);
    }
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
