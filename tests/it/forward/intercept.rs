//! CONNECT to routed hosts: TLS ends in the proxy, for clients that trust the local CA's root
//! and verify in full.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::tls::{self, TlsFront};
use super::{API, World, connect, make_ca, root_of, slug, tunnel};
use crate::support::{Answer, App, Raw, Setup, Upstream, sandbox, until};

/// The inside of an intercepted tunnel to the API, over HTTP/1.1.
async fn inside(app: &App) -> Raw {
    let stream = tunnel(app, "api.example.test:443").await;
    let trusting = tls::trusting(&root_of(app), &[b"http/1.1"]);
    tls::raw_inside(tls::handshake(trusting, API, stream).await.expect("a handshake")).await
}

/// What the record of requests says of the CONNECT that failed.
async fn failed_connect(app: &App) -> serde_json::Value {
    let look = async || {
        let requests = app.admin_get("/api/requests").await.json();
        let failed = |entry: &&serde_json::Value| entry["method"] == "CONNECT" && !entry["failed"].is_null();
        requests.as_array().expect("a list").iter().find(failed).cloned()
    };
    until("a failed CONNECT is recorded", async || look().await.is_some()).await;
    look().await.expect("it was there")
}

#[tokio::test]
async fn without_interception_a_tunnel_to_a_routed_host_says_what_to_set() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let (response, _) = connect(&app, "api.example.test:443").await;
    assert_eq!((response.status, slug(&response).as_str()), (403, "interception-off"));
    let text = response.text();
    for hint in ["http://", "intercept = true", "maskinporten-proxy ca init"] {
        assert!(text.contains(hint), "{hint}: {text}");
    }
    assert!(world.outbound.asked().is_empty());
}

#[tokio::test]
async fn http_1_1_inside_a_tunnel_gets_the_token_request_after_request() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let mut raw = inside(&app).await;
    for path in ["/v1/a%2Fb//c?q=%C3%B8", "/v1"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {API}\r\nAuthorization: Bearer of-the-client\r\n\r\n");
        let response = raw.exchange(request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "from the API"));
    }
    let none = raw.exchange(format!("GET /other HTTP/1.1\r\nHost: {API}:443\r\n\r\n")).await;
    assert_eq!((none.status, slug(&none).as_str()), (404, "no-route"));

    let seen = world.api.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].line(), "GET /v1/a%2Fb//c?q=%C3%B8 HTTP/1.1");
    assert_eq!(seen[0].header("host"), Some(API));
    for seen in seen {
        let authorization = seen.header("authorization").expect("exactly one");
        assert!(authorization.starts_with("Bearer ey"), "{authorization}");
    }
}

#[tokio::test]
async fn http_2_inside_a_tunnel_gets_the_token() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let stream = tunnel(&app, "api.example.test:443").await;
    let trusting = tls::trusting(&root_of(&app), &[b"h2", b"http/1.1"]);
    let stream = tls::handshake(trusting, API, stream).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let mut get = async |url: &str| {
        let request = http::Request::get(url).body(Empty::<Bytes>::new()).expect("a request");
        let response = send.send_request(request).await.expect("a response");
        (response.status().as_u16(), response.into_body().collect().await.expect("a body").to_bytes())
    };
    assert_eq!(get("https://api.example.test/v1/x").await, (200, Bytes::from("from the API")));
    let (status, body) = get("https://other.example.test/v1/x").await;
    assert_eq!(status, 421, "{body:?}");
    let seen = world.api.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].header("authorization").is_some());
    assert_eq!(seen[0].header("host"), Some(API));
}

#[tokio::test]
async fn a_websocket_inside_a_tunnel_carries_bytes_both_ways() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|count, _| match count {
        0 => Answer::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"),
        _ => Answer::raw("\x01pong"),
    })
    .await;
    let front = TlsFront::start(&["localhost"], &upstream).await;
    let port = front.address.port();
    let setup = Setup::new(&sandbox);
    std::fs::write(setup.dir().join("api-ca.pem"), &front.ca).expect("a written CA");
    make_ca(setup.dir(), &["localhost"], false);
    let app = setup
        .route("api", "/api", &format!("https://localhost:{port}"))
        .with("\n[upstream]\nca_file = \"api-ca.pem\"\n\n[forward]\nintercept = true\n")
        .start()
        .await;
    let stream = tunnel(&app, &format!("localhost:{port}")).await;
    let trusting = tls::trusting(&root_of(&app), &[]);
    let mut raw = tls::raw_inside(tls::handshake(trusting, "localhost", stream).await.expect("TLS")).await;
    let response = raw
        .exchange(format!(
            "GET /chat HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a2V5\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await;
    assert_eq!(response.status, 101, "{}", response.text());
    assert_eq!(response.header("sec-websocket-accept"), Some("x"));
    raw.write("ping\r\n\r\n").await;
    assert_eq!(raw.until(b"pong").await.as_deref(), Some(&b"\x01pong"[..]));
    let seen = upstream.seen();
    assert!(seen[0].header("authorization").expect("a token").starts_with("Bearer ey"));
    assert_eq!(seen[1].head, "ping\r\n\r\n");
}

#[tokio::test]
async fn an_upstream_that_is_an_address_gets_a_certificate_for_the_address() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("by address")).await;
    let setup = Setup::new(&sandbox);
    make_ca(setup.dir(), &["127.0.0.1"], false);
    let app =
        setup.route("api", "/api", &upstream.url()).with("\n[forward]\nintercept = true\n").start().await;
    let stream = tunnel(&app, &upstream.address.to_string()).await;
    let trusting = tls::trusting(&root_of(&app), &[]);
    let mut raw = tls::raw_inside(tls::handshake(trusting, "127.0.0.1", stream).await.expect("TLS")).await;
    let response = raw.exchange(format!("GET /x HTTP/1.1\r\nHost: {}\r\n\r\n", upstream.address)).await;
    assert_eq!(response.text(), "by address");
    assert!(upstream.seen()[0].header("authorization").is_some());
}

