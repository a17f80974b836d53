//! Every compiled configuration is booted by the real nats-server; then everything that compiled is created, and used once.
#![cfg(feature = "world")]

#[path = "compile/fixture.rs"]
#[expect(dead_code, reason = "the other half is for `tests/compile.rs`")]
mod fixture;
#[path = "boot/lab.rs"]
mod lab;
#[path = "common/ports.rs"]
mod ports;

use fixture::name;
use futures_util::StreamExt;
use lab::{DEADLINE, Lab, Verdict, nats_server};
use leafwright::compile::Effect;
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::{ConsumerConfig, StreamConfig};
use leafwright::identity::UserId;
use leafwright::name::MachineName;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn machine(text: &str) -> MachineName {
    name!(text)
}

#[test]
fn a_cluster_and_its_leaves_boot_and_link() {
    let lab = Lab::start(fixture::meadow());
    lab.linked();
    for (name, desired) in &lab.compiled.desired.servers {
        let varz = lab.monitor(name, "varz");
        assert_eq!(varz["server_name"], json!(name.as_str()));
        assert_eq!(varz["jetstream"]["config"]["domain"], json!(desired.domain));
        assert_eq!(varz["jetstream"]["config"]["max_storage"], json!(1u64 << 30));
        assert_eq!(varz["jetstream"]["config"]["sync_always"], json!(true));
        // Later lines tell of others that were not there yet; so does a first attempt at a route or link, now and then before.
        let log = lab.log(name);
        let (starting, _) = log.split_once("Server is ready").unwrap();
        let complaints: Vec<&str> = starting
            .lines()
            .filter(|line| line.contains("[WRN]") || line.contains("[ERR]"))
            .filter(|line| !(line.contains("[ERR] Error trying to connect ") && line.contains("(attempt 1)")))
            .collect();
        assert!(complaints.is_empty(), "{name} complains: {complaints:#?}\n{starting}");
        let checked = nats_server().arg("-t").arg("-c").arg(lab.config(name)).output().unwrap();
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    let leafz = lab.monitor(&machine("thermo"), "leafz?subs=0");
    assert_eq!(leafz["leafs"][0]["account"], json!("MEADOW"));
    for member in lab.members() {
        let routes = lab.monitor(&member, "routez");
        assert!(
            routes["routes"]
                .as_array()
                .unwrap()
                .iter()
                .all(|route| route["tls"].is_null() || route["tls"] == json!(true))
        );
    }
}

#[test]
fn a_machine_that_stands_alone_boots() {
    let lab = Lab::start(fixture::alone());
    let office = machine("office");
    lab.until("office answers", || lab.monitor(&office, "healthz")["status"] == json!("ok"));
    assert_eq!(lab.monitor(&office, "leafz")["leafnodes"], json!(0));
    run(async {
        let local = lab.user(&UserId::LocalProvisioner(office.clone()), "office", "provisioner").await;
        create(&local, "$JS.API", &lab.compiled.desired.servers[&office].objects).await;
    });
}

#[test]
fn a_cluster_of_one_member_boots_and_its_leaves_link() {
    let lab = Lab::start(fixture::one_member());
    lab.linked();
    let (oak, office) = (machine("oak"), machine("office"));
    assert_eq!(lab.monitor(&oak, "varz")["jetstream"]["config"]["domain"], json!("hub"));
    assert_eq!(lab.monitor(&oak, "leafz")["leafnodes"], json!(2));
    run(async {
        everything(&lab).await;
        let todos = lab.user(&UserId::Service(office, name!("todos")), "office", "todos").await;
        let answer = ask(&todos, "evt.meadow.todos.added", &json!({ "title": "milk" })).await;
        assert_eq!(answer["stream"], json!("EVT-office"), "{answer}");
        reaches(&lab.provisioner().await, "EVT", 1).await;
        commands_reach_their_service(&lab).await;
        let web = lab.user(&UserId::Service(machine("web"), name!("web")), "web", "web").await;
        queries_are_answered(&lab, &[web, lab.provisioner().await]).await.abort();
    });
}

#[test]
fn what_compiled_is_what_the_servers_have() {
    let lab = Lab::start(fixture::meadow());
    lab.linked();
    run(async {
        everything(&lab).await;
        events_reach_the_aggregate_and_its_keeper(&lab).await;
        letters_are_kept_on_another_leaf(&lab).await;
        commands_reach_their_service(&lab).await;
        queries_are_answered_across_the_link(&lab).await;
    });
}

/// Reloads that nats-server accepts and that are restarts to us: the name of a cluster with JetStream, and where accounts come from.
const STRICTER: [&str; 2] = ["/cluster/name", "/resolver"];

/// One change of each key that is emitted: what the table calls a reload is reloaded, what it calls a restart is refused.
#[test]
fn the_table_of_effects_is_what_the_server_does() {
    let lab = Lab::start(fixture::meadow());
    lab.linked();
    let thermo: &[(&str, Value)] = &[
        ("/max_connections", json!(999)),
        ("/max_payload", json!(2 << 20)),
        ("/max_pending", json!(65 << 20)),
        ("/lame_duck_duration", json!("40s")),
        ("/server_tags", json!(["zone:attic"])),
        ("/accounts/MEADOW/users", json!([])),
        ("/jetstream/max_file_store", json!(2u64 << 30)),
        ("/jetstream/max_file_store", json!(1 << 20)),
        ("/jetstream/max_memory_store", json!(65 << 20)),
        ("/jetstream/domain", json!("attic")),
        ("/jetstream/store_dir", json!("/tmp/nowhere")),
        ("/jetstream/sync_interval", json!("1m")),
        ("/server_name", json!("attic")),
        ("/listen", json!("127.0.0.1:1")),
        ("/http", json!("127.0.0.1:1")),
        ("/leafnodes/remotes/0/urls", json!(["tls://127.0.0.1:1"])),
        ("/leafnodes/remotes/0/credentials", json!("/tmp/nowhere.creds")),
        ("/leafnodes/remotes/0/deny_exports", json!([])),
        ("/leafnodes/remotes/0/deny_imports", json!([])),
    ];
    let oak: &[(&str, Value)] = &[
        ("/cluster/routes", json!([])),
        ("/cluster/no_advertise", json!(false)),
        ("/cluster/listen", json!("127.0.0.1:1")),
        ("/cluster/name", json!("other")),
        ("/leafnodes/listen", json!("127.0.0.1:1")),
        ("/leafnodes/no_advertise", json!(false)),
        ("/cluster/tls/verify", json!(false)),
        ("/resolver", json!("URL(http://127.0.0.1:1)")),
    ];
    let mut wrong = vec![];
    for (name, changes) in [("thermo", thermo), ("oak", oak)] {
        let machine = machine(name);
        // What the server runs: an accepted change stays, because the way back may be another class.
        let mut runs: Value = serde_json::from_slice(&std::fs::read(lab.config(&machine)).unwrap()).unwrap();
        for (pointer, value) in changes {
            let mut changed = runs.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let effect = leafwright::compile::effect_between(&runs, &changed);
            let verdict = lab.reload(&machine, &changed);
            let stricter = STRICTER.contains(pointer) && effect == Effect::Restart;
            if !stricter && (effect == Effect::Reload) != (verdict == Verdict::Reloaded) {
                wrong.push(format!("{pointer} to {value}: the table says {effect:?}, the server {verdict:?}"));
            }
            if verdict == Verdict::Reloaded {
                runs = changed;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// Creates all objects, leaves first (what is sourced before what sources it), then the keepers.
async fn everything(lab: &Lab) {
    let desired = &lab.compiled.desired;
    let keeper = |stream: &&StreamConfig| stream.mirror.is_some();
    for pass in [false, true] {
        for leaf in lab.leaves() {
            let local = lab.user(&UserId::LocalProvisioner(leaf.clone()), leaf.as_str(), "provisioner").await;
            let objects = &desired.servers[&leaf].objects;
            let streams = objects.streams.iter().filter(|stream| keeper(stream) == pass).cloned().collect();
            create(&local, "$JS.API", &Objects { streams, ..Objects::default() }).await;
        }
        if !pass {
            create(&lab.provisioner().await, "$JS.API", desired.cluster.as_ref().unwrap()).await;
        }
    }
}

/// Creates, and compares what the server says it has with what was compiled, field by field.
async fn create(client: &async_nats::Client, api: &str, objects: &Objects) {
    for config in &objects.streams {
        let answer = ask(client, &format!("{api}.STREAM.CREATE.{}", config.name), &json!(config)).await;
        let mut found: StreamConfig =
            serde_json::from_value(answer["config"].clone()).unwrap_or_else(|_| panic!("{}: {answer}", config.name));
        found.metadata.retain(|key, _| !key.starts_with("_nats."));
        assert_eq!(found, *config, "{}", config.name);
    }
    for (stream, config) in &objects.consumers {
        let subject = format!("{api}.CONSUMER.CREATE.{stream}.{}", config.durable_name);
        let answer =
            ask(client, &subject, &json!({ "stream_name": stream, "config": config, "action": "create" })).await;
        let mut found: ConsumerConfig =
            serde_json::from_value(answer["config"].clone()).unwrap_or_else(|_| panic!("{stream}: {answer}"));
        found.metadata.retain(|key, _| !key.starts_with("_nats."));
        assert_eq!(found, *config, "{stream}/{}", config.durable_name);
    }
}

async fn ask(client: &async_nats::Client, subject: &str, body: &Value) -> Value {
    let answer = client.request(subject.to_owned(), body.to_string().into()).await;
    let answer = answer.unwrap_or_else(|fault| panic!("{subject}: {fault}"));
    serde_json::from_slice(&answer.payload).unwrap()
}

async fn count(client: &async_nats::Client, stream: &str) -> u64 {
    ask(client, &format!("$JS.API.STREAM.INFO.{stream}"), &json!({})).await["state"]["messages"].as_u64().unwrap_or(0)
}

async fn reaches(client: &async_nats::Client, stream: &str, wanted: u64) {
    let started = Instant::now();
    loop {
        let found = count(client, stream).await;
        if found == wanted {
            return;
        }
        assert!(found < wanted && started.elapsed() < DEADLINE, "{stream} has {found} of {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A thermometer publishes, the seeder seeds: the aggregate has each once, under the subject of the event, and so has the keeper.
async fn events_reach_the_aggregate_and_its_keeper(lab: &Lab) {
    let thermometer = UserId::Service(machine("thermo"), name!("thermometer"));
    let service = lab.user(&thermometer, "thermo", "thermometer").await;
    for reading in 0..10 {
        let answer = ask(&service, "evt.meadow.thermometer.measured", &json!({ "celsius": reading })).await;
        assert_eq!(answer["stream"], json!("EVT-thermo"), "{answer}");
    }
    let office = lab.user(&UserId::LocalProvisioner(machine("office")), "office", "provisioner").await;
    let seeds = &lab.compiled.desired.servers["office"].objects.seeds;
    for seed in seeds {
        for event in &seed.events.events {
            let subject = format!("{}.{}", seed.target.prefix, event.subject);
            let answer = ask(&office, &subject, &serde_json::from_slice(&event.payload).unwrap()).await;
            assert_eq!(answer["stream"], json!(seed.target.stream.as_str()), "{answer}");
        }
    }
    let hub = lab.provisioner().await;
    reaches(&office, "EVT-office", 12).await;
    reaches(&hub, "EVT", 22).await;
    reaches(&office, "KEEP-EVT", 22).await;
    let last = ask(&hub, "$JS.API.STREAM.MSG.GET.EVT", &json!({ "last_by_subj": "evt.meadow.todos.added" })).await;
    assert_eq!(last["message"]["subject"], json!("evt.meadow.todos.added"), "{last}");
}

/// A stream of one leaf has its keeper on another: the cluster only passes on.
async fn letters_are_kept_on_another_leaf(lab: &Lab) {
    let office = lab.user(&UserId::LocalProvisioner(machine("office")), "office", "provisioner").await;
    let web = lab.user(&UserId::LocalProvisioner(machine("web")), "web", "provisioner").await;
    for letter in 0..10 {
        ask(&office, "letters.ada", &json!(letter)).await;
    }
    reaches(&web, "KEEP-LETTERS", 10).await;
}

/// The page sends a command on its own leaf; the to-do service pulls it on another and acknowledges it.
async fn commands_reach_their_service(lab: &Lab) {
    let web = lab.user(&UserId::Service(machine("web"), name!("web")), "web", "web").await;
    let answer = ask(&web, "cmd.meadow.todos.add", &json!({ "title": "milk" })).await;
    assert_eq!(answer["stream"], json!("CMD-web"), "{answer}");
    reaches(&lab.provisioner().await, "CMD", 1).await;
    let todos = lab.user(&UserId::Service(machine("office"), name!("todos")), "office", "todos").await;
    let pull = json!({ "batch": 1, "expires": 8_000_000_000u64 });
    // A delivery has the subject of the message, so the client's own request would not know it for an answer.
    let inbox = todos.new_inbox();
    let mut deliveries = todos.subscribe(inbox.clone()).await.unwrap();
    todos.publish_with_reply("$JS.hub.API.CONSUMER.MSG.NEXT.CMD.todos", inbox, pull.to_string().into()).await.unwrap();
    let work = tokio::time::timeout(DEADLINE, deliveries.next()).await.unwrap().unwrap();
    assert_eq!(work.subject.as_str(), "cmd.meadow.todos.add", "{work:?}");
    todos.request(work.reply.clone().unwrap(), "+ACK".into()).await.unwrap();
    let info = ask(&todos, "$JS.hub.API.CONSUMER.INFO.CMD.todos", &json!({})).await;
    assert_eq!((&info["num_ack_pending"], &info["num_pending"]), (&json!(0), &json!(0)), "{info}");
}

async fn queries_are_answered_across_the_link(lab: &Lab) {
    let askers = [
        lab.user(&UserId::Service(machine("web"), name!("web")), "web", "web").await,
        lab.user(&UserId::Person(machine("desk"), name!("ada")), "desk", "ada").await,
        lab.provisioner().await,
    ];
    let answers = queries_are_answered(lab, &askers).await;
    // Nobody on this machine asks, so its link carries no question, not even of its own provisioner.
    let thermo = lab.user(&UserId::LocalProvisioner(machine("thermo")), "thermo", "provisioner").await;
    assert!(thermo.request("qry.meadow.todos.list", "".into()).await.is_err());
    answers.abort();
}

/// Goes on answering until it is aborted.
async fn queries_are_answered(lab: &Lab, askers: &[async_nats::Client]) -> tokio::task::JoinHandle<()> {
    let todos = lab.user(&UserId::Service(machine("office"), name!("todos")), "office", "todos").await;
    let mut questions = todos.queue_subscribe("qry.meadow.todos.list", "todos".to_owned()).await.unwrap();
    todos.flush().await.unwrap();
    let answering = todos.clone();
    let answers = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            answering.publish(question.reply.unwrap(), "[\"milk\"]".into()).await.unwrap();
        }
    });
    for (place, asker) in askers.iter().enumerate() {
        let started = Instant::now();
        // Interest crosses the link a moment after the subscription.
        let answer = loop {
            match asker.request("qry.meadow.todos.list", "".into()).await {
                Ok(answer) => break answer,
                Err(fault) => assert!(started.elapsed() < DEADLINE, "asker {place}: {fault}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(answer.payload.as_ref(), b"[\"milk\"]", "asker {place}");
    }
    answers
}
