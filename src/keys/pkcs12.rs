//! PKCS#12 (RFC 7292): `.p12` and `.pfx` files, and what keytool writes since Java 9.
//!
//! Entries are grouped as Java's `PKCS12KeyStore` does it: a private key and the certificate with
//! its `localKeyId` are one entry named by `friendlyName`; certificates marked as trusted are
//! entries of their own; the others are there for the chain. BER is read as well as DER.

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::asn1::{self, Asn1Error, BMP_STRING, CONTEXT_0, Element, OCTET_STRING, Reader, SEQUENCE, SET};
use super::certificate::Certificate;
use super::error::{Fault, Format};
use super::pbe::{self, PbeError, Purpose};
use super::store::{Entry, Keystore, Material, ProtectedKey};
use crate::secret::Secret;

const DATA: &str = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA: &str = "1.2.840.113549.1.7.6";
const X509_CERTIFICATE: &str = "1.2.840.113549.1.9.22.1";
const FRIENDLY_NAME: &str = "1.2.840.113549.1.9.20";
const LOCAL_KEY_ID: &str = "1.2.840.113549.1.9.21";
/// Oracle's mark on a certificate that is an entry of its own.
const TRUSTED_KEY_USAGE: &str = "2.16.840.1.113894.746875.1.1";

/// Bags inside bags; nobody nests them, but the format allows it.
const MAX_DEPTH: usize = 4;

/// Reads a keystore: checks its MAC with the password and decrypts its certificates. No password
/// is the same as an empty one. Private keys stay encrypted until they are used.
///
/// # Errors
///
/// [`Fault::Corrupt`], [`Fault::PasswordMissing`], [`Fault::WrongStorePassword`],
/// [`Fault::UnsupportedEncryption`] or [`Fault::TooCostly`].
pub fn parse(bytes: &[u8], password: Option<&str>) -> Result<Keystore, Fault> {
    let given = password.is_some_and(|password| !password.is_empty());
    let password = password.unwrap_or_default();
    let bags = read(bytes, password).map_err(|error| match error {
        Error::Malformed => {
            Fault::Corrupt { format: Format::Pkcs12, detail: "its structure is not that of a PKCS#12" }
        }
        Error::Certificate => {
            Fault::Corrupt { format: Format::Pkcs12, detail: "a certificate in it cannot be read" }
        }
        Error::WrongPassword if given => Fault::WrongStorePassword(Format::Pkcs12),
        Error::WrongPassword => Fault::PasswordMissing(Format::Pkcs12),
        Error::Unsupported(scheme) => Fault::UnsupportedEncryption { format: Format::Pkcs12, scheme },
        Error::TooCostly => Fault::TooCostly(Format::Pkcs12),
    })?;
    Ok(group(bags))
}

enum Error {
    Malformed,
    Certificate,
    WrongPassword,
    Unsupported(String),
    TooCostly,
}

/// A `SafeBag` (RFC 7292 §4.2) of a kind that matters here.
struct Bag {
    content: Content,
    friendly_name: Option<String>,
    local_key_id: Option<Vec<u8>>,
    trusted: bool,
}

enum Content {
    Key(ProtectedKey),
    Certificate(Certificate),
    Secret,
}

fn read(bytes: &[u8], password: &str) -> Result<Vec<Bag>, Error> {
    let mut file = Reader::new(bytes);
    let mut pfx = file.sequence()?;
    if !file.is_empty() || pfx.small_integer()? != 3 {
        return Err(Error::Malformed);
    }
    let mut auth_safe = pfx.sequence()?;
    let content_type = auth_safe.oid()?;
    if content_type != DATA {
        return Err(Error::Unsupported(format!("a public key (content type {content_type})")));
    }
    let content = auth_safe.expect(CONTEXT_0)?.reader().octets()?;
    if let Some(mac) = pfx.optional(SEQUENCE)? {
        verify_mac(&mac, &content, password)?;
    }
    let mut bags = Vec::new();
    let mut safes = Reader::new(&content).sequence()?;
    while !safes.is_empty() {
        let safe_contents = safe(safes.sequence()?, password)?;
        safe_bags(&safe_contents, MAX_DEPTH, &mut bags)?;
    }
    Ok(bags)
}

