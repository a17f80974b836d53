//! `leafwright up` on the example domain, with real nats-servers and the example's services: it comes up and is green, the second
//! run does nothing, a kill at any moment loses nothing, a leaf that is cut off keeps working, a to-do makes the round trip.
#![cfg(feature = "world")]

#[path = "up/hardship.rs"]
mod hardship;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Everything here polls; this is when it gives up.
const DEADLINE: Duration = Duration::from_secs(120);

fn leafwright(state: &Path, more: &[&str]) -> Command {
    // A test that is killed takes leafwright with it, and leafwright takes its children.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_leafwright")]);
    command.args(["--domain", env!("CARGO_MANIFEST_DIR"), "up", "--state"]).arg(state).args(more).env("NO_COLOR", "1");
    command
}

fn once(state: &Path) -> Output {
    leafwright(state, &["--once", "--json"]).output().expect("leafwright runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The processes whose command line names the state directory, but for leafwright itself.
fn processes_of(state: &Path) -> Vec<u32> {
    let place = state.to_string_lossy().into_owned();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let names = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let ours = [text(&line), text(&environment)].iter().any(|words| words.contains(&place));
        ours && !text(&line).contains("leafwright\0")
    };
    pids.filter(names).collect()
}

fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "it did not come to pass: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An `up` that stays, and its summary.
struct Up {
    child: Child,
    summary: Value,
    state: PathBuf,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    fn start(state: &Path) -> Self {
        let talk = fs::File::create(state.with_extension("talk")).unwrap();
        let mut child =
            leafwright(state, &["--json"]).stdout(Stdio::piped()).stderr(talk).spawn().expect("leafwright starts");
        let mut json = String::new();
        // The summary ends with a brace at the beginning of a line; stdout stays open after it.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            json.push_str(&line);
            json.push('\n');
            if line == "}" {
                break;
            }
        }
        let summary = serde_json::from_str(&json).unwrap_or_else(|error| {
            panic!("no summary ({error}); what it said:\n{}", fs::read_to_string(state.with_extension("talk")).unwrap())
        });
        Self { child, summary, state: state.to_owned() }
    }

    fn address(&self, machine: &str, key: &str) -> SocketAddr {
        let rows = self.summary["machines"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == machine).unwrap();
        row[key].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
    }

    /// The address of the web page: `web at http://127.0.0.1:41234`.
    fn page(&self) -> SocketAddr {
        let rows = self.summary["machines"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == "web").unwrap();
        row["services"][0].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
    }

    fn pid_of(&self, machine: &str) -> u32 {
        let config = format!("{}/machines/{machine}/current/", self.state.display());
        let found = processes_of(&self.state)
            .into_iter()
            .filter(|pid| text(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).contains(&config));
        found.collect::<Vec<_>>()[0]
    }

    fn signal(&self, signal: &str) {
        signal_to(self.child.id(), signal);
    }
}

fn signal_to(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn http(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn monitor(address: SocketAddr, page: &str) -> Option<Value> {
    let answer = http(address, &format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))?;
    let body = answer.split_once("\r\n\r\n")?.1;
    // The body may be chunked; the JSON object is what stands between the outermost braces.
    serde_json::from_str(&body[body.find('{')?..=body.rfind('}')?]).ok()
}

#[test]
fn the_example_comes_up_green_and_the_second_run_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let first = once(&state);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let summary: Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(summary["verify"]["failed"], 0, "{summary}");
    assert_eq!(summary["verify"]["skipped"], 0, "{summary}");
    assert!(summary["verify"]["passed"].as_u64().unwrap() >= 40, "{summary}");
    assert!(summary["steps"].as_u64().unwrap() > 20, "{summary}");
    let names: BTreeSet<&str> =
        summary["machines"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["ash", "desk", "elm", "oak", "office", "pi", "thermo", "web"]));
    let copies = summary["copies"].as_array().unwrap().iter().find(|row| row["stream"] == "EVT").unwrap();
    assert_eq!((copies["reached"].as_u64(), copies["wanted"].as_u64()), (Some(4), Some(4)));
    assert_eq!(processes_of(&state), Vec::<u32>::new(), "children that outlived it");

    let second = once(&state);
    assert!(second.status.success(), "{}", text(&second.stderr));
    assert!(text(&second.stderr).contains("nothing to do"), "{}", text(&second.stderr));
    let summary: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(summary["steps"], 0);
    assert_eq!(summary["verify"]["failed"], 0);
}

