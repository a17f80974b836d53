//! What a leaf that has been taken over tries on the cluster with its own credential.

use super::layout::{Layout, api, office};
use crate::servers::{said, settled};
use futures_util::StreamExt;
use leafwright::identity::sets;
use serde_json::{Value, json};
use std::time::Duration;

async fn state(layout: &Layout) -> Value {
    let mut states = vec![];
    for stream in ["EVT", "CMD"] {
        let info = api(&layout.hub, &format!("$JS.API.STREAM.INFO.{stream}"), &json!({})).await.unwrap();
        states.push(json!([info["config"], info["state"]["messages"], info["state"]["last_seq"]]));
    }
    let names = api(&layout.hub, "$JS.API.STREAM.NAMES", &json!({})).await.unwrap();
    json!([states, names["streams"]])
}

/// Calls of JetStream's API.
const CALLS: [&str; 26] = [
    "STREAM.DELETE.EVT",
    "STREAM.UPDATE.EVT",
    "STREAM.PURGE.EVT",
    "STREAM.MSG.DELETE.EVT",
    "STREAM.MSG.GET.EVT",
    "STREAM.CREATE.MINE",
    "STREAM.RESTORE.EVT",
    "STREAM.SNAPSHOT.EVT",
    "STREAM.INFO.EVT",
    "STREAM.LIST",
    "STREAM.LEADER.STEPDOWN.EVT",
    "STREAM.PEER.REMOVE.EVT",
    "DIRECT.GET.EVT",
    "DIRECT.GET.PRV",
    "STREAM.MSG.GET.PRV",
    "CONSUMER.CREATE.PRV",
    "CONSUMER.CREATE.PRV.thermo",
    "CONSUMER.DELETE.PRV.thermo",
    "CONSUMER.MSG.NEXT.PRV.thermo",
    "CONSUMER.CREATE.CMD",
    "CONSUMER.CREATE.CMD.mine",
    "CONSUMER.DURABLE.CREATE.CMD.mine",
    "CONSUMER.DURABLE.CREATE.EVT.mine",
    "CONSUMER.DELETE.CMD.todos",
    "CONSUMER.MSG.NEXT.EVT.mine",
    "CONSUMER.PAUSE.CMD.todos",
];

