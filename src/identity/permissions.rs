//! What a user may publish and subscribe to, as data; and the sets that a kind of user needs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Subjects allowed and denied; deny wins (nats-server `auth.go`). An empty `allow` allows nothing here:
/// the writer of JWTs and configuration turns it into `deny: [">"]`, because nats-server reads absence as everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub allow: BTreeSet<String>,
    pub deny: BTreeSet<String>,
}

impl Rules {
    /// As nats-server must read it: nothing allowed is everything denied, because an absent list allows everything.
    pub fn written(&self) -> Rules {
        if self.allow.is_empty() { Rules { allow: BTreeSet::new(), deny: [">".to_owned()].into() } } else { self.clone() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    pub publish: Rules,
    pub subscribe: Rules,
    /// Replies to requests that were received: how many messages a reply may have; `None` for no such right.
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
