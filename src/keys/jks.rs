//! JKS, the keystore of Java until version 8, as `sun.security.provider.JavaKeyStore` writes it.
//!
//! All numbers are big-endian. Entries stand in the clear but for the private keys, which have a
//! protection of their own; a SHA-1 over password and content closes the file. JCEKS has the same
//! frame and other protection, and is not read.

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use super::asn1::Reader as Asn1;
use super::certificate::Certificate;
use super::error::{Fault, Format};
use super::pbe::utf16;
use super::store::{Entry, Keystore, Material, ProtectedKey};

pub(super) const MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
pub(super) const MAGIC_JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];

/// What the closing digest mixes in between password and content.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST_LENGTH: usize = 20;
const KEY_PROTECTOR: &str = "1.3.6.1.4.1.42.2.17.1.1";

const TAG_PRIVATE_KEY: u32 = 1;
const TAG_TRUSTED_CERTIFICATE: u32 = 2;

/// Reads a keystore. With a password its integrity is checked; without one, its entries can be
/// listed all the same, as `keytool -list` does.
///
/// # Errors
///
/// [`Fault::Truncated`], [`Fault::Corrupt`] or [`Fault::WrongStorePassword`].
pub fn parse(bytes: &[u8], password: Option<&str>) -> Result<Keystore, Fault> {
    let mut reader = Reader { rest: bytes };
    if reader.array()? != MAGIC {
        return Err(corrupt("it does not begin with the magic number"));
    }
    let version = reader.u32()?;
    if !matches!(version, 1 | 2) {
        return Err(corrupt("its version is neither 1 nor 2"));
    }
    let count = reader.u32()?;
    let mut entries = Vec::new(); // grows as entries are found, whatever `count` claims
    for _ in 0..count {
        entries.push(entry(&mut reader, version)?);
    }
    let content = &bytes[..bytes.len() - reader.rest.len()];
    let expected: [u8; DIGEST_LENGTH] = reader.array()?;
    if !reader.rest.is_empty() {
        return Err(corrupt("there are bytes after its end"));
    }
    if let Some(password) = password
        && sha1(&[&utf16(password), WHITENER, content]).as_ref() != expected
    {
        return Err(Fault::WrongStorePassword(Format::Jks));
    }
    Ok(Keystore { format: Format::Jks, entries, loose: Vec::new() })
}

fn entry(reader: &mut Reader<'_>, version: u32) -> Result<Entry, Fault> {
    let tag = reader.u32()?;
    let alias = Some(reader.utf()?);
    let _created: [u8; 8] = reader.array()?;
    let material = match tag {
        TAG_PRIVATE_KEY => {
            let key = ProtectedKey::Jks(reader.block()?.to_vec());
            let mut certificates = Vec::new();
            for _ in 0..reader.u32()? {
                certificates.push(certificate(reader, version)?);
            }
            Material::PrivateKey { key, certificates }
        }
        TAG_TRUSTED_CERTIFICATE => Material::Certificate(certificate(reader, version)?),
        _ => return Err(corrupt("an entry is neither a key nor a certificate")),
    };
    Ok(Entry::new(alias, material))
}

fn certificate(reader: &mut Reader<'_>, version: u32) -> Result<Certificate, Fault> {
    if version == 2 && reader.utf()? != "X.509" {
        return Err(corrupt("a certificate is not of the type X.509"));
    }
    Certificate::parse(reader.block()?).ok_or_else(|| corrupt("a certificate in it cannot be read"))
}

/// Why a key of a JKS does not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProtectorError {
    Malformed,
    /// The object identifier.
    Unsupported(String),
    WrongPassword,
}

