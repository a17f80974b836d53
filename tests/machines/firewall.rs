//! A generation that brings a firewall which cuts this machine's link: the gate sees it, the machine goes back by itself, and no
//! event that was acknowledged on its loopback meanwhile is lost.

use crate::apply::sound;
use crate::client::Client;
use crate::lab::{DEADLINE, Machine, until};
use crate::operator::{DOMAIN, Operator};
use leafwright::host::endpoint::Login;
use leafwright::host::keys::Secret;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Loaded when the service starts, gone when it stops. Loopback is left alone.
const FIREWALL: &str = r#"
leaf.max_pending = "16MiB"
files."/etc/cut.nft".text = """
table inet cut {
  chain out { type filter hook output priority 0; tcp dport 7422 drop; }
  chain in { type filter hook input priority 0; tcp sport 7422 drop; }
}
"""
services.todos.unit.Service.ExecStartPre = ["+/usr/sbin/nft -f /etc/cut.nft"]
services.todos.unit.Service.ExecStopPost = ["+-/usr/sbin/nft delete table inet cut"]
"#;

/// The domain is up; `office` is a leaf of it, at generation 1.
pub fn cuts_the_link_and_goes(operator: &Operator, member: &Machine, office: &Machine) {
    let base = operator.text_of("office");
    operator.settings("office", FIREWALL);
    let done = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(office, &done));
        let output = operator.apply(office, ["--within", "15"]);
        assert_eq!(output.status.code(), Some(4), "{}", output.stderr);
        assert!(output.stderr.contains("nft"), "the firewall came: {}", output.stderr);
        is_back(office, "the gate \"the domain answers over the link\" does not hold");

        let words = ["leafwright", "apply", "office", "--domain", DOMAIN, "--yes", "--within", "200"];
        let mut apply = office.spawn(words);
        until("the link is cut", DEADLINE, || is_cut(office) && apply.stderr().contains("waiting until the domain"));
        apply.kill();
        is_back(office, "its apply ended before it was committed");
        done.store(true, Ordering::SeqCst);
        publisher.join().expect("it publishes to the end")
    });
    operator.write("office", &base);
    println!("{} events were acknowledged meanwhile", acknowledged.len());
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let own = || stored(Client::of(office), "EVT-office");
    assert_eq!(lost(&acknowledged, &own()), Vec::<&String>::new(), "on the leaf");
    let never = ["evt.meadow.heather.never".to_owned()];
    assert_eq!(lost(&never, &own()), [&never[0]], "what was lost would be seen");
    // And over the link, which carries again.
    let creds = operator.creds_of("domain/provisioner");
    until("every event is on the cluster", DEADLINE, || {
        let client = Client::open(member, &Login::Creds(Secret::new(creds.clone())));
        lost(&acknowledged, &stored(client.expect("the member runs"), "EVT")).is_empty()
    });
}

fn is_cut(machine: &Machine) -> bool {
    machine.exec(["nft", "list", "table", "inet", "cut"]).success()
}

fn is_back(machine: &Machine, reason: &str) {
    let mut said = String::new();
    until("the machine is back", DEADLINE, || {
        let status = machine.exec(["leafwright", "status"]);
        said = status.stdout;
        status.status.success()
    });
    assert!(said.contains("office is generation 1") && said.contains(reason), "{said}");
    assert!(!is_cut(machine), "the firewall is there yet");
    sound(machine);
}

/// Events on the machine's loopback, one after the other; the subjects of those that were acknowledged.
fn publish(machine: &Machine, done: &AtomicBool) -> Vec<String> {
    let (mut acknowledged, mut client, mut number) = (vec![], None, 0);
    while !done.load(Ordering::SeqCst) {
        // A rate, not a wait.
        std::thread::sleep(Duration::from_millis(20));
        let mut one = match client.take().or_else(|| connected(machine)) {
            Some(one) => one,
            None => continue,
        };
        number += 1;
        let subject = format!("evt.meadow.heather.n{number}");
        one.publish(&subject, "heather.acknowledged", "{}");
        // Nothing: the connection ended. Something else: nobody stores it yet.
        let Some(answer) = one.hear() else { continue };
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        if answer["seq"].is_u64() {
            acknowledged.push(subject);
        }
        client = Some(one);
    }
    acknowledged
}

fn connected(machine: &Machine) -> Option<Client> {
    let mut client = Client::try_of(machine)?;
    client.subscribe("heather.acknowledged");
    Some(client)
}

/// The subjects of the events that a stream has.
fn stored(mut client: Client, stream: &str) -> Value {
    client.subscribe("_INBOX.heather");
    let wanted = r#"{"subjects_filter":"evt.meadow.heather.>"}"#;
    client.publish(&format!("$JS.API.STREAM.INFO.{stream}"), "_INBOX.heather", wanted);
    let answer = client.hear().expect("an answer");
    let info: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{stream}: {error}: {answer}"));
    assert!(info["error"].is_null(), "{info}");
    info["state"]["subjects"].clone()
}

fn lost<'a>(acknowledged: &'a [String], stored: &Value) -> Vec<&'a String> {
    acknowledged.iter().filter(|subject| stored[subject.as_str()] != 1).collect()
}
