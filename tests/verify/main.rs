//! Verify against real nats-servers: a small sound domain passes everything, and each fault that is put in is found.
#![cfg(feature = "world")]

mod domain;
mod early;
#[path = "../common/ports.rs"]
mod ports;

use domain::Domain;
use leafwright::verify::outcome::Check;
use leafwright::verify::{self, Outcome, Target, Verdict};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

async fn outcome(domain: &Domain) -> Outcome {
    verify::run(&domain.target()).await
}

/// The failed checks, each with its subject and what was seen.
fn failures(outcome: &Outcome) -> Vec<(Check, String, String)> {
    let failed = outcome.findings.iter().filter(|finding| finding.verdict == Verdict::Failed);
    failed.map(|finding| (finding.check, finding.subject.clone(), finding.detail.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_domain_passes_and_each_fault_is_found() {
    let mut domain = Domain::up().await;
    domain.answer("qry.meadow.todos.list").await;
    let sound = outcome(&domain).await;
    assert_eq!(failures(&sound), []);
    let kinds: BTreeSet<_> = sound.findings.iter().map(|finding| finding.check).collect();
    assert_eq!(kinds.len(), 9, "{}", sound.human());
    let passed = |check, subject: &str| {
        sound.findings.iter().find(|f| f.check == check && f.subject == subject).expect(subject).detail.clone()
    };
    assert_eq!(passed(Check::Copies, "EVT on hub"), "4 of 4 copies on 4 machines");
    assert_eq!(passed(Check::Aggregate, "EVT on hub"), "1500 messages of 1 sources, each once");
    assert_eq!(passed(Check::Rights, "web on office"), "2 declared allowed, 21 undeclared refused");
    // Nothing was stored by all those attempts.
    assert_eq!(domain.messages("CMD-office").await, 0);
    assert_eq!(domain.messages("EVT-office").await, 1_500);

    // Counted, not taken for granted.
    let [loaded] = sound.loaded.as_slice() else { panic!("{:?}", sound.loaded) };
    assert_eq!((loaded.stored, loaded.wanted, loaded.place.as_str()), (1_500, 1_500, "office"));
    a_source_that_is_not_asked_for_is_skipped(&domain).await;

    domain.patience = Duration::from_secs(1);
    domain.rights_that_are_too_wide().await;
    domain.streams_that_drift().await;
    domain.a_member_that_is_gone();
    // The cluster notices after a few heartbeats that a member is gone.
    let end = Instant::now() + Duration::from_secs(30);
    while verify::copies(&domain.target()).await.iter().any(|copies| copies.machines.contains("elm")) {
        assert!(Instant::now() < end, "elm still counts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let broken = outcome(&domain).await;
    let seen = failures(&broken);
    let expect = |check, subject: &str, detail: &str| {
        assert!(
            seen.iter().any(|(c, s, d)| *c == check && s == subject && d.contains(detail)),
            "{check:?} {subject} {detail}\n{seen:#?}"
        );
    };
    expect(Check::Rights, "todos on office", "can publish to `cmd.meadow.todos.add`, which is not declared");
    expect(Check::Rights, "todos on office", "and 18 more");
    expect(Check::Stream, "CMD-office on office", "max_age");
    expect(Check::Stream, "EXTRA on office", "stream not found");
    expect(Check::Aggregate, "EVT-office on office", "its origins have");
    expect(Check::Copies, "EVT on hub", "the replica on elm is");
    expect(Check::Link, "oak → elm", "no route");
    expect(Check::Query, "todos.unanswered", "no answer");
    assert_eq!(broken.count(Verdict::Skipped), 1, "{}", broken.human());
}

/// The cluster alone is verified: its streams draw from office, which is not among the machines.
async fn a_source_that_is_not_asked_for_is_skipped(domain: &Domain) {
    let whole = domain.target();
    let mut desired = whole.desired.clone();
    desired.servers.retain(|_, server| server.member);
    let alone = verify::run(&Target { desired: &desired, voices: vec![], queries: vec![], ..whole }).await;
    assert_eq!(failures(&alone), []);
    let skipped = alone.findings.iter().filter(|finding| finding.verdict == Verdict::Skipped);
    let skipped: Vec<_> = skipped.map(|finding| (finding.subject.as_str(), finding.detail.as_str())).collect();
    let why = "office does not run here";
    assert_eq!(skipped, [("sources of EVT on hub", why), ("sources of CMD on hub", why)]);
}