#[test]
fn killed_at_any_moment_the_next_run_finishes() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    // Spread over what a whole run takes; the later ones find more and more done.
    for pause in [150, 400, 800, 1300, 2000, 3000] {
        let mut child = leafwright(&state, &["--once"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        // It may be done already, on a fast machine.
        let _ = child.kill();
        child.wait().unwrap();
        eventually("its children are gone", || processes_of(&state).is_empty().then_some(()));
    }
    let last = once(&state);
    assert!(last.status.success(), "{}", text(&last.stderr));
    let summary: Value = serde_json::from_slice(&last.stdout).unwrap();
    assert_eq!(summary["verify"]["failed"], 0, "{summary}");
    for row in summary["events"].as_array().unwrap() {
        assert_eq!(row["stored"], row["wanted"], "{row}");
    }
}

#[test]
fn a_todo_makes_the_round_trip_and_a_cut_leaf_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut up = Up::start(&state);
    round_trip(up.page(), "buy milk");
    undeclared_publish_is_refused(&up);
    a_dead_server_runs_again(&up);
    round_trip(up.page(), "water the plants");
    a_cut_leaf_loses_nothing(&up);

    up.signal("-INT");
    let status = up.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(processes_of(&state), Vec::<u32>::new(), "children that outlived it");
}

/// From the web machine's localhost to the back office's, as a command, an event and a query.
fn round_trip(page: SocketAddr, title: &str) {
    let body = format!("title={}", title.replace(' ', "+"));
    let request = format!(
        "POST /todos HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // 422 says that the title is on the list already: an earlier attempt was stored and only its answer was lost.
    let taken = |answer: &String| ["HTTP/1.1 303", "HTTP/1.1 422"].iter().any(|status| answer.starts_with(status));
    eventually("the page takes the to-do", || http(page, &request).filter(taken));
    eventually("the to-do is on the list", || {
        http(page, "GET /todos HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .filter(|answer| answer.contains(title))
    });
}

fn service_key(up: &Up, machine: &str, service: &str) -> String {
    let path = up.state.join(format!("machines/{machine}/credentials/{service}-1/nats.nk"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn connect(up: &Up, machine: &str, service: &str) -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::with_nkey(service_key(up, machine, service).trim().to_owned())
        .custom_inbox_prefix(format!("_INBOX.{machine}.{service}"))
}

/// The web service may send commands and queries, but no event of the to-dos: nats-server says so, and nothing is stored.
fn undeclared_publish_is_refused(up: &Up) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let options = connect(up, "web", "web").event_callback(move |event| {
            let _ = tell.send(event.to_string());
            async {}
        });
        let client = options.connect(format!("nats://{}", up.address("web", "nats"))).await.unwrap();
        client.publish("evt.meadow.todos.added", "{}".into()).await.unwrap();
        client.flush().await.unwrap();
        let refused = async {
            while let Some(event) = told.recv().await {
                if event.to_lowercase().contains("permissions violation") {
                    return event;
                }
            }
            String::new()
        };
        let refused = tokio::time::timeout(Duration::from_secs(10), refused).await.expect("the server says no");
        assert!(refused.contains("evt.meadow.todos.added"), "{refused}");
    });
}

fn a_dead_server_runs_again(up: &Up) {
    let before = up.pid_of("web");
    signal_to(before, "-KILL");
    eventually("the server of web runs again", || {
        let name = monitor(up.address("web", "monitor"), "/varz")?["server_name"].as_str()?.to_owned();
        (name == "web" && up.pid_of("web") != before).then_some(())
    });
}

/// How many messages the stream has, as the monitoring port of the machine tells.
fn messages(up: &Up, machine: &str, stream: &str) -> Option<u64> {
    let answer = monitor(up.address(machine, "monitor"), "/jsz?streams=true&accounts=true")?;
    let accounts = answer["account_details"].as_array()?;
    let mut streams = accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten();
    streams.find(|detail| detail["name"] == stream)?["state"]["messages"].as_u64()
}

/// With all members of the cluster dead (and leafwright held, so that it does not start them again), thermo's service publishes
/// 500 events; each is acknowledged by its own leaf, none reaches the cluster; when the cluster is back, all are in the aggregate, once.
fn a_cut_leaf_loses_nothing(up: &Up) {
    const EVENTS: usize = 500;
    let of = |machine: &str| up.pid_of(machine);
    let [oak, ash, elm] = ["oak", "ash", "elm"].map(of);
    up.signal("-STOP");
    for member in [oak, ash, elm] {
        signal_to(member, "-KILL");
    }
    let leaf = up.address("thermo", "monitor");
    eventually("thermo is cut off", || (monitor(leaf, "/leafz")?["leafnodes"].as_u64()? == 0).then_some(()));
    let ids: BTreeSet<String> = (0..EVENTS).map(|number| format!("cut-{number}")).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = connect(up, "thermo", "thermometer");
        let client = options.connect(format!("nats://{}", up.address("thermo", "nats"))).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        for id in &ids {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Msg-Id", id.as_str());
            let published =
                jetstream.publish_with_headers("evt.meadow.thermometer.measured", headers, "{}".into()).await;
            let ack = published.unwrap().await.unwrap_or_else(|error| panic!("{id} was not acknowledged: {error}"));
            assert!(!ack.duplicate);
        }
    });
    assert!(messages(up, "thermo", "EVT-thermo").unwrap() >= EVENTS as u64);
    up.signal("-CONT");
    let page_of_oak = up.address("oak", "monitor");
    eventually("the cluster is back", || monitor(page_of_oak, "/healthz").filter(|health| health["status"] == "ok"));
    let stored = eventually("the aggregate has all events", || all_of(up, &ids));
    assert_eq!(stored.len(), EVENTS, "each event once");
}

