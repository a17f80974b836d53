//! JetStream's API by request and reply, with the three things that can come back kept apart: an answer, a refusal, silence.
//!
//! Refuses: choosing what to do about a refusal, and waiting without an end.

use async_nats::Client;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A JetStream API error as nats-server writes it (`server/errors.json`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiError {
    pub code: u16,
    #[serde(default)]
    pub err_code: u16,
    #[serde(default)]
    pub description: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (code {})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said no.
    Refused(ApiError),
    /// Nobody answered: no responders, no connection, or not in time.
    Silent(String),
    /// An answer that is not what nats-server writes.
    Garbled(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(error) => error.fmt(f),
            Failure::Silent(why) | Failure::Garbled(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Whether the same request may well succeed a little later: an election, a restart, a link that is coming back.
    pub fn passes(&self) -> bool {
        match self {
            Failure::Silent(_) => true,
            // A full stream and spent limits are 503 too, and do not pass.
            Failure::Refused(error) => error.code == 503 && !codes::FULL.contains(&error.err_code),
            Failure::Garbled(_) => false,
        }
    }

    pub fn is(&self, err_code: u16) -> bool {
        matches!(self, Failure::Refused(error) if error.err_code == err_code)
    }
}

/// `server/errors.json` of nats-server 2.15.
pub mod codes {
    /// The stream (`max_bytes`), the account and the server have no room.
    pub const FULL: [u16; 4] = [10077, 10023, 10028, 10047];
    pub const CONSUMER_NOT_FOUND: u16 = 10014;
    pub const MESSAGE_NOT_FOUND: u16 = 10037;
    pub const STREAM_NOT_FOUND: u16 = 10059;
    /// A message id of the batch is on its way, or stored within the window.
    pub const DUPLICATE: [u16; 2] = [10158, 10201];
    pub const WRONG_LAST_SEQUENCE: u16 = 10071;
    /// The same of a replicated stream, where another message is on its way to that place.
    pub const WRONG_LAST_SEQUENCE_SOON: u16 = 10164;
    pub const BATCH_DISABLED: u16 = 10174;
    pub const BATCH_INCOMPLETE: u16 = 10176;
    pub const BATCH_TOO_LARGE: u16 = 10199;
}

/// The two shapes of every API reply, told apart by `error`.
#[derive(Deserialize)]
struct Outcome {
    error: Option<ApiError>,
}

/// Reads a reply of the JetStream API (or a publish acknowledgement) as `T` or as the refusal it carries.
pub fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    let garbled = |error: serde_json::Error| Failure::Garbled(format!("the reply is not understood: {error}"));
    if let Some(error) = serde_json::from_slice::<Outcome>(payload).map_err(garbled)?.error {
        return Err(Failure::Refused(error));
    }
    serde_json::from_slice(payload).map_err(garbled)
}

/// Asks `{prefix}.{call}` with a JSON body; waits at most `patience`.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    subject: String,
    body: &serde_json::Value,
    patience: Duration,
) -> Result<T, Failure> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = async_nats::Request::new().payload(body).timeout(Some(patience));
    match client.send_request(subject.clone(), request).await {
        Ok(message) => read(&message.payload),
        Err(error) => Err(Failure::Silent(format!("`{subject}`: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Seq {
        seq: u64,
    }

    #[test]
    fn an_answer_a_refusal_and_noise_are_told_apart() {
        assert_eq!(read::<Seq>(br#"{"stream":"S","seq":7}"#), Ok(Seq { seq: 7 }));
        let refused =
            read::<Seq>(br#"{"error":{"code":400,"err_code":10071,"description":"wrong last"},"stream":"S","seq":0}"#);
        assert!(refused.as_ref().is_err_and(|f| f.is(codes::WRONG_LAST_SEQUENCE)), "{refused:?}");
        assert!(matches!(read::<Seq>(b"+OK"), Err(Failure::Garbled(_))));
    }

    #[test]
    fn only_what_can_heal_is_waited_for() {
        let refused = |code, err_code| Failure::Refused(ApiError { code, err_code, description: String::new() });
        assert!(Failure::Silent(String::new()).passes());
        assert!(refused(503, 10008).passes());
        assert!(!refused(404, 10059).passes());
        assert!(!refused(503, 10077).passes());
    }
}
