//! The steps of a request one by one, each as `proxy::handle` takes it: the guards, the route, the
//! token, the rewriting of the head. And the signature of a grant, which no request waits for but
//! where no token lives.
//!
//! `cargo bench --bench hot_path`.

mod house;

use std::hint::black_box;
use std::sync::Arc;
use std::time::SystemTime;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Method;
use http::uri::PathAndQuery;
use maskinporten_proxy::config::{Listen, PathPrefix};
use maskinporten_proxy::guard::{Policy, Service, Settings};
use maskinporten_proxy::http::hop_by_hop::{self, Direction};
use maskinporten_proxy::http::path;
use maskinporten_proxy::http::via::Via;
use maskinporten_proxy::message::{Fields, Line, RequestHead};
use maskinporten_proxy::oauth::Assertion;
use maskinporten_proxy::routing::{Match, Pattern, RouteTable};
use tokio::runtime::Builder;

use house::{House, Rsa, rsa_key, stub_endpoint};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a program sends.
const PLAIN: &[(&str, &str)] = &[
    ("host", "127.0.0.1:8080"),
    ("user-agent", "curl/8.5.0"),
    ("accept", "*/*"),
    ("connection", "keep-alive"),
];

/// What a browser sends from a page that the proxy allows.
const FROM_A_PAGE: &[(&str, &str)] = &[
    ("host", "127.0.0.1:8080"),
    ("origin", "https://app.example.no"),
    ("sec-fetch-site", "cross-site"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json"),
    ("accept-language", "nb-NO,nb;q=0.9"),
    ("accept-encoding", "gzip, deflate, br"),
];

fn head(uri: &str, lines: &[(&str, &str)]) -> RequestHead {
    RequestHead { uri: uri.parse().expect("a path"), fields: fields(lines), ..RequestHead::default() }
}

/// Fields as they are read from HTTP/1.1.
fn fields(lines: &[(&str, &str)]) -> Fields {
    let (mut head, mut read) = (Vec::new(), Vec::new());
    for (name, value) in lines {
        let start = head.len();
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        read.push(Line::read(&head, start, head.len() - 2, true).expect("a field line"));
    }
    Fields::of_lines(head.into(), read)
}

fn prefix(text: &str) -> PathPrefix {
    PathPrefix::new(text).expect("a path")
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [3, 100, 1000] {
        let table = RouteTable::new((0..count).map(|number| {
            let path = prefix(&format!("/registers/number-{number:04}/v2"));
            (Pattern { host: None, path, methods: None }, number)
        }));
        let path = format!("/registers/number-{:04}/v2/units/910753614", count / 2);
        assert!(
            matches!(table.find(None, &path, &Method::GET), Match::Found { target, .. } if *target == count / 2)
        );
        group.bench_function(format!("of {count}"), |bencher| {
            bencher.iter(|| table.find(None, black_box(&path), &Method::GET));
        });
        let missing = "/registers/number-0001x/v2/units/910753614";
        group.bench_function(format!("none of {count}"), |bencher| {
            bencher.iter(|| table.find(None, black_box(missing), &Method::GET));
        });
    }
    group.finish();
}

fn guards(criterion: &mut Criterion) {
    let policy = Policy::new(Settings {
        service: Service::Proxy { browsers: false },
        listen: Listen::Tcp("127.0.0.1:8080".parse().expect("an address")),
        tls: false,
        allowed_hosts: Vec::new(),
        allowed_origins: vec!["https://app.example.no".to_owned()],
        password: None,
    });
    let mut group = criterion.benchmark_group("admit");
    for (name, fields) in [("a plain request", PLAIN), ("one from an allowed page", FROM_A_PAGE)] {
        let parts = head("/registers/units/910753614?fields=name", fields);
        assert!(policy.admit(&parts, None, |_| false).is_ok(), "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| policy.admit(black_box(&parts), None, |_| false));
        });
    }
    group.finish();
}

fn rewriting(criterion: &mut Criterion) {
    let small = fields(PLAIN);
    let names: Vec<String> = (PLAIN.len()..20).map(|number| format!("x-field-{number}")).collect();
    let more = names.iter().map(|name| (name.as_str(), "a value of the usual length"));
    let large = fields(&PLAIN.iter().copied().chain(more).collect::<Vec<_>>());
    let via = Via::for_this_process();
    let upstream = prefix("/api/v2");
    let target: PathAndQuery = "/registers/units/910753614?fields=name".parse().expect("a path");
    let rest_at = "/registers".len();

    let mut group = criterion.benchmark_group("rewrite");
    for (name, fields) in [("4 fields", small), ("20 fields", large)] {
        group.bench_function(format!("strip and Via, {name}"), |bencher| {
            let copy = || fields.clone();
            // Neither making nor dropping the copy is measured.
            let rewrite = |fields: &mut Fields| {
                black_box(hop_by_hop::strip(fields, Direction::Request));
                via.append(fields, http::Version::HTTP_11);
            };
            bencher.iter_batched_ref(copy, rewrite, BatchSize::SmallInput);
        });
    }
    group.bench_function("check and join a path", |bencher| {
        bencher.iter(|| {
            path::check(&black_box(&target).path()[rest_at..]).expect("it does not climb");
            path::join(&upstream, &target, rest_at).expect("it fits")
        });
    });
    group.finish();
}

fn tokens(criterion: &mut Criterion) {
    let signer = Rsa(rsa_key());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let house = House::new(&runtime, stub_endpoint(), Arc::new(Rsa(signer.0.clone())));
    let identity = house.identity();
    let source = house.sources.source(&identity);
    runtime.block_on(source.authorization()).expect("a token");

    let mut group = criterion.benchmark_group("token");
    group.bench_function("one that lives", |bencher| {
        bencher.iter(|| source.current().expect("it lives"));
    });
    group.sample_size(20);
    group.bench_function("a grant, RS256 with 2048 bits", |bencher| {
        let now = SystemTime::now();
        bencher.iter(|| Assertion::sign(&identity, &signer, now).expect("a grant"));
    });
    group.finish();
}

criterion_group!(benches, routes, guards, rewriting, tokens);
criterion_main!(benches);
