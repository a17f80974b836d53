//! One hub, two leaves: `office` answers queries, does commands and keeps a mirror; `thermo` asks and sends.

use super::raw::RawLeaf;
use crate::ports::free_port;
use crate::servers::{DEADLINE, Server, connect_as, connect_nkey, operator_config, start};
use async_nats::Client;
use futures_util::StreamExt;
use leafwright::host::keys::{KeyId, KeyStore, put_secret};
use leafwright::host::provision;
use leafwright::identity::sets::{self, HubLink, ServiceTalk};
use leafwright::identity::{ConnectionType, Permissions, PublicIdentity, UserId, Wanted};
use leafwright::name::{AccountName, ConsumerName, DomainName, MachineName, ServiceName, StreamName, Subject};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Large enough in sum for flow control to be needed: nats-server begins with a window of 2 MiB.
const MESSAGES: u64 = 160;
const SIZE: usize = 50_000;

/// What the link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// The cluster sources the office's events.
    Source,
    /// The office mirrors the cluster's events, all of them and some of them.
    Mirror,
    /// A service of the office pulls a command and acknowledges it.
    Pull,
    /// A service of the office asks another machine.
    Ask,
    /// A service of the office answers another machine.
    Answer,
    /// The office sees that its link carries.
    Check,
    /// The office reads what became of the machines of the domain.
    Read,
}

pub fn machine(name: &str) -> MachineName {
    MachineName::parse(name).unwrap()
}

fn stream(name: &str) -> StreamName {
    StreamName::parse(name).unwrap()
}

