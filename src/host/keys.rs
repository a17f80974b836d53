//! The key store: a directory outside the tree, mode 0700, one file a key, mode 0600, at the path of its holder's text form.
//!
//! Refuses: writing over a key, reading one that others can read, and handing secret bytes to anything that prints.

use crate::identity::UserId;
use crate::identity::jwt::{self, Signer};
use crate::name::{MachineName, NKeyPublic};
use anyhow::{Context, Result, bail};
use nkeys::{KeyPair, KeyPairType};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Whose key. The text form is its file in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyId {
    Operator,
    SystemAccount,
    Account,
    User(UserId),
    /// The domain CA's private key, PEM.
    Ca,
    /// The private key of a server's certificate, PEM.
    Server(MachineName),
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyId::Operator => f.write_str("operator.nk"),
            KeyId::SystemAccount => f.write_str("system-account.nk"),
            KeyId::Account => f.write_str("account.nk"),
            KeyId::User(user) => write!(f, "{user}.nk"),
            KeyId::Ca => f.write_str("ca.key"),
            KeyId::Server(machine) => write!(f, "machines/{machine}/server.key"),
        }
    }
}

impl KeyId {
    /// The kind of NKey; PEM keys are none.
    fn nkey(&self) -> Option<KeyPairType> {
        match self {
            KeyId::Operator => Some(KeyPairType::Operator),
            KeyId::SystemAccount | KeyId::Account => Some(KeyPairType::Account),
            KeyId::User(_) => Some(KeyPairType::User),
            KeyId::Ca | KeyId::Server(_) => None,
        }
    }
}

/// Secret text. It has neither `Debug` nor `Display`, and is overwritten when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for whoever must hand it to a file or a server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// A private NKey that can sign. Prints as its public half.
pub struct NKey {
    pair: KeyPair,
    public: NKeyPublic,
}

impl NKey {
    fn new(pair: KeyPair) -> Result<Self> {
        let public = NKeyPublic::parse(&pair.public_key())?;
        Ok(Self { pair, public })
    }

    pub fn seed(&self) -> Result<Secret> {
        // The library's error has nothing to say that is not a secret's business.
        self.pair.seed().map(Secret::new).map_err(|_| anyhow::anyhow!("the key {} has no private half", self.public))
    }
}

impl std::fmt::Debug for NKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NKey({})", self.public)
    }
}

impl Signer for NKey {
    fn public(&self) -> NKeyPublic {
        self.public.clone()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        // An `NKey` is made with its private half and nothing takes it away; the library cannot know.
        self.pair.sign(message).unwrap_or_default()
    }
}

/// A directory of keys, opened: its mode has been checked.
#[derive(Clone, Debug)]
pub struct KeyStore {
    root: PathBuf,
}

impl KeyStore {
    /// Makes the directory if there is none, mode 0700.
    pub fn create(root: &Path) -> Result<Self> {
        make_directory(root)?;
        Self::open(root)
    }

    /// Opens a store that exists; refuses one that others may enter.
    pub fn open(root: &Path) -> Result<Self> {
        let found = match fs::metadata(root) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {
                bail!("there is no key store at {}: run `leafwright keys init`", root.display())
            }
            other => other.with_context(|| format!("cannot look at the key store {}", root.display()))?,
        };
        if !found.is_dir() {
            bail!("the key store {} is not a directory", root.display());
        }
        refuse_open_mode(root, &found, "700")?;
        Ok(Self { root: root.to_owned() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the key's file is; for configuration that names it.
    pub fn path(&self, id: &KeyId) -> PathBuf {
        self.root.join(id.to_string())
    }

    pub fn has(&self, id: &KeyId) -> bool {
        self.path(id).symlink_metadata().is_ok()
    }

    /// The key, or `None` if the store has none. A file that others can read is an error, not a key.
    pub fn read(&self, id: &KeyId) -> Result<Option<Secret>> {
        let path = self.path(id);
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(other).with_context(|| format!("cannot look at {}", path.display())),
        };
        if !found.is_file() {
            bail!("{} is not a file", path.display());
        }
        refuse_open_mode(&path, &found, "600")?;
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(Secret::new(text)))
    }

