//! Credentials on the machine: what the closure refers to is made of the machine's own keys and put where it belongs.
//!
//! Refuses: a key that is not the one that was signed, a file that others could read, and saying what is in one.
//! `written` is the one place where content becomes what is on the disk: the secret, or what systemd-creds makes of it.

use super::disk::sync_directory;
use super::keys::{KeyId, KeyStore, Owner, Secret, put_secret_for};
use super::systemd::creds;
use crate::compile::Closure;
use crate::compile::credentials::{Credential, LEAF_JWT};
use crate::compile::units;
use crate::identity::UserId;
use crate::identity::jwt::{self, Signer};
use crate::name::{MachineName, NKeyPublic};
use crate::plan::machine::secrets::{self, Holds, SecretFile};
use anyhow::{Context, Result, bail};
use data_encoding::BASE64_MIME;
use rcgen::PublicKeyData;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a closure refers to, and the public things in it that the keys must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct References {
    pub machine: MachineName,
    pub files: Vec<SecretFile>,
    jwt: Option<String>,
    /// Keys of the users of the leaf.
    users: BTreeSet<String>,
    /// The server's own, PEM.
    certificate: Option<String>,
}

/// Reads the references of a closure in its directory.
pub fn read(closure: &Path, machine: &MachineName) -> Result<References> {
    let references = references(machine, |path| text(closure, path));
    references.with_context(|| format!("the closure {}", closure.display()))
}

/// The references of a closure that was just compiled.
pub fn of(closure: &Closure, machine: &MachineName) -> Result<References> {
    references(machine, |path| {
        let found = closure.artefacts.iter().find(|artefact| artefact.path == path);
        Ok(found.map(|artefact| String::from_utf8_lossy(&artefact.bytes).into_owned()))
    })
}

fn references(machine: &MachineName, text: impl Fn(&str) -> Result<Option<String>>) -> Result<References> {
    let credentials = text("credentials.json")?.context("it holds no credentials.json: it is not that of a machine")?;
    let credentials: Vec<Credential> = serde_json::from_str(&credentials).context("cannot read credentials.json")?;
    let config = text(units::CONFIG.trim_start_matches('/'))?;
    let config: Value = config.map_or(Ok(Value::Null), |config| {
        serde_json::from_str(&config).with_context(|| format!("cannot read {}", units::CONFIG))
    })?;
    let accounts = config["accounts"].as_object().into_iter().flat_map(|accounts| accounts.values());
    let users = accounts.flat_map(|account| account["users"].as_array().into_iter().flatten());
    let certificate = [&config["cluster"], &config["leafnodes"]].map(|block| block["tls"]["cert_file"].as_str());
    let certificate = certificate.into_iter().flatten().next().map(|path| path.trim_start_matches('/'));
    Ok(References {
        machine: machine.clone(),
        files: secrets::files(machine, &credentials)?,
        jwt: text(LEAF_JWT)?.map(|jwt| jwt.trim_end().to_owned()),
        users: users.filter_map(|user| user["nkey"].as_str()).map(str::to_owned).collect(),
        certificate: certificate.map(text).transpose()?.flatten(),
    })
}

fn text(closure: &Path, path: &str) -> Result<Option<String>> {
    let path = closure.join(path);
    match fs::read_to_string(&path) {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// A credential that cannot be made: for the check before anything is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As the closure calls it.
    pub name: String,
    pub machine: MachineName,
    /// With the way out.
    pub why: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the credential {} of {} is missing: {}", self.name, self.machine, self.why)
    }
}

/// All that cannot be made of the keys in this store. It looks and changes nothing.
pub fn missing(references: &References, store: &Path) -> Result<Vec<Missing>> {
    let store = opened(store)?;
    let mut missing = vec![];
    for file in &references.files {
        if let Err(why) = content(references, file, &store)? {
            missing.push(Missing { name: file.name.clone(), machine: references.machine.clone(), why });
        }
    }
    Ok(missing)
}

/// Puts every credential below `root` where it is not there as it must be; returns the names of those that changed.
/// The users that own them must exist: `systemd-sysusers` goes before.
pub fn place(references: &References, store: &Path, root: &Path) -> Result<Vec<String>> {
    let opened = opened(store)?;
    let mut made = vec![];
    // Everything is made before anything is written.
    for file in &references.files {
        match content(references, file, &opened)? {
            Ok(secret) => made.push((file, secret, owner(root, &file.owner)?)),
            Err(why) => bail!("the credential {} of {} is missing: {why}", file.name, references.machine),
        }
    }
    let mut other = vec![];
    for (file, secret, owner) in made {
        let path = below(root, &file.path)?;
        if !same(&path, file, &secret, owner)? {
            other.push((file, path, written(file, secret)?, owner));
        }
    }
    let mut changed = vec![];
    for (file, path, text, owner) in other {
        put_secret_for(&path, &text, file.mode, owner)?;
        changed.push(file.name.clone());
    }
    Ok(changed)
}

