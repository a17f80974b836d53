//! What a user may publish and subscribe to, as data. The sets that each kind of user needs are in `sets`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Subjects allowed and denied; deny wins (nats-server `auth.go`). An empty `allow` allows nothing here:
/// the writer of JWTs and configuration takes `written`, because nats-server reads absence as everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub allow: BTreeSet<String>,
    pub deny: BTreeSet<String>,
}

impl Rules {
    /// As nats-server must read it: nothing allowed is `deny: [">"]`.
    pub fn written(&self) -> Rules {
        if self.allow.is_empty() {
            Rules { allow: BTreeSet::new(), deny: [">".to_owned()].into() }
        } else {
            self.clone()
        }
    }

    pub fn everything() -> Rules {
        Rules { allow: [">".to_owned()].into(), deny: BTreeSet::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    pub publish: Rules,
    pub subscribe: Rules,
    /// Replies to requests that were received: how many messages a reply may have; `None` for no such right.
    /// This one right is stronger than `publish.deny` (nats-server `client.go`, measured).
    pub allow_responses: Option<u32>,
}

impl Permissions {
    /// Is there no difference to nats-server? (What is denied besides does not matter where nothing is allowed.)
    pub fn means_the_same(&self, other: &Permissions) -> bool {
        self.publish.written() == other.publish.written()
            && self.subscribe.written() == other.subscribe.written()
            && self.allow_responses == other.allow_responses
    }
}

/// `allowed_connection_types` (nats-server `auth.go`, JWT `jwt.ConnectionType*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConnectionType {
    Standard,
    Websocket,
    Leafnode,
    Mqtt,
}