    /// The NKey of an operator, account or user.
    pub fn nkey(&self, id: &KeyId) -> Result<Option<NKey>> {
        let Some(secret) = self.read(id)? else { return Ok(None) };
        let path = self.path(id);
        let pair = KeyPair::from_seed(secret.reveal().trim())
            .map_err(|_| anyhow::anyhow!("{} does not hold an NKey seed", path.display()))?;
        if id.nkey() != Some(pair.key_pair_type()) {
            bail!("{} holds a key of another kind", path.display());
        }
        NKey::new(pair).map(Some)
    }

    /// The NKey, made now if there is none.
    pub fn nkey_or_new(&self, id: &KeyId) -> Result<NKey> {
        if let Some(key) = self.nkey(id)? {
            return Ok(key);
        }
        let kind = id.nkey().with_context(|| format!("{id} is not an NKey"))?;
        let key = NKey::new(KeyPair::new(kind))?;
        let mut text = Zeroizing::new(key.seed()?.reveal().to_owned());
        text.push('\n');
        self.write_new(id, &Secret(text))?;
        Ok(key)
    }

    /// Writes a key that was not there. Another writer who came first wins, and this is an error.
    pub fn write_new(&self, id: &KeyId, secret: &Secret) -> Result<()> {
        let path = self.path(id);
        if let Some(parent) = path.parent() {
            make_directory(parent)?;
        }
        write_new_file(&path, secret, 0o600)
    }

    /// The content of a creds file: JWT and seed.
    pub fn creds(&self, user: &UserId, jwt: &str) -> Result<Secret> {
        let key =
            self.nkey(&KeyId::User(user.clone()))?.with_context(|| format!("the key store has no key of {user}"))?;
        Ok(Secret::new(jwt::creds(jwt, key.seed()?.reveal())))
    }
}

/// Numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Puts a secret into a file with exactly this mode, in the place of what was there; whole or not at all.
pub fn put_secret(path: &Path, secret: &Secret, mode: u32) -> Result<()> {
    put(path, secret, mode, None)
}

/// The same, for somebody else to read: the file is never there with another owner.
pub fn put_secret_for(path: &Path, secret: &Secret, mode: u32, owner: Owner) -> Result<()> {
    put(path, secret, mode, Some(owner))
}

fn put(path: &Path, secret: &Secret, mode: u32, owner: Option<Owner>) -> Result<()> {
    let beside = write_beside(path, secret, mode, owner)?;
    fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))?;
    sync_parent(path)
}

fn write_new_file(path: &Path, secret: &Secret, mode: u32) -> Result<()> {
    let beside = write_beside(path, secret, mode, None)?;
    // A hard link fails where a rename would overwrite.
    let linked = fs::hard_link(&beside, path);
    let _ = fs::remove_file(&beside);
    match linked {
        Err(there) if there.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already: keys are never overwritten", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display()))?,
    }
    sync_parent(path)
}

fn write_beside(path: &Path, secret: &Secret, mode: u32, owner: Option<Owner>) -> Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_file_name(format!(".{name}.{}-{serial}", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .with_context(|| format!("cannot write beside {}", path.display()))?;
    let owned = owner.map_or(Ok(()), |owner| fchown(&file, Some(owner.uid), Some(owner.gid)));
    let written = owned
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| file.write_all(secret.reveal().as_bytes()))
        .and_then(|()| file.sync_all());
    if let Err(failed) = written {
        let _ = fs::remove_file(&beside);
        return Err(failed).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(beside)
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

fn sync_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("cannot sync {}", parent.display()))
}

fn refuse_open_mode(path: &Path, found: &fs::Metadata, right: &str) -> Result<()> {
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!(
            "{} has mode {mode:04o}, so others can reach secrets: run `chmod {right} {}`",
            path.display(),
            path.display()
        );
    }
    Ok(())
}
