//! JWTs that were minted, read back: form, signature, issuer. Nothing that fails a check is handed on.

use super::HEADER;
use super::claims::{AccountBody, Envelope, OperatorBody, UserBody};
use crate::identity::permissions::{ConnectionType, Permissions};
use crate::name::NKeyPublic;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// A JWT whose signature is its issuer's. Whether the issuer may speak for the subject is `read_…_of`'s to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub name: String,
    pub subject: NKeyPublic,
    pub issuer: NKeyPublic,
    pub issued: u64,
    pub expires: Option<u64>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Operator { system_account: Option<NKeyPublic>, signing_keys: Vec<NKeyPublic> },
    Account { signing_keys: Vec<NKeyPublic> },
    User { permissions: Permissions, connections: BTreeSet<ConnectionType>, account: Option<NKeyPublic> },
}

/// Why a JWT is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not three parts of base64url, not this header, or not these claims.
    Form(&'static str),
    /// The signature is not the issuer's.
    Signature,
    /// It speaks of another key than the one that was asked for.
    Subject { found: NKeyPublic },
    /// The issuer may not speak for the subject.
    Issuer { found: NKeyPublic },
    /// An operator where a user was expected, or the like.
    Kind,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Form(what) => write!(f, "it is not a NATS JWT: {what}"),
            Fault::Signature => f.write_str("its signature is not its issuer's"),
            Fault::Subject { found } => write!(f, "it speaks of another key, {found}"),
            Fault::Issuer { found } => write!(f, "its issuer {found} may not speak for its subject"),
            Fault::Kind => f.write_str("it is a JWT of another kind"),
        }
    }
}

impl std::error::Error for Fault {}

/// Form and signature.
pub fn read(token: &str) -> Result<Claims, Fault> {
    let (claims, signed, signature) = peek(token)?;
    let key = nkeys::KeyPair::from_public_key(claims.issuer.as_str()).map_err(|_| Fault::Signature)?;
    key.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| Fault::Signature)?;
    Ok(claims)
}

/// The claims of a JWT whose signature was verified before: for comparing, never for believing.
pub fn read_again(token: &str) -> Result<Claims, Fault> {
    peek(token).map(|(claims, ..)| claims)
}

/// Claims, and what was signed with which signature.
fn peek(token: &str) -> Result<(Claims, &str, &str), Fault> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Fault::Form("there are fewer than three parts"))?;
    let (header, payload) = signed.split_once('.').ok_or(Fault::Form("there are fewer than three parts"))?;
    if decode(header)? != HEADER.as_bytes() {
        return Err(Fault::Form("its header does not say ed25519-nkey"));
    }
    let payload = decode(payload)?;
    let any: Envelope<serde_json::Value> = parse(&payload)?;
    let issuer = NKeyPublic::parse(&any.iss).map_err(|_| Fault::Form("its issuer is not a public NKey"))?;
    let kind = match any.nats.get("type").and_then(|kind| kind.as_str()) {
        Some("operator") => operator(parse::<Envelope<OperatorBody>>(&payload)?.nats),
        Some("account") => account(parse::<Envelope<AccountBody>>(&payload)?.nats),
        Some("user") => user(parse::<Envelope<UserBody>>(&payload)?.nats),
        _ => return Err(Fault::Form("it is neither an operator's, an account's nor a user's")),
    };
    let claims = Claims { name: any.name, subject: any.sub, issuer, issued: any.iat, expires: any.exp, kind };
    Ok((claims, signed, signature))
}

/// The operator's JWT: about this key, signed by it.
pub fn read_operator(token: &str, operator: &NKeyPublic) -> Result<Claims, Fault> {
    let claims = about(token, operator)?;
    match &claims.kind {
        Kind::Operator { .. } => issued_by(claims, operator, &[]),
        _ => Err(Fault::Kind),
    }
}

/// An account's JWT: about this key, signed by this operator.
pub fn read_account_of(operator: &NKeyPublic, token: &str, account: &NKeyPublic) -> Result<Claims, Fault> {
    let claims = about(token, account)?;
    match &claims.kind {
        Kind::Account { .. } => issued_by(claims, operator, &[]),
        _ => Err(Fault::Kind),
    }
}

/// A user's JWT: about this key, signed by this account or by one of its signing keys that names the account.
pub fn read_user_of(account: &Claims, token: &str, user: &NKeyPublic) -> Result<Claims, Fault> {
    let Kind::Account { signing_keys } = &account.kind else { return Err(Fault::Kind) };
    let claims = about(token, user)?;
    let Kind::User { account: named, .. } = &claims.kind else { return Err(Fault::Kind) };
    let deputies: &[NKeyPublic] = if named.as_ref() == Some(&account.subject) { signing_keys } else { &[] };
    issued_by(claims, &account.subject, deputies)
}

fn about(token: &str, subject: &NKeyPublic) -> Result<Claims, Fault> {
    let claims = read(token)?;
    if claims.subject == *subject { Ok(claims) } else { Err(Fault::Subject { found: claims.subject }) }
}

fn issued_by(claims: Claims, issuer: &NKeyPublic, deputies: &[NKeyPublic]) -> Result<Claims, Fault> {
    if claims.issuer == *issuer || deputies.contains(&claims.issuer) {
        Ok(claims)
    } else {
        Err(Fault::Issuer { found: claims.issuer })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Fault> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Fault::Form("a part is not base64url"))
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(payload).map_err(|_| Fault::Form("its claims are not those of NATS"))
}

fn operator(body: OperatorBody) -> Kind {
    Kind::Operator { system_account: body.system_account, signing_keys: body.signing_keys }
}

fn account(body: AccountBody) -> Kind {
    Kind::Account { signing_keys: body.signing_keys }
}

fn user(body: UserBody) -> Kind {
    let connections = body.allowed_connection_types.iter().copied().collect();
    Kind::User { permissions: body.permissions(), connections, account: body.issuer_account }
}
