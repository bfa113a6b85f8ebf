//! Bodies of any length: at once, in bounded memory, at the pace of the slower side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use maskinporten_proxy::sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{App, H2Client, Scripted, Setup, sandbox};

/// What passes in the tests of backpressure, and how much of it may be under way at once: in the
/// proxy, and in the buffers that the kernel gives four sockets on loopback.
const LENGTH: u64 = 256 << 20;
const MOST_UNDER_WAY: u64 = 48 << 20;

async fn before(upstream: &str) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("api", "/", upstream).start().await;
    (app, sandbox)
}

/// An upstream that sends an event each time it is told to.
async fn events(head: &'static str, chunked: bool) -> (Scripted, tokio::sync::mpsc::UnboundedSender<String>) {
    let (tell, told) = unbounded_channel::<String>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Scripted::start(move |mut peer, _| {
        let told = Arc::clone(&told);
        async move {
            peer.head().await.expect("a head");
            peer.write(head).await;
            let mut told = told.lock().await;
            while let Some(event) = told.recv().await {
                if event.is_empty() {
                    return;
                }
                let event = format!("data: {event}\n\n");
                match chunked {
                    true => peer.write(format!("{:x}\r\n{event}\r\n", event.len())).await,
                    false => peer.write(event).await,
                }
            }
        }
    })
    .await;
    (upstream, tell)
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one() {
    for (head, chunked) in [
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", false),
    ] {
        let (upstream, tell) = events(head, chunked).await;
        let (app, _sandbox) = before(&upstream.url()).await;
        let mut raw = app.connect().await;
        raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n").await;
        let head = raw.until(b"\r\n\r\n").await.expect("the head comes ahead of the first event");
        assert!(String::from_utf8_lossy(&head).contains("text/event-stream"));
        for number in 0..50 {
            // The next is told only when this one has arrived.
            tell.send(number.to_string()).expect("an upstream");
            raw.until(format!("data: {number}\n\n").as_bytes()).await.expect("the event");
        }
    }
}

#[tokio::test]
async fn server_sent_events_arrive_one_by_one_over_http2() {
    let (upstream, tell) = events("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    let mut send = client.0.clone().ready().await.expect("room");
    let request = http::Request::get("http://localhost/").body(()).expect("a request");
    let mut body = send.send_request(request, true).expect("a stream").0.await.expect("a head").into_body();
    for number in 0..50 {
        tell.send(number.to_string()).expect("an upstream");
        let event = format!("data: {number}\n\n");
        let mut got = Vec::new();
        while got.len() < event.len() {
            let data = tokio::time::timeout(crate::support::LIMIT, body.data()).await.expect("in time");
            got.extend_from_slice(&data.expect("more").expect("data"));
        }
        assert_eq!(got, event.as_bytes());
    }
}

#[tokio::test]
async fn a_request_body_passes_piece_by_piece() {
    let (got, mut pieces) = unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let got = got.clone();
        async move {
            peer.head().await.expect("a head");
            while let Some(bytes) = peer.some().await {
                got.send(bytes).expect("a test");
            }
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for number in 10..60 {
        raw.write(format!("4\r\n<{number}>\r\n")).await;
        let mut seen = String::new();
        while !seen.contains(&format!("<{number}>")) {
            seen.push_str(&String::from_utf8_lossy(&pieces.recv().await.expect("a piece")));
        }
    }
}

/// Waits until a counter has stopped: the side that counts is held back.
async fn settled(counter: &AtomicU64) -> u64 {
    let mut last = counter.load(Ordering::SeqCst);
    loop {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let now = counter.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_a_fast_upstream_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let upstream = Scripted::start(move |mut peer, _| {
        let count = Arc::clone(&count);
        async move {
            peer.head().await.expect("a head");
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
            let mut stream = peer.into_stream();
            let piece = vec![b'x'; 64 << 10];
            for _ in 0..LENGTH / (64 << 10) {
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
                count.fetch_add(64 << 10, Ordering::SeqCst);
            }
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.until(b"\r\n\r\n").await.expect("a head");
    let under_way = settled(&sent).await;
    assert!(under_way < MOST_UNDER_WAY, "{under_way} bytes are held for a client that reads none");

    // From here on at full speed, and nowhere is more under way than at the start.
    let mut read = raw.buffered() as u64;
    let mut stream = raw.into_inner();
    let mut space = vec![0; 256 << 10];
    while read < LENGTH {
        let here = stream.read(&mut space).await.expect("bytes");
        assert!(here > 0, "ended after {read}");
        read += here as u64;
        let under_way = sent.load(Ordering::SeqCst).saturating_sub(read);
        assert!(under_way < MOST_UNDER_WAY, "{under_way} bytes are under way after {read}");
    }
    assert_eq!(read, LENGTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upstream_holds_a_fast_client_back() {
    let received = Arc::new(AtomicU64::new(0));
    let (go, gone) = tokio::sync::watch::channel(false);
    let count = Arc::clone(&received);
    let upstream = Scripted::start(move |mut peer, _| {
        let (count, mut gone) = (Arc::clone(&count), gone.clone());
        async move {
            peer.head().await.expect("a head");
            gone.wait_for(|go| *go).await.expect("a test");
            while count.load(Ordering::SeqCst) < LENGTH {
                let bytes = peer.some().await.expect("bytes");
                count.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            }
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
            peer.hung_up().await;
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    let (mut reader, mut writer) = raw.into_inner().into_split();
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let upload = tokio::spawn(async move {
        let piece = vec![b'x'; 64 << 10];
        while count.load(Ordering::SeqCst) < LENGTH {
            writer.write_all(&piece).await.expect("a written piece");
            count.fetch_add(64 << 10, Ordering::SeqCst);
        }
        writer
    });
    let under_way = settled(&sent).await;
    assert!(under_way < MOST_UNDER_WAY, "{under_way} bytes are held for an upstream that reads none");
    go.send_replace(true);
    let mut answer = [0; 4096];
    let count = tokio::time::timeout(4 * crate::support::LIMIT, reader.read(&mut answer)).await;
    let count = count.expect("an answer in time").expect("an answer");
    assert!(answer[..count].ends_with(b"done"), "{}", String::from_utf8_lossy(&answer[..count]));
    assert_eq!(received.load(Ordering::SeqCst), LENGTH);
    upload.await.expect("no panic");
}
