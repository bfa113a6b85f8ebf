//! Where the time went: each delay must show in its own phase, and in no other.

use std::time::Duration;

use maskinporten_proxy::sandbox::{Fault, Service};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::requests;
use crate::support::{Answer, Raw, Setup, Upstream, sandbox, until};

/// Long beside what the machine does by itself, short beside a test's patience.
const DELAY: Duration = Duration::from_millis(300);
const DELAY_MS: f64 = 300.0;

fn phase(entry: &Value, name: &str) -> f64 {
    entry["phases"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {entry}"))
}

/// Every phase but this is shorter than the delay, this is not, and all fit into the whole.
fn assert_slow_in(entry: &Value, slow: &str) {
    let whole = entry["duration_ms"].as_f64().expect("a duration");
    let phases = ["token", "connect", "head", "body"];
    assert!(phase(entry, slow) >= DELAY_MS, "{slow} of {entry}");
    let all: f64 = phases.iter().map(|name| phase(entry, name)).sum();
    assert!(all <= whole + 0.01, "more than the whole: {entry}");
    for other in phases.into_iter().filter(|name| *name != slow) {
        assert!(phase(entry, other) < phase(entry, slow), "{other} of {entry}");
    }
}

#[tokio::test]
async fn a_wait_for_a_token_is_told_as_such() {
    let sandbox = sandbox().await;
    sandbox.control().faults().next(Service::Token, 1, Fault::delay(DELAY));
    let app = Setup::new(&sandbox)
        .route_with("echo", "/echo", &sandbox.echo_url(), "consumer_org = { header = \"X-Org\" }")
        .start_cold()
        .await;
    let request = format!("GET /echo/x HTTP/1.1\r\nHost: {}\r\nX-Org: 910753614\r\n\r\n", app.proxy);
    for _ in 0..2 {
        let answer = app.raw(&request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let entries = requests(&app, 2).await;
    assert_slow_in(&entries[1], "token");
    assert_eq!(phase(&entries[0], "token"), 0.0, "a token that is held costs nothing: {}", entries[0]);
}

#[tokio::test]
async fn a_wait_for_a_token_that_does_not_come_is_told_too() {
    let sandbox = sandbox().await;
    let refusal = Fault::refusal("MP-200").expect("a known code");
    sandbox.control().faults().always(Service::Token, refusal.after(DELAY));
    let app = Setup::new(&sandbox)
        .route_with("echo", "/echo", &sandbox.echo_url(), "consumer_org = { header = \"X-Org\" }")
        .start_cold()
        .await;
    let request = format!("GET /echo/x HTTP/1.1\r\nHost: {}\r\nX-Org: 910753614\r\n\r\n", app.proxy);
    assert_eq!(app.raw(&request).await.status, 502);
    assert_slow_in(&requests(&app, 1).await[0], "token");
}

#[tokio::test]
async fn a_connection_from_the_pool_costs_nothing() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let mut client = app.connect().await;
    for _ in 0..2 {
        client.exchange(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    }
    let entries = requests(&app, 2).await;
    assert!(phase(&entries[1], "connect") > 0.0, "the first opens one: {}", entries[1]);
    assert_eq!(phase(&entries[0], "connect"), 0.0, "the second finds it: {}", entries[0]);
    for entry in &entries {
        assert_eq!(phase(entry, "token"), 0.0, "{entry}");
        assert!(phase(entry, "head") > 0.0, "{entry}");
    }
}

#[tokio::test]
async fn a_slow_upstream_is_told_by_its_head_and_by_its_body() {
    let sandbox = sandbox().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let slow = tokio::spawn(async move {
        for (before_head, before_body) in [(DELAY, Duration::ZERO), (Duration::ZERO, DELAY)] {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.expect("a request");
            tokio::time::sleep(before_head).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n")
                .await
                .expect("a head");
            tokio::time::sleep(before_body).await;
            stream.write_all(b"hei").await.expect("a body");
        }
    });
    let app = Setup::new(&sandbox).route("api", "/", &url).start().await;
    assert_eq!(app.get("/").await.text(), "hei");
    assert_slow_in(&requests(&app, 1).await[0], "head");
    assert_eq!(app.get("/").await.text(), "hei");
    assert_slow_in(&requests(&app, 2).await[0], "body");
    slow.await.expect("the upstream");
}

#[tokio::test]
async fn a_wait_that_ends_in_a_timeout_is_the_upstreams_not_the_proxys() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::Silence).await;
    let app = Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .with("\n[upstream]\nresponse_timeout = \"400ms\"\n")
        .start()
        .await;
    assert_eq!(app.get("/").await.status, 504);
    let entry = requests(&app, 1).await.remove(0);
    assert_slow_in(&entry, "head");
    // It is in no histogram of answers, since none came.
    let metrics = app.admin_get("/metrics").await.text();
    assert!(!metrics.contains("maskinporten_proxy_upstream_seconds_count{route=\"api\"}"), "{metrics}");
}

#[tokio::test]
async fn a_wait_that_the_client_gives_up_is_the_upstreams_too() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::Silence).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let mut client = Raw::connect(app.proxy).await;
    client.write(format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\n\r\nabcde", app.proxy)).await;
    upstream.wait_for(1).await;
    let begun = std::time::Instant::now();
    until("some time has passed", || async { begun.elapsed() >= DELAY }).await;
    drop(client);
    let entry = requests(&app, 1).await.remove(0);
    assert_slow_in(&entry, "head");
    assert_eq!((&entry["failed"], &entry["bytes_in"]), (&"client".into(), &5.into()), "{entry}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_told_as_connecting() {
    let sandbox = sandbox().await;
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let app = Setup::new(&sandbox).route("down", "/", &format!("http://{closed}")).start().await;
    assert_eq!(app.get("/").await.status, 502);
    let entry = requests(&app, 1).await.remove(0);
    assert!(phase(&entry, "connect") > phase(&entry, "head"), "{entry}");
    assert_eq!((&entry["failed"], phase(&entry, "body")), (&"upstream".into(), 0.0), "{entry}");
}
