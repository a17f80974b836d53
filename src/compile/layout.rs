//! The names of what Leafwright makes of its own accord: streams, prefixes, inboxes. One place, because two sides must agree on each.
//!
//! Refuses: deciding whether a thing exists; that follows from the declarations (`link`).

use crate::name::{ConsumerName, DomainName, EventSetName, MachineName, MessageName, ServiceName, StreamName};
use sha2::{Digest, Sha256};

/// The dead-letter stream of a work stream, and the cluster's work stream.
pub const COMMANDS: &str = "CMD";
pub const DEAD_LETTERS: &str = "DLQ";
/// The first token of what is said about machines: applies, returns, drift. No message and no declared stream may begin with it.
pub const HISTORY: &str = "prv";
/// The bucket of the lease under which a domain is applied, on the cluster, and its stream.
pub const LEASE_BUCKET: &str = "leafwright";
pub const LEASE_STREAM: &str = "KV_leafwright";
/// The owner of event sets that belong to no machine.
pub const DOMAIN: &str = "domain";

/// Names of valid parts are valid names: labels have at most 63 characters of `a-z0-9-`.
pub fn stream(text: &str) -> StreamName {
    StreamName::parse(text).unwrap_or_else(|fault| unreachable!("a stream name of valid parts: {fault}"))
}

/// A service's durable consumer is named after its contract.
pub fn consumer(contract: &ServiceName) -> ConsumerName {
    ConsumerName::parse(contract.as_str()).unwrap_or_else(|fault| unreachable!("a label is a consumer name: {fault}"))
}

pub fn events_of(machine: &MachineName) -> String {
    format!("EVT-{machine}")
}

pub fn commands_of(machine: &MachineName) -> String {
    format!("CMD-{machine}")
}

pub fn dead_letters_of(machine: &MachineName) -> String {
    format!("DLQ-{machine}")
}

pub fn seed_stream(owner: &str, set: &EventSetName) -> String {
    format!("SEED-{owner}-{set}")
}

/// What the seeder puts before the subject of an event.
pub fn seed_prefix(owner: &str, set: &EventSetName) -> String {
    format!("seed.{owner}.{set}")
}

/// What a leaf has seen of its own applies.
pub fn history_of(machine: &MachineName) -> String {
    format!("PRV-{machine}")
}

/// Below it are the subjects of one machine's history: `prv.meadow.office`.
pub fn history_subject(domain: &DomainName, machine: &MachineName) -> String {
    format!("{HISTORY}.{domain}.{machine}")
}

pub fn keeper_of(stream: &str) -> String {
    format!("KEEP-{stream}")
}

/// The aggregates of the cluster, in order of their shards.
pub fn aggregates(shards: u32) -> Vec<String> {
    sharded("EVT", shards)
}

/// The histories of all machines, on the cluster: as many as there are aggregates, so that none sources too many leaves.
pub fn histories(shards: u32) -> Vec<String> {
    sharded("PRV", shards)
}

fn sharded(name: &str, shards: u32) -> Vec<String> {
    match shards {
        0 | 1 => vec![name.to_owned()],
        many => (0..many).map(|shard| format!("{name}-{shard}")).collect(),
    }
}

/// The shard of a machine: the first 8 bytes of SHA-256 of its name, big-endian, modulo the number of shards.
pub fn shard_of(machine: &MachineName, shards: u32) -> usize {
    let digest = Sha256::digest(machine.as_str().as_bytes());
    let head = digest.iter().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    usize::try_from(head % u64::from(shards.max(1))).unwrap_or(0)
}

/// The prefix of the JetStream API of another domain; `None` is the own one.
pub fn api(domain: Option<&str>) -> String {
    match domain {
        Some(domain) => format!("$JS.{domain}.API"),
        None => "$JS.API".to_owned(),
    }
}

/// The inbox prefix of a user on a leaf: the hub credential of the machine receives all that begin with `_INBOX.<machine>`.
pub fn inbox(machine: &MachineName, user: &str) -> String {
    format!("_INBOX.{machine}.{user}")
}

/// `todos.add-refused` → `LEAFWRIGHT_SUBJECT_TODOS_ADD_REFUSED`
pub fn subject_variable(message: &MessageName) -> String {
    format!("LEAFWRIGHT_SUBJECT_{}", message.as_str().to_ascii_uppercase().replace(['.', '-'], "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::grammar::Grammar;

    #[test]
    fn shards_are_stable() {
        let name = |text| MachineName::parse(text).unwrap();
        assert_eq!(aggregates(1), ["EVT"]);
        assert_eq!(aggregates(3), ["EVT-0", "EVT-1", "EVT-2"]);
        // sha256("thermo") begins 0x…; a change of these numbers moves events between aggregates.
        let spread: Vec<usize> = ["thermo", "web", "office", "pi"].map(|m| shard_of(&name(m), 4)).to_vec();
        assert_eq!(spread, ["thermo", "web", "office", "pi"].map(|m| expected(m, 4)).to_vec());
        assert_eq!(shard_of(&name("thermo"), 1), 0);
    }

    fn expected(text: &str, shards: u64) -> usize {
        let digest = Sha256::digest(text.as_bytes());
        let head = u64::from_be_bytes(digest[..8].try_into().unwrap());
        usize::try_from(head % shards).unwrap()
    }

    #[test]
    fn no_message_can_be_taken_for_history() {
        let domain = DomainName::parse("meadow").unwrap();
        let grammar = |first: &str| Grammar::parse(&format!("{first}.{{kind}}.{{aggregate}}.{{name}}"), &domain);
        assert!(grammar(HISTORY).is_err() && grammar("prove").is_ok());
    }

    #[test]
    fn variables_are_shell_names() {
        let name = MessageName::parse("todos.add-refused").unwrap();
        assert_eq!(subject_variable(&name), "LEAFWRIGHT_SUBJECT_TODOS_ADD_REFUSED");
    }
}
