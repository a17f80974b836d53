//! Each declared query, asked once with its contract's example as the service that sends it, where somebody runs that answers; on a
//! machine without such a service as its provisioner.

use super::access;
use super::outcome::{Check, Finding};
use super::poll;
use super::target::{Query, Target, Voice};
use crate::identity::UserId;
use crate::identity::sets::inbox;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// For one answer; a service that is still starting is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn check(target: &Target<'_>) -> Vec<Finding> {
    let mut findings = vec![];
    for query in &target.queries {
        let deadline = Instant::now() + target.patience;
        findings.extend(poll::until(target, deadline, async || vec![asked(target, query).await]).await);
    }
    findings
}

async fn asked(target: &Target<'_>, query: &Query) -> Finding {
    let subject = query.message.as_str();
    let Some(example) = &query.example else {
        return Finding::skipped(Check::Query, subject, "its contract has no `example`");
    };
    let runs = |voice: &&Voice| target.running.contains(&(voice.machine.clone(), voice.service.clone()));
    let Some(answers) = target.voices.iter().filter(runs).find(|voice| voice.answered.contains(&query.subject)) else {
        return Finding::skipped(Check::Query, subject, "no service that answers it runs here");
    };
    let Some(asker) = asker(target, query).or_else(|| provisioner(target, answers)) else {
        return Finding::skipped(Check::Query, subject, "no service that sends it is here");
    };
    let begun = Instant::now();
    match round_trip(target, &asker, query, example).await {
        Ok(size) => {
            let told = format!("{} asked, {size} bytes came back in {} ms", asker.user, begun.elapsed().as_millis());
            Finding::passed(Check::Query, subject, told)
        }
        Err(error) => Finding::failed(
            Check::Query,
            subject,
            format!("{} asked {} on {}: {error:#}", asker.user, answers.service, answers.machine),
        ),
    }
}

/// The service that asks, and how it comes in.
struct Asker {
    user: UserId,
    inbox: String,
    door: SocketAddr,
}

/// A service whose contract sends the query and whose key is here.
fn asker(target: &Target<'_>, query: &Query) -> Option<Asker> {
    let senders = target.voices.iter().filter(|voice| voice.asked.contains(&query.subject));
    let with_key = |voice: &Voice| {
        let server = target.desired.servers.get(&voice.machine)?;
        target.access.login(&voice.user()).is_some().then(|| Asker {
            user: voice.user(),
            inbox: voice.inbox(),
            door: server.listen,
        })
    };
    senders.filter_map(with_key).next()
}

/// On a machine whose services answer and do not ask: its provisioner, who may ask anything there.
fn provisioner(target: &Target<'_>, answers: &Voice) -> Option<Asker> {
    let (user, server) =
        (UserId::LocalProvisioner(answers.machine.clone()), target.desired.servers.get(&answers.machine)?);
    let inbox = inbox(&answers.machine, "provisioner");
    (target.hub.is_some() && target.access.login(&user).is_some()).then_some(Asker { user, inbox, door: server.listen })
}

async fn round_trip(
    target: &Target<'_>,
    Asker { user, inbox, door }: &Asker,
    query: &Query,
    example: &serde_json::Value,
) -> Result<usize> {
    let client = access::connect(target.access, user, *door, Some(inbox.clone())).await?;
    let request = async_nats::Request::new().payload(example.to_string().into()).timeout(Some(PATIENCE));
    let reply = client.send_request(query.subject.as_str().to_owned(), request).await.context("no answer")?;
    let error = reply.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
    if let Some(error) = error {
        anyhow::bail!("it answered with an error: {error}");
    }
    Ok(reply.payload.len())
}
