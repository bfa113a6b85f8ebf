//! How large a head, and how slow a peer may be.

use std::time::Duration;

use maskinporten_proxy::net::Patience;
use maskinporten_proxy::sandbox::Sandbox;

use crate::support::{Answer, App, H2Client, Scripted, Setup, Upstream, sandbox};

/// Long enough for what is to succeed, short enough to be waited for.
const SOON: Duration = Duration::from_millis(250);
const LONG: Duration = Duration::from_secs(60);

async fn before(upstream: &str, patience: Patience) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("api", "/", upstream).patience(patience).start().await;
    (app, sandbox)
}

fn only(change: impl FnOnce(&mut Patience)) -> Patience {
    let mut patience = Patience { head: LONG, idle: LONG, body: LONG };
    change(&mut patience);
    patience
}

#[tokio::test]
async fn a_target_may_be_long_and_not_endless() {
    let upstream = Upstream::start(|_, seen| Answer::ok(&seen.line().len().to_string())).await;
    let (app, _sandbox) = before(&upstream.url(), Patience::default()).await;
    let request = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(length));
    let response = app.raw(&request(16_000)).await;
    assert_eq!((response.status, response.text().as_str()), (200, "16014"));
    for length in [17_000, 100_000] {
        let mut raw = app.connect().await;
        let response = raw.exchange(request(length)).await;
        assert_eq!(response.status, 414, "{length}");
        assert_eq!(response.json()["type"], "urn:maskinporten-proxy:uri-too-long");
        assert!(raw.is_closed().await, "{length}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_head_may_be_large_and_not_endless() {
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let (app, _sandbox) = before(&upstream.url(), Patience::default()).await;
    let large = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    assert_eq!(app.raw(&large).await.status, 200);
    assert_eq!(upstream.seen()[0].header("x").map(str::len), Some(60_000));
    let lines = |count: usize| (0..count).map(|number| format!("X-{number}: y\r\n")).collect::<String>();
    for fields in [format!("X: {}\r\n", "x".repeat(70_000)), lines(101), lines(100_000)] {
        let mut raw = app.connect().await;
        let response = raw.exchange(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await;
        assert_eq!(response.status, 431, "{} bytes", fields.len());
        assert_eq!(response.json()["type"], "urn:maskinporten-proxy:head-too-large");
        assert!(raw.is_closed().await);
    }
    // One that never ends is not read for ever: the answer comes while it is still being sent.
    let mut raw = app.connect().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nX: ").await;
    for _ in 0..10 {
        raw.write("x".repeat(10_000)).await;
    }
    assert_eq!(raw.response().await.status, 431);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_slow_head_is_408_and_a_dripping_one_too() {
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let (app, _sandbox) = before(&upstream.url(), only(|patience| patience.head = SOON)).await;
    let mut raw = app.connect().await;
    let response = raw.exchange("GET / HTTP/1.1\r\nHost: local").await;
    assert_eq!(response.status, 408);
    assert_eq!(response.json()["type"], "urn:maskinporten-proxy:request-timeout");
    assert!(raw.is_closed().await);

    // Each byte is in time; the head as a whole is not.
    let (mut reader, mut writer) = app.connect().await.into_inner().into_split();
    let dripping = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for byte in b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut answer = [0; 12];
    let reading = tokio::io::AsyncReadExt::read_exact(&mut reader, &mut answer);
    tokio::time::timeout(crate::support::LIMIT, reading).await.expect("in time").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
    dripping.abort();

    // On a connection that has served before, too.
    let mut raw = app.connect().await;
    assert_eq!(raw.exchange("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 200);
    assert_eq!(raw.exchange("GET / HT").await.status, 408);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() {
    let (release, released) = tokio::sync::watch::channel(false);
    let upstream = Scripted::start(move |mut peer, _| {
        let mut released = released.clone();
        async move {
            while let Some(head) = peer.head().await {
                if head.starts_with("GET /slow") {
                    released.wait_for(|go| *go).await.expect("a test");
                }
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let patience = only(|patience| patience.idle = 2 * SOON);
    let (app, _sandbox) = before(&upstream.url(), patience).await;
    let mut silent = app.connect().await;
    let mut served = app.connect().await;
    assert_eq!(served.exchange("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status, 200);
    let mut busy = app.connect().await;
    busy.write("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let http2 = H2Client::connect(app.proxy).await;
    assert_eq!(http2.get("http://localhost/").await.expect("an answer").status, 200);

    assert!(silent.is_closed().await && served.is_closed().await);
    let gone = async {
        while http2.get("http://localhost/").await.is_ok() {
            tokio::time::sleep(3 * SOON).await;
        }
    };
    tokio::time::timeout(crate::support::LIMIT, gone).await.expect("HTTP/2 idles no longer");
    release.send_replace(true);
    assert_eq!(busy.response().await.text(), "ok");
}

#[tokio::test]
async fn a_clients_body_that_does_not_move_is_408_and_one_that_does_is_not() {
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let (app, _sandbox) = before(&upstream.url(), only(|patience| patience.body = SOON)).await;
    let mut raw = app.connect().await;
    let response = raw.exchange("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(response.status, 408, "{}", response.text());
    assert!(upstream.seen().is_empty(), "no whole request was made of a part");

    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n").await;
    for _ in 0..10 {
        tokio::time::sleep(SOON / 5).await;
        raw.write("x").await;
    }
    assert_eq!(raw.response().await.status, 200, "twice the time in all, and never still");
}

#[tokio::test]
async fn an_upstreams_body_that_does_not_move_is_cut_and_one_that_does_is_not() {
    let upstream = Scripted::start(|mut peer, _| async move {
        let head = peer.head().await.expect("a head");
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..10 {
            tokio::time::sleep(SOON / 5).await;
            peer.write("1\r\nx\r\n").await;
        }
        if head.starts_with("GET /stuck") {
            peer.hung_up().await;
        }
        peer.write("0\r\n\r\n").await;
        peer.hung_up().await;
    })
    .await;
    let (app, _sandbox) = before(&upstream.url(), only(|patience| patience.body = SOON)).await;
    let response = app.get("/stuck").await;
    assert_eq!((response.text().as_str(), response.complete), ("xxxxxxxxxx", false));
    let response = app.get("/moving").await;
    assert_eq!((response.text().as_str(), response.complete), ("xxxxxxxxxx", true));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_and_its_upstream_let_go() {
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let gone = gone.clone();
        async move {
            use tokio::io::AsyncWriteExt;
            peer.head().await.expect("a head");
            let mut stream = peer.into_stream();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
            let _ = gone.send(());
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url(), only(|patience| patience.body = SOON)).await;
    let mut raw = app.connect().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    tokio::time::timeout(crate::support::LIMIT, is_gone.recv()).await.expect("in time").expect("an end");
}
