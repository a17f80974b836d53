//! JWTs at a real nats-server in operator mode: each kind accepted, each forgery refused.

use crate::ports::free_port;
use crate::servers::{DEADLINE, connect_as, operator_config, parse, said, settled, start};
use crate::store::wanted;
use data_encoding::BASE64URL_NOPAD;
use leafwright::host::endpoint::{self, Endpoint, Login};
use leafwright::host::keys::{KeyId, KeyStore, NKey};
use leafwright::host::provision;
use leafwright::identity::jwt::{self, Account, JetStream, User};
use leafwright::identity::{Permissions, PublicIdentity, UserId};
use leafwright::name::MachineName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use time::OffsetDateTime;

struct Domain {
    dir: tempfile::TempDir,
    store: KeyStore,
    identity: PublicIdentity,
}

fn domain() -> Domain {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let identity = provision(&store, &wanted(), None, OffsetDateTime::now_utc()).unwrap();
    Domain { dir, store, identity }
}

impl Domain {
    fn key(&self, id: &KeyId) -> NKey {
        self.store.nkey_or_new(id).unwrap()
    }

    fn jwt(&self, user: &UserId) -> String {
        self.identity.users[user].jwt.clone().unwrap()
    }

    fn minted(&self, signer: &NKey, permissions: &Permissions, expires: Option<u64>) -> String {
        let key = &self.identity.users[&UserId::Provisioner].key;
        let connections = BTreeSet::new();
        let user = User { name: "x", key, permissions, connections: &connections, account: None, expires };
        jwt::user(signer, user, 1)
    }
}

