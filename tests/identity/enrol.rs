//! From the machine to the operator and back, by the command line, on the example domain: keys are made in one store and signed
//! with another, and nothing secret gets out of either.

use leafwright::host::credentials::{self, References};
use leafwright::name::MachineName;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn machine(name: &str) -> MachineName {
    MachineName::parse(name).unwrap()
}

/// The example domain without its identity, an operator's key store, and a place for machines.
struct Place {
    dir: tempfile::TempDir,
    /// Everything that was printed.
    said: std::cell::RefCell<String>,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), said: Default::default() };
        let example = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["machines", "modules", "hardware", "people", "events", "contracts"] {
            copy(&example.join(part), &place.path("domain").join(part));
        }
        fs::copy(example.join("domain.toml"), place.path("domain/domain.toml")).unwrap();
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn run(&self, store: &str, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leafwright"));
        command.args(args).arg("--domain").arg(self.path("domain")).env_remove("LEAFWRIGHT_KEYS");
        if args[0] == "keys" {
            command.arg("--store").arg(self.path(store));
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let mut said = self.said.borrow_mut();
        *said += &String::from_utf8_lossy(&output.stdout);
        *said += &String::from_utf8_lossy(&output.stderr);
        output
    }

    /// stdout and stderr of a run that ends like this.
    fn ends(&self, code: i32, store: &str, args: &[&str]) -> (String, String) {
        let output = self.run(store, args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {err}");
        (out, err)
    }

    /// Makes the keys on the machine and brings the request to the operator's side.
    fn request(&self, name: &str) -> String {
        let (text, _) = self.ends(0, name, &["keys", "make", name]);
        let file = self.path(&format!("{name}.request"));
        fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    }

    fn enrol(&self, code: i32, args: &[&str]) -> String {
        self.ends(code, "operator", &[&["keys", "enrol"], args].concat()).1
    }

    fn references(&self, name: &str) -> References {
        let out = self.path(&format!("closure-{name}"));
        self.ends(0, "", &["build", name, "--out", out.to_str().unwrap()]);
        credentials::read(&out, &machine(name)).unwrap()
    }

    fn identity(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files(&self.path("domain/identity")).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// A machine's file system on which `systemd-sysusers` has run, for whoever runs this test.
    fn root(&self, name: &str) -> PathBuf {
        let root = self.path(&format!("root-{name}"));
        let me = fs::metadata(self.dir.path()).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        let users = ["root", "nats"].map(|user| format!("{user}:x:{}:{}::/:/bin/false\n", me.uid(), me.gid()));
        fs::write(root.join("etc/passwd"), users.concat()).unwrap();
        root
    }

    /// Every secret of the stores, nowhere in what was printed, in `identity/`, or in anything else outside of them.
    fn no_secret_got_out(&self, stores: &[&str]) {
        let mut secrets = vec![];
        for file in stores.iter().flat_map(|store| files(&self.path(store))) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with("-----") && line.len() > 20);
            if file.extension().is_some_and(|kind| kind == "nk" || kind == "key") {
                secrets.extend(lines.map(str::to_owned));
            }
        }
        assert!(secrets.len() > 5, "only {} secrets to look for", secrets.len());
        let outside = files(self.dir.path()).into_iter().filter(|file| {
            !stores.iter().any(|store| file.starts_with(self.path(store)))
                && !file.starts_with(self.path("root-oak"))
                && !file.starts_with(self.path("root-office"))
        });
        let texts = outside
            .map(|file| (file.display().to_string(), String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()));
        for (name, text) in texts.chain([("what was printed".to_owned(), self.said.borrow().clone())]) {
            assert!(!secrets.iter().any(|secret| text.contains(secret.as_str())), "a secret is in {name}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn keys_are_made_once_in_a_closed_store_and_the_request_stays_the_same() {
    let place = Place::new();
    let (first, said) = place.ends(0, "oak", &["keys", "make", "oak"]);
    assert!(said.contains("machines/oak/server.key"), "{said}");
    let (second, said) = place.ends(0, "oak", &["keys", "make", "oak"]);
    assert!(said.contains("nothing to do"), "{said}");
    assert_eq!(first, second, "also the signature of the certificate request, which is random");
    let request: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&request["format"], &request["machine"]), (&1.into(), &"oak".into()));
    assert!(request["csr"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
    let (office, _) = place.ends(0, "office", &["keys", "make", "office"]);
    let users: Value = serde_json::from_str(&office).unwrap();
    let users: Vec<&String> = users["users"].as_object().unwrap().keys().collect();
    assert_eq!(users, ["machines/office/leaf", "machines/office/provisioner", "machines/office/service-todos"]);
    for store in ["oak", "office"] {
        assert_eq!(mode(&place.path(store)), 0o700);
        for file in files(&place.path(store)) {
            assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700), "{}", file.display());
        }
    }
    assert!(!place.path("domain/identity").exists(), "none is needed, and none is made");
    let (_, said) = place.ends(2, "x", &["keys", "make", "offices"]);
    assert!(said.contains("there is no machine offices") && !place.path("x").exists(), "{said}");
    place.no_secret_got_out(&["oak", "office"]);
}

#[test]
fn what_was_made_on_the_machine_is_signed_and_comes_back_as_credentials() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    for name in ["office", "oak"] {
        let request = place.request(name);
        place.enrol(0, &[&request]);
        let before = place.identity();
        let said = place.enrol(0, &[&request]);
        assert!(said.contains("nothing to do") && place.identity() == before, "{said}");
    }
    assert!(!place.path("operator/machines").exists(), "enrolling one machine makes no key for the others");
    place.ends(0, "", &["build", "office"]);
    let (_, said) = place.ends(1, "", &["build", "pi"]);
    assert!(said.contains("run `leafwright keys sign`"), "{said}");
    place.ends(1, "", &["build", "--all"]);
    let (signed, _) = place.ends(0, "operator", &["keys", "sign"]);
    assert!(!signed.contains("office") && !signed.contains("oak"), "what was enrolled stays as it is: {signed}");
    let (_, said) = place.ends(0, "operator", &["keys", "sign"]);
    assert!(said.contains("nothing to do"), "{said}");
    assert!(!place.path("operator/machines/office").exists() && !place.path("operator/machines/oak").exists());
    assert!(place.path("operator/machines/pi/leaf.nk").exists(), "machines that are not enrolled have their keys here");
    let (shown, _) = place.ends(0, "operator", &["keys", "show"]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("machines/office/leaf ") && line.ends_with("JWT, made on the machine"))
    );

    for (name, expected) in [("office", &["leaf.creds", "service-todos.nk"][..]), ("oak", &["server.key"])] {
        let (references, store, root) = (place.references(name), place.path(name), place.root(name));
        assert_eq!(credentials::missing(&references, &store).unwrap(), []);
        assert_eq!(credentials::place(&references, &store, &root).unwrap(), expected);
        assert_eq!(
            credentials::place(&references, &store, &root).unwrap(),
            [""; 0],
            "the second time there is nothing to do"
        );
        let directory = root.join("etc/leafwright/credentials");
        assert_eq!(files(&directory), expected.iter().map(|file| directory.join(file)).collect::<Vec<_>>());
        assert_eq!(mode(&directory), 0o711);
        assert!(files(&directory).iter().all(|file| mode(file) == 0o400));
    }
    let creds = fs::read_to_string(place.path("root-office/etc/leafwright/credentials/leaf.creds")).unwrap();
    let seed = fs::read_to_string(place.path("office/machines/office/leaf.nk")).unwrap();
    let jwt = fs::read_to_string(place.path("domain/identity/machines/office/leaf.jwt")).unwrap();
    assert!(creds.contains(seed.trim()) && creds.contains(jwt.trim()));
    assert_eq!(
        fs::read(place.path("root-oak/etc/leafwright/credentials/server.key")).unwrap(),
        fs::read(place.path("oak/machines/oak/server.key")).unwrap()
    );
    place.no_secret_got_out(&["operator", "office", "oak"]);
}

