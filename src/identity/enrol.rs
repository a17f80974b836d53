//! The enrolment request: the public halves of keys that were made on a machine, signed by each of the private ones.
//!
//! Refuses: handing on a request of which one signature is wrong, and users that are not the machine's own.

use super::jwt::Signer;
use super::public::{PublicIdentity, UserId};
use super::signing::Wanted;
use crate::name::{DomainName, FileFormat, MachineName, NKeyPublic, Unread};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What a machine asks to be signed. Everything in it is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub domain: DomainName,
    pub machine: MachineName,
    pub users: BTreeMap<UserId, NKeyPublic>,
    /// PEM, PKCS #10, for the certificate of a member's server. It is signed by its own key, which the host checks.
    pub csr: Option<String>,
}

/// As it travels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    domain: DomainName,
    machine: MachineName,
    users: BTreeMap<String, NKeyPublic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    csr: Option<String>,
    /// Of the digest, by each of the keys.
    signatures: BTreeMap<String, String>,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not this JSON; where in the text.
    Form {
        line: usize,
        column: usize,
    },
    Format {
        found: u64,
    },
    Empty,
    /// Not a user that a machine makes a key for.
    User {
        text: String,
    },
    /// An operator's, an account's or a server's key in the place of a user's.
    Kind {
        user: UserId,
    },
    Unsigned {
        user: String,
    },
    Signature {
        user: UserId,
    },
    /// The certificate request is not one block of PEM.
    Csr,
    Domain {
        found: DomainName,
    },
    Machine {
        found: MachineName,
    },
    /// A user of another machine, of a person, or of the domain.
    Stranger {
        user: UserId,
    },
    Unwanted {
        user: UserId,
    },
    /// A certificate for a machine that is no member of the cluster.
    UnwantedCertificate,
    KeyTwice {
        key: NKeyPublic,
    },
    /// A key that another one has taken the place of.
    Revoked {
        key: NKeyPublic,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Form { line, column } => write!(f, "it is not an enrolment request (line {line}, column {column})"),
            Fault::Format { found } => Unread::Newer { format: FileFormat::Enrolment, found: *found }.fmt(f),
            Fault::Empty => f.write_str("there is no key in it"),
            Fault::User { text } => write!(f, "`{}` is no user that a domain can have", text.escape_debug()),
            Fault::Kind { user } => write!(f, "the key of `{user}` is not a user's"),
            Fault::Unsigned { user } => {
                write!(f, "keys and signatures do not match: look at `{}`", user.escape_debug())
            }
            Fault::Signature { user } => {
                write!(f, "the signature of `{user}` is not that of its key over this request")
            }
            Fault::Csr => f.write_str("the certificate request is not one block of PEM"),
            Fault::Domain { found } => write!(f, "it is for another domain, {found}"),
            Fault::Machine { found } => write!(f, "no machine `{found}` is declared that needs keys"),
            Fault::Stranger { user } => write!(f, "the machine may not speak for `{user}`"),
            Fault::Unwanted { user } => write!(f, "`{user}` is not declared"),
            Fault::UnwantedCertificate => {
                f.write_str("it asks for a server's certificate, and the machine is no member of the cluster")
            }
            Fault::KeyTwice { key } => write!(f, "{key} is there for two users"),
            Fault::Revoked { key } => write!(f, "{key} was replaced, and is not taken again"),
        }
    }
}

impl std::error::Error for Fault {}

