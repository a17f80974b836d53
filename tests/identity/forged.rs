//! Requests that somebody made up or changed, and what real servers say to keys that were made on a machine.

use crate::link::layout::wait;
use crate::link::raw::RawLeaf;
use crate::ports::free_port;
use crate::servers::{DEADLINE, connect_as, operator_config, start};
use crate::store::wanted;
use leafwright::host::enrolment::{self, Enrolment, Refused, Taken};
use leafwright::host::keys::{KeyId, KeyStore, NKey, put_secret};
use leafwright::host::{ca, prepare_store, provision};
use leafwright::identity::enrol::{Fault, Request};
use leafwright::identity::jwt::Signer;
use leafwright::identity::{Before, PublicIdentity, UserId, Wanted};
use leafwright::name::MachineName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use time::{Duration, OffsetDateTime};

fn machine(name: &str) -> MachineName {
    MachineName::parse(name).unwrap()
}

fn thermo() -> UserId {
    UserId::Leaf(machine("thermo"))
}

struct Domain {
    dir: tempfile::TempDir,
    wanted: Wanted,
    operator: KeyStore,
}

impl Domain {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let operator = KeyStore::create(&dir.path().join("operator")).unwrap();
        prepare_store(&operator).unwrap();
        let mut wanted = wanted();
        // A second leaf, whose name others could use.
        let rights = wanted.users[&thermo()].clone();
        wanted.users.insert(UserId::Leaf(machine("office")), rights);
        Self { dir, wanted, operator }
    }

    fn store(&self, name: &str) -> KeyStore {
        KeyStore::create(&self.dir.path().join(name)).unwrap()
    }

    fn made(&self, name: &str) -> String {
        enrolment::make(&self.store(name), &self.wanted, &machine(name)).unwrap().text
    }

    fn take(&self, text: &str, before: Option<&PublicIdentity>, replace: Option<&str>) -> Result<Taken, String> {
        let request = Request::read(text).map_err(|fault| fault.to_string())?;
        let replace = replace.map(machine);
        let before = Before::from(before);
        let enrolment = Enrolment { store: &self.operator, wanted: &self.wanted, before, replace: replace.as_ref() };
        enrolment.take(&request, OffsetDateTime::now_utc()).map_err(|error| {
            assert!(error.is::<Refused>(), "{error:?}");
            error.to_string()
        })
    }

    fn identity(&self, text: &str, before: Option<&PublicIdentity>) -> PublicIdentity {
        self.take(text, before, None).unwrap().provisioned.identity
    }
}

