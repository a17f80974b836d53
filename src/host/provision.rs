//! Keys, JWTs and certificates for everyone who is wanted: one call, used by `keys sign` and by `up`'s throwaway identity.
//!
//! Refuses: a store that is not the domain's, and making a key for a machine that makes its own.

use super::ca::{self, Authority, Validity};
use super::keys::{KeyId, KeyStore};
use crate::identity::enrol::Request;
use crate::identity::jwt::Signer;
use crate::identity::{self, Before, Certificate, Material, PublicIdentity, Signers, UserId, Wanted};
use crate::name::{MachineName, NKeyPublic};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use time::OffsetDateTime;

/// What becomes of a user whose public key was signed before and whose private half is not in this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// Somebody else has the private half: the key stays.
    Keep,
    /// Nobody can have it: a new one is made. For a store that is the only one there is.
    Replace,
}

/// What becomes of the keys of a machine that it does not ask for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It has them: they were made on it before.
    Keep,
    /// It has them not: they were made in a store, or on what stood in its place.
    Drop,
}

/// What `keys sign` has done, and what it could not.
#[derive(Clone, Debug)]
pub struct Provisioned {
    pub identity: PublicIdentity,
    /// What enrolled machines have no key for yet: `service-todos`, `server`.
    pub lacking: BTreeMap<MachineName, Vec<String>>,
    /// Users whose key stays although this store has no private half of it, other than those of enrolled machines.
    pub elsewhere: Vec<UserId>,
}

/// Makes the keys that are missing in the store, signs what is new or changed, keeps the rest to the byte.
/// Called again with its own result and the same wishes, it returns an equal identity.
pub fn provision<'a>(
    store: &KeyStore,
    wanted: &Wanted,
    before: impl Into<Before<'a>>,
    now: OffsetDateTime,
) -> Result<PublicIdentity> {
    let wish = Wish { store, wanted, before: before.into(), request: None, elsewhere: Elsewhere::Replace };
    wish.provision(now).map(|done| done.identity)
}

/// The same, with what a machine asks for, and for a store beside which there are others: each machine's own.
pub struct Wish<'a> {
    pub store: &'a KeyStore,
    pub wanted: &'a Wanted,
    pub before: Before<'a>,
    /// Has been judged: its keys are taken.
    pub request: Option<(&'a Request, Rest)>,
    pub elsewhere: Elsewhere,
}

