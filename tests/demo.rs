//! The services of the example against a real nats-server: the round trip, restarts, and the server going away.
//!
//! One server that stands alone, with the streams and consumers that Leafwright would make; nothing of the library.
#![cfg(feature = "world")]

#[path = "common/ports.rs"]
#[expect(dead_code, reason = "one at a time is enough here")]
mod ports;

use futures_util::StreamExt as _;
use nkeys::KeyPair;
use ports::free_port;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// A child that dies with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn signal(mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.0.wait().expect("it ends")
    }
}

/// One machine: its nats-server's port, its services' key, and where commands and events are pulled from.
struct Meadow {
    directory: tempfile::TempDir,
    name: &'static str,
    nats: u16,
    web: u16,
    user: KeyPair,
    api: &'static str,
}

fn nats_server() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/nats-server");
    match std::env::var_os("LEAFWRIGHT_NATS_SERVER") {
        Some(path) => path.into(),
        None if ours.exists() => ours,
        None => "nats-server".into(),
    }
}

fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Meadow {
    /// A machine that stands alone, if `leafnodes` says nothing else.
    fn new(name: &'static str, api: &'static str, leafnodes: Option<Value>) -> Self {
        let meadow = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            name,
            nats: free_port(),
            web: free_port(),
            user: KeyPair::new_user(),
            api,
        };
        fs::create_dir(meadow.path("state")).expect("a directory");
        fs::write(meadow.path("nats.nk"), meadow.user.seed().expect("it is a key pair")).expect("a file");
        let mut config = json!({
            "server_name": name,
            "listen": format!("127.0.0.1:{}", meadow.nats),
            "jetstream": { "store_dir": meadow.path("store"), "domain": name },
            "accounts": { "MEADOW": { "jetstream": "enabled", "users": [{ "nkey": meadow.user.public_key() }] } },
        });
        if let Some(leafnodes) = leafnodes {
            config["leafnodes"] = leafnodes;
        }
        fs::write(meadow.path("nats.json"), config.to_string()).expect("a file");
        meadow
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self, name: &str) -> fs::File {
        fs::File::options().create(true).append(true).open(self.path(name)).expect("a log file")
    }

    fn serve(&self) -> Process {
        let mut command = Command::new(nats_server());
        command.arg("-c").arg(self.path("nats.json")).stderr(self.log("nats.log"));
        let server = Process(command.spawn().expect("nats-server runs: ./setup puts it into .tools/bin"));
        eventually("nats-server listens", || TcpStream::connect(("127.0.0.1", self.nats)).ok());
        server
    }

    fn start(&self, service: &str) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright-demo"));
        command.arg(service).env_clear().stderr(self.log(&format!("{service}.log")));
        for (name, value) in [
            ("NATS_URL", format!("nats://127.0.0.1:{}", self.nats)),
            ("NATS_NKEY_SEED_FILE", self.path("nats.nk").display().to_string()),
            ("NATS_INBOX_PREFIX", format!("_INBOX.{}.{service}", self.name)),
            ("STATE_DIRECTORY", self.path("state").display().to_string()),
            ("WEB_LISTEN", format!("127.0.0.1:{}", self.web)),
            ("THERMOMETER_INTERVAL", "1".into()),
            ("LEAFWRIGHT_SERVICE", service.into()),
            ("LEAFWRIGHT_CONSUMER", service.into()),
        ] {
            command.env(name, value);
        }
        for (name, value) in [
            ("DOMAIN", "meadow"),
            ("MACHINE", self.name),
            ("COMMANDS_API", self.api),
            ("COMMANDS", "CMD"),
            ("EVENTS_API", self.api),
            ("EVENTS", "EVT"),
            ("SUBJECT_TODOS_ADD", "cmd.meadow.todos.add"),
            ("SUBJECT_TODOS_LIST", "qry.meadow.todos.list"),
            ("SUBJECT_TODOS_ADDED", "evt.meadow.todos.added"),
            ("SUBJECT_TODOS_ADD_REFUSED", "evt.meadow.todos.add-refused"),
            ("SUBJECT_THERMOMETER_MEASURED", "evt.meadow.thermometer.measured"),
        ] {
            command.env(format!("LEAFWRIGHT_{name}"), value);
        }
        Process(command.spawn().expect("the service runs"))
    }

    fn http(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response)
    }

    /// The titles on the list, once the web page can reach it.
    fn titles(&self) -> Option<Vec<String>> {
        let response = self.http("GET /todos HTTP/1.1\r\nHost: web\r\n\r\n")?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        let list: Value = head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).ok())??;
        Some(list["todos"].as_array()?.iter().map(|todo| todo["title"].as_str().unwrap_or("").to_owned()).collect())
    }

    /// The status line of the answer to an added to-do.
    fn add(&self, title: &str) -> String {
        let body = format!("title={}", title.replace(' ', "+"));
        let length = body.len();
        let request = format!("POST /todos HTTP/1.1\r\nHost: web\r\nContent-Length: {length}\r\n\r\n{body}");
        let response = self.http(&request).unwrap_or_default();
        response.lines().next().unwrap_or_default().to_owned()
    }

    async fn client(&self) -> async_nats::Client {
        let seed = self.user.seed().expect("it is a key pair");
        let options = async_nats::ConnectOptions::with_nkey(seed);
        options.connect(format!("nats://127.0.0.1:{}", self.nats)).await.expect("the server accepts the key")
    }
}

