//! A compiled domain on loopback: its configurations written as they compiled, a real nats-server for each machine.
//! Every server dies with the lab.

use crate::fixture::{Fixture, edit, name};
use crate::ports::free_ports;
use leafwright::compile::{self, ArtefactKind, Compiled};
use leafwright::host::keys::{KeyId, KeyStore, Secret, put_secret};
use leafwright::host::provision;
use leafwright::identity::{PublicIdentity, UserId};
use leafwright::name::MachineName;
use leafwright::resolve::{Domain, Part};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Lab {
    pub domain: Domain,
    pub compiled: Compiled,
    pub identity: PublicIdentity,
    pub keys: KeyStore,
    root: tempfile::TempDir,
    servers: BTreeMap<MachineName, Child>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in self.servers.values_mut() {
            let _gone = server.kill();
            let _gone = server.wait();
        }
    }
}

/// Moves a domain to loopback: what `up` does by its strongest layer.
fn move_to(root: &Path, domain: &mut Domain) {
    let names: Vec<String> = domain.machines.iter().map(|machine| machine.name.to_string()).collect();
    let mut ports = free_ports(names.len() * 4).into_iter();
    let mut next = || SocketAddr::from(([127, 0, 0, 1], ports.next().unwrap()));
    for machine in &names {
        let home = root.join(machine);
        std::fs::create_dir_all(&home).unwrap();
        let path = |file: &str| home.join(file).to_str().unwrap().to_owned();
        edit(domain, machine, |machine| {
            let options = &mut machine.options;
            options.network.host = "127.0.0.1".to_owned();
            options.leaf.listen = next();
            options.leaf.monitor = next();
            options.cluster.listen = next();
            options.cluster.leafnodes = next();
            options.leaf.store = path("store");
            options.leaf.credentials = path("leaf.creds");
            options.leaf.ca = path("ca.pem");
            options.cluster.certificate = path("server.pem");
            options.cluster.key = path("server.key");
        });
    }
}

impl Lab {
    /// Compiles, writes, and starts every server.
    pub fn start(fixture: Fixture) -> Lab {
        let root = tempfile::tempdir().unwrap();
        let mut domain = fixture.domain;
        move_to(root.path(), &mut domain);
        let keys = KeyStore::create(&root.path().join("keys")).unwrap();
        let wanted = compile::wanted(&domain);
        let identity = provision(&keys, &wanted, None, time::OffsetDateTime::now_utc()).unwrap();
        let checked = compile::domain(&domain, &identity);
        assert!(checked.report.is_empty(), "{:?}", checked.report);
        let compiled = checked.value.unwrap();
        let mut lab = Lab { domain, compiled, identity, keys, root, servers: BTreeMap::new() };
        for machine in lab.compiled.machines.keys().cloned().collect::<Vec<_>>() {
            lab.write(&machine);
            let server = lab.spawn(&machine);
            lab.servers.insert(machine, server);
        }
        lab
    }

    fn home(&self, machine: &MachineName) -> PathBuf {
        self.root.path().join(machine.as_str())
    }

    /// The configuration to the byte as it compiled, and the files that it names.
    fn write(&self, machine: &MachineName) {
        let home = self.home(machine);
        std::fs::write(self.config(machine), self.config_bytes(machine)).unwrap();
        std::fs::write(home.join("ca.pem"), &self.identity.ca).unwrap();
        if let Some(certificate) = self.identity.certificates.get(machine) {
            std::fs::write(home.join("server.pem"), &certificate.pem).unwrap();
            let key = self.keys.read(&KeyId::Server(machine.clone())).unwrap().unwrap();
            put_secret(&home.join("server.key"), &key, 0o400).unwrap();
        }
        let leaf = UserId::Leaf(machine.clone());
        if let Some(jwt) = self.identity.users.get(&leaf).and_then(|user| user.jwt.as_ref()) {
            let creds: Secret = self.keys.creds(&leaf, jwt).unwrap();
            put_secret(&home.join("leaf.creds"), &creds, 0o400).unwrap();
        }
    }

    pub fn config(&self, machine: &MachineName) -> PathBuf {
        self.home(machine).join("nats-server.json")
    }

    fn config_bytes(&self, machine: &MachineName) -> &[u8] {
        let artefacts = &self.compiled.machines[machine].artefacts;
        &artefacts.iter().find(|artefact| artefact.kind == ArtefactKind::NatsServerConfig).unwrap().bytes
    }

    fn spawn(&self, machine: &MachineName) -> Child {
        let log = std::fs::File::create(self.home(machine).join("log")).unwrap();
        nats_server()
            .arg("-c")
            .arg(self.config(machine))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nats-server is needed for this test: see README")
    }