/// The ids among `ids` that the aggregate holds, in order and with repetitions; `None` until all are there.
fn all_of(up: &Up, ids: &BTreeSet<String>) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let found = read_aggregate(up).await?;
        let ours: Vec<String> = found.into_iter().filter(|id| ids.contains(id)).collect();
        let distinct: BTreeSet<&String> = ours.iter().collect();
        (distinct.len() == ids.len()).then_some(ours)
    })
}

/// Every `Nats-Msg-Id` of the aggregate, as the keeper on office holds it: a copy that nobody can purge.
async fn read_aggregate(up: &Up) -> Option<Vec<String>> {
    let seed = fs::read_to_string(up.state.join("keys/machines/office/provisioner.nk")).unwrap();
    let options =
        async_nats::ConnectOptions::with_nkey(seed.trim().to_owned()).custom_inbox_prefix("_INBOX.office.provisioner");
    let client = options.connect(format!("nats://{}", up.address("office", "nats"))).await.ok()?;
    let stream = async_nats::jetstream::new(client).get_stream("KEEP-EVT").await.ok()?;
    let last = stream.get_info().await.ok()?.state.last_sequence;
    let mut ids = Vec::new();
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.ok()?;
        if let Some(id) = message.headers.get("Nats-Msg-Id") {
            ids.push(id.to_string());
        }
    }
    Some(ids)
}

/// The transcript of the README has the shape of what `up` says: each of its lines is said, in this order, but for numbers.
/// `…` alone stands for lines that are left out.
#[test]
fn the_transcript_of_the_readme_is_what_up_says() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let transcript = readme.split("<!-- transcript of `up`: begin -->").nth(1).unwrap();
    let transcript = transcript.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join(".leafwright");
    let told = directory.path().join("told");
    let file = fs::File::create(&told).unwrap();
    let mut child = leafwright(&state, &[]).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let said = eventually("everything is said", || {
        let said = fs::read_to_string(&told).unwrap();
        let over = said.contains("Ctrl-C stops it") || child.try_wait().unwrap().is_some();
        over.then_some(said)
    });
    let _ = child.kill();
    let _ = child.wait();
    let place = directory.path().canonicalize().unwrap().display().to_string();
    let said = said.replace(env!("CARGO_BIN_EXE_leafwright"), "target/release/leafwright");
    let said: Vec<String> = said.lines().map(|line| shape(&line.replace(&place, "…"))).collect();
    let mut rest = said.iter();
    for line in transcript.lines().filter(|line| !line.trim().is_empty() && line.trim() != "…") {
        let wanted = shape(line);
        assert!(rest.any(|line| *line == wanted), "README.md shows\n  {line}\nand `up` said\n{}", said.join("\n"));
    }
    // The refusals in the logs were asked for, and say by whom.
    let log = fs::read_to_string(state.join("machines/office/log/nats-server.log")).unwrap();
    let refusals: Vec<&str> = log.lines().filter(|line| line.contains("Violation - Subject")).collect();
    assert!(!refusals.is_empty());
    assert!(refusals.iter().all(|line| line.contains("leafwright verify")), "{}", refusals.join("\n"));
}

/// A line without its numbers, digests and widths.
fn shape(line: &str) -> String {
    let word = |word: &str| {
        let digest = word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
        let mut out = String::new();
        for c in word.chars() {
            match c.is_ascii_digit() {
                true if out.ends_with('0') => {}
                true => out.push('0'),
                false => out.push(c),
            }
        }
        if digest { "digest".to_owned() } else { out }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}
