//! Values of fields in the units that people write.
//!
//! Refuses: knowing what a value means; only how it is written.

use crate::name::{ByteSize, Duration};
use serde_json::Value;

/// `24GiB`, `7d`, `unlimited`, `not set`; else as JSON, texts without quotes.
pub(super) fn written(field: &str, value: &Value) -> String {
    match (field, value.as_i64()) {
        (
            "max_bytes" | "max_msgs" | "max_msgs_per_subject" | "max_msg_size" | "max_consumers" | "max_deliver",
            Some(..=0),
        )
        | ("max_age", Some(0)) => "unlimited".into(),
        ("max_bytes" | "max_msg_size", Some(bytes)) => ByteSize::bytes(bytes.unsigned_abs()).to_string(),
        ("max_age" | "duplicate_window" | "ack_wait", Some(nanos)) => Duration::nanos(nanos.unsigned_abs()).to_string(),
        _ if value.is_null() => "not set".into(),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}
