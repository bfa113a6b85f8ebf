//! What a certificate says: whose it is, how long it lives, what its key may do (RFC 5280).
//!
//! Nothing is verified here; Maskinporten does that. It is read to put the chain in order and to
//! tell people early what would be refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509Name};

use super::text::{hex, offset, printable};
use crate::config::Environment;

/// What people need to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateInfo {
    /// The distinguished name in the certificate's own order: `C=NO, O=…, CN=…`.
    pub subject: String,
    pub issuer: String,
    /// In hexadecimal, as the issuers' lists show it.
    pub serial: String,
    #[serde(serialize_with = "rfc3339")]
    pub not_before: SystemTime,
    #[serde(serialize_with = "rfc3339")]
    pub not_after: SystemTime,
    /// Nine digits: `serialNumber` of the subject, or its `organizationIdentifier` `NTRNO-…`.
    pub org_number: Option<String>,
    /// `None`: the certificate sets no limits (RFC 5280 §4.2.1.3).
    pub key_usage: Option<Vec<KeyUse>>,
    /// Guessed by the names of the Norwegian issuers' CAs; `None` for any other issuer.
    #[serde(serialize_with = "environment_name")]
    pub environment: Option<Environment>,
    pub self_signed: bool,
    /// SHA-256 of the DER, in hexadecimal.
    pub fingerprint: String,
}

/// The bits of the key usage extension (RFC 5280 §4.2.1.3), in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyUse {
    DigitalSignature,
    NonRepudiation,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    KeyCertSign,
    #[serde(rename = "cRLSign")]
    CrlSign,
    EncipherOnly,
    DecipherOnly,
}

/// A certificate with what the chain is built from.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    pub(super) info: CertificateInfo,
    /// The content of `subjectPublicKey`; for RSA a PKCS#1 `RSAPublicKey`.
    pub(super) public_key: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<Vec<u8>>,
}

impl Certificate {
    /// Reads the certificate that `der` begins with; what follows it is left out (openssl's
    /// TRUSTED CERTIFICATE has more after it).
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let der = &der[..der.len() - rest.len()];
        let tbs = &certificate.tbs_certificate;
        let mut subject_key_id = None;
        let mut authority_key_id = None;
        let mut key_usage = None;
        for extension in tbs.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_key_id = Some(id.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::KeyUsage(usage) => key_usage = Some(KeyUse::from_flags(usage.flags)),
                _ => {}
            }
        }
        let subject = tbs.subject.as_raw();
        let issuer = tbs.issuer.as_raw();
        let issuer_text = name(&tbs.issuer);
        Some(Self {
            info: CertificateInfo {
                subject: name(&tbs.subject),
                environment: environment(&issuer_text),
                issuer: issuer_text,
                serial: hex(tbs.raw_serial()),
                not_before: system_time(tbs.validity.not_before.timestamp())?,
                not_after: system_time(tbs.validity.not_after.timestamp())?,
                org_number: org_number(&tbs.subject),
                key_usage,
                self_signed: subject == issuer,
                fingerprint: hex(digest::digest(&digest::SHA256, der).as_ref()),
            },
            der: der.to_vec(),
            public_key: tbs.subject_pki.subject_public_key.data.to_vec(),
            subject: subject.to_vec(),
            issuer: issuer.to_vec(),
            subject_key_id,
            authority_key_id,
        })
    }
}

impl CertificateInfo {
    /// Reads the certificate that `der` begins with; `None` where it is none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Certificate::parse(der).map(|certificate| certificate.info)
    }

    /// Whether the key may sign grants: its usage names digitalSignature, or is not limited.
    pub fn may_sign(&self) -> bool {
        self.key_usage.as_ref().is_none_or(|uses| uses.contains(&KeyUse::DigitalSignature))
    }

    /// The names of the key usage, joined with commas; `None` where it is not limited.
    pub fn key_usage_text(&self) -> Option<String> {
        let uses = self.key_usage.as_ref()?;
        Some(uses.iter().map(|usage| usage.name()).collect::<Vec<_>>().join(", "))
    }
}

impl KeyUse {
    const ALL: [Self; 9] = [
        Self::DigitalSignature,
        Self::NonRepudiation,
        Self::KeyEncipherment,
        Self::DataEncipherment,
        Self::KeyAgreement,
        Self::KeyCertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
    ];

