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

fn differs(machine: &Machine, hand: &str) -> String {
    let status = machine.exec(["leafwright", "status"]);
    assert_eq!(status.status.code(), Some(3), "{hand}: {}{}", status.stdout, status.stderr);
    status.stdout
}