/// `MacData` (RFC 7292 §4): an HMAC over the content by a key derived from the password.
fn verify_mac(mac: &Element<'_>, content: &[u8], password: &str) -> Result<(), Error> {
    let mut mac = mac.reader();
    let mut digest_info = mac.sequence()?;
    let oid = digest_info.sequence()?.oid()?;
    let expected = digest_info.octets()?;
    let salt = mac.octets()?;
    let iterations = if mac.is_empty() { 1 } else { mac.small_integer()? };
    let (hash, algorithm) = match &*oid {
        "1.3.14.3.2.26" => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        "2.16.840.1.101.3.4.2.4" => (&digest::SHA224, hmac::HMAC_SHA224),
        "2.16.840.1.101.3.4.2.1" => (&digest::SHA256, hmac::HMAC_SHA256),
        "2.16.840.1.101.3.4.2.2" => (&digest::SHA384, hmac::HMAC_SHA384),
        "2.16.840.1.101.3.4.2.3" => (&digest::SHA512, hmac::HMAC_SHA512),
        "1.2.840.113549.1.5.14" => return Err(Error::Unsupported("PBMAC1 (RFC 9579)".to_owned())),
        other => return Err(Error::Unsupported(format!("a MAC by {other}"))),
    };
    if iterations > pbe::MAX_ITERATIONS {
        return Err(Error::TooCostly);
    }
    let matches = |password: &Zeroizing<Vec<u8>>| {
        let key = pbe::derive(hash, Purpose::Mac, password, &salt, iterations, hash.output_len());
        hmac::verify(&hmac::Key::new(algorithm, &key), content, &expected).is_ok()
    };
    if pbe::passwords(password).iter().any(matches) { Ok(()) } else { Err(Error::WrongPassword) }
}

/// The `SafeContents` inside one `ContentInfo` of the authenticated safe.
fn safe(mut info: Reader<'_>, password: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let content_type = info.oid()?;
    let mut content = info.expect(CONTEXT_0)?.reader();
    match &*content_type {
        DATA => Ok(Zeroizing::new(content.octets()?.into_owned())),
        ENCRYPTED_DATA => {
            let mut encrypted = content.sequence()?;
            encrypted.small_integer()?; // the version
            let mut info = encrypted.sequence()?;
            info.oid()?; // what is inside: data
            let algorithm = info.expect(SEQUENCE)?;
            if info.is_empty() {
                return Ok(asn1::der(SEQUENCE, &[])); // RFC 5652 §6.1: the content may be left out
            }
            let data = info.next()?.octets()?;
            Ok(pbe::decrypt(&algorithm, &data, password)?)
        }
        other => Err(Error::Unsupported(format!("a public key (content type {other})"))),
    }
}

fn safe_bags(contents: &[u8], depth: usize, bags: &mut Vec<Bag>) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or(Error::Malformed)?;
    let mut sequence = Reader::new(contents).sequence()?;
    while !sequence.is_empty() {
        let mut bag = sequence.sequence()?;
        let bag_type = bag.oid()?;
        let value = bag.expect(CONTEXT_0)?;
        let mut inner = value.reader();
        let content = match &*bag_type {
            "1.2.840.113549.1.12.10.1.1" => {
                Content::Key(ProtectedKey::Plain(Secret::new(inner.expect(SEQUENCE)?.raw.to_vec())))
            }
            "1.2.840.113549.1.12.10.1.2" => {
                Content::Key(ProtectedKey::Encrypted(inner.expect(SEQUENCE)?.raw.to_vec()))
            }
            "1.2.840.113549.1.12.10.1.3" => {
                let mut certificate = inner.sequence()?;
                if certificate.oid()? != X509_CERTIFICATE {
                    continue; // SDSI certificates, of which there are none
                }
                let der = certificate.expect(CONTEXT_0)?.reader().octets()?;
                Content::Certificate(Certificate::parse(&der).ok_or(Error::Certificate)?)
            }
            "1.2.840.113549.1.12.10.1.5" => Content::Secret,
            "1.2.840.113549.1.12.10.1.6" => {
                safe_bags(value.content, depth, bags)?;
                continue;
            }
            _ => continue, // revocation lists
        };
        let mut found = Bag { content, friendly_name: None, local_key_id: None, trusted: false };
        if let Some(attributes) = bag.optional(SET)? {
            found.read_attributes(attributes.reader())?;
        }
        bags.push(found);
    }
    Ok(())
}

