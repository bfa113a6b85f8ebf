//! TLS settings for both sides, made once for each configuration.
//!
//! One provider (aws-lc), TLS 1.2 and 1.3, no way to switch verification off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config::InboundTls;

/// Why TLS cannot be set up with the files that are configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} holds a certificate that cannot be read", path.display())]
    BadCertificate { path: PathBuf, source: rustls::Error },
    #[error("{} is not well-formed PEM: {reason}", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("{} holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted)", path.display())]
    NoKey { path: PathBuf },
    #[error("the key in {} does not go with the certificate in {}", key.display(), cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("no certificate of {} can vouch for clients", path.display())]
    ClientCa { path: PathBuf, reason: String },
    #[error(
        "the platform trusts no certificate authority ({reasons}); install ca-certificates, or set `[upstream] ca_file`"
    )]
    NoRoots { reasons: String },
    #[error("the TLS library refuses its own settings")]
    Library(#[source] rustls::Error),
}

/// TLS towards upstreams, in the variants that are asked for by ALPN (RFC 7301).
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Offers HTTP/2, then HTTP/1.1.
    pub h2_or_http1: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone: for upgrades, which HTTP/2 has not.
    pub http1: Arc<ClientConfig>,
}

/// Trusts the platform's roots and the certificates in `ca_file`.
///
/// # Errors
///
/// `ca_file` cannot be read or holds no certificate; or nothing at all is trusted.
pub fn client_tls(ca_file: Option<&Path>) -> Result<ClientTls, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A platform's store may hold relics that webpki does not take; they are left out.
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::BadCertificate { path: path.to_owned(), source })?;
        }
    }
    if roots.is_empty() {
        let reasons: Vec<String> = native.errors.iter().map(ToString::to_string).collect();
        let reasons = if reasons.is_empty() { "its store is empty".to_owned() } else { reasons.join("; ") };
        return Err(TlsError::NoRoots { reasons });
    }
    let mut http1 = ClientConfig::builder_with_provider(client_provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut h2_or_http1 = http1.clone();
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    h2_or_http1.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(ClientTls { h2_or_http1: Arc::new(h2_or_http1), http1: Arc::new(http1) })
}

/// The listener's TLS: its certificate, and the CA that clients must show a certificate of.
///
/// # Errors
///
/// Which file is wrong, and how.
pub fn server_tls(settings: &InboundTls) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&settings.cert)?;
    let key_pem = Zeroizing::new(read(&settings.key)?);
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| TlsError::NoKey { path: settings.key.clone() })?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::BadCertificate { path: path.clone(), source })?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|error| TlsError::ClientCa { path: path.clone(), reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|source| TlsError::Mismatch {
        cert: settings.cert.clone(),
        key: settings.key.clone(),
        source,
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// rustls' suites with AES-128 ahead of AES-256, as browsers have it. Both lengths of key are
/// beyond reach, and the shorter one costs a quarter less for each byte.
fn client_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let rank = match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 1,
            _ => 2,
        };
        (suite.tls13().is_none(), rank)
    });
    Arc::new(provider)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { path: path.to_owned(), reason: error.to_string() })?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        dir: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn write(&self, name: &str, content: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, content).unwrap();
            path
        }
    }

    #[test]
    fn names_the_file_that_is_wrong() {
        let files = Files::new();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let cert = files.write("cert.pem", &made.cert.pem());
        let key = files.write("key.pem", &made.signing_key.serialize_pem());
        let other_key = files.write("other.pem", &other.signing_key.serialize_pem());
        let empty = files.write("empty.pem", "nothing here\n");
        let tls = |cert: &Path, key: &Path, client_ca: Option<&Path>| {
            server_tls(&InboundTls {
                cert: cert.to_owned(),
                key: key.to_owned(),
                client_ca: client_ca.map(Path::to_owned),
            })
        };

        let config = tls(&cert, &key, Some(&cert)).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(matches!(tls(&cert, &other_key, None), Err(TlsError::Mismatch { .. })));
        assert!(matches!(tls(&empty, &key, None), Err(TlsError::NoCertificate { path }) if path == empty));
        assert!(matches!(tls(&cert, &empty, None), Err(TlsError::NoKey { path }) if path == empty));
        assert!(matches!(tls(&cert, &key, Some(&empty)), Err(TlsError::NoCertificate { .. })));
        let missing = files.dir.path().join("missing.pem");
        let error = tls(&missing, &key, None).unwrap_err();
        assert!(error.to_string().contains("missing.pem"), "{error}");
    }

    #[test]
    fn trusts_the_ca_file_and_offers_what_it_should() {
        let files = Files::new();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = files.write("ca.pem", &made.cert.pem());
        let tls = client_tls(Some(&ca)).unwrap();
        assert_eq!(tls.h2_or_http1.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(tls.http1.alpn_protocols, [b"http/1.1".to_vec()]);
        let empty = files.write("empty.pem", "");
        assert!(matches!(client_tls(Some(&empty)), Err(TlsError::NoCertificate { .. })));
    }
}
