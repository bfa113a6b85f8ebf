//! Every error that the proxy makes itself, provoked once: its status, its document, its
//! `Proxy-Status`, and the request id that joins it to the log. And the errors that are the
//! upstream's, which pass as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use maskinporten_proxy::ca;
use maskinporten_proxy::http::problem::{Failed, ProblemKind};
use maskinporten_proxy::sandbox::{Fault, Service};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::program::Program;
use crate::support::{Answer, App, Raw, RawResponse, Seen, Setup, Upstream, private, sandbox, until};

/// Kinds that no request can make in the time of a test, and where they are shown instead.
const ELSEWHERE: &[ProblemKind] = &[
    // Heads have 30 s: the tests of `net`, under a clock of their own.
    ProblemKind::RequestTimeout,
];

/// What was provoked so far.
#[derive(Default)]
struct Album(Vec<ProblemKind>);

impl Album {
    /// An error on the proxy's listener: its response, and its row among the recent requests.
    async fn proxy(&mut self, app: &App, kind: ProblemKind, response: &RawResponse) {
        self.document(kind, response);
        let id = response.json()["instance"].as_str().expect("an id").to_owned();
        let find = async || {
            let rows = app.admin_get("/api/requests").await.json();
            rows.as_array().expect("a list").iter().find(|row| row["id"] == id.as_str()).cloned()
        };
        until("the request is on record", async || find().await.is_some()).await;
        let row = find().await.expect("just seen");
        assert_eq!(row["status"], kind.status().as_u16(), "{kind:?}");
        let failed = match kind.failed() {
            Failed::Client => "client",
            Failed::Guard => "guard",
            Failed::Token => "token",
            Failed::Upstream => "upstream",
        };
        assert_eq!(row["failed"], failed, "{kind:?}");
        assert!(row["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{kind:?}: {row}");
    }

    fn document(&mut self, kind: ProblemKind, response: &RawResponse) {
        assert_eq!(response.status, kind.status().as_u16(), "{kind:?}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{kind:?}");
        let document = response.json();
        assert_eq!(document["type"], kind.urn(), "{}", response.text());
        assert_eq!(document["title"], kind.title(), "{kind:?}");
        assert_eq!(document["status"], response.status, "{kind:?}");
        let detail = document["detail"].as_str().expect("a detail");
        assert!(detail.len() > 10, "{kind:?}: {detail}");
        let id = document["instance"].as_str().expect("an id");
        assert!(id.len() > 8 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{kind:?}: {id}");
        let status = response.header("proxy-status").expect("Proxy-Status");
        let start = format!("maskinporten-proxy; error={}; details=\"", kind.proxy_error());
        assert!(status.starts_with(&start) && status.ends_with('"'), "{kind:?}: {status}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{kind:?}");
        if kind.closes_connection() {
            assert_eq!(response.header("connection"), Some("close"), "{kind:?}");
        }
        self.0.push(kind);
    }
}

/// What the scripted upstream does, by the path.
fn script(_: usize, seen: &Seen) -> Answer {
    let path = seen.line().split(' ').nth(1).expect("a path");
    match path {
        "/closes" => Answer::last(""),
        "/garbage" => Answer::last("what is this\r\n\r\n"),
        "/upgrade" => {
            Answer::last("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: else\r\n\r\n")
        }
        "/silence" => Answer::Silence,
        _ => Answer::ok("ok"),
    }
}

fn get(app: &App, path: &str) -> String {
    request(app, "GET", path, "")
}

fn request(app: &App, method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", app.proxy)
}

/// A port on which nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address")
}

/// A TLS server whose certificate nobody vouches for.
async fn untrusted() -> SocketAddr {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // It ends in the client's alert.
            tokio::spawn(acceptor.accept(stream));
        }
    });
    address
}

#[tokio::test]
async fn every_error_of_ours_is_a_document_with_a_reason_and_an_id() {
    let mut album = Album::default();
    requests_and_upstreams(&mut album).await;
    guards(&mut album).await;
    tokens(&mut album).await;
    tunnels(&mut album).await;
    times(&mut album).await;
    admin(&mut album).await;
    let missing: Vec<_> =
        ProblemKind::ALL.iter().filter(|kind| !album.0.contains(kind) && !ELSEWHERE.contains(kind)).collect();
    assert!(missing.is_empty(), "never provoked: {missing:?}");
}

