//! `up` and `verify` of a domain of one machine when something is broken: files of the state, a server that is held, a server
//! that is killed while it is loaded, a signal in the middle.

use super::{eventually, http, processes_of, signal_to, text};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory with the domain and its state.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// One leaf and no cluster, with `events` measurements to load.
    fn new(events: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Self { directory };
        let example = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["contracts/thermometer.toml", "contracts/thermometer/measured.json", "hardware/mini-pc.toml"] {
            bench.write(file, &fs::read_to_string(example.join(file)).unwrap());
        }
        bench.write(
            "domain.toml",
            "name = \"meadow\"\ndns = \"meadow.example\"\naccount = \"MEADOW\"\nzone = \"home\"\nevents = []\n\
             subjects = \"{kind}.{domain}.{aggregate}.{name}\"\n\n[zones.home]\ndoc = \"the house\"\n",
        );
        bench.write("people/ada.toml", "full_name = \"Ada Marsh\"\n");
        let machine = ["configuration = [\"temperature-sensor\"]", "hardware = \"mini-pc\"", "person = \"ada\""];
        bench.write("machines/thermo.toml", &format!("{}\nevents = [\"sensors\"]\n", machine.join("\n")));
        let mut lines = String::new();
        for number in 0..events {
            let event = json!({
                "specversion": "1.0", "id": format!("t-{number}"), "source": "/meadow/thermo", "type": "thermometer.measured",
                "time": "2026-03-01T00:00:00Z", "datacontenttype": "application/json",
                "data": { "celsius": number % 40, "sensor": "calibration" },
            });
            writeln!(lines, "{event}").unwrap();
        }
        bench.write("events/sensors.jsonl", &lines);
        bench
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("meadow")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn leafwright(&self, verb: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_leafwright"), "--domain"]).arg(self.root()).args(verb);
        command.arg("--state").arg(self.state()).env("NO_COLOR", "1");
        // nats-server lies beside the example, not beside this domain.
        if let Ok(tools) = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/nats-server").canonicalize() {
            command.env("LEAFWRIGHT_NATS_SERVER", tools);
        }
        command
    }

    fn once(&self) -> Output {
        self.leafwright(&["up", "--once"]).output().unwrap()
    }

    /// An `up` that is green; what it said.
    fn comes_up(&self) -> String {
        let up = self.once();
        assert!(up.status.success(), "{}", text(&up.stderr));
        text(&up.stderr)
    }

    /// An `up` that fails as the world does; what it said.
    fn fails(&self) -> String {
        let up = self.once();
        assert_eq!(up.status.code(), Some(4), "{}", text(&up.stderr));
        text(&up.stderr)
    }

    fn server(&self) -> Option<u32> {
        let names = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            text(&line).contains("machines/thermo/current/")
        };
        processes_of(&self.state()).into_iter().find(names)
    }

    fn address(&self, port: &str) -> Option<SocketAddr> {
        let ports: Value = serde_json::from_slice(&fs::read(self.state().join("ports.json")).ok()?).ok()?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(ports[port].as_u64()?).ok()?)))
    }

    fn stored(&self, stream: &str) -> Option<u64> {
        // In HTTP 1.0 no answer comes in chunks.
        let answer = http(self.address("thermo.monitor")?, "GET /jsz?streams=true&accounts=true HTTP/1.0\r\n\r\n")?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let accounts = answer["account_details"].as_array()?;
        let mut streams = accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten();
        streams.find(|detail| detail["name"] == stream)?["state"]["messages"].as_u64()
    }
}

/// A leafwright that runs, and what it says.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Reads what it says up to a line that begins so; that line, and all before it.
    fn until(&mut self, beginning: &str) -> String {
        let mut all = String::new();
        loop {
            let begin = all.len();
            assert_ne!(self.said.read_line(&mut all).unwrap(), 0, "it ended and never said `{beginning}`:\n{all}");
            if all[begin..].starts_with(beginning) {
                return all;
            }
        }
    }

    /// Its exit code, and all that it still said.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.said, &mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn what_is_damaged_in_the_state_is_made_anew_or_has_a_way_out() {
    let bench = Bench::new(8);
    let state = bench.state();
    bench.comes_up();
    let config = state.join("machines/thermo/current/etc/nats/nats-server.json");
    let whole = fs::read(&config).unwrap();

    fs::write(&config, "{").unwrap();
    assert!(bench.comes_up().contains("write closure"));
    assert_eq!(fs::read(&config).unwrap(), whole);
    fs::remove_dir_all(state.join("store")).unwrap();
    assert!(bench.comes_up().contains("write closure"));
    assert_eq!(fs::read(&config).unwrap(), whole);
    assert!(bench.comes_up().contains("nothing to do"));

    let ports = fs::read_to_string(state.join("ports.json")).unwrap();
    fs::write(state.join("ports.json"), &ports[..ports.len() / 2]).unwrap();
    bench.comes_up();

    let (keys, aside) = (state.join("keys"), state.join("keys-aside"));
    fs::rename(&keys, &aside).unwrap();
    let said = bench.fails();
    assert!(said.contains("help: put ") && said.contains("`rm -r "), "{said}");
    fs::remove_dir_all(&keys).unwrap();
    fs::rename(&aside, &keys).unwrap();
    assert!(bench.comes_up().contains("nothing to do"));
}

