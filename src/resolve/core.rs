//! The options that are built in: the trees of `model::Options` (machines) and `model::ClusterOptions` (clusters), as data.
//!
//! Refuses: behaviour. A row is path, type, doc, default, example; defaults may be expressions like anybody's.

use super::schema::{BUILT_IN, Schema};
use crate::declare::{Declared, Entry, OptionDecl, Table, Value};
use crate::diag::{Report, Spanned};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Path, type, doc, default (TOML, empty for none), example (TOML, empty for none). `*` stands for the key of a map or list.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const MACHINE: &[Row] = &[
    ("network.host", "host", "The name or address by which other machines reach this one.", "\"${machine.name}.${domain.dns}\"", "\"192.0.2.7\""),
    ("leaf.server_name", "string(/[^\\s.*>]+/)", "The name of this machine's nats-server; unique across the domain.", "\"${machine.name}\"", "\"thermo\""),
    ("leaf.domain", "string(/[^\\s.*>]+/)", "The JetStream domain: the machine's own, or the cluster's on a member.", "\"${machine.part == 'member' ? machine.cluster : machine.name}\"", "\"thermo\""),
    ("leaf.listen", "socket", "Where services connect. Loopback, always.", "\"127.0.0.1:4222\"", "\"127.0.0.1:4223\""),
    ("leaf.monitor", "socket", "HTTP monitoring of nats-server. Loopback, always.", "\"127.0.0.1:8222\"", "\"127.0.0.1:8223\""),
    ("leaf.store", "path", "JetStream's directory.", "\"/var/lib/nats\"", "\"/srv/nats\""),
    ("leaf.max_payload", "size", "The largest message. A larger one closes the publisher's connection.", "\"1MiB\"", "\"8MiB\""),
    ("leaf.max_pending", "size", "What may wait for one slow connection before it is cut.", "\"64MiB\"", "\"32MiB\""),
    ("leaf.max_connections", "int(1..1000000)", "Connections at the same time.", "1000", "10000"),
    ("leaf.memory_max", "size", "JetStream's memory (`max_memory_store`).", "\"64MiB\"", "\"4GiB\""),
    ("leaf.disk_max", "size", "JetStream's disk (`max_file_store`).", "\"4GiB\"", "\"100GB\""),
    ("leaf.sync_interval", "either<enum(\"always\"), duration>", "How often written messages are flushed to the disk; `always` where what is stored is not elsewhere.", "\"2m\"", "\"always\""),
    ("leaf.link", "enum(\"tls\", \"plain\")", "How the link to the cluster is protected; `plain` only inside one zone.", "\"tls\"", "\"plain\""),
    ("leaf.credentials", "secret", "The creds file of the hub credential.", "\"/etc/leafwright/credentials/leaf.creds\"", "\"/run/keys/leaf.creds\""),
    ("credentials.encrypted", "bool", "Services get their keys from files that only this machine can decrypt (`LoadCredentialEncrypted=`), with the key of its systemd; needs systemd 250.", "false", "true"),
    ("leaf.ca", "path", "The certificate of the domain's CA.", "\"/etc/leafwright/ca.pem\"", "\"/etc/ssl/meadow.pem\""),
    ("leaf.limit_nofile", "int(64..1073741816)", "File descriptors of nats-server (`LimitNOFILE`).", "65536", "200000"),
    ("cluster.listen", "socket", "Where the other members of the cluster connect.", "\"0.0.0.0:6222\"", "\"192.0.2.7:6222\""),
    ("cluster.leafnodes", "socket", "Where leaves connect.", "\"0.0.0.0:7422\"", "\"192.0.2.7:7422\""),
    ("cluster.link", "enum(\"tls\", \"plain\")", "How routes between members are protected; `plain` only inside one zone.", "\"tls\"", "\"plain\""),
    ("cluster.certificate", "path", "This server's certificate.", "\"/etc/leafwright/server.pem\"", "\"/etc/ssl/oak.pem\""),
    ("cluster.key", "secret", "The key file of this server's certificate.", "\"/etc/leafwright/credentials/server.key\"", "\"/run/keys/server.key\""),
    ("event_store.enable", "bool", "Capture the events and commands that this machine's services publish.", "false", "true"),
    ("event_store.max_bytes", "size", "The size of the event store. Grows only; when full it refuses and alarms.", "\"256MiB\"", "\"20GB\""),
    ("event_store.commands_max_bytes", "size", "The size of the stream that captures commands that this machine's services send.", "\"64MiB\"", "\"256MiB\""),
    ("event_store.commands_max_age", "duration", "How long captured commands are kept for a cluster that is away.", "\"7d\"", "\"14d\""),
    ("history.max_bytes", "size", "The size of this machine's history: its applies, returns and drift. Grows only.", "\"16MiB\"", "\"64MiB\""),
    ("history.read", "bool", "Read on this machine what became of every machine of the domain (`status --history --of`).", "false", "true"),
    ("streams", "map<stream, record>", "JetStream streams, by name.", "", ""),
    ("buckets", "map<bucket, record>", "Key-value and object buckets, by name.", "", ""),
    ("services", "map<service, record>", "Programs with a contract, by service type.", "", ""),
    ("services.*.contract", "service", "The contract that it keeps.", "\"${key}\"", "\"todos\""),
    ("services.*.description", "string", "What it is, in a few words.", "\"the service ${key}\"", "\"keeps the to-do list\""),
    ("services.*.exec", "list<string>", "Program and arguments; no shell.", "", "[\"/usr/lib/meadow/todos\", \"--quiet\"]"),
    ("services.*.instances", "int(1..1000)", "How many of it run on this machine.", "1", "4"),
    ("services.*.foreground", "bool", "Started by `up` too.", "false", "true"),
    ("services.*.environment", "map<string>", "Environment variables; never a secret.", "", "{ LANG = \"C.UTF-8\" }"),
    ("services.*.egress", "list<cidr>", "Networks outside this machine that it may reach. Empty: localhost only.", "[]", "[\"192.0.2.0/24\"]"),
    ("services.*.listen", "map<record>", "Ports that it listens on, loopback only, by a name of your choice.", "", ""),
    ("services.*.listen.*.address", "socket", "Where it listens.", "", "\"127.0.0.1:8080\""),
    ("services.*.listen.*.reason", "string", "Why it must listen when everything else comes through NATS.", "", "\"browsers speak HTTP\""),
    ("services.*.memory_max", "optional<size>", "The most memory that it may use.", "", "\"256MiB\""),
    ("services.*.cpu_quota", "optional<string(/[0-9]+%/)>", "The most processor time that it may use (`CPUQuota`).", "", "\"50%\""),
    ("services.*.restart_delay", "duration", "The pause before it is started again.", "\"2s\"", "\"10s\""),
    ("services.*.unit", "map<map<list<string>>>", "Directives laid over the rendered unit: section, directive, values.", "", "{ Service = { Nice = [\"5\"] } }"),
    ("users", "map<record>", "People who may connect to this machine's nats-server, by a name of your choice.", "", ""),
    ("users.*.person", "person", "Who it is.", "\"${key}\"", "\"ada\""),
    ("units", "map<map<map<list<string>>>>", "Directives of systemd units: unit, section, directive, values. A list of several repeats the directive.", "", "{ \"nats.service\" = { Service = { Nice = [\"-5\"] } } }"),
    ("files", "map<path, record>", "Files, by absolute path.", "", ""),
    ("files.*.text", "optional<string>", "The content. Exactly one of `text` and `template`.", "", "\"welcome\\n\""),
    ("files.*.template", "optional<string>", "The `*.tera` file, beside the module that names it, that prints the content.", "", "\"motd.tera\""),
    ("files.*.values", "map<any>", "What the template sees besides `machine`.", "", "{ forwarders = [\"9.9.9.9\"] }"),
    ("gates", "map<record>", "What must hold before a generation is committed, besides what always must, by a name of your choice.", "", ""),
    ("gates.*.exec", "optional<list<string>>", "A program and its arguments, which ends with 0; no shell. Exactly one of `exec`, `query` and `current`.", "", "[\"/usr/lib/meadow/probe\", \"--quiet\"]"),
    ("gates.*.query", "optional<string>", "A query that is answered when it is asked on this machine, with its contract's example.", "", "\"todos.list\""),
    ("gates.*.current", "optional<stream>", "A mirror or a sourcing stream of this machine that has all that its origins have.", "", "\"KEEP-EVT\""),
    ("gates.*.within", "optional<duration>", "How long it may take until it holds, from when everything was started; an hour at most. Unset: as long as `apply --within` gives to all. One look at it has 5 seconds.", "", "\"5m\""),
    ("packages", "map<map<string>>", "Packages of the distribution that must be installed, by name. Never removed. Where one is called otherwise, its name there, by the `ID` of /etc/os-release; an empty one: none is needed there.", "", "{ chrony = {}, dnsutils = { debian = \"bind9-dnsutils\" } }"),
    ("files.*.mode", "string(/0[0-7]{3}/)", "Permissions, octal.", "\"0644\"", "\"0600\""),
];

