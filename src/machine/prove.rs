//! `verify` on the machine itself: what it promises, tried with the keys that it has.
//!
//! Refuses: keys from elsewhere. What no key of this machine may look at is `skipped`, with the reason.

use super::Prepared;
use crate::compile::Desired;
use crate::host::keys::{KeyId, KeyStore};
use crate::identity::UserId;
use crate::plan::Scope;
use crate::resolve::Part;
use crate::seed::Depth;
use crate::verify::outcome::Check;
use crate::verify::{self, Access, Finding, Login, Outcome, Target, Watch};
use serde_json::Value;
use std::time::Duration;

/// nats-server tries each second: a link that is not there after that has nobody to lead to, or is refused.
const LINKS: Duration = Duration::from_secs(3);

/// How it is to be tried.
pub struct Trial<'a> {
    pub depth: Depth,
    /// For services that still start and streams that catch up.
    pub within: Duration,
    pub watch: &'a dyn Watch,
}

/// What was found, and what of the domain was not there to prove the rest with: sentences, each with a way out.
pub struct Proof {
    pub outcome: Outcome,
    pub missing: Vec<String>,
}

impl Proof {
    pub fn json(&self) -> Value {
        let mut value = self.outcome.json();
        value["missing"] = self.missing.clone().into();
        value
    }

    pub fn human(&self) -> String {
        let missing = self.missing.iter().map(|missing| format!("not proved yet: {missing}\n"));
        missing.fold(self.outcome.human(), |text, line| text + &line)
    }
}

/// Tries everything that this machine promises.
pub async fn prove(prepared: &Prepared, trial: &Trial<'_>) -> Proof {
    let keys = Keys(prepared.keys.as_ref());
    let members = prepared.domain.cluster.iter().flat_map(|cluster| cluster.members.clone());
    let cluster_members = match prepared.machine.part {
        Part::Member => members.collect(),
        Part::Leaf => vec![],
    };
    let desired = Desired { cluster_members, ..prepared.desired.clone() };
    let mut target = Target::of_machine(&prepared.domain, &desired, &keys);
    (target.depth, target.patience, target.links, target.watch) = (trial.depth, trial.within, LINKS, trial.watch);
    let mut outcome = verify::run(&target).await;
    if prepared.machine.part == Part::Member {
        let of_cluster = format!("streams of {}", verify::access::place(&target, &Scope::Cluster));
        let why = "no key of this machine may look at them; `leafwright apply domain` compares them";
        outcome.extend([Finding::skipped(Check::Stream, of_cluster, why)]);
    }
    let missing = missing(prepared, &outcome);
    Proof { outcome, missing }
}

/// Links that are not there: the others may not be, yet.
fn missing(prepared: &Prepared, outcome: &Outcome) -> Vec<String> {
    let failed = outcome.findings.iter().filter(|finding| finding.check == Check::Link && finding.is_failed());
    let failed: Vec<&str> = failed.map(|finding| finding.subject.as_str()).collect();
    let Some(cluster) = prepared.domain.cluster.as_ref().filter(|_| !failed.is_empty()) else { return vec![] };
    let others = cluster.members.iter().filter(|member| **member != prepared.machine.name);
    // Of a member each other one by its own route, of a leaf whichever it is.
    let gone = others.filter(|member| match prepared.machine.part {
        Part::Member => failed.iter().any(|link| link.ends_with(&format!("→ {member}"))),
        Part::Leaf => true,
    });
    let gone: Vec<&str> = gone.map(|member| member.as_str()).collect();
    let link = match prepared.machine.part {
        Part::Member => format!("{} has no route to {}", prepared.machine.name, gone.join(" and ")),
        Part::Leaf => format!("no member of {} ({}) takes its link", cluster.name, gone.join(", ")),
    };
    vec![format!(
        "{link}\nhelp: where they do not run yet, bring them up (`leafwright bootstrap {}`), then `leafwright verify {}` here; else `journalctl -u nats-server` says what stands in the way",
        gone.first().copied().unwrap_or_default(),
        prepared.machine.name
    )]
}

/// This machine's own.
struct Keys<'a>(Option<&'a KeyStore>);

impl Access for Keys<'_> {
    fn login(&self, user: &UserId) -> Option<Login> {
        self.0?.nkey(&KeyId::User(user.clone())).ok()??.seed().ok().map(Login::NKey)
    }
}
