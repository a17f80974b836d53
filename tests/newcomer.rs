//! What a newcomer tries first, on a small domain of their own: a cluster of one member, a back office, a web machine, a desk.
//! It comes up, every hint that is printed works when it is followed, and what cannot work says why.
#![cfg(feature = "world")]

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(120);

const DOMAIN: &str = r#"
name = "meadow"
dns = "meadow.example"
zone = "home"
external = ["people.joined"]

[zones.home]

[clusters.hub]
members = ["oak"]

[clusters.hub.settings.event_store]
max_bytes = "128MiB"

[clusters.hub.settings.commands]
max_bytes = "64MiB"

[roles.operator]
publish = ["cmd.meadow.>", "qry.meadow.>"]
subscribe = ["evt.meadow.>"]
"#;

const MACHINES: [(&str, &str, &str, &str); 4] = [
    ("oak", r#"["cluster"]"#, "ada", "[]"),
    ("office", r#"["todos"]"#, "grace", r#"["todos"]"#),
    ("web", r#"["web"]"#, "grace", "[]"),
    ("desk", r#"["person"]"#, "ada", "[]"),
];

/// The domain, in a directory that goes with it; its `up` keeps its state below.
struct Meadow(tempfile::TempDir);

impl Meadow {
    fn new() -> Self {
        let meadow = Self(tempfile::tempdir().unwrap());
        let example = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["contracts", "events", "hardware", "people", "modules/todos", "modules/web"] {
            copy(&example.join(part), &meadow.path(part));
        }
        meadow.write("domain.toml", DOMAIN);
        for (name, configuration, person, events) in MACHINES {
            let text = format!(
                "configuration = {configuration}\nhardware = \"mini-pc\"\nperson = \"{person}\"\nevents = {events}\n"
            );
            meadow.write(&format!("machines/{name}.toml"), &text);
        }
        meadow
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        // A test that is killed takes leafwright with it, and leafwright takes its children.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_leafwright"), "--domain"]).arg(self.0.path());
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin/nats-server");
        if tools.is_file() && std::env::var_os("LEAFWRIGHT_NATS_SERVER").is_none() {
            command.env("LEAFWRIGHT_NATS_SERVER", tools);
        }
        command.args(words).env("NO_COLOR", "1");
        command
    }

    fn run(&self, words: &[&str]) -> Said {
        Said::of(self.command(words).output().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

struct Said {
    code: i32,
    out: String,
    talk: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), talk: text(output.stderr) }
    }

    /// Ended with this code, and said this on stderr.
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.talk);
        for part in parts {
            assert!(self.talk.contains(part), "not said: {part}\n{}\n{}", self.out, self.talk);
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|fault| panic!("{fault}\n{}\n{}", self.out, self.talk))
    }
}

/// Something of leafwright's that stays; it goes with the test.
struct Stays(Child);

impl Drop for Stays {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn a_cluster_of_one_member_comes_up_and_every_hint_works() {
    let meadow = Meadow::new();
    meadow.run(&["check"]).expect(0, &[]);
    let plan = meadow.run(&["plan"]);
    assert!(plan.code == 0 && plan.out.contains("of oak, because there is none yet"), "{}{}", plan.out, plan.talk);
    assert!(!meadow.path(".leafwright").exists(), "looking leaves nothing behind");
    let (up, summary) = stays_up(&meadow);
    assert_eq!(summary["verify"]["failed"], 0, "{summary:#}");
    assert_eq!(summary["ending"], "stays");
    hints_are_followed(&meadow, &summary);
    what_is_forbidden_is_said(&meadow);
    a_tap_says_what_it_hears(&meadow);
    interrupt(up);

    // The leaves do not run now; the cluster does not wait for what they have.
    let alone = meadow.run(&["up", "oak", "--once", "--json"]);
    alone.expect(0, &[]);
    assert_eq!(alone.json()["verify"]["failed"], 0, "{}", alone.out);
    assert!(alone.json()["verify"]["skipped"].as_u64().unwrap() > 0, "{}", alone.out);

    let again = meadow.run(&["up", "--once"]);
    again.expect(0, &["nothing to do"]);
    assert!(again.out.starts_with("meadow was brought up and verified, then stopped: 4 machines, "), "{}", again.out);
    what_is_refused_is_told_truly(&meadow);
    whoever_was_alone_does_not_join_others(&meadow);
    a_server_that_cannot_start_says_why(&meadow);
}

/// The files of docs/own-domain.md, in an empty directory: sound, and up.
#[test]
fn the_page_of_an_own_domain_is_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/own-domain.md")).unwrap();
    let meadow = Meadow(tempfile::tempdir().unwrap());
    let (mut parts, mut files) = (page.split("```"), 0);
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let heading = before.trim_end().lines().last().unwrap();
        if let (Some(path), Some(text)) = (heading.split('`').nth(1), block.strip_prefix("toml\n")) {
            meadow.write(path, text);
            files += 1;
        }
    }
    assert_eq!(files, 4);
    meadow.run(&["check"]).expect(0, &["the domain is sound"]);
    let up = meadow.run(&["up", "--once"]);
    up.expect(0, &[]);
    let said = "pond was brought up and verified, then stopped: 1 machine";
    assert!(up.out.contains(said) && up.out.contains(" 0 failed"), "{}", up.out);
    let ignored = fs::read_to_string(meadow.path(".leafwright/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n", "keys are not committed");
}

#[test]
fn one_mistake_does_not_hide_the_others() {
    let meadow = Meadow::new();
    meadow.write("domain.toml", &DOMAIN.replace("dns = \"meadow.example\"\n", ""));
    let web = fs::read_to_string(meadow.path("machines/web.toml")).unwrap();
    meadow.write("machines/web.toml", &web.replace("mini-pc", "maxi-pc"));
    let waits = "error: 2 errors; the rules are judged once these are mended";
    meadow.run(&["check"]).expect(1, &["`dns` is missing", "maxi-pc", waits]);

    // The rules look at the whole, which hangs on domain.toml: that they wait is said.
    meadow.write("machines/web.toml", &web);
    meadow
        .run(&["check"])
        .expect(1, &["`dns` is missing", "error: 1 error; the rules are judged once these are mended"]);
}

#[test]
fn the_identity_of_another_operator_is_not_built_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("keys");
    let init = |domain: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        command.args(["keys", "init", "--store"]).arg(&store).arg("--domain").arg(domain);
        Said::of(command.output().unwrap())
    };
    let refused = init(Path::new(env!("CARGO_MANIFEST_DIR")));
    refused.expect(4, &["identity/ was signed by the operator O", "help: ", "`rm -r identity`"]);
    assert!(!store.exists());
    // Without one it is made, and made once.
    let meadow = Meadow::new();
    init(meadow.0.path()).expect(0, &["made in"]);
    init(meadow.0.path()).expect(0, &["nothing to do"]);
}

