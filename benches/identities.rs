//! What a new identity costs, against the bare cost of the RSA signature that it needs; and what a
//! hundred thousand of them hold in memory.
//!
//! `cargo bench --bench identities`. The token endpoint is a stub on a thread of its own, so the
//! figures with a token request have its share of the processor in them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use maskinporten_proxy::clock::Clock;
use maskinporten_proxy::config::{Algorithm, Client, KeyMaterial, KeySource, UpstreamSettings};
use maskinporten_proxy::keys::{self, KeyBits, Passwords, SigningKey};
use maskinporten_proxy::oauth::{
    Assertion, Identity, KeyIdentity, Observer, Outcome, Profile, Setup, SignError, Signer, TokenHttp,
    TokenSources, token_sources,
};
use maskinporten_proxy::secret::Secret;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A real key of 2048 bits.
#[derive(Debug)]
struct Rsa(SigningKey);

/// Signs with a constant: what is measured is all but the signature.
#[derive(Debug)]
struct Constant;

#[derive(Debug)]
struct Nobody;

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

impl Signer for Constant {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Rs256
    }

    fn kid(&self) -> Option<&str> {
        Some("constant")
    }

    fn x5c(&self) -> Option<&[String]> {
        None
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![7; 256])
    }

    fn identity(&self) -> KeyIdentity {
        KeyIdentity::new(b"constant")
    }
}

impl Observer for Nobody {
    fn fetched(&self, _: &str, _: Outcome, _: Duration) {}
}

fn rsa_key() -> SigningKey {
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
fn stub_endpoint() -> SocketAddr {
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

struct House {
    sources: Arc<TokenSources>,
    profile: Arc<Profile>,
    next: AtomicUsize,
}

impl House {
    fn new(runtime: &Runtime, endpoint: SocketAddr, signer: Arc<dyn Signer>) -> Self {
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
    fn identity(&self) -> Identity {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Identity::new(Arc::clone(&self.profile)).with_consumer_org(format!("{number:09}"))
    }

    /// Tokens for `count` new identities, 64 at a time.
    async fn tokens(&self, count: usize) {
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..count {
            if under_way.len() == 64 {
                under_way.join_next().await.expect("one is under way").expect("no panic");
            }
            let source = self.sources.source(&self.identity());
            under_way.spawn(async move {
                black_box(source.authorization().await.expect("a token"));
            });
        }
        while let Some(ended) = under_way.join_next().await {
            ended.expect("no panic");
        }
    }
}

fn new_identities(criterion: &mut Criterion, endpoint: SocketAddr) {
    let key = rsa_key();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Builder::new_multi_thread().worker_threads(cores).enable_all().build().expect("a runtime");
    let house = House::new(&runtime, endpoint, Arc::new(Rsa(key.clone())));
    let signer = Rsa(key.clone());
    let message = [b'm'; 600];

    let mut group = criterion.benchmark_group("a new identity");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20);
    group.bench_function("the bare RSA signature", |bencher| {
        bencher.iter(|| key.sign(black_box(&message)).expect("a signature"));
    });
    group.bench_function("its grant", |bencher| {
        let now = SystemTime::now();
        bencher.iter(|| Assertion::sign(&house.identity(), &signer, now).expect("a grant"));
    });
    group.bench_function("the bare RSA signature, on every core", |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for core in 0..cores {
                    let share = times / cores as u64 + u64::from((core as u64) < times % cores as u64);
                    let (key, message) = (&key, &message);
                    scope.spawn(move || {
                        for _ in 0..share {
                            black_box(key.sign(message).expect("a signature"));
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.bench_function("its token, 64 at a time", |bencher| {
        bencher.iter_custom(|times| {
            let start = Instant::now();
            runtime.block_on(house.tokens(times as usize));
            start.elapsed()
        });
    });
    group.finish();
}

/// Pages of this process in memory, in bytes. Linux alone tells.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

fn memory(endpoint: SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let house = House::new(&runtime, endpoint, Arc::new(Constant));
    // What the connections and the runtime need is there before the count begins.
    runtime.block_on(house.tokens(256));
    let Some(before) = resident() else { return };
    for round in 1..=3 {
        runtime.block_on(house.tokens(token_sources::CAPACITY / 2));
        let held = house.sources.len();
        let grown = resident().unwrap_or_default().saturating_sub(before);
        println!(
            "{} identities seen, {held} held: {:.1} MiB, {} bytes each",
            round * (token_sources::CAPACITY / 2) + 256,
            grown as f64 / f64::from(1 << 20),
            grown / held
        );
    }
}

fn main() {
    let endpoint = stub_endpoint();
    // `cargo test --benches` passes `--test`, and is not to wait for this.
    if std::env::args().any(|argument| argument == "--bench") {
        memory(endpoint);
    }
    let mut criterion = Criterion::default().configure_from_args();
    new_identities(&mut criterion, endpoint);
    criterion.final_summary();
}