#[rustfmt::skip]
const CLUSTER: &[Row] = &[
    ("event_store.shards", "int(1..1024)", "Aggregates; a leaf belongs to one by hash of its name. Cannot be changed later.", "1", "8"),
    ("event_store.copies", "int(1..64)", "Copies wanted, on distinct machines: replicas and keepers.", "\"${event_store.replicas + size(event_store.keepers)}\"", "4"),
    ("event_store.replicas", "int(1..5)", "R replicas in the cluster.", "\"${size(cluster.members) >= 3 ? 3 : 1}\"", "3"),
    ("event_store.keepers", "list<machine>", "Leaves that hold a mirror which nobody can purge, roll up or expire.", "[]", "[\"office\"]"),
    ("event_store.max_bytes", "size", "The size of each aggregate. Grows only; when full it refuses and alarms.", "\"1GiB\"", "\"100GB\""),
    ("commands.replicas", "int(1..5)", "R replicas of the work stream.", "\"${size(cluster.members) >= 3 ? 3 : 1}\"", "3"),
    ("commands.max_bytes", "size", "The size of the work stream.", "\"256MiB\"", "\"1GiB\""),
    ("commands.max_age", "duration", "How long a command is kept; longer than on the leaves that sent it.", "\"14d\"", "\"30d\""),
    ("commands.ack_wait", "duration", "How long a service may work on a command before it is tried again.", "\"30s\"", "\"2m\""),
    ("commands.max_deliver", "int(1..1000)", "How often a command is tried before it is a dead letter.", "5", "10"),
    ("history.max_bytes", "size", "The size of the history of all machines. Grows only; when full it refuses and alarms.", "\"256MiB\"", "\"1GiB\""),
    ("streams", "map<stream, record>", "JetStream streams on the cluster, by name.", "", ""),
    ("buckets", "map<bucket, record>", "Key-value and object buckets on the cluster, by name.", "", ""),
];

