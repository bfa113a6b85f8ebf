//! Business certificates in `x5c` (RFC 7515 §4.1.6): the chain, its dates, and whose it is.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::time::SystemTime;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, Oid,
};
use x509_parser::prelude::{ASN1Time, FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::refusal::Refusal;

/// What a grant is checked against once the chain has been found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// RSAPublicKey (RFC 8017 A.1.1), DER.
    pub(super) public_key: Vec<u8>,
    /// Nine digits.
    pub(super) organisation: String,
}

/// Longer chains are no business certificate's.
const LONGEST_CHAIN: usize = 5;

/// Checks the value of an `x5c` header against the trusted `authorities` (DER).
pub(super) fn verify(x5c: &Value, authorities: &[Vec<u8>], now: SystemTime) -> Result<Leaf, Refusal> {
    let chain = decode(x5c).ok_or_else(Refusal::x5c)?;
    let chain: Vec<X509Certificate<'_>> =
        chain.iter().map(|der| parse(der)).collect::<Option<_>>().ok_or_else(Refusal::x5c)?;
    let now = asn1_time(now).ok_or_else(|| Refusal::certificate("The clock is beyond any certificate"))?;
    check_chain(&chain, authorities, now).map_err(Refusal::certificate)?;
    let leaf = chain.first().ok_or_else(Refusal::x5c)?;
    let Ok(PublicKey::RSA(_)) = leaf.public_key().parsed() else {
        return Err(Refusal::certificate("The key is not RSA"));
    };
    Ok(Leaf {
        public_key: leaf.public_key().subject_public_key.data.to_vec(),
        organisation: organisation(leaf)
            .ok_or_else(|| Refusal::certificate("There is no organisation number in it"))?,
    })
}

fn decode(x5c: &Value) -> Option<Vec<Vec<u8>>> {
    let entries = x5c.as_array().filter(|entries| (1..=LONGEST_CHAIN).contains(&entries.len()))?;
    entries.iter().map(|entry| STANDARD.decode(entry.as_str()?).ok()).collect()
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, certificate)| certificate)
}

fn asn1_time(time: SystemTime) -> Option<ASN1Time> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    ASN1Time::from_timestamp(i64::try_from(seconds).ok()?).ok()
}

fn check_chain(
    chain: &[X509Certificate<'_>],
    authorities: &[Vec<u8>],
    now: ASN1Time,
) -> Result<(), &'static str> {
    let leaf = chain.first().ok_or("The chain is empty")?;
    if leaf.is_ca() {
        return Err("It is a certificate authority's, not a business's");
    }
    let usage = leaf.key_usage().map_err(|_| "Its key usage cannot be read")?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err("Its key is not for digital signatures");
    }
    if chain.iter().any(|certificate| now < certificate.validity().not_before) {
        return Err("It is not valid yet");
    }
    if chain.iter().any(|certificate| now > certificate.validity().not_after) {
        return Err("It has expired");
    }
    for pair in chain.windows(2) {
        let [subject, issuer] = pair else { continue };
        if !may_issue(issuer) || !is_signed_by(subject, issuer) {
            return Err("The chain is broken, or not in order from the leaf up");
        }
    }
    let last = chain.last().ok_or("The chain is empty")?;
    let trusted = authorities.iter().any(|authority| {
        let Some(authority_certificate) = parse(authority) else { return false };
        last.as_raw() == authority
            || (authority_certificate.validity().is_valid_at(now)
                && may_issue(&authority_certificate)
                && is_signed_by(last, &authority_certificate))
    });
    if !trusted {
        return Err("It does not lead to an authority that issues business certificates here");
    }
    Ok(())
}

fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.key_usage().ok().flatten();
    certificate.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

fn is_signed_by(subject: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if subject.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let key = issuer.public_key();
    let Some(algorithm) = algorithm(&subject.signature_algorithm.algorithm, key) else { return false };
    let signed = subject.tbs_certificate.as_ref();
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(signed, &subject.signature_value.data)
        .is_ok()
}

/// SHA-1 and smaller RSA keys are refused, as an authority of today would not use them.
fn algorithm(oid: &Oid<'_>, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok();
    if *oid == OID_PKCS1_SHA256WITHRSA {
        return Some(&signature::RSA_PKCS1_2048_8192_SHA256);
    }
    if *oid == OID_PKCS1_SHA384WITHRSA {
        return Some(&signature::RSA_PKCS1_2048_8192_SHA384);
    }
    if *oid == OID_PKCS1_SHA512WITHRSA {
        return Some(&signature::RSA_PKCS1_2048_8192_SHA512);
    }
    if *oid == OID_SIG_ECDSA_WITH_SHA256 && curve()? == OID_EC_P256 {
        return Some(&signature::ECDSA_P256_SHA256_ASN1);
    }
    if *oid == OID_SIG_ECDSA_WITH_SHA384 && curve()? == OID_NIST_EC_P384 {
        return Some(&signature::ECDSA_P384_SHA384_ASN1);
    }
    None
}

/// The organisation number: `organizationIdentifier` `NTRNO-…` (SEID 2.0), or `serialNumber`.
fn organisation(leaf: &X509Certificate<'_>) -> Option<String> {
    let attribute = |wanted: &str| {
        let mut attributes = leaf.subject().iter_attributes();
        let found = attributes.find(|attribute| attribute.attr_type().to_id_string() == wanted)?;
        found.as_str().ok().map(str::to_owned)
    };
    let identifier = attribute("2.5.4.97").and_then(|text| text.strip_prefix("NTRNO-").map(str::to_owned));
    identifier
        .or_else(|| attribute("2.5.4.5"))
        .filter(|text| text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
}
