//! An aggregate sources so many leaves and no more; beyond that the event store of the cluster is sharded.

use super::holder::{Holder, leaves};
use super::{Check, Rule};
use crate::diag::{Code, Diagnostic, Report};
use crate::resolve::model::Domain;
use sha2::{Digest, Sha256};

const CODE: Code = Code(407);

pub const RULE: Rule =
    Rule { code: CODE, name: "shards", title: "too many leaves for one aggregate", check: Check::Domain(check) };

/// Sources of one stream: each is a consumer on a leaf and a place in the stream's state.
pub const LEAVES_PER_SHARD: usize = 500;

fn check(domain: &Domain, report: &mut Report) {
    let Some(cluster) = &domain.cluster else { return };
    let holder = Holder::Cluster(cluster);
    let shards = cluster.options.event_store.shards;
    let hashes: Vec<u64> =
        leaves(domain).filter(|leaf| leaf.options.event_store.enable).map(|leaf| hash(leaf.name.as_str())).collect();
    if shards == 0 {
        let finding =
            Diagnostic::error(CODE, holder.span("event_store.shards"), "an event store has at least one shard");
        return report.push(finding.help("write `shards = 1`, or leave it out"));
    }
    let fullest = fullest(&hashes, shards);
    if fullest > LEAVES_PER_SHARD {
        let least = u32::try_from(hashes.len() / LEAVES_PER_SHARD).unwrap_or(u32::MAX).max(shards + 1);
        let enough = (least..).find(|shards| self::fullest(&hashes, *shards) <= LEAVES_PER_SHARD).unwrap_or(least);
        let says = format!("{fullest} leaves in one aggregate, {LEAVES_PER_SHARD} are the most");
        let finding = Diagnostic::error(CODE, holder.span("event_store.shards"), says);
        report.push(
            finding.help(format!("write `shards = {enough}` in `[clusters.{}.settings.event_store]`", cluster.name)),
        );
    }
}

/// The first 8 bytes of SHA-256 of the leaf's name, big-endian; its shard is this modulo the number of shards.
fn hash(name: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    digest[..8].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

fn fullest(hashes: &[u64], shards: u32) -> usize {
    let mut counts = vec![0usize; shards as usize];
    for hash in hashes {
        counts[(hash % u64::from(shards)) as usize] += 1;
    }
    counts.into_iter().max().unwrap_or(0)
}