/// Fields of `streams.*` and of `buckets.*`, for machines and clusters alike.
#[rustfmt::skip]
const OBJECTS: &[Row] = &[
    ("streams.*.description", "optional<string>", "What it is for.", "", "\"orders as they came in\""),
    ("streams.*.subjects", "list<pattern>", "What it captures; nothing where it mirrors or sources.", "[]", "[\"orders.>\"]"),
    ("streams.*.retention", "enum(\"limits\", \"interest\", \"workqueue\")", "When it lets go of messages.", "\"limits\"", "\"workqueue\""),
    ("streams.*.storage", "enum(\"file\", \"memory\")", "Where messages are kept.", "\"file\"", "\"memory\""),
    ("streams.*.discard", "enum(\"old\", \"new\")", "What gives way when a limit is reached.", "\"old\"", "\"new\""),
    ("streams.*.discard_new_per_subject", "bool", "Refuse what is over `max_msgs_per_subject`.", "false", "true"),
    ("streams.*.max_age", "optional<duration>", "The oldest message.", "", "\"30d\""),
    ("streams.*.max_bytes", "optional<size>", "The size of the stream.", "", "\"1GiB\""),
    ("streams.*.max_msgs", "optional<int(1..)>", "The number of messages.", "", "1000000"),
    ("streams.*.max_msgs_per_subject", "optional<int(1..)>", "The number of messages on one subject.", "", "1"),
    ("streams.*.max_msg_size", "optional<size>", "The largest message.", "", "\"64KiB\""),
    ("streams.*.max_consumers", "optional<int(1..)>", "The number of consumers.", "", "16"),
    ("streams.*.duplicate_window", "optional<duration>", "How long message ids are remembered.", "", "\"2m\""),
    ("streams.*.immutable", "bool", "Never changes once written: sets the deny flags, refuses every way around them.", "false", "true"),
    ("streams.*.deny_delete", "bool", "Refuse to delete messages.", "false", "true"),
    ("streams.*.deny_purge", "bool", "Refuse to purge.", "false", "true"),
    ("streams.*.allow_rollup_hdrs", "bool", "Allow roll-up headers.", "false", "true"),
    ("streams.*.allow_direct", "bool", "Allow direct get.", "false", "true"),
    ("streams.*.allow_msg_ttl", "bool", "Allow a time to live of each message.", "false", "true"),
    ("streams.*.allow_msg_counter", "bool", "Allow counters.", "false", "true"),
    ("streams.*.allow_msg_schedules", "bool", "Allow scheduled messages.", "false", "true"),
    ("streams.*.allow_atomic", "bool", "Allow atomic batches.", "false", "true"),
    ("streams.*.compression", "enum(\"none\", \"s2\")", "Compression on the disk.", "\"none\"", "\"s2\""),
    ("streams.*.persist_mode", "enum(\"default\", \"async\")", "Whether a publish waits for the disk.", "\"default\"", "\"async\""),
    ("streams.*.mirror", "optional<record>", "The stream that it is a copy of.", "", ""),
    ("streams.*.mirror.stream", "stream", "The name of the mirrored stream.", "", "\"EVT\""),
    ("streams.*.mirror.domain", "optional<string>", "The JetStream domain that holds it; absent means this one.", "", "\"hub\""),
    ("streams.*.mirror.filter", "optional<pattern>", "Only these subjects.", "", "\"evt.meadow.todos.>\""),
    ("streams.*.sources", "list<record>", "The streams that it collects.", "[]", ""),
    ("streams.*.sources.*.stream", "stream", "The name of the sourced stream.", "", "\"EVT-office\""),
    ("streams.*.sources.*.domain", "optional<string>", "The JetStream domain that holds it; absent means this one.", "", "\"office\""),
    ("streams.*.sources.*.filter", "optional<pattern>", "Only these subjects.", "", "\"evt.meadow.todos.>\""),
    ("streams.*.republish", "optional<record>", "Publish again what was stored.", "", ""),
    ("streams.*.republish.source", "pattern", "Which subjects.", "\">\"", "\"orders.>\""),
    ("streams.*.republish.destination", "pattern", "Under which subjects.", "", "\"live.>\""),
    ("streams.*.replicas", "int(1..5)", "R replicas in the cluster; 1 on a leaf.", "1", "3"),
    ("streams.*.copies", "optional<int(1..64)>", "Copies wanted, on distinct machines: replicas and max(1, copies - replicas) keepers.", "", "4"),
    ("streams.*.keepers", "list<machine>", "Leaves that hold a mirror which nobody can purge, roll up or expire.", "[]", "[\"office\"]"),
    ("streams.*.metadata", "map<string>", "Free notes, kept by nats-server.", "", "{ owner = \"ada\" }"),
    ("buckets.*.kind", "enum(\"key-value\", \"object\")", "Key-value (ADR-8) or object (ADR-20).", "", "\"key-value\""),
    ("buckets.*.description", "optional<string>", "What it is for.", "", "\"settings of the kiosk\""),
    ("buckets.*.history", "int(1..64)", "Values kept for a key; key-value only.", "1", "5"),
    ("buckets.*.max_age", "optional<duration>", "The oldest value.", "", "\"30d\""),
    ("buckets.*.max_bytes", "optional<size>", "The size of the bucket.", "", "\"64MiB\""),
    ("buckets.*.storage", "enum(\"file\", \"memory\")", "Where values are kept.", "\"file\"", "\"memory\""),
    ("buckets.*.compression", "enum(\"none\", \"s2\")", "Compression on the disk.", "\"none\"", "\"s2\""),
    ("buckets.*.replicas", "int(1..5)", "R replicas in the cluster; 1 on a leaf.", "1", "3"),
    ("buckets.*.copies", "optional<int(1..64)>", "Copies wanted, on distinct machines.", "", "4"),
    ("buckets.*.keepers", "list<machine>", "Leaves that hold a mirror.", "[]", "[\"office\"]"),
];

