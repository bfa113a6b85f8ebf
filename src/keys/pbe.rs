//! Password-based encryption of keys: PBES2 (RFC 8018 §6.2) and the PKCS#12 schemes with 3DES and
//! RC2 (RFC 7292 appendix C) that older business certificates are delivered with.
//!
//! Reads alone; nothing is ever encrypted with these. The work that a file may ask for is bounded.

use aws_lc_rs::digest;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use pkcs8::der::Decode;
use pkcs8::pkcs5::{Error as Pkcs5Error, pbes2};
use zeroize::Zeroizing;

use super::asn1::{Asn1Error, Element, Reader, SEQUENCE};

/// keytool asks for 10,000 iterations, openssl for 2,048, OWASP for 600,000.
pub(super) const MAX_ITERATIONS: u32 = 2_000_000;
/// openssl's scrypt takes 16 MiB.
const MAX_SCRYPT_MEMORY: u64 = 256 << 20;
const MAX_SCRYPT_PARALLELISM: u16 = 16;

/// Why something encrypted does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PbeError {
    /// The name of the scheme, or its object identifier.
    Unsupported(String),
    Malformed,
    TooCostly,
    /// What comes out is no ASN.1: the password is another.
    WrongPassword,
}

impl From<Asn1Error> for PbeError {
    fn from(_: Asn1Error) -> Self {
        Self::Malformed
    }
}

