//! Keys, JWTs and certificates for everyone who is wanted: one call, used by `keys sign` and by `up`'s throwaway identity.

use super::ca::{self, Authority, Validity};
use super::keys::{KeyId, KeyStore};
use crate::identity::jwt::Signer;
use crate::identity::{self, Before, Certificate, Material, PublicIdentity, Signers, UserId, Wanted};
use crate::name::MachineName;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Makes the keys that are missing in the store, signs what is new or changed, keeps the rest to the byte.
/// Called again with its own result and the same wishes, it returns an equal identity.
pub fn provision<'a>(
    store: &KeyStore,
    wanted: &Wanted,
    before: impl Into<Before<'a>>,
    now: OffsetDateTime,
) -> Result<PublicIdentity> {
    let last: Before<'_> = before.into();
    let before = last.identity();
    if let Some(before) = before {
        refuse_other_store(store, before)?;
    }
    let operator = store.nkey_or_new(&KeyId::Operator)?;
    let system_account = store.nkey_or_new(&KeyId::SystemAccount)?;
    let account = store.nkey_or_new(&KeyId::Account)?;
    let mut users = BTreeMap::new();
    for user in wanted.users.keys() {
        let key = store.nkey_or_new(&KeyId::User(user.clone())).with_context(|| format!("the key of {user}"))?;
        users.insert(user.clone(), key.public());
    }
    let pem = before.map(|before| before.ca.as_str());
    let authority = Authority::open(store, wanted.domain.as_str(), pem, Validity::days(now, ca::CA_DAYS))?;
    let certificates = certificates(store, wanted, &authority, before, now)?;
    let signers = Signers { operator: &operator, system_account: &system_account, account: &account };
    let material = Material { users, ca: authority.pem().to_owned(), certificates };
    Ok(identity::sign(wanted, signers, material, last))
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
    let known = [
        (KeyId::Operator, &before.operator.key),
        (KeyId::SystemAccount, &before.system_account.key),
        (KeyId::Account, &before.account.key),
    ];
    for (id, key) in known {
        let found = store.nkey(&id)?.map(|found| found.public());
        if found.as_ref() != Some(key) {
            let found = found.map_or("nothing".to_owned(), |found| found.to_string());
            let store = store.root().display();
            bail!(
                "the key store {store} is not this domain's: `{id}` must be the private half of {key}, and it holds {found}"
            );
        }
    }
    Ok(())
}

fn certificates(
    store: &KeyStore,
    wanted: &Wanted,
    authority: &Authority,
    before: Option<&PublicIdentity>,
    now: OffsetDateTime,
) -> Result<BTreeMap<MachineName, Certificate>> {
    let mut certificates = BTreeMap::new();
    for (machine, names) in &wanted.servers {
        let (key, fresh) = ca::key_or_new(store, &KeyId::Server(machine.clone()))?;
        let old = before.and_then(|before| before.certificates.get(machine));
        let certificate = match old.filter(|old| !fresh && ca::is_good(old, names, now)) {
            Some(old) => old.clone(),
            None => authority
                .certify(machine, names, &key, Validity::days(now, ca::SERVER_DAYS))
                .with_context(|| format!("the certificate of {machine}"))?,
        };
        certificates.insert(machine.clone(), certificate);
    }
    Ok(certificates)
}
