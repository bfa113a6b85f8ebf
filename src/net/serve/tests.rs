//! Connections as clients see them, over real sockets.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::net::{BodyError, Drain, TUNNEL_IDLE, copy_bidirectional};

type Answer = Response<Full<Bytes>>;

/// Answers refusals with their status, `/echo` with the body, `/ignore` without looking at it.
async fn handle(request: Request<Incoming>, call: Call) -> Result<Answer, Infallible> {
    if let Some(refusal) = call.refusal {
        return Ok(answer(refusal.status(), &refusal.to_string()));
    }
    let request = http::Request::from(request);
    Ok(match request.uri().path() {
        "/ignore" => answer(StatusCode::FORBIDDEN, "no"),
        "/slow" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer(StatusCode::OK, "slow")
        }
        "/waiting" => {
            call.timer.set(Duration::from_secs(5));
            answer(StatusCode::OK, "waiting")
        }
        "/mark" => {
            let marked = request.headers()["authorization"].is_sensitive();
            answer(StatusCode::OK, if marked { "marked" } else { "not marked" })
        }
        "/hints" => {
            let mut headers = HeaderMap::new();
            headers.insert("link", "</a.css>; rel=preload".parse().unwrap());
            call.interim.send(StatusCode::EARLY_HINTS, &headers.into());
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer(StatusCode::OK, "hinted")
        }
        path => {
            let path = path.to_owned();
            match request.into_body().collect().await {
                Ok(body) => {
                    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                    answer(StatusCode::OK, &format!("{path}:{body}"))
                }
                Err(BodyError::BadChunk(_)) => answer(StatusCode::BAD_REQUEST, "bad chunk"),
                Err(_) => answer(StatusCode::BAD_REQUEST, "gone"),
            }
        }
    })
}

fn answer(status: StatusCode, text: &str) -> Answer {
    let mut response = http::Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.into()
}

struct Server {
    address: SocketAddr,
    drain: Drain,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (drain, watch) = Drain::new();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, from) = listener.accept().await.unwrap();
                let peer = Rc::new(Peer { address: Some(from), ..Peer::default() });
                tokio::task::spawn_local(serve(Transport::Tcp(stream), peer, watch.clone(), handle));
            }
        });
        Self { address, drain }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and reads to the end of the connection.
    async fn exchange(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut client).await
    }
}