/// The options of a machine.
pub static MACHINE_OPTIONS: LazyLock<Schema> = LazyLock::new(|| schema(MACHINE));

/// The options of a cluster.
pub static CLUSTER_OPTIONS: LazyLock<Schema> = LazyLock::new(|| schema(CLUSTER));

fn schema(rows: &[Row]) -> Schema {
    let rows: Vec<Row> = rows.iter().chain(OBJECTS).copied().collect();
    let options: Vec<OptionDecl> = rows
        .iter()
        .filter(|row| !rows.iter().any(|other| is_field(row.0, other.0)))
        .map(|row| option(row, &rows))
        .collect();
    let mut schema = Schema::default();
    let mut report = Report::default();
    schema.add(&options, &Declared::default(), &mut report);
    debug_assert!(report.is_empty(), "{report:?}");
    schema
}

/// What docs/options.md says: every built-in option with its type, default and an example.
#[must_use]
pub fn reference() -> String {
    let head = "# Options\n\n\
        Every option that is built in: what `[settings]` of a machine, a module, a hardware profile, a person or the domain may say. `*` stands for a\n\
        name of your choice: `services.*.exec` is `[settings.services.todos] exec = […]`. Modules declare more; `leafwright explain MACHINE` lists all that\n\
        a machine has, and `leafwright explain MACHINE OPTION` says what one is there, and who said so. An option without a default has no value until\n\
        somebody gives one. This page is made of `src/resolve/core.rs`.\n";
    let mut out = head.to_owned();
    for (title, rows) in [
        ("Of a machine", MACHINE),
        ("Of the cluster, below `[clusters.<name>.settings]`", CLUSTER),
        ("Of a stream or a bucket, on a machine or the cluster", OBJECTS),
    ] {
        let _ = write!(out, "\n## {title}\n\n| option | type | default | what it is |\n| --- | --- | --- | --- |\n");
        for (path, kind, doc, default, example) in rows {
            let code =
                |text: &str| if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) };
            let example =
                if example.is_empty() || *kind == "bool" { String::new() } else { format!(" Like {}.", code(example)) };
            let _ = writeln!(
                out,
                "| `{path}` | {} | {} | {}{example} |",
                code(kind),
                code(default),
                doc.replace('|', "\\|")
            );
        }
    }
    out
}

