//! Plans as data: which steps, in which order, because of what; and then nothing to do.

mod common;

use common::plans::{desired, leaf, meadow, stream};
use leafwright::compile::desired::Objects;
use leafwright::compile::jetstream::StreamConfig;
use leafwright::diag::Sources;
use leafwright::plan::{self, Action, Because, Class, Observed, ObservedConsumer, ObservedServer, Scope, StoredSeed};

fn ids(plan: &plan::Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

fn between(desired: &leafwright::compile::Desired, observed: &Observed) -> plan::Plan {
    plan::between(desired, observed, &Sources::default())
}

/// As if every step had been carried out.
fn after(plan: &plan::Plan, observed: &Observed) -> Observed {
    let mut next = observed.clone();
    for step in &plan.steps {
        let objects = next.objects.entry(step.on.clone()).or_default();
        match &step.action {
            Action::WriteClosure { digest } => {
                let Scope::Machine(machine) = &step.on else { panic!("a closure on a cluster") };
                next.servers.insert(
                    machine.clone(),
                    ObservedServer { closure: Some(digest.clone()), ..ObservedServer::default() },
                );
            }
            Action::CreateStream { config } | Action::UpdateStream { to: config, .. } => {
                let stream =
                    objects.streams.entry(config.name.clone()).or_insert_with(|| common::plans::observed(config));
                stream.config = (**config).clone();
            }
            Action::CreateConsumer { stream, config } | Action::UpdateConsumer { stream, to: config, .. } => {
                let observed = ObservedConsumer { config: (**config).clone(), extra: Default::default() };
                objects.consumers.entry(stream.to_string()).or_default().insert(config.durable_name.clone(), observed);
            }
            Action::LoadEvents { stream, to, .. } => {
                let stream = objects.streams.get_mut(stream.as_str()).unwrap();
                (stream.messages, stream.last_sequence) = (*to, *to);
            }
            Action::Refuse { say, .. } => panic!("refused: {say}"),
        }
        next.made.insert(step.id.clone());
    }
    next
}

#[test]
fn everything_new_is_ordered_by_dependency_and_the_second_plan_is_empty() {
    let desired = meadow();
    let plan = between(&desired, &Observed::default());
    assert_eq!(
        ids(&plan),
        [
            "oak/closure/write",
            "office/closure/write",
            "thermo/closure/write",
            "thermo/stream/SEED-thermo-start/create",
            "thermo/stream/EVT-thermo/create",
            "@cluster/stream/EVT/create",
            "office/stream/KEEP-EVT/create",
            "@cluster/consumer/EVT/web/create",
            "thermo/events/start/load",
        ]
    );
    assert!(plan.steps.iter().all(|step| step.because == Because::New));
    assert_eq!(plan, between(&desired, &Observed::default()));
    let second = between(&desired, &after(&plan, &Observed::default()));
    assert_eq!(plan::render::human(&second), "nothing to do\n");
}

#[test]
fn sentences_give_the_reason() {
    let plan = between(&meadow(), &Observed::default());
    assert_eq!(
        plan::render::human(&plan),
        "  1  write closure closure-oak of oak, because there is none yet
  2  write closure closure-offi of office, because there is none yet
  3  write closure closure-ther of thermo, because there is none yet
  4  create stream SEED-thermo-start on thermo, because it does not exist yet
  5  create stream EVT-thermo on thermo, because it does not exist yet
  6  create stream EVT on hub, because it does not exist yet
  7  create stream KEEP-EVT on office, because it does not exist yet
  8  create consumer web of EVT on hub, because it does not exist yet
  9  load 3 events of start into SEED-thermo-start on thermo, because none of them is stored yet
5 to create, nothing to remove, 3 closures to write, 3 events to load
"
    );
}

#[test]
fn another_closure_names_the_files_that_differ() {
    let mut desired = meadow();
    let mut observed = after(&between(&desired, &Observed::default()), &Observed::default());
    let because = |desired: &leafwright::compile::Desired, observed: &Observed| {
        let text = plan::render::human(&between(desired, observed));
        text.lines().next().unwrap().split_once(", because ").unwrap().1.to_owned()
    };
    let office = desired.servers.values_mut().find(|server| server.machine.as_str() == "office").unwrap();
    office.closure_digest = "new".into();
    // Of a closure without a manifest the digest is all there is.
    assert_eq!(because(&desired, &observed), "what is there is closure-offi");
    let files =
        |files: &[(&str, &str)]| files.iter().map(|(path, digest)| ((*path).into(), (*digest).into())).collect();
    let there = observed.servers.iter_mut().find(|(machine, _)| machine.as_str() == "office").unwrap().1;
    there.files = files(&[("etc/nats/nats-server.json", "config-office"), ("etc/motd", "1"), ("lib/a", "1")]);
    *office_files(&mut desired) = files(&[("etc/nats/nats-server.json", "other"), ("lib/a", "1"), ("lib/b", "1")]);
    assert_eq!(
        because(&desired, &observed),
        "etc/motd is gone, etc/nats/nats-server.json is other, lib/b is new (there is closure-offi)"
    );
    office_files(&mut desired).extend([("lib/c".into(), "1".into()), ("lib/d".into(), "1".into())]);
    assert!(because(&desired, &observed).ends_with("lib/b is new, and 2 more are other (there is closure-offi)"));
}

fn office_files(desired: &mut leafwright::compile::Desired) -> &mut std::collections::BTreeMap<String, String> {
    let office = desired.servers.values_mut().find(|server| server.machine.as_str() == "office").unwrap();
    &mut office.closure_files
}

#[test]
fn json_is_versioned_and_reads_back() {
    let plan = between(&meadow(), &Observed::default());
    let json = plan::render::json(&plan);
    assert!(json.starts_with("{\n  \"format\": 1,"));
    assert_eq!(serde_json::from_str::<plan::Plan>(&json).unwrap(), plan);
}

#[test]
fn growth_names_the_line_that_asks_for_it() {
    let mut desired = meadow();
    let done = after(&between(&desired, &Observed::default()), &Observed::default());
    let mut sources = Sources::default();
    let file = sources.add("domain.toml", "\n\nmax_bytes = \"64GiB\"\n");
    let cluster = desired.cluster.as_mut().unwrap();
    cluster.streams[0].max_bytes = 64 << 30;
    let span = leafwright::diag::Span::new(file, 2..11);
    cluster.origins.places = std::sync::Arc::new([("EVT", span)].into_iter().collect());
    // The first configuration was unlimited, so this is a refusal; the other way round it grows.
    let refused = plan::between(&desired, &done, &sources);
    assert_eq!(ids(&refused), ["@cluster/stream/EVT/refuse"]);
    let limited = after(&plan::between(&desired, &Observed::default(), &sources), &Observed::default());
    desired.cluster.as_mut().unwrap().streams[0].max_bytes = 128 << 30;
    let plan = plan::between(&desired, &limited, &sources);
    assert_eq!(
        plan::render::human(&plan),
        "  1  let EVT on hub grow to 128GiB, because max_bytes is now 128GiB (domain.toml:3), it was 64GiB
1 to change, nothing to remove\n"
    );
    assert!(between(&desired, &after(&plan, &limited)).is_empty());
}

#[test]
fn a_limit_that_is_lowered_shrinks() {
    let one = |max_bytes| {
        let stream = StreamConfig { max_bytes, discard: "new".into(), ..stream("A", &["a.>"]) };
        desired(vec![leaf("thermo", Objects { streams: vec![stream], ..Objects::default() })], None)
    };
    let said = |from, to| {
        let done = after(&between(&one(from), &Observed::default()), &Observed::default());
        let plan = between(&one(to), &done);
        plan::render::sentence(&plan, &plan.steps[0])
    };
    let why = "because max_bytes is now";
    assert_eq!(said(1 << 30, 512 << 20), format!("let A on thermo shrink to 512MiB, {why} 512MiB, it was 1GiB"));
    assert_eq!(said(-1, 1 << 30), format!("let A on thermo shrink to 1GiB, {why} 1GiB, it was unlimited"));
    assert_eq!(said(1 << 30, -1), format!("let A on thermo grow to unlimited, {why} unlimited, it was 1GiB"));
}

#[test]
fn a_hand_edit_is_drift_and_a_new_declaration_is_not() {
    let mut desired = meadow();
    let done = after(&between(&desired, &Observed::default()), &Observed::default());
    let mut edited = done.clone();
    edited.objects.get_mut(&Scope::Cluster).unwrap().streams.get_mut("EVT").unwrap().config.allow_direct = true;
    let plan = between(&desired, &edited);
    assert!(matches!(plan.steps[0].because, Because::Drifted { .. }));
    assert_eq!(
        plan::render::sentence(&plan, &plan.steps[0]),
        "put stream EVT on hub back, because somebody changed it by hand: allow_direct is true and must be false"
    );
    assert!(between(&desired, &after(&plan, &edited)).is_empty());
    desired.cluster.as_mut().unwrap().streams[0].allow_direct = true;
    assert!(matches!(between(&desired, &done).steps[0].because, Because::Changed { .. }));
}

#[test]
fn what_was_made_and_is_gone_is_missing() {
    let desired = meadow();
    let mut done = after(&between(&desired, &Observed::default()), &Observed::default());
    done.objects.get_mut(&Scope::Cluster).unwrap().consumers.clear();
    let plan = between(&desired, &done);
    assert_eq!(ids(&plan), ["@cluster/consumer/EVT/web/create"]);
    assert_eq!(plan.steps[0].because, Because::Missing);
}

#[test]
fn a_lost_seed_stream_is_not_filled_again_behind_its_aggregate() {
    let desired = meadow();
    let mut done = after(&between(&desired, &Observed::default()), &Observed::default());
    let thermo = done.objects.get_mut(&common::plans::machine("thermo")).unwrap();
    thermo.streams.remove("SEED-thermo-start");
    thermo.streams.get_mut("EVT-thermo").unwrap().messages = 3;
    let plan = between(&desired, &done);
    assert_eq!(ids(&plan), ["thermo/stream/SEED-thermo-start/refuse"]);
}

#[test]
fn a_leaf_that_was_wiped_does_not_send_its_events_to_the_cluster_again() {
    let desired = meadow();
    let mut done = after(&between(&desired, &Observed::default()), &Observed::default());
    done.objects.remove(&common::plans::machine("thermo"));
    assert_eq!(between(&desired, &done).refused().count(), 0, "the aggregate is empty");
    done.objects.get_mut(&Scope::Cluster).unwrap().streams.get_mut("EVT").unwrap().messages = 3;
    let plan = between(&desired, &done);
    assert_eq!(ids(&plan), ["thermo/stream/EVT-thermo/create", "thermo/stream/SEED-thermo-start/refuse"]);
    done.made.clear();
    assert_eq!(between(&desired, &done).refused().count(), 0, "nothing says that they were ever loaded");
}

#[test]
fn event_sets_only_grow() {
    let desired = meadow();
    let done = after(&between(&desired, &Observed::default()), &Observed::default());
    let key = (common::plans::machine("thermo"), leafwright::name::EventSetName::parse("start").unwrap());
    let with = |stored| {
        let mut observed = done.clone();
        observed.seeds.insert(key.clone(), stored);
        between(&desired, &observed)
    };
    assert!(with(StoredSeed::Prefix(3)).is_empty());
    assert_eq!(with(StoredSeed::Prefix(1)).steps[0].because, Because::Grew { by: 2 });
    assert_eq!(with(StoredSeed::Prefix(4)).refused().count(), 1);
    assert_eq!(with(StoredSeed::Differs(1)).refused().count(), 1);
}

#[test]
fn what_nobody_declared_is_reported_and_stays() {
    let desired = meadow();
    let mut done = after(&between(&desired, &Observed::default()), &Observed::default());
    let cluster = done.objects.get_mut(&Scope::Cluster).unwrap();
    cluster.streams.insert("KV_notes".into(), common::plans::observed(&stream("KV_notes", &["$KV.notes.>"])));
    let plan = between(&desired, &done);
    assert!(plan.is_empty());
    assert_eq!(
        plan::render::human(&plan),
        "  -  stream KV_notes on hub is not declared and stays as it is\nnothing to do\n"
    );
}

#[test]
fn subjects_are_given_up_before_another_stream_takes_them() {
    let one = |streams| desired(vec![leaf("thermo", Objects { streams, ..Objects::default() })], None);
    let first = one(vec![stream("A", &["a.>", "b.>"])]);
    let done = after(&between(&first, &Observed::default()), &Observed::default());
    let second = one(vec![stream("NEW", &["b.>"]), stream("A", &["a.>"])]);
    let plan = between(&second, &done);
    assert_eq!(ids(&plan), ["thermo/stream/A/update", "thermo/stream/NEW/create"]);
    assert!(between(&second, &after(&plan, &done)).is_empty());
}

#[test]
fn settings_that_nobody_knows_are_refused() {
    let desired = meadow();
    let mut done = after(&between(&desired, &Observed::default()), &Observed::default());
    let stream = done.objects.get_mut(&Scope::Cluster).unwrap().streams.get_mut("EVT").unwrap();
    stream.extra.insert("from_the_future".into(), true.into());
    assert_eq!(between(&desired, &done).refused().count(), 1);
}

#[test]
fn the_parent_ignores_counts_and_sees_edits() {
    let desired = meadow();
    let done = after(&between(&desired, &Observed::default()), &Observed::default());
    let plan = between(&desired, &done);
    let mut later = done.clone();
    let stream = later.objects.get_mut(&Scope::Cluster).unwrap().streams.get_mut("EVT").unwrap();
    stream.messages += 1;
    assert!(plan.fits(&later));
    later.objects.get_mut(&Scope::Cluster).unwrap().streams.get_mut("EVT").unwrap().config.allow_direct = true;
    assert!(!plan.fits(&later));
}

/// Every field of the structs has its row, and every row its field.
#[test]
fn the_tables_cover_every_field() {
    let full = common::plans::full_stream();
    let keys = |value: serde_json::Value| {
        value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let rows = |rows: &[plan::rules::Row]| {
        rows.iter().map(|row| row.field.to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let mut fields = keys(serde_json::to_value(full).unwrap());
    fields.remove("name");
    assert_eq!(fields, rows(plan::rules::STREAM));
    let mut fields = keys(serde_json::to_value(common::plans::full_consumer()).unwrap());
    for key in ["name", "durable_name", "filter_subject"] {
        fields.remove(key);
    }
    assert_eq!(fields, rows(plan::rules::CONSUMER));
}

#[test]
fn the_worst_change_decides() {
    let old = stream("S", &["s.>"]);
    let mut new = StreamConfig { allow_direct: true, num_replicas: 3, ..old.clone() };
    assert_eq!(plan::streams::diff(&new, &old).class(), Class::MovesData);
    new.max_msgs = 5;
    assert_eq!(plan::streams::diff(&new, &old).class(), Class::DestroysData);
    new.storage = "memory".into();
    assert_eq!(plan::streams::diff(&new, &old).class(), Class::Impossible);
    assert!(plan::streams::diff(&old, &old).is_empty());
}
