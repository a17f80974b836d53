//! What a leaf that has been taken over tries on the cluster with its own credential.

use super::layout::{Layout, api, office};
use super::raw::RawLeaf;
use leafwright::identity::sets;
use serde_json::{Value, json};
use std::time::Duration;
use futures_util::StreamExt;

async fn state(layout: &Layout) -> Value {
    let mut states = vec![];
    for stream in ["EVT", "CMD"] {
        let info = api(&layout.hub, &format!("$JS.API.STREAM.INFO.{stream}"), &json!({})).await.unwrap();
        states.push(json!([info["config"], info["state"]["messages"], info["state"]["last_seq"]]));
    }
    let names = api(&layout.hub, "$JS.API.STREAM.NAMES", &json!({})).await.unwrap();
    json!([states, names["streams"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_leaf_has_not_the_hub() {
    let layout = Layout::start(&sets::hub_credential(&office())).await;
    assert_eq!(layout.failing(crate::servers::DEADLINE).await, [].into());
    let before = state(&layout).await;
    let mut heard = layout.hub.subscribe(">").await.unwrap();
    layout.hub.flush().await.unwrap();

    // Through the real leaf server, as its strongest user.
    for call in [
        "STREAM.DELETE.EVT", "STREAM.UPDATE.EVT", "STREAM.PURGE.EVT", "STREAM.MSG.DELETE.EVT", "STREAM.MSG.GET.EVT",
        "STREAM.CREATE.MINE", "STREAM.RESTORE.EVT", "STREAM.SNAPSHOT.EVT", "STREAM.INFO.EVT", "STREAM.LIST",
        "STREAM.LEADER.STEPDOWN.EVT", "STREAM.PEER.REMOVE.EVT", "DIRECT.GET.EVT", "CONSUMER.CREATE.CMD",
        "CONSUMER.CREATE.CMD.mine", "CONSUMER.DURABLE.CREATE.CMD.mine", "CONSUMER.DURABLE.CREATE.EVT.mine",
        "CONSUMER.DELETE.CMD.todos", "CONSUMER.MSG.NEXT.EVT.mine", "CONSUMER.PAUSE.CMD.todos", "INFO",
    ] {
        let asked = api(&layout.office, &format!("$JS.hub.API.{call}"), &json!({"name": "EVT", "seq": 1})).await;
        assert!(asked.is_err(), "{call} was answered: {asked:?}");
    }

    // And by the protocol itself: one connection for each, because the hub may close it.
    for (subject, reply) in [
        ("evt.meadow.forged", ""),
        ("cmd.meadow.todos.add", ""),
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
    ] {
        let mut leaf = layout.raw_office();
        leaf.heard();
        leaf.publish(subject, reply, r#"{"name":"EVT"}"#);
        let said = leaf.heard().join("\n");
        assert!(said.contains("Permissions Violation"), "{subject} passed: {said}");
    }
    let mut leaf = layout.raw_office();
    for subject in [">", "evt.>", "cmd.>", "_INBOX.>", "_INBOX.thermo.>", "$JS.S.>", "$JS.M.>", "$JS.thermo.API.>", "$SYS.>"] {
        leaf.subscribe(subject);
    }
    leaf.heard();
    for subject in ["evt.meadow.x", "cmd.meadow.x", "_INBOX.thermo.web.x", "$JS.S.thermo.S.x", "$JS.M.thermo.M.x", "seed.x.y", "other"] {
        layout.hub.publish(subject, "secret".into()).await.unwrap();
    }
    layout.hub.flush().await.unwrap();
    let said = leaf.heard();
    assert!(!said.iter().any(|line| line.starts_with("LMSG")), "a leaf heard what is not its own: {said:?}");
    let ids = said.iter().filter(|line| line.contains("$JS.S.thermo"));
    assert_eq!(ids.count(), 0, "it does not even learn where another leaf delivers");

    assert_eq!(state(&layout).await, before);
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(200), heard.next()).await {
        let subject = message.subject.as_str();
        assert!(!subject.contains("forged") && !subject.contains("guess") && subject != "anything", "{subject} arrived");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_delivers_anywhere() {
    let layout = Layout::start(&sets::hub_credential(&office())).await;
    assert_eq!(layout.failing(crate::servers::DEADLINE).await, [].into());
    let mut heard = layout.hub.subscribe("hit.>").await.unwrap();
    layout.hub.flush().await.unwrap();
    layout.office.publish("evt.meadow.empty", "".into()).await.unwrap();
    layout.office.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = state(&layout).await;
    for deliver in ["hit.anything", "$JS.API.STREAM.PURGE.CMD", "$JS.API.STREAM.DELETE.EVT"] {
        let config = json!({"stream_name": "EVT", "config": {"deliver_subject": deliver, "ack_policy": "none",
            "deliver_policy": "all", "filter_subject": "evt.meadow.empty", "replay_policy": "instant", "inactive_threshold": 5_000_000_000u64}});
        let made = api(&layout.office, "$JS.hub.API.CONSUMER.CREATE.EVT", &config).await;
        println!("{deliver}: {made:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        if let Ok(made) = made {
            println!("{:?}", api(&layout.hub, &format!("$JS.API.CONSUMER.INFO.EVT.{}", made["name"].as_str().unwrap()), &json!({})).await);
        }
    }
    let config = json!({"stream_name": "EVT", "config": {"deliver_subject": "hit.hub", "ack_policy": "none",
            "deliver_policy": "all", "filter_subject": "evt.meadow.empty", "replay_policy": "instant", "inactive_threshold": 5_000_000_000u64}});
    println!("{:?}", api(&layout.hub, "$JS.API.CONSUMER.CREATE.EVT", &config).await);
    let hit = tokio::time::timeout(Duration::from_secs(2), heard.next()).await;
    println!("hit: {:?}", hit.map(|m| m.map(|m| m.subject)));
    for s in ["EVT", "CMD"] { println!("{s} {:?}", api(&layout.hub, &format!("$JS.API.STREAM.INFO.{s}"), &json!({})).await.map(|i| i["state"].clone())); }
    println!("unchanged: {}", state(&layout).await == before);
}
