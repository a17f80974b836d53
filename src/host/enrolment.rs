//! Enrolment: keys made on a machine, which stay there, and the request for their public halves; and at the other end
//! the request taken and signed.
//!
//! Refuses: a request that is not signed by each of its keys, and other keys for a machine that has some, unless it is named.

use super::ca;
use super::keys::{KeyId, KeyStore, NKey, Secret, put_secret};
use super::provision::{Elsewhere, Provisioned, Rest, Wish};
use crate::identity::enrol::Request;
use crate::identity::jwt::Signer;
use crate::identity::{Before, PublicIdentity, UserId, Wanted};
use crate::name::{DomainName, MachineName, NKeyPublic};
use anyhow::{Context, Result};
use rcgen::PublicKeyData;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use time::OffsetDateTime;

/// Where a machine keeps its keys, unless it is told otherwise.
pub const MACHINE_STORE: &str = "/var/lib/leafwright/keys";

/// What `keys make` has done.
#[derive(Debug)]
pub struct Made {
    pub request: Request,
    /// The request, signed.
    pub text: String,
    /// The keys that were not there, by their files in the store.
    pub made: Vec<String>,
}

/// Makes the keys of `machine` that are missing in its store, and the request for all of them.
pub fn make(store: &KeyStore, wanted: &Wanted, machine: &MachineName) -> Result<Made> {
    let (mut made, mut keys) = (vec![], BTreeMap::new());
    for user in wanted.users.keys().filter(|user| user.made_on() == Some(machine)) {
        let id = KeyId::User(user.clone());
        if !store.has(&id) {
            made.push(id.to_string());
        }
        keys.insert(user.clone(), store.nkey_or_new(&id).with_context(|| format!("the key of {user}"))?);
    }
    let csr = match wanted.servers.get(machine) {
        Some(names) => Some(server(store, &wanted.domain, machine, names, &mut made)?),
        None => None,
    };
    let users = keys.iter().map(|(user, key)| (user.clone(), key.public())).collect();
    let request = Request { domain: wanted.domain.clone(), machine: machine.clone(), users, csr };
    let signers: BTreeMap<UserId, &dyn Signer> =
        keys.iter().map(|(user, key): (&UserId, &NKey)| (user.clone(), key as &dyn Signer)).collect();
    Ok(Made { text: request.written(&signers), request, made })
}

/// The key of a member's server, and the request for its certificate. A signature is random, so the request is kept beside the key.
fn server(
    store: &KeyStore,
    domain: &DomainName,
    machine: &MachineName,
    names: &BTreeSet<String>,
    made: &mut Vec<String>,
) -> Result<String> {
    let id = KeyId::Server(machine.clone());
    let (key, fresh) = ca::key_or_new(store, &id)?;
    if fresh {
        made.push(id.to_string());
    }
    let path = store.path(&id).with_extension("csr");
    if let Ok(kept) = fs::read_to_string(&path) {
        let good = ca::read_request(&kept, domain, machine)
            .is_ok_and(|read| read.names == *names && read.key.der_bytes() == key.der_bytes());
        if good {
            return Ok(kept);
        }
    }
    let request = ca::request(domain, machine, names, &key)?;
    put_secret(&path, &Secret::new(request.clone()), 0o600)?;
    Ok(request)
}

/// Why a request was not taken: nothing has been made or written.
#[derive(Debug)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// What `keys enrol` has done.
#[derive(Debug)]
pub struct Taken {
    pub provisioned: Provisioned,
    /// Users and `server` whose key is another than before.
    pub replaced: Vec<String>,
    /// Files of this store that are of no use any more: the machine has keys of its own.
    pub useless: Vec<String>,
}

/// The two ends of it.
pub struct Enrolment<'a> {
    pub store: &'a KeyStore,
    pub wanted: &'a Wanted,
    pub before: Before<'a>,
    /// The machine that may get other keys than it has.
    pub replace: Option<&'a MachineName>,
}

impl Enrolment<'_> {
    /// Judges a request whose signatures have been read, and signs what it asks for.
    pub fn take(&self, request: &Request, now: OffsetDateTime) -> Result<Taken> {
        let Enrolment { store, wanted, before: last, replace } = *self;
        let machine = &request.machine;
        let before = last.identity();
        let refuse = |why: String| anyhow::Error::new(Refused(why));
        if let Some(named) = replace.filter(|named| *named != machine) {
            return Err(refuse(format!("the request is of {machine}, and --replace names {named}")));
        }
        request.judge(wanted, before).map_err(|fault| refuse(format!("the request is refused: {fault}")))?;
        let request = self.with_known_csr(request)?;
        let enrolled = before.is_some_and(|before| before.enrolled.contains(machine));
        let replaced = replaced(&request, before);
        let ours = !enrolled && replaced.iter().all(|name| self.holds(machine, name, before));
        if !replaced.is_empty() && !ours && replace.is_none() {
            return Err(refuse(format!(
                "{machine} has other keys: {} would be replaced\nhelp: if the machine was installed anew, \
                 `--replace {machine}` takes the new keys; then its old credential opens the cluster no more",
                replaced.join(", ")
            )));
        }
        let rest = if enrolled && replaced.is_empty() { Rest::Keep } else { Rest::Drop };
        let wish = Wish { store, wanted, before: last, request: Some((&request, rest)), elsewhere: Elsewhere::Keep };
        let provisioned = wish.provision(now)?;
        let own = wanted.users.keys().filter(|user| user.made_on() == Some(machine)).cloned().map(KeyId::User);
        let own = own.chain([KeyId::Server(machine.clone())]);
        let useless = own.filter(|id| store.has(id)).map(|id| id.to_string()).collect();
        Ok(Taken { provisioned, replaced, useless })
    }

    /// The certificate request is the one that is known, where both are of the same key: their signatures are random.
    fn with_known_csr(&self, request: &Request) -> Result<Request> {
        let (domain, machine) = (&self.wanted.domain, &request.machine);
        let Some(csr) = &request.csr else { return Ok(request.clone()) };
        let new = ca::read_request(csr, domain, machine)
            .map_err(|fault| Refused(format!("the certificate request is refused: {fault:#}")))?;
        let known = self.before.identity().and_then(|before| before.certificates.get(machine)?.request.clone());
        let same = known.filter(|known| ca::read_request(known, domain, machine).is_ok_and(|old| old.key == new.key));
        Ok(Request { csr: same.or(Some(csr.clone())), ..request.clone() })
    }

    /// Was the key that is to be replaced made in this store? Then whoever enrols replaces his own.
    fn holds(&self, machine: &MachineName, name: &str, before: Option<&PublicIdentity>) -> bool {
        let Some(user) = UserId::parse(name) else { return self.store.has(&KeyId::Server(machine.clone())) };
        let known = before.and_then(|before| before.users.get(&user)).map(|public| &public.key);
        let held = self.store.nkey(&KeyId::User(user)).ok().flatten().map(|key| key.public());
        held.as_ref() == known
    }
}

/// Whose key is another than before.
fn replaced(request: &Request, before: Option<&PublicIdentity>) -> Vec<String> {
    let Some(before) = before else { return vec![] };
    let other = |user: &UserId, key: &NKeyPublic| before.users.get(user).is_some_and(|public| public.key != *key);
    let users = request.users.iter().filter(|(user, key)| other(user, key)).map(|(user, _)| user.to_string());
    let old = before.certificates.get(&request.machine).filter(|_| request.csr.is_some());
    let server = old.filter(|old| old.request != request.csr);
    users.chain(server.map(|_| "server".to_owned())).collect()
}