async fn ask(client: &async_nats::Client, subject: &str, body: Value) -> Value {
    let reply = client.request(subject.to_owned(), body.to_string().into()).await.expect("JetStream answers");
    let answer: Value = serde_json::from_slice(&reply.payload).expect("it answers in JSON");
    assert!(answer.get("error").is_none(), "{subject}: {answer}");
    answer
}

async fn stream(client: &async_nats::Client, name: &str, subjects: &[&str], sources: Value) {
    let config = json!({ "name": name, "subjects": subjects, "sources": sources, "storage": "file" });
    ask(client, &format!("$JS.API.STREAM.CREATE.{name}"), config).await;
}

/// A consumer for each service type that receives commands or events.
async fn consumers(client: &async_nats::Client) {
    for (stream, consumer, filters) in [
        ("CMD", "todos", vec!["cmd.meadow.todos.add"]),
        ("EVT", "todos", vec!["evt.meadow.todos.added"]),
        ("EVT", "web", vec!["evt.meadow.todos.*", "evt.meadow.thermometer.measured"]),
    ] {
        let config = json!({ "durable_name": consumer, "ack_policy": "explicit", "deliver_policy": "all",
            "replay_policy": "instant", "ack_wait": 2_000_000_000_u64, "filter_subjects": filters });
        let body = json!({ "stream_name": stream, "config": config });
        ask(client, &format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}"), body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_round_trip_survives_its_services_and_its_server() {
    let meadow = Meadow::new("office", "$JS.API", None);
    let server = meadow.serve();
    let client = meadow.client().await;
    stream(&client, "EVT", &["evt.meadow.>"], json!([])).await;
    stream(&client, "CMD", &["cmd.meadow.>"], json!([])).await;
    consumers(&client).await;
    ask(&client, "evt.meadow.todos.added", json!({ "id": "seed-1", "title": "from the event set" })).await;
    let (todos, web, thermometer) = (meadow.start("todos"), meadow.start("web"), meadow.start("thermometer"));

    eventually("the event set's to-do is listed", || meadow.titles().filter(|t| t == &["from the event set"]));
    assert_eq!(meadow.add("mend the fence"), "HTTP/1.1 303 See Other");
    assert_eq!(meadow.add("mend the fence"), "HTTP/1.1 422 Unprocessable Content");
    assert_eq!(meadow.titles().unwrap_or_default(), ["from the event set", "mend the fence"]);
    eventually("a measurement is on the page", || {
        meadow.http("GET / HTTP/1.1\r\n\r\n").filter(|page| page.contains("°C") && page.contains("mend the fence"))
    });

    // Killed in the middle of its life, it remembers; the outcome is in the stream once.
    assert_eq!(todos.signal("-KILL").signal(), Some(9));
    let todos = meadow.start("todos");
    let all = ["from the event set", "mend the fence"];
    eventually("the list is back", || meadow.titles().filter(|titles| titles == &all));
    let subjects = ask(&client, "$JS.API.STREAM.INFO.EVT", json!({ "subjects_filter": "evt.meadow.todos.>" })).await;
    let counts = &subjects["state"]["subjects"];
    assert_eq!(counts["evt.meadow.todos.added"], 2, "{counts}");
    assert_eq!(counts["evt.meadow.todos.add-refused"], 1, "{counts}");

    // The server goes and comes back with its store; nobody is restarted.
    assert!(server.signal("-TERM").code().is_some());
    let _server = meadow.serve();
    eventually("a to-do is added after the server came back", || {
        meadow.add("paint the gate");
        meadow.titles().filter(|titles| titles == &["from the event set", "mend the fence", "paint the gate"])
    });

    for service in [todos, web, thermometer] {
        assert_eq!(service.signal("-TERM").code(), Some(0));
    }
}

/// Web on one leaf, to-dos on another; commands and events cross by streams, the query as a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_round_trip_crosses_machines_by_way_of_the_hub() {
    let leafnodes = free_port();
    let accept = json!({ "listen": format!("127.0.0.1:{leafnodes}"), "authorization": { "user": "leaf", "password": "leaf", "account": "MEADOW" } });
    let hub = Meadow::new("hub", "$JS.API", Some(accept));
    let remote = json!({ "remotes": [{ "url": format!("nats-leaf://leaf:leaf@127.0.0.1:{leafnodes}"), "account": "MEADOW",
        "deny_exports": ["evt.meadow.>", "cmd.meadow.>"], "deny_imports": ["evt.meadow.>", "cmd.meadow.>"] }] });
    let web = Meadow::new("web", "$JS.hub.API", Some(remote.clone()));
    let office = Meadow::new("office", "$JS.hub.API", Some(remote));
    let _servers = [&hub, &web, &office].map(Meadow::serve);
    let center = hub.client().await;
    for leaf in [&web, &office] {
        let (client, name) = (leaf.client().await, leaf.name);
        stream(&client, &format!("EVT-{name}"), &["evt.meadow.>"], json!([])).await;
        stream(&client, &format!("CMD-{name}"), &["cmd.meadow.>"], json!([])).await;
        let info = format!("$JS.{name}.API.INFO");
        let linked = async {
            while center.request(info.clone(), "".into()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, linked).await.expect("the leaf is linked");
    }
    for kind in ["EVT", "CMD"] {
        let source = |leaf: &str| json!({ "name": format!("{kind}-{leaf}"), "external": { "api": format!("$JS.{leaf}.API"), "deliver": "" } });
        stream(&center, kind, &[], json!([source("web"), source("office")])).await;
    }
    consumers(&center).await;

    let _services = [office.start("todos"), web.start("web"), office.start("thermometer")];
    eventually("the empty list is shown", || web.titles().filter(Vec::is_empty));
    let started = eventually("a to-do makes its way", || {
        web.add("mend the fence");
        web.titles().filter(|titles| titles == &["mend the fence"])
    });
    assert_eq!(started.len(), 1);
    assert_eq!(web.add("paint the gate"), "HTTP/1.1 303 See Other");
    assert_eq!(web.add("paint the gate"), "HTTP/1.1 422 Unprocessable Content");
    eventually("a measurement made its way", || web.http("GET / HTTP/1.1\r\n\r\n").filter(|page| page.contains("°C")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_no_message_can_carry_is_refused_and_nobody_dies_of_it() {
    let meadow = Meadow::new("office", "$JS.API", None);
    let _server = meadow.serve();
    let client = meadow.client().await;
    stream(&client, "EVT", &["evt.meadow.>"], json!([])).await;
    stream(&client, "CMD", &["cmd.meadow.>"], json!([])).await;
    consumers(&client).await;
    let title = "x".repeat(180);
    let line = |id: usize| format!("{}\n", json!({ "id": id.to_string(), "title": format!("{title}{id}") }));
    fs::write(meadow.path("state/todos.jsonl"), (0..6_000).map(line).collect::<String>()).expect("a journal");
    let (_todos, _web) = (meadow.start("todos"), meadow.start("web"));
    let mut commands = client.subscribe("evt.meadow.todos.added").await.expect("it may listen");

    let reply = eventually("the query is refused in words", || {
        meadow.http("GET /todos HTTP/1.1\r\n\r\n").filter(|_| {
            let log = fs::read_to_string(meadow.path("web.log")).unwrap_or_default();
            log.contains("todos.list was not answered: the answer has") && log.contains("a message at most 1048576")
        })
    });
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    // A command is still carried out.
    meadow.add("mend the fence");
    let added = tokio::time::timeout(DEADLINE, commands.next()).await.expect("the service lives").expect("an event");
    assert!(String::from_utf8_lossy(&added.payload).contains("mend the fence"));
}

#[test]
fn a_service_that_cannot_start_says_what_is_missing() {
    for (arguments, code, words) in [
        (vec![], 2, "usage: leafwright-demo"),
        (vec!["todos"], 4, "the environment variable NATS_NKEY_SEED_FILE is not set"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright-demo"));
        let output = command.args(arguments).env_clear().output().expect("it runs");
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{talk}");
        assert!(talk.contains(words), "{talk}");
    }
}