/// `up`, and its summary once it is there.
fn stays_up(meadow: &Meadow) -> (Stays, Value) {
    let talk = fs::File::create(meadow.path("talk")).unwrap();
    let mut child = meadow.command(&["up", "--json"]).stdout(Stdio::piped()).stderr(talk).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let up = Stays(child);
    let mut json = String::new();
    // The summary ends with a brace at the beginning of a line; stdout stays open after it.
    for line in BufReader::new(out).lines().map(Result::unwrap) {
        json.push_str(&line);
        if line == "}" {
            break;
        }
    }
    let said = || fs::read_to_string(meadow.path("talk")).unwrap();
    let summary = serde_json::from_str(&json).unwrap_or_else(|fault| panic!("no summary ({fault}):\n{}", said()));
    (up, summary)
}

fn interrupt(mut up: Stays) {
    assert!(Command::new("kill").args(["-INT", &up.0.id().to_string()]).status().unwrap().success());
    assert!(up.0.wait().unwrap().success());
}

fn hints_are_followed(meadow: &Meadow, summary: &Value) {
    // The query of the summary, as its context says.
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (message, context) = (text(&summary["query"]["message"]), text(&summary["query"]["context"]));
    let answer = meadow.run(&["send", &message, "--context", &context]);
    answer.expect(0, &[]);
    assert!(answer.out.contains("mend the north fence"), "{}", answer.out);

    // README's command: without a context it says which; with it, the id of the command is told.
    let milk = r#"{"title": "oil the gate"}"#;
    meadow.run(&["send", "todos.add", milk]).expect(2, &["add --context meadow-desk-ada"]);
    let sent = meadow.run(&["send", "todos.add", milk, "--context", "meadow-desk-ada"]);
    sent.expect(0, &[]);
    let id = sent.out.trim().rsplit_once(", id ").map(|(_, id)| id.to_owned()).expect("an id");
    let start = Instant::now();
    loop {
        let list = meadow.run(&["send", &message, "--context", &context]);
        if list.out.contains(&id) {
            break;
        }
        assert!(start.elapsed() < DEADLINE, "the to-do {id} is not on the list: {}", list.out);
    }
    meadow.run(&["send", "todos.add", "{title", "--context", "meadow-desk-ada"]).expect(2, &["is not JSON"]);
    meadow.run(&["send", "todos.add", "{}", "--context", "meadow-desk-ada"]).expect(2, &["title"]);
}

