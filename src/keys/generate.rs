//! Makes an RSA key to register on a client.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::asn1::{INTEGER, Reader};
use super::jwk;
use crate::config::Algorithm;
use crate::secret::Secret;

/// The lengths of RSA keys that are worth making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyBits {
    /// What Maskinporten asks for.
    #[default]
    B2048,
    B3072,
}

/// A key that was made.
#[derive(Debug)]
pub struct Generated {
    /// The private key: PKCS#8 in PEM, not encrypted. Its file wants mode 0600.
    pub pem: Secret<String>,
    /// The public half as a JWK set, as `POST /clients/{id}/jwks` takes it.
    pub public_jwks: Value,
    /// Under which the key is to be registered, and what `kid` is set to.
    pub kid: String,
}

/// The random generator or the key generation of the crypto library failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the RSA key could not be made")]
pub struct GenerateError;

/// Makes a key. Without a `kid` it gets the key's thumbprint (RFC 7638, SHA-256): unique without
/// a register of names, and the same wherever the key goes.
///
/// # Errors
///
/// [`GenerateError`] where the crypto library fails.
pub fn generate(bits: KeyBits, kid: Option<&str>) -> Result<Generated, GenerateError> {
    let size = match bits {
        KeyBits::B2048 => KeySize::Rsa2048,
        KeyBits::B3072 => KeySize::Rsa3072,
    };
    let pair = KeyPair::generate(size).map_err(|_| GenerateError)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| GenerateError)?;
    let (modulus, exponent) = public_numbers(pair.public_key().as_ref()).ok_or(GenerateError)?;
    let kid = kid.map_or_else(|| thumbprint(modulus, exponent), str::to_owned);
    let jwk = jwk::public(modulus, exponent, Some(&kid), Algorithm::Rs256.name());
    Ok(Generated { pem: pem(der.as_ref()), public_jwks: json!({ "keys": [jwk] }), kid })
}

/// Modulus and exponent of a PKCS#1 public key, without leading zeros.
pub(super) fn public_numbers(public_key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = Reader::new(public_key).sequence().ok()?;
    let modulus = key.expect(INTEGER).ok()?.content;
    let exponent = key.expect(INTEGER).ok()?.content;
    let trimmed = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((&modulus[trimmed(modulus)..], &exponent[trimmed(exponent)..]))
}

/// RFC 7638 §3: SHA-256 over the required members, sorted, without white space.
fn thumbprint(modulus: &[u8], exponent: &[u8]) -> String {
    let canonical = format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(exponent),
        URL_SAFE_NO_PAD.encode(modulus)
    );
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes()))
}

/// RFC 7468 §10, in lines of 64.
fn pem(der: &[u8]) -> Secret<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut pem = String::with_capacity(base64.len() + base64.len() / 64 + 64);
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Secret::new(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638 §3.1.
    #[test]
    fn thumbprint_is_that_of_the_rfc() {
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRX\
                       jBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqz\
                       s8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-\
                       G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let modulus = URL_SAFE_NO_PAD.decode(modulus).unwrap();
        assert_eq!(thumbprint(&modulus, &[1, 0, 1]), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
