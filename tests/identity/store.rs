//! The key store and what `provision` makes with it.

use leafwright::diag::Sources;
use leafwright::host::keys::{KeyId, KeyStore, Secret, put_secret};
use leafwright::host::{identity_files, provision};
use leafwright::identity::jwt::Signer;
use leafwright::identity::{ConnectionType, PublicIdentity, UserId, Wanted, files, from_declared, sets};
use leafwright::name::{AccountName, DomainName, MachineName};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use time::{Duration, OffsetDateTime};

fn machine(name: &str) -> MachineName {
    MachineName::parse(name).unwrap()
}

pub fn wanted() -> Wanted {
    let leaf = UserId::Leaf(machine("thermo"));
    Wanted {
        domain: DomainName::parse("meadow").unwrap(),
        account: AccountName::parse("MEADOW").unwrap(),
        users: [
            (UserId::Provisioner, (sets::provisioner(), [ConnectionType::Standard].into())),
            (UserId::System, (sets::system(), [ConnectionType::Standard].into())),
            (leaf, (Default::default(), [ConnectionType::Leafnode].into())),
            (UserId::LocalProvisioner(machine("thermo")), (sets::local_provisioner(), [].into())),
        ]
        .into(),
        servers: [(machine("oak"), ["oak.meadow.example".to_owned(), "127.0.0.1".to_owned()].into())].into(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn every_file(root: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(every_file(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn keys_are_private_files_and_are_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let first = store.nkey_or_new(&KeyId::User(UserId::Leaf(machine("thermo")))).unwrap();
    let again = store.nkey_or_new(&KeyId::User(UserId::Leaf(machine("thermo")))).unwrap();
    assert_eq!(first.public(), again.public());
    assert_eq!(mode(store.root()), 0o700);
    assert_eq!(mode(&store.root().join("machines/thermo")), 0o700);
    assert_eq!(every_file(store.root()), [store.root().join("machines/thermo/leaf.nk")], "nothing is left beside it");
    assert_eq!(mode(&store.root().join("machines/thermo/leaf.nk")), 0o600);
    let over = store.write_new(&KeyId::User(UserId::Leaf(machine("thermo"))), &Secret::new("x".to_owned()));
    assert!(over.unwrap_err().to_string().contains("never overwritten"));
    assert_eq!(store.nkey_or_new(&KeyId::User(UserId::Leaf(machine("thermo")))).unwrap().public(), first.public());
}

#[test]
fn a_store_that_others_can_read_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    store.nkey_or_new(&KeyId::Operator).unwrap();
    let file = store.path(&KeyId::Operator);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = store.nkey(&KeyId::Operator).unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
    fs::set_permissions(store.root(), fs::Permissions::from_mode(0o750)).unwrap();
    let refused = KeyStore::open(store.root()).unwrap_err().to_string();
    assert!(refused.contains("chmod 700"), "{refused}");
}

#[test]
fn a_wrong_key_is_an_error_that_does_not_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let account = store.nkey_or_new(&KeyId::Account).unwrap();
    let seed = account.seed().unwrap();
    store.write_new(&KeyId::Operator, &Secret::new(seed.reveal().to_owned())).unwrap();
    let wrong = format!("{:?}", store.nkey(&KeyId::Operator).unwrap_err());
    assert!(wrong.contains("another kind") && !wrong.contains(seed.reveal()));
    store.write_new(&KeyId::SystemAccount, &Secret::new(format!("{}x", seed.reveal()))).unwrap();
    let wrong = format!("{:?}", store.nkey(&KeyId::SystemAccount).unwrap_err());
    assert!(wrong.contains("does not hold") && !wrong.contains(seed.reveal()));
    assert!(!format!("{account:?}").contains(seed.reveal()));
}

#[test]
fn creds_are_written_for_their_reader_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let identity = provision(&store, &wanted(), None, OffsetDateTime::now_utc()).unwrap();
    let leaf = UserId::Leaf(machine("thermo"));
    let creds = store.creds(&leaf, identity.users[&leaf].jwt.as_deref().unwrap()).unwrap();
    let path = dir.path().join("leaf.creds");
    put_secret(&path, &creds, 0o400).unwrap();
    put_secret(&path, &creds, 0o400).unwrap();
    assert_eq!(mode(&path), 0o400);
    assert_eq!(fs::read_to_string(&path).unwrap(), creds.reveal());
}

#[test]
fn signing_again_changes_nothing_and_a_change_touches_only_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let now = OffsetDateTime::now_utc();
    let mut wanted = wanted();
    let first = provision(&store, &wanted, None, now).unwrap();
    assert_eq!(first.generation, 1);
    assert_eq!(provision(&store, &wanted, Some(&first), now + Duration::days(1)).unwrap(), first);

    let leaf = UserId::Leaf(machine("thermo"));
    wanted.users.get_mut(&leaf).unwrap().0.publish.allow.insert("qry.meadow.>".to_owned());
    let second = provision(&store, &wanted, Some(&first), now).unwrap();
    assert_eq!(second.generation, 2);
    assert_ne!(second.users[&leaf], first.users[&leaf]);
    assert_eq!(second.users[&leaf].key, first.users[&leaf].key);
    assert_eq!(second.users[&UserId::Provisioner], first.users[&UserId::Provisioner]);
    assert_eq!((&second.operator, &second.account), (&first.operator, &first.account));
    assert_eq!((&second.ca, &second.certificates), (&first.ca, &first.certificates));
}

#[test]
fn a_certificate_is_renewed_before_its_end_and_for_new_names() {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(&dir.path().join("keys")).unwrap();
    let now = OffsetDateTime::now_utc();
    let mut wanted = wanted();
    let first = provision(&store, &wanted, None, now).unwrap();
    let later = provision(&store, &wanted, Some(&first), now + Duration::days(320)).unwrap();
    assert_eq!(later.ca, first.ca);
    assert_ne!(later.certificates[&machine("oak")].pem, first.certificates[&machine("oak")].pem);
    wanted.servers.get_mut(&machine("oak")).unwrap().insert("10.0.0.1".to_owned());
    let renamed = provision(&store, &wanted, Some(&first), now).unwrap();
    assert_ne!(renamed.certificates[&machine("oak")].pem, first.certificates[&machine("oak")].pem);
    assert_eq!(renamed.generation, 2);
}

#[test]
fn a_store_of_another_domain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mine, other) = (dir.path().join("mine"), dir.path().join("other"));
    let now = OffsetDateTime::now_utc();
    let first = provision(&KeyStore::create(&mine).unwrap(), &wanted(), None, now).unwrap();
    let refused = provision(&KeyStore::create(&other).unwrap(), &wanted(), Some(&first), now).unwrap_err().to_string();
    assert!(refused.contains("is not this domain's"), "{refused}");
    assert!(every_file(&other).is_empty(), "nothing was made in it");
}