async fn read_to_end(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(3600), client.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads until `end` has come.
async fn read_until(client: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let byte = client.read_u8().await;
        answer.push(byte.unwrap_or_else(|error| panic!("{error} after {}", answer.escape_ascii())));
    }
    String::from_utf8(answer).unwrap()
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_refusal_is_answered_by_the_handler_and_ends_the_connection() {
    local(async {
        let server = Server::start().await;
        let good = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
        let bad = "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        let answers = server.exchange(&format!("{good}{bad}{good}")).await;
        let (first, second) = answers.split_at(answers.find("HTTP/1.1 400").unwrap());
        assert!(first.starts_with("HTTP/1.1 200 OK") && first.ends_with("/good:"), "{answers}");
        assert!(second.contains("connection: close"), "{answers}");
        assert!(second.ends_with("no Host field, or more than one"), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 2, "{answers}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_answered_with_408() {
    local(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.write_all(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut client, "/good:").await;
        let started = tokio::time::Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(started.elapsed() >= Duration::from_secs(30));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_parked_serves_again_and_is_closed_in_the_end() {
    local(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        for _ in 0..3 {
            client.write_all(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
            read_until(&mut client, "/a:x").await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        let idle_since = tokio::time::Instant::now();
        assert_eq!(read_to_end(&mut client).await, "");
        assert!(idle_since.elapsed() >= Duration::from_secs(54));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_waited_for_ends_no_idle_connection() {
    local(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        client.write_all(b"GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut client, "waiting").await;
        let idle_since = tokio::time::Instant::now();
        assert_eq!(read_to_end(&mut client).await, "");
        assert!(idle_since.elapsed() >= Duration::from_secs(74));
    })
    .await;
}

#[tokio::test]
async fn an_answer_ahead_of_the_body_reaches_a_client_that_is_still_sending() {
    local(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        let head = "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        // A client that looks for the answer only when all is sent: more than sockets buffer.
        client.write_all(&vec![b'x'; 16_000_000]).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.ends_with("no"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    })
    .await;
}

/// Bodies of three bytes to something that does not read them, cut in the middle.
const IGNORED: [(&str, &str); 2] = [
    ("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", "c"),
    (
        "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "c\r\n0\r\nX: y\r\n\r\n",
    ),
];
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_body_that_nobody_reads_and_that_is_all_there_costs_no_connection() {
    local(async {
        let server = Server::start().await;
        for (start, end) in IGNORED {
            let mut client = server.connect().await;
            for _ in 0..2 {
                client.write_all(format!("{start}{end}{NEXT}").as_bytes()).await.unwrap();
                let answers = read_until(&mut client, "/next:").await;
                assert!(answers.starts_with("HTTP/1.1 403 "), "{answers}");
                assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
                assert!(!answers.contains("connection: close"), "{answers}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_comes_behind_a_body_that_nobody_read_to_its_end_is_no_request() {
    local(async {
        let server = Server::start().await;
        for (start, end) in IGNORED {
            let mut client = server.connect().await;
            client.write_all(start.as_bytes()).await.unwrap();
            let answer = read_until(&mut client, "\r\n\r\nno").await;
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            client.write_all(format!("{end}{NEXT}").as_bytes()).await.unwrap();
            assert_eq!(read_to_end(&mut client).await, "");
        }
        // All there, and broken.
        let head = "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in ["xyz\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\nX : y\r\n\r\n"] {
            let answers = server.exchange(&format!("{head}{body}{NEXT}")).await;
            assert!(answers.contains("connection: close\r\n"), "{answers}");
            assert!(answers.ends_with("\r\n\r\nno"), "{answers}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_broken_chunk_is_told_from_a_client_that_hung_up() {
    local(async {
        let server = Server::start().await;
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = server.exchange(&format!("{head}3\r\nabc\r\nzz\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("bad chunk"), "{answer}");
        let answer = server.exchange(&format!("{head}3\r\nabc\r\n0\r\n\r\nGET /echo HTTP/1.0\r\n\r\n")).await;
        assert_eq!(answer.matches(" 200 OK").count(), 2, "{answer}");
        assert!(answer.contains("/echo:abc"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn interim_responses_come_first_and_not_to_http_10() {
    local(async {
        let server = Server::start().await;
        let mut client = server.connect().await;
        for _ in 0..2 {
            client.write_all(b"GET /hints HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let answer = read_until(&mut client, "hinted").await;
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n";
            assert!(answer.starts_with(hints), "{answer}");
        }
        let answer = server.exchange("GET /hints HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn http2_is_known_by_its_preface() {
    local(async {
        let server = Server::start().await;
        let (mut send, connection) = h2::client::handshake(server.connect().await).await.unwrap();
        tokio::task::spawn_local(async move { connection.await.unwrap() });
        let request = http::Request::post("http://a/h2").body(()).unwrap();
        let (response, mut stream) = send.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"body"), true).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "/h2:body");
    })
    .await;
}

/// The mark is the proxy's own token's: by it, the HTTP/2 client to upstreams tells what goes into
/// the connection's compression table from what clients put on themselves.
#[tokio::test]
async fn what_a_client_marks_as_sensitive_is_not_marked_here() {
    local(async {
        let server = Server::start().await;
        let (mut send, connection) = h2::client::handshake(server.connect().await).await.unwrap();
        tokio::task::spawn_local(async move { connection.await.unwrap() });
        let mut secret = HeaderValue::from_static("Basic dXNlcjpwYXNz");
        secret.set_sensitive(true);
        let request = http::Request::get("http://a/mark").header("authorization", secret).body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        let mut response = response.await.unwrap();
        assert_eq!(response.body_mut().data().await.unwrap().unwrap(), "not marked");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_what_idles_and_finishes_what_runs() {
    local(async {
        let server = Server::start().await;
        let mut fresh = server.connect().await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_until(&mut idle, "/good:").await;
        let mut busy = server.connect().await;
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        // Until the server has taken all three in.
        while server.drain.open().0 < 3 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let drained = server.drain.finish(Duration::from_secs(10), Duration::from_secs(30));
        let (outcome, fresh, idle, busy) =
            tokio::join!(drained, read_to_end(&mut fresh), read_to_end(&mut idle), read_to_end(&mut busy));
        assert_eq!(outcome, crate::net::Outcome::Finished);
        assert_eq!((fresh.as_str(), idle.as_str()), ("", ""));
        assert!(busy.contains("connection: close") && busy.ends_with("slow"), "{busy}");
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_hands_the_stream_over() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (drain, watch) = Drain::new();
        let tunnels = watch.clone();
        let switch = move |_request: Request<Incoming>, call: Call| {
            let guard = tunnels.tunnel();
            async move {
                let upgraded = call.upgrade;
                tokio::task::spawn_local(async move {
                    let mut stream = upgraded.await.unwrap();
                    let (mut near, mut far) = tokio::io::duplex(64);
                    let echo = tokio::task::spawn_local(async move {
                        let mut text = String::new();
                        near.read_to_string(&mut text).await.unwrap();
                        near.write_all(text.to_uppercase().as_bytes()).await.unwrap();
                    });
                    copy_bidirectional(&mut stream, &mut far, TUNNEL_IDLE).await.unwrap();
                    echo.await.unwrap();
                    drop(guard);
                });
                let mut response = answer(StatusCode::SWITCHING_PROTOCOLS, "");
                response.head.fields.insert(http::header::UPGRADE, "echo".parse().unwrap());
                response.head.fields.insert(http::header::CONNECTION, "upgrade".parse().unwrap());
                Ok::<_, Infallible>(response)
            }
        };
        tokio::task::spawn_local(serve(Transport::Tcp(stream), Rc::default(), watch, switch));
        // `early` is sent ahead of the 101, and must wait for it.
        let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly ";
        client.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(drain.open().1, 1, "counted as a tunnel");
        client.write_all(b"late").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut client).await, "EARLY LATE");
        let outcome = drain.finish(Duration::from_secs(10), Duration::from_secs(10)).await;
        assert_eq!(outcome, crate::net::Outcome::Finished);
    })
    .await;
}

#[tokio::test]
async fn tls_agrees_on_the_protocol_and_a_plain_client_is_an_error() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let inbound = crate::config::InboundTls { cert: cert.clone(), key, client_ca: None };
    let acceptor = TlsAcceptor::from(crate::net::server_tls(&inbound).unwrap());
    let client_tls = crate::net::client_tls(Some(&cert)).unwrap();
    local(async {
        for (config, http2) in [(client_tls.h2_or_http1, true), (client_tls.http1, false)] {
            let (near, far) = tokio::io::duplex(16 * 1024);
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let far = Transport::Other(Box::new(far));
                let (transport, peer) = accept_tls(&acceptor, far, Peer::default()).await.unwrap();
                assert!(peer.tls && !peer.certified);
                serve(transport, Rc::new(peer), Drain::new().1, handle).await;
            });
            let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
            let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, near).await.unwrap();
            if http2 {
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
                tokio::task::spawn_local(connection);
                let request = http::Request::get("https://localhost/x").body(()).unwrap();
                let response = send.send_request(request, true).unwrap().0.await.unwrap();
                assert_eq!(response.status(), 200);
            } else {
                stream.write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
                read_until(&mut stream, "/x:").await;
            }
        }
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let far = Transport::Other(Box::new(far));
        assert!(accept_tls(&acceptor, far, Peer::default()).await.is_err());
    })
    .await;
}

/// A body that breaks off after a few bytes.
struct Broken(bool);

impl Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Some(Err(io::Error::other("the upstream died"))));
        }
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"some")))))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    local(async {
        for (request, framed) in
            [("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true), ("GET / HTTP/1.0\r\n\r\n", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let broken = |_request, _call| async {
                Ok::<Response<_>, Infallible>(http::Response::new(Broken(false)).into())
            };
            let (_drain, watch) = Drain::new();
            tokio::task::spawn_local(serve(Transport::Tcp(stream), Rc::default(), watch, broken));
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let end = client.read_to_end(&mut answer).await;
            let text = String::from_utf8(answer).unwrap();
            assert!(text.contains("200 OK") || end.is_err(), "{text}");
            assert!(end.is_err() || (framed && !text.ends_with("0\r\n\r\n")), "{end:?} {text}");
        }
    })
    .await;
}
