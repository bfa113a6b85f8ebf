//! WebSocket and other upgrades: another protocol from the upstream's 101 on, and not before.

use maskinporten_proxy::sandbox::Sandbox;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{Answer, App, Scripted, Setup, Upstream, sandbox};

const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn before(upstream: &str) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("api", "/", upstream).start().await;
    (app, sandbox)
}

/// An upstream that switches and then echoes; tells of the head, and of its end.
async fn echoing(answer: &'static str) -> (Scripted, UnboundedReceiver<String>) {
    let (events, log) = unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let events = events.clone();
        async move {
            let Some(head) = peer.head().await else { return };
            let _ = events.send(head);
            peer.write(answer).await;
            while let Some(bytes) = peer.some().await {
                peer.write([b"echo:", &bytes[..]].concat()).await;
                if bytes == b"bye" {
                    peer.shutdown().await;
                    break;
                }
            }
            let _ = events.send("over".to_owned());
        }
    })
    .await;
    (upstream, log)
}

#[tokio::test]
async fn a_websocket_echoes_through() {
    let (upstream, mut log) = echoing(SWITCHING).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    let response = raw.exchange(HANDSHAKE).await;
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert!(response.header("connection").expect("one").eq_ignore_ascii_case("upgrade"));
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));

    let head = log.recv().await.expect("a head");
    let has = |line: &str| head.to_ascii_lowercase().contains(&format!("\r\n{line}\r\n"));
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
    assert!(has("connection: upgrade") && has("upgrade: websocket"), "{head}");
    assert!(has("sec-websocket-version: 13") && has("sec-websocket-protocol: chat"), "{head}");
    assert_eq!(head.to_ascii_lowercase().matches("authorization: bearer ey").count(), 1, "{head}");

    // Bytes that are no HTTP at all, both ways, again and again.
    for number in 0..20_u8 {
        raw.write([b"\x81\x00\r\n\r\n", &[number][..]].concat()).await;
        raw.until(&[b"echo:\x81\x00\r\n\r\n", &[number][..]].concat()).await.expect("an echo");
    }
    raw.write("bye").await;
    raw.until(b"echo:bye").await.expect("an echo");
    raw.shutdown().await;
    assert!(raw.is_closed().await, "the upstream's end is passed on");
    assert_eq!(log.recv().await.expect("an end"), "over");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_upstreams_side() {
    let (upstream, mut log) = echoing(SWITCHING).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    assert_eq!(raw.exchange(HANDSHAKE).await.status, 101);
    log.recv().await.expect("a head");
    drop(raw);
    assert_eq!(log.recv().await.expect("an end"), "over");
}

#[tokio::test]
async fn bytes_that_come_with_the_101_are_not_lost() {
    let answer: &'static str = Box::leak(format!("{SWITCHING}first words").into_boxed_str());
    let (upstream, _log) = echoing(answer).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    assert_eq!(raw.exchange(HANDSHAKE).await.status, 101);
    raw.until(b"first words").await.expect("what came with the head");
}

#[tokio::test]
async fn other_protocols_upgrade_too() {
    let (upstream, mut log) =
        echoing("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: Own-Protocol/2\r\n\r\n")
            .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: own-protocol/2, websocket, h2c\r\n\
                   Content-Length: 0\r\n\r\n";
    assert_eq!(raw.exchange(request).await.status, 101);
    let head = log.recv().await.expect("a head").to_ascii_lowercase();
    assert!(head.contains("upgrade: own-protocol/2, websocket\r\n"), "h2c is left out: {head}");
    raw.write("x").await;
    raw.until(b"echo:x").await.expect("an echo");
}

#[tokio::test]
async fn nothing_early_is_forwarded_and_a_refused_upgrade_leaves_plain_http() {
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write(format!("{HANDSHAKE}GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    assert_eq!(raw.response().await.text(), "GET /chat?room=1 HTTP/1.1");
    assert_eq!(raw.response().await.text(), "GET /second HTTP/1.1");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].headers("authorization").len(), 1, "the second was judged as a request of its own");
    assert_eq!(seen[1].header("upgrade"), None);
}

#[tokio::test]
async fn early_bytes_that_are_no_request_are_refused_once_the_upgrade_is() {
    let upstream = Upstream::always(Answer::ok("no")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write(format!("{HANDSHAKE}\u{81}\u{5}hello\r\n\r\n")).await;
    assert_eq!(raw.response().await.text(), "no");
    assert_eq!(raw.response().await.status, 400);
    assert!(raw.is_closed().await);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn h2c_is_not_carried_on() {
    let upstream = Upstream::always(Answer::ok("plain")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0\r\n",
        "Connection: upgrade\r\nupgrade: H2C\r\nUpgrade: h2\r\n",
        "Upgrade: websocket\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        assert_eq!(app.raw(&request).await.text(), "plain", "{lines}");
        let seen = upstream.seen().pop().expect("a request");
        for gone in ["connection", "upgrade", "http2-settings"] {
            assert!(seen.headers(gone).is_empty(), "{lines}: {}", seen.head);
        }
    }
}

#[tokio::test]
async fn a_switch_to_something_else_than_was_asked_for_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let (upstream, mut log) = echoing(answer).await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let mut raw = app.connect().await;
        let response = raw.exchange(HANDSHAKE).await;
        assert_eq!(response.status, 502, "{answer}");
        assert!(response.text().contains("urn:maskinporten-proxy:upgrade-failed"), "{}", response.text());
        log.recv().await.expect("a head");
        assert_eq!(log.recv().await.expect("an end"), "over", "the connection is not used again");
        // The client's connection is still HTTP, or closed; what comes next is no tunnel.
        raw.write("GET /next HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
        let rest = String::from_utf8_lossy(&raw.rest_within().await).into_owned();
        assert!(!rest.contains("echo:"), "{rest}");
    }
}

#[tokio::test]
async fn a_401_to_a_handshake_gets_a_new_token_as_well() {
    let (tokens, mut log) = unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let tokens = tokens.clone();
        async move {
            while let Some(head) = peer.head().await {
                let number = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization"));
                tokens.send(number.expect("a token").to_owned()).expect("a test");
                if tokens.is_closed() {
                    return;
                }
                peer.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
            }
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    assert_eq!(raw.exchange(HANDSHAKE).await.status, 401);
    let (first, second) = (log.recv().await.expect("one"), log.recv().await.expect("two"));
    assert_ne!(first, second);
}
