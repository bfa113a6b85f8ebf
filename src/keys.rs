//! The private key that signs grants, in any form its users have it: JKS, PKCS#12, PEM, DER, JWK.
//!
//! [`SigningKey::load`] reads a key file, known by its content and never by its name, picks the
//! entry that is meant, checks what Maskinporten would refuse, and keeps the key parsed, ready to
//! sign. Every way in which that can go wrong is a [`Fault`] with a message and a hint of its own.
//! [`inspect`] lists what a file holds, [`generate`] makes a key.
//!
//! Nothing here writes a file, asks the network, or verifies a certificate's signature or
//! revocation: that is Maskinporten's business. No secret is in any `Debug`, message or error.

mod asn1;
mod certificate;
mod chain;
mod choose;
mod error;
mod generate;
mod hint;
mod inspect;
pub mod jks;
pub mod jwk;
mod load;
mod open;
mod pbe;
pub mod pem;
mod permissions;
pub mod pkcs12;
mod read;
mod signing;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod warning;

pub use certificate::{CertificateInfo, KeyUse};
pub use error::{EntryKind, EntrySummary, Fault, Format, KeyError, Location, Lookalike};
pub use generate::{GenerateError, Generated, KeyBits, generate};
pub use inspect::{EntryInfo, Inspection, inspect};
pub use load::{Selection, read_material};
pub use permissions::readable_by_others;
pub use signing::{Credential, KeyIdentity, SignError, SigningKey};
pub use store::Keystore;
pub use warning::KeyWarning;

use crate::secret::Secret;

/// The passwords that open a key file. An empty one counts as none.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    /// The keystore's, or that of an encrypted key alone in its file.
    pub store: Option<Secret<String>>,
    /// The key's own, where it differs from the keystore's.
    pub key: Option<Secret<String>>,
}

impl Passwords {
    /// One password for the keystore and its keys.
    pub fn one(password: &str) -> Self {
        Self { store: Some(Secret::from(password)), key: None }
    }

    fn store(&self) -> Option<&str> {
        exposed(self.store.as_ref())
    }

    fn key(&self) -> Option<&str> {
        exposed(self.key.as_ref())
    }
}

fn exposed(secret: Option<&Secret<String>>) -> Option<&str> {
    secret.map(|secret| secret.expose().as_str()).filter(|password| !password.is_empty())
}
