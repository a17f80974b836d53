//! Proves that the domain works as declared: links, JetStream domains, streams, copies, events, rights, queries.
//!
//! Refuses: changing anything (every attempt is one that must fail or one that stores nothing), and calling unseen what was
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
mod wire;

pub use access::{Access, Login};
pub use copies::{Copies, copies};
pub use events::Loaded;
pub use outcome::{Finding, Outcome, Verdict};
pub use target::{Query, Target, Voice};

use access::Connections;

/// All checks, in the order in which one rests on the other. Waits for what normally takes a moment, until the target's deadline.
pub async fn run(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.extend(links::check(target).await);
    let (connections, failures) = Connections::open(target).await;
    outcome.extend(failures);
    outcome.extend(objects::check(target, &connections).await);
    let (findings, loaded) = events::check(target, &connections).await;
    outcome.extend(findings);
    outcome.loaded = loaded;
    outcome.extend(copies::check(target, &connections).await);
    outcome.extend(rights::check(target).await);
    outcome.extend(queries::check(target).await);
    outcome
}
