//! Looking again until it is so, or time is up. What is true of a moment ago is told as it was last seen.

use super::outcome::{Finding, Verdict};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);

/// Repeats `look` until nothing in it failed; at the deadline the last findings stand.
pub async fn until(deadline: Instant, mut look: impl AsyncFnMut() -> Vec<Finding>) -> Vec<Finding> {
    loop {
        let findings = look().await;
        let failed = findings.iter().any(|finding| finding.verdict == Verdict::Failed);
        if !failed || Instant::now() + PAUSE >= deadline {
            return findings;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