impl Request {
    /// SHA-256 over all that is in it, each part behind its length: this is what the keys sign.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"leafwright enrolment 1\n");
        let mut put = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        put(self.domain.as_str());
        put(self.machine.as_str());
        put(&self.users.len().to_string());
        for (user, key) in &self.users {
            put(&user.to_string());
            put(key.as_str());
        }
        put(self.csr.as_deref().unwrap_or_default());
        hash.finalize().into()
    }

    /// Short enough to be compared by two persons over a telephone: 80 bits.
    pub fn fingerprint(&self) -> String {
        let hex = HEXLOWER.encode(&self.digest()[..10]);
        let groups: Vec<&str> = (0..hex.len()).step_by(4).filter_map(|at| hex.get(at..at + 4)).collect();
        groups.join(" ")
    }

    /// The request as text, signed by each of its keys.
    pub fn written(&self, signers: &BTreeMap<UserId, &dyn Signer>) -> String {
        let digest = self.digest();
        let signed = signers.iter().map(|(user, key)| (user.to_string(), BASE64URL_NOPAD.encode(&key.sign(&digest))));
        let written = Written {
            format: FileFormat::Enrolment.version(),
            domain: self.domain.clone(),
            machine: self.machine.clone(),
            users: self.users.iter().map(|(user, key)| (user.to_string(), key.clone())).collect(),
            csr: self.csr.clone(),
            signatures: signed.collect(),
        };
        serde_json::to_string_pretty(&written).unwrap_or_default() + "\n"
    }

    /// Form, and every signature.
    pub fn read(text: &str) -> Result<Request, Fault> {
        let form = |error: serde_json::Error| Fault::Form { line: error.line(), column: error.column() };
        let written: Written = FileFormat::Enrolment.parse(text.as_bytes()).map_err(|unread| match unread {
            Unread::Newer { found, .. } => Fault::Format { found },
            Unread::Never => Fault::Form { line: 1, column: 1 },
            Unread::Damaged(error) => form(error),
        })?;
        let user = |text: &String| UserId::parse(text).ok_or_else(|| Fault::User { text: text.clone() });
        let users = written.users.iter().map(|(text, key)| Ok((user(text)?, key.clone())));
        let request = Request {
            domain: written.domain,
            machine: written.machine,
            users: users.collect::<Result<_, Fault>>()?,
            csr: written.csr,
        };
        if request.users.is_empty() && request.csr.is_none() {
            return Err(Fault::Empty);
        }
        if request.csr.as_deref().is_some_and(|csr| !is_one_block(csr)) {
            return Err(Fault::Csr);
        }
        let (keys, signatures) = (written.users.keys(), written.signatures.keys());
        let odd = keys.clone().find(|user| !written.signatures.contains_key(*user));
        if let Some(user) = odd.or_else(|| signatures.clone().find(|user| !written.users.contains_key(*user))) {
            return Err(Fault::Unsigned { user: user.clone() });
        }
        let digest = request.digest();
        for (user, key) in &request.users {
            if !key.as_str().starts_with('U') {
                return Err(Fault::Kind { user: user.clone() });
            }
            let signature = written.signatures.get(&user.to_string()).map_or("", String::as_str);
            if !is_signed(key, &digest, signature) {
                return Err(Fault::Signature { user: user.clone() });
            }
        }
        Ok(request)
    }

    /// May this machine ask for this, in this domain? Signatures say who holds a key, not whose it ought to be.
    pub fn judge(&self, wanted: &Wanted, before: Option<&PublicIdentity>) -> Result<(), Fault> {
        if self.domain != wanted.domain {
            return Err(Fault::Domain { found: self.domain.clone() });
        }
        let member = wanted.servers.contains_key(&self.machine);
        if !member && !wanted.users.keys().any(|user| user.made_on() == Some(&self.machine)) {
            return Err(Fault::Machine { found: self.machine.clone() });
        }
        if self.csr.is_some() && !member {
            return Err(Fault::UnwantedCertificate);
        }
        let mut seen = BTreeSet::new();
        for (user, key) in &self.users {
            if user.made_on() != Some(&self.machine) {
                return Err(Fault::Stranger { user: user.clone() });
            }
            if !wanted.users.contains_key(user) {
                return Err(Fault::Unwanted { user: user.clone() });
            }
            if before.is_some_and(|before| before.revoked.contains_key(key)) {
                return Err(Fault::Revoked { key: key.clone() });
            }
            let elsewhere = before.is_some_and(|before| {
                before
                    .users
                    .iter()
                    .any(|(other, public)| other != user && public.key == *key && !self.users.contains_key(other))
            });
            if elsewhere || !seen.insert(key) {
                return Err(Fault::KeyTwice { key: key.clone() });
            }
        }
        Ok(())
    }
}

fn is_signed(key: &NKeyPublic, digest: &[u8], signature: &str) -> bool {
    let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else { return false };
    nkeys::KeyPair::from_public_key(key.as_str()).is_ok_and(|key| key.verify(digest, &signature).is_ok())
}

/// Readers of PEM skip what stands around a block; what is kept and shown to others shall be the block alone.
fn is_one_block(pem: &str) -> bool {
    let body = pem.strip_prefix("-----BEGIN CERTIFICATE REQUEST-----\n");
    let body = body.and_then(|body| body.strip_suffix("-----END CERTIFICATE REQUEST-----\n"));
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\n');
    body.is_some_and(|body| body.len() <= 8192 && body.chars().all(base64))
}
