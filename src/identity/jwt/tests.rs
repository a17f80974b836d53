use super::*;

struct Key(nkeys::KeyPair);

impl Signer for Key {
    fn public(&self) -> NKeyPublic {
        NKeyPublic::parse(&self.0.public_key()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).unwrap()
    }
}

fn key(kind: nkeys::KeyPairType, byte: u8) -> Key {
    Key(nkeys::KeyPair::new_from_raw(kind, [byte; 32]).unwrap())
}

fn permissions() -> Permissions {
    let set = |subjects: &[&str]| subjects.iter().map(|s| (*s).to_owned()).collect();
    Permissions {
        publish: Rules { allow: set(&["a.>", "b"]), deny: set(&["a.secret"]) },
        subscribe: Rules::default(),
        allow_responses: Some(1),
    }
}

use super::super::permissions::Rules;
use nkeys::KeyPairType as Type;

fn user_token(signer: &Key, about: &NKeyPublic, account: Option<&NKeyPublic>) -> String {
    let connections = [ConnectionType::Leafnode].into();
    let permissions = permissions();
    let claims = User {
        name: "thermo",
        key: about,
        permissions: &permissions,
        connections: &connections,
        account,
        expires: Some(99),
    };
    user(signer, claims, 7)
}

fn account_token(operator: &Key, about: &NKeyPublic, signing_keys: &[NKeyPublic]) -> String {
    let claims = Account {
        name: "MEADOW",
        key: about,
        jetstream: JetStream::Unlimited,
        signing_keys,
        default_permissions: None,
        revoked: &BTreeMap::new(),
    };
    account(operator, claims, 7)
}

#[test]
fn what_was_minted_is_read_back() {
    let (operator_key, account_key, user_key) = (key(Type::Operator, 1), key(Type::Account, 2), key(Type::User, 3));
    let token = operator(&operator_key, "meadow", &account_key.public(), 7);
    let claims = read_operator(&token, &operator_key.public()).unwrap();
    assert_eq!(claims.kind, Kind::Operator { system_account: Some(account_key.public()), signing_keys: vec![] });

    let token = account_token(&operator_key, &account_key.public(), &[]);
    let account = read_account_of(&operator_key.public(), &token, &account_key.public()).unwrap();
    assert_eq!((account.name.as_str(), account.issued), ("MEADOW", 7));

    let token = user_token(&account_key, &user_key.public(), None);
    let claims = read_user_of(&account, &token, &user_key.public()).unwrap();
    let Kind::User { permissions: found, connections, .. } = claims.kind else { panic!("not a user") };
    assert!(found.means_the_same(&permissions()));
    assert_eq!(connections, [ConnectionType::Leafnode].into());
    assert_eq!(claims.expires, Some(99));
}

#[test]
fn the_same_claims_are_the_same_bytes_and_a_generation_changes_them() {
    let (account_key, about) = (key(Type::Account, 2), key(Type::User, 3).public());
    assert_eq!(user_token(&account_key, &about, None), user_token(&account_key, &about, None));
    let at = |generation| operator(&key(Type::Operator, 1), "meadow", &account_key.public(), generation);
    assert_ne!(at(1), at(2));
    assert_eq!(read(&at(0)).unwrap().issued, 1, "`iat` is never 0");
}

#[test]
fn an_empty_allow_list_is_written_as_deny_everything() {
    let token = user_token(&key(Type::Account, 2), &key(Type::User, 3).public(), None);
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["nats"]["sub"], serde_json::json!({"deny": [">"]}));
    assert_eq!(claims["nats"]["pub"], serde_json::json!({"allow": ["a.>", "b"], "deny": ["a.secret"]}));
}

#[test]
fn forgeries_are_told_apart() {
    let (operator_key, account_key, foreign) = (key(Type::Operator, 1), key(Type::Account, 2), key(Type::Account, 9));
    let about = key(Type::User, 3).public();
    let account = account_token(&operator_key, &account_key.public(), &[]);
    let account = read_account_of(&operator_key.public(), &account, &account_key.public()).unwrap();

    let token = user_token(&foreign, &about, None);
    assert_eq!(read_user_of(&account, &token, &about), Err(Fault::Issuer { found: foreign.public() }));
    let token = user_token(&foreign, &about, Some(&account_key.public()));
    assert_eq!(read_user_of(&account, &token, &about), Err(Fault::Issuer { found: foreign.public() }));

    let token = user_token(&account_key, &about, None);
    let other = key(Type::User, 4).public();
    assert_eq!(read_user_of(&account, &token, &other), Err(Fault::Subject { found: about.clone() }));
    assert_eq!(read_operator(&token, &about), Err(Fault::Kind));

    let parts: Vec<&str> = token.split('.').collect();
    let payload = String::from_utf8(BASE64URL_NOPAD.decode(parts[1].as_bytes()).unwrap()).unwrap();
    let altered = BASE64URL_NOPAD.encode(payload.replace("a.secret", "nothing.").as_bytes());
    assert_eq!(read(&format!("{}.{altered}.{}", parts[0], parts[2])), Err(Fault::Signature));
    let unsigned = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
    assert!(matches!(read(&format!("{unsigned}.{}.{}", parts[1], parts[2])), Err(Fault::Form(_))));
    for soup in ["", ".", "..", "a.b.c", "é.é.é"] {
        assert!(matches!(read(soup), Err(Fault::Form(_))), "{soup}");
    }
}

#[test]
fn a_signing_key_speaks_for_the_account_that_lists_it() {
    let (operator_key, account_key, deputy) = (key(Type::Operator, 1), key(Type::Account, 2), key(Type::Account, 5));
    let about = key(Type::User, 3).public();
    let token = account_token(&operator_key, &account_key.public(), &[deputy.public()]);
    let account = read_account_of(&operator_key.public(), &token, &account_key.public()).unwrap();
    assert!(read_user_of(&account, &user_token(&deputy, &about, Some(&account_key.public())), &about).is_ok());
    assert!(read_user_of(&account, &user_token(&deputy, &about, None), &about).is_err(), "it must name the account");
}
