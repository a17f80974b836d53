//! Changes of one value: the plan says which units start again, and exactly those do, on a real machine.

use crate::apply::{office, sound};
use crate::client::{Client, began};
use crate::lab::{Lab, Machine};
use std::collections::{BTreeMap, BTreeSet};

/// What is expected of the units that run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Touched {
    Nothing,
    /// nats-server reads its configuration again; every process stays.
    Reload,
    /// nats-server, and with it what requires it.
    Server,
    /// The service alone.
    Service,
    /// An instance more, or one less; the others stay.
    Instance,
}

use Touched::{Instance, Nothing, Reload, Server, Service};

/// The settings of the office, each row instead of the one before it.
const ROWS: [(&str, Touched); 28] = [
    ("leaf.memory_max = \"2200MiB\"", Reload),
    ("leaf.memory_max = \"2100MiB\"", Server),
    ("leaf.memory_max = \"2150MiB\"", Reload),
    ("", Server),
    ("leaf.max_pending = \"16MiB\"", Server),
    ("leaf.max_pending = \"32MiB\"", Server),
    ("leaf.max_pending = \"32MiB\"\nleaf.sync_interval = \"1m\"", Server),
    ("leaf.limit_nofile = 4096", Server),
    ("", Server),
    ("leaf.monitor = \"127.0.0.1:8322\"", Server),
    ("", Server),
    ("services.todos.environment = { LANG = \"C.UTF-8\" }", Service),
    ("services.todos.environment = { LANG = \"C\" }", Service),
    ("services.todos.environment = { LANG = \"C\" }\nservices.todos.memory_max = \"256MiB\"", Service),
    ("services.todos.cpu_quota = \"50%\"", Service),
    ("services.todos.egress = [\"192.0.2.0/24\"]", Service),
    ("", Service),
    ("services.todos.unit.Service.Nice = [\"5\"]", Service),
    ("services.todos.unit.Unit.Documentation = [\"https://meadow.example\"]", Service),
    ("services.todos.unit.Unit.Documentation = [\"https://meadow.example/todos\"]", Nothing),
    ("", Nothing),
    ("services.todos.instances = 2", Instance),
    ("services.todos.instances = 1", Instance),
    ("files.\"/etc/motd\".text = \"welcome\\n\"", Nothing),
    ("files.\"/etc/motd\".text = \"welcome back\\n\"", Nothing),
    ("", Nothing),
    // One stream more, and nats-server may open two files more.
    ("streams.notes = { subjects = [\"notes.>\"], max_bytes = \"10MiB\" }", Server),
    ("streams.notes = { subjects = [\"notes.>\"], max_bytes = \"20MiB\" }", Nothing),
];

pub fn the_plan_says_which_units_start_again() {
    let lab = Lab::new();
    let (office, operator) = office(&lab);
    // It ends with its settings.
    let base = operator.text_of("office");
    let mut tried = BTreeMap::new();
    let mut client = listener(&office);
    for (settings, expected) in ROWS {
        operator.write("office", &format!("{base}\n{settings}\n"));
        let before = running(&office);
        let connection = began(&office, client.cid).expect("it is connected");
        let output = operator.apply(&office, ["--steady", "0"]);
        assert!(output.success(), "{settings}: {}", output.stderr);
        let after = running(&office);
        let stays: Vec<_> = before.iter().filter_map(|(unit, was)| Some((unit, was, after.get(unit)?))).collect();
        let restarted: BTreeSet<&String> =
            stays.iter().filter(|(_, was, is)| was != is).map(|(unit, ..)| *unit).collect();
        for (unit, was, is) in stays.iter().filter(|(_, was, is)| was != is) {
            assert!(was.iter().zip(is.iter()).all(|(was, is)| was != is), "{settings}: {unit}: {was:?}, then {is:?}");
        }
        let said = predicted(&output.stderr);
        assert_eq!(said, restarted.iter().map(|unit| (*unit).clone()).collect(), "{settings}: {}", output.stderr);
        let came_or_went = before.keys().collect::<BTreeSet<_>>() != after.keys().collect::<BTreeSet<_>>();
        let reloaded = output.stderr.contains("reload nats-server.service");
        let server = said.contains("nats-server.service");
        let seen = match (server, said.is_empty(), came_or_went, reloaded) {
            (true, ..) => Server,
            (false, false, ..) => Service,
            (false, true, true, _) => Instance,
            (false, true, false, true) => Reload,
            (false, true, false, false) => Nothing,
        };
        assert_eq!(seen, expected, "{settings}: {}", output.stderr);
        // A connection from before lives as long as the server does, and not longer.
        let still = began(&office, client.cid).as_ref() == Some(&connection);
        assert_eq!(still, !server, "{settings}: connection {} since {connection}", client.cid);
        if server {
            assert_eq!(client.hear(), None, "{settings}");
            client = listener(&office);
        }
        Client::of(&office).publish("heather.grows", "", settings);
        assert_eq!(client.hear().as_deref(), Some(settings), "a message of another connection");
        *tried.entry(format!("{seen:?}")).or_insert(0) += 1;
        sound(&office);
    }
    println!("{tried:?}");
}

/// A connection that is there before a change, and hears.
fn listener(machine: &Machine) -> Client {
    let mut client = Client::of(machine);
    client.subscribe("heather.>");
    client
}

/// What differs once a unit was started again, each of them.
const OF_A_START: &str = "InvocationID,MainPID,ExecMainStartTimestampMonotonic";

/// Every unit of ours that runs, and what is no longer so when it was started again.
fn running(machine: &Machine) -> BTreeMap<String, Vec<String>> {
    let words = [
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "--state=active",
        "nats-server.service",
        "todos@*.service",
    ];
    let units = machine.must(words);
    let units = units.lines().filter_map(|line| line.split_whitespace().next());
    units
        .map(|unit| {
            let shown = machine.must(["systemctl", "show", "-p", OF_A_START, unit]);
            (unit.to_owned(), shown.lines().map(str::to_owned).collect())
        })
        .collect()
}

/// The units that the plan, before anything was done, says will start again.
fn predicted(said: &str) -> BTreeSet<String> {
    let plan: Vec<&str> = said.lines().take_while(|line| !line.contains(" of ")).collect();
    let named = |verb: &str| -> BTreeSet<String> {
        let words = plan.iter().filter_map(|line| line.split_once(&format!("  {verb} ")).map(|(_, rest)| rest));
        words
            .filter_map(|rest| rest.split([',', ' ']).next())
            .filter(|unit| unit.ends_with(".service"))
            .map(str::to_owned)
            .collect()
    };
    let (stop, start) = (named("stop"), named("start"));
    named("restart").into_iter().chain(stop.intersection(&start).cloned()).collect()
}
