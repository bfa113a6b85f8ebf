//! TLS on the listener, and client certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{basic, exchange};
use crate::support::{Answer, App, Raw, Setup, Upstream, sandbox};

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, usage: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }
}

struct House {
    app: App,
    upstream: Upstream,
    roots: RootCertStore,
    /// Vouches for clients.
    clients: Authority,
}

impl House {
    async fn new(client_ca: bool, inbound: &str) -> Self {
        let sandbox = sandbox().await;
        let upstream = Upstream::always(Answer::ok("ok")).await;
        let setup = Setup::new(&sandbox).route("api", "/", &upstream.url());
        let (servers, clients) = (Authority::new(), Authority::new());
        let server = servers.issue(ExtendedKeyUsagePurpose::ServerAuth);
        let write = |name: &str, text: &str| std::fs::write(setup.dir().join(name), text).expect("a file");
        write("cert.pem", &server.pem);
        write("cert.key", &server.key.serialize_pem());
        write("clients.pem", &clients.pem);
        crate::support::private(&setup.dir().join("cert.key"));
        let ca = if client_ca { ", client_ca = \"clients.pem\"" } else { "" };
        let tls = format!("[inbound]\ntls = {{ cert = \"cert.pem\", key = \"cert.key\"{ca} }}\n{inbound}");
        let app = setup.with(&tls).start().await;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(pem(&servers.pem));
        Self { app, upstream, roots, clients }
    }

    async fn connect(&self, alpn: &[&str], client: Option<&Pair>) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
                builder.with_client_auth_cert(vec![pair.certificate.clone()], key).expect("a pair")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.app.proxy).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// What a client gets, be it an alert.
    async fn get(&self, client: Option<&Pair>, fields: &str) -> String {
        let request = format!("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        match self.connect(&["http/1.1"], client).await {
            Ok(stream) => exchange(stream, &request).await,
            Err(error) => error.to_string(),
        }
    }
}

fn pem(text: &str) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().expect("PEM")
}

#[tokio::test]
async fn tls_speaks_http_1_and_http_2_as_alpn_agrees() {
    let house = House::new(false, "").await;
    let stream = house.connect(&["h2", "http/1.1"], None).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let authority = format!("localhost:{}", house.app.proxy.port());
    let request = http::Request::get(format!("https://{authority}/x"))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    assert_eq!(client.send_request(request).await.expect("a response").status(), 200);
    driver.abort();

    for alpn in [&["http/1.1"][..], &[]] {
        let stream = house.connect(alpn, None).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().map(|name| name.as_bytes()));
        let request = format!("GET /x HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        let response = exchange(stream, &request).await;
        assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("ok"), "{response}");
    }
    assert_eq!(house.upstream.seen().len(), 3);
}

#[tokio::test]
async fn behind_tls_the_own_origin_is_https() {
    let house = House::new(false, "").await;
    let own = "Origin: https://localhost\r\n";
    assert!(house.get(None, own).await.starts_with("HTTP/1.1 200 "));
    for foreign in ["Origin: http://localhost\r\n", "Origin: https://localhost:8443\r\n"] {
        assert!(house.get(None, foreign).await.starts_with("HTTP/1.1 403 "), "{foreign}");
    }
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_tls_listener_answers_nothing_in_the_clear() {
    let house = House::new(false, "").await;
    let address: SocketAddr = house.app.proxy;
    let mut raw = Raw::connect(address).await;
    raw.write(format!("GET /x HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    let answer = raw.rest().await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert!(house.upstream.seen().is_empty());
}

#[tokio::test]
async fn clients_without_the_right_certificate_are_refused_in_the_handshake() {
    let house = House::new(true, "").await;
    let stranger = Authority::new().issue(ExtendedKeyUsagePurpose::ClientAuth);
    let server = house.clients.issue(ExtendedKeyUsagePurpose::ServerAuth);
    for (client, name) in
        [(None, "none"), (Some(&stranger), "of another authority"), (Some(&server), "for servers alone")]
    {
        let answer = house.get(client, "").await;
        assert!(!answer.contains("HTTP/1.1"), "{name}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("alert"), "{name}: {answer}");
    }
    assert!(house.upstream.seen().is_empty());
    let client = house.clients.issue(ExtendedKeyUsagePurpose::ClientAuth);
    let answer = house.get(Some(&client), "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(house.upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_client_certificate_does_not_stand_in_for_a_password_that_is_asked_for() {
    let house = House::new(true, "password = \"pw\"\n").await;
    let client = house.clients.issue(ExtendedKeyUsagePurpose::ClientAuth);
    assert!(house.get(Some(&client), "").await.starts_with("HTTP/1.1 407 "));
    let right = format!("Proxy-Authorization: {}\r\n", basic("x", "pw"));
    assert!(house.get(Some(&client), &right).await.starts_with("HTTP/1.1 200 "));
    assert!(!house.get(None, &right).await.contains("HTTP/1.1"));
}

/// Client certificates are asked for on the proxy's listener; the admin listener speaks no TLS.
#[tokio::test]
async fn client_certificates_do_not_open_the_admin_listener_to_the_network() {
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox).replace("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"").route(
        "api",
        "/",
        &sandbox.echo_url(),
    );
    let authority = Authority::new();
    let server = authority.issue(ExtendedKeyUsagePurpose::ServerAuth);
    let write = |dir: &Path, name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    write(setup.dir(), "cert.pem", &server.pem);
    write(setup.dir(), "cert.key", &server.key.serialize_pem());
    write(setup.dir(), "clients.pem", &authority.pem);
    let app = setup
        .with("[inbound]\ntls = { cert = \"cert.pem\", key = \"cert.key\", client_ca = \"clients.pem\" }\n")
        .start()
        .await;
    let admin = SocketAddr::from(([127, 0, 0, 1], app.admin.port()));
    for (path, status) in [("/healthz", 200), ("/metrics", 200), ("/", 401), ("/api/status", 401)] {
        let mut raw = Raw::connect(admin).await;
        let response = raw.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(response.status, status, "{path}");
        if status == 401 {
            assert!(response.text().contains("[inbound] password"), "{}", response.text());
        }
    }
}
