//! A small domain as it would be compiled: a cluster of three, one leaf, two services; accounts by NKeys, for brevity.

use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::{ConsumerConfig, StreamConfig};
use leafwright::compile::{Desired, DesiredServer, Seed};
use leafwright::host::endpoint::Endpoint;
use leafwright::host::jetstream::JetStream;
use leafwright::host::keys::Secret;
use leafwright::identity::UserId;
use leafwright::identity::sets::{self, ServiceTalk};
use leafwright::name::{EventSetName, MachineName, ServiceName, StreamName, Subject, SubjectPattern};
use leafwright::plan::Scope;
use leafwright::resolve::Spaces;
use leafwright::seed::{self, Depth, synthetic};
use leafwright::verify::access::connect;
use leafwright::verify::{Access, Login, Query, Target, Voice};
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MEMBERS: [&str; 3] = ["oak", "ash", "elm"];

struct Keys(BTreeMap<UserId, KeyPair>);

impl Access for Keys {
    fn login(&self, user: &UserId) -> Option<Login> {
        self.0.get(user).map(|pair| Login::NKey(Secret::new(pair.seed().expect("it has one"))))
    }
}

struct Server(Option<Child>);

impl Server {
    fn start(config: &Path) -> Self {
        let mut command = Command::new("nats-server");
        Self(Some(
            command
                .arg("-c")
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("nats-server is on PATH"),
        ))
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
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

pub struct Domain {
    directory: tempfile::TempDir,
    servers: BTreeMap<String, Server>,
    desired: Desired,
    keys: Keys,
    spaces: Spaces,
    voices: Vec<Voice>,
    pub patience: Duration,
}

pub fn machine(name: &str) -> MachineName {
    MachineName::parse(name).expect("a name")
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).expect("a name")
}

fn subjects(list: &[&str]) -> BTreeSet<Subject> {
    list.iter().map(|text| Subject::parse(text).expect("a subject")).collect()
}

fn stream(config: Value) -> StreamConfig {
    let mut whole = json!({ "retention": "limits", "discard": "new", "storage": "file", "num_replicas": 1, "max_bytes": 50_000_000 });
    whole.as_object_mut().expect("an object").extend(config.as_object().expect("an object").clone());
    serde_json::from_value(whole).expect("a stream")
}

fn immutable(mut config: Value) -> StreamConfig {
    config["deny_delete"] = true.into();
    config["deny_purge"] = true.into();
    stream(config)
}

fn event_set() -> Seed {
    let mut seed = synthetic::seed("SEED-office-s", synthetic::events(1_500));
    seed.set = EventSetName::parse("s").expect("a name");
    seed.target.prefix = "seed.office.s".into();
    seed
}

fn office() -> Objects {
    let source =
        json!([{ "name": "SEED-office-s", "subject_transforms": [{ "src": "seed.office.s.>", "dest": ">" }] }]);
    let mirror = json!({ "name": "EVT", "external": { "api": "$JS.hub.API", "deliver": "" } });
    Objects {
        streams: vec![
            immutable(json!({ "name": "SEED-office-s", "subjects": ["seed.office.s.>"], "allow_atomic": true })),
            immutable(json!({ "name": "EVT-office", "subjects": ["evt.meadow.>"], "sources": source })),
            stream(json!({ "name": "CMD-office", "subjects": ["cmd.meadow.>"], "max_age": 3_600_000_000_000_u64 })),
            immutable(json!({ "name": "KEEP-EVT", "mirror": mirror })),
        ],
        seeds: vec![event_set()],
        ..Objects::default()
    }
}

fn hub() -> Objects {
    let from = |name: &str| json!([{ "name": name, "external": { "api": "$JS.office.API", "deliver": "" } }]);
    let consumer: ConsumerConfig = serde_json::from_value(json!({
        "durable_name": "todos", "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64,
        "max_deliver": 5, "replay_policy": "instant", "filter_subjects": ["cmd.meadow.todos.add"],
    }))
    .expect("a consumer");
    Objects {
        streams: vec![
            // With the window: a link that comes just after an election makes some events come twice (`docs/seeding.md`).
            immutable(json!({
                "name": "EVT", "num_replicas": 3, "sources": from("EVT-office"), "duplicate_window": 120_000_000_000_u64,
            })),
            stream(json!({ "name": "CMD", "num_replicas": 3, "sources": from("CMD-office") })),
        ],
        consumers: vec![(StreamName::parse("CMD").expect("a name"), consumer)],
        ..Objects::default()
    }
}

fn voices() -> Vec<Voice> {
    let voice = |name: &str, stored: &[&str], asked: &[&str], answered: &[&str]| Voice {
        machine: machine("office"),
        service: service(name),
        stored: subjects(stored),
        asked: subjects(asked),
        answered: subjects(answered),
    };
    vec![
        voice("web", &["cmd.meadow.todos.add"], &["qry.meadow.todos.list", "qry.meadow.todos.unanswered"], &[]),
        voice("todos", &["evt.meadow.todos.added"], &[], &["qry.meadow.todos.list", "qry.meadow.todos.unanswered"]),
    ]
}

fn talk(voice: &Voice) -> ServiceTalk {
    ServiceTalk {
        machine: voice.machine.clone(),
        service: voice.service.to_string(),
        sends: voice.stored.union(&voice.asked).cloned().collect(),
        answers: voice.answered.clone(),
        pulls: BTreeSet::new(),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn write(path: PathBuf, config: &Value) -> PathBuf {
    std::fs::write(&path, config.to_string()).expect("written");
    path
}

impl Domain {
    /// Starts the servers, makes what is declared, loads the events.
    pub async fn up() -> Self {
        let ports = crate::ports::free_ports(14);
        let office = UserId::LocalProvisioner(machine("office"));
        let voices = voices();
        let users = [UserId::Provisioner, office].into_iter().chain(voices.iter().map(Voice::user));
        let keys = Keys(users.map(|user| (user, KeyPair::new_user())).collect());
        let server = |(name, index): (&str, usize)| DesiredServer {
            machine: machine(name),
            closure_digest: String::new(),
            closure_files: Default::default(),
            listen: loopback(ports[index]),
            monitor: loopback(ports[4 + index]),
            domain: if index == 3 { "office" } else { "hub" }.into(),
            member: index < 3,
            objects: if index == 3 { self::office() } else { Objects::default() },
            processes: vec![],
        };
        let names = MEMBERS.into_iter().chain(["office"]).zip(0..);
        let desired = Desired {
            servers: names.map(|named| (machine(named.0), server(named))).collect(),
            cluster: Some(hub()),
            cluster_members: MEMBERS.map(machine).into(),
        };
        let pattern = |text: &str| SubjectPattern::parse(text).expect("a pattern");
        let spaces = Spaces {
            commands: pattern("cmd.meadow.>"),
            queries: pattern("qry.meadow.>"),
            events: pattern("evt.meadow.>"),
        };
        let directory = tempfile::tempdir().expect("a directory");
        let mut domain = Self {
            directory,
            servers: BTreeMap::new(),
            desired,
            keys,
            spaces,
            voices,
            patience: Duration::from_secs(60),
        };
        domain.start(&ports);
        domain.make().await;
        domain
    }

    fn start(&mut self, ports: &[u16]) {
        let (routes, leafs) = (&ports[8..11], &ports[11..14]);
        for (index, name) in MEMBERS.iter().enumerate() {
            let everything = json!([{ "nkey": self.keys.0[&UserId::Provisioner].public_key() }, { "user": "leaf", "password": "leaf" }]);
            let mut config = self.common(name, &everything);
            config["cluster"] = json!({
                "name": "hub", "listen": loopback(routes[index]).to_string(),
                "routes": routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>(),
            });
            config["leafnodes"] = json!({ "listen": loopback(leafs[index]).to_string() });
            let path = write(self.directory.path().join(format!("{name}.json")), &config);
            self.servers.insert((*name).into(), Server::start(&path));
        }
        let path = self.configure_office(leafs);
        self.servers.insert("office".into(), Server::start(&path));
    }

    fn common(&self, name: &str, users: &Value) -> Value {
        let server = &self.desired.servers[name];
        json!({
            "server_name": name, "listen": server.listen.to_string(), "http": server.monitor.to_string(),
            "jetstream": { "store_dir": self.directory.path().join(name), "domain": server.domain },
            "accounts": { "MEADOW": { "jetstream": "enabled", "users": users }, "SYS": {} }, "system_account": "SYS",
        })
    }

    fn configure_office(&self, leafs: &[u16]) -> PathBuf {
        let mut users = vec![json!({ "nkey": self.keys.0[&UserId::LocalProvisioner(machine("office"))].public_key() })];
        for voice in &self.voices {
            let allowed = sets::service(&talk(voice));
            users.push(json!({ "nkey": self.keys.0[&voice.user()].public_key(), "permissions": {
                "publish": { "allow": allowed.publish.allow }, "subscribe": { "allow": allowed.subscribe.allow }, "allow_responses": { "max": 1 },
            }}));
        }
        let mut config = self.common("office", &users.into());
        let denied = json!(["evt.meadow.>", "cmd.meadow.>", "seed.>"]);
        let urls: Vec<_> = leafs.iter().map(|port| format!("nats://leaf:leaf@127.0.0.1:{port}")).collect();
        config["leafnodes"] = json!({ "remotes": [{ "urls": urls, "account": "MEADOW", "deny_exports": denied, "deny_imports": denied }] });
        write(self.directory.path().join("office.json"), &config)
    }

    async fn make(&self) {
        for (scope, objects) in leafwright::plan::scopes(&self.desired) {
            let jetstream = self.jetstream(&scope).await;
            let client = jetstream.client();
            for config in &objects.streams {
                call(client, &format!("STREAM.CREATE.{}", config.name), &serde_json::to_value(config).expect("JSON"))
                    .await;
            }
            for (stream, config) in &objects.consumers {
                let body = json!({ "stream_name": stream, "config": config });
                call(client, &format!("CONSUMER.CREATE.{stream}.{}", config.durable_name), &body).await;
            }
            for set in &objects.seeds {
                seed::load(&jetstream, set, |_| ()).await.expect("loaded");
            }
        }
    }

    async fn jetstream(&self, scope: &Scope) -> JetStream {
        let (name, user) = match scope {
            Scope::Machine(machine) => (machine.as_str(), UserId::LocalProvisioner(machine.clone())),
            Scope::Cluster => ("oak", UserId::Provisioner),
        };
        let login = self.keys.login(&user).expect("it has a key");
        let endpoint = Arc::new(Endpoint::at([self.desired.servers[name].listen]).login(login));
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match JetStream::open(endpoint.clone(), None, Duration::from_secs(5)).await {
                Ok(jetstream) => return jetstream,
                Err(error) => assert!(Instant::now() < end, "{error:#}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn target(&self) -> Target<'_> {
        let query = |message: &str| Query {
            message: message.into(),
            subject: Subject::parse(&format!("qry.meadow.{message}")).expect("a subject"),
            example: (message != "todos.silent").then(|| json!({})),
        };
        // `todos.unanswered` is asked only once the time for it is short.
        let broken = self.patience < Duration::from_secs(10);
        let queries = if broken { vec!["todos.list", "todos.unanswered", "todos.silent"] } else { vec!["todos.list"] };
        Target {
            desired: &self.desired,
            access: &self.keys,
            spaces: &self.spaces,
            voices: self.voices.clone(),
            queries: queries.into_iter().map(query).collect(),
            running: [(machine("office"), service("todos"))].into(),
            depth: Depth::Full,
            patience: self.patience,
            links: self.patience,
            hub: None,
            watch: &leafwright::verify::Unwatched,
        }
    }

    /// Answers a query as the service that does.
    pub async fn answer(&self, subject: &str) {
        let voice = &self.voices[1];
        let client = connect(&self.keys, &voice.user(), self.desired.servers["office"].listen, Some(voice.inbox()))
            .await
            .expect("connected");
        let mut questions = client.subscribe(subject.to_owned()).await.expect("subscribed");
        client.flush().await.expect("flushed");
        tokio::spawn(async move {
            while let Some(question) = futures_util::StreamExt::next(&mut questions).await {
                if let Some(reply) = question.reply {
                    let _ = client.publish(reply, "[]".into()).await;
                }
            }
        });
    }

    pub async fn messages(&self, stream: &str) -> u64 {
        let jetstream = self.jetstream(&Scope::Machine(machine("office"))).await;
        let client = jetstream.client();
        let info = call(client, &format!("STREAM.INFO.{stream}"), &Value::Null).await;
        info["state"]["messages"].as_u64().expect("a number")
    }

    /// A service may do everything: the server's rights are wider than the contract.
    pub async fn rights_that_are_too_wide(&mut self) {
        let path = self.directory.path().join("office.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        let users = config["accounts"]["MEADOW"]["users"].as_array_mut().expect("users");
        users[2].as_object_mut().expect("a user").remove("permissions");
        write(path.clone(), &config);
        self.servers.get_mut("office").expect("it is there").kill();
        self.servers.insert("office".into(), Server::start(&path));
        self.jetstream(&Scope::Machine(machine("office"))).await;
    }

    /// A stream that was changed by hand, one that is missing, and an event store without its events.
    pub async fn streams_that_drift(&mut self) {
        let jetstream = self.jetstream(&Scope::Machine(machine("office"))).await;
        let client = jetstream.client();
        let office = self.desired.servers.get_mut("office").expect("it is there");
        let mut commands = office.objects.streams[2].clone();
        commands.max_age /= 2;
        call(client, "STREAM.UPDATE.CMD-office", &serde_json::to_value(&commands).expect("JSON")).await;
        office.objects.streams.push(stream(json!({ "name": "EXTRA", "subjects": ["extra"] })));
        call(client, "STREAM.DELETE.EVT-office", &Value::Null).await;
        let mut empty = serde_json::to_value(&office.objects.streams[1]).expect("JSON");
        empty["sources"][0]["opt_start_seq"] = 1_001.into();
        call(client, "STREAM.CREATE.EVT-office", &empty).await;
    }

    pub fn a_member_that_is_gone(&mut self) {
        self.servers.get_mut("elm").expect("it is there").kill();
    }
}

/// Asks the JetStream API until the answer is no refusal: clusters need a moment for a leader.
async fn call(client: &async_nats::Client, call: &str, body: &Value) -> Value {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let reply = client.request(format!("$JS.API.{call}"), payload.into()).await;
        let reply = reply.map(|message| serde_json::from_slice::<Value>(&message.payload).expect("JSON"));
        match reply {
            Ok(reply) if reply.get("error").is_none() => return reply,
            Ok(reply) => assert!(Instant::now() < end, "{call}: {reply}"),
            Err(error) => assert!(Instant::now() < end, "{call}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
