//! `/metrics`, read by a strict parser after known traffic.

use std::collections::BTreeSet;

use maskinporten_proxy::sandbox::{Fault, Service};

use crate::support::prometheus::Scrape;
use crate::support::{Answer, App, Raw, Setup, Upstream, sandbox, until};

const REQUESTS: &str = "maskinporten_proxy_requests_total";

async fn scrape(app: &App) -> Scrape {
    let answer = app.admin_get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Scrape::parse(&answer.text())
}

fn requests(scrape: &Scrape, route: &str, method: &str, status: &str, failed: &str) -> Option<f64> {
    let labels = [("route", route), ("method", method), ("status", status), ("failed", failed)];
    scrape.value(REQUESTS, &labels)
}

#[tokio::test]
async fn known_traffic_gives_known_numbers() {
    let sandbox = sandbox().await;
    let answers = Upstream::start(|_, seen| match seen.line().split(' ').nth(1) {
        Some("/broken") => Answer::raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        Some("/moved") => Answer::raw("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
        Some("/gone") => Answer::raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        Some("/closes") => Answer::last(""),
        _ => Answer::ok("hei"),
    })
    .await;
    let app = Setup::new(&sandbox)
        .route("api", "/api", &answers.url())
        .route_with("wrong", "/wrong", &answers.url(), "scopes = [\"demo:vaer.read\"]")
        .start_cold()
        .await;
    until("the good token is held", || async { app.get("/api/warm").await.status == 200 }).await;
    let host = format!("Host: {}\r\n", app.proxy);
    let before = scrape(&app).await;
    let warm = requests(&before, "api", "GET", "2xx", "none").expect("the first requests");

    for (request, status) in [
        ("GET /api/1?a=b HTTP/1.1\r\n", 200),
        ("GET /api/2 HTTP/1.1\r\n", 200),
        ("POST /api/3 HTTP/1.1\r\nContent-Length: 2\r\n", 200),
        ("BREW /api/4 HTTP/1.1\r\n", 200),
        ("FOO /api/5 HTTP/1.1\r\n", 200),
        ("GET /api/broken HTTP/1.1\r\n", 500),
        ("GET /api/moved HTTP/1.1\r\n", 302),
        ("GET /api/gone HTTP/1.1\r\n", 404),
        ("POST /api/closes HTTP/1.1\r\nContent-Length: 2\r\n", 502),
        ("GET /wrong/x HTTP/1.1\r\n", 502),
        ("GET /nowhere HTTP/1.1\r\n", 404),
        ("GET /nowhere/else HTTP/1.1\r\n", 404),
        ("TRACE /api/6 HTTP/1.1\r\n", 405),
    ] {
        let body = if request.starts_with("POST") { "{}" } else { "" };
        let answer = app.raw(&format!("{request}{host}\r\n{body}")).await;
        assert_eq!(answer.status, status, "{request}: {}", answer.text());
    }
    let evil = app.raw("GET /api/7 HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!(evil.status, 403);

    let answered = warm + 8.0;
    until("the histogram has them all", || async {
        scrape(&app).await.value("maskinporten_proxy_upstream_seconds_count", &[("route", "api")])
            == Some(answered)
    })
    .await;
    let scrape = scrape(&app).await;
    let expected = [
        ("api", "GET", "2xx", "none", warm + 2.0),
        ("api", "POST", "2xx", "none", 1.0),
        ("api", "OTHER", "2xx", "none", 2.0),
        ("api", "GET", "5xx", "upstream", 1.0),
        ("api", "GET", "3xx", "none", 1.0),
        ("api", "GET", "4xx", "none", 1.0),
        ("api", "POST", "5xx", "upstream", 1.0),
        ("wrong", "GET", "5xx", "token", 1.0),
        ("none", "GET", "4xx", "client", 2.0),
        ("none", "TRACE", "4xx", "guard", 1.0),
        ("none", "GET", "4xx", "guard", 1.0),
    ];
    for (route, method, status, failed, count) in expected {
        assert_eq!(
            requests(&scrape, route, method, status, failed),
            Some(count),
            "{route} {method} {status} {failed}: {:#?}",
            scrape.family(REQUESTS)
        );
    }
    assert_eq!(scrape.family(REQUESTS).samples.len(), expected.len(), "{:#?}", scrape.family(REQUESTS));
    assert_eq!(scrape.value("maskinporten_proxy_requests_in_flight", &[]), Some(0.0));

    let fetches = |outcome| {
        scrape.value("maskinporten_proxy_token_fetches_total", &[("client", "test"), ("outcome", outcome)])
    };
    assert_eq!(fetches("ok"), Some(1.0));
    assert!(fetches("refused").is_some_and(|count| count >= 1.0));
    let expires = |route| {
        scrape.value("maskinporten_proxy_token_expires_seconds", &[("client", "test"), ("route", route)])
    };
    assert!(expires("api").is_some_and(|left| left > 0.0 && left <= 119.0), "{:?}", expires("api"));
    assert_eq!(expires("wrong"), Some(0.0));
    assert!(
        scrape
            .value("maskinporten_proxy_token_fetch_seconds_count", &[("client", "test")])
            .is_some_and(|count| count >= 2.0)
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(scrape.value("maskinporten_proxy_build_info", &version), Some(1.0));
    assert!(scrape.names().iter().all(|name| name.starts_with("maskinporten_proxy_")));

    // Nothing that a request makes up becomes a label.
    let values = scrape.label_values();
    let of = |label: &str| values.get(label).cloned().unwrap_or_default();
    let set = |values: &[&'static str]| values.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(of("route"), set(&["api", "none", "wrong"]));
    assert_eq!(of("method"), set(&["GET", "OTHER", "POST", "TRACE"]));
    assert_eq!(of("client"), set(&["test"]));
    let known = ["client", "failed", "le", "method", "outcome", "route", "side", "status", "version"];
    assert_eq!(values.keys().copied().collect::<BTreeSet<_>>(), known.into_iter().collect());
}

#[tokio::test]
async fn failed_token_fetches_are_told_apart_from_refused_ones() {
    let sandbox = sandbox().await;
    sandbox.control().faults().next(Service::Token, 1, Fault::unavailable("1"));
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start_cold().await;
    until("the second attempt succeeds", || async { app.admin_get("/readyz").await.status == 200 }).await;
    let scrape = scrape(&app).await;
    let fetches = |outcome| {
        scrape.value("maskinporten_proxy_token_fetches_total", &[("client", "test"), ("outcome", outcome)])
    };
    assert_eq!((fetches("unavailable"), fetches("ok"), fetches("refused")), (Some(1.0), Some(1.0), None));
}

#[tokio::test]
async fn open_connections_are_counted_on_both_sides() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let open = |side: &'static str| {
        let app = &app;
        async move { scrape(app).await.value("maskinporten_proxy_connections", &[("side", side)]) }
    };
    assert_eq!((open("client").await, open("upstream").await), (Some(0.0), Some(0.0)));

    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = app.connect().await;
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy);
        assert_eq!(client.exchange(request).await.status, 200);
        clients.push(client);
    }
    assert_eq!(open("client").await, Some(3.0));
    // The pools of two workers keep theirs.
    let kept = open("upstream").await.expect("a gauge");
    assert!((1.0..=2.0).contains(&kept), "{kept}");
    drop(clients);
    until("the clients are gone", || async { open("client").await == Some(0.0) }).await;
}