#[test]
fn credentials_that_were_tampered_with_or_cannot_be_made_are_found() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    for name in ["office", "oak"] {
        place.enrol(0, &[&place.request(name)]);
    }
    place.ends(0, "operator", &["keys", "sign"]);
    let (references, store, root) = (place.references("office"), place.path("office"), place.root("office"));
    let why = |references: &References, store: &str| -> Vec<String> {
        let missing = credentials::missing(references, &place.path(store)).unwrap();
        missing.iter().map(ToString::to_string).collect()
    };
    let none = why(&references, "nowhere");
    assert_eq!(none.len(), 2);
    assert!(
        none[0].starts_with("the credential leaf.creds of office is missing: ")
            && none[0].contains("`leafwright keys make office`")
    );
    assert!(!place.path("nowhere").exists(), "looking makes nothing");
    // Keys that nobody signed: made again in another store.
    for name in ["office", "oak"] {
        place.ends(0, "stranger", &["keys", "make", name]);
        let strange = why(&place.references(name), "stranger");
        assert!(!strange.is_empty() && strange.iter().all(|why| why.contains("another key")), "{strange:?}");
        assert!(credentials::place(&place.references(name), &place.path("stranger"), &root).is_err());
    }
    assert!(!root.join("etc/leafwright").exists(), "nothing is written unless all can be");

    credentials::place(&references, &store, &root).unwrap();
    let seed = root.join("etc/leafwright/credentials/service-todos.nk");
    let wanted = fs::read(&seed).unwrap();
    for (fault, tamper) in [
        ("other bytes", "rm \"$0\"; echo x >\"$0\"; chmod 400 \"$0\""),
        ("another mode", "chmod 440 \"$0\""),
        ("a link", "mv \"$0\" \"$0.real\"; ln -s \"$0.real\" \"$0\""),
        ("nothing", "rm \"$0\" \"$0.real\""),
    ] {
        assert!(Command::new("sh").args(["-c", tamper]).arg(&seed).status().unwrap().success());
        assert_eq!(credentials::place(&references, &store, &root).unwrap(), ["service-todos.nk"], "{fault}");
        assert_eq!((fs::read(&seed).unwrap(), mode(&seed)), (wanted.clone(), 0o400), "{fault}");
        assert!(fs::symlink_metadata(&seed).unwrap().is_file(), "{fault}");
    }
    // A root whose directories lead elsewhere, and one without the user.
    let (image, elsewhere) = (place.root("image"), place.path("elsewhere"));
    fs::create_dir_all(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, image.join("etc/leafwright")).unwrap();
    let refused = credentials::place(&references, &store, &image).unwrap_err().to_string();
    assert!(refused.contains("is a link") && files(&elsewhere).is_empty(), "{refused}");
    fs::write(image.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let refused = credentials::place(&references, &store, &image).unwrap_err().to_string();
    assert!(refused.contains("there is no user nats") && refused.contains("systemd-sysusers"), "{refused}");
}

