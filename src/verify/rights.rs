//! Rights by attempt: each service logs in and tries what its contract lets it do and what it must not.
//!
//! Refuses: attempts on data. What is allowed carries a condition that no stream meets, so nothing is stored;
//! what must be refused names a stream that does not exist.

use super::outcome::{Check, Finding};
use super::target::{Target, Voice};
use super::wire::{Attempt, CANARY, Wire};
use crate::compile::layout;
use crate::name::SubjectPattern;
use anyhow::{Result, bail};
use std::collections::BTreeSet;

/// nats-server: "expected stream does not match".
const STREAM_MISMATCH: &str = "10060";

/// How many faults of one service are told.
const TOLD: usize = 3;

pub async fn check(target: &Target<'_>) -> Vec<Finding> {
    let mut findings = vec![];
    for voice in &target.voices {
        findings.push(of(target, voice).await);
    }
    findings
}

async fn of(target: &Target<'_>, voice: &Voice) -> Finding {
    let subject = format!("{} on {}", voice.service, voice.machine);
    let Some(server) = target.desired.servers.get(&voice.machine) else {
        return Finding::skipped(Check::Rights, subject, "its machine was not asked for");
    };
    let Some(login) = target.access.login(&voice.user()) else {
        return Finding::skipped(Check::Rights, subject, "its key is not here");
    };
    let mut wire = match Wire::open(server.listen, &login).await {
        Ok(wire) => wire,
        Err(error) => return Finding::failed(Check::Rights, subject, format!("cannot log in: {error:#}")),
    };
    let (allowed, forbidden) = (declared(voice), undeclared(target, voice));
    match tried(&mut wire, voice, &allowed, &forbidden).await {
        Ok(faults) if faults.is_empty() => {
            let stored = voice.stored.len();
            let told = format!("{} declared allowed, {} undeclared refused", allowed.len() + stored, forbidden.len());
            Finding::passed(Check::Rights, subject, told)
        }
        Ok(faults) => Finding::failed(Check::Rights, subject, shortened(&faults)),
        Err(error) => Finding::failed(Check::Rights, subject, format!("{error:#}")),
    }
}

/// The first few; a server without permissions fails them all.
fn shortened(faults: &[String]) -> String {
    let told = faults.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    if faults.len() > TOLD { format!("{told}; and {} more", faults.len() - TOLD) } else { told }
}

async fn tried(wire: &mut Wire, voice: &Voice, allowed: &[Attempt], forbidden: &[Attempt]) -> Result<Vec<String>> {
    let mut faults = vec![];
    for subject in &voice.stored {
        let answer = wire.declined(subject.as_str(), &format!("{}.verify", voice.inbox())).await;
        match answer {
            Ok(answer) if answer.contains(STREAM_MISMATCH) => {}
            Ok(answer) if answer.contains("503") => faults.push(format!("no stream captures `{subject}`")),
            Ok(answer) => bail!("unexpected answer to `{subject}`: {answer}"),
            Err(error) => faults.push(format!("cannot publish to `{subject}`: {error}")),
        }
    }
    for attempt in allowed {
        if let Some(error) = wire.refused(attempt).await? {
            faults.push(format!("cannot {attempt}: {error}"));
        }
    }
    for attempt in forbidden {
        if wire.refused(attempt).await?.is_none() {
            faults.push(format!("can {attempt}, which is not declared"));
        }
    }
    Ok(faults)
}

/// What the contract lets it hear. What it may say is tried with an answer (`stored`) or as a round trip (queries).
fn declared(voice: &Voice) -> Vec<Attempt> {
    let mut hears: Vec<_> = voice.answered.iter().map(|subject| Attempt::Subscribe(subject.to_string())).collect();
    hears.push(Attempt::Subscribe(format!("{}.>", voice.inbox())));
    hears
}

/// What no service may do, and what other services may.
fn undeclared(target: &Target<'_>, voice: &Voice) -> Vec<Attempt> {
    let spaces = target.spaces;
    let others: BTreeSet<_> = target.voices.iter().flat_map(|other| other.stored.iter()).collect();
    let others =
        others.into_iter().filter(|subject| !voice.stored.contains(*subject)).map(|subject| subject.to_string());
    let strange = [&spaces.commands, &spaces.events, &spaces.queries].into_iter().map(stranger);
    let mut domains = vec!["$JS".to_owned()];
    domains.extend(target.hub().map(|hub| format!("$JS.{hub}")));
    let calls =
        ["STREAM.DELETE", "STREAM.PURGE", "STREAM.UPDATE", "STREAM.MSG.DELETE", "STREAM.CREATE", "CONSUMER.CREATE"];
    let api = domains.iter().flat_map(|domain| calls.map(|call| format!("{domain}.API.{call}.{CANARY}")));
    let seeds = std::iter::once(format!("seed.{}.canary.undeclared", voice.machine));
    let publishes = others.chain(strange).chain(api).chain(seeds).chain(histories(target, voice)).map(Attempt::Publish);
    let hears = [">".to_owned(), "_INBOX.>".to_owned(), spaces.commands.to_string(), spaces.events.to_string()];
    publishes.chain(hears.map(Attempt::Subscribe)).collect()
}

/// What only Leafwright says of the machine.
fn histories(target: &Target<'_>, voice: &Voice) -> Vec<String> {
    let streams = target.desired.servers.get(&voice.machine).map(|server| &server.objects.streams[..]);
    let own = layout::history_of(&voice.machine);
    let own = streams.unwrap_or_default().iter().filter(|stream| stream.name == own);
    own.flat_map(|stream| &stream.subjects).map(|subject| subject.replace('>', "canary")).collect()
}

/// A subject of the space that no contract has.
fn stranger(space: &SubjectPattern) -> String {
    let tokens = space.as_str().split('.').map(|token| match token {
        "*" => "canary",
        ">" => "canary.undeclared",
        literal => literal,
    });
    tokens.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_a_literal_subject_of_its_space() {
        for (space, subject) in
            [("evt.meadow.>", "evt.meadow.canary.undeclared"), ("a.*.cmd.>", "a.canary.cmd.canary.undeclared")]
        {
            let space = SubjectPattern::parse(space).unwrap();
            assert_eq!(stranger(&space), subject);
            assert!(space.covers(&SubjectPattern::parse(subject).unwrap()));
        }
    }
}