/// Opens an `EncryptedPrivateKeyInfo` (RFC 5958 §3) and returns the PKCS#8 key inside.
pub(super) fn decrypt_key(der: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, PbeError> {
    let mut info = Reader::new(der).sequence()?;
    let algorithm = info.expect(SEQUENCE)?;
    let data = info.octets()?;
    decrypt(&algorithm, &data, password)
}

/// Decrypts ASN.1 `data` by the `AlgorithmIdentifier` that stands before it.
pub(super) fn decrypt(
    algorithm: &Element<'_>,
    data: &[u8],
    password: &str,
) -> Result<Zeroizing<Vec<u8>>, PbeError> {
    let mut reader = algorithm.reader();
    let oid = reader.oid()?;
    let cipher = match &*oid {
        "1.2.840.113549.1.5.13" => return pbes2(reader.next()?, data, password),
        "1.2.840.113549.1.12.1.3" => Pkcs12Cipher::TripleDes,
        "1.2.840.113549.1.12.1.5" => Pkcs12Cipher::Rc2 { key_length: 16 },
        "1.2.840.113549.1.12.1.6" => Pkcs12Cipher::Rc2 { key_length: 5 },
        _ => return Err(PbeError::Unsupported(scheme_name(&oid))),
    };
    let mut parameters = reader.sequence()?;
    let salt = parameters.octets()?;
    let iterations = parameters.small_integer()?;
    if iterations > MAX_ITERATIONS {
        return Err(PbeError::TooCostly);
    }
    passwords(password)
        .into_iter()
        .find_map(|password| {
            let plain = cipher.decrypt(&password, &salt, iterations, data)?;
            is_asn1(&plain).then_some(plain)
        })
        .ok_or(PbeError::WrongPassword)
}

fn pbes2(parameters: Element<'_>, data: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, PbeError> {
    check_cipher(&parameters)?;
    let parameters = pbes2::Parameters::from_der(parameters.raw).map_err(|_| PbeError::Malformed)?;
    if !is_affordable(&parameters.kdf) {
        return Err(PbeError::TooCostly);
    }
    let plain = match parameters.decrypt(password.as_bytes(), data) {
        Ok(plain) => Zeroizing::new(plain),
        Err(Pkcs5Error::DecryptFailed) => return Err(PbeError::WrongPassword),
        Err(_) => return Err(PbeError::Malformed),
    };
    if is_asn1(&plain) { Ok(plain) } else { Err(PbeError::WrongPassword) }
}

/// Names what is not supported before the library says only that it does not know it, and keeps
/// initialization vectors of a wrong length from it (it takes a slice of eight octets unasked).
fn check_cipher(parameters: &Element<'_>) -> Result<(), PbeError> {
    let mut reader = parameters.reader();
    let mut kdf = reader.sequence()?;
    let kdf_oid = kdf.oid()?;
    if !matches!(&*kdf_oid, "1.2.840.113549.1.5.12" | "1.3.6.1.4.1.11591.4.11") {
        return Err(PbeError::Unsupported(scheme_name(&kdf_oid)));
    }
    let mut cipher = reader.sequence()?;
    let oid = cipher.oid()?;
    let iv_length = match &*oid {
        // AES-128, -192 and -256 in CBC
        "2.16.840.1.101.3.4.1.2" | "2.16.840.1.101.3.4.1.22" | "2.16.840.1.101.3.4.1.42" => 16,
        // AES-128 and -256 in GCM
        "2.16.840.1.101.3.4.1.6" | "2.16.840.1.101.3.4.1.46" => 12,
        // 3DES and DES in CBC
        "1.2.840.113549.3.7" | "1.3.14.3.2.7" => 8,
        _ => return Err(PbeError::Unsupported(scheme_name(&oid))),
    };
    if cipher.octets()?.len() == iv_length { Ok(()) } else { Err(PbeError::Malformed) }
}

fn is_affordable(kdf: &pbes2::Kdf) -> bool {
    match kdf {
        pbes2::Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= MAX_ITERATIONS,
        pbes2::Kdf::Scrypt(scrypt) => {
            let memory = scrypt.cost_parameter.checked_mul(128 * u64::from(scrypt.block_size));
            memory.is_some_and(|memory| memory <= MAX_SCRYPT_MEMORY)
                && scrypt.parallelization <= MAX_SCRYPT_PARALLELISM
        }
        _ => false,
    }
}

/// A wrong password leaves valid padding once in 256 times, but hardly ever a whole element.
fn is_asn1(plain: &[u8]) -> bool {
    let mut reader = Reader::new(plain);
    reader.next().is_ok_and(|element| element.tag == SEQUENCE) && reader.is_empty()
}

fn scheme_name(oid: &str) -> String {
    match oid {
        "1.2.840.113549.1.12.1.1" => "PBE-SHA1-RC4-128",
        "1.2.840.113549.1.12.1.2" => "PBE-SHA1-RC4-40",
        "1.2.840.113549.1.12.1.4" => "PBE-SHA1-2DES",
        "1.2.840.113549.1.5.1" => "PBE-MD2-DES",
        "1.2.840.113549.1.5.3" => "PBE-MD5-DES",
        "1.2.840.113549.1.5.4" => "PBE-MD2-RC2-64",
        "1.2.840.113549.1.5.6" => "PBE-MD5-RC2-64",
        "1.2.840.113549.1.5.10" => "PBE-SHA1-DES",
        "1.2.840.113549.1.5.11" => "PBE-SHA1-RC2-64",
        "1.2.840.113549.1.5.14" => "PBMAC1 (RFC 9579)",
        "1.2.840.113549.3.2" => "PBES2 with RC2",
        "1.2.156.10197.1.104.2" => "PBES2 with SM4",
        _ => return format!("the scheme {oid}"),
    }
    .to_owned()
}

#[derive(Clone, Copy)]
enum Pkcs12Cipher {
    TripleDes,
    Rc2 { key_length: usize },
}

impl Pkcs12Cipher {
    fn decrypt(
        self,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
        data: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let derive = |purpose, length| derive(sha1, purpose, password, salt, iterations, length);
        let iv = derive(Purpose::Iv, 8);
        match self {
            Self::TripleDes => cbc::<des::TdesEde3>(&derive(Purpose::Key, 24), &iv, data),
            Self::Rc2 { key_length } => cbc::<rc2::Rc2>(&derive(Purpose::Key, key_length), &iv, data),
        }
    }
}

fn cbc<C: BlockCipherDecrypt + KeyInit>(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(data.to_vec());
    let length =
        cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?.decrypt_padded::<Pkcs7>(&mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// What a derived key is for (RFC 7292 §B.3).
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// The password as the PKCS#12 derivation wants it: UTF-16, big-endian, with a terminator. An
/// empty one is a terminator to some programs and nothing at all to others.
pub(super) fn passwords(password: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut bytes = utf16(password);
    bytes.extend_from_slice(&[0, 0]);
    match password.is_empty() {
        true => vec![bytes, Zeroizing::default()],
        false => vec![bytes],
    }
}

/// The code units of Java's `char[]`, big-endian.
pub(super) fn utf16(password: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * password.len() + 2));
    bytes.extend(password.encode_utf16().flat_map(u16::to_be_bytes));
    bytes
}

/// The key derivation of PKCS#12 (RFC 7292 §B.2). The caller bounds `iterations`.
pub(super) fn derive(
    hash: &'static digest::Algorithm,
    purpose: Purpose,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    let block = hash.block_len();
    let whole_blocks = |bytes: &[u8]| bytes.len().div_ceil(block) * block;
    let diversifier = vec![purpose as u8; block];
    // One allocation of the final size: growing would leave copies of the password behind.
    let mut input = Zeroizing::new(Vec::with_capacity(whole_blocks(salt) + whole_blocks(password)));
    for repeated in [salt, password] {
        input.extend(repeated.iter().copied().cycle().take(whole_blocks(repeated)));
    }
    let mut out = Zeroizing::new(Vec::with_capacity(length + hash.output_len()));
    loop {
        let mut context = digest::Context::new(hash);
        context.update(&diversifier);
        context.update(&input);
        let mut round = context.finish();
        for _ in 1..iterations {
            round = digest::digest(hash, round.as_ref());
        }
        out.extend_from_slice(round.as_ref());
        if out.len() >= length {
            out.truncate(length);
            return out;
        }
        for chunk in input.chunks_exact_mut(block) {
            add_with_one(chunk, round.as_ref());
        }
    }
}

/// `chunk = (chunk + repeated + 1) mod 2^(8 × its length)`, big-endian.
fn add_with_one(chunk: &mut [u8], repeated: &[u8]) {
    let mut carry = 1;
    for (at, byte) in chunk.iter_mut().enumerate().rev() {
        let sum = u16::from(*byte) + u16::from(repeated[at % repeated.len()]) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
}

#[cfg(test)]
mod tests {
    use super::super::asn1::{INTEGER, OCTET_STRING, OID, der};
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// The vectors that BouncyCastle, GnuTLS and OpenSSL share.
    #[test]
    fn derives_as_others_do() {
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let smeg = &passwords("smeg")[0];
        let key = derive(sha1, Purpose::Key, smeg, &hex("0a58cf64530d823f"), 1, 24);
        assert_eq!(*key, hex("8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3"));
        let iv = derive(sha1, Purpose::Iv, smeg, &hex("0a58cf64530d823f"), 1, 8);
        assert_eq!(*iv, hex("79993dfe048d3b76"));
        let queeg = &passwords("queeg")[0];
        let key = derive(sha1, Purpose::Key, queeg, &hex("05dec959acff72f7"), 1000, 24);
        assert_eq!(*key, hex("ed2034e36328830ff09df1e1a07dd357185dac0d4f9eb3d4"));
        let mac = derive(sha1, Purpose::Mac, queeg, &hex("263216fcc2fab31c"), 1000, 20);
        assert_eq!(*mac, hex("5ec4c7a80df652294c3925b6489a7ab857c83476"));
    }

    fn pbes2_with(kdf: &[u8], cipher_oid: &[u8], iv: &[u8]) -> Vec<u8> {
        let cipher = der(SEQUENCE, &[&der(OID, &[cipher_oid]), &der(OCTET_STRING, &[iv])]);
        let parameters = der(SEQUENCE, &[kdf, &cipher]);
        let pbes2 = hex("2a864886f70d01050d");
        let algorithm = der(SEQUENCE, &[&der(OID, &[&pbes2]), &parameters]);
        der(SEQUENCE, &[&algorithm, &der(OCTET_STRING, &[&[0; 32]])]).to_vec()
    }

    fn pbkdf2(iterations: &[u8]) -> Vec<u8> {
        let parameters = der(SEQUENCE, &[&der(OCTET_STRING, &[&[1; 8]]), &der(INTEGER, &[iterations])]);
        der(SEQUENCE, &[&der(OID, &[&hex("2a864886f70d01050c")]), &parameters]).to_vec()
    }

    #[test]
    fn a_short_initialization_vector_is_malformed_and_no_panic() {
        let triple_des = hex("2a864886f70d0307");
        let short = pbes2_with(&pbkdf2(&[1]), &triple_des, &[0; 3]);
        assert_eq!(decrypt_key(&short, "x").unwrap_err(), PbeError::Malformed);
        let whole = pbes2_with(&pbkdf2(&[1]), &triple_des, &[0; 8]);
        assert_eq!(decrypt_key(&whole, "x").unwrap_err(), PbeError::WrongPassword);
    }

    #[test]
    fn work_beyond_reason_is_refused_before_it_is_done() {
        let costly = pbes2_with(&pbkdf2(&[0x7f, 0xff, 0xff, 0xff]), &hex("60864801650304012a"), &[0; 16]);
        assert_eq!(decrypt_key(&costly, "x").unwrap_err(), PbeError::TooCostly);
        let memory = der(
            SEQUENCE,
            &[
                &der(OCTET_STRING, &[&[1; 8]]),
                &der(INTEGER, &[&[0x40, 0, 0, 0]]),
                &der(INTEGER, &[&[8]]),
                &der(INTEGER, &[&[1]]),
            ],
        );
        let scrypt = der(SEQUENCE, &[&der(OID, &[&hex("2b06010401da47040b")]), &memory]);
        let costly = pbes2_with(&scrypt, &hex("60864801650304012a"), &[0; 16]);
        assert_eq!(decrypt_key(&costly, "x").unwrap_err(), PbeError::TooCostly);
    }

    #[test]
    fn an_unsupported_cipher_is_named() {
        let rc2 = pbes2_with(&pbkdf2(&[1]), &hex("2a864886f70d0302"), &[0; 8]);
        assert_eq!(decrypt_key(&rc2, "x").unwrap_err(), PbeError::Unsupported("PBES2 with RC2".into()));
    }
}