fn everything() -> Permissions {
    leafwright::identity::sets::provisioner()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_accepted_and_each_forgery_refused() {
    let domain = domain();
    let (port, leafnodes) = (free_port(), free_port());
    let config = operator_config(domain.dir.path(), &domain.identity, port, leafnodes);
    parse(domain.dir.path(), &config).unwrap();
    let _server = start(domain.dir.path(), "hub", port, &config);
    let connect = async |jwt: &str| connect_as(&domain.store, &UserId::Provisioner, jwt, port).await;
    let account = domain.key(&KeyId::Account);

    let provisioner = connect(&domain.jwt(&UserId::Provisioner)).await.unwrap();
    let info = provisioner.request("$JS.API.INFO", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!(info["limits"]["max_storage"], -1, "the account has JetStream without limits: {info}");
    let system = connect_as(&domain.store, &UserId::System, &domain.jwt(&UserId::System), port).await.unwrap();
    let pong = system.request("$SYS.REQ.SERVER.PING", "".into()).await.unwrap();
    assert!(String::from_utf8_lossy(&pong.payload).contains("\"oak\""));
    let refused = |result: Result<async_nats::Client, String>| result.err().map(|error| error.to_lowercase());

    let now = OffsetDateTime::now_utc().unix_timestamp().cast_unsigned();
    assert_eq!(refused(connect(&domain.minted(&account, &everything(), Some(now + 3600))).await), None);
    let foreign = NKeyOf::account();
    for (forgery, jwt) in [
        ("signed by another account's key", domain.minted(&foreign.0, &everything(), None)),
        (
            "signed by the system account for this one",
            domain.minted(&domain.key(&KeyId::Operator), &everything(), None),
        ),
        ("expired", domain.minted(&account, &everything(), Some(now - 10))),
        ("altered payload", altered(&domain.minted(&account, &Permissions::default(), None))),
        ("of another user", domain.jwt(&UserId::Leaf(MachineName::parse("thermo").unwrap()))),
    ] {
        let error = refused(connect(&jwt).await).unwrap_or_else(|| panic!("{forgery} was accepted"));
        assert!(error.contains("authorization violation"), "{forgery}: {error}");
    }
    let leaf = UserId::Leaf(MachineName::parse("thermo").unwrap());
    let error =
        refused(connect_as(&domain.store, &leaf, &domain.jwt(&leaf), port).await).expect("a leaf's user is no client");
    assert!(error.contains("authorization violation"), "{error}");
}

/// An NKey that no account of the domain knows.
struct NKeyOf(NKey, #[expect(dead_code, reason = "keeps the directory")] tempfile::TempDir);

impl NKeyOf {
    fn account() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = KeyStore::create(&dir.path().join("keys")).unwrap();
        Self(store.nkey_or_new(&KeyId::Account).unwrap(), dir)
    }
}

/// The same JWT with rights that nobody signed.
fn altered(jwt: &str) -> String {
    let parts: Vec<&str> = jwt.split('.').collect();
    let payload = String::from_utf8(BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap()).unwrap();
    assert!(payload.contains(r#""deny":[">"]"#));
    let payload = payload.replace(r#""deny":[">"]"#, r#""deny":["x"]"#);
    format!("{}.{}.{}", parts[0], BASE64URL_NOPAD.encode(payload.as_bytes()), parts[2])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_a_foreign_operator_opens_nothing() {
    let domain = domain();
    let foreign_dir = tempfile::tempdir().unwrap();
    let foreign = KeyStore::create(&foreign_dir.path().join("keys")).unwrap().nkey_or_new(&KeyId::Operator).unwrap();
    let key = &domain.identity.account.key;
    let claims = Account {
        name: "MEADOW",
        key,
        jetstream: JetStream::Unlimited,
        signing_keys: &[],
        default_permissions: None,
        revoked: &BTreeMap::new(),
    };
    let mut identity = domain.identity.clone();
    identity.account.jwt = jwt::account(&foreign, claims, 1);
    let ours = jwt::read_account_of(&domain.identity.operator.key, &identity.account.jwt, key);
    assert!(matches!(ours, Err(jwt::Fault::Issuer { .. })));

    let port = free_port();
    let config = operator_config(domain.dir.path(), &identity, port, free_port());
    let _server = start(domain.dir.path(), "hub", port, &config);
    let user = connect_as(&domain.store, &UserId::Provisioner, &domain.jwt(&UserId::Provisioner), port).await;
    assert!(user.unwrap_err().to_lowercase().contains("authorization violation"));

    // Who was refused can tell it from silence.
    let knock = async |port: u16| {
        let creds = domain.store.creds(&UserId::Provisioner, &domain.jwt(&UserId::Provisioner)).unwrap();
        let endpoint = Endpoint::at([SocketAddr::from(([127, 0, 0, 1], port))]).login(Login::Creds(creds));
        endpoint.connect(DEADLINE).await.unwrap_err().context("at the door")
    };
    assert!(endpoint::is_refused(&knock(port).await));
    assert!(!endpoint::is_refused(&knock(free_port()).await));
}

#[test]
fn a_broken_account_jwt_is_found_without_a_start() {
    let mut domain = domain();
    domain.identity.account.jwt = domain.identity.account.jwt.replacen('.', "x.", 2);
    let config = operator_config(domain.dir.path(), &domain.identity, free_port(), free_port());
    assert!(parse(domain.dir.path(), &config).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_and_deny_wins_but_for_responses() {
    let domain = domain();
    let (port, leafnodes) = (free_port(), free_port());
    let _server =
        start(domain.dir.path(), "hub", port, &operator_config(domain.dir.path(), &domain.identity, port, leafnodes));
    let set = |subjects: &[&str]| subjects.iter().map(|s| (*s).to_owned()).collect();
    let mut rights = Permissions::default();
    rights.publish.allow = set(&["a.>", "_INBOX.>"]);
    rights.publish.deny = set(&["a.secret", "_INBOX.>"]);
    rights.subscribe.allow = set(&["a.>", "query"]);
    rights.allow_responses = Some(1);
    let jwt = domain.minted(&domain.key(&KeyId::Account), &rights, None);
    let narrow = connect_as(&domain.store, &UserId::Provisioner, &jwt, port).await.unwrap();
    let wide = connect_as(&domain.store, &UserId::Provisioner, &domain.jwt(&UserId::Provisioner), port).await.unwrap();

    let mut heard = wide.subscribe(">").await.unwrap();
    let mut queries = narrow.subscribe("query").await.unwrap();
    settled(&wide, "settled", &mut heard).await;
    settled(&narrow, "a.settled", &mut heard).await;
    for subject in ["b", "a.secret", "_INBOX.guessed", "a.b"] {
        narrow.publish(subject, "x".into()).await.unwrap();
    }
    assert_eq!(said(&mut heard).await, "a.b", "what is denied, and what is not allowed, does not arrive");

    let asking = wide.request("query", "?".into());
    let answering = async {
        let question = futures_util::StreamExt::next(&mut queries).await.unwrap();
        let reply = question.reply.unwrap();
        narrow.publish(reply, "!".into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer.unwrap().payload, "!", "a response is allowed although its subject is denied");
}
