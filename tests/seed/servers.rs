//! Real nats-servers for a test: one, or a cluster of three; on free loopback ports, gone with the test.

use crate::ports::free_ports;
use leafwright::host::endpoint::Endpoint;
use leafwright::host::jetstream::JetStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// When the server has a message on disk: at some time, or before it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    Default,
    Always,
}

pub struct Servers {
    /// Held: the stores go with it.
    _dir: tempfile::TempDir,
    pub members: Vec<Server>,
}

pub struct Server {
    pub port: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn start(&mut self) {
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("nats-server is on PATH"));
    }

    /// `kill -9`
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ran");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Servers {
    pub fn start(count: usize, sync: Sync) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ports = free_ports(2 * count);
        let (clients, routes) = ports.split_at(count);
        let urls: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let member = |index: usize| {
            let mut config = serde_json::json!({
                "server_name": format!("s{index}"),
                "listen": format!("127.0.0.1:{}", clients[index]),
                "jetstream": { "store_dir": dir.path().join(format!("s{index}")) },
            });
            if sync == Sync::Always {
                config["jetstream"]["sync_interval"] = "always".into();
            }
            if count > 1 {
                config["cluster"] = serde_json::json!({
                    "name": "c", "listen": format!("127.0.0.1:{}", routes[index]), "routes": urls,
                });
            }
            let path = dir.path().join(format!("s{index}.json"));
            std::fs::write(&path, config.to_string()).expect("written");
            let mut server = Server { port: clients[index], config: path, child: None };
            server.start();
            server
        };
        let members = (0..count).map(member).collect();
        Self { _dir: dir, members }
    }

    /// A connection that may roam over all members, made as soon as one is there.
    pub async fn jetstream(&self) -> JetStream {
        connect(&self.members.iter().map(Server::url).collect::<Vec<_>>().join(",")).await
    }
}

/// `urls` are separated by commas.
pub async fn connect(urls: &str) -> JetStream {
    let addresses = urls.split(',').map(|url| url.parse().expect("a URL")).collect();
    let endpoint = Arc::new(Endpoint { addresses, login: None, inbox: None });
    let end = Instant::now() + DEADLINE;
    loop {
        match JetStream::open(endpoint.clone(), None, DEADLINE).await {
            Ok(jetstream) => return jetstream,
            Err(error) => assert!(Instant::now() < end, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Creates a stream, again and again until the cluster has a leader for it.
pub async fn create(jetstream: &JetStream, config: serde_json::Value) {
    let subject = format!("$JS.API.STREAM.CREATE.{}", config["name"].as_str().expect("a name"));
    let end = Instant::now() + DEADLINE;
    loop {
        let reply = jetstream.client().request(subject.clone(), config.to_string().into()).await;
        let reply = reply.map(|message| serde_json::from_slice::<serde_json::Value>(&message.payload).expect("JSON"));
        match reply {
            Ok(reply) if reply.get("error").is_none() => return,
            Ok(reply) => assert!(Instant::now() < end, "{reply}"),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The configuration of a stream that only the seeder writes.
pub fn seed_stream(name: &str, replicas: usize) -> serde_json::Value {
    serde_json::json!({
        "name": name, "subjects": ["seed.x.s.>"], "num_replicas": replicas, "allow_atomic": true,
        "deny_delete": true, "deny_purge": true, "discard": "new", "retention": "limits", "storage": "file",
    })
}
