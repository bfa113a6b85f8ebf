//! What the tests of this module share: a key, a scripted HTTP endpoint, and a registry on a
//! clock under control.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::*;
use crate::clock::Clock;
use crate::config::{Algorithm, Client, HttpUrl, KeyMaterial, KeySource, UpstreamSettings};
use crate::secret::Secret;

/// Making one takes a while; all tests share it.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("a key is made"));

/// A key that presents itself by `kid` or `x5c`, and counts its signatures.
#[derive(Debug, Default)]
pub(super) struct TestSigner {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) x5c: Option<Vec<String>>,
    pub(super) number: u8,
    pub(super) signatures: AtomicUsize,
}

impl TestSigner {
    pub(super) fn with_kid() -> Self {
        Self { kid: Some("nokkel-1".into()), ..Self::default() }
    }
}

impl Signer for TestSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    fn x5c(&self) -> Option<&[String]> {
        self.x5c.as_deref()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        let padding = match self.algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        };
        let mut out = vec![0; KEY.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        KEY.sign(padding, &random, message, &mut out).map_err(|_| SignError::Key("refused".into()))?;
        Ok(out)
    }

    fn identity(&self) -> KeyIdentity {
        KeyIdentity::new(&[self.number])
    }
}

/// The public key, for jsonwebtoken to verify with.
pub(super) fn decoding_key() -> jsonwebtoken::DecodingKey {
    jsonwebtoken::DecodingKey::from_rsa_der(KEY.public_key().as_ref())
}

/// A request as the scripted endpoint saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: String,
}

impl Seen {
    /// The claims of the grant in the form.
    pub(super) fn grant(&self) -> Value {
        let (_, assertion) = self.body.split_once("assertion=").expect("the form holds a grant");
        Value::Object(jwt::claims(assertion).expect("the grant is a JWT"))
    }
}

/// An HTTP server on a loopback port that answers as a closure says.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Requests being answered now, and the most there ever were.
    load: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Endpoint {
    /// `script` is given the number of the request, from 0 on, and the request.
    pub(super) async fn start<F>(script: F) -> Self
    where
        F: Fn(usize, &Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    {
        Self::start_delayed(Duration::ZERO, script).await
    }

    /// As `start`; each answer comes after `delay`.
    pub(super) async fn start_delayed<F>(delay: Duration, script: F) -> Self
    where
        F: Fn(usize, &Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let load = Arc::<(AtomicUsize, AtomicUsize)>::default();
        let (script, log, meter) = (Arc::new(script), Arc::clone(&seen), Arc::clone(&load));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log, meter) = (Arc::clone(&script), Arc::clone(&log), Arc::clone(&meter));
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (script, log, meter) = (Arc::clone(&script), Arc::clone(&log), Arc::clone(&meter));
                    async move {
                        let now = meter.0.fetch_add(1, Ordering::Relaxed) + 1;
                        meter.1.fetch_max(now, Ordering::Relaxed);
                        let seen = see(request).await;
                        let number = {
                            let mut log = log.lock().expect("no test panics with the lock held");
                            log.push(seen.clone());
                            log.len() - 1
                        };
                        if !delay.is_zero() {
                            tokio::time::sleep(delay).await;
                        }
                        meter.0.fetch_sub(1, Ordering::Relaxed);
                        Ok::<_, Infallible>(script(number, &seen))
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, seen, load }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panics with the lock held").clone()
    }

    /// The most requests that were being answered at once.
    pub(super) fn most_at_once(&self) -> usize {
        self.load.1.load(Ordering::Relaxed)
    }

    pub(super) fn url(&self, path: &str) -> HttpUrl {
        metadata::parse_url(&format!("http://{}{path}", self.address)).expect("it is a loopback URL")
    }
}

async fn see(request: Request<hyper::body::Incoming>) -> Seen {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let (authorization, content_type) = (header("authorization"), header("content-type"));
    let (method, path) = (request.method().to_string(), request.uri().to_string());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Seen { method, path, authorization, content_type, body: String::from_utf8_lossy(&body).into_owned() }
}

/// An answer with this status and body; hyper adds the real `Date` unless there is one.
pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).expect("the parts are valid")
}

pub(super) fn token_answer(token: &str, expires_in: impl Into<Value>) -> Response<Full<Bytes>> {
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in.into(), "scope": "a:b"});
    answer(200, body.to_string())
}

pub(super) fn refusal_answer(description: &str) -> Response<Full<Bytes>> {
    answer(400, json!({"error": "invalid_grant", "error_description": description}).to_string())
}

/// A JWT with this payload and no valid signature.
pub(super) fn unsigned_jwt(payload: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256"}"#);
    format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

pub(super) fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.3")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

pub(super) fn http() -> TokenHttp {
    TokenHttp::new(tls(), &UpstreamSettings::default()).expect("the settings are valid")
}

/// Counts what the observer is told.
#[derive(Debug, Default)]
pub(super) struct Counter(pub(super) Mutex<Vec<Outcome>>);

impl Observer for Counter {
    fn fetched(&self, _: &str, outcome: Outcome, _: Duration) {
        self.0.lock().expect("no test panics with the lock held").push(outcome);
    }
}

pub(super) fn config(token_endpoint: Option<HttpUrl>) -> Client {
    let issuer = token_endpoint.as_ref().map_or("https://test.maskinporten.no/".to_owned(), |endpoint| {
        format!("http://{}/", endpoint.authority)
    });
    Client {
        name: "test".into(),
        client_id: "238259d7-f0ab-4bd5-b253-0f0159375096".into(),
        environment: None,
        issuer,
        token_endpoint,
        altinn: None,
        key: KeySource {
            material: KeyMaterial::Inline(Secret::new(Vec::new())),
            certificate: None,
            alias: None,
            password: None,
            key_password: None,
            algorithm: Algorithm::Rs256,
            kid: None,
        },
    }
}

/// A registry whose sources run on the current runtime, with its clock and its observer.
pub(super) struct Bench {
    pub(super) sources: Arc<TokenSources>,
    pub(super) clock: Clock,
    pub(super) observer: Arc<Counter>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_capacity(1000)
    }

    pub(super) fn with_capacity(capacity: usize) -> Self {
        let clock = Clock::manual(SystemTime::now());
        let observer = Arc::new(Counter::default());
        let sources = TokenSources::new(Setup {
            runtime: Handle::current(),
            clock: clock.clone(),
            http: http(),
            observer: Arc::clone(&observer) as Arc<dyn Observer>,
            capacity,
        });
        Self { sources, clock, observer }
    }

    /// A client whose token endpoint is `/token` at `endpoint`.
    pub(super) fn client(&self, endpoint: &Endpoint) -> Arc<GrantClient> {
        self.sources.client(&config(Some(endpoint.url("/token"))), Arc::new(TestSigner::with_kid()))
    }

    pub(super) fn identity(&self, endpoint: &Endpoint) -> Identity {
        Identity::new(Profile::new(self.client(endpoint), vec!["a:b".into()], Vec::new(), None))
    }
}

/// An identity of a client that is never asked for anything.
pub(super) fn idle_identity(runtime: &Bench) -> Identity {
    let client = runtime.sources.client(&config(None), Arc::new(TestSigner::with_kid()));
    Identity::new(Profile::new(client, vec!["a:b".into()], Vec::new(), None))
}

/// Waits until `condition` holds; the test's own time limit is what ends it otherwise.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came to be that {what}");
}
