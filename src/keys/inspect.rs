//! What a key file holds, entry by entry, as a person would see it in KeyStore Explorer.

use serde::Serialize;

use super::Passwords;
use super::asn1::{INTEGER, Reader};
use super::certificate::{Certificate, CertificateInfo};
use super::chain;
use super::choose::is_signing_key;
use super::error::{EntryKind, Fault, Format, KeyError, Location};
use super::open::{bits, open};
use super::read;
use super::store::{Entry, Keystore, Material};
use super::text::printable;

/// A key file's form and entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub format: Format,
    pub entries: Vec<EntryInfo>,
    /// Certificates in the file that belong to no entry's chain.
    pub other_certificates: Vec<CertificateInfo>,
}

/// One entry of a key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryInfo {
    /// The alias, friendly name or `kid`; what goes into `alias = "…"`.
    pub alias: Option<String>,
    pub kind: EntryKind,
    /// The modulus' length; `None` for keys that are not RSA or cannot be opened.
    pub key_bits: Option<usize>,
    /// Whether the private key opens with the passwords that were given; `None` where there is
    /// no private key.
    pub opened: Option<bool>,
    /// Why it does not open, or cannot be used.
    pub problem: Option<String>,
    /// The entry's own certificate, the first of its chain.
    pub certificate: Option<CertificateInfo>,
    pub chain_length: usize,
    /// Whether the key may sign grants by its certificate or JWK.
    pub is_signing_key: bool,
}

/// Lists what `bytes` hold. A JKS can be listed with no password; a PKCS#12 cannot, since its
/// certificates are encrypted too.
///
/// # Errors
///
/// Those of reading the file; a key that does not open is told in its entry.
pub fn inspect(bytes: &[u8], passwords: &Passwords) -> Result<Inspection, KeyError> {
    let store =
        read::keystore(bytes, passwords.store()).map_err(|fault| KeyError::new(&Location::Inline, fault))?;
    let mut used = Vec::new();
    let entries = store.entries.iter().map(|entry| describe(&store, entry, passwords, &mut used)).collect();
    let other_certificates = store
        .loose
        .iter()
        .filter(|certificate| !used.contains(&certificate.info.fingerprint))
        .map(|certificate| certificate.info.clone())
        .collect();
    Ok(Inspection { format: store.format, entries, other_certificates })
}

fn describe(store: &Keystore, entry: &Entry, passwords: &Passwords, used: &mut Vec<String>) -> EntryInfo {
    let mut info = EntryInfo {
        alias: entry.alias.as_deref().map(printable),
        kind: entry.kind(),
        key_bits: None,
        opened: None,
        problem: None,
        certificate: None,
        chain_length: 0,
        is_signing_key: false,
    };
    let chain = match &entry.material {
        Material::SecretKey => Vec::new(),
        Material::Certificate(certificate) => vec![certificate.clone()],
        Material::PrivateKey { key, certificates } => {
            let pool = store.certificates_for(entry);
            let found = open(key, store.format, entry.alias.as_deref(), passwords).and_then(|key| {
                info.key_bits = Some(key.bits);
                info.opened = Some(true);
                match chain::order(&key.public_key, &pool) {
                    Ok(chain) => Ok(chain),
                    Err(chain::NoLeaf) if certificates.is_empty() => Ok(Vec::new()),
                    Err(chain::NoLeaf) => Err(Fault::CertificateMismatch { subject: chain::subject(&pool) }),
                }
            });
            found.unwrap_or_else(|fault| {
                info.opened = Some(info.opened.is_some() || is_opened(&fault));
                info.problem = Some(fault.to_string());
                certificates.clone()
            })
        }
    };
    used.extend(chain.iter().map(|certificate| certificate.info.fingerprint.clone()));
    let leaf = chain.first();
    info.key_bits = info.key_bits.or_else(|| leaf.and_then(rsa_bits));
    info.certificate = leaf.map(|certificate| certificate.info.clone());
    info.chain_length = chain.len();
    info.is_signing_key = is_signing_key(entry, info.certificate.as_ref());
    info
}

/// Whether the fault lies in the key itself and not in opening it.
fn is_opened(fault: &Fault) -> bool {
    matches!(fault, Fault::UnsupportedKeyAlgorithm(_) | Fault::KeyTooSmall { .. } | Fault::InvalidKey(_))
}

fn rsa_bits(certificate: &Certificate) -> Option<usize> {
    let mut key = Reader::new(&certificate.public_key).sequence().ok()?;
    Some(bits(key.expect(INTEGER).ok()?.content))
}
