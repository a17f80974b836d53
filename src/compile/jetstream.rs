//! JetStream's own configuration objects as nats-server 2.15 writes them (ADR-31, `server/stream.go`, `server/consumer.go`).
//! Durations are nanoseconds, absent limits are -1, `name` is the key. One struct for what is wanted and what INFO returns.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn minus_one() -> i64 {
    -1
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamConfig {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// `limits`, `interest`, `workqueue`
    pub retention: String,
    #[serde(default = "minus_one")]
    pub max_consumers: i64,
    #[serde(default = "minus_one")]
    pub max_msgs: i64,
    #[serde(default = "minus_one")]
    pub max_bytes: i64,
    #[serde(default)]
    pub max_age: u64,
    #[serde(default = "minus_one")]
    pub max_msgs_per_subject: i64,
    #[serde(default = "minus_one")]
    pub max_msg_size: i64,
    /// `old`, `new`
    pub discard: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discard_new_per_subject: bool,
    /// `file`, `memory`
    pub storage: String,
    #[serde(default = "one")]
    pub num_replicas: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicate_window: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<StreamSource>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StreamSource>,
    #[serde(default, skip_serializing_if = "is_none_compression")]
    pub compression: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<SubjectTransform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    #[serde(default)]
    pub sealed: bool,
    #[serde(default)]
    pub deny_delete: bool,
    #[serde(default)]
    pub deny_purge: bool,
    #[serde(default)]
    pub allow_rollup_hdrs: bool,
    #[serde(default)]
    pub allow_direct: bool,
    #[serde(default)]
    pub mirror_direct: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_msg_ttl: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_msg_counter: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_msg_schedules: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_atomic: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persist_mode: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_none_compression(value: &str) -> bool {
    value.is_empty() || value == "none"
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamSource {
    pub name: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub opt_start_seq: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct External {
    /// `$JS.<domain>.API`
    pub api: String,
    #[serde(default)]
    pub deliver: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubjectTransform {
    pub src: String,
    pub dest: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Republish {
    #[serde(default)]
    pub src: String,
    pub dest: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub headers_only: bool,
}

/// A durable pull consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerConfig {
    pub durable_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `all`, `new`, …
    pub deliver_policy: String,
    /// `explicit`
    pub ack_policy: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ack_wait: u64,
    #[serde(default = "minus_one")]
    pub max_deliver: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backoff: Vec<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_subjects: Vec<String>,
    /// `instant`
    pub replay_policy: String,
    #[serde(default = "minus_one")]
    pub max_ack_pending: i64,
    #[serde(default)]
    pub max_waiting: i64,
    #[serde(default)]
    pub num_replicas: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}
