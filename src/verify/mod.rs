//! Proves that the domain works as declared: links, JetStream domains, streams, copies, events, rights, queries.
//!
//! Refuses: changing anything (every attempt is one that must fail or one that stores nothing; a consumer that reads headers goes by itself), and calling unseen what was
//! not looked at: a check that could not be made is `skipped` with the reason, or failed.

pub mod access;
mod copies;
mod events;
mod links;
mod objects;
pub mod outcome;
mod poll;
mod queries;
mod rights;
mod target;
pub mod twice;
mod watch;
mod wire;

pub use access::{Access, Login};
pub use copies::{Copies, copies};
pub use events::Loaded;
pub use outcome::{Finding, Outcome, Verdict};
pub use target::{Query, Target, Voice};
pub use watch::{Unwatched, Watch};

use access::Connections;
use outcome::Check;

/// All checks, in the order in which one rests on the other. Waits for what normally takes a moment, until the target's deadline.
pub async fn run(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut made = |kinds: &[Check], findings: Vec<Finding>| {
        target.watch.made(kinds, &findings);
        outcome.extend(findings);
    };
    made(&[Check::Link, Check::Domain], links::check(target).await);
    let (connections, failures) = Connections::open(target).await;
    made(&[Check::Connection], failures);
    made(&[Check::Stream, Check::Consumer], objects::check(target, &connections).await);
    let (findings, loaded) = events::check(target, &connections).await;
    made(&[Check::Events, Check::Aggregate], findings);
    made(&[Check::Copies], copies::check(target, &connections).await);
    made(&[Check::Rights], rights::check(target).await);
    made(&[Check::Query], queries::check(target).await);
    outcome.loaded = loaded;
    outcome
}
