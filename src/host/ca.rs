//! The domain's certificate authority and the certificates of its servers (X.509, ECDSA P-256).
//!
//! Refuses: deciding for how long. The caller brings the time and the validity; serial numbers are hashes.

use crate::identity::Certificate;
use crate::name::{DomainName, MachineName};
use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::IpAddr;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::keys::{KeyId, KeyStore, Secret};

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
}

impl Validity {
    /// `days` from now, and an hour into the past for clocks that are slow.
    pub fn days(now: OffsetDateTime, days: i64) -> Self {
        let now = now.replace_nanosecond(0).unwrap_or(now);
        Self { from: now - Duration::hours(1), to: now + Duration::days(days) }
    }
}

/// A year for servers; ten for the CA, because all machines trust its certificate and must be given a new one in time.
pub const SERVER_DAYS: i64 = 365;
pub const CA_DAYS: i64 = 3650;
/// A certificate that ends within this is made again by `keys sign`.
pub const RENEW_DAYS: i64 = 60;

/// The domain CA: its certificate signs nothing but this domain's servers.
pub struct Authority {
    key: KeyPair,
    pem: String,
}

impl Authority {
    /// The CA whose key is in the store; the key is made now if there is none. Its certificate is kept while `pem` is there.
    pub fn open(store: &KeyStore, domain: &str, pem: Option<&str>, validity: Validity) -> Result<Self> {
        let (key, fresh) = key_or_new(store, &KeyId::Ca)?;
        let pem = match pem {
            Some(pem) if fresh => {
                bail!("the key store has no CA key, but there is a CA certificate:\n{pem}bring the store that made it")
            }
            Some(pem) => pem.to_owned(),
            None => authority(domain, &key, validity)?.self_signed(&key)?.pem(),
        };
        Ok(Self { key, pem })
    }

    /// The CA's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server (and, because routes are verified both ways, for it as a client) under these names.
    pub fn certify(
        &self,
        machine: &MachineName,
        names: &BTreeSet<String>,
        key: &impl PublicKeyData,
        validity: Validity,
    ) -> Result<Certificate> {
        let issuer = Issuer::from_ca_cert_pem(&self.pem, &self.key).context("the CA certificate cannot be read")?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_>>()?;
        params.distinguished_name.push(DnType::CommonName, machine.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        dated(&mut params, validity, key, machine.as_str());
        let pem = params.signed_by(key, &issuer)?.pem();
        Ok(Certificate { names: names.clone(), not_after: validity.to.format(&Rfc3339)?, pem, request: None })
    }
}

/// May the certificate be kept: for the same names, not near its end?
pub fn is_good(certificate: &Certificate, names: &BTreeSet<String>, now: OffsetDateTime) -> bool {
    let ends = OffsetDateTime::parse(&certificate.not_after, &Rfc3339);
    certificate.names == *names && ends.is_ok_and(|ends| ends > now + Duration::days(RENEW_DAYS))
}

/// The private key in the store, made now if there is none; and whether it was.
pub fn key_or_new(store: &KeyStore, id: &KeyId) -> Result<(KeyPair, bool)> {
    if let Some(secret) = store.read(id)? {
        let key = KeyPair::from_pem(secret.reveal())
            .map_err(|_| anyhow::anyhow!("{} does not hold a private key", store.path(id).display()))?;
        return Ok((key, false));
    }
    let key = KeyPair::generate()?;
    store.write_new(id, &Secret::new(key.serialize_pem()))?;
    Ok((key, true))
}

/// A request for the certificate of this server, signed by its key: PEM, PKCS #10. Its signature is random.
pub fn request(domain: &DomainName, machine: &MachineName, names: &BTreeSet<String>, key: &KeyPair) -> Result<String> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_>>()?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, domain.as_str());
    params.distinguished_name.push(DnType::CommonName, machine.as_str());
    Ok(params.serialize_request(key)?.pem()?)
}

/// What a request says that counts: whose it is, and the key, which has signed it. The names that it asks for do not
/// count: the declarations have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    pub key: PublicKey,
    pub names: BTreeSet<String>,
}

/// Reads a request; refuses one whose signature is not its key's, and one of another machine or domain.
pub fn read_request(pem: &str, domain: &DomainName, machine: &MachineName) -> Result<Requested> {
    let read = CertificateSigningRequestParams::from_pem(pem)
        .map_err(|_| anyhow::anyhow!("it is none, or its signature is not that of its key"))?;
    let says = |kind, what: &str| {
        let said = read.params.distinguished_name.get(&kind);
        let same = said == Some(&DnValue::Utf8String(what.to_owned()));
        if same { Ok(()) } else { Err(anyhow::anyhow!("it is not for `{machine}` of {domain}")) }
    };
    says(DnType::OrganizationName, domain.as_str())?;
    says(DnType::CommonName, machine.as_str())?;
    // An uncompressed point of this curve has 65 bytes; the algorithm is that of the signature, not of the key.
    let bytes = read.public_key.der_bytes();
    if *read.public_key.algorithm() != PKCS_ECDSA_P256_SHA256 || bytes.len() != 65 || bytes.first() != Some(&4) {
        bail!("its key is not ECDSA P-256");
    }
    let names = read.params.subject_alt_names.iter().filter_map(|name| match name {
        SanType::DnsName(name) => Some(name.to_string()),
        SanType::IpAddress(address) => Some(address.to_string()),
        _ => None,
    });
    Ok(Requested { names: names.collect(), key: read.public_key })
}

fn authority(domain: &str, key: &KeyPair, validity: Validity) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("{domain} domain CA"));
    // No CA below this one.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    dated(&mut params, validity, key, domain);
    Ok(params)
}

fn dated(params: &mut CertificateParams, validity: Validity, key: &impl PublicKeyData, name: &str) {
    params.not_before = validity.from;
    params.not_after = validity.to;
    params.serial_number = Some(serial(key, name, validity));
}

/// 127 bits of a hash: positive, and different for every key, name and time.
fn serial(key: &impl PublicKeyData, name: &str, validity: Validity) -> SerialNumber {
    let hash = Sha256::new()
        .chain_update(key.der_bytes())
        .chain_update(validity.from.unix_timestamp().to_be_bytes())
        .chain_update(name)
        .finalize();
    let mut bytes = hash[..16].to_vec();
    bytes[0] &= 0x7f;
    SerialNumber::from_slice(&bytes)
}

fn alternative(name: &str) -> Result<SanType> {
    Ok(match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into().with_context(|| format!("{name} cannot be in a certificate"))?),
    })
}
