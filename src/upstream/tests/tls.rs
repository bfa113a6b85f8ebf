//! TLS that must fail, and say why.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A CA, and what it signs.
pub(super) struct Authorities {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    dir: tempfile::TempDir,
}

impl Authorities {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem, dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn settings(&self) -> UpstreamSettings {
        let path = self.dir.path().join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        UpstreamSettings { ca_file: Some(path), ..settings() }
    }

    /// A server's TLS for `name`; `adjust` makes the certificate a bad one.
    pub(super) fn acceptor(
        &self,
        name: &str,
        alpn: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

pub(super) fn https(address: SocketAddr) -> Origin {
    Origin::new(Scheme::Https, &format!("localhost:{}", address.port()).parse().unwrap()).unwrap()
}

/// Accepts TLS, and tells what came inside of it.
async fn secured(acceptor: TlsAcceptor) -> (SocketAddr, Log) {
    let log = Log::default();
    let shared = log.clone();
    let address = upstream(move |stream, _| {
        let (acceptor, log) = (acceptor.clone(), shared.clone());
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                while let Some(head) = read_head(&mut stream).await {
                    log.borrow_mut().push(head);
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        }
    })
    .await;
    (address, log)
}

#[tokio::test]
async fn a_trusted_certificate_is_fine_and_anything_less_is_explained() {
    local(async {
        let trusted = Authorities::new();
        let other = Authorities::new();
        let connector = connector(trusted.settings());

        let (address, log) = secured(trusted.acceptor("localhost", &["http/1.1"], |_| {})).await;
        assert_eq!(fetch(&Pool::new(), &connector, &https(address), "GET").await.unwrap(), "ok");
        assert_eq!(log.borrow().len(), 1);

        let expired =
            trusted.acceptor("localhost", &[], |params| params.not_after = date_time_ymd(2020, 1, 1));
        let early =
            trusted.acceptor("localhost", &[], |params| params.not_before = date_time_ymd(2999, 1, 1));
        let wrong = trusted.acceptor("other.example", &[], |_| {});
        let unknown = other.acceptor("localhost", &[], |_| {});
        for (acceptor, expected) in [
            (expired, "its certificate has expired, by "),
            (early, "its certificate is not valid yet"),
            (wrong, "its certificate is for another name"),
            (unknown, "issued by an authority that is not trusted here"),
        ] {
            let (address, log) = secured(acceptor).await;
            let error = fetch(&Pool::new(), &connector, &https(address), "GET").await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
            assert_eq!(error.proxy_status(), "tls_certificate_error");
            assert!(error.hint().is_some());
            assert!(log.borrow().is_empty(), "nothing of the request was sent");
        }
    })
    .await;
}

#[tokio::test]
async fn plain_http_on_the_port_is_told_from_bad_tls() {
    local(async {
        let address = upstream(|mut stream, _| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        })
        .await;
        let connector = connector(Authorities::new().settings());
        let error = fetch(&Pool::new(), &connector, &https(address), "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Tls { problem: TlsProblem::NotTls, .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn old_versions_of_tls_are_refused() {
    local(async {
        // A server that can do no better than TLS 1.0 answers with an alert for it.
        let address = upstream(|mut stream, _| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(&[21, 3, 1, 0, 2, 2, 70]).await.unwrap();
        })
        .await;
        let connector = connector(Authorities::new().settings());
        let error = fetch(&Pool::new(), &connector, &https(address), "GET").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Tls { problem: TlsProblem::Version, .. }), "{error}");
    })
    .await;
}