    /// As RFC 5280 spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DigitalSignature => "digitalSignature",
            Self::NonRepudiation => "nonRepudiation",
            Self::KeyEncipherment => "keyEncipherment",
            Self::DataEncipherment => "dataEncipherment",
            Self::KeyAgreement => "keyAgreement",
            Self::KeyCertSign => "keyCertSign",
            Self::CrlSign => "cRLSign",
            Self::EncipherOnly => "encipherOnly",
            Self::DecipherOnly => "decipherOnly",
        }
    }

    fn from_flags(flags: u16) -> Vec<Self> {
        Self::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| flags >> bit & 1 == 1)
            .map(|(_, usage)| usage)
            .collect()
    }
}

fn system_time(timestamp: i64) -> Option<SystemTime> {
    let distance = Duration::from_secs(timestamp.unsigned_abs());
    if timestamp < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = offset(*time).format(&Rfc3339).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&text)
}

fn environment_name<S: Serializer>(
    environment: &Option<Environment>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    environment.map(Environment::name).serialize(serializer)
}

/// Test CAs carry it in their name: "Buypass Class 3 Test4 CA 3", "CPN Enterprise SHA256 CA -
/// TEST2", "Buypass Class 3 Test4 CA G2 ST Business".
fn environment(issuer: &str) -> Option<Environment> {
    let issuer = issuer.to_uppercase();
    if !["BUYPASS", "COMMFIDES", "CPN "].iter().any(|name| issuer.contains(name)) {
        return None;
    }
    Some(if issuer.contains("TEST") { Environment::Test } else { Environment::Prod })
}

const SERIAL_NUMBER: &str = "2.5.4.5";
const ORGANIZATION_IDENTIFIER: &str = "2.5.4.97";

fn org_number(subject: &X509Name<'_>) -> Option<String> {
    let values = |oid: &'static str| {
        subject
            .iter_attributes()
            .filter(move |attribute| attribute.attr_type().to_id_string() == oid)
            .map(|attribute| text(attribute.attr_value()))
    };
    values(ORGANIZATION_IDENTIFIER)
        .filter_map(|value| value.strip_prefix("NTRNO-").map(str::to_owned))
        .chain(values(SERIAL_NUMBER))
        .find(|number| number.len() == 9 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A distinguished name on one line. Commas and the like inside values are escaped as in
/// RFC 4514 §2.4, the order is the certificate's own.
fn name(name: &X509Name<'_>) -> String {
    let attributes = name.iter_attributes().map(|attribute| {
        let oid = attribute.attr_type().to_id_string();
        let key = match &*oid {
            "2.5.4.3" => "CN",
            "2.5.4.4" => "SN",
            SERIAL_NUMBER => "serialNumber",
            "2.5.4.6" => "C",
            "2.5.4.7" => "L",
            "2.5.4.8" => "ST",
            "2.5.4.9" => "street",
            "2.5.4.10" => "O",
            "2.5.4.11" => "OU",
            "2.5.4.42" => "GN",
            ORGANIZATION_IDENTIFIER => "organizationIdentifier",
            "1.2.840.113549.1.9.1" => "emailAddress",
            "0.9.2342.19200300.100.1.25" => "DC",
            other => other,
        };
        let value: String = text(attribute.attr_value())
            .chars()
            .flat_map(|c| [matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';').then_some('\\'), Some(c)])
            .flatten()
            .collect();
        format!("{key}={}", printable(&value))
    });
    attributes.collect::<Vec<_>>().join(", ")
}

/// The string types of RFC 5280 §4.1.2.4, with what is not valid in them replaced.
fn text(value: &x509_parser::der_parser::asn1_rs::Any<'_>) -> String {
    use x509_parser::der_parser::asn1_rs::Tag;
    match value.tag() {
        Tag::BmpString => {
            let units: Vec<u16> =
                value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        // Latin-1, as everybody writes it.
        Tag::T61String => value.data.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(value.data).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_test_from_production_by_the_issuer() {
        for (issuer, expected) in [
            ("C=NO, O=Buypass AS-983163327, CN=Buypass Class 3 Test4 CA 3", Some(Environment::Test)),
            ("C=NO, O=Buypass AS, CN=Buypass Class 3 CA G2 ST Business", Some(Environment::Prod)),
            ("C=NO, O=Commfides Norge AS, CN=Commfides Legal Person - G3 - TEST", Some(Environment::Test)),
            (
                "C=NO, O=Commfides Norge AS - 988312495, CN=CPN Enterprise SHA256 CLASS 3",
                Some(Environment::Prod),
            ),
            ("C=NO, O=Testing Ltd, CN=Some CA", None),
        ] {
            assert_eq!(environment(issuer), expected, "{issuer}");
        }
    }

    #[test]
    fn rubbish_is_no_certificate() {
        assert!(Certificate::parse(b"").is_none());
        assert!(Certificate::parse(&[0x30, 0x03, 0x02, 0x01, 0x01]).is_none());
    }
}
