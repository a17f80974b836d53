//! Real nats-servers on free loopback ports, each in a directory of its own; killed, by pid, when they are dropped.

use super::ports::free_ports;
use leafwright::host::endpoint::Endpoint;
use leafwright::host::jetstream::JetStream;
use leafwright::host::monitor;
use serde_json::{Value, json};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a server, or an election, may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One nats-server and its directory.
pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
    pub listen: SocketAddr,
    pub monitor: SocketAddr,
    pub domain: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Server {
    /// A server that stands alone, with JetStream in `domain`. Started again on other ports if somebody took these.
    pub async fn start(domain: &str) -> Self {
        for _ in 0..5 {
            let ports = free_ports(2);
            let mut server = Self::spawn(domain, domain, [ports[0], ports[1]], json!({}));
            if server.is_up().await {
                return server;
            }
        }
        panic!("nats-server does not start; its log is printed above");
    }

    fn spawn(name: &str, domain: &str, [port, monitor]: [u16; 2], more: Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("jetstream");
        let mut config = json!({
            "server_name": name,
            "listen": loopback(port).to_string(),
            "http": loopback(monitor).to_string(),
            "jetstream": { "domain": domain, "store_dir": store, "max_mem": 64 << 20, "max_file": 1_i64 << 30 },
        });
        config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let file = directory.path().join("nats-server.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let child = run(&file, &directory.path().join("log"));
        Self { child, directory, listen: loopback(port), monitor: loopback(monitor), domain: domain.to_owned() }
    }

    async fn is_up(&mut self) -> bool {
        let since = Instant::now();
        while since.elapsed() < DEADLINE && self.child.try_wait().is_ok_and(|exit| exit.is_none()) {
            if monitor::healthz(self.monitor).await.is_ok_and(|health| health.status == "ok") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eprintln!("{}", self.log());
        false
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.listen.to_string()).await.unwrap()
    }

    pub async fn jetstream(&self) -> JetStream {
        self.jetstream_of(None).await
    }

    /// The domain with this name as seen from here; `None` is the server's own.
    pub async fn jetstream_of(&self, domain: Option<&str>) -> JetStream {
        JetStream::open(Arc::new(Endpoint::at([self.listen])), domain, DEADLINE).await.unwrap()
    }

    /// Kills it as a power cut would. Its directory stays until it is dropped.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, as it was, after `kill`.
    pub async fn restart(&mut self) {
        self.child = run(&self.directory.path().join("nats-server.json"), &self.directory.path().join("log"));
        assert!(self.is_up().await, "it does not start again");
    }
}

fn run(config: &Path, log: &Path) -> Child {
    let program = std::env::var_os("LEAFWRIGHT_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let mut command = Command::new(program);
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::options().append(true).create(true).open(log).unwrap());
    command.spawn().expect("nats-server must be on PATH")
}

/// Three servers in one cluster without accounts, JetStream domain = cluster name.
pub struct Cluster {
    pub members: Vec<Server>,
}

impl Cluster {
    pub async fn start(name: &str) -> Self {
        let ports = free_ports(9);
        let routes: Vec<_> = ports[6..].iter().map(|port| format!("nats://{}", loopback(*port))).collect();
        let member = |n: usize| {
            let cluster =
                json!({ "cluster": { "name": name, "listen": loopback(ports[6 + n]).to_string(), "routes": routes } });
            Server::spawn(&format!("{name}-{n}"), name, [ports[n], ports[3 + n]], cluster)
        };
        let cluster = Self { members: (0..3).map(member).collect() };
        cluster.wait_for_quorum().await;
        cluster
    }

    /// Until a meta leader sees three members and each member is healthy.
    pub async fn wait_for_quorum(&self) {
        let since = Instant::now();
        while since.elapsed() < DEADLINE {
            let mut ready = 0;
            for member in &self.members {
                let leader = match monitor::jsz(member.monitor).await {
                    Ok(jsz) => jsz.meta_cluster.is_some_and(|meta| !meta.leader.is_empty() && meta.cluster_size == 3),
                    Err(_) => false,
                };
                ready += usize::from(
                    leader && monitor::healthz(member.monitor).await.is_ok_and(|health| health.status == "ok"),
                );
            }
            if ready == self.members.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no quorum: {}", self.members[0].log());
    }

    pub async fn jetstream(&self) -> JetStream {
        self.members[0].jetstream().await
    }
}
