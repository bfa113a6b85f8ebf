//! Opens a protected key: from what a file holds to an RSA key that can sign.

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;

use super::Passwords;
use super::asn1::{Asn1Error, INTEGER, Reader, SEQUENCE};
use super::error::{Fault, Format};
use super::jks::{self, ProtectorError};
use super::pbe::{self, PbeError};
use super::store::{ProtectedKey, Unusable};
use super::text::printable;

/// What Maskinporten asks for, and aws-lc too.
const MIN_BITS: usize = 2048;
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";

/// A key that was opened and found good.
#[derive(Debug)]
pub(super) struct OpenKey {
    pub(super) pair: KeyPair,
    /// PKCS#1 `RSAPublicKey`, the same bytes that a certificate of this key holds.
    pub(super) public_key: Vec<u8>,
    pub(super) bits: usize,
}

/// Opens `key`, the entry `alias` of a file of the form `format`. The key's own password is used
/// where one is given, otherwise the keystore's; neither is tried in the place of the other, so
/// that a wrong one does not go unnoticed.
pub(super) fn open(
    key: &ProtectedKey,
    format: Format,
    alias: Option<&str>,
    passwords: &Passwords,
) -> Result<OpenKey, Fault> {
    let own = passwords.key();
    let password = own.or(passwords.store());
    let wrong = || Fault::WrongKeyPassword { alias: alias.map(printable), own: own.is_some() };
    match key {
        ProtectedKey::Plain(der) => rsa(der.expose(), format),
        ProtectedKey::Jks(blob) => {
            let password = password.ok_or(Fault::PasswordMissing(format))?;
            let der = jks::open_key(blob, password).map_err(|error| match error {
                ProtectorError::WrongPassword => wrong(),
                ProtectorError::Unsupported(oid) => {
                    Fault::UnsupportedEncryption { format, scheme: format!("the scheme {oid}") }
                }
                ProtectorError::Malformed => malformed(format),
            })?;
            rsa(&der, format)
        }
        ProtectedKey::Encrypted(blob) => {
            let password = match format {
                // No password and an empty one are the same to PKCS#12.
                Format::Pkcs12 => password.unwrap_or_default(),
                _ => password.ok_or(Fault::PasswordMissing(format))?,
            };
            let der = pbe::decrypt_key(blob, password).map_err(|error| match error {
                PbeError::WrongPassword if format != Format::Pkcs12 => Fault::WrongStorePassword(format),
                PbeError::WrongPassword if password.is_empty() => Fault::PasswordMissing(format),
                PbeError::WrongPassword => wrong(),
                PbeError::Unsupported(scheme) => Fault::UnsupportedEncryption { format, scheme },
                PbeError::TooCostly => Fault::TooCostly(format),
                PbeError::Malformed => malformed(format),
            })?;
            rsa(&der, format)
        }
        ProtectedKey::Unusable(why) => Err(match why {
            Unusable::Algorithm(name) => Fault::UnsupportedKeyAlgorithm(name.clone()),
            Unusable::LegacyPemEncryption => Fault::UnsupportedEncryption {
                format,
                scheme: "the encryption of old PEM files (Proc-Type: 4,ENCRYPTED)".to_owned(),
            },
            Unusable::WithoutPrimes => {
                Fault::InvalidKey("it lacks the parameters p, q, dp, dq and qi of a two-prime key".to_owned())
            }
        }),
    }
}

/// An RSA key in PKCS#8 (RFC 5958) or PKCS#1 (RFC 8017 appendix A.1.2).
fn rsa(der: &[u8], format: Format) -> Result<OpenKey, Fault> {
    let pkcs1 = pkcs1(der).map_err(|_| malformed(format))?;
    let pkcs1 = match pkcs1 {
        Pkcs1::Inside(key) | Pkcs1::Itself(key) => key,
        Pkcs1::Other(oid) => return Err(Fault::UnsupportedKeyAlgorithm(algorithm_name(&oid))),
    };
    let bits = modulus_bits(pkcs1).map_err(|_| malformed(format))?;
    if bits < MIN_BITS {
        return Err(Fault::KeyTooSmall { bits });
    }
    let pair = KeyPair::from_der(pkcs1).map_err(|rejected| Fault::InvalidKey(rejected.to_string()))?;
    let public_key = pair.public_key().as_ref().to_vec();
    Ok(OpenKey { pair, public_key, bits })
}

enum Pkcs1<'a> {
    Inside(&'a [u8]),
    Itself(&'a [u8]),
    Other(String),
}

fn pkcs1(der: &[u8]) -> Result<Pkcs1<'_>, Asn1Error> {
    let mut key = Reader::new(der).sequence()?;
    key.small_integer()?; // the version
    let second = key.next()?;
    match second.tag {
        INTEGER => Ok(Pkcs1::Itself(der)),
        SEQUENCE => {
            let oid = second.reader().oid()?;
            if oid != RSA_ENCRYPTION {
                return Ok(Pkcs1::Other(oid));
            }
            let inside = key.expect(super::asn1::OCTET_STRING)?.content;
            Ok(Pkcs1::Inside(inside))
        }
        _ => Err(Asn1Error::Malformed),
    }
}

fn modulus_bits(pkcs1: &[u8]) -> Result<usize, Asn1Error> {
    let mut key = Reader::new(pkcs1).sequence()?;
    key.small_integer()?;
    Ok(bits(key.expect(INTEGER)?.content))
}

/// The length of a big-endian number in bits.
pub(super) fn bits(number: &[u8]) -> usize {
    let skip = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[skip..];
    digits.first().map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}

fn algorithm_name(oid: &str) -> String {
    match oid {
        "1.2.840.10045.2.1" => "EC",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.10040.4.1" => "DSA",
        "1.3.101.110" => "X25519",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        other => other,
    }
    .to_owned()
}

fn malformed(format: Format) -> Fault {
    Fault::Corrupt { format, detail: "the private key in it cannot be read" }
}
