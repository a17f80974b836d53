//! A server whose monitoring port was asked before its JetStream began: `/varz` says for good that there is none, `verify` does not.

use super::domain::machine;
use crate::ports::free_ports;
use leafwright::compile::desired::Objects;
use leafwright::compile::{Desired, DesiredServer};
use leafwright::identity::UserId;
use leafwright::name::SubjectPattern;
use leafwright::resolve::Spaces;
use leafwright::seed::Depth;
use leafwright::verify::outcome::Check;
use leafwright::verify::{self, Access, Login, Target, Verdict};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Links and domains are seen without a login.
struct Nobody;

impl Access for Nobody {
    fn login(&self, _user: &UserId) -> Option<Login> {
        None
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn page(monitor: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(monitor).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "it did not come to pass: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A nats-server that was asked for `/varz` before its JetStream began. Among many strangers it takes long to look for what older
/// versions stored beside its directory; whether that was long enough is seen.
fn asked_too_early(directory: &Path, server: &DesiredServer) -> Option<Server> {
    let store = tempfile::tempdir_in(directory).unwrap().keep();
    for stranger in 0..20_000 {
        std::fs::File::create(store.join(stranger.to_string())).unwrap();
    }
    let config = json!({
        "server_name": "oak", "listen": server.listen.to_string(), "http": server.monitor.to_string(),
        "jetstream": { "store_dir": store, "domain": server.domain },
    });
    let path = directory.join("oak.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(&path).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Server(command.spawn().expect("nats-server is on PATH"));
    eventually("/varz answers", || page(server.monitor, "/varz"));
    eventually("JetStream is there", || page(server.monitor, "/healthz").filter(|health| health["status"] == "ok"));
    let varz = page(server.monitor, "/varz").unwrap();
    varz["jetstream"].get("config").is_none().then_some(running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jetstream_that_began_after_the_first_question_is_on() {
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports(2);
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let server = DesiredServer {
        machine: machine("oak"),
        closure_digest: String::new(),
        closure_files: Default::default(),
        listen: address(ports[0]),
        monitor: address(ports[1]),
        domain: "meadow".into(),
        member: false,
        objects: Objects::default(),
        processes: vec![],
    };
    let mut attempts = (0..10).filter_map(|_| asked_too_early(directory.path(), &server));
    let _running =
        attempts.next().expect("nats-server tells of JetStream whenever it is asked first: `/varz` would serve again");

    let desired = Desired { servers: [(machine("oak"), server)].into(), cluster: None, cluster_members: vec![] };
    let pattern = |text: &str| SubjectPattern::parse(text).unwrap();
    let spaces = Spaces { commands: pattern("cmd.>"), queries: pattern("qry.>"), events: pattern("evt.>") };
    let target = Target {
        desired: &desired,
        access: &Nobody,
        spaces: &spaces,
        voices: vec![],
        queries: vec![],
        running: BTreeSet::new(),
        depth: Depth::Digest,
        patience: Duration::from_secs(1),
        links: Duration::from_secs(1),
        hub: None,
        watch: &verify::Unwatched,
    };
    let outcome = verify::run(&target).await;
    let domain = outcome.findings.iter().find(|finding| finding.check == Check::Domain).unwrap();
    assert_eq!((domain.verdict, domain.detail.as_str()), (Verdict::Passed, "JetStream domain `meadow`"));
}
