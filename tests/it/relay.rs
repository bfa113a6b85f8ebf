//! Upstreams and clients that fail: each failure is told for what it is, and passed on as one.

use std::io;
use std::sync::{Arc, Mutex};

use maskinporten_proxy::sandbox::Sandbox;
use rcgen::date_time_ymd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::support::raw::LIMIT;
use crate::support::{Answer, App, Authority, Scripted, Setup, Upstream, private, sandbox, until};

async fn before(upstream: &str) -> (App, Sandbox) {
    before_with(upstream, "").await
}

async fn before_with(upstream: &str, more: &str) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("api", "/", upstream).with(more).start().await;
    (app, sandbox)
}

/// Writes a request and reads to the end: what came, and whether the end was a clean one.
pub(crate) async fn over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> (String, io::Result<()>) {
    stream.write_all(request.as_bytes()).await.expect("a written request");
    stream.flush().await.expect("a flush");
    let mut bytes = Vec::new();
    let end = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("an end in time");
    (String::from_utf8_lossy(&bytes).into_owned(), end.map(drop))
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = listener.local_addr().expect("an address");
    drop(listener);
    let (app, _sandbox) = before(&format!("http://{gone}")).await;
    let response = app.get("/").await;
    assert_eq!(response.status, 502);
    assert!(response.header("proxy-status").expect("one").contains("error=connection_refused"));
    assert_eq!(response.json()["type"], "urn:maskinporten-proxy:upstream-refused");
}

#[tokio::test]
async fn an_upstream_that_dies_before_the_head_is_502() {
    for last_words in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"] {
        let upstream = Upstream::always(Answer::last(last_words)).await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let response = app.get("/").await;
        assert_eq!(response.status, 502, "{last_words:?}");
        assert!(response.header("proxy-status").expect("one").contains("error="), "{}", response.head);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_504() {
    let upstream = Upstream::always(Answer::Silence).await;
    let (app, _sandbox) = before_with(&upstream.url(), "\n[upstream]\nresponse_timeout = \"100ms\"\n").await;
    let response = app.get("/").await;
    assert_eq!(response.status, 504);
    assert!(response.header("proxy-status").expect("one").contains("error=http_response_timeout"));
}

#[tokio::test]
async fn an_upload_slower_than_the_response_timeout_is_no_timeout() {
    let upstream = Upstream::always(Answer::ok("all of it")).await;
    let (app, _sandbox) = before_with(&upstream.url(), "\n[upstream]\nresponse_timeout = \"400ms\"\n").await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n").await;
    for digit in 0..10 {
        // As slow as a mobile phone, twice the timeout in all.
        tokio::time::sleep(std::time::Duration::from_millis(90)).await;
        raw.write(digit.to_string()).await;
    }
    let response = raw.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, "all of it"));
    assert_eq!(upstream.seen()[0].body, b"0123456789");
}

