//! Connecting without sending anything: so that a person can be told what is in the way before a
//! request is.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use super::{Connector, Kind, Protocol};
use crate::config::Scheme;
use crate::upstream::error::UpstreamError;
use crate::upstream::origin::Origin;

/// What a [probe](Connector::probe) found.
#[derive(Debug)]
pub struct Probe {
    pub result: Result<Reached, UpstreamError>,
    /// The certificate in DER that was shown and not accepted.
    pub refused: Option<Vec<u8>>,
}

/// How an origin was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The protocol's name and version; `None` for plain HTTP.
    pub tls: Option<&'static str>,
    pub http2: bool,
    /// The outbound proxy in between.
    pub through: Option<String>,
}

impl Connector {
    /// Connects to `origin` as a request would, TLS included, and hangs up. Nothing is sent, a
    /// token least of all. Where the certificate is not accepted, a second connection looks at it.
    pub async fn probe(&self, origin: &Origin) -> Probe {
        let result = self.connect(origin, false).await.map(|(stream, protocol)| Reached {
            tls: match &stream.kind {
                Kind::Tcp(_) => None,
                Kind::Tls(stream) => Some(version(stream.protocol_version())),
            },
            http2: protocol == Protocol::Http2,
            through: self.through(origin),
        });
        let refused = match &result {
            Err(UpstreamError::Tls { problem, .. }) if problem.is_of_certificate() => self.look(origin).await,
            _ => None,
        };
        Probe { result, refused }
    }

    fn through(&self, origin: &Origin) -> Option<String> {
        let (host, port) = (origin.authority().host(), origin.port());
        let outbound = self.0.outbound.as_ref().filter(|outbound| outbound.takes(host, port))?;
        Some(outbound.authority().to_string())
    }

    /// The certificate that `origin` shows.
    async fn look(&self, origin: &Origin) -> Option<Vec<u8>> {
        debug_assert_eq!(origin.scheme(), Scheme::Https);
        let provider = Arc::clone(self.0.tls.http1.crypto_provider());
        let onlooker = Arc::new(Onlooker { provider: Arc::clone(&provider), seen: Mutex::default() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .ok()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&onlooker) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        let looking = async {
            let tcp = self.dial_unbounded(origin).await.ok()?;
            // It fails by design; what was seen is kept.
            let _ = TlsConnector::from(Arc::new(config)).connect(origin.server_name(), tcp).await;
            onlooker.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        tokio::time::timeout(self.0.connect_timeout, looking).await.ok()?
    }
}

fn version(version: Option<rustls::ProtocolVersion>) -> &'static str {
    match version {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS",
    }
}

/// Keeps the certificate that it is shown and accepts none: no handshake with it ever succeeds,
/// so nothing can be sent over its connections.
#[derive(Debug)]
struct Onlooker {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Vec<u8>>>,
}

impl Onlooker {
    fn refuse<T>() -> Result<T, rustls::Error> {
        Err(rustls::Error::General("the certificate was only looked at".to_owned()))
    }
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.to_vec());
        Self::refuse()
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refuse()
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::refuse()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
