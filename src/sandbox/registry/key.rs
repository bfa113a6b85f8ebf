//! Public keys that are registered on a client, under a `kid` (RFC 7517).

use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::RsaPublicKeyComponents;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Keys live one year from the day they are registered.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// An RSA public key under the `kid` that grants name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// `None`: never.
    pub expires: Option<SystemTime>,
}

/// Why a key cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{0:?} is missing, or is not a text")]
    Missing(&'static str),
    #[error("kty must be RSA")]
    Type,
    #[error("alg must be RS256")]
    Algorithm,
    #[error("use must be sig")]
    Use,
    #[error("{0:?} is not base64url without padding, or begins with a zero")]
    Encoding(&'static str),
    #[error("{0:?} belongs to the private key, which must not leave its owner")]
    Private(&'static str),
    #[error("the modulus has {0} bits; at least 2048 are required")]
    Short(usize),
    #[error("the public exponent must be odd and greater than 1")]
    Exponent,
    #[error("this is no certificate or public key with an RSA key in it")]
    Unreadable,
}

impl RegisteredKey {
    /// From a public JWK, by the rules of the self-service API: `kty`, `alg`, `use`, `e`, `n` and
    /// `kid` given, 2048 bits or more.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let text = |name| jwk.get(name).and_then(Value::as_str).ok_or(KeyError::Missing(name));
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            if jwk.get(name).is_some() {
                return Err(KeyError::Private(name));
            }
        }
        if text("kty")? != "RSA" {
            return Err(KeyError::Type);
        }
        if text("alg")? != "RS256" {
            return Err(KeyError::Algorithm);
        }
        if text("use")? != "sig" {
            return Err(KeyError::Use);
        }
        let number = |name| {
            let bytes = URL_SAFE_NO_PAD.decode(text(name)?).map_err(|_| KeyError::Encoding(name))?;
            match bytes.first() {
                None | Some(0) => Err(KeyError::Encoding(name)),
                Some(_) => Ok(bytes),
            }
        };
        let kid = text("kid")?;
        if kid.is_empty() {
            return Err(KeyError::Missing("kid"));
        }
        Self::checked(kid, number("n")?, number("e")?)
    }

    /// From a certificate, DER.
    pub fn from_certificate(kid: &str, der: &[u8]) -> Result<Self, KeyError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| KeyError::Unreadable)?;
        Self::from_info(kid, certificate.public_key())
    }

    /// From a SubjectPublicKeyInfo, DER (RFC 5280 §4.1.2.7).
    pub fn from_public_key(kid: &str, der: &[u8]) -> Result<Self, KeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Unreadable)?;
        Self::from_info(kid, &info)
    }

    fn from_info(kid: &str, info: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        let Ok(PublicKey::RSA(key)) = info.parsed() else { return Err(KeyError::Unreadable) };
        Self::checked(kid, unsigned(key.modulus), unsigned(key.exponent))
    }

    fn checked(kid: &str, modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, KeyError> {
        let leading = modulus.first().map_or(8, |byte| byte.leading_zeros() as usize);
        let bits = (modulus.len() * 8).saturating_sub(leading);
        if bits < 2048 {
            return Err(KeyError::Short(bits));
        }
        if exponent == [1] || exponent.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(KeyError::Exponent);
        }
        Ok(Self { kid: kid.to_owned(), modulus, exponent, expires: None })
    }

    /// The key as it is once registered at `now`: it lives for a year.
    pub fn registered_at(mut self, now: SystemTime) -> Self {
        self.expires = Some(now + LIFE);
        self
    }

    /// The key's identifier, unique among all clients.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(in crate::sandbox) fn components(&self) -> RsaPublicKeyComponents<&[u8]> {
        RsaPublicKeyComponents { n: &self.modulus, e: &self.exponent }
    }

    /// The public JWK (RFC 7518 §6.3.1), with `exp` (seconds since 1970) where the key expires.
    pub fn to_jwk(&self) -> Value {
        let mut jwk = json!({
            "kty": "RSA",
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
            "use": "sig",
            "kid": self.kid,
            "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
        });
        let since = self.expires.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(since) = since {
            jwk["exp"] = since.as_secs().into();
        }
        jwk
    }
}

/// A DER INTEGER's bytes without the zero that keeps it positive.
fn unsigned(integer: &[u8]) -> Vec<u8> {
    integer.strip_prefix(&[0]).unwrap_or(integer).to_vec()
}