fn what_is_forbidden_is_said(meadow: &Meadow) {
    let ada = ["--context", "meadow-desk-ada"];
    meadow
        .run(&[&["tap", ">", "--count", "1"], &ada[..]].concat())
        .expect(4, &["ada on desk may not hear `>`", "`subscribe`"]);
    let event = r#"{"id": "t-1", "title": "oil the gate"}"#;
    let forbidden = meadow.run(&[&["send", "todos.added", event], &ada[..]].concat());
    forbidden.expect(4, &["ada on desk may not send to `evt.meadow.todos.added`", "`publish`"]);
}

fn a_tap_says_what_it_hears(meadow: &Meadow) {
    let tap = &["tap", "--context", "meadow-desk-ada"];
    let mut tap = Stays(meadow.command(tap).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let said = BufReader::new(tap.0.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.starts_with("ada on desk listens to `evt.meadow.>`: what passes on that machine"), "{said}");
    meadow.run(&["tap"]).expect(2, &["add --context meadow-desk-ada"]);
}

fn what_is_refused_is_told_truly(meadow: &Meadow) {
    // An immutable stream does not shrink; and a setting that changes a closure besides.
    meadow.write("domain.toml", &DOMAIN.replace("128MiB", "100MiB"));
    let machine = fs::read_to_string(meadow.path("machines/web.toml")).unwrap();
    meadow.write("machines/web.toml", &format!("{machine}\n[settings.leaf]\nmax_connections = 77\n"));
    let refused = ["refused: stream EVT on hub stays as it is", "help: leave `max_bytes` at 128MiB"];
    let plan = meadow.run(&["plan"]);
    assert_eq!(plan.code, 4, "{}\n{}", plan.out, plan.talk);
    refused.iter().for_each(|part| assert!(plan.out.contains(part), "{}", plan.out));
    let up = meadow.run(&["up", "--once"]);
    up.expect(4, &refused);
    up.expect(4, &["1 closure was written, and the nats-servers were started and are stopped again"]);
    meadow.write("domain.toml", DOMAIN);
    meadow.write("machines/web.toml", &machine);
}

fn whoever_was_alone_does_not_join_others(meadow: &Meadow) {
    meadow.write("domain.toml", &DOMAIN.replace(r#"["oak"]"#, r#"["oak", "ash", "elm"]"#));
    let member = "configuration = [\"cluster\"]\nhardware = \"mini-pc\"\nperson = \"ada\"\nevents = []\n";
    ["ash", "elm"].iter().for_each(|name| meadow.write(&format!("machines/{name}.toml"), member));
    for verb in [&["plan"][..], &["up", "--once"]] {
        meadow.run(verb).expect(4, &["oak ran alone, and nats-server would delete its streams", "help: "]);
    }
    ["ash", "elm"].iter().for_each(|name| fs::remove_file(meadow.path(&format!("machines/{name}.toml"))).unwrap());
    meadow.write("domain.toml", DOMAIN);
}

fn a_server_that_cannot_start_says_why(meadow: &Meadow) {
    // Where its streams should be is a file.
    let store = meadow.path(".leafwright/machines/web/jetstream/jetstream");
    fs::rename(&store, meadow.path("aside")).unwrap();
    fs::write(&store, "").unwrap();
    meadow.run(&["up", "--once"]).expect(4, &["web/nats-server ended at once (exit status: 1): [FTL]", "; log: "]);
}
