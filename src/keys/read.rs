//! Recognises a key file by its content, never by its name, and hands it to its parser.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::asn1::{Asn1Error, BIT_STRING, CONTEXT_0, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE};
use super::certificate::Certificate;
use super::error::{Fault, Format, Lookalike};
use super::store::{Entry, Keystore, Material, ProtectedKey};
use super::{jks, jwk, pem, pkcs12};
use crate::secret::Secret;

const UTF8_BOM: &[u8] = &[0xef, 0xbb, 0xbf];
/// A BouncyCastle keystore: its version, then a salt of 20 bytes.
const BKS: [&[u8]; 2] = [&[0, 0, 0, 1, 0, 0, 0, 20], &[0, 0, 0, 2, 0, 0, 0, 20]];

/// No keystore of one organisation comes near it; it bounds the work on a hostile file.
const MAX_ENTRIES: usize = 500;

/// Reads a key file of any form. `password` is the keystore's.
pub(super) fn keystore(bytes: &[u8], password: Option<&str>) -> Result<Keystore, Fault> {
    let store = recognised(bytes, password)?;
    if store.entries.len() + store.loose.len() > MAX_ENTRIES {
        return Err(Fault::Corrupt { format: store.format, detail: "it holds more than 500 entries" });
    }
    Ok(store)
}

fn recognised(bytes: &[u8], password: Option<&str>) -> Result<Keystore, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if bytes.starts_with(&jks::MAGIC) {
        return jks::parse(bytes, password);
    }
    if bytes.starts_with(&jks::MAGIC_JCEKS) {
        return Err(Fault::UnsupportedStore("JCEKS"));
    }
    if BKS.iter().any(|start| bytes.starts_with(start)) {
        return Err(Fault::UnsupportedStore("BouncyCastle (BKS)"));
    }
    if let Some(text) = text(bytes) {
        return from_text(text, password);
    }
    if is_pem_in_another_encoding(bytes) {
        return pem::parse(&Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()));
    }
    match binary(bytes) {
        Binary::Pkcs12 => pkcs12::parse(bytes, password),
        Binary::Key => Ok(single(ProtectedKey::Plain(Secret::new(bytes.to_vec())))),
        Binary::EncryptedKey => Ok(single(ProtectedKey::Encrypted(bytes.to_vec()))),
        Binary::Truncated => Err(Fault::Truncated(Format::Der)),
        Binary::TruncatedPkcs12 => Err(Fault::Truncated(Format::Pkcs12)),
        Binary::Other(lookalike) => Err(Fault::NotAKeystore(lookalike)),
    }
}

/// Reads the file that `certificate = "…"` names: one or more certificates, in PEM or DER.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<Certificate>, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if let Some(text) = text(bytes) {
        return pem::certificates(text);
    }
    if let Some(certificate) = Certificate::parse(bytes) {
        return Ok(vec![certificate]);
    }
    Err(match binary(bytes) {
        Binary::Other(Lookalike::Certificate) => {
            Fault::Corrupt { format: Format::Der, detail: "it is a certificate, but cannot be read" }
        }
        Binary::Other(lookalike) => Fault::NotACertificate(lookalike),
        Binary::Key | Binary::EncryptedKey => Fault::NotACertificate(Lookalike::PrivateKey),
        Binary::Truncated => Fault::Truncated(Format::Der),
        Binary::Pkcs12 | Binary::TruncatedPkcs12 => Fault::NotACertificate(Lookalike::PrivateKey),
    })
}

/// The bytes where they are text: UTF-8, with no control characters but white space.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes)).ok()?;
    text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace()).then_some(text)
}

/// PEM with names in Latin-1 between its blocks, as older openssl prints them.
fn is_pem_in_another_encoding(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && memchr::memmem::find(bytes, b"-----BEGIN ").is_some()
}

