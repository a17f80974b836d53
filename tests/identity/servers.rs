//! Real nats-servers on free loopback ports, in temporary directories; each dies with its value.

use leafwright::host::keys::{KeyId, KeyStore};
use leafwright::identity::jwt::Signer;
use leafwright::identity::{PublicIdentity, UserId};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Server {
    child: Child,
    log: PathBuf,
}

/// Until `heard` has a message that this client sends now: then the server has seen all that the client sent before,
/// and the subscription of `heard`. A `flush` only hands bytes to the kernel.
pub async fn settled(client: &async_nats::Client, subject: &'static str, heard: &mut async_nats::Subscriber) {
    client.publish(subject, "".into()).await.unwrap();
    while said(heard).await != subject {}
}

/// The subject of the next message that a client sent: servers talk among themselves, too, and copies of what was stored (the
/// layout's bulk) are on their way under their own subjects while they are delivered.
pub async fn said(heard: &mut async_nats::Subscriber) -> String {
    loop {
        let message = tokio::time::timeout(DEADLINE, futures_util::StreamExt::next(heard)).await;
        let subject = message.expect("a message in time").expect("a connection").subject.to_string();
        if !["$JS.S.", "$JS.M.", "$JS.FC.", "$JS.EVENT.", "evt.meadow.bulk."]
            .iter()
            .any(|servers| subject.starts_with(servers))
        {
            return subject;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nats_server() -> Command {
    Command::new(std::env::var_os("LEAFWRIGHT_NATS_SERVER").unwrap_or_else(|| "nats-server".into()))
}

/// Starts a server with this configuration and waits until it takes connections.
pub fn start(dir: &Path, name: &str, port: u16, config: &Value) -> Server {
    let file = dir.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(config).unwrap()).unwrap();
    let log = dir.join(format!("{name}.log"));
    let out = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
    let child = nats_server()
        .args(["-c".as_ref(), file.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(out))
        .spawn()
        .expect("nats-server is needed for this test: see README");
    let mut server = Server { child, log };
    let started = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let gone = server.child.try_wait().unwrap();
        assert!(gone.is_none() && started.elapsed() < DEADLINE, "{name} did not start:\n{}", tail(&server.log));
        std::thread::sleep(Duration::from_millis(10));
    }
    server
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// What nats-server says of a configuration without starting.
pub fn parse(dir: &Path, config: &Value) -> Result<(), String> {
    let file = dir.join("parsed.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let out = nats_server().args(["-t".as_ref(), "-c".as_ref(), file.as_os_str()]).output().unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// A server in operator mode that knows the identity's accounts.
pub fn operator_config(dir: &Path, identity: &PublicIdentity, port: u16, leafnodes: u16) -> Value {
    json!({
        "server_name": "oak",
        "listen": format!("127.0.0.1:{port}"),
        "leafnodes": { "listen": format!("127.0.0.1:{leafnodes}") },
        "jetstream": { "domain": "hub", "store_dir": dir.join("hub"), "max_mem": 100_000_000, "max_file": 1_000_000_000 },
        "operator": identity.operator.jwt,
        "system_account": identity.system_account.key,
        "resolver": "MEMORY",
        "resolver_preload": {
            identity.account.key.as_str(): identity.account.jwt,
            identity.system_account.key.as_str(): identity.system_account.jwt,
        },
    })
}

/// Connects as a user of the cluster with any JWT, also a bad one.
pub async fn connect_as(store: &KeyStore, user: &UserId, jwt: &str, port: u16) -> Result<async_nats::Client, String> {
    let key = std::sync::Arc::new(store.nkey(&KeyId::User(user.clone())).unwrap().unwrap());
    let options = async_nats::ConnectOptions::with_jwt(jwt.to_owned(), move |nonce| {
        let key = key.clone();
        async move { Ok(key.sign(&nonce)) }
    });
    connect(options, port).await
}

/// Connects with the NKey of a user of a leaf.
pub async fn connect_nkey(store: &KeyStore, user: &UserId, inbox: &str, port: u16) -> async_nats::Client {
    let key = store.nkey(&KeyId::User(user.clone())).unwrap().unwrap();
    let options = async_nats::ConnectOptions::with_nkey(key.seed().unwrap().reveal().to_owned());
    connect(options.custom_inbox_prefix(inbox), port).await.unwrap()
}

async fn connect(options: async_nats::ConnectOptions, port: u16) -> Result<async_nats::Client, String> {
    options
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        .connect(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| error.to_string())
}
