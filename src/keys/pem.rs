//! PEM (RFC 7468): private keys and certificates in one file, in any order, with any text around.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::error::{Fault, Format, Lookalike};
use super::store::{Entry, Keystore, Material, ProtectedKey, Unusable};
use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Reads the private keys and certificates of a PEM file. No password is needed: encrypted keys
/// stay encrypted until they are used.
///
/// # Errors
///
/// [`Fault::Truncated`] where a block does not end, [`Fault::Corrupt`] where one is no base64, and
/// [`Fault::NotAKeystore`] where no private key is among them.
pub fn parse(text: &str) -> Result<Keystore, Fault> {
    let text = with_line_endings(text);
    let mut entries = Vec::new();
    let mut loose = Vec::new();
    let mut lookalike = None;
    for block in blocks(&text) {
        let block = block?;
        let key = match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let certificate = Certificate::parse(&block.der()?);
                loose.push(certificate.ok_or_else(|| corrupt("a certificate in it cannot be read"))?);
                continue;
            }
            "PRIVATE KEY" => ProtectedKey::Plain(Secret::new(block.der()?.to_vec())),
            "ENCRYPTED PRIVATE KEY" => ProtectedKey::Encrypted(block.der()?.to_vec()),
            "RSA PRIVATE KEY" if block.body.contains("ENCRYPTED") => {
                ProtectedKey::Unusable(Unusable::LegacyPemEncryption)
            }
            "RSA PRIVATE KEY" => ProtectedKey::Plain(Secret::new(block.der()?.to_vec())),
            "EC PRIVATE KEY" => ProtectedKey::Unusable(Unusable::Algorithm("EC".to_owned())),
            "DSA PRIVATE KEY" => ProtectedKey::Unusable(Unusable::Algorithm("DSA".to_owned())),
            other => {
                lookalike = lookalike.or_else(|| lookalike_of(other));
                continue;
            }
        };
        entries
            .push(Entry::new(block.friendly_name(), Material::PrivateKey { key, certificates: Vec::new() }));
    }
    if entries.is_empty() {
        let certificate = (!loose.is_empty()).then_some(Lookalike::Certificate);
        return Err(Fault::NotAKeystore(lookalike.or(certificate).unwrap_or(Lookalike::Unknown)));
    }
    Ok(Keystore { format: Format::Pem, entries, loose })
}

/// Reads the certificates alone, for a file that stands beside a key.
pub(super) fn certificates(text: &str) -> Result<Vec<Certificate>, Fault> {
    let text = with_line_endings(text);
    let mut found = Vec::new();
    let mut lookalike = Lookalike::Unknown;
    for block in blocks(&text) {
        let block = block?;
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let certificate = Certificate::parse(&block.der()?);
                found.push(certificate.ok_or_else(|| corrupt("a certificate in it cannot be read"))?);
            }
            label if label.ends_with("PRIVATE KEY") => lookalike = Lookalike::PrivateKey,
            label => lookalike = lookalike_of(label).unwrap_or(lookalike),
        }
    }
    if found.is_empty() { Err(Fault::NotACertificate(lookalike)) } else { Ok(found) }
}

fn lookalike_of(label: &str) -> Option<Lookalike> {
    Some(match label {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Lookalike::CertificateRequest,
        "PUBLIC KEY" | "RSA PUBLIC KEY" | "SSH2 PUBLIC KEY" => Lookalike::PublicKey,
        "PKCS7" | "CMS" => Lookalike::CertificateBundle,
        "OPENSSH PRIVATE KEY" => Lookalike::OpenSshKey,
        label if label.starts_with("PGP ") => Lookalike::Pgp,
        _ => return None,
    })
}

/// Environment variables and YAML turn line endings into a backslash and an n.
fn with_line_endings(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.replace("\\n", "\n"))
}

struct Block<'a> {
    label: &'a str,
    /// What stands between the two lines.
    body: &'a str,
    /// What stands between the previous block and this one.
    before: &'a str,
}

/// The blocks of `text`, one after the other; an error ends them.
fn blocks(text: &str) -> impl Iterator<Item = Result<Block<'_>, Fault>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let begin = rest.find(BEGIN)?;
        let (before, block) = rest.split_at(begin);
        let found = split_block(block, before);
        rest = found.as_ref().map_or("", |(_, after)| after);
        Some(found.map(|(block, _)| block).ok_or(Fault::Truncated(Format::Pem)))
    })
}

fn split_block<'a>(block: &'a str, before: &'a str) -> Option<(Block<'a>, &'a str)> {
    let (label, rest) = block.strip_prefix(BEGIN)?.split_once(DASHES)?;
    let (body, rest) = rest.split_once(END)?;
    let (_, after) = rest.split_once(DASHES)?;
    Some((Block { label: label.trim(), body, before }, after))
}

impl Block<'_> {
    fn der(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut base64 = Zeroizing::new(String::with_capacity(self.body.len()));
        base64.extend(self.body.split_ascii_whitespace());
        let mut der = Zeroizing::new(Vec::with_capacity(base64.len()));
        STANDARD
            .decode_vec(base64.as_bytes(), &mut der)
            .map_err(|_| corrupt("what stands between its BEGIN and END lines is no base64"))?;
        Ok(der)
    }

    /// `openssl pkcs12` prints the attributes of a bag before its block.
    fn friendly_name(&self) -> Option<String> {
        let line = self.before.lines().rev().find_map(|line| line.trim().strip_prefix("friendlyName:"))?;
        Some(line.trim().to_owned())
    }
}

fn corrupt(detail: &'static str) -> Fault {
    Fault::Corrupt { format: Format::Pem, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_an_end_is_truncated() {
        for text in
            ["-----BEGIN PRIVATE KEY", "-----BEGIN PRIVATE KEY-----\nAAAA\n", "-----BEGIN X-----\n-----END X"]
        {
            assert!(matches!(parse(text), Err(Fault::Truncated(Format::Pem))), "{text}");
        }
    }

    #[test]
    fn what_is_no_base64_is_corrupt() {
        let text = "-----BEGIN PRIVATE KEY-----\nÆØÅ\n-----END PRIVATE KEY-----\n";
        assert!(matches!(parse(text), Err(Fault::Corrupt { format: Format::Pem, .. })));
    }

    #[test]
    fn unknown_blocks_alone_are_no_key() {
        let text = "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n";
        assert!(matches!(parse(text), Err(Fault::NotAKeystore(Lookalike::Unknown))));
    }
}