    pub fn log(&self, machine: &MachineName) -> String {
        std::fs::read_to_string(self.home(machine).join("log")).unwrap_or_default()
    }

    /// Puts another configuration in the place of what compiled, asks for a reload, and says what the server made of it.
    pub fn reload(&self, machine: &MachineName, config: &Value) -> Verdict {
        let before = verdicts(&self.log(machine)).len();
        std::fs::write(self.config(machine), config.to_string()).unwrap();
        let pid = rustix::process::Pid::from_child(&self.servers[machine]);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        self.until(&format!("{machine} reloads"), || verdicts(&self.log(machine)).len() > before);
        verdicts(&self.log(machine))[before]
    }

    /// All logs, for messages of failed tests.
    fn logs(&self) -> String {
        let tail = |machine: &MachineName| {
            let log = self.log(machine);
            let lines: Vec<&str> = log.lines().rev().take(8).collect();
            format!("--- {machine}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        self.servers.keys().map(tail).collect()
    }

    pub fn members(&self) -> Vec<MachineName> {
        self.of(&Part::Member)
    }

    pub fn leaves(&self) -> Vec<MachineName> {
        self.of(&Part::Leaf)
    }

    fn of(&self, part: &Part) -> Vec<MachineName> {
        self.domain
            .machines
            .iter()
            .filter(|machine| machine.part == *part)
            .map(|machine| machine.name.clone())
            .collect()
    }

    /// What the monitoring port says; `Null` while it says nothing.
    pub fn monitor(&self, machine: &MachineName, page: &str) -> Value {
        let address = self.compiled.desired.servers[machine].monitor;
        let body = ureq::get(format!("http://{address}/{page}"))
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string());
        body.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null)
    }

    /// Polls until it holds.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everybody is linked, and the cluster has a leader.
    pub fn linked(&self) {
        let (members, leaves) = (self.members(), self.leaves());
        for member in &members {
            let others = members.iter().filter(|other| *other != member).map(|other| json!(other.as_str()));
            let others: Vec<Value> = others.collect();
            self.until(&format!("{member} has routes to the others"), || {
                let page = self.monitor(member, "routez");
                let found: Vec<&Value> =
                    page["routes"].as_array().into_iter().flatten().map(|route| &route["remote_name"]).collect();
                others.iter().all(|other| found.contains(&other))
            });
            // A member alone leads without an election.
            self.until("the cluster has a leader", || {
                members.len() == 1 || self.monitor(member, "jsz")["meta_cluster"]["leader"].is_string()
            });
        }
        for leaf in leaves {
            self.until(&format!("{leaf} is linked"), || {
                self.monitor(&leaf, "leafz")["leafnodes"] == json!(1) || members.is_empty()
            });
        }
    }

    /// Leafwright itself on the cluster.
    pub async fn provisioner(&self) -> async_nats::Client {
        let jwt = self.identity.users[&UserId::Provisioner].jwt.clone().unwrap();
        let creds = self.keys.creds(&UserId::Provisioner, &jwt).unwrap();
        let options = async_nats::ConnectOptions::with_credentials(creds.reveal()).unwrap();
        self.connect(options.custom_inbox_prefix("_INBOX.hub.provisioner"), &name!("oak")).await
    }

    /// An NKey user of a leaf.
    pub async fn user(&self, user: &UserId, machine: &str, inbox: &str) -> async_nats::Client {
        let seed = self.keys.nkey(&KeyId::User(user.clone())).unwrap().unwrap().seed().unwrap();
        let options = async_nats::ConnectOptions::with_nkey(seed.reveal().to_owned());
        self.connect(options.custom_inbox_prefix(format!("_INBOX.{machine}.{inbox}")), &name!(machine)).await
    }

    async fn connect(&self, options: async_nats::ConnectOptions, machine: &MachineName) -> async_nats::Client {
        let address = self.compiled.desired.servers[machine].listen;
        let options =
            options.connection_timeout(Duration::from_secs(10)).request_timeout(Some(Duration::from_secs(10)));
        options.connect(address.to_string()).await.unwrap()
    }
}

/// What a server says to a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Reloaded,
    Refused,
}

fn verdicts(log: &str) -> Vec<Verdict> {
    let verdict = |line: &str| match line {
        line if line.contains("Reloaded server configuration") => Some(Verdict::Reloaded),
        line if line.contains("Failed to reload server configuration") => Some(Verdict::Refused),
        _ => None,
    };
    log.lines().filter_map(verdict).collect()
}

pub fn nats_server() -> Command {
    Command::new(std::env::var_os("LEAFWRIGHT_NATS_SERVER").unwrap_or_else(|| "nats-server".into()))
}