impl Bag {
    fn read_attributes(&mut self, mut attributes: Reader<'_>) -> Result<(), Asn1Error> {
        while !attributes.is_empty() {
            let mut attribute = attributes.sequence()?;
            let oid = attribute.oid()?;
            let mut values = attribute.expect(SET)?.reader();
            if values.is_empty() {
                continue;
            }
            let value = values.next()?;
            match (&*oid, value.tag) {
                (FRIENDLY_NAME, BMP_STRING) => {
                    let units: Vec<u16> = value
                        .content
                        .chunks_exact(2)
                        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                        .collect();
                    self.friendly_name = Some(String::from_utf16_lossy(&units));
                }
                (LOCAL_KEY_ID, OCTET_STRING) => self.local_key_id = Some(value.content.to_vec()),
                (TRUSTED_KEY_USAGE, _) => self.trusted = true,
                _ => {}
            }
        }
        Ok(())
    }
}

fn group(bags: Vec<Bag>) -> Keystore {
    let holds_a_key = bags.iter().any(|bag| matches!(bag.content, Content::Key(_)));
    let mut entries: Vec<(Entry, Option<Vec<u8>>)> = Vec::new();
    let mut certificates = Vec::new();
    let mut unnamed = 0;
    // Entries without a name are "1", "2", … to Java, and so in its users' configurations.
    let mut name = |given: Option<String>| {
        given.unwrap_or_else(|| {
            unnamed += 1;
            format!("{unnamed}")
        })
    };
    for bag in bags {
        let Bag { content, friendly_name, local_key_id, trusted } = bag;
        let (material, id) = match content {
            Content::Key(key) => (Material::PrivateKey { key, certificates: Vec::new() }, local_key_id),
            Content::Certificate(certificate) if trusted || !holds_a_key => {
                (Material::Certificate(certificate), None)
            }
            Content::Certificate(certificate) => {
                certificates.push((certificate, local_key_id));
                continue;
            }
            Content::Secret => (Material::SecretKey, None),
        };
        entries.push((Entry::new(Some(name(friendly_name)), material), id));
    }
    let mut loose = Vec::new();
    for (certificate, id) in certificates {
        let owner = entries.iter_mut().find(|(_, key_id)| id.is_some() && *key_id == id);
        match owner {
            Some((Entry { material: Material::PrivateKey { certificates, .. }, .. }, _)) => {
                certificates.push(certificate);
            }
            _ => loose.push(certificate),
        }
    }
    Keystore { format: Format::Pkcs12, entries: entries.into_iter().map(|(entry, _)| entry).collect(), loose }
}

impl From<Asn1Error> for Error {
    fn from(_: Asn1Error) -> Self {
        Self::Malformed
    }
}

impl From<PbeError> for Error {
    fn from(error: PbeError) -> Self {
        match error {
            PbeError::Unsupported(scheme) => Self::Unsupported(scheme),
            PbeError::Malformed => Self::Malformed,
            PbeError::TooCostly => Self::TooCostly,
            PbeError::WrongPassword => Self::WrongPassword,
        }
    }
}
