//! The key once it is loaded.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::certificate::{Certificate, CertificateInfo};
use super::generate::public_numbers;
use super::jwk;
use super::warning::{self, KeyWarning};
use crate::config::Algorithm;

/// An RSA key that signs grants, with what tells Maskinporten whose it is.
///
/// Cloning is cheap, and so is signing: the key was parsed when it was loaded.
#[derive(Clone)]
pub struct SigningKey(Arc<Inner>);

struct Inner {
    pair: KeyPair,
    public_key: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    /// `None` where `kid` is sent in its place.
    x5c: Option<Vec<String>>,
    chain: Vec<Vec<u8>>,
    certificate: Option<CertificateInfo>,
    alias: Option<String>,
    identity: KeyIdentity,
}

/// What makes two keys the same to Maskinporten: key, algorithm, and `kid` or chain. A structured
/// value for keys of caches; it holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyIdentity {
    /// SHA-256 of the public key (PKCS#1).
    pub public_key: [u8; 32],
    pub algorithm: Algorithm,
    pub credential: Credential,
}

/// How the grant names the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    Kid(Arc<str>),
    /// SHA-256 over the SHA-256 of each certificate of `x5c`, in order.
    Chain([u8; 32]),
}

/// The crypto library could not sign; with a key that was loaded this does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA signature could not be made")]
pub struct SignError;

/// What a loader has found.
pub(super) struct Parts {
    pub(super) pair: KeyPair,
    /// PKCS#1 `RSAPublicKey`.
    pub(super) public_key: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// Leaf first; not empty where there is no `kid`.
    pub(super) chain: Vec<Certificate>,
    pub(super) alias: Option<String>,
}

impl SigningKey {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { pair, public_key, algorithm, kid, chain, alias } = parts;
        let certificate = chain.first().map(|leaf| leaf.info.clone());
        let chain: Vec<Vec<u8>> = chain.into_iter().map(|certificate| certificate.der).collect();
        let credential = match &kid {
            Some(kid) => Credential::Kid(kid.as_str().into()),
            None => Credential::Chain(chain_hash(&chain)),
        };
        let identity = KeyIdentity { public_key: sha256(&public_key), algorithm, credential };
        let x5c = kid.is_none().then(|| chain.iter().map(|der| STANDARD.encode(der)).collect());
        Self(Arc::new(Inner { pair, public_key, algorithm, kid, x5c, chain, certificate, alias, identity }))
    }

    /// Signs by RSASSA-PKCS1-v1_5 (RFC 8017 §8.2) with the hash of [`algorithm`](Self::algorithm),
    /// as RFC 7518 §3.3 asks for.
    ///
    /// # Errors
    ///
    /// [`SignError`] where the crypto library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let encoding: &'static dyn RsaEncoding = match self.0.algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_SHA512,
        };
        let mut signature = vec![0; self.0.pair.public_modulus_len()];
        self.0.pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| SignError)?;
        Ok(signature)
    }

    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The `kid` of the grant's header; where there is one, `x5c` is not sent.
    pub fn kid(&self) -> Option<&str> {
        self.0.kid.as_deref()
    }

    /// The `x5c` of the grant's header (RFC 7515 §4.1.6): base64 of DER, the whole chain as far
    /// as the file has it, leaf first. `None` where `kid` is sent.
    pub fn x5c(&self) -> Option<&[String]> {
        self.0.x5c.as_deref()
    }

    /// The certificates in DER, leaf first; empty for a key without any.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.0.chain
    }

    /// The leaf of the chain.
    pub fn certificate(&self) -> Option<&CertificateInfo> {
        self.0.certificate.as_ref()
    }

    /// The alias of the entry that was used, as the file spells it.
    pub fn alias(&self) -> Option<&str> {
        self.0.alias.as_deref()
    }

    pub fn identity(&self) -> &KeyIdentity {
        &self.0.identity
    }

    /// The public key as PKCS#1 `RSAPublicKey` in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.0.public_key
    }

    /// The public key as a JWK (RFC 7517), to register on a client.
    pub fn public_jwk(&self) -> Value {
        let (modulus, exponent) =
            public_numbers(&self.0.public_key).expect("aws-lc wrote this PKCS#1 key itself");
        jwk::public(modulus, exponent, self.kid(), self.0.algorithm.name())
    }

    /// What works, but will be refused or not last long. Empty where `kid` is sent, since
    /// Maskinporten then looks at no certificate.
    pub fn warnings(&self, now: SystemTime) -> Vec<KeyWarning> {
        match (&self.0.x5c, &self.0.certificate) {
            (Some(x5c), Some(certificate)) => warning::of(certificate, x5c.len(), now),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("identity", &self.0.identity)
            .field("alias", &self.0.alias)
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}

fn chain_hash(chain: &[Vec<u8>]) -> [u8; 32] {
    let hashes: Vec<u8> = chain.iter().flat_map(|der| sha256(der)).collect();
    sha256(&hashes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