fn read_back(files: &BTreeMap<String, String>) -> leafwright::diag::Checked<PublicIdentity> {
    let mut sources = Sources::default();
    sources.add("domain.toml", "name = \"meadow\"\ndns = \"meadow.example\"\n");
    for (path, text) in files {
        sources.add(format!("identity/{path}"), text.clone());
    }
    let declared = leafwright::declare::all(&sources).value.unwrap();
    from_declared(&declared.identity.unwrap())
}

#[test]
fn what_is_written_reads_back_and_a_strange_jwt_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let store = |name: &str| KeyStore::create(&dir.path().join(name)).unwrap();
    let identity = provision(&store("mine"), &wanted(), None, now).unwrap();
    let mut files = files(&identity);
    assert_eq!(read_back(&files).value.as_ref(), Some(&identity));

    let other = provision(&store("other"), &wanted(), None, now).unwrap();
    let leaf = "machines/thermo/leaf.jwt";
    files.insert(leaf.to_owned(), leafwright::identity::files(&other)[leaf].clone());
    let read = read_back(&files);
    assert!(read.value.is_none());
    assert_eq!(read.report.diagnostics.len(), 1);
    assert!(read.report.diagnostics[0].message.starts_with("`identity/machines/thermo/leaf.jwt` cannot be believed"));
}

#[test]
fn the_folder_follows_the_identity_and_keeps_the_notes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, folder) = (KeyStore::create(&dir.path().join("keys")).unwrap(), dir.path().join("identity"));
    let mut wanted = wanted();
    let first = provision(&store, &wanted, None, OffsetDateTime::now_utc()).unwrap();
    assert!(identity_files::write(&folder, &first).unwrap().contains(&"machines/thermo/leaf.jwt".to_owned()));
    assert_eq!(identity_files::write(&folder, &first).unwrap(), [""; 0]);
    fs::write(folder.join("README.md"), "ours").unwrap();
    wanted.users.remove(&UserId::Leaf(machine("thermo")));
    let second = provision(&store, &wanted, &first, OffsetDateTime::now_utc()).unwrap();
    let changed = identity_files::write(&folder, &second).unwrap();
    assert_eq!(changed, ["identity.toml", "machines/thermo/leaf.jwt"]);
    assert!(!folder.join("machines").exists() && folder.join("README.md").exists());
}