/// Names of the fields that each entry of a built-in map has, such as `services`; none for what is no such map.
#[must_use]
pub fn fields(map: &str) -> Vec<&'static str> {
    let all = [MACHINE, CLUSTER, OBJECTS].into_iter().flatten();
    let field = |row: &Row| row.0.strip_prefix(map)?.strip_prefix(".*.").filter(|rest| !rest.contains('.'));
    all.filter_map(field).collect()
}

/// Is `path` somewhere below the option or field `parent`?
fn is_field(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

fn option(row: &Row, rows: &[Row]) -> OptionDecl {
    let (path, kind, doc, default, example) = *row;
    let below = |other: &&Row| {
        let rest = other.0.strip_prefix(path).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| !rest.trim_start_matches("*.").contains('.'))
    };
    let fields =
        rows.iter().filter(below).map(|field| OptionDecl { path: spanned(last(field.0)), ..option(field, rows) });
    OptionDecl {
        path: spanned(path.into()),
        kind: spanned(kind.into()),
        doc: spanned(doc.into()),
        default: literal(default),
        example: literal(example),
        fields: fields.collect(),
    }
}

fn last(path: &str) -> Box<str> {
    path.rsplit('.').next().unwrap_or(path).into()
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(value, BUILT_IN)
}

fn literal(text: &str) -> Option<Spanned<Value>> {
    let table: toml::Table = toml::from_str(&format!("it = {text}")).ok()?;
    table.get("it").map(value)
}

fn value(value_: &toml::Value) -> Spanned<Value> {
    spanned(match value_ {
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Integer(number) => Value::Int(*number),
        toml::Value::Float(number) => Value::Float(*number),
        toml::Value::String(text) => Value::Text(text.as_str().into()),
        toml::Value::Datetime(time) => Value::Text(time.to_string().into()),
        toml::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        toml::Value::Table(table) => Value::Table(Table {
            entries: table
                .iter()
                .map(|(key, v)| Entry { key: spanned(key.as_str().into()), value: value(v) })
                .collect(),
        }),
    })
}
