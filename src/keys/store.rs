//! What all forms of key files are read into: entries, as Java's `KeyStore` has them.

use super::certificate::Certificate;
use super::error::{EntryKind, Format};
use crate::secret::Secret;

/// The content of a key file. Private keys are still protected; `open` opens the one that is used.
#[derive(Debug)]
pub struct Keystore {
    pub(super) format: Format,
    pub(super) entries: Vec<Entry>,
    /// Certificates that stand in the file without belonging to an entry: the issuers in a
    /// PKCS#12, all certificates of a PEM file. The chain is sought among them.
    pub(super) loose: Vec<Certificate>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The alias of a JKS, the friendly name of a PKCS#12, the `kid` of a JWK.
    pub(super) alias: Option<String>,
    pub(super) material: Material,
    /// A JWK's `alg`.
    pub(super) algorithm: Option<String>,
    /// A JWK whose `use` or `key_ops` forbid it to sign.
    pub(super) not_for_signing: bool,
}

#[derive(Debug)]
pub(super) enum Material {
    PrivateKey {
        key: ProtectedKey,
        /// Those that the file ties to the key, in the file's order.
        certificates: Vec<Certificate>,
    },
    Certificate(Certificate),
    SecretKey,
}

#[derive(Debug)]
pub(super) enum ProtectedKey {
    /// PKCS#8 or PKCS#1 in DER.
    Plain(Secret<Vec<u8>>),
    /// `EncryptedPrivateKeyInfo` with Sun's protection.
    Jks(Vec<u8>),
    /// `EncryptedPrivateKeyInfo` (RFC 5958 §3).
    Encrypted(Vec<u8>),
    /// A key that is not even looked into.
    Unusable(Unusable),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The name of the algorithm, such as "EC".
    Algorithm(String),
    /// A PKCS#1 key in the encryption of old PEM files (RFC 1421 §4.6).
    LegacyPemEncryption,
    /// A JWK without the parameters that fast signing needs (RFC 7518 §6.3.2).
    WithoutPrimes,
}

impl Entry {
    pub(super) fn new(alias: Option<String>, material: Material) -> Self {
        Self { alias, material, algorithm: None, not_for_signing: false }
    }

    pub(super) fn kind(&self) -> EntryKind {
        match self.material {
            Material::PrivateKey { .. } => EntryKind::PrivateKey,
            Material::Certificate(_) => EntryKind::TrustedCertificate,
            Material::SecretKey => EntryKind::SecretKey,
        }
    }
}

impl Keystore {
    pub(super) fn keys(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.kind() == EntryKind::PrivateKey)
    }

    /// Every certificate that may be in the chain of `entry`'s key, those tied to it first.
    /// Trusted certificates are among them: they complete a chain that was stored without its CA.
    pub(super) fn certificates_for(&self, entry: &Entry) -> Vec<Certificate> {
        let tied = match &entry.material {
            Material::PrivateKey { certificates, .. } => certificates.as_slice(),
            _ => &[],
        };
        let trusted = self.entries.iter().filter_map(|entry| match &entry.material {
            Material::Certificate(certificate) => Some(certificate),
            _ => None,
        });
        tied.iter().chain(&self.loose).chain(trusted).cloned().collect()
    }
}