async fn requests_and_upstreams(album: &mut Album) {
    use ProblemKind as K;
    let sandbox = sandbox().await;
    let upstream = Upstream::start(script).await;
    let (closed, untrusted) = (closed_port().await, untrusted().await);
    let app = Setup::new(&sandbox)
        .route("api", "/api", &upstream.url())
        .route_with("person", "/person", &upstream.url(), "pid = { header = \"X-Pid\" }")
        .route_with(
            "org",
            "/org",
            &upstream.url(),
            "consumer_org = { header = \"X-Org\", allow = [\"910753614\"] }",
        )
        .route_with("reads", "/reads", &upstream.url(), "access = \"read-only\"")
        .route_with("gets", "/gets", &upstream.url(), "methods = [\"GET\"]")
        .route("nobody", "/nobody", &format!("http://{closed}"))
        .route("dns", "/dns", "https://nowhere.invalid")
        .route("unroutable", "/unroutable", "https://255.255.255.255")
        // The sandbox speaks no TLS, and says so at once.
        .route("plain", "/plain", &format!("https://{}", sandbox.addr()))
        .route("untrusted", "/untrusted", &format!("https://localhost:{}", untrusted.port()))
        .start()
        .await;

    let long = "x".repeat(200_000);
    let organisation = "X-Org: 314159268\r\n";
    for (kind, request) in [
        (K::MalformedRequest, "GET /api HTTP/1.1\r\nHost: user@localhost\r\n\r\n".to_owned()),
        (K::Framing, request(&app, "POST", "/api", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        (K::PathClimbs, get(&app, "/api/%2e%2E/admin")),
        (K::ClaimHeader, get(&app, "/person")),
        (K::ClaimNotAllowed, request(&app, "GET", "/org", organisation)),
        (K::ReadOnly, request(&app, "POST", "/reads", "Content-Length: 0\r\n")),
        (K::NoRoute, get(&app, "/elsewhere")),
        (K::MethodNotAllowed, request(&app, "DELETE", "/gets", "")),
        (K::Trace, request(&app, "TRACE", "/api", "")),
        (K::UriTooLong, get(&app, &format!("/api/{long}"))),
        (K::HeadTooLarge, request(&app, "GET", "/api", &format!("X-Long: {long}\r\n"))),
        (K::UpstreamDns, get(&app, "/dns")),
        (K::UpstreamUnreachable, get(&app, "/unroutable")),
        (K::UpstreamRefused, get(&app, "/nobody")),
        (K::UpstreamCertificate, get(&app, "/untrusted")),
        (K::UpstreamTls, get(&app, "/plain")),
        (K::UpstreamClosed, get(&app, "/api/closes")),
        (K::UpstreamProtocol, get(&app, "/api/garbage")),
        (K::UpgradeFailed, get(&app, "/api/upgrade")),
        (
            K::DestinationProhibited,
            "GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n".to_owned(),
        ),
        (
            K::InterceptionOff,
            "CONNECT nowhere.invalid:443 HTTP/1.1\r\nHost: nowhere.invalid:443\r\n\r\n".to_owned(),
        ),
    ] {
        let mut raw = app.connect().await;
        let response = raw.exchange(&request).await;
        album.proxy(&app, kind, &response).await;
        if kind == K::MethodNotAllowed {
            assert_eq!(response.header("allow"), Some("GET, HEAD"), "{}", response.head);
        }
    }
    assert_eq!(app.raw(&get(&app, "/api/x")).await.status, 200);
    let via = upstream.seen().last().expect("a request").header("via").expect("Via").to_owned();
    let response = app.raw(&request(&app, "GET", "/api", &format!("Via: {via}\r\n"))).await;
    album.proxy(&app, K::Loop, &response).await;
}

async fn guards(album: &mut Album) {
    use ProblemKind as K;
    let sandbox = sandbox().await;
    let upstream = Upstream::start(script).await;
    // Answers every CONNECT with a refusal.
    let outbound = Upstream::always(Answer::last("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")).await;
    let app = Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .route("far", "/far", "https://api.example.no")
        .with("[forward]\nother_hosts = \"deny\"\n")
        .with(&format!("[upstream]\nproxy = \"{}\"\n", outbound.url()))
        .start()
        .await;
    let routed = upstream.address;
    for (kind, request) in [
        (K::HostNotAllowed, "GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n".to_owned()),
        (K::OriginNotAllowed, request(&app, "GET", "/", "Origin: http://evil.com\r\n")),
        (
            K::BrowserNotAllowed,
            format!("GET http://{routed}/ HTTP/1.1\r\nHost: {routed}\r\nUser-Agent: Mozilla/5.0\r\n\r\n"),
        ),
        (K::OtherHostDenied, "GET http://other.no/ HTTP/1.1\r\nHost: other.no\r\n\r\n".to_owned()),
        (K::OutboundProxy, get(&app, "/far")),
    ] {
        let response = app.raw(&request).await;
        album.proxy(&app, kind, &response).await;
    }
    let app = Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .with("[inbound]\npassword = \"pw\"\n")
        .start()
        .await;
    let response = app.get("/").await;
    album.proxy(&app, K::ProxyPassword, &response).await;
}

async fn tokens(album: &mut Album) {
    let sandbox = sandbox().await;
    sandbox.control().faults().always(Service::Token, Fault::refusal("MP-200").expect("a refusal"));
    let app = Setup::new(&sandbox).route("api", "/", &sandbox.echo_url()).start_cold().await;
    let response = app.get("/").await;
    album.proxy(&app, ProblemKind::TokenRefused, &response).await;
    let refusal = &response.json()["maskinporten"];
    assert_eq!(refusal["code"], "MP-200", "{refusal}");
    for member in ["error", "error_description", "cause", "fix"] {
        assert!(refusal[member].as_str().is_some_and(|text| text.len() > 10), "{member}: {refusal}");
    }

    sandbox.control().faults().clear(Service::Token);
    sandbox.control().faults().always(Service::Altinn, Fault::status(StatusCode::FORBIDDEN));
    let app = Setup::new(&sandbox)
        .route_with("api", "/", &sandbox.echo_url(), "exchange = \"altinn\"")
        .start_cold()
        .await;
    let response = app.get("/").await;
    album.proxy(&app, ProblemKind::ExchangeRefused, &response).await;

    sandbox.control().faults().always(Service::Token, Fault::unavailable("7"));
    let app = Setup::new(&sandbox).route("api", "/", &sandbox.echo_url()).start_cold().await;
    let response = app.get("/").await;
    album.proxy(&app, ProblemKind::TokenUnavailable, &response).await;
    let wait: u64 = response.header("retry-after").expect("Retry-After").parse().expect("seconds");
    // What the endpoint asked for, and some jitter.
    assert!((1..=14).contains(&wait), "{wait}");
}

async fn tunnels(album: &mut Album) {
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox)
        .route("covered", "/a", "https://localhost:9")
        .route("new", "/b", "https://new.example.no")
        .with("[forward]\nintercept = true\n");
    // The CA was made before the second route was there.
    let dir = ca::default_dir(setup.dir());
    let names = std::iter::once("localhost".parse().expect("a host")).collect();
    let made = ca::init(&dir, &names, false, SystemTime::now()).expect("a CA");
    let root = std::fs::read(made.ca.root_pem_path()).expect("a root");
    let app = setup.start().await;

    let mut raw = app.connect().await;
    let connect = |to: &str| format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    let response = raw.exchange(connect("new.example.no:443")).await;
    album.proxy(&app, ProblemKind::NameNotInCa, &response).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&root).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = TcpStream::connect(app.proxy).await.expect("a connection");
    stream.write_all(connect("localhost:9").as_bytes()).await.expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&head));
    let name = ServerName::try_from("localhost").expect("a name");
    let mut inside =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS inside the tunnel");
    let request = "GET /a HTTP/1.1\r\nHost: new.example.no\r\nConnection: close\r\n\r\n";
    inside.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    inside.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let response = RawResponse {
        status: head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"),
        head: head.to_owned(),
        body: body.as_bytes().to_vec(),
        complete: true,
        trailers: Vec::new(),
    };
    album.proxy(&app, ProblemKind::Misdirected, &response).await;
}

