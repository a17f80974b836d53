//! Apply on a world in memory that fails at every step, before and after the effect: the next run ends it, and the plan after is empty.
#![cfg(feature = "world")]

mod common;

use common::plans::{desired, leaf, meadow, stream};
use leafwright::apply::{self, Failure, Journal};
use leafwright::compile::Desired;
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::StreamConfig;
use leafwright::diag::Sources;
use leafwright::host::World;
use leafwright::host::fake::{Fails, Fake};
use leafwright::plan::{self, Because};

/// Plans against the world and the journal, then applies.
async fn once(desired: &Desired, world: &mut Fake, journal: &mut Journal) -> Result<usize, Failure> {
    world.observed.made = journal.made();
    let observed = world.observe().await.unwrap();
    let plan = plan::between(desired, &observed, &Sources::default());
    apply::run(&plan, world, journal, |_| ()).await.map(|done| done.steps)
}

fn journal(directory: &tempfile::TempDir) -> Journal {
    Journal::open(&directory.path().join("journal")).unwrap()
}

#[tokio::test]
async fn a_failure_at_any_step_is_told_and_the_next_run_ends_it() {
    let desired = meadow();
    let steps = plan::between(&desired, &Default::default(), &Sources::default()).steps.len();
    for at in 1..=steps {
        for when in [Fails::Before, Fails::After] {
            let directory = tempfile::tempdir().unwrap();
            let mut world = Fake { fails_at: Some((at, when)), ..Fake::default() };
            let said = once(&desired, &mut world, &mut journal(&directory)).await.unwrap_err().to_string();
            assert!(said.starts_with(&format!("step {at} of {steps} failed, {} done: ", at - 1)), "{said}");
            assert_eq!(world.done.len(), at, "nothing goes on after a failure");
            let mut again = journal(&directory);
            assert!(again.is_unfinished());
            let rest = once(&desired, &mut world, &mut again).await.unwrap();
            assert_eq!(rest, steps - at + usize::from(when == Fails::Before), "step {at} failed {when:?}");
            assert!(!again.is_unfinished());
            assert_eq!(once(&desired, &mut world, &mut again).await.unwrap(), 0, "the second plan is empty");
        }
    }
}

#[tokio::test]
async fn what_is_lost_after_it_was_made_is_called_missing() {
    let directory = tempfile::tempdir().unwrap();
    let (desired, mut world) = (meadow(), Fake::default());
    once(&desired, &mut world, &mut journal(&directory)).await.unwrap();
    let scope = common::plans::machine("office");
    world.observed.objects.get_mut(&scope).unwrap().streams.clear();
    world.observed.made = journal(&directory).made();
    let plan = plan::between(&desired, &world.observed, &Sources::default());
    assert_eq!(plan.steps.iter().map(|step| &step.because).collect::<Vec<_>>(), [&Because::Missing]);
}

#[tokio::test]
async fn a_stale_plan_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (desired, mut world) = (meadow(), Fake::default());
    let plan = plan::between(&desired, &world.observed, &Sources::default());
    once(&desired, &mut world, &mut journal(&directory)).await.unwrap();
    let effects = world.done.len();
    let said = apply::run(&plan, &mut world, &mut journal(&directory), |_| ()).await.unwrap_err().to_string();
    assert!(said.starts_with("nothing was done: the plan is stale"), "{said}");
    assert_eq!(world.done.len(), effects);
}

#[tokio::test]
async fn a_plan_with_one_refusal_does_nothing_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let one = |streams| desired(vec![leaf("thermo", Objects { streams, ..Objects::default() })], None);
    let mut world = Fake::default();
    once(&one(vec![stream("A", &["a.>"])]), &mut world, &mut journal(&directory)).await.unwrap();
    let effects = world.done.len();
    let mut shrunk = stream("A", &["a.>"]);
    shrunk.max_msgs = 1;
    let said = once(&one(vec![shrunk, stream("B", &["b.>"])]), &mut world, &mut journal(&directory))
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("lowering `max_msgs` deletes messages at once"), "{said}");
    assert!(said.contains("\n  help: leave `max_msgs` at unlimited, or"), "{said}");
    assert_eq!(world.done.len(), effects);
}

#[tokio::test]
async fn everything_that_is_refused_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let one = |names: [&str; 2], max_msgs| {
        let streams = names.map(|name| StreamConfig { max_msgs, ..stream(name, &[&format!("{name}.>")]) }).into();
        desired(vec![leaf("thermo", Objects { streams, ..Objects::default() })], None)
    };
    let mut world = Fake::default();
    once(&one(["A", "B"], -1), &mut world, &mut journal(&directory)).await.unwrap();
    let said = once(&one(["A", "B"], 1), &mut world, &mut journal(&directory)).await.unwrap_err().to_string();
    for name in ["A", "B"] {
        assert!(said.contains(&format!("\n  refused: stream {name} on thermo stays as it is")), "{said}");
        assert!(said.contains(&format!("`nats stream edit {name} --max-msgs=1`")), "{said}");
    }
}

#[tokio::test]
async fn a_torn_line_of_the_journal_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (desired, mut world) = (meadow(), Fake::default());
    once(&desired, &mut world, &mut Journal::open(&path).unwrap()).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [whole.as_slice(), b"{\"entry\":\"do"].concat()).unwrap();
    let mut journal = Journal::open(&path).unwrap();
    assert!(!journal.is_unfinished());
    journal.end().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [whole.as_slice(), b"{\"entry\":\"end\"}\n"].concat());
    std::fs::write(&path, b"{\"entry\":\"nonsense\"}\n").unwrap();
    assert!(Journal::open(&path).is_err());
}
