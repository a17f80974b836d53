//! Every rule has a domain that breaks it, and no other rule speaks of that domain; the sound domain breaks none.

use super::fixture::*;
use super::*;
use crate::diag::{Severity, Spanned};
use crate::name::*;
use crate::resolve::model::*;
use std::sync::Arc;

type Case = (&'static str, fn(&mut Domain));

fn name<T>(parse: fn(&str) -> Result<T, Fault>, text: &str) -> T {
    parse(text).unwrap()
}

fn cluster(domain: &mut Domain) -> &mut Cluster {
    domain.cluster.as_mut().unwrap()
}

fn add_stream(domain: &mut Domain, machine: &str, stream: &str, config: Stream) {
    on(domain, machine, |m| {
        m.options.streams.insert(name(StreamName::parse, stream), config.into());
    });
}

fn add_cluster_stream(domain: &mut Domain, stream: &str, config: Stream) {
    cluster(domain).options.streams.insert(name(StreamName::parse, stream), config.into());
}

fn add_service(domain: &mut Domain, machine: &str, service: &str, config: Service) {
    on(domain, machine, |m| {
        m.options.services.insert(name(ServiceName::parse, service), config.into());
    });
}

fn source(stream: &str, domain: Option<&str>) -> StreamSource {
    StreamSource { stream: name(StreamName::parse, stream), domain: domain.map(str::to_owned), filter: None }
}

fn sourcing(stream: &str, domain: Option<&str>) -> Stream {
    Stream { subjects: vec![], sources: vec![source(stream, domain)], ..super::fixture::stream("x") }
}

fn size(bytes: u64) -> ByteSize {
    ByteSize::bytes(bytes)
}

fn add_role(domain: &mut Domain, publish: &str, subscribe: &str) {
    let [publish, subscribe] =
        [publish, subscribe].map(|pattern| vec![Spanned::new(name(SubjectPattern::parse, pattern), at(5))]);
    let role = Role { name: name(RoleName::parse, "guest"), publish, subscribe, origin: at(5) };
    domain.roles.insert(role.name.clone(), role);
}

fn in_environment(domain: &mut Domain, variable: &str, value: &str) {
    let environment = [(variable.to_owned(), value.to_owned())].into();
    add_service(domain, "web", "web", Service { environment, ..service("web") });
}

fn add_unit(domain: &mut Domain, unit: &str, section: &str) {
    let sections = Unit::from([(section.to_owned(), Default::default())]);
    on(domain, "web", |m| drop(m.options.units.insert(unit.to_owned(), sections.clone())));
}

fn add_file(domain: &mut Domain, path: &str) {
    let file = File { text: Some(String::new()), template: None, values: Default::default(), mode: "0644".to_owned() };
    on(domain, "web", |m| drop(m.options.files.insert(path.to_owned(), file.clone().into())));
}

/// The rule, and what breaks it and nothing else.
const CASES: &[Case] = &[
    ("server-names", |d| on(d, "web", |m| m.options.leaf.server_name = "office".into())),
    ("server-names", |d| on(d, "web", |m| m.options.leaf.domain = "office".into())),
    ("server-names", |d| on(d, "web", |m| m.options.leaf.domain = "hub".into())),
    ("server-names", |d| on(d, "oak", |m| m.options.leaf.domain = "oak".into())),
    ("server-names", |d| on(d, "web", |m| m.options.leaf.domain = "a.b".into())),
    ("bucket-names", |d| {
        for machine in ["web", "office"] {
            on(d, machine, |m| {
                m.options.buckets.insert(name(BucketName::parse, "cache"), bucket().into());
            });
        }
    }),
    ("loopback", |d| on(d, "web", |m| m.options.leaf.listen = "0.0.0.0:4222".parse().unwrap())),
    ("loopback", |d| on(d, "web", |m| m.options.leaf.monitor = "192.0.2.1:8222".parse().unwrap())),
    ("reserved-names", |d| add_stream(d, "web", "EVT-web2", stream("a.>"))),
    ("reserved-names", |d| add_stream(d, "web", "PRV-web2", stream("a.>"))),
    ("reserved-names", |d| add_stream(d, "web", "KV_cache", stream("a.>"))),
    ("reserved-names", |d| add_cluster_stream(d, "CMD", stream("a.>"))),
    ("reserved-names", |d| add_stream(d, "web", &"x".repeat(250), stream("a.>"))),
    ("stream-fields", |d| add_stream(d, "web", "a", Stream { max_msgs: Some(0), ..stream("a.>") })),
    ("stream-subjects", |d| add_stream(d, "web", "a", stream("$SYS.>"))),
    ("stream-subjects", |d| add_stream(d, "web", "a", stream("prv.meadow.>"))),
    ("overlapping-streams", |d| {
        add_stream(d, "web", "a", stream("a.>"));
        add_stream(d, "web", "b", stream("a.*.c"));
    }),
    ("overlapping-streams", |d| {
        let subjects = ["a.b", "a.*"].map(|text| name(SubjectPattern::parse, text)).to_vec();
        add_stream(d, "web", "a", Stream { subjects, ..stream("a") });
    }),
    ("overlapping-streams", |d| add_stream(d, "web", "a", stream("evt.meadow.todos.>"))),
    ("overlapping-streams", |d| add_cluster_stream(d, "a", stream("cmd.meadow.todos.add"))),
    ("subject-owners", |d| {
        add_stream(d, "web", "a", stream("a.>"));
        add_stream(d, "office", "b", stream("a.b"));
    }),
    ("subject-owners", |d| {
        add_stream(d, "web", "a", stream("a.b.*"));
        add_cluster_stream(d, "b", stream("a.*.c"));
    }),
    ("bucket-fields", |d| {
        cluster(d).options.buckets.insert(name(BucketName::parse, "cache"), Bucket { history: 65, ..bucket() }.into());
    }),
    ("immutable-streams", |d| add_stream(d, "web", "a", Stream { immutable: true, ..stream("a.>") })),
    ("replicas", |d| add_stream(d, "web", "a", Stream { replicas: 3, ..stream("a.>") })),
    ("replicas", |d| add_stream(d, "web", "a", Stream { replicas: 0, ..stream("a.>") })),
    ("replicas", |d| add_cluster_stream(d, "a", Stream { replicas: 5, ..stream("a.>") })),
    ("copies", |d| cluster(d).options.event_store.copies = 5),
    ("copies", |d| cluster(d).options.event_store.copies = 2),
    ("copies", |d| cluster(d).options.event_store.keepers.clear()),
    ("copies", |d| cluster(d).options.event_store.keepers = vec![name(MachineName::parse, "oak")]),
    ("copies", |d| cluster(d).options.event_store.keepers = vec![name(MachineName::parse, "offices")]),
    ("copies", |d| cluster(d).options.event_store.keepers.push(name(MachineName::parse, "office"))),
    ("copies", |d| {
        let keepers = vec![name(MachineName::parse, "office")];
        add_stream(d, "web", "a", Stream { copies: Some(2), keepers, ..stream("a.>") });
    }),
    ("copies", |d| {
        let keepers = vec![name(MachineName::parse, "office")];
        add_stream(d, "web", "a", Stream { keepers: keepers.clone(), ..stream("a.>") });
        add_stream(d, "thermo", "a", Stream { keepers, ..stream("b.>") });
    }),
    ("storage-limits", |d| on(d, "web", |m| m.options.event_store.max_bytes = size(51 << 30))),
    ("storage-limits", |d| on(d, "web", |m| m.options.leaf.disk_max = size(201 << 30))),
    ("storage-limits", |d| on(d, "web", |m| m.options.leaf.memory_max = size(9 << 30))),
    ("storage-limits", |d| on(d, "office", |m| m.options.leaf.disk_max = size(10 << 30))),
    ("storage-limits", |d| on(d, "oak", |m| m.options.leaf.disk_max = size(10 << 30))),
    ("plain-links", |d| on(d, "web", |m| m.options.leaf.link = Link::Plain)),
    ("plain-links", |d| on(d, "oak", |m| m.options.cluster.link = Link::Plain)),
    ("max-payload", |d| on(d, "web", |m| m.options.leaf.max_payload = size(65_536))),
    ("max-payload", |d| on(d, "web", |m| m.options.leaf.max_pending = size(65_536))),
    ("sources", |d| add_stream(d, "web", "a", sourcing("EVT", Some("hubb")))),
    ("sources", |d| add_stream(d, "web", "a", sourcing("EVTS", Some("hub")))),
    ("sources", |d| add_stream(d, "web", "a", sourcing("EVT-1", Some("hub")))),
    ("sources", |d| add_stream(d, "web", "a", sourcing("nothing", None))),
    ("source-cycles", |d| {
        add_stream(d, "web", "a", sourcing("b", Some("hub")));
        add_cluster_stream(d, "b", sourcing("c", Some("office")));
        add_stream(d, "office", "c", sourcing("a", Some("web")));
    }),
    ("source-cycles", |d| add_stream(d, "web", "a", sourcing("a", None))),
    ("work-queue-sources", |d| {
        add_stream(d, "web", "a", Stream { retention: Retention::WorkQueue, ..stream("a.>") });
        add_cluster_stream(d, "b", sourcing("a", Some("web")));
    }),
    ("work-queue-sources", |d| {
        add_stream(d, "web", "a", Stream { retention: Retention::WorkQueue, ..sourcing("EVT", Some("hub")) })
    }),
    ("command-age", |d| on(d, "web", |m| m.options.event_store.commands_max_age = Duration::secs(8 * 86_400))),
    ("command-age", |d| on(d, "web", |m| m.options.event_store.commands_max_age = Duration::secs(0))),
    ("command-age", |d| cluster(d).options.commands.ack_wait = Duration::secs(8 * 86_400)),
    ("command-age", |d| cluster(d).options.commands.ack_wait = Duration::secs(0)),
    ("command-age", |d| cluster(d).options.commands.max_deliver = 0),
    ("sync-interval", |d| on(d, "web", |m| m.options.leaf.sync_interval = "2m".into())),
    ("sync-interval", |d| on(d, "oak", |m| m.options.leaf.sync_interval = "sometimes".into())),
    ("cluster-size", |d| {
        d.machines.push(Arc::new(machine("yew", "north", Part::Member)));
        cluster(d).members.push(name(MachineName::parse, "yew"));
    }),
    ("single-point-of-failure", |d| {
        d.machines.retain(|m| m.part == Part::Leaf || m.name.as_str() == "oak");
        let cluster = cluster(d);
        cluster.members = vec![name(MachineName::parse, "oak")];
        (cluster.options.event_store.replicas, cluster.options.commands.replicas) = (1, 1);
        cluster.options.event_store.copies = 2;
        cluster.options.event_store.keepers.push(name(MachineName::parse, "thermo"));
        on(d, "thermo", |m| m.zone = name(ZoneName::parse, "south"));
    }),
    ("single-point-of-failure", |d| {
        d.machines.push(Arc::new(machine("zoo", "south", Part::Leaf)));
        for member in ["oak", "ash", "elm"] {
            on(d, member, |m| m.zone = name(ZoneName::parse, "north"));
        }
    }),
    ("parts", |d| on(d, "oak", |m| m.modules.truncate(1))),
    ("parts", |d| on(d, "web", |m| m.modules.push(name(ModuleName::parse, "cluster")))),
    ("parts", |d| on(d, "web", |m| m.modules.clear())),
    ("members-only-serve", |d| add_service(d, "oak", "web", service("web"))),
    ("members-only-serve", |d| add_stream(d, "oak", "a", stream("a.>"))),
    ("members-only-serve", |d| on(d, "oak", |m| m.options.event_store.enable = true)),
    ("missing-cluster", |d| {
        d.cluster = None;
        d.machines.retain(|m| m.part == Part::Leaf);
    }),
    ("ports", |d| on(d, "web", |m| m.options.leaf.monitor = m.options.leaf.listen)),
    ("ports", |d| on(d, "oak", |m| m.options.cluster.leafnodes = "0.0.0.0:4222".parse().unwrap())),
    ("ports", |d| {
        let address = "127.0.0.1:8080".parse().unwrap();
        let listen = [("http".to_owned(), Listen { address, reason: "the page".into() })].into();
        add_service(d, "web", "web", Service { instances: 2, listen, ..service("web") });
    }),
    ("shards", |d| {
        for number in 0..520 {
            d.machines.push(Arc::new(machine(&format!("x{number:04}"), "home", Part::Leaf)));
        }
    }),
    ("shards", |d| cluster(d).options.event_store.shards = 0),
    ("services", |d| add_service(d, "web", "web", service("wob"))),
    ("services", |d| add_service(d, "web", "web", Service { exec: vec![], ..service("web") })),
    ("services", |d| add_service(d, "web", "web", Service { exec: vec!["true".into()], ..service("web") })),
    ("event-capture", |d| {
        add_service(d, "web", "web", service("web"));
        on(d, "web", |m| m.options.event_store.enable = false);
    }),
    ("event-capture", |d| {
        on(d, "web", |m| {
            m.events.push(name(EventSetName::parse, "todos"));
            m.options.event_store.enable = false;
        });
    }),
    ("user-names", |d| add_service(d, "web", "provisioner", service("web"))),
    ("user-names", |d| {
        add_service(d, "web", "web", service("web"));
        on(d, "web", |m| {
            m.options.users.insert("web".into(), User { person: name(PersonName::parse, "ada") });
        });
    }),
    ("user-names", |d| {
        on(d, "web", |m| {
            m.options.users.insert("Ada L".into(), User { person: name(PersonName::parse, "ada") });
        });
    }),
    ("role-reach", |d| add_role(d, "cmd.maedow.>", "evt.meadow.>")),
    ("role-reach", |d| add_role(d, "cmd.meadow.>", "_INBOX.>")),
    ("role-reach", |d| add_role(d, "cmd.meadow.>", "$JS.hub.>")),
    ("environment", |d| in_environment(d, "NATS_URL", "nats://other.example")),
    ("environment", |d| in_environment(d, "a b", "x")),
    ("environment", |d| in_environment(d, "A", "x\ny")),
    ("unit-directives", |d| {
        let unit = Unit::from([("Service".to_owned(), [("ProtectSytem".to_owned(), vec!["full".to_owned()])].into())]);
        add_service(d, "web", "web", Service { unit, ..service("web") });
    }),
    ("file-paths", |d| add_file(d, "etc/motd")),
    ("file-paths", |d| add_file(d, "/etc/shadow")),
    ("file-paths", |d| ["/a", "/a-b", "/a/b"].into_iter().for_each(|path| add_file(d, path))),
    ("unit-names", |d| add_unit(d, "a.servise", "Unit")),
    ("unit-names", |d| add_unit(d, "a.service", "Servise")),
    ("unit-names", |d| add_unit(d, "a.service", "X-a]\n[Service")),
    ("member-addresses", |d| on(d, "ash", |m| m.options.network.host = "Oak.meadow.example".into())),
    ("machine-names", |d| d.account = name(AccountName::parse, "SYS")),
    ("machine-names", |d| d.machines.insert(1, Arc::new(machine("domain", "home", Part::Leaf)))),
    ("roles", |d| {
        let role = Role {
            name: name(RoleName::parse, "boss"),
            publish: vec![Spanned::new(name(SubjectPattern::parse, ">"), at(5))],
            subscribe: vec![],
            origin: at(5),
        };
        d.roles.insert(role.name.clone(), role);
    }),
];

fn broken(domain: &Domain) -> Vec<&'static str> {
    let report = all(domain);
    let mut names: Vec<_> = report
        .diagnostics
        .iter()
        .map(|found| RULES.iter().find(|rule| rule.code == found.code).unwrap().name)
        .collect();
    names.dedup();
    names
}

