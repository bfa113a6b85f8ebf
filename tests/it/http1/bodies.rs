//! Bodies, their framing, and interim responses.

use tokio::sync::mpsc;

use crate::support::{Answer, App, Scripted, Setup, Upstream, sandbox};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn before(upstream: &str) -> App {
    let sandbox = sandbox().await;
    // The tokens outlive the sandbox by far.
    Setup::new(&sandbox).route("api", "/", upstream).start().await
}

#[tokio::test]
async fn a_chunked_body_passes_also_on_get_and_delete() {
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = before(&upstream.url()).await;
    for method in ["GET", "DELETE", "POST", "OPTIONS"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
             5;ext=1\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n"
        );
        assert_eq!(app.raw(&request).await.status, 200, "{method}");
        let seen = upstream.seen().pop().expect("a request");
        assert_eq!(seen.body, b"hello world", "{method}");
        assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
        assert_eq!(seen.header("content-length"), None);
    }
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(app.raw(request).await.status, 200);
    let seen = upstream.seen().pop().expect("a request");
    assert_eq!((seen.body.as_slice(), seen.header("content-length")), (&b"body"[..], Some("4")));
}

#[tokio::test]
async fn an_empty_body_is_neither_invented_nor_lost() {
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = before(&upstream.url()).await;
    for (lines, length) in [("", None), ("Content-Length: 0\r\n", Some("0"))] {
        for method in ["GET", "DELETE", "PUT"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
            assert_eq!(app.raw(&request).await.status, 200);
            let seen = upstream.seen().pop().expect("a request");
            assert_eq!(seen.header("transfer-encoding"), None, "{method} {lines}");
            if method != "PUT" {
                assert_eq!(seen.header("content-length"), length, "{method} {lines}");
            }
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_as_trailers() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n\
                   2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Other: 8\r\n\r\n";
    let upstream = Upstream::always(Answer::raw(chunked)).await;
    let app = before(&upstream.url()).await;
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-In\r\n\
                   Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-In: 1\r\nX-Undeclared: 2\r\n\r\n";
    let response = app.raw(request).await;
    assert_eq!(response.text(), "ok");
    let trailers: Vec<String> = response.trailers.iter().map(|line| line.to_ascii_lowercase()).collect();
    assert_eq!(trailers, ["x-sum: 7", "x-other: 8"]);
    assert!(response.header("x-sum").is_none());
    let seen = upstream.seen().remove(0);
    assert!(seen.trailers.to_ascii_lowercase().contains("x-in: 1"), "{}", seen.trailers);
    assert!(seen.headers("x-in").is_empty() && seen.headers("x-undeclared").is_empty());

    // To a client that did not ask for them they do not go, and the body ends all the same.
    let response = app.get("/").await;
    assert_eq!((response.text().as_str(), response.complete), ("ok", true));
    assert!(response.trailers.is_empty());
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_keep_their_length() {
    let upstream = Upstream::start(|_, seen| {
        let status = seen.line().split(['/', ' ']).nth(2).expect("a status").to_owned();
        let length = if status == "204" { "" } else { "Content-Length: 1234\r\n" };
        Answer::raw(&format!("HTTP/1.1 {status} Some\r\n{length}ETag: \"x\"\r\n\r\n"))
    })
    .await;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    for (method, status, length) in [
        ("HEAD", 200, Some("1234")),
        ("GET", 304, Some("1234")),
        ("HEAD", 304, Some("1234")),
        ("GET", 204, None),
        ("HEAD", 404, Some("1234")),
    ] {
        raw.write(format!("{method} /{status} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let response = raw.response_to(method).await;
        assert_eq!(response.status, status, "{method}");
        assert_eq!(response.header("content-length"), length, "{method} {status}");
        assert_eq!(response.header("transfer-encoding"), None, "{method} {status}");
        assert_eq!(response.header("etag"), Some("\"x\""));
    }
    assert_eq!(upstream.seen().last().expect("a request").connection, 0, "one connection carried them all");
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_chunked_for_11_and_closed_for_10() {
    let upstream = Upstream::always(Answer::last("HTTP/1.1 200 OK\r\n\r\nto the end")).await;
    let app = before(&upstream.url()).await;
    let response = app.get("/").await;
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!((response.text().as_str(), response.complete), ("to the end", true));
    let response = app.raw("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(response.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
    assert_eq!(response.text(), "to the end");
}

#[tokio::test]
async fn an_expectation_is_answered_by_the_upstream_that_wants_the_body() {
    let (events, mut seen) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let events = events.clone();
        async move {
            let head = peer.head().await.expect("a head");
            events.send(head).expect("a test");
            peer.write("HTTP/1.1 100 Continue\r\n\r\n").await;
            let body = peer.exactly(5).await.expect("the body");
            events.send(String::from_utf8(body).expect("text")).expect("a test");
            peer.write(OK).await;
            peer.hung_up().await;
        }
    })
    .await;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    let interim = raw.any_response("POST").await;
    assert_eq!(interim.status, 100);
    assert!(seen.recv().await.expect("a head").to_ascii_lowercase().contains("expect: 100-continue"));
    raw.write("hello").await;
    assert_eq!(raw.response().await.text(), "ok");
    assert_eq!(seen.recv().await.expect("a body"), "hello");
}

#[tokio::test]
async fn an_expectation_that_is_refused_costs_no_body_and_no_deadlock() {
    let upstream = Scripted::start(|mut peer, _| async move {
        while peer.head().await.is_some() {
            peer.write("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch").await;
        }
    })
    .await;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 500000\r\n\r\n")
        .await;
    let response = raw.any_response("POST").await;
    assert_eq!((response.status, response.text().as_str()), (413, "much"));
    // The client may now send the body or not; either way the next request is not read from it.
    raw.write("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(raw.is_closed().await, "a body that never came leaves nothing to go on with");
}

#[tokio::test]
async fn an_expectation_that_is_ignored_gets_its_body_all_the_same() {
    let upstream = Scripted::start(|mut peer, _| async move {
        peer.head().await.expect("a head");
        // Servers of the HTTP/1.0 kind know no 100.
        let body = peer.exactly(5).await.expect("the body");
        assert_eq!(body, b"hello");
        peer.write(OK).await;
        peer.hung_up().await;
    })
    .await;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(raw.any_response("POST").await.status, 100);
    raw.write("hello").await;
    assert_eq!(raw.response().await.text(), "ok");
}

#[tokio::test]
async fn early_hints_pass_ahead_of_the_answer() {
    let upstream = Scripted::start(|mut peer, _| async move {
        peer.head().await.expect("a head");
        peer.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n").await;
        peer.write("HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n").await;
        peer.write(OK).await;
        peer.hung_up().await;
    })
    .await;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    for link in ["</a.css>; rel=preload", "</b.css>; rel=preload"] {
        let early = raw.any_response("GET").await;
        assert_eq!((early.status, early.header("link")), (103, Some(link)));
        assert_eq!(early.header("connection"), None);
    }
    assert_eq!(raw.any_response("GET").await.text(), "ok");

    // HTTP/1.0 has no interim responses (RFC 9110 §15.2).
    let mut raw = app.connect().await;
    raw.write("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.any_response("GET").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_comes_ahead_of_the_body_passes_at_once() {
    let (finish, finished) = mpsc::unbounded_channel::<Vec<u8>>();
    let upstream = Scripted::start(move |mut peer, _| {
        let finish = finish.clone();
        async move {
            peer.head().await.expect("a head");
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
            let body = peer.exactly(10).await.expect("the body");
            finish.send(body).expect("a test");
            peer.write("4\r\nlast\r\n0\r\n\r\n").await;
            peer.hung_up().await;
        }
    })
    .await;
    let mut finished = finished;
    let app = before(&upstream.url()).await;
    let mut raw = app.connect().await;
    raw.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234").await;
    raw.until(b"first\r\n").await.expect("the first half of the answer");
    raw.write("56789").await;
    assert_eq!(finished.recv().await.expect("a body"), b"0123456789");
    raw.until(b"last\r\n0\r\n\r\n").await.expect("the second half");
}