fn from_text(text: &str, password: Option<&str>) -> Result<Keystore, Fault> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(Fault::Empty);
    }
    if trimmed.starts_with('{') {
        return jwk::parse(trimmed);
    }
    if text.contains("-----BEGIN ") {
        return pem::parse(text);
    }
    let lookalike = if trimmed.starts_with('<') {
        Lookalike::Html
    } else if trimmed.starts_with("PuTTY-User-Key-File") {
        Lookalike::PuttyKey
    } else if trimmed.starts_with("ssh-") || trimmed.starts_with("ecdsa-sha2-") {
        Lookalike::OpenSshKey
    } else {
        base64_of(trimmed, password).unwrap_or(Lookalike::Unknown)
    };
    Err(Fault::NotAKeystore(lookalike))
}

fn base64_of(text: &str, password: Option<&str>) -> Option<Lookalike> {
    let text = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
    let bytes = Zeroizing::new(STANDARD.decode(&*text).ok()?);
    // Base64 of base64 is not looked into.
    if self::text(&bytes)
        .is_some_and(|text| !text.contains("-----BEGIN ") && !text.trim_start().starts_with('{'))
    {
        return None;
    }
    match recognised(&bytes, password) {
        Ok(store) => Some(Lookalike::Base64(store.format)),
        Err(
            Fault::WrongStorePassword(format) | Fault::PasswordMissing(format) | Fault::Truncated(format),
        ) => Some(Lookalike::Base64(format)),
        Err(_) => None,
    }
}

fn single(key: ProtectedKey) -> Keystore {
    let entry = Entry::new(None, Material::PrivateKey { key, certificates: Vec::new() });
    Keystore { format: Format::Der, entries: vec![entry], loose: Vec::new() }
}

enum Binary {
    Pkcs12,
    Key,
    EncryptedKey,
    Truncated,
    TruncatedPkcs12,
    Other(Lookalike),
}

/// Tells the structures apart by the tags that they begin with.
fn binary(bytes: &[u8]) -> Binary {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Binary::Other(Lookalike::Utf16Text);
    }
    // A binary OpenPGP packet: a public or secret key, old or new style.
    if matches!(bytes, [0x95 | 0x98 | 0x99 | 0xc5 | 0xc6, ..]) {
        return Binary::Other(Lookalike::Pgp);
    }
    if bytes[0] != SEQUENCE {
        return Binary::Other(Lookalike::Unknown);
    }
    let mut file = Reader::new(bytes);
    let mut outer = match file.sequence() {
        Ok(outer) => outer,
        Err(Asn1Error::Truncated) if begins_like_pkcs12(bytes) => return Binary::TruncatedPkcs12,
        Err(Asn1Error::Truncated) => return Binary::Truncated,
        Err(Asn1Error::Malformed) => return Binary::Other(Lookalike::Unknown),
    };
    let mut elements = Vec::new();
    while let (false, Ok(element), true) = (outer.is_empty(), outer.next(), elements.len() < 4) {
        elements.push(element);
    }
    let tags: Vec<u8> = elements.iter().map(|element| element.tag).collect();
    match tags[..] {
        [INTEGER, SEQUENCE, OCTET_STRING, ..] | [INTEGER, INTEGER, INTEGER, ..] => Binary::Key,
        [INTEGER, SEQUENCE, ..] => Binary::Pkcs12,
        [SEQUENCE, OCTET_STRING] => Binary::EncryptedKey,
        [SEQUENCE, BIT_STRING] | [INTEGER, INTEGER] => Binary::Other(Lookalike::PublicKey),
        [OID, CONTEXT_0] => Binary::Other(Lookalike::CertificateBundle),
        // A certificate's first part begins with [0] (its version) or, in version 1, with a
        // serial number and an algorithm; a request's with a version and a name.
        [SEQUENCE, SEQUENCE, BIT_STRING] if Certificate::parse(bytes).is_some() => {
            Binary::Other(Lookalike::Certificate)
        }
        [SEQUENCE, SEQUENCE, BIT_STRING] => match elements[0].reader().next() {
            Ok(first) if first.tag == CONTEXT_0 => Binary::Other(Lookalike::Certificate),
            _ => Binary::Other(Lookalike::CertificateRequest),
        },
        _ => Binary::Other(Lookalike::Unknown),
    }
}

/// `SEQUENCE { INTEGER 3, …`: enough of the beginning to tell what was cut off.
fn begins_like_pkcs12(bytes: &[u8]) -> bool {
    bytes.windows(3).take(6).any(|window| window == [INTEGER, 1, 3])
}