#[test]
fn other_keys_are_taken_by_name_only_and_old_ones_never_again() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    let old = place.request("office");
    place.enrol(0, &[&old]);
    place.ends(0, "operator", &["keys", "sign"]);
    let kept = place.identity();
    // The machine was installed anew.
    fs::rename(place.path("office"), place.path("old-office")).unwrap();
    fs::rename(&old, place.path("old.request")).unwrap();
    let (old, new) = (place.path("old.request").to_string_lossy().into_owned(), place.request("office"));
    let said = place.enrol(1, &[&new]);
    assert!(
        said.contains("office has other keys: machines/office/leaf") && said.contains("--replace office"),
        "{said}"
    );
    let said = place.enrol(1, &[&new, "--replace", "web"]);
    assert!(said.contains("--replace names web"), "{said}");
    assert!(place.identity() == kept, "what is refused changes nothing");
    let said = place.enrol(0, &[&new, "--replace", "office"]);
    assert!(said.contains("replaced: machines/office/leaf"), "{said}");
    let replaced = place.identity();
    for replay in [&[old.as_str()][..], &[old.as_str(), "--replace", "office"]] {
        let said = place.enrol(1, replay);
        assert!(said.contains("was replaced, and is not taken again"), "{said}");
    }
    assert!(place.identity() == replaced);
    let summary = fs::read_to_string(place.path("domain/identity/identity.toml")).unwrap();
    assert!(summary.contains("\n[revoked]\nU"), "{summary}");
    place.ends(0, "operator", &["keys", "sign"]);
    assert!(place.identity() == replaced, "signing keeps what was enrolled and what was revoked");
    // The old keys of the machine fit nothing any more.
    let missing = credentials::missing(&place.references("office"), &place.path("old-office")).unwrap();
    assert_eq!(missing.len(), 2);
    place.no_secret_got_out(&["operator", "office", "old-office"]);
}