/// What is published by the protocol itself, and where the answer is wanted.
const FORGED: [(&str, &str); 15] = [
    ("evt.meadow.forged", ""),
    ("cmd.meadow.todos.add", ""),
    ("prv.meadow.oak.applied", ""),
    ("prv.meadow.office.applied", ""),
    ("qry.meadow.todos.list", "_INBOX.office.todos.x"),
    ("$JS.S.thermo.S.guess", ""),
    ("$JS.S.guess", ""),
    ("$JS.M.thermo.guess", ""),
    ("$JS.API.STREAM.DELETE.EVT", ""),
    ("$JS.hub.API.STREAM.DELETE.EVT", ""),
    ("$JS.thermo.API.STREAM.DELETE.EVT-thermo", ""),
    ("$JS.FC.EVT-thermo.x.y", ""),
    ("_INBOX.thermo.provisioner.x", ""),
    ("$SYS.REQ.SERVER.PING", "_INBOX.office.todos.x"),
    ("anything", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_leaf_has_not_the_hub() {
    let layout = Layout::start(&sets::hub_credential(&office())).await;
    assert_eq!(layout.failing(&[].into()).await, [].into());
    let before = state(&layout).await;
    let mut heard = layout.hub.subscribe(">").await.unwrap();
    settled(&layout.hub, "settled", &mut heard).await;

    // Through the real leaf server, as its strongest user.
    for call in CALLS {
        let asked = api(&layout.office, &format!("$JS.hub.API.{call}"), &json!({"name": "EVT", "seq": 1})).await;
        assert!(asked.is_err(), "{call} was answered: {asked:?}");
    }
    // And by the protocol itself: one connection for each, because the hub may close it.
    for (subject, reply) in FORGED {
        let mut leaf = layout.raw_office();
        leaf.heard();
        leaf.publish(subject, reply, r#"{"name":"EVT"}"#);
        let said = leaf.heard().join("\n");
        assert!(said.contains("Permissions Violation"), "{subject} passed: {said}");
    }
    what_it_may_read_goes_nowhere_else(&layout).await;
    what_is_allowed_passes(&layout).await;
    what_is_not_its_own_is_not_heard(&layout).await;

    assert_eq!(state(&layout).await, before);
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(200), heard.next()).await {
        let subject = message.subject.as_str();
        assert!(
            !subject.contains("forged") && !subject.contains("guess") && subject != "anything",
            "{subject} arrived"
        );
    }
}

/// What it may pull of the history, with the answer wanted where it would be stored or obeyed: by a consumer, this goes nowhere.
async fn what_it_may_read_goes_nowhere_else(layout: &Layout) {
    layout.office.request("$JS.hub.API.CONSUMER.DELETE.PRV.office", "".into()).await.unwrap();
    let config = json!({"stream_name": "PRV", "action": "create", "config": {
        "name": "office", "deliver_policy": "all", "ack_policy": "none", "replay_policy": "instant", "mem_storage": true}});
    for reply in ["prv.meadow.oak.mine", "$JS.API.STREAM.PURGE.EVT", "$JS.API.STREAM.DELETE.EVT"] {
        api(&layout.office, "$JS.hub.API.CONSUMER.CREATE.PRV.office", &config).await.unwrap();
        let mut leaf = layout.raw_office();
        leaf.heard();
        leaf.publish("$JS.hub.API.CONSUMER.MSG.NEXT.PRV.office", reply, r#"{"batch":1,"no_wait":true}"#);
        leaf.heard();
        api(&layout.office, "$JS.hub.API.CONSUMER.DELETE.PRV.office", &json!({})).await.unwrap();
    }
    // nats-server's own words, a status or an answer of the API, do get into a stream that has the subject, and so do copies of
    // what the stream has, as what they are; nothing of the leaf's choice does.
    let last = api(&layout.hub, "$JS.API.STREAM.INFO.PRV", &json!({})).await.unwrap()["state"]["last_seq"].as_u64();
    for seq in 2..=last.unwrap() {
        let got = api(&layout.hub, "$JS.API.STREAM.MSG.GET.PRV", &json!({"seq": seq})).await.unwrap();
        let (subject, data) = (&got["message"]["subject"], &got["message"]["data"]);
        assert!(data.is_null() || (subject == "prv.meadow.oak.applied" && data == "YXBwbGllZA=="), "{got}");
    }
}

/// So that refusals are no accident.
async fn what_is_allowed_passes(layout: &Layout) {
    let mut leaf = layout.raw_office();
    leaf.heard();
    leaf.publish("qry.meadow.weather.now", "_INBOX.office.todos.x", "allowed");
    assert!(
        !leaf.heard().join("\n").contains("Violation"),
        "what is allowed passes: the refusals above are no accident"
    );
    leaf.subscribe("_INBOX.office.>");
    leaf.heard();
    layout.hub.publish("_INBOX.office.control", "".into()).await.unwrap();
    layout.hub.flush().await.unwrap();
    assert!(leaf.heard().iter().any(|line| line.starts_with("LMSG _INBOX.office.control")), "its own inbox is heard");
}

async fn what_is_not_its_own_is_not_heard(layout: &Layout) {
    let mut leaf = layout.raw_office();
    for subject in
        [">", "evt.>", "cmd.>", "_INBOX.>", "_INBOX.thermo.>", "$JS.S.>", "$JS.M.>", "$JS.thermo.API.>", "$SYS.>"]
    {
        leaf.subscribe(subject);
    }
    leaf.heard();
    for subject in [
        "evt.meadow.x",
        "cmd.meadow.x",
        "_INBOX.thermo.web.x",
        "$JS.S.thermo.S.x",
        "$JS.M.thermo.M.x",
        "seed.x.y",
        "other",
    ] {
        layout.hub.publish(subject, "secret".into()).await.unwrap();
    }
    layout.hub.flush().await.unwrap();
    let said = leaf.heard();
    assert!(!said.iter().any(|line| line.starts_with("LMSG")), "a leaf heard what is not its own: {said:?}");
    let ids = said.iter().filter(|line| line.contains("$JS.S.thermo"));
    assert_eq!(ids.count(), 0, "it does not even learn where another leaf delivers");
}

/// Who mirrors a stream must be able to make consumers on it, and a consumer delivers in the server's name to whatever
/// subject it says. What saves the hub: nats-server delivers only where somebody listens to exactly that subject, and
/// the leaf can listen to nothing that is not its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_does_not_become_a_publisher() {
    let layout = Layout::start(&sets::hub_credential(&office())).await;
    layout.office.publish("evt.meadow.empty", "".into()).await.unwrap();
    assert_eq!(layout.failing(&[].into()).await, [].into());
    let before = state(&layout).await;
    let mut listens = layout.hub.subscribe("listens").await.unwrap();
    let mut wild = layout.hub.subscribe("wild.>").await.unwrap();
    layout.hub.flush().await.unwrap();
    for deliver in [
        "$JS.API.STREAM.PURGE.CMD",
        "$JS.API.STREAM.DELETE.EVT",
        "$JS.thermo.API.STREAM.DELETE.EVT-thermo",
        "wild.x",
        "listens",
    ] {
        // An empty message is a valid request to purge or delete.
        let config = json!({"stream_name": "EVT", "config": {"deliver_subject": deliver, "ack_policy": "none",
            "deliver_policy": "all", "filter_subject": "evt.meadow.empty", "replay_policy": "instant"}});
        api(&layout.office, "$JS.hub.API.CONSUMER.CREATE.EVT", &config).await.unwrap();
    }
    // The hole that is left: see `docs/identity.md`. The last consumer delivers, so the others had their chance.
    let hit = tokio::time::timeout(crate::servers::DEADLINE, listens.next()).await.unwrap();
    assert_eq!(hit.unwrap().payload, "");
    let more = tokio::time::timeout(Duration::from_millis(500), wild.next()).await;
    assert!(more.is_err(), "it delivered to a wildcard's listener");
    assert_eq!(state(&layout).await, before);
    let thermo = api(&layout.thermo, "$JS.API.STREAM.INFO.EVT-thermo", &json!({})).await;
    assert!(thermo.is_ok(), "another leaf's stream is there: {thermo:?}");
}

/// A service on the leaf: allow lists alone stop the API under each of its names.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_does_its_work_and_nothing_else() {
    let layout = Layout::start(&sets::hub_credential(&office())).await;
    assert_eq!(layout.failing(&[].into()).await, [].into());
    let before = state(&layout).await;
    let local = async || {
        let info = api(&layout.office, "$JS.API.STREAM.INFO.EVT-office", &json!({})).await.unwrap();
        json!([info["config"], info["state"]])
    };
    let local_before = local().await;
    for call in [
        "STREAM.DELETE.EVT-office",
        "STREAM.PURGE.EVT-office",
        "STREAM.DELETE.EVT",
        "CONSUMER.CREATE.CMD",
        "CONSUMER.DELETE.CMD.todos",
    ] {
        for name in ["$JS.API", "$JS.office.API", "$JS.hub.API"] {
            let asked = tokio::time::timeout(
                Duration::from_millis(200),
                layout.todos.request(format!("{name}.{call}"), "".into()),
            )
            .await;
            assert!(!asked.is_ok_and(|asked| asked.is_ok()), "{name}.{call} was answered");
        }
    }
    assert_eq!((state(&layout).await, local().await), (before, local_before));

    let mut heard = layout.office.subscribe(">").await.unwrap();
    let mut deaf = layout.todos.subscribe("evt.>").await.unwrap();
    let mut curious = layout.todos.subscribe("_INBOX.office.>").await.unwrap();
    settled(&layout.office, "settled", &mut heard).await;
    for subject in [
        "evt.meadow.other.done",
        "prv.meadow.office.applied",
        "cmd.meadow.todos.add",
        "_INBOX.thermo.web.x",
        "$JS.ACK.CMD.web.1.1.1.1.1",
        "evt.meadow.todos.added",
    ] {
        layout.todos.publish(subject, "".into()).await.unwrap();
    }
    // One connection's messages stay in order: a forbidden one that came through would be heard before this.
    assert_eq!(said(&mut heard).await, "evt.meadow.todos.added", "only what its contract sends");
    let nothing = tokio::time::timeout(Duration::from_millis(300), async {
        tokio::select! { it = deaf.next() => it, it = curious.next() => it }
    });
    assert!(nothing.await.ok().flatten().is_none(), "it hears only what its contract receives");
}
