//! Which route takes a request.

use crate::support::{Answer, App, Setup, Upstream, sandbox};

/// Answers with the request line's target, so that the test sees where it went.
async fn naming() -> Upstream {
    Upstream::start(|_, seen| Answer::ok(seen.line())).await
}

async fn send(app: &App, method: &str, host: &str, target: &str) -> (u16, String) {
    let response = app.raw(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    (response.status, response.text())
}

#[tokio::test]
async fn the_longest_path_wins_then_the_host_then_the_methods() {
    let (sandbox, upstream) = (sandbox().await, naming().await);
    let base = upstream.url();
    let app = Setup::new(&sandbox)
        .route("short", "/clients", &format!("{base}/short"))
        .route("long", "/clients/keys", &format!("{base}/long"))
        .route_with("host", "/clients", &format!("{base}/host"), "host = \"dcr.localhost\"")
        .route_with("get", "/clients", &format!("{base}/get"), "methods = [\"GET\"]")
        .route_with(
            "both",
            "/clients",
            &format!("{base}/both"),
            "host = \"dcr.localhost\"\nmethods = [\"DELETE\"]",
        )
        .start()
        .await;
    for (method, host, target, expected) in [
        ("POST", "localhost", "/clients/keysx", "POST /short/keysx"),
        ("POST", "localhost", "/clients/keys", "POST /long"),
        ("GET", "dcr.localhost", "/clients/keys/1", "GET /long/1"),
        ("POST", "localhost", "/clients?a", "POST /short?a"),
        ("GET", "localhost", "/clients/1", "GET /get/1"),
        ("GET", "dcr.localhost", "/clients/1", "GET /host/1"),
        ("GET", "dcr.localhost:9999", "/clients/1", "GET /host/1"),
        ("DELETE", "DCR.localhost", "/clients/1", "DELETE /both/1"),
        ("DELETE", "localhost", "/clients/1", "DELETE /short/1"),
    ] {
        let answer = send(&app, method, host, target).await;
        assert_eq!(answer, (200, format!("{expected} HTTP/1.1")), "{method} {host} {target}");
    }
    let head = app.raw("HEAD /clients/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(head.status, 200);
    assert_eq!(upstream.seen().last().expect("a request").line(), "HEAD /get/1 HTTP/1.1", "GET takes HEAD");
}

#[tokio::test]
async fn prefixes_end_on_segment_boundaries() {
    let (sandbox, upstream) = (sandbox().await, naming().await);
    let app = Setup::new(&sandbox).route("clients", "/clients", &upstream.url()).start().await;
    for (target, expected) in [
        ("/clients", "GET / HTTP/1.1"),
        ("/clients/", "GET / HTTP/1.1"),
        ("/clients/x", "GET /x HTTP/1.1"),
        ("/clients?x", "GET /?x HTTP/1.1"),
        ("/clients/?x", "GET /?x HTTP/1.1"),
        ("/clients//x", "GET //x HTTP/1.1"),
    ] {
        assert_eq!(send(&app, "GET", "localhost", target).await, (200, expected.to_owned()), "{target}");
    }
    let reached = upstream.seen().len();
    for target in ["/clientsx", "/client", "/", "//clients", "/CLIENTS", "/%63lients", "/x/clients"] {
        let (status, text) = send(&app, "GET", "localhost", target).await;
        assert_eq!(status, 404, "{target}");
        assert!(text.contains("urn:maskinporten-proxy:no-route"), "{text}");
    }
    assert_eq!(upstream.seen().len(), reached);
}

#[tokio::test]
async fn a_path_without_a_route_for_the_method_is_405_with_what_is_allowed() {
    let (sandbox, upstream) = (sandbox().await, naming().await);
    let app = Setup::new(&sandbox)
        .route_with("read", "/scopes", &upstream.url(), "methods = [\"GET\"]")
        .route_with("write", "/scopes", &upstream.url(), "methods = [\"PUT\"]")
        .start()
        .await;
    let response = app.raw("DELETE /scopes/1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(response.status, 405);
    let mut allow: Vec<&str> = response.header("allow").expect("Allow").split(", ").collect();
    allow.sort_unstable();
    assert_eq!(allow, ["GET", "HEAD", "PUT"]);
    assert!(response.header("proxy-status").expect("Proxy-Status").contains("error=http_request_denied"));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn trace_is_never_served() {
    let (sandbox, upstream) = (sandbox().await, naming().await);
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let other = upstream.address;
    for request in [
        "TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!("TRACE http://{other}/ HTTP/1.1\r\nHost: {other}\r\n\r\n"),
        "TRACE http://other.example/ HTTP/1.1\r\nHost: other.example\r\nMax-Forwards: 0\r\n\r\n".to_owned(),
    ] {
        let response = app.raw(&request).await;
        assert_eq!(response.status, 405, "{request}");
        assert!(response.header("allow").is_some(), "a 405 names what is allowed");
    }
    assert!(upstream.seen().is_empty());
}
