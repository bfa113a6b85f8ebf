//! From what is configured to a key that can sign.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::Passwords;
use super::certificate::Certificate;
use super::chain;
use super::choose::choose;
use super::error::{Fault, Format, KeyError, Location};
use super::open::open;
use super::read;
use super::signing::{Parts, SigningKey};
use super::store::{Entry, Keystore, Material};
use super::text::printable;
use crate::config::{Algorithm, KeyMaterial, KeySource};

/// A keystore is some kilobytes; whatever is larger was named by mistake.
const MAX_FILE: u64 = 4 << 20;

/// Which key of a file is meant, and how it is to be used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    pub alias: Option<&'a str>,
    pub algorithm: Algorithm,
    /// Sent in place of `x5c`. Without it a JWK's own `kid` is used.
    pub kid: Option<&'a str>,
    /// The content of a file with certificates, in PEM or DER, that stands beside the key.
    pub certificate: Option<&'a [u8]>,
}

impl SigningKey {
    /// Reads the key that is configured. `now` is what the certificate's dates are judged by.
    ///
    /// # Errors
    ///
    /// Any [`Fault`], told of the file it lies in.
    pub fn load(source: &KeySource, passwords: &Passwords, now: SystemTime) -> Result<Self, KeyError> {
        let location = Location::of(&source.material);
        let bytes = read_material(&source.material)?;
        let certificate = source.certificate.as_deref().map(|path| {
            let location = Location::File(path.to_owned());
            let bytes = read_file(path).map_err(|fault| KeyError::new(&location, fault))?;
            // Read here too, so that a fault in it is told of the right file.
            read::certificates(&bytes).map_err(|fault| KeyError::new(&location, fault))?;
            Ok(bytes)
        });
        let certificate = certificate.transpose()?;
        let selection = Selection {
            alias: source.alias.as_deref(),
            algorithm: source.algorithm,
            kid: source.kid.as_deref(),
            certificate: certificate.as_ref().map(|bytes| bytes.as_slice()),
        };
        from_bytes(&bytes, &selection, passwords, now).map_err(|fault| KeyError::new(&location, fault))
    }

    /// The same from bytes at hand, so that a file that changed can be tried before it is used.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] but those of reading files; [`KeyError::at`] adds the file's name.
    pub fn from_bytes(
        bytes: &[u8],
        selection: &Selection<'_>,
        passwords: &Passwords,
        now: SystemTime,
    ) -> Result<Self, KeyError> {
        from_bytes(bytes, selection, passwords, now).map_err(|fault| KeyError::new(&Location::Inline, fault))
    }
}

/// The bytes of a key as it is configured: the file's content, or what stands in the
/// configuration.
///
/// # Errors
///
/// [`Fault::Missing`], [`Fault::Unreadable`] or [`Fault::TooLarge`].
pub fn read_material(material: &KeyMaterial) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match material {
        KeyMaterial::File(path) => {
            read_file(path).map_err(|fault| KeyError::new(&Location::of(material), fault))
        }
        KeyMaterial::Inline(bytes) => Ok(Zeroizing::new(bytes.expose().clone())),
    }
}

impl Location {
    /// Where the bytes of `material` stand.
    pub fn of(material: &KeyMaterial) -> Self {
        match material {
            KeyMaterial::File(path) => Self::File(path.clone()),
            KeyMaterial::Inline(_) => Self::Inline,
        }
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| {
        // Room for the whole file at once: growing would leave copies of a key behind.
        let expected = file.metadata()?.len().min(MAX_FILE);
        bytes.reserve_exact(usize::try_from(expected).unwrap_or_default() + 1);
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(length) if length as u64 > MAX_FILE => Err(Fault::TooLarge { limit: MAX_FILE }),
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Fault::Missing),
        Err(error) => Err(Fault::Unreadable(error)),
    }
}

fn from_bytes(
    bytes: &[u8],
    selection: &Selection<'_>,
    passwords: &Passwords,
    now: SystemTime,
) -> Result<SigningKey, Fault> {
    let store = read::keystore(bytes, passwords.store())?;
    let entry = choose(&store, wanted(&store, selection), passwords)?;
    let Material::PrivateKey { key, .. } = &entry.material else {
        unreachable!("`choose` gives private keys alone");
    };
    let key = open(key, store.format, entry.alias.as_deref(), passwords)?;
    check_algorithm(entry, selection.algorithm)?;

    let own_kid = entry.alias.as_deref().filter(|_| store.format == Format::Jwk);
    let kid = selection.kid.or(own_kid).map(str::to_owned);
    let mut pool = match selection.certificate {
        Some(bytes) => read::certificates(bytes)?,
        None => Vec::new(),
    };
    pool.extend(store.certificates_for(entry));
    let chain = match (chain::order(&key.public_key, &pool), &kid) {
        (Ok(chain), _) => chain,
        // The certificate is not sent, so it does no harm that there is none, or another's.
        (Err(_), Some(_)) => Vec::new(),
        (Err(_), None) if pool.is_empty() => return Err(Fault::NeitherKidNorCertificate),
        (Err(_), None) => return Err(Fault::CertificateMismatch { subject: chain::subject(&pool) }),
    };
    if kid.is_none() {
        check_dates(&chain[0], now)?;
    }
    Ok(SigningKey::new(Parts {
        pair: key.pair,
        public_key: key.public_key,
        algorithm: selection.algorithm,
        kid,
        chain,
        alias: entry.alias.clone(),
    }))
}

/// In a JWK set the `kid` that is configured names the key as an alias does.
fn wanted<'a>(store: &Keystore, selection: &Selection<'a>) -> Option<&'a str> {
    let names_one = |kid: &&str| store.keys().any(|entry| entry.alias.as_deref() == Some(*kid));
    let kid = selection.kid.filter(|_| store.format == Format::Jwk).filter(names_one);
    selection.alias.or(kid)
}

fn check_algorithm(entry: &Entry, configured: Algorithm) -> Result<(), Fault> {
    match &entry.algorithm {
        Some(declared) if declared != configured.name() => {
            Err(Fault::AlgorithmMismatch { declared: printable(declared), configured: configured.name() })
        }
        _ => Ok(()),
    }
}

fn check_dates(leaf: &Certificate, now: SystemTime) -> Result<(), Fault> {
    let info = &leaf.info;
    if now > info.not_after {
        return Err(Fault::CertificateExpired { subject: info.subject.clone(), not_after: info.not_after });
    }
    if now < info.not_before {
        return Err(Fault::CertificateNotYetValid {
            subject: info.subject.clone(),
            not_before: info.not_before,
        });
    }
    Ok(())
}