/// As after a build of this one binary alone: no server is started that would be stopped again.
#[test]
fn a_service_whose_program_is_missing_is_told_before_anything_begins() {
    let bench = Bench::new(8);
    let alone = bench.directory.path().join("leafwright");
    // By a process of its own: a fork of another test would hold the file open, and it could not be started.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_leafwright")).arg(&alone).status().unwrap().success());
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/nats-server");
    let mut command = Command::new(&alone);
    command.args(["up", "--once", "--domain"]).arg(bench.root()).arg("--state").arg(bench.state());
    let output = command.env("LEAFWRIGHT_NATS_SERVER", server).env("PATH", "/usr/bin:/bin").output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(
        said.contains("the service thermometer on thermo cannot start: /usr/lib/leafwright/leafwright-demo"),
        "{said}"
    );
    assert!(said.contains("help: it is the example's: `cargo build` makes it beside leafwright"), "{said}");
    assert!(!said.contains("write closure") && !said.contains("starting nats-servers"), "{said}");
}

#[test]
fn a_verification_that_is_stopped_is_no_success() {
    let bench = Bench::new(8);
    bench.comes_up();
    // The whole domain is proved in less than a second: it may be done before the signal comes.
    for _attempt in 0..10 {
        let mut up = Running::start(bench.leafwright(&["up", "--once"]));
        up.until("verifying");
        signal_to(up.child.id(), "-TERM");
        let (code, rest) = up.ended();
        if rest.contains("stopped while verifying") {
            assert_eq!(code, Some(4), "{rest}");
            assert!(rest.contains("\nnot proved: ") && rest.contains("queries"), "{rest}");
            eventually("its children are gone", || processes_of(&bench.state()).is_empty().then_some(()));
            return;
        }
    }
    panic!("no signal came while it verified");
}

#[test]
fn a_server_that_is_held_is_named_while_it_is_waited_for() {
    let bench = Bench::new(8);
    let mut up = Running::start(bench.leafwright(&["up"]));
    up.until("Ctrl-C");
    let server = bench.server().unwrap();
    signal_to(server, "-STOP");
    let mut verify = Running::start(bench.leafwright(&["verify"]));
    let said = verify.until("waiting for ");
    assert!(said.contains("waiting for thermo: no answer from http://127.0.0.1:"), "{said}");
    signal_to(server, "-CONT");
    let (code, rest) = verify.ended();
    assert_eq!(code, Some(0), "{rest}");
    signal_to(up.child.id(), "-INT");
    assert_eq!(up.ended().0, Some(0));
}

/// Every CloudEvents id of the stream, in order and with repetitions.
async fn ids(bench: &Bench, stream: &str) -> Vec<String> {
    let seed = fs::read_to_string(bench.state().join("keys/machines/thermo/provisioner.nk")).unwrap();
    let options =
        async_nats::ConnectOptions::with_nkey(seed.trim().to_owned()).custom_inbox_prefix("_INBOX.thermo.provisioner");
    let client = options.connect(format!("nats://{}", bench.address("thermo.listen").unwrap())).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream(stream).await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let mut ids = vec![];
    loop {
        let next = tokio::time::timeout(Duration::from_secs(30), messages.next());
        let message = next.await.expect("the stream is read to its end").unwrap().unwrap();
        ids.extend(message.headers.as_ref().and_then(|headers| headers.get("ce-id")).map(ToString::to_string));
        if message.info().unwrap().stream_sequence == last {
            return ids;
        }
    }
}

/// A server with one copy of everything dies three times while events are loaded, and `up` starts it again each time.
#[test]
fn a_server_killed_while_it_is_loaded_has_each_event_once_and_in_order() {
    const EVENTS: u64 = 60_000;
    let bench = Bench::new(usize::try_from(EVENTS).unwrap());
    let mut up = Running::start(bench.leafwright(&["up"]));
    for least in [1_000, 8_000, 18_000] {
        let end = Instant::now() + Duration::from_secs(120);
        let seen = loop {
            match bench.stored("SEED-thermo-sensors") {
                Some(stored) if stored >= least => break stored,
                stored => assert!(Instant::now() < end, "the load does not reach {least}: {stored:?}"),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        signal_to(bench.server().unwrap(), "-KILL");
        assert!(seen < EVENTS, "the kill came too late: {seen}");
    }
    let said = up.until("Ctrl-C");
    assert_eq!(said.matches("thermo/nats-server runs again").count(), 3, "{said}");

    let verify = bench.leafwright(&["verify", "--full"]).output().unwrap();
    assert!(verify.status.success(), "{}{}", text(&verify.stdout), text(&verify.stderr));
    assert_eq!(bench.stored("SEED-thermo-sensors"), Some(EVENTS));
    // The service publishes there too, with ids of its own.
    let ids = tokio::runtime::Runtime::new().unwrap().block_on(ids(&bench, "EVT-thermo"));
    let loaded: Vec<&String> = ids.iter().filter(|id| id.starts_with("t-")).collect();
    let first = loaded.iter().enumerate().find(|(at, id)| ***id != format!("t-{at}"));
    assert_eq!((loaded.len() as u64, first), (EVENTS, None));
    signal_to(up.child.id(), "-INT");
    assert_eq!(up.ended().0, Some(0));
}
