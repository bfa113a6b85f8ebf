//! What the benches of tokens share: a key, a token endpoint on a thread of its own, and token
//! sources that ask there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use maskinporten_proxy::clock::Clock;
use maskinporten_proxy::config::{Algorithm, Client, KeyMaterial, KeySource, UpstreamSettings};
use maskinporten_proxy::keys::{self, KeyBits, Passwords, SigningKey};
use maskinporten_proxy::oauth::{
    Identity, KeyIdentity, Observer, Outcome, Profile, Setup, SignError, Signer, TokenHttp, TokenSources,
    token_sources,
};
use maskinporten_proxy::secret::Secret;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A real key of 2048 bits.
#[derive(Debug)]
pub(crate) struct Rsa(pub(crate) SigningKey);

#[derive(Debug)]
struct Nobody;

pub(crate) struct House {
    pub(crate) sources: Arc<TokenSources>,
    profile: Arc<Profile>,
    next: AtomicUsize,
}

impl House {
    pub(crate) fn new(runtime: &Runtime, endpoint: SocketAddr, signer: Arc<dyn Signer>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.3")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let sources = TokenSources::new(Setup {
            runtime: runtime.handle().clone(),
            clock: Clock::system(),
            http: TokenHttp::new(tls, &UpstreamSettings::default()).expect("a client"),
            observer: Arc::new(Nobody),
            capacity: token_sources::CAPACITY,
        });
        let client = sources.client(
            &Client {
                name: "bench".to_owned(),
                client_id: "238259d7-f0ab-4bd5-b253-0f0159375096".to_owned(),
                environment: None,
                issuer: format!("http://{endpoint}/"),
                token_endpoint: Some(format!("http://{endpoint}/token").parse().expect("a URL")),
                altinn: None,
                key: key_source(KeyMaterial::Inline(Secret::new(Vec::new()))),
            },
            signer,
        );
        let profile = Profile::new(client, vec!["a:b".to_owned()], Vec::new(), None);
        Self { sources, profile, next: AtomicUsize::new(0) }
    }

    /// One that was not there before.
    pub(crate) fn identity(&self) -> Identity {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Identity::new(Arc::clone(&self.profile)).with_consumer_org(format!("{number:09}"))
    }
}

impl Signer for Rsa {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    fn x5c(&self) -> Option<&[String]> {
        self.0.x5c()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(message).map_err(|error| SignError::Key(error.to_string()))
    }

    fn identity(&self) -> KeyIdentity {
        KeyIdentity::new(b"rsa")
    }
}

impl Observer for Nobody {
    fn fetched(&self, _: &str, _: Outcome, _: Duration) {}
}

pub(crate) fn rsa_key() -> SigningKey {
    let made = keys::generate(KeyBits::B2048, Some("bench")).expect("a key");
    let material = KeyMaterial::Inline(Secret::new(made.pem.expose().as_bytes().to_vec()));
    let source = KeySource { kid: Some("bench".to_owned()), ..key_source(material) };
    SigningKey::load(&source, &Passwords { store: None, key: None }, SystemTime::now()).expect("it loads")
}

fn key_source(material: KeyMaterial) -> KeySource {
    KeySource {
        material,
        certificate: None,
        alias: None,
        password: None,
        key_password: None,
        algorithm: Algorithm::Rs256,
        kid: None,
    }
}

/// Answers every request with the same token, of the size that Maskinporten's have.
pub(crate) fn stub_endpoint() -> SocketAddr {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            send.send(listener.local_addr().expect("an address")).expect("it is waited for");
            let token = "x".repeat(1100);
            let body = Bytes::from(format!(
                "{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":7200,\"scope\":\"a:b\"}}"
            ));
            while let Ok((stream, _)) = listener.accept().await {
                let body = body.clone();
                let service = service_fn(move |_: Request<Incoming>| {
                    let response = Response::new(Full::new(body.clone()));
                    async move { Ok::<_, std::convert::Infallible>(response) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
    });
    receive.recv().expect("the endpoint listens")
}
