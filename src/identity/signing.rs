//! From what is wanted and what was signed before to what is signed now. A JWT that still says the same is kept to the byte.
//!
//! Refuses: the clock, key files. The signers come from outside; certificates are the host's (`host::ca`).

use super::jwt::{self, Account, JetStream, Signer, User};
use super::permissions::{ConnectionType, Permissions};
use super::public::{Certificate, Issuer, PublicIdentity, PublicUser, Signed, UserId};
use crate::name::{AccountName, DomainName, MachineName, NKeyPublic};
use std::collections::{BTreeMap, BTreeSet};

/// What the declarations ask of identity.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub domain: DomainName,
    pub account: AccountName,
    /// Everyone who connects anywhere, with what they may do; from `compile::permissions`.
    pub users: BTreeMap<UserId, (Permissions, BTreeSet<ConnectionType>)>,
    /// The servers that others connect to, with the host names and addresses by which they do.
    pub servers: BTreeMap<MachineName, BTreeSet<String>>,
}

/// The three keys that speak for others.
#[derive(Clone, Copy)]
pub struct Signers<'a> {
    pub operator: &'a dyn Signer,
    pub system_account: &'a dyn Signer,
    pub account: &'a dyn Signer,
}

/// Public halves and certificates, made by the host before anything is signed.
#[derive(Clone, Debug)]
pub struct Material {
    pub users: BTreeMap<UserId, NKeyPublic>,
    pub ca: String,
    pub certificates: BTreeMap<MachineName, Certificate>,
    /// Machines whose keys were made on them.
    pub enrolled: BTreeSet<MachineName>,
}

/// What was signed last.
#[derive(Clone, Copy, Debug)]
pub enum Before<'a> {
    Nothing,
    /// Something that cannot be believed: all is signed anew, in a later generation.
    Unreadable {
        generation: u64,
    },
    Signed(&'a PublicIdentity),
}

impl<'a> Before<'a> {
    pub fn identity(self) -> Option<&'a PublicIdentity> {
        match self {
            Before::Signed(identity) => Some(identity),
            Before::Nothing | Before::Unreadable { .. } => None,
        }
    }
}

impl<'a> From<Option<&'a PublicIdentity>> for Before<'a> {
    fn from(identity: Option<&'a PublicIdentity>) -> Self {
        identity.map_or(Before::Nothing, Before::Signed)
    }
}

impl<'a> From<&'a PublicIdentity> for Before<'a> {
    fn from(identity: &'a PublicIdentity) -> Self {
        Before::Signed(identity)
    }
}

/// Signs what is missing or says something else than before. The generation grows by one if anything changed, and
/// what did not change keeps the generation it was signed in.
pub fn sign(wanted: &Wanted, signers: Signers<'_>, material: Material, before: Before<'_>) -> PublicIdentity {
    let (before, last) = match before {
        Before::Nothing => (None, 0),
        Before::Unreadable { generation } => (None, generation),
        Before::Signed(before) => (Some(before), before.generation),
    };
    let mut after = with_generation(wanted, signers, material, before, last + 1);
    if before.is_some_and(|before| (PublicIdentity { generation: before.generation, ..after.clone() }) == *before) {
        after.generation = last;
    }
    after
}

fn with_generation(
    wanted: &Wanted,
    signers: Signers<'_>,
    material: Material,
    before: Option<&PublicIdentity>,
    generation: u64,
) -> PublicIdentity {
    let system_key = signers.system_account.public();
    let again = |old: Option<&str>, mint: &dyn Fn(u64) -> String| keep_or_mint(old, generation, mint);
    let operator = again(before.map(|b| b.operator.jwt.as_str()), &|generation| {
        jwt::operator(signers.operator, wanted.domain.as_str(), &system_key, generation)
    });
    let revoked = revoked(wanted, &material.users, before, generation);
    let none = BTreeMap::new();
    let account_of = |name: &str, key: &NKeyPublic, jetstream, old: Option<&str>| {
        let revoked = if *key == system_key { &none } else { &revoked };
        let claims = Account { name, key, jetstream, signing_keys: &[], default_permissions: Some(&NOTHING), revoked };
        again(old, &|generation| jwt::account(signers.operator, claims, generation))
    };
    let account_key = signers.account.public();
    let system_jwt = account_of("SYS", &system_key, JetStream::Off, before.map(|b| b.system_account.jwt.as_str()));
    let account_jwt =
        account_of(wanted.account.as_str(), &account_key, JetStream::Unlimited, before.map(|b| b.account.jwt.as_str()));
    let users = material.users.into_iter().map(|(user, key)| {
        let old = before.and_then(|before| before.users.get(&user)).and_then(|user| user.jwt.as_deref());
        let jwt = wanted.users.get(&user).and_then(|rights| user_jwt(signers, &user, &key, rights, old, generation));
        (user, PublicUser { key, jwt })
    });
    PublicIdentity {
        generation,
        users: users.collect(),
        operator: Signed { key: signers.operator.public(), jwt: operator },
        system_account: Signed { key: system_key, jwt: system_jwt },
        account: Signed { key: account_key, jwt: account_jwt },
        ca: material.ca,
        certificates: material.certificates,
        enrolled: material.enrolled,
        revoked,
    }
}

/// A key that another one took the place of opens nothing any more. What is still to be signed, for whomever, is of a
/// later generation and so not concerned. Users of the system account are left out: they are Leafwright's own.
fn revoked(
    wanted: &Wanted,
    users: &BTreeMap<UserId, NKeyPublic>,
    before: Option<&PublicIdentity>,
    generation: u64,
) -> BTreeMap<NKeyPublic, u64> {
    let Some(before) = before else { return BTreeMap::new() };
    let replaced = before.users.iter().filter(|(user, old)| {
        let lost = users.get(user) != Some(&old.key) && wanted.users.contains_key(user);
        lost && user.issuer() == Some(Issuer::Account)
    });
    let mut revoked = before.revoked.clone();
    revoked.extend(replaced.map(|(_, old)| (old.key.clone(), generation)));
    revoked
}

/// A user without permissions of its own may do nothing, instead of everything.
static NOTHING: Permissions = Permissions {
    publish: super::Rules { allow: BTreeSet::new(), deny: BTreeSet::new() },
    subscribe: super::Rules { allow: BTreeSet::new(), deny: BTreeSet::new() },
    allow_responses: None,
};

fn user_jwt(
    signers: Signers<'_>,
    user: &UserId,
    key: &NKeyPublic,
    (permissions, connections): &(Permissions, BTreeSet<ConnectionType>),
    old: Option<&str>,
    generation: u64,
) -> Option<String> {
    let signer = match user.issuer()? {
        Issuer::Account => signers.account,
        Issuer::SystemAccount => signers.system_account,
    };
    let name = user.to_string();
    let claims = User { name: &name, key, permissions, connections, account: None, expires: None };
    Some(keep_or_mint(old, generation, &|generation| jwt::user(signer, claims, generation)))
}

/// Ed25519 is deterministic: what says the same in its own generation has the same bytes.
fn keep_or_mint(old: Option<&str>, generation: u64, mint: &dyn Fn(u64) -> String) -> String {
    let kept = old.and_then(|old| {
        let issued = jwt::read_again(old).ok()?.issued;
        let again = mint(issued);
        (again == old).then_some(again)
    });
    kept.unwrap_or_else(|| mint(generation))
}