#[test]
fn a_sound_domain_breaks_no_rule() {
    let report = all(&meadow());
    assert!(report.is_empty(), "{:#?}", report.diagnostics);
}

#[test]
fn what_leafwright_makes_may_be_a_source() {
    for (machine, stream, from) in [
        ("web", "EVT", Some("hub")),
        ("web", "CMD", Some("hub")),
        ("web", "EVT-office", Some("office")),
        ("office", "KEEP-EVT", None),
    ] {
        let mut domain = meadow();
        add_stream(&mut domain, machine, "a", sourcing(stream, from));
        assert_eq!(broken(&domain), Vec::<&str>::new(), "{stream}");
    }
}

#[test]
fn every_case_breaks_its_rule_and_no_other() {
    for (place, (rule, change)) in CASES.iter().enumerate() {
        let mut domain = meadow();
        change(&mut domain);
        assert_eq!(broken(&domain), vec![*rule], "case {place}: {:#?}", all(&domain).diagnostics);
    }
}

#[test]
fn every_rule_has_a_case_and_a_name_of_its_own() {
    for rule in RULES {
        assert!(CASES.iter().any(|(name, _)| *name == rule.name), "{} has no case", rule.name);
        assert_eq!(RULES.iter().filter(|other| other.name == rule.name || other.code == rule.code).count(), 1);
    }
}

#[test]
fn findings_speak_as_findings_do() {
    for (rule, change) in CASES {
        let mut domain = meadow();
        change(&mut domain);
        for found in all(&domain).diagnostics {
            assert!(
                !found.message.ends_with('.') && !found.message.starts_with(char::is_uppercase),
                "{rule}: {}",
                found.message
            );
            assert!(!found.help.is_empty(), "{rule} offers no way out: {}", found.message);
        }
    }
}

#[test]
fn a_thousand_machines_report_the_same_on_any_number_of_threads() {
    let mut domain = meadow();
    for number in 0..1000 {
        let mut leaf = machine(&format!("x{number:04}"), "home", Part::Leaf);
        leaf.options.leaf.sync_interval = "2m".into();
        domain.machines.push(Arc::new(leaf));
    }
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(&domain).diagnostics)
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one.iter().filter(|found| found.severity == Severity::Warning).count(), 1000);
    assert_eq!(
        one.iter()
            .filter(|found| found.severity == Severity::Error)
            .map(|found| found.message.clone())
            .collect::<Vec<_>>(),
        vec!["1003 leaves in one aggregate, 500 are the most"]
    );
}
