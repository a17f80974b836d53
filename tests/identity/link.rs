//! The hub credential and the sets of the leaf's own users on real servers: a hub in operator mode and two leaves.
//! Every line is necessary (without it something fails), and every attack fails.

mod attacks;
mod layout;
mod raw;

use crate::servers::DEADLINE;
use layout::{Function, Layout};
use leafwright::identity::{Permissions, sets};
use std::collections::{BTreeMap, BTreeSet};

/// Each right of the office's hub credential, and what fails without it.
fn lines(permissions: &Permissions) -> Vec<(&'static str, String)> {
    let publish = permissions.publish.allow.iter().map(|line| ("publish", line.clone()));
    let subscribe = permissions.subscribe.allow.iter().map(|line| ("subscribe", line.clone()));
    publish.chain(subscribe).collect()
}

fn without(permissions: &Permissions, (direction, line): &(&'static str, String)) -> Permissions {
    let mut less = permissions.clone();
    let rules = if *direction == "publish" { &mut less.publish } else { &mut less.subscribe };
    assert!(rules.allow.remove(line));
    less
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_hub_credential_is_necessary() {
    let full = sets::hub_credential(&layout::office());
    let whole = Layout::start(&full).await;
    assert_eq!(whole.failing(DEADLINE).await, BTreeSet::new(), "the whole set works");
    drop(whole);
    let mut found: BTreeMap<String, BTreeSet<Function>> = BTreeMap::new();
    for line in lines(&full) {
        let layout = Layout::start(&without(&full, &line)).await;
        let failing = layout.failing(std::time::Duration::from_secs(4)).await;
        println!("{:9} {:45} {:?}", line.0, line.1, failing);
        found.insert(format!("{} {}", line.0, line.1), failing);
    }
    let needless: Vec<_> = found.iter().filter(|(_, failing)| failing.is_empty()).collect();
    assert!(needless.is_empty(), "these lines do nothing: {needless:?}");
}
