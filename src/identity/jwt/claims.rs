//! The claims as nats-server spells them (github.com/nats-io/jwt v2), typed. Field order is the order in the JSON.
//!
//! Refuses: permissions that mean less on paper than in nats-server, where an absent list allows everything.

use super::{Account, JetStream, User};
use crate::identity::permissions::{ConnectionType, Permissions, Rules};
use crate::name::NKeyPublic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The only version of claims that nats-server 2 reads.
pub const VERSION: u32 = 2;

/// How long a reply may come after its request: nats-server's own default, written out.
const RESPONSE_TTL_NANOS: u64 = 120_000_000_000;

#[derive(Serialize, Deserialize)]
pub struct Envelope<B> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    pub iat: u64,
    pub iss: String,
    #[serde(default)]
    pub name: String,
    pub sub: NKeyPublic,
    pub nats: B,
}

impl<B: Serialize> Envelope<B> {
    pub fn new(name: &str, subject: NKeyPublic, expires: Option<u64>, body: B) -> Self {
        let (jti, iss) = (String::new(), String::new());
        Self { exp: expires, jti, iat: 0, iss, name: name.to_owned(), sub: subject, nats: body }
    }

    /// The payload with the three things that only the minting knows.
    pub fn json(&self, issuer: &NKeyPublic, issued: u64, id: &str) -> String {
        let whole = Envelope {
            exp: self.exp,
            jti: id.to_owned(),
            iat: issued,
            iss: issuer.to_string(),
            name: self.name.clone(),
            sub: self.sub.clone(),
            nats: &self.nats,
        };
        serde_json::to_string(&whole).expect("structs of strings and numbers always become JSON")
    }
}

#[derive(Serialize, Deserialize)]
pub struct OperatorBody {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<NKeyPublic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_account: Option<NKeyPublic>,
    #[serde(rename = "type")]
    pub kind: String,
    pub version: u32,
}

impl OperatorBody {
    pub fn new(system_account: &NKeyPublic) -> Self {
        let system_account = Some(system_account.clone());
        Self { signing_keys: vec![], system_account, kind: "operator".to_owned(), version: VERSION }
    }
}

#[derive(Serialize, Deserialize)]
pub struct AccountBody {
    pub limits: AccountLimits,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<NKeyPublic>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revocations: BTreeMap<NKeyPublic, u64>,
    #[serde(default)]
    pub default_permissions: PermissionsBody,
    #[serde(rename = "type")]
    pub kind: String,
    pub version: u32,
}

impl AccountBody {
    pub fn new(account: &Account<'_>) -> Self {
        Self {
            limits: AccountLimits::new(account.jetstream),
            signing_keys: account.signing_keys.to_vec(),
            revocations: account.revoked.clone(),
            default_permissions: account.default_permissions.map(PermissionsBody::of).unwrap_or_default(),
            kind: "account".to_owned(),
            version: VERSION,
        }
    }
}

/// -1 is unlimited; an absent JetStream limit is 0, and all of them 0 is no JetStream.
#[derive(Serialize, Deserialize)]
pub struct AccountLimits {
    subs: i64,
    data: i64,
    payload: i64,
    imports: i64,
    exports: i64,
    wildcards: bool,
    /// A bearer token is a user without a private key: never.
    #[serde(default)]
    disallow_bearer: bool,
    conn: i64,
    leaf: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    mem_storage: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    disk_storage: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    streams: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    consumer: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl AccountLimits {
    fn new(jetstream: JetStream) -> Self {
        let stored = match jetstream {
            JetStream::Off => 0,
            JetStream::Unlimited => -1,
        };
        Self {
            subs: -1,
            data: -1,
            payload: -1,
            imports: -1,
            exports: -1,
            wildcards: true,
            disallow_bearer: true,
            conn: -1,
            leaf: -1,
            mem_storage: stored,
            disk_storage: stored,
            streams: stored,
            consumer: stored,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub struct UserBody {
    #[serde(rename = "pub", default)]
    publish: RulesBody,
    #[serde(rename = "sub", default)]
    subscribe: RulesBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resp: Option<ResponseBody>,
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_connection_types: Vec<ConnectionType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_account: Option<NKeyPublic>,
    #[serde(rename = "type")]
    pub kind: String,
    pub version: u32,
}

impl UserBody {
    pub fn new(user: &User<'_>) -> Self {
        let PermissionsBody { publish, subscribe, resp } = PermissionsBody::of(user.permissions);
        Self {
            publish,
            subscribe,
            resp,
            subs: -1,
            data: -1,
            payload: -1,
            allowed_connection_types: user.connections.iter().copied().collect(),
            issuer_account: user.account.cloned(),
            kind: "user".to_owned(),
            version: VERSION,
        }
    }

    pub fn permissions(&self) -> Permissions {
        Permissions {
            publish: self.publish.rules(),
            subscribe: self.subscribe.rules(),
            allow_responses: self.resp.as_ref().map(|resp| resp.max),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
pub struct PermissionsBody {
    #[serde(rename = "pub", default)]
    publish: RulesBody,
    #[serde(rename = "sub", default)]
    subscribe: RulesBody,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resp: Option<ResponseBody>,
}

impl PermissionsBody {
    fn of(permissions: &Permissions) -> Self {
        Self {
            publish: RulesBody::of(&permissions.publish),
            subscribe: RulesBody::of(&permissions.subscribe),
            resp: permissions.allow_responses.map(|max| ResponseBody { max, ttl: RESPONSE_TTL_NANOS }),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct RulesBody {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

impl RulesBody {
    fn of(rules: &Rules) -> Self {
        let rules = rules.written();
        Self { allow: rules.allow.into_iter().collect(), deny: rules.deny.into_iter().collect() }
    }

    /// What was meant: no list at all is everything to nats-server.
    fn rules(&self) -> Rules {
        let everything = self.allow.is_empty() && !self.deny.iter().any(|subject| subject == ">");
        let allow = if everything { [">".to_owned()].into() } else { self.allow.iter().cloned().collect() };
        Rules { allow, deny: self.deny.iter().cloned().collect() }
    }
}

#[derive(Serialize, Deserialize)]
struct ResponseBody {
    max: u32,
    ttl: u64,
}