async fn times(album: &mut Album) {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(script).await;
    // Its queue is full, so that further connections wait for an answer that does not come.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    full.listen(0).expect("a listener");
    let address = full.local_addr().expect("an address").as_socket().expect("an IP address");
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
    }
    let app = Setup::new(&sandbox)
        .route("api", "/api", &upstream.url())
        .route("full", "/full", &format!("http://{address}"))
        .with("[upstream]\nconnect_timeout = \"300ms\"\nresponse_timeout = \"300ms\"\n")
        .start_cold()
        .await;
    // The token endpoint has these times, too; this test is about what comes after.
    until("a token is held", async || app.running.tokens().await.is_ok()).await;
    let response = app.get("/api/silence").await;
    album.proxy(&app, ProblemKind::UpstreamTimeout, &response).await;
    let response = app.get("/full").await;
    album.proxy(&app, ProblemKind::UpstreamConnectTimeout, &response).await;
}

async fn admin(album: &mut Album) {
    use ProblemKind as K;
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .replace("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"")
        .route("api", "/", &sandbox.echo_url())
        .with("[inbound]\npassword = \"pw\"\n")
        .start()
        .await;
    let address = SocketAddr::from(([127, 0, 0, 1], app.admin.port()));
    let send = async |text: String| Raw::connect(address).await.exchange(text).await;
    let host = "Host: localhost\r\n";
    let known = format!("{host}Authorization: Basic eDpwdw==\r\n");
    let meant = "X-Maskinporten-Proxy: 1\r\n";
    let refresh = |fields: &str, body: &str| {
        format!(
            "POST /api/tokens/refresh HTTP/1.1\r\n{known}{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (kind, text) in [
        (K::AdminPassword, format!("GET / HTTP/1.1\r\n{host}\r\n")),
        (K::HostNotAllowed, "GET / HTTP/1.1\r\nHost: evil.com\r\n\r\n".to_owned()),
        (K::MalformedRequest, "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned()),
        (K::OriginNotAllowed, format!("GET / HTTP/1.1\r\n{known}Origin: http://evil.com\r\n\r\n")),
        (K::Trace, format!("TRACE / HTTP/1.1\r\n{host}\r\n")),
        (K::Framing, format!("GET / HTTP/1.1\r\n{host}Content-Length: +1\r\n\r\n")),
        (K::NotFound, format!("GET /nothing HTTP/1.1\r\n{known}\r\n")),
        (K::MethodNotAllowed, format!("DELETE / HTTP/1.1\r\n{known}\r\n")),
        (K::HeaderRequired, refresh("", "{}")),
        (K::MalformedRequest, refresh(meant, "{}")),
        (K::BodyTooLarge, refresh(meant, &"x".repeat(5000))),
        (K::NoSuchToken, refresh(meant, "{\"client\":\"test\",\"route\":\"none\"}")),
    ] {
        let response = send(text).await;
        album.document(kind, &response);
    }
    let mut streams = Vec::new();
    loop {
        let mut raw = Raw::connect(address).await;
        raw.write(format!("GET /api/events HTTP/1.1\r\n{known}\r\n")).await;
        let head = raw.until(b"\r\n\r\n").await.expect("a head");
        if head.starts_with(b"HTTP/1.1 200 ") {
            streams.push(raw);
            continue;
        }
        assert!(head.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&head));
        break;
    }
    assert!(!streams.is_empty());
    let response = send(format!("GET /api/events HTTP/1.1\r\n{known}\r\n")).await;
    album.document(K::TooManyStreams, &response);
}

/// The id in the document is the one in the log, on both listeners.
#[tokio::test]
async fn the_id_in_an_error_is_the_one_in_the_log() {
    let sandbox = sandbox().await;
    let dir = tempfile::tempdir().expect("a folder");
    let written = sandbox.write_out(dir.path()).expect("a configuration");
    private(&written.config);
    let program =
        Program::serve(dir.path(), &[], &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).await;
    for (address, target, host, status) in [
        (program.proxy_address(), "/", "evil.com", 403),
        (program.proxy_address(), "*", "localhost", 400),
        (program.admin_address(), "/", "evil.com", 403),
        (program.admin_address(), "/nothing", "localhost", 404),
    ] {
        let mut raw = Raw::connect(address).await;
        let response = raw.exchange(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.status, status, "{target}: {}", response.text());
        let id = response.json()["instance"].as_str().expect("an id").to_owned();
        let logged = || {
            let lines = program.lines();
            std::future::ready(
                lines.iter().any(|line| line["request_id"] == id.as_str() && line["status"] == status),
            )
        };
        until("the log has the id", logged).await;
    }
}

#[tokio::test]
async fn the_upstreams_own_errors_pass_untouched() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| {
        let code: u16 =
            seen.line().split('/').nth(1).and_then(|rest| rest[..3].parse().ok()).expect("a code");
        let reason = StatusCode::from_u16(code).expect("a status");
        Answer::raw(&format!(
            "HTTP/1.1 {reason}\r\nContent-Type: application/problem+json\r\n\
             Proxy-Status: theirs; error=connection_refused\r\nRetry-After: 3\r\nContent-Length: 17\r\n\r\n\
             {{\"type\":\"theirs\"}}"
        ))
    })
    .await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    for code in [200, 400, 403, 404, 405, 408, 413, 421, 429, 500, 502, 503, 504, 508] {
        let response = app.get(&format!("/{code}")).await;
        assert_eq!((response.status, response.text().as_str()), (code, "{\"type\":\"theirs\"}"));
        assert_eq!(response.header("proxy-status"), Some("theirs; error=connection_refused"), "{code}");
        assert_eq!(response.header("retry-after"), Some("3"), "{code}");
        assert!(!response.head.contains("maskinporten-proxy;"), "{}", response.head);
    }
    // And where the upstream says nothing of it, there is nothing.
    let app = Setup::new(&sandbox).route("echo", "/", &sandbox.echo_url()).start().await;
    for code in [200, 500, 503] {
        assert!(app.get(&format!("/status/{code}")).await.header("proxy-status").is_none(), "{code}");
    }
}