#[tokio::test]
async fn a_location_inside_a_tunnel_stays_as_the_upstream_wrote_it() {
    let sandbox = sandbox().await;
    let world = World::answering(Answer::raw(
        "HTTP/1.1 201 Created\r\nLocation: https://api.example.test/v1/7\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let app = world.intercepting(&sandbox).start().await;
    let response = inside(&app).await.exchange(format!("GET /v1/x HTTP/1.1\r\nHost: {API}\r\n\r\n")).await;
    assert_eq!(response.header("location"), Some("https://api.example.test/v1/7"));
}

#[tokio::test]
async fn a_request_inside_for_another_host_is_misdirected() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    for request in [
        "GET /v1/x HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: api.example.test:8443\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: api.example.test.\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET https://other.example.test/v1/x HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "GET http://other.example.test/v1/x HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
    ] {
        let response = inside(&app).await.exchange(request).await;
        assert_eq!((response.status, slug(&response).as_str()), (421, "misdirected"), "{request}");
    }
    for request in [
        "GET https://api.example.test/v1/x HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nHost: api.example.test\r\nHost: api.example.test\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(inside(&app).await.exchange(request).await.status, 400, "{request}");
    }
    let nested = "CONNECT other.example.test:80 HTTP/1.1\r\nHost: other.example.test:80\r\n\r\n";
    assert_eq!(inside(&app).await.exchange(nested).await.status, 405);
    assert!(world.outbound.asked().is_empty(), "{:?}", world.outbound.asked());
}

#[tokio::test]
async fn what_is_not_tls_inside_a_tunnel_to_a_routed_host_reaches_nobody() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let (response, mut raw) = connect(&app, "api.example.test:443").await;
    assert_eq!(response.status, 200);
    raw.write(format!("GET /v1/x HTTP/1.1\r\nHost: {API}\r\n\r\n")).await;
    let rest = raw.rest().await;
    // At most a TLS alert (RFC 8446 §6), and the end.
    assert!(rest.is_empty() || rest[0] == 0x15, "{rest:?}");
    let failure = failed_connect(&app).await;
    assert_eq!(failure["failed"], "client", "{failure}");
    assert_eq!(world.front.connections(), 0);
    assert!(world.outbound.asked().is_empty() && world.api.seen().is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_root_shows_in_the_record() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let stream = tunnel(&app, "api.example.test:443").await;
    let error = tls::handshake(tls::trusting(&world.front.ca, &[]), API, stream).await.expect_err("no trust");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let failure = failed_connect(&app).await;
    assert_eq!((&failure["failed"], &failure["status"]), (&"client".into(), &200.into()), "{failure}");
}

#[tokio::test]
async fn a_page_inside_a_tunnel_is_refused_like_any_other() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    for (field, status) in [
        ("Origin: https://evil.example", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Origin: https://api.example.test", 200),
        ("Sec-Fetch-Site: none", 200),
        ("User-Agent: Mozilla/5.0", 200),
    ] {
        let request = format!("GET /v1/x HTTP/1.1\r\nHost: {API}\r\n{field}\r\n\r\n");
        assert_eq!(inside(&app).await.exchange(request).await.status, status, "{field}");
    }
    assert_eq!(world.api.seen().len(), 3);
}

#[tokio::test]
async fn a_tunnel_asked_for_over_http_2_is_intercepted_too() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.intercepting(&sandbox).start().await;
    let stream = tokio::net::TcpStream::connect(app.proxy).await.expect("a connection");
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    tokio::spawn(connection);
    let request =
        http::Request::connect("api.example.test:443").body(Empty::<Bytes>::new()).expect("a request");
    let response = send.send_request(request).await.expect("a response");
    assert_eq!(response.status(), 200);
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await.expect("a tunnel"));
    let name = rustls_pki_types::ServerName::try_from(API).expect("a name");
    let connector = tokio_rustls::TlsConnector::from(tls::trusting(&root_of(&app), &[]));
    let stream = connector.connect(name, upgraded).await.expect("a handshake");
    let mut raw = tls::raw_inside(stream).await;
    let response = raw.exchange(format!("GET /v1/x HTTP/1.1\r\nHost: {API}\r\n\r\n")).await;
    assert_eq!(response.text(), "from the API");
}