#[test]
fn a_machine_may_take_over_from_the_operators_store_which_then_counts_no_more() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    place.ends(0, "operator", &["keys", "sign"]);
    let stale = fs::read(place.path("operator/machines/office/leaf.nk")).unwrap();
    let said = place.enrol(0, &[&place.request("office")]);
    assert!(said.contains("machines/office/leaf.nk in this store is of no use any more"), "{said}");
    let enrolled = place.identity();
    let (_, said) = place.ends(0, "operator", &["keys", "sign"]);
    assert!(said.contains("nothing to do") && place.identity() == enrolled, "{said}");
    assert_eq!(fs::read(place.path("operator/machines/office/leaf.nk")).unwrap(), stale, "keys are never overwritten");
    // A creds file of that key and the JWT of the other would be refused by every server.
    let out = place.path("e.creds");
    let creds = ["keys", "creds", "machines/office/leaf", "--out", out.to_str().unwrap()];
    let (_, said) = place.ends(4, "operator", &creds);
    assert!(said.contains("the key of machines/office/leaf was made on office and is nowhere else"), "{said}");
    assert!(!out.exists());
    // Neither over a device, nor where it would be committed.
    for (out, says) in [("/dev/null", "is no file"), ("domain/identity/e.creds", "is in the domain's tree")] {
        let out = place.path("").join(out);
        let (_, said) =
            place.ends(2, "office", &["keys", "creds", "machines/office/leaf", "--out", out.to_str().unwrap()]);
        assert!(said.contains(says) && said.contains("--out FILE"), "{said}");
    }
    place.ends(0, "office", &creds);
    // A member, too: its certificate is of the key that is on it.
    let before = fs::read(place.path("domain/identity/certificates/oak.pem")).unwrap();
    place.enrol(0, &[&place.request("oak")]);
    assert_ne!(fs::read(place.path("domain/identity/certificates/oak.pem")).unwrap(), before);
    assert_eq!(credentials::missing(&place.references("oak"), &place.path("oak")).unwrap(), []);
}

/// What was signed needs the keys that it was signed with: a new one in the place of one that is lost would be found out much later.
#[test]
fn a_key_that_is_lost_is_not_made_anew() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    place.ends(0, "operator", &["keys", "sign"]);
    for key in ["operator.nk", "system-account.nk", "account.nk"] {
        let (there, away) = (place.path("operator").join(key), place.path("away.nk"));
        fs::rename(&there, &away).unwrap();
        for verb in ["init", "sign"] {
            let (_, said) = place.ends(4, "operator", &["keys", verb]);
            assert!(said.contains(&format!("help: bring `{key}` back from a copy of the store")), "{said}");
            assert!(!there.exists(), "{verb} made {key}");
        }
        fs::rename(&away, &there).unwrap();
    }
    place.ends(0, "operator", &["keys", "init"]);
}