/// The request with one thing changed.
fn changed(text: &str, change: impl Fn(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    assert_ne!(value, serde_json::from_str::<Value>(text).unwrap(), "nothing was changed");
    value.to_string()
}

/// A request for these users that is signed as it must be, by new keys.
fn well_signed(domain: &Domain, name: &str, users: &[UserId], csr: Option<String>) -> String {
    let store =
        domain.store(&format!("evil-{}", users.iter().map(ToString::to_string).collect::<String>().replace('/', "-")));
    let keys: BTreeMap<UserId, NKey> =
        users.iter().map(|user| (user.clone(), store.nkey_or_new(&KeyId::User(user.clone())).unwrap())).collect();
    let request = Request {
        domain: domain.wanted.domain.clone(),
        machine: machine(name),
        users: keys.iter().map(|(user, key)| (user.clone(), key.public())).collect(),
        csr,
    };
    request.written(&keys.iter().map(|(user, key)| (user.clone(), key as &dyn Signer)).collect())
}

#[test]
fn an_altered_request_is_refused() {
    let domain = Domain::new();
    let (text, other) = (domain.made("thermo"), domain.made("office"));
    let (leaf, local) = ("machines/thermo/leaf", "machines/thermo/provisioner");
    assert!(domain.take(&text, None, None).is_ok());
    let strange: Value = serde_json::from_str(&other).unwrap();
    let strange = &strange["users"]["machines/office/leaf"];
    let account = domain.operator.nkey_or_new(&KeyId::Account).unwrap().public().to_string();
    let swap = |value: &mut Value, table: &str| {
        let (a, b) = (value[table][leaf].clone(), value[table][local].clone());
        value[table][leaf] = b;
        value[table][local] = a;
    };
    let rows = [
        (
            "an altered key",
            changed(&text, |v| v["users"][leaf] = strange.clone()),
            "the signature of `machines/thermo/leaf`",
        ),
        ("another machine's name", changed(&text, |v| v["machine"] = json!("office")), "is not that of its key"),
        ("another domain's name", changed(&text, |v| v["domain"] = json!("forest")), "is not that of its key"),
        ("swapped signatures", changed(&text, |v| swap(v, "signatures")), "is not that of its key"),
        ("swapped keys", changed(&text, |v| swap(v, "users")), "is not that of its key"),
        ("a certificate besides", changed(&text, |v| v["csr"] = json!("x")), "not one block of PEM"),
        ("no signature", changed(&text, |v| v["signatures"] = json!({})), "do not match"),
        ("a signature too many", changed(&text, |v| v["signatures"]["domain/system"] = json!("x")), "do not match"),
        ("a damaged signature", changed(&text, |v| v["signatures"][leaf] = json!("!")), "is not that of its key"),
        (
            "a key taken away",
            changed(&text, |v| drop(v["users"].as_object_mut().unwrap().remove(local))),
            "do not match",
        ),
        ("an account's key", changed(&text, |v| v["users"][leaf] = json!(account)), "is not a user's"),
        ("nobody's user", changed(&text, |v| v["users"]["root"] = strange.clone()), "is no user"),
        ("a field more", changed(&text, |v| v["admin"] = json!(true)), "is not an enrolment request"),
        ("another format", changed(&text, |v| v["format"] = json!(2)), "written by a newer leafwright (format 2"),
        ("half of it", text[..text.len() / 2].to_owned(), "is not an enrolment request"),
        ("nothing", String::new(), "is not an enrolment request"),
    ];
    for (fault, text, reason) in rows {
        let refused = domain.take(&text, None, None).expect_err(fault);
        assert!(refused.contains(reason), "{fault}: {refused}");
    }
}

#[test]
fn a_machine_speaks_for_itself_alone() {
    let domain = Domain::new();
    let person = leafwright::name::PersonName::parse("ada").unwrap();
    let service = leafwright::name::ServiceName::parse("todos").unwrap();
    let csr = |name: &str| {
        let (key, _) = ca::key_or_new(&domain.store("certificates"), &KeyId::Server(machine(name))).unwrap();
        ca::request(&domain.wanted.domain, &machine(name), &["oak".to_owned()].into(), &key).unwrap()
    };
    let mixed = Request::read(&well_signed(&domain, "thermo", &[thermo()], None)).unwrap();
    assert_eq!(mixed.machine, machine("thermo"));
    let rows = [
        (
            "another machine's user",
            well_signed(&domain, "thermo", &[UserId::Leaf(machine("office"))], None),
            "may not speak for",
        ),
        (
            "another's besides its own",
            well_signed(&domain, "thermo", &[thermo(), UserId::Leaf(machine("office"))], None),
            "may not speak for `machines/office/leaf`",
        ),
        (
            "Leafwright on the cluster",
            well_signed(&domain, "thermo", &[UserId::Provisioner], None),
            "may not speak for",
        ),
        ("the system account", well_signed(&domain, "thermo", &[UserId::System], None), "may not speak for"),
        (
            "a person",
            well_signed(&domain, "thermo", &[UserId::Person(machine("thermo"), person)], None),
            "may not speak for",
        ),
        (
            "an undeclared service",
            well_signed(&domain, "thermo", &[UserId::Service(machine("thermo"), service)], None),
            "is not declared",
        ),
        (
            "an undeclared machine",
            well_signed(&domain, "attic", &[UserId::Leaf(machine("attic"))], None),
            "no machine `attic`",
        ),
        (
            "a leaf as a server",
            well_signed(&domain, "thermo", &[thermo()], Some(csr("thermo"))),
            "no member of the cluster",
        ),
        ("another's certificate", well_signed(&domain, "oak", &[], Some(csr("thermo"))), "it is not for `oak`"),
        ("no key at all", well_signed(&domain, "oak", &[], None), "there is no key"),
    ];
    for (fault, text, reason) in rows {
        let refused = domain.take(&text, None, None).expect_err(fault);
        assert!(refused.contains(reason), "{fault}: {refused}");
    }
    let twice: BTreeSet<UserId> = [thermo(), UserId::LocalProvisioner(machine("thermo"))].into();
    let key = domain.store("twice").nkey_or_new(&KeyId::User(thermo())).unwrap();
    let users = twice.iter().map(|user| (user.clone(), key.public())).collect();
    let request = Request { domain: domain.wanted.domain.clone(), machine: machine("thermo"), users, csr: None };
    assert_eq!(request.judge(&domain.wanted, None), Err(Fault::KeyTwice { key: key.public() }));
}

/// The signature of a certificate request covers its key: the key of another is of no use to whoever cannot sign with it.
#[test]
fn a_certificate_request_of_another_key_is_refused_and_its_names_do_not_count() {
    let domain = Domain::new();
    let (oak, store) = (machine("oak"), domain.store("oak"));
    let good = domain.made("oak");
    let csr = serde_json::from_str::<Value>(&good).unwrap()["csr"].as_str().unwrap().to_owned();
    let (other, _) = ca::key_or_new(&domain.store("other"), &KeyId::Server(oak.clone())).unwrap();
    let (mine, _) = ca::key_or_new(&store, &KeyId::Server(oak.clone())).unwrap();
    let (mine, other) =
        (rcgen::PublicKeyData::der_bytes(&mine).to_owned(), rcgen::PublicKeyData::der_bytes(&other).to_owned());
    let body: String = csr.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let at = der.windows(mine.len()).position(|part| part == mine).unwrap();
    der[at..at + other.len()].copy_from_slice(&other);
    let forged = data_encoding::BASE64.encode(&der);
    let forged = format!("-----BEGIN CERTIFICATE REQUEST-----\n{forged}\n-----END CERTIFICATE REQUEST-----\n");
    let refused = domain.take(&changed(&good, |v| v["csr"] = json!(forged)), None, None).unwrap_err();
    assert!(refused.contains("its signature is not that of its key"), "{refused}");
    for around in [format!("{csr}secret notes\n"), format!("\n{csr}"), csr.replace("REQUEST", "X"), csr.repeat(2)] {
        let refused = domain.take(&changed(&good, |v| v["csr"] = json!(around)), None, None).unwrap_err();
        assert!(refused.contains("not one block of PEM"), "{refused}");
    }

    let (key, _) = ca::key_or_new(&store, &KeyId::Server(oak.clone())).unwrap();
    let names = ["bank.example".to_owned()].into();
    let greedy = ca::request(&domain.wanted.domain, &oak, &names, &key).unwrap();
    let identity = domain.identity(&changed(&good, |v| v["csr"] = json!(greedy)), None);
    let certificate = &identity.certificates[&oak];
    assert_eq!(certificate.names, domain.wanted.servers[&oak]);
    let body: String = certificate.pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let holds = |text: &[u8]| der.windows(text.len()).any(|part| part == text);
    assert!(holds(b"oak.meadow.example") && !holds(b"bank.example"));
}

#[test]
fn signing_keeps_what_was_enrolled_and_signs_it_anew_when_its_rights_change() {
    let mut domain = Domain::new();
    let first = domain.identity(&domain.made("thermo"), None);
    let second = domain.identity(&domain.made("oak"), Some(&first));
    assert!(!second.users.contains_key(&UserId::Leaf(machine("office"))), "nobody asked for it yet");
    let now = OffsetDateTime::now_utc();
    let sign = |domain: &Domain, before: &PublicIdentity, now| {
        provision(&domain.operator, &domain.wanted, before, now).unwrap()
    };
    let second = sign(&domain, &second, now);
    assert!(second.users.contains_key(&UserId::Leaf(machine("office"))) && second.enrolled.len() == 2);
    assert_eq!(second.users[&thermo()], first.users[&thermo()], "also where the store is thought to be the only one");
    assert_eq!(sign(&domain, &second, now), second);
    domain.wanted.users.get_mut(&thermo()).unwrap().0.publish.allow.insert("qry.meadow.>".to_owned());
    let third = sign(&domain, &second, now);
    assert_eq!(third.users[&thermo()].key, first.users[&thermo()].key);
    assert_ne!(third.users[&thermo()].jwt, first.users[&thermo()].jwt);
    assert!(third.revoked.is_empty() && third.account == second.account, "a key that stays is not revoked");
    assert!(!domain.operator.has(&KeyId::User(thermo())) && !domain.operator.has(&KeyId::Server(machine("oak"))));
    // Renewed from the request that was kept: the key is on the machine.
    let oak = machine("oak");
    let later = sign(&domain, &third, now + Duration::days(320));
    assert_ne!(later.certificates[&oak].pem, third.certificates[&oak].pem);
    assert_eq!(later.certificates[&oak].request, third.certificates[&oak].request);
    domain.wanted.servers.get_mut(&oak).unwrap().insert("10.0.0.1".to_owned());
    let renamed = sign(&domain, &later, now + Duration::days(320));
    assert_ne!(renamed.certificates[&oak].pem, later.certificates[&oak].pem);
    // Whoever is declared no more is enrolled no more.
    domain.wanted.servers.clear();
    assert_eq!(sign(&domain, &renamed, now).enrolled, [machine("thermo")].into());
}

#[derive(Debug, PartialEq)]
enum Answer {
    Taken,
    Refused,
}

/// What a hub says to a leaf's credential, however long it takes.
fn answer(leafnodes: u16, key: &NKey, jwt: &str) -> Answer {
    let mut leaf = RawLeaf::connect(leafnodes, key, jwt);
    let (started, mut heard) = (std::time::Instant::now(), vec![]);
    while started.elapsed() < DEADLINE {
        heard.extend(leaf.heard());
        if heard.iter().any(|line| line.starts_with("-ERR")) {
            return Answer::Refused;
        }
        if heard.iter().any(|line| line == "PONG") {
            return Answer::Taken;
        }
    }
    panic!("no answer, only {heard:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_leaf_links_with_keys_that_were_made_on_it_and_a_replaced_one_does_not() {
    let domain = Domain::new();
    let identity = domain.identity(&domain.made("thermo"), None);
    let jwt = |identity: &PublicIdentity| identity.users[&thermo()].jwt.clone().unwrap();
    let dir = domain.dir.path();
    let creds = dir.join("leaf.creds");
    put_secret(&creds, &domain.store("thermo").creds(&thermo(), &jwt(&identity)).unwrap(), 0o400).unwrap();
    let (port, leafnodes, local) = (free_port(), free_port(), free_port());
    let _hub = start(dir, "hub", port, &operator_config(dir, &identity, port, leafnodes));
    let _leaf = start(
        dir,
        "thermo-server",
        local,
        &json!({
            "server_name": "thermo",
            "listen": format!("127.0.0.1:{local}"),
            "leafnodes": {"remotes": [{"urls": [format!("nats://127.0.0.1:{leafnodes}")], "credentials": creds}]},
        }),
    );
    let system = identity.users[&UserId::System].jwt.as_deref().unwrap();
    let system = connect_as(&domain.operator, &UserId::System, system, port).await.unwrap();
    let linked = wait(DEADLINE, "the link", async || {
        let leafz = system.request("$SYS.REQ.SERVER.PING.LEAFZ", "".into()).await;
        leafz.is_ok_and(|leafz| serde_json::from_slice::<Value>(&leafz.payload).unwrap()["data"]["leafnodes"] == 1)
    });
    linked.await.unwrap();

    // The machine is installed anew: a hub that knows it takes the new key and not the old one.
    let old = domain.store("thermo").nkey(&KeyId::User(thermo())).unwrap().unwrap();
    std::fs::rename(dir.join("thermo"), dir.join("old-thermo")).unwrap();
    let text = domain.made("thermo");
    assert!(domain.take(&text, Some(&identity), None).unwrap_err().contains("--replace thermo"));
    let after = domain.take(&text, Some(&identity), Some("thermo")).unwrap().provisioned.identity;
    let new = domain.store("thermo").nkey(&KeyId::User(thermo())).unwrap().unwrap();
    let (port, leafnodes) = (free_port(), free_port());
    let mut config = operator_config(dir, &after, port, leafnodes);
    config["jetstream"]["store_dir"] = json!(dir.join("second"));
    let _second = start(dir, "second", port, &config);
    assert_eq!(answer(leafnodes, &old, &jwt(&identity)), Answer::Refused);
    assert_eq!(answer(leafnodes, &new, &jwt(&after)), Answer::Taken);
    // Without the revocation the old one would still be good: its JWT has no end.
    let mut forgetful = after.clone();
    forgetful.account = identity.account.clone();
    let (port, leafnodes) = (free_port(), free_port());
    let mut config = operator_config(dir, &forgetful, port, leafnodes);
    config["jetstream"]["store_dir"] = json!(dir.join("third"));
    let _third = start(dir, "third", port, &config);
    assert_eq!(answer(leafnodes, &old, &jwt(&identity)), Answer::Taken);
}
