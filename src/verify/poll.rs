//! Looking again until it is so, or time is up. What is true of a moment ago is told as it was last seen.

use super::outcome::Finding;
use super::target::Target;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);
/// What takes no longer than this is not worth a word; after that one is said every `AGAIN`.
const MOMENT: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(10);

/// Repeats `look` until nothing in it failed; at the deadline the last findings stand.
pub async fn until(
    target: &Target<'_>,
    deadline: Instant,
    mut look: impl AsyncFnMut() -> Vec<Finding>,
) -> Vec<Finding> {
    let mut tell = Instant::now() + MOMENT;
    loop {
        let findings = look().await;
        let mut failed = findings.iter().filter(|finding| finding.is_failed());
        let now = Instant::now();
        match failed.next() {
            Some(first) if now + PAUSE < deadline => {
                if now >= tell {
                    target.watch.waits(first, failed.count());
                    tell = now + AGAIN;
                }
            }
            _ => return findings,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
