//! What became of a machine, told on another one: three applies, a rollback, a return, drift; and on the machine itself without any server.

use crate::apply::{equip, sound};
use crate::domain::five;
use crate::lab::{DEADLINE, Lab, Machine, until};
use crate::operator::Operator;

/// What `status --history` prints.
fn history<const N: usize>(machine: &Machine, more: [&str; N]) -> String {
    let output = machine.exec(["leafwright", "status", "--history"].into_iter().chain(more));
    if output.success() { output.stdout } else { output.stderr }
}

/// Asks on `asked` until the history of `of` has these words, in this order, each in a line of its own.
fn tells(asked: &Machine, of: &str, words: &[&str]) {
    let mut said = String::new();
    let told = |said: &str| {
        let mut lines = said.lines();
        words.iter().all(|words| lines.any(|line| line.contains(words)))
    };
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the history is there", DEADLINE, || {
            said = history(asked, ["--of", of]);
            told(&said)
        });
    }));
    assert!(told.is_ok(), "{} says of {of}:\n{said}and not {words:?}", asked.name());
}

/// The domain, with a member that told its history when the cluster's streams were made.
fn domain(operator: &Operator, [ash, elm, oak, office, web]: &[Machine; 5]) {
    for machine in [ash, elm, oak, office, web] {
        equip(machine);
        operator.enrol(machine);
    }
    operator.sign();
    for member in [ash, elm, oak] {
        operator.applied(member);
    }
    let (store, state) = (operator.store(), ash.path("/var/lib/leafwright"));
    let words = ["apply", "domain", "--keys", store.to_str().unwrap(), "--state", state.to_str().unwrap(), "--yes"];
    let mut said = String::new();
    until("the cluster takes its streams", DEADLINE, || {
        let output = ash.in_network(|| operator.run(words));
        said = output.stderr.clone();
        output.success() && !said.contains("history:")
    });
    for leaf in [office, web] {
        operator.applied(leaf);
    }
}

pub fn what_became_of_a_machine_is_told_on_another() {
    let lab = Lab::new();
    let (machines, operator) = five(&lab);
    operator.settings("web", "history.read = true");
    domain(&operator, &machines);
    let [_, _, _, office, web] = &machines;

    let text =
        operator.text_of("office").replace("configuration = [\"todos\"]", "configuration = [\"todos\", \"drift\"]");
    operator.write("office", &text);
    let output = operator.apply(office, ["--person", "nobody"]);
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    let output = operator.apply(office, ["--person", "grace"]);
    assert!(output.success(), "{}", output.stderr);
    operator.settings("office", "leaf.max_pending = \"16MiB\"");
    operator.applied(office);
    let output = office.exec(["leafwright", "rollback", "--yes", "--person", "ada"]);
    assert!(output.success(), "{}", output.stderr);
    operator.append("office", "[force.services.todos]\nexec = [\"/bin/sleep\", \"2\"]");
    let output = operator.apply(office, ["--within", "12"]);
    assert_eq!(output.status.code(), Some(4), "{}", output.stderr);

    let became = [
        "generation 1 was applied, the first, by",
        "generation 2 was applied, after 1, by grace, ",
        "generation 3 was applied, after 2, by",
        "went back to generation 2 from 3, by ada, ",
        "generation 4 was given up, back at generation 2, by",
        "    because ",
    ];
    tells(web, "office", &became);
    tells(web, "all", &["ash     generation 1 was applied", "web     generation 1 was applied"]);
    println!("{}", history(web, ["--of", "all"]));

    // Not everybody may.
    let refused = office.exec(["leafwright", "status", "--history", "--of", "web"]);
    assert!(refused.status.code() == Some(4) && refused.stderr.contains("history.read = true"), "{}", refused.stderr);

    // A timer looks; news is told once.
    assert!(office.is_active("leafwright-drift.timer"));
    office.must(["systemd-analyze", "security", "--threshold=35", "--no-pager", "leafwright-drift.service"]);
    office.must(["sh", "-c", "echo '#' >>/etc/leafwright/services/todos.env"]);
    for _ in 0..2 {
        office.must(["systemctl", "start", "leafwright-drift.service"]);
    }
    tells(web, "office", &["differs from generation 2: 2 steps would mend it", "/etc/leafwright/services/todos.env"]);
    operator.write("office", &text);
    operator.applied(office);
    office.must(["systemctl", "start", "leafwright-drift.service"]);
    tells(web, "office", &["differs from", "generation 2 was mended", "is generation 2 again, nothing differs"]);

    // On the machine itself without any server; what cannot be published goes when it is back.
    office.must(["systemctl", "stop", "nats-server.service"]);
    let own = history(office, ["-n", "100"]);
    assert!(became.iter().all(|words| own.contains(words)), "{own}");
    assert_eq!(own.matches("differs from").count(), 1, "{own}");
    let said = office.exec(["leafwright", "status", "--record"]);
    assert!(said.stderr.contains("history: 1 event of this machine could not be published"), "{}", said.stderr);
    office.must(["systemctl", "start", "leafwright.target"]);
    until("the machine is whole again", DEADLINE, || office.exec(["leafwright", "status", "--record"]).success());
    sound(office);
    tells(web, "office", &["differs from", "was mended", "again", "differs from", "again"]);
    let own = history(office, ["-n", "100"]);
    assert_eq!(history(web, ["--of", "office", "-n", "100"]), own, "every event is there once");
}
