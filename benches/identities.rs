//! What a new identity costs, against the bare cost of the RSA signature that it needs; and what a
//! hundred thousand of them hold in memory.
//!
//! `cargo bench --bench identities`. The token endpoint is a stub on a thread of its own, so the
//! figures with a token request have its share of the processor in them.

mod house;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use criterion::{Criterion, Throughput};
use maskinporten_proxy::config::Algorithm;
use maskinporten_proxy::oauth::{Assertion, KeyIdentity, SignError, Signer, token_sources};
use tokio::runtime::Builder;

use house::{House, Rsa, rsa_key, stub_endpoint};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Signs with a constant: what is measured is all but the signature.
#[derive(Debug)]
struct Constant;

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

/// Tokens for `count` new identities, 64 at a time.
async fn tokens(house: &House, count: usize) {
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..count {
        if under_way.len() == 64 {
            under_way.join_next().await.expect("one is under way").expect("no panic");
        }
        let source = house.sources.source(&house.identity());
        under_way.spawn(async move {
            black_box(source.authorization().await.expect("a token"));
        });
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no panic");
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
            runtime.block_on(tokens(&house, times as usize));
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
    runtime.block_on(tokens(&house, 256));
    let Some(before) = resident() else { return };
    for round in 1..=3 {
        runtime.block_on(tokens(&house, token_sources::CAPACITY / 2));
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