/// Undoes the protection of a key: an XOR with a chain of SHA-1 digests over password and salt,
/// as in `sun.security.provider.KeyProtector`. Returns the PKCS#8 key.
pub(super) fn open_key(protected: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, ProtectorError> {
    let (oid, data) = encrypted_info(protected).ok_or(ProtectorError::Malformed)?;
    if oid != KEY_PROTECTOR {
        return Err(ProtectorError::Unsupported(oid));
    }
    let (salt, rest) = data.split_at_checked(DIGEST_LENGTH).ok_or(ProtectorError::Malformed)?;
    let length = rest.len().checked_sub(DIGEST_LENGTH).ok_or(ProtectorError::Malformed)?;
    let (masked, check) = rest.split_at(length);

    let password = utf16(password);
    let mut plain = Zeroizing::new(masked.to_vec());
    let mut mask = sha1(&[&password, salt]);
    for chunk in plain.chunks_mut(DIGEST_LENGTH) {
        chunk.iter_mut().zip(mask.as_ref()).for_each(|(byte, mask)| *byte ^= mask);
        mask = sha1(&[&password, mask.as_ref()]);
    }
    if sha1(&[&password, &plain]).as_ref() == check { Ok(plain) } else { Err(ProtectorError::WrongPassword) }
}

fn encrypted_info(protected: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut info = Asn1::new(protected).sequence().ok()?;
    let oid = info.sequence().ok()?.oid().ok()?;
    Some((oid, info.octets().ok()?.into_owned()))
}

fn sha1(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

fn corrupt(detail: &'static str) -> Fault {
    Fault::Corrupt { format: Format::Jks, detail }
}

/// `java.io.DataInputStream` over bytes at hand.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated(Format::Jks))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N).map(|bytes| bytes.try_into().expect("`take` gives as many bytes as it is asked for"))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// Bytes with their length before them.
    fn block(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| Fault::Truncated(Format::Jks))?)
    }

    /// `readUTF`: a length in two bytes, then "modified UTF-8", in which surrogates are encoded
    /// one by one and NUL takes two bytes.
    fn utf(&mut self) -> Result<String, Fault> {
        let length = u16::from_be_bytes(self.array()?);
        let bytes = self.take(usize::from(length))?;
        let units = modified_utf8(bytes).ok_or_else(|| corrupt("an alias in it is not text"))?;
        Ok(String::from_utf16_lossy(&units))
    }
}

fn modified_utf8(mut bytes: &[u8]) -> Option<Vec<u16>> {
    let continuation = |byte: u8| (byte & 0xc0 == 0x80).then_some(u16::from(byte & 0x3f));
    let mut units = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        let (unit, rest) = match (first >> 4, rest) {
            (0..=7, rest) => (u16::from(*first), rest),
            (12 | 13, [second, rest @ ..]) => (u16::from(first & 0x1f) << 6 | continuation(*second)?, rest),
            (14, [second, third, rest @ ..]) => {
                let tail = continuation(*second)? << 6 | continuation(*third)?;
                (u16::from(first & 0x0f) << 12 | tail, rest)
            }
            _ => return None,
        };
        units.push(unit);
        bytes = rest;
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_in_modified_utf8() {
        let text = |bytes: &[u8]| modified_utf8(bytes).map(|units| String::from_utf16(&units).unwrap());
        assert_eq!(text("nøkkel €".as_bytes()).as_deref(), Some("nøkkel €"));
        assert_eq!(text(&[0xc0, 0x80]).as_deref(), Some("\0"));
        assert_eq!(text(&[0xed, 0xa0, 0xbd, 0xed, 0xb4, 0x91]).as_deref(), Some("🔑")); // U+1F511
        assert_eq!(text(&[0xf0, 0x9f]), None);
        assert_eq!(text(&[0xc3]), None);
    }

    #[test]
    fn lengths_that_lie_are_truncation_and_allocate_nothing() {
        let mut bytes = [MAGIC.as_slice(), &[0, 0, 0, 2], &[0xff; 4]].concat();
        assert!(matches!(parse(&bytes, None), Err(Fault::Truncated(_))));
        bytes.extend_from_slice(&[0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(parse(&bytes, None), Err(Fault::Truncated(_))));
    }

    #[test]
    fn a_key_blob_too_short_for_salt_and_digest_is_malformed() {
        use super::super::asn1::{OCTET_STRING, OID, SEQUENCE, der};
        let oid = der(OID, &[&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01]]);
        for length in [0, 19, 39] {
            let info = der(SEQUENCE, &[&der(SEQUENCE, &[&oid]), &der(OCTET_STRING, &[&vec![0; length]])]);
            assert_eq!(open_key(&info, "x").unwrap_err(), ProtectorError::Malformed);
        }
        let info = der(SEQUENCE, &[&der(SEQUENCE, &[&oid]), &der(OCTET_STRING, &[&[0; 40]])]);
        assert_eq!(open_key(&info, "x").unwrap_err(), ProtectorError::WrongPassword);
    }
}
