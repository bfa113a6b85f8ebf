use std::sync::Arc;

use ::http::{Method, StatusCode};
use tokio::sync::oneshot;

use super::*;
use crate::message::RequestHead;
use crate::telemetry::recent::KEPT;
use crate::telemetry::{Event, Failed, Recorder, Side};

struct House {
    telemetry: Telemetry,
    recorders: Vec<Arc<Recorder>>,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

fn house(workers: usize) -> House {
    let (telemetry, recorders, collector) = Telemetry::new(workers, AccessLog::off());
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(collector.run(async {
        let _ = stopped.await;
    }));
    House { telemetry, recorders, stop, done }
}

fn asked(uri: &str) -> RequestHead {
    RequestHead { uri: uri.parse().unwrap(), ..RequestHead::default() }
}

fn exchange(recorder: &Arc<Recorder>, uri: &str) {
    let mut exchange = recorder.begin(&asked(uri));
    exchange.set_status(StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_workers_record_is_seen_in_order() {
    let house = house(2);
    for round in 0..3 {
        for (worker, recorder) in house.recorders.iter().enumerate() {
            exchange(recorder, &format!("/{round}/{worker}"));
        }
        // Between the rounds the collector goes to sleep and has to be woken again.
        let expected = (round + 1) * 2;
        while house.telemetry.recent.entries().len() < expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(BATCH * 5).await;
    }
    let paths: Vec<_> = house.telemetry.recent.entries().iter().map(|entry| entry.path.clone()).collect();
    assert_eq!(paths, ["/2/1", "/2/0", "/1/1", "/1/0", "/0/1", "/0/0"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_the_end_is_written() {
    let house = house(1);
    for number in 0..SLICE + 3 {
        exchange(&house.recorders[0], &format!("/{number}"));
    }
    house.stop.send(()).unwrap();
    house.done.await.unwrap();
    let entries = house.telemetry.recent.entries();
    assert_eq!(entries.len(), SLICE + 3);
    assert_eq!(entries[0].path, format!("/{}", SLICE + 2));
}

#[tokio::test]
async fn a_full_queue_drops_records_but_counts_requests() {
    let (telemetry, recorders, collector) = Telemetry::new(1, AccessLog::off());
    collector.wanted.want_every();
    for _ in 0..QUEUE + 7 {
        exchange(&recorders[0], "/");
    }
    drop(collector);
    let text = telemetry.metrics.render(&[], &[]);
    assert!(text.contains("maskinporten_proxy_records_dropped_total 7\n"), "{text}");
    let total = r#"maskinporten_proxy_requests_total{failed="none",method="GET",route="none",status="2xx"}"#;
    assert!(text.contains(&format!("{total} {}\n", QUEUE + 7)), "{text}");
    assert!(text.contains("maskinporten_proxy_requests_in_flight 0\n"), "{text}");
}

#[tokio::test]
async fn what_nobody_reads_is_counted_and_timed_but_not_sent() {
    let (telemetry, recorders, mut collector) = Telemetry::new(2, AccessLog::off());
    let route = telemetry.metrics.route("clients");
    for number in 0..2 * QUEUE {
        let mut exchange = recorders[number % 2].begin(&asked("/"));
        exchange.set_route(route);
        exchange.head_arrived();
        exchange.set_status(StatusCode::OK);
    }
    let sent: usize = collector.queues.iter().map(|queue| queue.records.try_iter().count()).sum();
    assert_eq!(sent, KEPT);
    let text = telemetry.metrics.render(&[], &[]);
    assert!(text.contains("maskinporten_proxy_records_dropped_total 0\n"), "{text}");
    let total =
        r#"maskinporten_proxy_requests_total{failed="none",method="GET",route="clients",status="2xx"}"#;
    assert!(text.contains(&format!("{total} {}\n", 2 * QUEUE)), "{text}");
    let timed = r#"maskinporten_proxy_upstream_seconds_count{route="clients"}"#;
    assert!(text.contains(&format!("{timed} {}\n", 2 * QUEUE)), "{text}");
    // Who listens is told how much went by.
    let mut listener = telemetry.recent.subscribe().unwrap();
    collector.ask(Instant::now() + Duration::from_secs(1));
    exchange(&recorders[0], "/after");
    collector.drain();
    while collector.write_slice() {}
    assert!(matches!(listener.next().await, Some(Event::Skipped(n)) if n == (2 * QUEUE - KEPT) as u64));
}

#[tokio::test(start_paused = true)]
async fn after_a_flood_the_page_shows_requests_again() {
    let house = house(1);
    for _ in 0..2 * KEPT {
        exchange(&house.recorders[0], "/flood");
    }
    let shows = || house.telemetry.recent.entries().first().is_some_and(|entry| entry.path == "/after");
    while !shows() {
        // Nothing of this is sent before the collector has asked for more of its own accord.
        exchange(&house.recorders[0], "/after");
        tokio::time::sleep(BATCH).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_dropped_unanswered_was_given_up_by_its_client() {
    let house = house(1);
    drop(house.recorders[0].begin(&asked("/gone")));
    house.stop.send(()).unwrap();
    house.done.await.unwrap();
    let entry = &house.telemetry.recent.entries()[0];
    assert_eq!((entry.status, entry.failed), (None, Some(Failed::Client)));
}

#[tokio::test(start_paused = true)]
async fn phases_follow_one_another_and_the_first_failure_counts() {
    let house = house(1);
    let route = house.telemetry.metrics.route("clients");
    let mut exchange = house.recorders[0].begin(&RequestHead { method: Method::POST, ..asked("/") });
    exchange.set_route(route);
    exchange.token_ready();
    exchange.connected();
    exchange.head_arrived();
    exchange.set_status(StatusCode::OK);
    exchange.received(3);
    exchange.received(4);
    exchange.sent(10);
    exchange.fail(Failed::Upstream, Some("broke off".into()));
    exchange.fail(Failed::Client, Some("went away".into()));
    drop(exchange);
    house.stop.send(()).unwrap();
    house.done.await.unwrap();
    let entry = &house.telemetry.recent.entries()[0];
    assert_eq!(entry.route.as_deref(), Some("clients"));
    assert_eq!((entry.bytes_in, entry.bytes_out), (7, 10));
    assert_eq!((entry.failed, entry.detail.as_deref()), (Some(Failed::Upstream), Some("broke off")));
    let phases = entry.phases;
    let sum = phases.token + phases.connect + phases.head + phases.body;
    // Each is cut to whole microseconds.
    assert!(sum <= entry.duration_ms + 0.001, "{phases:?} of {}", entry.duration_ms);
    let text = house.telemetry.metrics.render(&[], &[]);
    assert!(text.contains(r#"maskinporten_proxy_upstream_seconds_count{route="clients"} 1"#), "{text}");
}

#[tokio::test]
async fn identifiers_differ_between_workers_and_connections_are_counted_while_open() {
    let (telemetry, recorders, _collector) = Telemetry::new(2, AccessLog::off());
    let ids: std::collections::HashSet<_> =
        (0..2000).map(|number| recorders[number % 2].begin(&asked("/")).id()).collect();
    assert_eq!(ids.len(), 2000);
    let first = recorders[0].connection(Side::Client);
    let second = recorders[1].connection(Side::Client);
    let third = recorders[1].connection(Side::Upstream);
    let open = |side: &str| {
        let line = format!("maskinporten_proxy_connections{{side=\"{side}\"}} ");
        let text = telemetry.metrics.render(&[], &[]);
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse::<u32>().ok()).unwrap()
    };
    assert_eq!((open("client"), open("upstream")), (2, 1));
    drop((first, third));
    assert_eq!((open("client"), open("upstream")), (1, 0));
    drop(second);
    assert_eq!(open("client"), 0);
}

#[tokio::test]
async fn a_flood_is_sampled_for_the_page_and_listeners_are_told() {
    let (telemetry, recorders, mut collector) = Telemetry::new(1, AccessLog::off());
    let mut listener = telemetry.recent.subscribe().unwrap();
    // As if three were left of what may be shown, and time stood still.
    let now = Instant::now();
    collector.wanted.want_every();
    collector.allowance = Some(Allowance { left: 3.0, filled: now });
    collector.ask(now);
    for number in 0..10 {
        exchange(&recorders[0], &format!("/{number}"));
    }
    collector.drain();
    while collector.write_slice() {}
    assert_eq!(telemetry.recent.entries().len(), 3);
    // A second later there is room again, for no more than the ring holds.
    assert!(!collector.wanted.is_full());
    collector.ask(now + Duration::from_secs(1));
    assert!(collector.wanted.is_full());
    exchange(&recorders[0], "/after");
    collector.drain();
    while collector.write_slice() {}
    for expected in ["\"/0\"", "\"/1\"", "\"/2\""] {
        let Some(Event::Finished(json)) = listener.next().await else { panic!("an entry") };
        assert!(json.contains(expected), "{json}");
    }
    assert!(matches!(listener.next().await, Some(Event::Skipped(7))));
    let Some(Event::Finished(json)) = listener.next().await else { panic!("an entry") };
    assert!(json.contains("/after"), "{json}");
}

#[tokio::test(start_paused = true)]
async fn without_a_page_or_a_log_no_record_is_made_and_nobody_is_woken() {
    let (telemetry, recorders, collector) = Telemetry::new(1, AccessLog::off());
    let mut collector = collector.without_page();
    exchange(&recorders[0], "/");
    collector.drain();
    assert_eq!(collector.pending.len(), 0);
    assert!(tokio::time::timeout(Duration::from_secs(60), collector.work()).await.is_err());
    exchange(&recorders[0], "/");
    collector.drain();
    assert_eq!((collector.pending.len(), telemetry.recent.entries().len()), (0, 0));
    let text = telemetry.metrics.render(&[], &[]);
    let total = r#"maskinporten_proxy_requests_total{failed="none",method="GET",route="none",status="2xx"}"#;
    assert!(text.contains(&format!("{total} 2\n")), "they are counted all the same: {text}");
}

/// Loses its way only where a worker records just as the collector goes to sleep, so it takes
/// many turns.
#[tokio::test]
async fn no_wake_up_is_lost() {
    let (telemetry, recorders, collector) = Telemetry::new(2, AccessLog::off());
    let collector = tokio::spawn(collector.run(std::future::pending()));
    let mut listener = telemetry.recent.subscribe().unwrap();
    let (turns, turn) = std::sync::mpsc::channel::<u32>();
    let worker = std::thread::spawn(move || {
        for number in turn {
            // A little later each time, across the moment at which the collector falls asleep.
            std::thread::sleep(Duration::from_micros(u64::from(number % 40) * 500));
            exchange(&recorders[number as usize % 2], "/");
        }
    });
    for number in 0..120 {
        turns.send(number).unwrap();
        let seen = tokio::time::timeout(Duration::from_secs(20), listener.next()).await;
        assert!(matches!(seen, Ok(Some(Event::Finished(_)))), "turn {number}: {seen:?}");
    }
    drop(turns);
    worker.join().unwrap();
    collector.abort();
}
