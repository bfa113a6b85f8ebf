//! The key and certificate of the sandbox's test client, and the files that carry them.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use super::test_ca::{CertificateSpec, TestCa};
use crate::secret::Secret;

/// What a client needs to sign in at the sandbox.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The organisation number of the test clients.
    pub organisation: String,
    /// The client that `kid` is registered on.
    pub client_id: String,
    /// The `kid` that the key is registered under.
    pub kid: String,
    /// The client that uses the business certificate (`x5c`); same key.
    pub certificate_client_id: String,
    /// PKCS#8, PEM.
    pub key_pem: Secret<String>,
    /// The business certificate and its chain, leaf first, PEM.
    pub cert_chain_pem: String,
    /// The root of that chain, PEM.
    pub ca_pem: String,
}

/// The files that [`super::Sandbox::write_out`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `key.pem`, mode 0600.
    pub key: PathBuf,
    /// `certificate.pem`: the business certificate's chain.
    pub certificate: PathBuf,
    /// `proxy.toml`, which names the others.
    pub config: PathBuf,
}

/// The first line of a proxy.toml of ours; a file without it is never overwritten.
const MARK: &str = "# Written by `maskinporten-proxy sandbox`";

/// The RSA key of the test client.
pub(super) struct ClientKey {
    pub(super) pem: Secret<String>,
    /// SubjectPublicKeyInfo, DER.
    pub(super) spki: Vec<u8>,
}

impl ClientKey {
    /// Makes a key of 2048 bits; it takes some tens of milliseconds of CPU time.
    pub(super) fn generate() -> io::Result<Self> {
        let pair =
            KeyPair::generate(KeySize::Rsa2048).map_err(|_| io::Error::other("making an RSA key failed"))?;
        let pkcs8: Pkcs8V1Der<'_> =
            pair.as_der().map_err(|_| io::Error::other("encoding the RSA key failed"))?;
        let pem = Secret::new(pem("PRIVATE KEY", pkcs8.as_ref()));
        Ok(Self { pem, spki: public_key(&pair)? })
    }

    /// Reads a private key (PKCS#8 or PKCS#1, PEM).
    pub(super) fn read(pem: &Secret<String>) -> io::Result<Self> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|_| invalid("the sandbox's key is not a private key in PEM"))?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(invalid("the sandbox's key is not an RSA key")),
        };
        let pair = pair.map_err(|_| invalid("the sandbox's key is not an RSA key of 2048 to 8192 bits"))?;
        Ok(Self { pem: pem.clone(), spki: public_key(&pair)? })
    }
}

fn public_key(pair: &KeyPair) -> io::Result<Vec<u8>> {
    let spki: PublicKeyX509Der<'_> =
        pair.public_key().as_der().map_err(|_| io::Error::other("encoding the public key failed"))?;
    Ok(spki.as_ref().to_vec())
}

impl Credentials {
    pub(super) fn new(organisation: &str, key: &ClientKey, ca: &TestCa, now: SystemTime) -> io::Result<Self> {
        let chain =
            ca.issue(&CertificateSpec::new(organisation, now), &key.spki).map_err(io::Error::other)?;
        Ok(Self {
            organisation: organisation.to_owned(),
            client_id: uuid::Uuid::new_v4().to_string(),
            kid: "sandbox-key-1".to_owned(),
            certificate_client_id: uuid::Uuid::new_v4().to_string(),
            key_pem: key.pem.clone(),
            cert_chain_pem: chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect(),
            ca_pem: pem("CERTIFICATE", ca.root()),
        })
    }

    /// Writes key, certificate and proxy.toml into `directory`, which is made where it is not
    /// there. Files of an earlier sandbox are replaced; others stop it (`AlreadyExists`).
    pub(super) fn write(&self, directory: &Path, issuer: &str) -> io::Result<Written> {
        fs::create_dir_all(directory)?;
        let written = Written {
            key: directory.join("key.pem"),
            certificate: directory.join("certificate.pem"),
            config: directory.join("proxy.toml"),
        };
        let ours = fs::read_to_string(&written.config).is_ok_and(|text| text.starts_with(MARK));
        if !ours {
            for path in [&written.key, &written.certificate, &written.config] {
                if path.symlink_metadata().is_ok() {
                    let what = format!("{} exists, and is not of a sandbox", path.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
                }
            }
        }
        // The configuration first: its mark is what makes the folder ours, should this stop half-way.
        replace(&written.config, self.config(issuer).as_bytes(), false)?;
        replace(&written.key, self.key_pem.expose().as_bytes(), true)?;
        replace(&written.certificate, self.cert_chain_pem.as_bytes(), false)?;
        Ok(written)
    }

    fn config(&self, issuer: &str) -> String {
        let base = issuer.trim_end_matches('/');
        let Self { client_id, certificate_client_id, kid, .. } = self;
        format!(
            r#"{MARK}; it works while that sandbox runs.

listen = "127.0.0.1:8080"
admin  = "127.0.0.1:8081"

[clients.sandbox]
issuer    = "{issuer}"
altinn    = "{base}"
client_id = "{client_id}"

[clients.sandbox.key]
file = "key.pem"
kid  = "{kid}"

# The same with a business certificate in place of a registered key:
# [clients.sandbox]
# issuer    = "{issuer}"
# altinn    = "{base}"
# client_id = "{certificate_client_id}"
# [clients.sandbox.key]
# file        = "key.pem"
# certificate = "certificate.pem"

[[routes]]
name     = "clients"
path     = "/clients"
upstream = "{base}/clients"
scopes   = ["idporten:dcr.read", "idporten:dcr.write", "idporten:dcr.modify"]

[[routes]]
name     = "scopes"
path     = "/scopes"
upstream = "{base}/scopes"
scopes   = ["idporten:scopes.write"]

[[routes]]
name     = "echo"
path     = "/echo"
upstream = "{base}/echo"
scopes   = ["demo:api"]
"#
        )
    }
}

/// Writes a file whole or not at all: beside it first, then renamed into its place.
fn replace(path: &Path, content: &[u8], private: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let beside = path.with_file_name(name);
    let result = create(&beside, private).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let result = result.and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // Best effort: the error that is reported is the one that matters.
        let _ = fs::remove_file(&beside);
    }
    result
}

fn create(path: &Path, private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    options.open(path)
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    // Enough for everything, so that no copy of a private key is left where the text grew.
    let mut text = String::with_capacity(encoded.len() + encoded.len() / 64 + 2 * label.len() + 40);
    let _ = writeln!(text, "-----BEGIN {label}-----");
    for at in (0..encoded.len()).step_by(64) {
        let _ = writeln!(text, "{}", &encoded[at..encoded.len().min(at + 64)]);
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}
