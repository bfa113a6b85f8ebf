//! What can be wrong with a key, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::text::{date, printable};

/// A key that cannot be used: where it is, and what is wrong with it.
///
/// `Display` is one line that begins with the file's path and holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("{location}: {fault}")]
pub struct KeyError {
    pub location: Location,
    pub fault: Box<Fault>,
}

/// Where a key or certificate was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    /// Inside the configuration or an environment variable.
    Inline,
}

/// What is wrong. Names and subjects are taken from the file, with control characters escaped.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the file does not exist")]
    Missing,
    #[error("the file cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("the file is larger than {} MiB, which no keystore is", .limit >> 20)]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    #[error("the file is empty")]
    Empty,
    #[error("this is {0}, not a private key or a keystore")]
    NotAKeystore(Lookalike),
    #[error("this is {0}, not a certificate")]
    NotACertificate(Lookalike),
    #[error("this is a {0} keystore, a form that is not supported")]
    UnsupportedStore(&'static str),
    #[error("the {0} ends in the middle, as a half-written or cut off file does")]
    Truncated(Format),
    #[error("the {format} is damaged: {detail}")]
    Corrupt { format: Format, detail: &'static str },

    #[error("a password is needed to open the {0}, and none is given")]
    PasswordMissing(Format),
    #[error("the password does not open the {0}: it is wrong, or the file was changed")]
    WrongStorePassword(Format),
    #[error("the keystore opens, but its key {} does not open with {}", quoted(.alias), if *.own { "the key password that is given" } else { "the keystore's password" })]
    WrongKeyPassword {
        alias: Option<String>,
        /// Whether a password for the key itself was given.
        own: bool,
    },
    #[error("the {format} is protected with {scheme}, which is not supported")]
    UnsupportedEncryption { format: Format, scheme: String },
    #[error("the {0} asks for more work to open it than is reasonable (iterations or memory)")]
    TooCostly(Format),

    #[error("there is no entry with the alias \"{alias}\"; the file holds {}", list(.entries))]
    UnknownAlias { alias: String, entries: Vec<EntrySummary>, nearest: Option<String> },
    #[error("the alias \"{alias}\" names {kind}, not a private key")]
    NotAPrivateKey { alias: String, kind: EntryKind, keys: Vec<EntrySummary> },
    #[error("the keystore holds no private key, only {}", list(.entries))]
    NoPrivateKey { entries: Vec<EntrySummary> },
    #[error("the file holds several private keys, and which of them is meant is not said: {}", list(.keys))]
    SeveralKeys { keys: Vec<EntrySummary> },

    #[error("the key is of the type {0}; Maskinporten takes RSA keys alone")]
    UnsupportedKeyAlgorithm(String),
    #[error("the RSA key has {bits} bits; Maskinporten asks for 2048 at least")]
    KeyTooSmall { bits: usize },
    #[error("the private key is not a valid RSA key: {0}")]
    InvalidKey(String),
    #[error("the JWK says \"alg\": \"{declared}\", but {configured} is configured")]
    AlgorithmMismatch { declared: String, configured: &'static str },

    #[error("the private key does not belong to the certificate ({subject})")]
    CertificateMismatch { subject: String },
    #[error("the certificate ({subject}) expired on {}", date(*.not_after))]
    CertificateExpired { subject: String, not_after: SystemTime },
    #[error("the certificate ({subject}) is not valid before {}", date(*.not_before))]
    CertificateNotYetValid { subject: String, not_before: SystemTime },
    #[error("the key has neither a certificate nor a `kid`, so Maskinporten cannot know whose it is")]
    NeitherKidNorCertificate,
}

/// The forms that keys come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Format {
    #[serde(rename = "JKS")]
    Jks,
    #[serde(rename = "PKCS#12")]
    Pkcs12,
    #[serde(rename = "PEM")]
    Pem,
    /// PKCS#8 or PKCS#1 without PEM's armour.
    #[serde(rename = "DER")]
    Der,
    #[serde(rename = "JWK")]
    Jwk,
}

/// What an entry of a keystore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    PrivateKey,
    TrustedCertificate,
    SecretKey,
}

/// What a file is that is taken for a keystore by mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookalike {
    Certificate,
    CertificateRequest,
    PublicKey,
    CertificateBundle,
    OpenSshKey,
    PuttyKey,
    Pgp,
    Html,
    /// Base64 text of what would be a keystore.
    Base64(Format),
    Utf16Text,
    Json,
    PrivateKey,
    Unknown,
}

/// One line about an entry, for choosing among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    pub alias: Option<String>,
    pub kind: EntryKind,
    /// Of the entry's certificate.
    pub subject: Option<String>,
    /// Names of RFC 5280 §4.2.1.3, joined with commas.
    pub key_usage: Option<String>,
    /// Whether the key may sign grants: digitalSignature, or no limits at all.
    pub is_signing_key: bool,
}

impl KeyError {
    pub(super) fn new(location: &Location, fault: Fault) -> Self {
        Self { location: location.clone(), fault: Box::new(fault) }
    }

    /// The same error told of the file that the bytes came from.
    #[must_use]
    pub fn at(self, path: &Path) -> Self {
        Self { location: Location::File(path.to_owned()), ..self }
    }
}

impl EntrySummary {
    fn describe(&self) -> String {
        let mut parts = vec![self.subject.clone().unwrap_or_else(|| self.kind.to_string())];
        parts.extend(self.key_usage.clone());
        if self.kind == EntryKind::PrivateKey && self.is_signing_key {
            parts.push("may sign".to_owned());
        }
        format!("{} ({})", quoted(&self.alias), parts.join("; "))
    }
}

fn list(entries: &[EntrySummary]) -> String {
    if entries.is_empty() {
        return "nothing".to_owned();
    }
    entries.iter().map(EntrySummary::describe).collect::<Vec<_>>().join(", ")
}

fn quoted(alias: &Option<String>) -> String {
    alias.as_ref().map_or_else(|| "without an alias".to_owned(), |alias| format!("\"{alias}\""))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&printable(&path.to_string_lossy())),
            Self::Inline => f.write_str("the key in the configuration"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jks => "JKS keystore",
            Self::Pkcs12 => "PKCS#12 keystore",
            Self::Pem => "PEM file",
            Self::Der => "DER key",
            Self::Jwk => "JWK",
        })
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::TrustedCertificate => "a trusted certificate",
            Self::SecretKey => "a secret (symmetric) key",
        })
    }
}

impl fmt::Display for Lookalike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a public certificate",
            Self::CertificateRequest => "a certificate signing request",
            Self::PublicKey => "a public key",
            Self::CertificateBundle => "a bundle of public certificates (PKCS#7)",
            Self::OpenSshKey => "an OpenSSH key",
            Self::PuttyKey => "a PuTTY key",
            Self::Pgp => "an OpenPGP file",
            Self::Html => "an HTML or XML page",
            Self::Base64(Format::Jks) => "the base64 text of a JKS keystore",
            Self::Base64(Format::Pkcs12) => "the base64 text of a PKCS#12 keystore",
            Self::Base64(_) => "the base64 text of a key",
            Self::Utf16Text => "text in UTF-16",
            Self::Json => "JSON, but no JWK",
            Self::PrivateKey => "a private key",
            Self::Unknown => "something of no known form",
        })
    }
}
