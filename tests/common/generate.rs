//! A domain of any size for benches: the same bytes for the same count, each machine a file of 60 lines.
//!
//! Refuses: randomness and the clock; what differs between machines follows from their number.

use std::fs;
use std::io;
use std::path::Path;

pub const LINES: usize = 60;
const ZONES: usize = 10;
const PEOPLE: usize = 10;
const HARDWARE: [(&str, &str, u32, &str, &str); 4] = [
    ("board", "aarch64", 4, "4GiB", "64GB"),
    ("mini-pc", "x86_64", 4, "16GiB", "500GB"),
    ("server", "x86_64", 16, "64GiB", "2TB"),
    ("workstation", "x86_64", 8, "32GiB", "1TB"),
];

/// Writes a domain of `count` leaves and a cluster of three into `root`.
pub fn domain(root: &Path, count: usize) -> io::Result<()> {
    for directory in ["machines", "hardware", "people", "events", "contracts/sensor"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("domain.toml"), domain_toml(count))?;
    for (name, arch, cores, memory, disk) in HARDWARE {
        let text = format!("arch = \"{arch}\"\ncores = {cores}\nmemory = \"{memory}\"\ndisk = \"{disk}\"\n");
        fs::write(root.join(format!("hardware/{name}.toml")), text)?;
    }
    for person in 0..PEOPLE {
        fs::write(root.join(format!("people/p{person}.toml")), format!("full_name = \"Person {person}\"\n"))?;
    }
    contracts(root)?;
    for (place, member) in MEMBERS.iter().enumerate() {
        let text = format!(
            "configuration = [\"cluster\"]\nhardware = \"server\"\nperson = \"p0\"\nevents = []\nzone = \"z{place}\"\n"
        );
        fs::write(root.join(format!("machines/{member}.toml")), text)?;
    }
    for number in 0..count {
        fs::write(root.join(format!("machines/{}.toml", name(number))), machine(number))?;
    }
    Ok(())
}

const MEMBERS: [&str; 3] = ["hub-a", "hub-b", "hub-c"];

pub fn name(number: usize) -> String {
    format!("m{number:05}")
}

fn domain_toml(count: usize) -> String {
    // At most 500 sources an aggregate; a hash spreads the leaves, so there is room for its luck.
    let shards = usize::max(1, count.div_ceil(250));
    let mut text = format!(
        "name = \"bench\"\ndns = \"bench.example\"\nzone = \"z0\"\nexternal = [\"sensor.configure\"]\n\n\
         [clusters.hub]\nmembers = [\"hub-a\", \"hub-b\", \"hub-c\"]\n\n\
         [clusters.hub.settings.event_store]\nshards = {shards}\nreplicas = 3\ncopies = 4\nkeepers = [\"{}\"]\nmax_bytes = \"1GiB\"\n",
        name(2)
    );
    for zone in 0..ZONES {
        text.push_str(&format!("\n[zones.z{zone}]\n"));
    }
    text
}

fn contracts(root: &Path) -> io::Result<()> {
    let contract = "sends = [\"sensor.measured\"]\nreceives = [\"sensor.configure\"]\n\n\
        [messages.\"sensor.measured\"]\nkind = \"evt\"\nschema = \"sensor/measured.json\"\n\n\
        [messages.\"sensor.configure\"]\nkind = \"cmd\"\nschema = \"sensor/configure.json\"\n";
    let schema = |field: &str| {
        format!(
            "{{\"type\": \"object\", \"properties\": {{\"{field}\": {{\"type\": \"number\"}}}}, \"required\": [\"{field}\"]}}\n"
        )
    };
    fs::write(root.join("contracts/sensor.toml"), contract)?;
    fs::write(root.join("contracts/sensor/measured.json"), schema("value"))?;
    fs::write(root.join("contracts/sensor/configure.json"), schema("interval"))
}

/// Four references, a service, two streams, a bucket, a file.
fn machine(number: usize) -> String {
    let name = name(number);
    let hardware = HARDWARE[number % HARDWARE.len()].0;
    let (person, zone, size) = (number % PEOPLE, number % ZONES, 64 + number % 64);
    let text = format!(
        r#"configuration = ["service"]
hardware = "{hardware}"
person = "p{person}"
events = []
zone = "z{zone}"

[settings.leaf]
max_payload = "1MiB"
max_pending = "64MiB"

[settings.event_store]
max_bytes = "1GiB"
commands_max_bytes = "{size}MiB"
commands_max_age = "2d"

[settings.services.sensor]
description = "measures on ${{machine.name}}"
exec = ["/usr/lib/bench/sensor", "--interval", "{size}"]
instances = 1
foreground = false
memory_max = "{size}MiB"
cpu_quota = "20%"
restart_delay = "2s"

[settings.services.sensor.environment]
PLACE = "${{zone.name}}/${{machine.name}}"
NUMBER = "{number}"

[settings.services.sensor.unit.Service]
Nice = ["5"]
OOMScoreAdjust = ["100"]

[settings.streams."readings-{name}"]
description = "what the sensor of {name} said lately"
subjects = ["readings.{name}.>"]
max_age = "7d"
max_bytes = "{size}MiB"
max_msg_size = "64KiB"
discard = "old"
duplicate_window = "90s"
allow_direct = true

[settings.streams."alarms-{name}"]
description = "alarms of {name}"
subjects = ["alarms.{name}.>"]
max_bytes = "16MiB"
max_msgs = {messages}
max_msgs_per_subject = 100
allow_direct = true
compression = "s2"

[settings.buckets."state-{name}"]
kind = "key-value"
history = {history}
max_bytes = "8MiB"
compression = "s2"

[settings.files."/etc/bench/place"]
text = "{name} stands in zone ${{zone.name}}"
mode = "0644"
"#,
        messages = 10_000 + number,
        history = 1 + number % 8,
    );
    assert_eq!(text.lines().count(), LINES, "a machine has {LINES} lines");
    text
}
