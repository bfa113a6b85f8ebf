//! What telemetry costs a worker for each request: everything that happens on the request's own
//! thread, with the collector running beside it. Without `RUST_LOG` no access log is written, but
//! that would be the collector's work in any case.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{StatusCode, Uri};
use maskinporten_proxy::message::{Fields, Line, RequestHead};
use maskinporten_proxy::telemetry::{AccessLog, Recorder, RouteId, Telemetry};

/// Less than the collector has a use for at once, so that every record is sent.
const BURST: u32 = 400;

/// Until it has a use for as many again.
const PAUSE: Duration = Duration::from_millis(230);

/// `waited`: for a token and a connection, so that these are timed too.
fn exchange(recorder: &Arc<Recorder>, route: RouteId, head: &RequestHead, waited: bool) {
    let mut exchange = recorder.begin(head);
    exchange.set_route(route);
    if waited {
        exchange.waits_for_token();
        exchange.token_ready();
    }
    exchange.sending(None);
    if waited {
        exchange.connected();
    }
    exchange.head_arrived();
    exchange.set_status(StatusCode::OK);
    exchange.sent(512);
    black_box(&exchange);
}

fn request_path(criterion: &mut Criterion) {
    let (telemetry, recorders, collector) = Telemetry::new(1, AccessLog::off());
    let route = telemetry.metrics.route("clients");
    // Shared memory, as in a request that was parsed from a buffer.
    let uri = Uri::from_maybe_shared(bytes::Bytes::from("/clients/1?x=1".to_owned())).expect("a path");
    let line = bytes::Bytes::from("Host: 127.0.0.1:8080\r\n".to_owned());
    let (host, _) = Line::find(&line, 0).expect("a field").expect("a line");
    let head = RequestHead { uri, fields: Fields::of_lines(line, vec![host]), ..RequestHead::default() };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let control = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(collector.run(async {
            let _ = stopped.await;
        }));
    });

    let mut group = criterion.benchmark_group("telemetry");
    group.sample_size(20);
    // What a busy proxy does for nearly every request: the page has had its share.
    group.bench_function("an exchange that leaves no record", |bencher| {
        bencher.iter(|| exchange(&recorders[0], route, &head, false));
    });
    for (name, waited) in [("an exchange, all ready", false), ("an exchange, every phase timed", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                // The collector empties the queue, and asks for more, in its own time.
                std::thread::sleep(PAUSE);
                let start = Instant::now();
                for _ in 0..BURST {
                    exchange(&recorders[0], route, &head, waited);
                }
                // Always a whole burst: a few exchanges after a pause would measure the waking up.
                start.elapsed().mul_f64(times as f64 / f64::from(BURST))
            });
        });
    }
    group.bench_function("the clock, read once", |bencher| bencher.iter(Instant::now));
    group.finish();

    let dropped = "maskinporten_proxy_records_dropped_total 0\n";
    assert!(telemetry.metrics.render(&[], &[]).contains(dropped), "the queue was full: not what is measured");
    drop(stop);
    control.join().expect("the collector does not panic");
}

criterion_group!(benches, request_path);
criterion_main!(benches);