/// An identity that cannot be read is not one that is missing: new keys would cut every machine off.
#[test]
fn a_damaged_identity_is_not_taken_for_none() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    place.ends(0, "operator", &["keys", "sign"]);
    fs::write(place.path("domain/identity/identity.toml"), "generation = = 1\n").unwrap();
    for words in [&["build", "office"][..], &["keys", "show"], &["keys", "init"], &["keys", "sign"]] {
        let (_, said) = place.ends(1, "operator", words);
        assert!(said.contains("identity/identity.toml:1:14"), "{words:?}: {said}");
        assert!(!said.contains("no identity yet") && !said.contains("keys init"), "{words:?}: {said}");
    }
}

/// Whoever commits the tree would commit the keys.
#[test]
fn a_store_in_the_tree_is_refused() {
    let place = Place::new();
    for store in ["domain/keys", "domain/machines", "domain/some/where"] {
        for words in [&["keys", "init"][..], &["keys", "make", "office"]] {
            let (_, said) = place.ends(2, store, words);
            assert!(said.contains("is in the domain's tree, which is kept and copied"), "{said}");
        }
    }
    assert!(!place.path("domain/keys").exists() && !place.path("domain/some").exists());
}

#[test]
fn a_new_service_on_an_enrolled_machine_waits_for_its_key() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    place.enrol(0, &[&place.request("office")]);
    place.ends(0, "operator", &["keys", "sign"]);
    let file = place.path("domain/machines/office.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[\"todos\"]\nhardware", "[\"todos\", \"temperature-sensor\"]\nhardware")).unwrap();
    let (_, said) = place.ends(1, "operator", &["keys", "sign"]);
    let expected = "office has no key for service-thermometer: run `leafwright keys make office` there and `leafwright keys enrol` here";
    assert!(said.contains(expected), "{said}");
    assert!(!place.path("operator/machines/office").exists(), "nobody else makes it");
    let signed = place.identity();
    place.ends(1, "operator", &["keys", "sign"]);
    assert!(place.identity() == signed, "the rest was signed the first time");
    let (_, said) = place.ends(1, "", &["build", "office"]);
    assert!(said.contains("run `leafwright keys make` on the machine"), "{said}");
    let leaf = fs::read(place.path("office/machines/office/leaf.nk")).unwrap();
    let said = place.enrol(0, &[&place.request("office")]);
    assert!(!said.contains("replaced"), "{said}");
    assert_eq!(fs::read(place.path("office/machines/office/leaf.nk")).unwrap(), leaf);
    assert_eq!(credentials::missing(&place.references("office"), &place.path("office")).unwrap(), []);
}

#[test]
fn keys_that_are_elsewhere_stay_and_an_unbelievable_identity_is_not_signed_away() {
    let place = Place::new();
    place.ends(0, "operator", &["keys", "init"]);
    place.ends(0, "operator", &["keys", "sign"]);
    let before = place.identity();
    fs::remove_dir_all(place.path("operator/machines/pi")).unwrap();
    let (_, said) = place.ends(0, "operator", &["keys", "sign"]);
    assert!(said.contains("kept: 3 keys of pi") && place.identity() == before, "{said}");
    let said = place.enrol(1, &[&place.request("pi")]);
    assert!(said.contains("--replace pi"), "whoever has them is not replaced by the way: {said}");
    place.enrol(0, &[&place.request("office")]);
    fs::remove_file(place.path("domain/identity/machines/office/leaf.jwt")).unwrap();
    let enrolled = place.identity();
    let (_, said) = place.ends(4, "operator", &["keys", "sign"]);
    assert!(said.contains("cannot be believed, and machines are enrolled"), "{said}");
    assert!(place.identity() == enrolled);
}