/// Removes a secret file that no generation needs any more. Its key stays in the key store.
pub fn remove(root: &Path, path: &str) -> Result<()> {
    let path = root.join(path.trim_start_matches('/'));
    match fs::remove_file(&path) {
        Ok(()) => sync_directory(path.parent().unwrap_or(root)),
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// The files that are not there as they must be: absent, of other bytes, of another mode or owner. Nothing is changed.
pub fn stale(references: &References, store: &Path, root: &Path) -> Result<Vec<SecretFile>> {
    let opened = opened(store)?;
    let mut stale = vec![];
    for file in &references.files {
        let Ok(secret) = content(references, file, &opened)? else { continue };
        // A user that is not there yet owns nothing.
        let there = match owner(root, &file.owner) {
            Ok(owner) => same(&root.join(file.path.trim_start_matches('/')), file, &secret, owner)?,
            Err(_) => false,
        };
        if !there {
            stale.push(file.clone());
        }
    }
    Ok(stale)
}

/// `None` where there is no directory yet: then every key is missing, and that is said of each.
fn opened(store: &Path) -> Result<Option<KeyStore>> {
    match store.symlink_metadata() {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(None),
        _ => KeyStore::open(store).map(Some),
    }
}

/// What goes into the file, or why it cannot be made.
fn content(references: &References, file: &SecretFile, store: &Option<KeyStore>) -> Result<Result<Secret, String>> {
    let machine = &references.machine;
    let make = format!("run `leafwright keys make {machine}` on it");
    let Some(store) = store else { return Ok(Err(format!("there is no key store; {make}"))) };
    let none = |id: &KeyId| Err(format!("{} is not there; {make}", store.path(id).display()));
    let other = |what: &str, machine: &MachineName| {
        Err(format!("{what} is for another key than {machine} has; run `leafwright keys enrol` with its request"))
    };
    Ok(match &file.holds {
        Holds::Creds(user) => {
            let id = KeyId::User(user.clone());
            match (store.nkey(&id)?, &references.jwt) {
                (None, _) => none(&id),
                (_, None) => {
                    Err("the closure has no JWT for it; run `leafwright keys sign` and build again".to_owned())
                }
                (Some(key), Some(jwt)) if !speaks_of(jwt, &key.public()) => other("the JWT of the closure", machine),
                (Some(_), Some(jwt)) => Ok(store.creds(user, jwt)?),
            }
        }
        Holds::Seed(user) => seed(references, user, store)?.map_or_else(
            || none(&KeyId::User(user.clone())),
            |known| known.map_or_else(|| other("the configuration of nats-server", machine), Ok),
        ),
        Holds::ServerKey => {
            let id = KeyId::Server(machine.clone());
            match store.read(&id)? {
                None => none(&id),
                Some(key) if !certifies(references.certificate.as_deref(), &key) => other("the certificate", machine),
                Some(key) => Ok(key),
            }
        }
    })
}

/// `None` without a key, `Some(None)` with one that the leaf does not know.
fn seed(references: &References, user: &UserId, store: &KeyStore) -> Result<Option<Option<Secret>>> {
    let Some(key) = store.nkey(&KeyId::User(user.clone()))? else { return Ok(None) };
    if !references.users.contains(key.public().as_str()) {
        return Ok(Some(None));
    }
    Ok(Some(Some(Secret::new(format!("{}\n", key.seed()?.reveal())))))
}

fn speaks_of(token: &str, key: &NKeyPublic) -> bool {
    jwt::read(token).is_ok_and(|claims| claims.subject == *key)
}

/// Is the public half of this key in the certificate? Without a certificate there is nothing to contradict.
fn certifies(certificate: Option<&str>, key: &Secret) -> bool {
    let Some(pem) = certificate else { return true };
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let Ok(der) = BASE64_MIME.decode(body.as_bytes()) else { return false };
    rcgen::KeyPair::from_pem(key.reveal())
        .is_ok_and(|key| der.windows(key.der_bytes().len()).any(|part| part == key.der_bytes()))
}

/// What is written of a secret: the secret, or what only this machine makes it of again.
fn written(file: &SecretFile, secret: Secret) -> Result<Secret> {
    match &file.encrypted_as {
        None => Ok(secret),
        Some(name) => {
            creds::encrypt(name, &secret).with_context(|| format!("the credential {} cannot be encrypted", file.name))
        }
    }
}

/// Is the file there with this secret, mode and owner? Only yes or no gets out.
fn same(path: &Path, file: &SecretFile, secret: &Secret, owner: Owner) -> Result<bool> {
    let found = match path.symlink_metadata() {
        Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(false),
        other => other.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    if found.is_dir() {
        bail!("{} is a directory, and a credential must go there", path.display());
    }
    let right = (found.mode() & 0o7777, found.uid(), found.gid()) == (file.mode, owner.uid, owner.gid);
    if !found.is_file() || !right {
        return Ok(false);
    }
    if let Some(name) = &file.encrypted_as {
        return Ok(creds::holds(path, name, secret));
    }
    let there = Zeroizing::new(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(there.as_slice() == secret.reveal().as_bytes())
}

/// The path below `root`, with the directories above it. A link inside an image must not lead out of it.
fn below(root: &Path, path: &str) -> Result<PathBuf> {
    let mut place = root.to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    for part in &parts[..parts.len().saturating_sub(1)] {
        place.push(part);
        match place.symlink_metadata() {
            Err(gone) if gone.kind() == ErrorKind::NotFound => std::fs::DirBuilder::new()
                .mode(0o711)
                .create(&place)
                .with_context(|| format!("cannot make the directory {}", place.display()))?,
            Ok(found) if found.is_symlink() && root != Path::new("/") => {
                bail!("{} is a link, which could lead out of {}", place.display(), root.display())
            }
            other => {
                other.with_context(|| format!("cannot look at {}", place.display()))?;
            }
        }
    }
    place.extend(parts.last());
    Ok(place)
}

/// The user's numbers as the machine below `root` has them.
fn owner(root: &Path, name: &str) -> Result<Owner> {
    let path = root.join("etc/passwd");
    let text = match fs::read_to_string(&path) {
        Err(gone) if gone.kind() == ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let line = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (user, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (user == name).then(|| Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? }))?
    });
    match line {
        Some(owner) => Ok(owner),
        // An image may have no users yet; this one is the same everywhere.
        None if name == "root" => Ok(Owner { uid: 0, gid: 0 }),
        None => {
            bail!("there is no user {name} in {}\nhelp: `systemd-sysusers` makes it from the closure", path.display())
        }
    }
}