fn subjects(list: &[&str]) -> BTreeSet<Subject> {
    list.iter().map(|subject| Subject::parse(subject).unwrap()).collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

pub fn office() -> HubLink {
    HubLink {
        machine: machine("office"),
        hub: "hub".to_owned(),
        sourced: [stream("EVT-office")].into(),
        mirrored: [stream("EVT")].into(),
        read: [stream("PRV")].into(),
        pulls: [(stream("CMD"), ConsumerName::parse("todos").unwrap())].into(),
        queries_sent: subjects(&["qry.meadow.weather.now"]),
        queries_received: subjects(&["qry.meadow.todos.list"]),
        askers: names(&["web"]),
    }
}

pub fn thermo() -> HubLink {
    HubLink {
        machine: machine("thermo"),
        hub: "hub".to_owned(),
        sourced: [stream("EVT-thermo"), stream("CMD-thermo")].into(),
        mirrored: [].into(),
        read: [].into(),
        pulls: [].into(),
        queries_sent: subjects(&["qry.meadow.todos.list"]),
        queries_received: subjects(&["qry.meadow.weather.now"]),
        askers: names(&["todos"]),
    }
}

fn todos() -> Permissions {
    sets::service(&ServiceTalk {
        machine: machine("office"),
        service: "todos".to_owned(),
        sends: subjects(&["evt.meadow.todos.added", "qry.meadow.weather.now"]),
        answers: subjects(&["qry.meadow.todos.list"]),
        pulls: [(Some("hub".to_owned()), stream("CMD"), ConsumerName::parse("todos").unwrap())].into(),
    })
}

fn web() -> Permissions {
    sets::service(&ServiceTalk {
        machine: machine("thermo"),
        service: "web".to_owned(),
        sends: subjects(&["cmd.meadow.todos.add", "qry.meadow.todos.list"]),
        answers: subjects(&["qry.meadow.weather.now"]),
        pulls: [].into(),
    })
}

fn service_id(leaf: &str, service: &str) -> UserId {
    UserId::Service(machine(leaf), ServiceName::parse(service).unwrap())
}

fn wanted(office: &Permissions) -> Wanted {
    let leaf = |permissions: Permissions| (permissions, BTreeSet::from([ConnectionType::Leafnode]));
    let local = |permissions: Permissions| (permissions, BTreeSet::from([ConnectionType::Standard]));
    Wanted {
        domain: DomainName::parse("meadow").unwrap(),
        account: AccountName::parse("MEADOW").unwrap(),
        users: [
            (UserId::Provisioner, local(sets::provisioner())),
            (UserId::System, local(sets::system())),
            (UserId::Leaf(machine("office")), leaf(office.clone())),
            (UserId::Leaf(machine("thermo")), leaf(sets::hub_credential(&thermo()))),
            (UserId::LocalProvisioner(machine("office")), local(sets::local_provisioner())),
            (UserId::LocalProvisioner(machine("thermo")), local(sets::local_provisioner())),
            (service_id("office", "todos"), local(todos())),
            (service_id("thermo", "web"), local(web())),
        ]
        .into(),
        servers: [].into(),
    }
}

/// Everything is running; the clients that tests use are connected.
pub struct Layout {
    pub hub: Client,
    pub system: Client,
    pub office: Client,
    pub thermo: Client,
    pub todos: Client,
    pub web: Client,
    leafnodes: u16,
    office_jwt: String,
    store: KeyStore,
    _servers: Vec<Server>,
    _dir: tempfile::TempDir,
}

impl Layout {
    /// Starts all with this hub credential of the office, and makes the streams.
    pub async fn start(office: &Permissions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::create(&dir.path().join("keys")).unwrap();
        let wanted = wanted(office);
        let identity = provision(&store, &wanted, None, OffsetDateTime::now_utc()).unwrap();
        let (port, leafnodes) = (free_port(), free_port());
        let mut servers =
            vec![start(dir.path(), "hub", port, &operator_config(dir.path(), &identity, port, leafnodes))];
        let mut leaves = vec![];
        for name in ["office", "thermo"] {
            let creds = dir.path().join(format!("{name}.creds"));
            let user = UserId::Leaf(machine(name));
            let text = store.creds(&user, identity.users[&user].jwt.as_deref().unwrap()).unwrap();
            put_secret(&creds, &text, 0o400).unwrap();
            let port = free_port();
            let config = leaf_config(dir.path(), name, port, leafnodes, &wanted, &identity);
            servers.push(start(dir.path(), name, port, &config));
            leaves.push(port);
        }
        let jwt = identity.users[&UserId::Provisioner].jwt.as_deref().unwrap();
        let local = |leaf: &str| UserId::LocalProvisioner(machine(leaf));
        let system_jwt = identity.users[&UserId::System].jwt.as_deref().unwrap();
        let layout = Self {
            system: connect_as(&store, &UserId::System, system_jwt, port).await.unwrap(),
            hub: connect_as(&store, &UserId::Provisioner, jwt, port).await.unwrap(),
            office: connect_nkey(&store, &local("office"), "_INBOX.office.provisioner", leaves[0]).await,
            thermo: connect_nkey(&store, &local("thermo"), "_INBOX.thermo.provisioner", leaves[1]).await,
            todos: connect_nkey(&store, &service_id("office", "todos"), "_INBOX.office.todos", leaves[0]).await,
            web: connect_nkey(&store, &service_id("thermo", "web"), "_INBOX.thermo.web", leaves[1]).await,
            leafnodes,
            office_jwt: identity.users[&UserId::Leaf(machine("office"))].jwt.clone().unwrap(),
            store,
            _servers: servers,
            _dir: dir,
        };
        layout.streams().await;
        layout
    }

    async fn streams(&self) {
        create(&self.office, &json!({"name": "EVT-office", "subjects": ["evt.meadow.>"]})).await;
        create(&self.thermo, &json!({"name": "EVT-thermo", "subjects": ["evt.meadow.>"]})).await;
        create(&self.thermo, &json!({"name": "CMD-thermo", "subjects": ["cmd.meadow.>"]})).await;
        // A source whose leaf is not linked yet is tried again with back-off; the tests shall not wait for that.
        wait(DEADLINE, "both links", async || {
            let leafz = self.system.request("$SYS.REQ.SERVER.PING.LEAFZ", "".into()).await;
            leafz.is_ok_and(|leafz| {
                let leafz: Value = serde_json::from_slice(&leafz.payload).unwrap();
                leafz["data"]["leafnodes"] == 2
            })
        })
        .await
        .unwrap();
        let source = |leaf: &str, kind: &str| {
            let deliver = sets::source_delivery(&machine(leaf));
            json!({"name": format!("{kind}-{leaf}"), "external": {"api": format!("$JS.{leaf}.API"), "deliver": deliver}})
        };
        create(&self.hub, &json!({"name": "EVT", "sources": [source("office", "EVT"), source("thermo", "EVT")]})).await;
        create(&self.hub, &json!({"name": "CMD", "sources": [source("thermo", "CMD")]})).await;
        create(&self.hub, &json!({"name": "PRV", "subjects": ["prv.meadow.oak.>"], "allow_direct": true})).await;
        self.hub.request("prv.meadow.oak.applied", "applied".into()).await.unwrap();
        let consumer = json!({"stream_name": "CMD", "config": {
            "durable_name": "todos", "deliver_policy": "all", "ack_policy": "explicit", "replay_policy": "instant",
            "filter_subjects": ["cmd.meadow.todos.add"]}});
        api(&self.hub, "$JS.API.CONSUMER.DURABLE.CREATE.CMD.todos", &consumer).await.unwrap();
        let deliver = sets::mirror_delivery(&machine("office"));
        let mirror = json!({"name": "EVT", "external": {"api": "$JS.hub.API", "deliver": deliver}});
        create(&self.office, &json!({"name": "KEEP-EVT", "mirror": mirror})).await;
        let mut filtered = mirror;
        filtered["filter_subject"] = json!("evt.meadow.bulk.thermo");
        create(&self.office, &json!({"name": "REF", "mirror": filtered})).await;
    }

    /// The office's credential in the hands of someone who wrote a leaf node of his own.
    pub fn raw_office(&self) -> RawLeaf {
        let key = self.store.nkey(&KeyId::User(UserId::Leaf(machine("office")))).unwrap().unwrap();
        RawLeaf::connect(self.leafnodes, &key, &self.office_jwt)
    }

    /// Which functions do not work. What is expected to fail gets less time than what is expected to work.
    pub async fn failing(&self, expected: &BTreeSet<Function>) -> BTreeSet<Function> {
        let time = |function| if expected.contains(&function) { Duration::from_secs(3) } else { DEADLINE };
        let (source, mirror, pull, ask, answer, check, read) = tokio::join!(
            self.source(time(Function::Source)),
            self.mirror(time(Function::Mirror)),
            self.pull(time(Function::Pull)),
            self.ask(time(Function::Ask)),
            self.answer(time(Function::Answer)),
            self.check(time(Function::Check)),
            self.read(time(Function::Read)),
        );
        [source, mirror, pull, ask, answer, check, read].into_iter().filter_map(Result::err).collect()
    }

    async fn source(&self, time: Duration) -> Result<(), Function> {
        publish_many(&self.office, "evt.meadow.bulk.office").await;
        holds(&self.hub, "EVT", "evt.meadow.bulk.office", time).await.map_err(|()| Function::Source)
    }

    async fn mirror(&self, time: Duration) -> Result<(), Function> {
        publish_many(&self.thermo, "evt.meadow.bulk.thermo").await;
        let kept = holds(&self.office, "KEEP-EVT", "evt.meadow.bulk.thermo", time);
        let filtered = holds(&self.office, "REF", "evt.meadow.bulk.thermo", time);
        match tokio::join!(kept, filtered) {
            (Ok(()), Ok(())) => Ok(()),
            _ => Err(Function::Mirror),
        }
    }

    async fn pull(&self, time: Duration) -> Result<(), Function> {
        self.web.publish("cmd.meadow.todos.add", "milk".into()).await.unwrap();
        self.web.flush().await.unwrap();
        let inbox = "_INBOX.office.todos.pull";
        let mut work = self.todos.subscribe(inbox).await.unwrap();
        let pull = json!({"batch": 1, "expires": time.as_nanos() as u64}).to_string();
        let next = "$JS.hub.API.CONSUMER.MSG.NEXT.CMD.todos";
        self.todos.publish_with_reply(next, inbox, pull.into()).await.unwrap();
        let got = tokio::time::timeout(time, work.next()).await.map_err(|_| Function::Pull)?.unwrap();
        if got.payload != "milk" {
            return Err(Function::Pull);
        }
        self.todos.publish(got.reply.unwrap(), "".into()).await.unwrap();
        let acked = wait(time, "the ack", async || {
            // Asked through the leaf, as the service does.
            let info = api(&self.todos, "$JS.hub.API.CONSUMER.INFO.CMD.todos", &json!({})).await;
            info.is_ok_and(|info| info["ack_floor"]["stream_seq"] == 1)
        });
        acked.await.map_err(|_| Function::Pull)
    }

    async fn ask(&self, time: Duration) -> Result<(), Function> {
        question(&self.todos, &self.web, "qry.meadow.weather.now", time).await.map_err(|()| Function::Ask)
    }

    async fn check(&self, time: Duration) -> Result<(), Function> {
        let subject = sets::link_check("hub");
        let answered =
            wait(time, "the domain's answer", async || api(&self.office, &subject, &json!({})).await.is_ok());
        answered.await.map_err(|_| Function::Check)
    }

    async fn read(&self, time: Duration) -> Result<(), Function> {
        let config = json!({"stream_name": "PRV", "action": "create", "config": {
            "name": "office", "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant", "mem_storage": true,
            "filter_subjects": ["prv.meadow.oak.>"]}});
        // Twice: the second time from the beginning, too.
        for _ in 0..2 {
            let made = wait(time, "the consumer", async || {
                api(&self.office, "$JS.hub.API.CONSUMER.CREATE.PRV.office", &config).await.is_ok()
            });
            made.await.map_err(|_| Function::Read)?;
            let wanted = json!({"batch": 1, "expires": time.as_nanos() as u64}).to_string();
            // An inbox by its own name: a consumer delivers to no other.
            let inbox = self.office.new_inbox();
            let mut events = self.office.subscribe(inbox.clone()).await.unwrap();
            let next = "$JS.hub.API.CONSUMER.MSG.NEXT.PRV.office";
            self.office.publish_with_reply(next, inbox, wanted.into()).await.unwrap();
            let event = tokio::time::timeout(time, events.next()).await.ok().flatten();
            if event.is_none_or(|event| event.payload != "applied") {
                return Err(Function::Read);
            }
            let gone = api(&self.office, "$JS.hub.API.CONSUMER.DELETE.PRV.office", &json!({})).await;
            gone.map_err(|_| Function::Read)?;
        }
        Ok(())
    }

    async fn answer(&self, time: Duration) -> Result<(), Function> {
        question(&self.web, &self.todos, "qry.meadow.todos.list", time).await.map_err(|()| Function::Answer)
    }
}

fn leaf_config(
    dir: &std::path::Path,
    name: &str,
    port: u16,
    leafnodes: u16,
    wanted: &Wanted,
    identity: &PublicIdentity,
) -> Value {
    let users: Vec<Value> = wanted
        .users
        .iter()
        .filter(|(user, _)| user.issuer().is_none() && user.to_string().starts_with(&format!("machines/{name}/")))
        .map(|(user, (permissions, _))| json!({"nkey": identity.users[user].key, "permissions": written(permissions)}))
        .collect();
    let kept = ["evt.meadow.>", "cmd.meadow.>", "prv.>", "seed.>"];
    json!({
        "server_name": name,
        "listen": format!("127.0.0.1:{port}"),
        "jetstream": { "domain": name, "store_dir": dir.join(name), "max_mem": 100_000_000, "max_file": 1_000_000_000 },
        "accounts": { "MEADOW": { "jetstream": "enabled", "users": users }, "SYS": {} },
        "system_account": "SYS",
        "leafnodes": { "remotes": [{
            "urls": [format!("nats://127.0.0.1:{leafnodes}")],
            "account": "MEADOW",
            "credentials": dir.join(format!("{name}.creds")),
            "deny_exports": kept, "deny_imports": kept,
        }]},
    })
}

fn written(permissions: &Permissions) -> Value {
    let rules = |rules: &leafwright::identity::Rules| {
        let rules = rules.written();
        if rules.allow.is_empty() {
            json!({"deny": rules.deny})
        } else {
            json!({"allow": rules.allow, "deny": rules.deny})
        }
    };
    let mut value = json!({"publish": rules(&permissions.publish), "subscribe": rules(&permissions.subscribe)});
    if let Some(max) = permissions.allow_responses {
        value["allow_responses"] = json!({"max": max, "expires": "2m"});
    }
    value
}

/// A request of the JetStream API; the error is what the server says, or that nobody answers.
pub async fn api(client: &Client, subject: &str, payload: &Value) -> Result<Value, String> {
    let request = client.request(subject.to_owned(), payload.to_string().into());
    let reply = tokio::time::timeout(Duration::from_secs(2), request).await.map_err(|_| "no answer".to_owned())?;
    let reply: Value = serde_json::from_slice(&reply.map_err(|error| error.to_string())?.payload).unwrap();
    if reply["error"].is_null() { Ok(reply) } else { Err(reply["error"].to_string()) }
}

async fn create(client: &Client, config: &Value) {
    let subject = format!("$JS.API.STREAM.CREATE.{}", config["name"].as_str().unwrap());
    let mut config = config.clone();
    config["storage"] = json!("file");
    config["retention"] = json!("limits");
    api(client, &subject, &config).await.unwrap();
}

async fn publish_many(client: &Client, subject: &'static str) {
    for _ in 0..MESSAGES {
        client.publish(subject, vec![b'x'; SIZE].into()).await.unwrap();
    }
    client.flush().await.unwrap();
}

async fn holds(client: &Client, stream: &str, subject: &str, time: Duration) -> Result<(), ()> {
    let filter = json!({"subjects_filter": subject});
    let complete = wait(time, "the stream", async || {
        let info = api(client, &format!("$JS.API.STREAM.INFO.{stream}"), &filter).await;
        info.is_ok_and(|info| info["state"]["subjects"][subject] == MESSAGES)
    });
    complete.await.map_err(|_| ())
}

async fn question(asker: &Client, answerer: &Client, subject: &'static str, time: Duration) -> Result<(), ()> {
    let mut questions = answerer.queue_subscribe(subject, "service".to_owned()).await.unwrap();
    answerer.flush().await.unwrap();
    let answering = async {
        while let Some(question) = questions.next().await {
            answerer.publish(question.reply.unwrap(), "yes".into()).await.unwrap();
        }
    };
    // Interest takes a moment to cross two links.
    let asking = wait(time, "an answer", async || {
        let answer = tokio::time::timeout(Duration::from_millis(800), asker.request(subject, "?".into())).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.payload == "yes"))
    });
    tokio::select! {
        asked = asking => asked.map_err(|_| ()),
        () = answering => Err(()),
    }
}

/// Polls until it is so.
pub async fn wait(time: Duration, what: &str, so: impl AsyncFn() -> bool) -> Result<(), String> {
    let started = Instant::now();
    while !so().await {
        if started.elapsed() > time {
            return Err(format!("{what} did not come within {time:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
