//! Making certificates: the root and the intermediate once, leaves as they are needed.

use std::time::SystemTime;

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::{Duration, OffsetDateTime};

use crate::authority::Host;
use crate::secret::Secret;

use super::{Ca, CaError, RoutedNames, constraints, undotted};

/// Two years: long enough not to be a nuisance in a truststore, short enough that forgotten ones
/// die.
const CA_LIFE: Duration = Duration::days(2 * 365);

/// From its start to its end; a leaf is made anew long before (see `leaves`).
const LEAF_LIFE: Duration = Duration::days(7);

/// How far back a certificate starts, for clients whose clock is behind (virtual machines,
/// containers, phones).
const BACKDATED: Duration = Duration::hours(12);

/// A fresh root and intermediate. The root's key does not live to see the end of [`generate`].
///
/// [`generate`]: Authorities::generate
pub(super) struct Authorities {
    pub(super) root: Certificate,
    pub(super) intermediate: Certificate,
    /// The intermediate's key in PKCS#8 (RFC 5958).
    pub(super) key: Secret<Vec<u8>>,
}

impl Authorities {
    pub(super) fn generate(names: &RoutedNames, now: SystemTime) -> Result<Self, CaError> {
        let now = whole_seconds(now);
        // Tells this CA from its predecessors in a truststore's list.
        let id = hex(&random::<4>()?);

        let root_key = P256Key::generate()?;
        let root_params = authority_params(&format!("maskinporten-proxy local CA {id}"), 1, names, now)?;
        let root = root_params.self_signed(&root_key).map_err(CaError::Issue)?;

        let key = P256Key::generate()?;
        let mut params = authority_params(&format!("maskinporten-proxy local issuer {id}"), 0, names, now)?;
        params.use_authority_key_identifier_extension = true;
        // Verifiers hold leaves to it, so the key is of no use for mail, code or client
        // certificates either.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer = Issuer::from_params(&root_params, &root_key);
        let intermediate = params.signed_by(&key, &issuer).map_err(CaError::Issue)?;

        Ok(Self { root, intermediate, key: key.to_pkcs8()? })
    }
}

/// A leaf with its own key, ready for a TLS server.
pub(super) struct Leaf {
    pub(super) certificate: Certificate,
    pub(super) key: Secret<Vec<u8>>,
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
}

impl Leaf {
    /// Signs for `host` after checking that the CA covers it and lives.
    pub(super) fn issue(ca: &Ca, host: &Host, now: SystemTime) -> Result<Self, CaError> {
        if !ca.covers(host) {
            return Err(CaError::NotCovered { host: host.clone() });
        }
        ca.check_dates(now)?;
        let start = whole_seconds(now) - BACKDATED;
        let not_before = start.max(ca.not_before);
        let not_after = (start + LEAF_LIFE).min(ca.not_after);
        let params = leaf_params(vec![subject_alt_name(host)?], not_before, not_after)?;
        let key = P256Key::generate()?;
        let certificate = params.signed_by(&key, &ca.issuer).map_err(CaError::Issue)?;
        Ok(Self { certificate, key: key.to_pkcs8()?, not_before, not_after })
    }
}

/// A certificate for TLS servers; what it is for stands in `names` alone.
pub(super) fn leaf_params(
    names: Vec<SanType>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    // No common name: verifiers that fall back on it would hold it against the constraints on
    // DNS names, and refuse leaves for addresses.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "maskinporten-proxy (made on this machine)");
    params.serial_number = Some(serial_number()?);
    params.not_before = not_before;
    params.not_after = not_after;
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority_params(
    name: &str,
    path_length: u8,
    names: &RoutedNames,
    now: OffsetDateTime,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "maskinporten-proxy (made on this machine)");
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial_number()?);
    params.not_before = now - BACKDATED;
    params.not_after = now + CA_LIFE;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(constraints::permitting(names));
    Ok(params)
}

fn subject_alt_name(host: &Host) -> Result<SanType, CaError> {
    Ok(match undotted(host) {
        Host::Name(name) => SanType::DnsName(String::from(name).try_into().map_err(CaError::Issue)?),
        Host::V4(address) => SanType::IpAddress(address.into()),
        Host::V6(address) => SanType::IpAddress(address.into()),
    })
}

/// 126 random bits, positive and without a leading zero byte (RFC 5280 §4.1.2.2).
fn serial_number() -> Result<SerialNumber, CaError> {
    let mut bytes = random::<16>()?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| CaError::Key)?;
    Ok(bytes)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Certificates know no fractions of a second.
fn whole_seconds(at: SystemTime) -> OffsetDateTime {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0).unwrap_or(at)
}

/// An ECDSA key on P-256. In place of `rcgen::KeyPair`, which keeps an encoded copy of every key
/// and does not wipe it.
pub(super) struct P256Key(EcdsaKeyPair);

impl P256Key {
    pub(super) fn generate() -> Result<Self, CaError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self).map_err(|_| CaError::Key)
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der).map(Self).ok()
    }

    fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, CaError> {
        let document = self.0.to_pkcs8v1().map_err(|_| CaError::Key)?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    /// The uncompressed point.
    pub(super) fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
}

impl PublicKeyData for P256Key {
    fn der_bytes(&self) -> &[u8] {
        self.public_key()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for P256Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature =
            self.0.sign(&SystemRandom::new(), message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_ref().to_vec())
    }
}
