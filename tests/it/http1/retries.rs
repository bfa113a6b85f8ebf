//! What is sent again, and what never is.

use crate::support::{Answer, Scripted, Setup, Upstream, sandbox};

const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Bearer\r\n\r\nno";

#[tokio::test]
async fn a_401_is_answered_with_one_new_token_where_the_body_is_still_held() {
    let sandbox = sandbox().await;
    let upstream =
        Upstream::start(
            |number, _| if number % 2 == 0 { Answer::raw(UNAUTHORIZED) } else { Answer::ok("yes") },
        )
        .await;
    for (name, request, body) in [
        ("no body", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 0),
        (
            "a small body",
            format!(
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n{}",
                "x".repeat(65_536)
            ),
            65_536,
        ),
        (
            "a chunked body",
            "PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                .to_owned(),
            5,
        ),
    ] {
        // A proxy of its own for each: fetches are damped after a refusal.
        let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
        let before = (upstream.seen().len(), sandbox.control().counts().token_requests);
        let response = app.raw(&request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "yes"), "{name}");
        let seen = &upstream.seen()[before.0..];
        assert_eq!(seen.len(), 2, "{name}");
        assert_eq!(seen[0].line(), seen[1].line());
        assert_eq!((seen[0].body.len(), &seen[0].body), (body, &seen[1].body), "{name}");
        assert_ne!(seen[0].header("authorization"), seen[1].header("authorization"), "{name}");
        assert_eq!(sandbox.control().counts().token_requests, before.1 + 1, "{name}");
    }
}

#[tokio::test]
async fn a_401_to_a_long_body_passes_and_the_next_request_has_a_new_token() {
    let sandbox = sandbox().await;
    let upstream =
        Upstream::start(|number, _| if number == 0 { Answer::raw(UNAUTHORIZED) } else { Answer::ok("yes") })
            .await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let body = "x".repeat(65_537);
    let request =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let response = app.raw(&request).await;
    assert_eq!((response.status, response.text().as_str()), (401, "no"));
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    assert_eq!(response.header("proxy-status"), None, "it is the upstream's own");
    assert_eq!(app.get("/").await.status, 200);
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].header("authorization"), seen[1].header("authorization"));
}

#[tokio::test]
async fn a_second_401_passes_and_no_token_is_fetched_for_each() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::raw(UNAUTHORIZED)).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let before = sandbox.control().counts().token_requests;
    for _ in 0..10 {
        let response = app.get("/").await;
        assert_eq!((response.status, response.text().as_str()), (401, "no"));
    }
    let fetched = sandbox.control().counts().token_requests - before;
    assert!(fetched <= 2, "{fetched} tokens for ten refusals");
}

/// An upstream that keeps a connection for one exchange and closes it when it gets the second
/// request, without a byte of an answer.
async fn closing() -> (Scripted, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (log, lines) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let log = log.clone();
        async move {
            for first in [true, false] {
                let Some(head) = peer.head().await else { return };
                let body = head.to_ascii_lowercase().contains("content-length: 4");
                if body {
                    peer.exactly(4).await.expect("the body");
                }
                let _ = log.send(head.lines().next().expect("a line").to_owned());
                if first {
                    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
            }
        }
    })
    .await;
    (upstream, lines)
}

#[tokio::test]
async fn a_get_that_races_the_upstreams_close_succeeds() {
    let sandbox = sandbox().await;
    let (upstream, mut lines) = closing().await;
    let app = Setup::new(&sandbox)
        .replace("threads = 2", "threads = 1")
        .route("api", "/", &upstream.url())
        .start()
        .await;
    for request in [
        "GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PUT /3 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody",
        "DELETE /4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let response = app.raw(request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{request}");
    }
    drop(app);
    drop(upstream);
    let mut seen = Vec::new();
    while let Some(line) = lines.recv().await {
        seen.push(line.split(' ').nth(1).expect("a target").to_owned());
    }
    assert_eq!(
        seen,
        ["/1", "/2", "/2", "/3", "/3", "/4", "/4"],
        "each was tried once more on a new connection"
    );
}

#[tokio::test]
async fn a_post_whose_bytes_went_out_is_never_sent_twice() {
    let sandbox = sandbox().await;
    let (upstream, mut lines) = closing().await;
    let app = Setup::new(&sandbox)
        .replace("threads = 2", "threads = 1")
        .route("api", "/", &upstream.url())
        .start()
        .await;
    assert_eq!(app.get("/1").await.status, 200);
    for method in ["POST", "PATCH"] {
        let request = format!("{method} /2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
        let response = app.raw(&request).await;
        assert_eq!(response.status, 502, "{method}: {}", response.text());
        assert!(response.text().contains("urn:maskinporten-proxy:upstream-closed"), "{}", response.text());
        assert_eq!(app.get("/3").await.status, 200);
    }
    drop(app);
    drop(upstream);
    let mut seen = Vec::new();
    while let Some(line) = lines.recv().await {
        seen.push(line.split(" HTTP").next().expect("a line").to_owned());
    }
    assert_eq!(seen.iter().filter(|line| line.starts_with("POST")).count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|line| line.starts_with("PATCH")).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_post_on_a_connection_that_was_closed_while_it_idled_goes_out_once() {
    let sandbox = sandbox().await;
    // Says that it keeps the connection, and closes it.
    let upstream =
        Upstream::start(|_, _| Answer::last("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await;
    let app = Setup::new(&sandbox)
        .replace("threads = 2", "threads = 1")
        .route("api", "/", &upstream.url())
        .start()
        .await;
    for number in 0..20 {
        let request = format!("POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
        let response = app.raw(&request).await;
        // The close may overtake the request; then it is told, and not guessed about.
        assert!(matches!(response.status, 200 | 502), "{}", response.text());
        let lines: Vec<String> = upstream.seen().iter().map(|seen| seen.line().to_owned()).collect();
        let times = lines.iter().filter(|line| line.contains(&format!("/{number} "))).count();
        assert!(times <= 1, "{lines:?}");
    }
}
