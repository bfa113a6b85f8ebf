//! JWK and JWK sets (RFC 7517), as mkjwk and the NAIS platform hand them out.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::asn1::{self, SEQUENCE, der_unsigned};
use super::certificate::Certificate;
use super::error::{Fault, Format, Lookalike};
use super::store::{Entry, Keystore, Material, ProtectedKey, Unusable};
use super::text::printable;
use crate::secret::Secret;

/// Reads a private JWK, or those in a JWK set. Public keys in a set are passed over.
///
/// # Errors
///
/// [`Fault::Truncated`], [`Fault::Corrupt`], or [`Fault::NotAKeystore`] where the JSON is no JWK or
/// holds public keys alone.
pub fn parse(text: &str) -> Result<Keystore, Fault> {
    let document: Jwk<'_> = serde_json::from_str(text).map_err(|error| match error.is_eof() {
        true => Fault::Truncated(Format::Jwk),
        // serde's own text may quote what it found, and that may be a private member.
        false => corrupt("it is not valid JSON, or a member of it has the wrong type or stands twice"),
    })?;
    let keys = match document.keys {
        Some(keys) => keys,
        None if document.kty.is_some() => vec![document],
        None => return Err(Fault::NotAKeystore(Lookalike::Json)),
    };
    let entries: Vec<Entry> =
        keys.into_iter().filter_map(|key| key.into_entry().transpose()).collect::<Result<_, _>>()?;
    if entries.is_empty() {
        return Err(Fault::NotAKeystore(Lookalike::PublicKey));
    }
    Ok(Keystore { format: Format::Jwk, entries, loose: Vec::new() })
}

/// The public half for a client's key set (RFC 7517 §4), from the PKCS#1 public key.
pub(super) fn public(modulus: &[u8], exponent: &[u8], kid: Option<&str>, algorithm: &str) -> Value {
    let mut jwk = json!({
        "kty": "RSA",
        "use": "sig",
        "alg": algorithm,
        "n": URL_SAFE_NO_PAD.encode(modulus),
        "e": URL_SAFE_NO_PAD.encode(exponent),
    });
    if let Some(kid) = kid {
        jwk["kid"] = kid.into();
    }
    jwk
}

#[derive(Deserialize)]
struct Jwk<'a> {
    /// Only in a set (RFC 7517 §5.1), which has none of the other members.
    #[serde(borrow)]
    keys: Option<Vec<Jwk<'a>>>,
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    x5c: Option<Vec<String>>,
    #[serde(borrow)]
    n: Option<Number<'a>>,
    e: Option<Number<'a>>,
    d: Option<Number<'a>>,
    p: Option<Number<'a>>,
    q: Option<Number<'a>>,
    dp: Option<Number<'a>>,
    dq: Option<Number<'a>>,
    qi: Option<Number<'a>>,
    /// More than two primes (RFC 7518 §6.3.2.7).
    oth: Option<serde::de::IgnoredAny>,
}

/// `Base64urlUInt` (RFC 7518 §2), borrowed from the text so that no copy of it stays behind.
#[derive(Deserialize)]
struct Number<'a>(#[serde(borrow)] Cow<'a, str>);

impl Jwk<'_> {
    /// `None` for a public key.
    fn into_entry(self) -> Result<Option<Entry>, Fault> {
        if self.d.is_none() {
            return Ok(None);
        }
        let mut certificates = Vec::new();
        for certificate in self.x5c.iter().flatten() {
            let der = STANDARD.decode(certificate).map_err(|_| corrupt("its `x5c` is not base64"))?;
            certificates.push(
                Certificate::parse(&der)
                    .ok_or_else(|| corrupt("a certificate in its `x5c` cannot be read"))?,
            );
        }
        let not_for_signing = self.usage.as_deref().is_some_and(|usage| usage != "sig")
            || self.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "sign"));
        let key = match self.kty.as_deref() {
            Some("RSA") => self.rsa_key()?,
            Some(other) => ProtectedKey::Unusable(Unusable::Algorithm(printable(other))),
            None => return Err(corrupt("a key in it has no `kty`")),
        };
        let mut entry =
            Entry::new(self.kid.filter(|kid| !kid.is_empty()), Material::PrivateKey { key, certificates });
        entry.algorithm = self.alg;
        entry.not_for_signing = not_for_signing;
        Ok(Some(entry))
    }

    /// The members as a PKCS#1 `RSAPrivateKey` (RFC 8017 appendix A.1.2).
    fn rsa_key(&self) -> Result<ProtectedKey, Fault> {
        let numbers = [&self.n, &self.e, &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi];
        if self.oth.is_some() || numbers[3..].iter().any(|number| number.is_none()) {
            return Ok(ProtectedKey::Unusable(Unusable::WithoutPrimes));
        }
        let mut parts = vec![der_unsigned(&[0])]; // the version: two primes
        for number in numbers {
            let Some(Number(text)) = number else {
                return Err(corrupt("it lacks `n` or `e`"));
            };
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map(Zeroizing::new);
            parts.push(der_unsigned(&bytes.map_err(|_| corrupt("a number in it is not base64url"))?));
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
        Ok(ProtectedKey::Plain(Secret::new(asn1::der(SEQUENCE, &parts).to_vec())))
    }
}

fn corrupt(detail: &'static str) -> Fault {
    Fault::Corrupt { format: Format::Jwk, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_json_is_truncated_and_broken_json_is_corrupt() {
        assert!(matches!(parse(r#"{"kty":"RSA","#), Err(Fault::Truncated(Format::Jwk))));
        assert!(matches!(parse(r#"{"kty":1}"#), Err(Fault::Corrupt { .. })));
        assert!(matches!(parse(r#"{"a":1}"#), Err(Fault::NotAKeystore(Lookalike::Json))));
        assert!(matches!(parse(r#"{"keys":[]}"#), Err(Fault::NotAKeystore(Lookalike::PublicKey))));
    }

    #[test]
    fn a_jwk_that_is_for_encryption_says_so() {
        let store = parse(r#"{"kty":"RSA","d":"AQ","use":"enc"}"#).unwrap();
        assert!(store.entries[0].not_for_signing);
        let store = parse(r#"{"kty":"RSA","d":"AQ","key_ops":["sign"]}"#).unwrap();
        assert!(!store.entries[0].not_for_signing);
    }

    #[test]
    fn an_error_never_quotes_the_key() {
        let error = parse(r#"{"kty":"RSA","d":"hemmelig","d":"hemmelig"}"#).unwrap_err();
        assert!(!error.to_string().contains("hemmelig"), "{error}");
    }
}
