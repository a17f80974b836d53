//! What `explain` answers, and what it says where the question is half a one.

use super::{Files, declared, said};
use leafwright::cli::explain_option;
use leafwright::name::MachineName;
use leafwright::resolve;

/// A cluster of which `pi` is the member, and a module with expressions.
const CLUSTERED: Files = &[
    ("domain.toml", "\n[clusters.hub]\nmembers = [\"pi\"]\n[clusters.hub.settings.commands]\nmax_bytes = \"100GB\"\n"),
    (
        "modules/b/module.toml",
        "[settings.t]\nnumber = \"${t.other + hardware.cores}\"\n[settings.t.things.one]\n[settings.packages]\nchrony = {}\n",
    ),
];

/// What `explain` prints, or what is said instead; spaces squeezed.
fn explained(of: &str, option: &str) -> String {
    let (declared, sources, report) = declared(CLUSTERED);
    assert!(report.is_empty());
    let found = resolve::explain(&declared, &MachineName::parse(of).expect("a name"), option);
    match found.value {
        Some(explanation) => {
            let text = explain_option::text(&explanation, &sources);
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
        }
        None => said(found.report, &sources),
    }
}

#[test]
fn options_of_the_cluster_are_explained_with_its_name() {
    assert_eq!(
        explained("hub", "commands.max_bytes"),
        "\
commands.max_bytes = \"100GB\"
doc The size of the work stream.
type size
example \"1GiB\"
wins cluster [settings] domain.toml:9:13 \"100GB\"
loses option default built in \"256MiB\"
"
    );
    assert!(explained("hub", "event_store.replicas").starts_with("event_store.replicas = 1\n"));
    assert!(explained("hubb", "event_store").contains("there is no machine and no cluster `hubb`"));
    assert!(explained("hub", "leaf.listen").starts_with("LW0201"), "{}", explained("hub", "leaf.listen"));
}

#[test]
fn an_entry_that_says_nothing_more_is_explained_with_its_line() {
    let said = explained("pi", "packages");
    assert!(said.starts_with("packages = { chrony = {} }\n"), "{said}");
    assert!(said.ends_with("merges module [settings] modules/b/module.toml:6:1 chrony = {}\n"), "{said}");
}

#[test]
fn facts_are_explained_with_the_line_that_says_them() {
    assert_eq!(
        explained("pi", "hardware.cores"),
        "\
hardware.cores = 4
doc What is so, and no option: expressions read it, no layer sets it.
type fact
wins fact hardware/box.toml:2:9 4
"
    );
    assert!(explained("pi", "machine.zone").starts_with("machine.zone = \"home\"\n"));
    assert!(explained("hub", "cluster.members").starts_with("cluster.members = [\"pi\"]\n"));
    // On a machine `cluster` is a table of options too.
    assert!(explained("pi", "cluster.listen").starts_with("cluster.listen = "));
}

#[test]
fn an_expression_is_shown_with_what_it_reads() {
    let text = explained("pi", "t.number");
    let expected = "wins module [settings] modules/b/module.toml:3:10 \"${t.other + hardware.cores}\"\n\
                    hardware.cores = 4\nt.other = 7\nloses ";
    assert!(text.starts_with("t.number = 11\n") && text.contains(expected), "{text}");
    // `key` is the entry that the default stands in.
    assert!(explained("pi", "t.things.one.name").contains("\"the ${key}\"\nkey = \"one\"\n"));
}

#[test]
fn what_has_no_value_is_not_said_to_win() {
    let text = explained("pi", "t.things.two.size");
    assert!(text.starts_with("t.things.two.size has no value, because pi has no `t.things.two`\n"), "{text}");
    assert!(text.contains("off option default") && !text.contains("wins"), "{text}");
    assert!(explained("pi", "t.things.one.note").starts_with("t.things.one.note has no value\n"));
}

#[test]
fn a_table_between_options_lists_them() {
    assert_eq!(
        explained("hub", "commands"),
        "\
commands of hub: 5 options
commands.ack_wait = \"30s\" option default built in
commands.max_age = \"14d\" option default built in
commands.max_bytes = \"100GB\" cluster [settings] domain.toml:9:13
commands.max_deliver = 5 option default built in
commands.replicas = 1 option default built in
each by itself: `leafwright explain hub commands.ack_wait`
"
    );
}