impl Wish<'_> {
    pub fn provision(&self, now: OffsetDateTime) -> Result<Provisioned> {
        let Wish { store, wanted, before: last, .. } = *self;
        let before = last.identity();
        if let Some(before) = before {
            refuse_other_store(store, before)?;
        }
        let operator = store.nkey_or_new(&KeyId::Operator)?;
        let system_account = store.nkey_or_new(&KeyId::SystemAccount)?;
        let account = store.nkey_or_new(&KeyId::Account)?;
        let enrolled = self.enrolled();
        let mut lacking = BTreeMap::new();
        let (users, elsewhere) = self.users(&enrolled, &mut lacking)?;
        let pem = before.map(|before| before.ca.as_str());
        let authority = Authority::open(store, wanted.domain.as_str(), pem, Validity::days(now, ca::CA_DAYS))?;
        let certificates = self.certificates(&authority, &enrolled, &mut lacking, now)?;
        let signers = Signers { operator: &operator, system_account: &system_account, account: &account };
        let material = Material { users, ca: authority.pem().to_owned(), certificates, enrolled };
        let identity = identity::sign(wanted, signers, material, last);
        Ok(Provisioned { identity, lacking, elsewhere })
    }

    /// Those of before that are still declared, and the one that asks now.
    fn enrolled(&self) -> BTreeSet<MachineName> {
        let before = self.before.identity().map(|before| &before.enrolled);
        let declared: BTreeSet<&MachineName> =
            self.wanted.users.keys().filter_map(UserId::made_on).chain(self.wanted.servers.keys()).collect();
        let asked = self.request.map(|(request, _)| &request.machine);
        before.into_iter().flatten().chain(asked).filter(|machine| declared.contains(machine)).cloned().collect()
    }

    /// Does what an enrolled machine had before still count?
    fn keeps(&self, machine: &MachineName) -> bool {
        self.request.is_none_or(|(request, rest)| request.machine != *machine || rest == Rest::Keep)
    }

    /// Whoever enrols one machine makes no keys for the others: they may make their own.
    fn leaves(&self, id: &KeyId) -> bool {
        self.request.is_some() && !self.store.has(id)
    }

    /// The key of everyone, and who keeps one that is elsewhere.
    fn users(
        &self,
        enrolled: &BTreeSet<MachineName>,
        lacking: &mut BTreeMap<MachineName, Vec<String>>,
    ) -> Result<(BTreeMap<UserId, NKeyPublic>, Vec<UserId>)> {
        let (mut users, mut elsewhere) = (BTreeMap::new(), vec![]);
        let before = self.before.identity();
        for user in self.wanted.users.keys() {
            let known = before.and_then(|before| before.users.get(user)).map(|public| &public.key);
            let id = KeyId::User(user.clone());
            let key = match user.made_on().filter(|machine| enrolled.contains(*machine)) {
                // Whatever this store has for it is of another time: the machine's own key counts.
                Some(machine) => {
                    let asked = self.request.and_then(|(request, _)| request.users.get(user));
                    let Some(key) = asked.or(known.filter(|_| self.keeps(machine))) else {
                        let text = user.to_string();
                        let name = text.rsplit('/').next().unwrap_or_default();
                        lacking.entry(machine.clone()).or_default().push(name.to_owned());
                        continue;
                    };
                    key.clone()
                }
                None => match known.filter(|_| self.elsewhere == Elsewhere::Keep && !self.store.has(&id)) {
                    Some(key) => {
                        elsewhere.push(user.clone());
                        key.clone()
                    }
                    None if self.leaves(&id) => continue,
                    None => self.store.nkey_or_new(&id).with_context(|| format!("the key of {user}"))?.public(),
                },
            };
            users.insert(user.clone(), key);
        }
        Ok((users, elsewhere))
    }

    fn certificates(
        &self,
        authority: &Authority,
        enrolled: &BTreeSet<MachineName>,
        lacking: &mut BTreeMap<MachineName, Vec<String>>,
        now: OffsetDateTime,
    ) -> Result<BTreeMap<MachineName, Certificate>> {
        let mut certificates = BTreeMap::new();
        let validity = Validity::days(now, ca::SERVER_DAYS);
        for (machine, names) in &self.wanted.servers {
            let old = self.before.identity().and_then(|before| before.certificates.get(machine));
            let good = old.filter(|old| ca::is_good(old, names, now));
            let certificate = if enrolled.contains(machine) {
                let asked = self.request.filter(|(request, _)| request.machine == *machine);
                let request = asked.and_then(|(request, _)| request.csr.as_ref());
                let known = old.filter(|_| self.keeps(machine)).and_then(|old| old.request.as_ref());
                let Some(request) = request.or(known) else {
                    lacking.entry(machine.clone()).or_default().push("server".to_owned());
                    continue;
                };
                match good.filter(|old| old.request.as_ref() == Some(request)) {
                    Some(old) => Ok(old.clone()),
                    None => self.certify_request(authority, machine, request, validity),
                }
            } else {
                let id = KeyId::Server(machine.clone());
                if self.leaves(&id) {
                    certificates.extend(old.map(|old| (machine.clone(), old.clone())));
                    continue;
                }
                let (key, fresh) = ca::key_or_new(self.store, &id)?;
                good.filter(|_| !fresh).cloned().map_or_else(|| authority.certify(machine, names, &key, validity), Ok)
            };
            let certificate = certificate.with_context(|| format!("the certificate of {machine}"))?;
            certificates.insert(machine.clone(), certificate);
        }
        Ok(certificates)
    }

    /// The key is on the machine; its request has the public half.
    fn certify_request(
        &self,
        authority: &Authority,
        machine: &MachineName,
        request: &str,
        validity: Validity,
    ) -> Result<Certificate> {
        let key = ca::read_request(request, &self.wanted.domain, machine).context("its request")?.key;
        let names = self.wanted.servers.get(machine).context("it is no member of the cluster")?;
        let certificate = authority.certify(machine, names, &key, validity)?;
        Ok(Certificate { request: Some(request.to_owned()), ..certificate })
    }
}

/// Makes the keys that belong to no machine and no person; returns which were missing.
pub fn prepare_store(store: &KeyStore) -> Result<Vec<String>> {
    let mut made = vec![];
    let users = [UserId::Provisioner, UserId::System].map(KeyId::User);
    for id in [KeyId::Operator, KeyId::SystemAccount, KeyId::Account].into_iter().chain(users) {
        if !store.has(&id) {
            store.nkey_or_new(&id)?;
            made.push(id.to_string());
        }
    }
    if ca::key_or_new(store, &KeyId::Ca)?.1 {
        made.push(KeyId::Ca.to_string());
    }
    Ok(made)
}

/// Before anything is made in it: three keys speak for the whole domain, and new ones would cut all machines off.
fn refuse_other_store(store: &KeyStore, before: &PublicIdentity) -> Result<()> {
    let Some((id, key)) = lacks(Some(store), before)? else { return Ok(()) };
    let found = store.nkey(&id)?.map_or("nothing".to_owned(), |found| found.public().to_string());
    let store = store.root().display();
    bail!(
        "the key store {store} is not this domain's: `{id}` must be the private half of {key}, and it holds {found}\n\
         help: bring `{id}` back from a copy of the store, or name the store that has it with --store DIR"
    );
}

/// The first of the three keys that speak for the whole domain whose private half is not in the store.
pub fn lacks<'a>(store: Option<&KeyStore>, signed: &'a PublicIdentity) -> Result<Option<(KeyId, &'a NKeyPublic)>> {
    let known = [
        (KeyId::Operator, &signed.operator.key),
        (KeyId::SystemAccount, &signed.system_account.key),
        (KeyId::Account, &signed.account.key),
    ];
    for (id, key) in known {
        let found = store.map(|store| store.nkey(&id)).transpose()?.flatten();
        if found.is_none_or(|found| found.public() != *key) {
            return Ok(Some((id, key)));
        }
    }
    Ok(None)
}