/// Answers that end in the middle of their bodies.
const BROKEN_OFF: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly thisXX0\r\n\r\n",
];

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    for answer in BROKEN_OFF {
        let upstream = Upstream::always(Answer::last(answer)).await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let response = app.get("/").await;
        assert_eq!((response.status, response.complete), (200, false), "{answer:?}");
        assert!("only this".starts_with(&response.text()), "{answer:?}: {}", response.text());

        // HTTP/1.0 ends bodies by closing: a reset is all that tells the two ends apart.
        let tcp = TcpStream::connect(app.proxy).await.expect("a connection");
        let (text, end) = over(tcp, "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
        let promised = text.to_ascii_lowercase().contains("content-length: 100");
        assert!(promised || end.is_err(), "{answer:?}: a clean end after {text:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_tls_without_close_notify() {
    let (sandbox, authority) = (sandbox().await, Authority::new());
    let upstream = Upstream::start(|number, _| match number {
        0 => Answer::ok("whole"),
        number => Answer::last(BROKEN_OFF[number - 1]),
    })
    .await;
    let setup = Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .with("\n[inbound]\ntls = { cert = \"cert.pem\", key = \"tls-key.pem\" }\n");
    let leaf = authority.leaf("localhost", |_| {});
    std::fs::write(setup.dir().join("cert.pem"), leaf.certificate).expect("a certificate");
    std::fs::write(setup.dir().join("tls-key.pem"), leaf.key).expect("a key");
    private(&setup.dir().join("tls-key.pem"));
    let app = setup.start().await;
    for number in 0..=BROKEN_OFF.len() {
        let tcp = TcpStream::connect(app.proxy).await.expect("a connection");
        let name = "localhost".try_into().expect("a name");
        let tls = authority.connector(&["http/1.1"]).connect(name, tcp).await.expect("a handshake");
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (text, end) = over(tls, request).await;
        match number {
            0 => assert!(text.ends_with("whole") && end.is_ok(), "{text}: {end:?}"),
            _ => {
                assert!(end.is_err(), "{:?}: a clean end after {text:?}", BROKEN_OFF[number - 1]);
                assert!(!text.ends_with("0\r\n\r\n"), "{text:?}");
            }
        }
    }
}

#[tokio::test]
async fn tls_that_an_upstream_cuts_off_is_no_end_of_a_body() {
    let authority = Authority::new();
    let acceptor = authority.acceptor("localhost", &["http/1.1"], |_| {});
    let upstream = Scripted::start_tls(acceptor, |mut peer, number| async move {
        peer.head().await.expect("a head");
        peer.write("HTTP/1.1 200 OK\r\n\r\nto the end").await;
        if number == 0 {
            peer.shutdown().await;
        }
    })
    .await;
    let sandbox = sandbox().await;
    let setup = Setup::new(&sandbox);
    authority.write(setup.dir());
    let app = setup
        .route("api", "/", &format!("https://localhost:{}", upstream.address.port()))
        .with("\n[upstream]\nca_file = \"ca.pem\"\n")
        .start()
        .await;
    let response = app.get("/").await;
    assert_eq!((response.text().as_str(), response.complete), ("to the end", true));
    let response = app.get("/").await;
    assert!(!response.complete, "an attacker could have cut it: {}", response.text());
}

#[tokio::test]
async fn a_clients_broken_chunk_is_the_clients_fault_and_no_whole_request() {
    for broken in
        ["zz\r\n", "5\r\nhelloXX", "-1\r\n", "0x5\r\nhello\r\n", "5;a\rb\r\nhello\r\n", "5\nhello\n", "\r\n"]
    {
        let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let mut raw = app.connect().await;
        let head = "POST /1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.write(format!(
            "{head}3\r\nabc\r\n{broken}0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ))
        .await;
        let response = raw.response().await;
        assert_eq!(response.status, 400, "{broken:?}: {}", response.text());
        let rest = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(rest.is_empty(), "{broken:?}: {rest}");
        assert!(upstream.seen().is_empty(), "{broken:?}: {:?}", upstream.seen());
        assert_eq!(app.get("/2").await.text(), "GET /2 HTTP/1.1", "the next gets its own answer");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_upstream_at_every_stage() {
    for stage in ["waiting for the head", "reading the body", "sending its body"] {
        let (events, mut log) = unbounded_channel();
        let upstream = Scripted::start(move |mut peer, _| {
            let events = events.clone();
            async move {
                peer.head().await.expect("a head");
                if stage == "reading the body" {
                    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
                }
                let _ = events.send("begun");
                peer.hung_up().await;
                let _ = events.send("over");
            }
        })
        .await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let mut raw = app.connect().await;
        let request = match stage {
            "sending its body" => "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome",
            _ => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        raw.write(request).await;
        assert_eq!(log.recv().await, Some("begun"), "{stage}");
        if stage == "reading the body" {
            raw.until(b"\r\na\r\n").await.expect("a chunk");
        }
        drop(raw);
        // Well within the timeouts, which are a minute.
        let over = timeout(LIMIT, log.recv()).await.unwrap_or_else(|_| panic!("{stage}: not cancelled"));
        assert_eq!(over, Some("over"), "{stage}");
    }
}

#[tokio::test]
async fn a_refusal_that_leaves_a_body_unread_never_reads_it_as_a_request() {
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let inner = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (host, path, status) in
        [("evil.example", "/", 403), ("localhost", "/%2e%2e", 400), ("localhost:x", "/", 400)]
    {
        for framing in ["length", "chunked"] {
            let (lines, body) = match framing {
                "length" => (format!("Content-Length: {}\r\n", inner.len()), inner.to_owned()),
                _ => (
                    "Transfer-Encoding: chunked\r\n".to_owned(),
                    format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len()),
                ),
            };
            let mut raw = app.connect().await;
            // The head is answered while the body is still to come.
            raw.write(format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")).await;
            let response = raw.response().await;
            assert_eq!(response.status, status, "{host} {path} {framing}");
            raw.write(format!("{body}GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
            let rest = String::from_utf8_lossy(&raw.rest_within().await).into_owned();
            assert!(!rest.contains("smuggled"), "{rest}");
            assert!(rest.is_empty() || rest.contains("GET /next HTTP/1.1"), "{rest}");
        }
    }
    assert!(upstream.seen().iter().all(|seen| seen.line() == "GET /next HTTP/1.1"), "{:?}", upstream.seen());
}

/// Accepts connections and keeps every byte that comes before and in the handshake.
async fn eavesdropping(answer: &'static [u8]) -> (TcpListenerTask, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let all = Arc::clone(&all);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                let mut answered = false;
                while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                    all.lock().expect("not poisoned").extend_from_slice(&chunk[..count]);
                    if !std::mem::replace(&mut answered, true) {
                        let _ = stream.write_all(answer).await;
                    }
                }
            });
        }
    });
    (TcpListenerTask { port, task }, heard)
}

struct TcpListenerTask {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TcpListenerTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// TLS 1.1 as a server hello that chooses it: random zeros, no session, ECDHE-RSA-AES128-SHA.
const TLS_1_1: &[u8] = &[
    22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x13, 0,
];
/// The alert `protocol_version`.
const NO_COMMON_VERSION: &[u8] = &[21, 3, 1, 0, 2, 2, 70];
/// The alert `handshake_failure`.
const HANDSHAKE_FAILURE: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

#[tokio::test]
async fn tls_that_is_old_or_none_is_502_and_no_token_leaves() {
    for (answer, reason) in [
        (TLS_1_1, "it speaks no version of TLS that is safe"),
        (NO_COMMON_VERSION, "it speaks no version of TLS that is safe"),
        (HANDSHAKE_FAILURE, "refused the handshake"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS on this port"),
    ] {
        let (server, heard) = eavesdropping(answer).await;
        let (app, _sandbox) = before(&format!("https://localhost:{}", server.port)).await;
        let response = app.get("/").await;
        assert_eq!(response.status, 502, "{reason}");
        assert!(response.text().contains(reason), "{reason}: {}", response.text());
        assert!(response.header("proxy-status").expect("one").contains("error=tls_"), "{}", response.head);
        let heard = heard.lock().expect("not poisoned").clone();
        assert_eq!(heard.first(), Some(&22), "a client hello came");
        let text = String::from_utf8_lossy(&heard);
        assert!(!text.contains("Bearer") && !text.contains("HTTP/1.1"), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_no_good_is_502_with_what_is_wrong_and_no_request_leaves() {
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let alpn = &["h2", "http/1.1"];
    for (acceptor, reason) in [
        (
            trusted.acceptor("localhost", alpn, |leaf| leaf.not_after = date_time_ymd(2020, 1, 1)),
            "has expired",
        ),
        (
            trusted.acceptor("localhost", alpn, |leaf| leaf.not_before = date_time_ymd(2999, 1, 1)),
            "not valid yet",
        ),
        (
            trusted.acceptor("other.example", alpn, |_| {}),
            "is for another name (DnsName(\\\"other.example\\\"))",
        ),
        (stranger.acceptor("localhost", alpn, |_| {}), "authority that is not trusted here"),
    ] {
        let (came, mut heard) = unbounded_channel();
        let upstream = Scripted::start_tls(acceptor, move |mut peer, _| {
            let came = came.clone();
            async move {
                // TLS 1.3: the server may take the handshake for done before the client objects.
                if let Some(bytes) = peer.some().await {
                    came.send(bytes).expect("a test");
                }
            }
        })
        .await;
        let sandbox = sandbox().await;
        let setup = Setup::new(&sandbox);
        trusted.write(setup.dir());
        let app = setup
            .route("api", "/", &format!("https://localhost:{}", upstream.address.port()))
            .with("\n[upstream]\nca_file = \"ca.pem\"\n")
            .start()
            .await;
        let response = app.get("/").await;
        assert_eq!(response.status, 502, "{reason}");
        assert_eq!(response.json()["type"], "urn:maskinporten-proxy:upstream-certificate");
        let short = reason.split(" (").next().expect("a reason");
        assert!(response.text().contains(short), "{reason}: {}", response.text());
        assert!(response.header("proxy-status").expect("one").contains("error=tls_certificate_error"));
        drop(upstream);
        assert!(heard.try_recv().is_err(), "{reason}: something was sent");
    }
}

#[tokio::test]
async fn a_reload_fails_no_request_and_a_bad_file_changes_nothing() {
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let good = std::fs::read_to_string(&app.config).expect("the configuration");
    let more = format!(
        "{good}\n[[routes]]\nname = \"more\"\npath = \"/more\"\nupstream = \"{}/new\"\nscopes = [\"demo:api\"]\n",
        upstream.url()
    );
    let address = app.proxy;
    let load = tokio::spawn(async move {
        let mut raw = crate::support::Raw::connect(address).await;
        for number in 0.. {
            let response = raw.exchange(format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(response.text(), format!("GET /{number} HTTP/1.1"));
            if number % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..3 {
        std::fs::write(&app.config, &more).expect("written");
        until("the new route serves", async || app.get("/more/x").await.text() == "GET /new/x HTTP/1.1")
            .await;
        std::fs::write(&app.config, "routes = \"nonsense\"").expect("written");
        for _ in 0..20 {
            assert_eq!(app.get("/more/x").await.text(), "GET /new/x HTTP/1.1", "the old one stays live");
        }
        std::fs::write(&app.config, &good).expect("written");
        until("the new route is gone", async || app.get("/more/x").await.text() == "GET /more/x HTTP/1.1")
            .await;
    }
    assert!(!load.is_finished(), "{:?}", load.await);
    load.abort();
}