#[tokio::test]
async fn a_request_under_way_is_counted_as_in_flight() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::Silence).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let in_flight = || async { scrape(&app).await.value("maskinporten_proxy_requests_in_flight", &[]) };
    let mut client = Raw::connect(app.proxy).await;
    client.write(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    upstream.wait_for(1).await;
    assert_eq!(in_flight().await, Some(1.0));
    drop(client);
    until("it is over", || async { in_flight().await == Some(0.0) }).await;
    assert_eq!(requests(&scrape(&app).await, "api", "GET", "none", "client"), Some(1.0));
}

#[tokio::test]
async fn reloads_are_counted_by_whether_they_took_effect() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let reloads = |outcome: &'static str| {
        let app = &app;
        async move { scrape(app).await.value("maskinporten_proxy_config_reloads_total", &[("outcome", outcome)]) }
    };
    assert_eq!((reloads("ok").await, reloads("failed").await), (Some(0.0), Some(0.0)));
    let good = std::fs::read_to_string(&app.config).expect("the configuration");
    std::fs::write(&app.config, "listen = 1\n").expect("a bad configuration");
    until("the bad one is seen", || async { reloads("failed").await >= Some(1.0) }).await;
    let config = super::json(&app, "/api/status").await["config"].clone();
    assert!(config["error"].as_str().is_some_and(|error| error.contains("listen")), "{config}");

    std::fs::write(&app.config, good.replace("threads = 2", "threads = 1")).expect("a good configuration");
    until("the good one is seen", || async { reloads("ok").await >= Some(1.0) }).await;
    let config = super::json(&app, "/api/status").await["config"].clone();
    assert_eq!(config["error"], serde_json::Value::Null);
}
