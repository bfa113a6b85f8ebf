//! Responses on their way to the client.

use crate::support::{Answer, App, RawResponse, Setup, Upstream, sandbox};

async fn answering(answer: Answer) -> (App, Upstream) {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(answer).await;
    let app = Setup::new(&sandbox).route("api", "/api", &format!("{}/v1", upstream.url())).start().await;
    (app, upstream)
}

fn is_ours(response: &RawResponse) -> bool {
    response.header("proxy-status").is_some_and(|value| value.contains("error="))
}

#[tokio::test]
async fn every_status_passes_as_the_upstreams_own() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| {
        let status = seen.line().split('/').nth(2).expect("a status").split(' ').next().expect("one").to_owned();
        Answer::raw(&format!(
            "HTTP/1.1 {status} Its Own Reason\r\nContent-Length: 4\r\nWWW-Authenticate: Bearer error=\"x\"\r\n\
             Location: https://elsewhere.example/\r\nRetry-After: 7\r\n\r\nbody"
        ))
    })
    .await;
    let app = Setup::new(&sandbox).route("api", "/api", &format!("{}/v1", upstream.url())).start().await;
    for status in [
        200, 201, 206, 299, 301, 302, 303, 307, 308, 400, 403, 404, 407, 418, 421, 429, 500, 502, 503, 504,
        599,
    ] {
        let response = app.get(&format!("/api/{status}")).await;
        assert_eq!((response.status, response.text().as_str()), (status, "body"));
        assert!(
            response.head.starts_with(&format!("HTTP/1.1 {status} Its Own Reason\r\n")),
            "{}",
            response.head
        );
        assert_eq!(response.header("location"), Some("https://elsewhere.example/"));
        assert_eq!(response.header("www-authenticate"), Some("Bearer error=\"x\""));
        assert_eq!(response.header("retry-after"), Some("7"));
        assert!(!is_ours(&response), "{}", response.head);
    }
    assert_eq!(upstream.seen().len(), 21, "redirects are never followed");
}

#[tokio::test]
async fn fields_pass_but_for_those_of_the_connection() {
    let (app, _upstream) = answering(Answer::raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nServer: odd\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nVia: 1.0 far\r\nProxy-Status: far.example; http-status=200\r\n\
         Content-Encoding: gzip\r\nX-Latin: s\u{e6}\r\n\r\nok",
    ))
    .await;
    let response = app.get("/api").await;
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert!(response.headers(gone).is_empty(), "{gone}: {}", response.head);
    }
    assert_eq!(response.headers("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(response.header("server"), Some("odd"));
    assert_eq!(response.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.header("x-latin"), Some("s\u{e6}"));
    assert_eq!(response.header("proxy-status"), Some("far.example; http-status=200"));
    let via = response.headers("via").join(", ");
    assert!(via.starts_with("1.0 far, 1.1 maskinporten-proxy-"), "{via}");
}

#[tokio::test]
async fn locations_into_the_upstream_lead_to_the_proxy_and_others_stay() {
    let sandbox = sandbox().await;
    // The answer's Location is what the request's query says.
    let upstream = Upstream::start(|_, seen| {
        let (_, query) = seen.line().split_once('?').expect("a query");
        let location = query.split(' ').next().expect("a value");
        Answer::raw(&format!(
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\nContent-Location: {location}\r\n\r\n"
        ))
    })
    .await;
    let app = Setup::new(&sandbox).route("api", "/api", &format!("{}/v1", upstream.url())).start().await;
    let base = upstream.url();
    let network = upstream.address;
    for (location, expected) in [
        (format!("{base}/v1/x?a=b"), "http://proxy.localhost:99/api/x?a=b".to_owned()),
        (format!("{base}/v1"), "http://proxy.localhost:99/api".to_owned()),
        ("/v1/x%2Fy".to_owned(), "/api/x%2Fy".to_owned()),
        (format!("//{network}/v1/x"), "//proxy.localhost:99/api/x".to_owned()),
        ("relative/x".to_owned(), "relative/x".to_owned()),
        ("/v1x".to_owned(), "/v1x".to_owned()),
        ("/v1/../admin".to_owned(), "/v1/../admin".to_owned()),
        ("https://other.example/v1/x".to_owned(), "https://other.example/v1/x".to_owned()),
        (format!("https://{network}/v1/x"), format!("https://{network}/v1/x")),
        (format!("http://user@{network}/v1/x"), format!("http://user@{network}/v1/x")),
    ] {
        let request = format!("GET /api/a?{location} HTTP/1.1\r\nHost: proxy.localhost:99\r\n\r\n");
        let response = app.raw(&request).await;
        assert_eq!(response.status, 302, "{location}: {}", response.text());
        assert_eq!(response.header("location"), Some(expected.as_str()), "{location}");
        assert_eq!(response.header("content-location"), Some(expected.as_str()), "{location}");
    }
}

#[tokio::test]
async fn an_answer_that_two_readers_may_read_differently_is_502_and_ends_its_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: a\u{0}b\r\nContent-Length: 3\r\n\r\nabc",
        "ICY 200 OK\r\n\r\nabc",
        "HTTP/1.1 OK\r\n\r\n",
        "\r\n\r\n<html>",
    ] {
        let sandbox = sandbox().await;
        let first = answer.to_owned();
        let upstream = Upstream::start(move |number, seen| match number {
            0 => Answer::raw(&first),
            _ => Answer::ok(seen.line()),
        })
        .await;
        let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
        let response = app.raw("POST /1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(response.status, 502, "{answer:?}: {}", response.text());
        assert!(response.text().contains("urn:maskinporten-proxy:upstream-"), "{answer:?}");
        assert!(is_ours(&response), "{answer:?}");
        let next = app.get("/2").await;
        assert_eq!(next.text(), "GET /2 HTTP/1.1", "the next gets its own answer after {answer:?}");
        let seen = upstream.seen();
        assert_ne!(seen[0].connection, seen[1].connection, "used again after {answer:?}");
    }
}

#[tokio::test]
async fn what_follows_an_answer_unasked_is_nobodys_answer() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|number, seen| match number {
        0 => Answer::raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ),
        _ => Answer::ok(seen.line()),
    })
    .await;
    let app = Setup::new(&sandbox).with_top("").route("api", "/", &upstream.url()).start().await;
    assert_eq!(app.get("/1").await.text(), "ok");
    for number in 2..8 {
        assert_eq!(app.get(&format!("/{number}")).await.text(), format!("GET /{number} HTTP/1.1"));
    }
}

#[tokio::test]
async fn an_unasked_for_switch_of_protocols_is_502() {
    let (app, _upstream) = answering(Answer::raw(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nnot http",
    ))
    .await;
    let response = app.get("/api").await;
    assert_eq!(response.status, 502);
    assert!(response.text().contains("urn:maskinporten-proxy:upgrade-failed"), "{}", response.text());
}

#[tokio::test]
async fn a_large_head_is_relayed_and_an_endless_one_is_502() {
    let fields: String = (0..90).map(|number| format!("X-Field-{number}: {}\r\n", "v".repeat(500))).collect();
    let (app, _upstream) =
        answering(Answer::raw(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok"))).await;
    let response = app.get("/api").await;
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    assert_eq!(response.header("x-field-89").map(str::len), Some(500));

    let endless = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "v".repeat(1_000_000));
    let (app, _upstream) = answering(Answer::raw(&endless)).await;
    assert_eq!(app.get("/api").await.status, 502);
}
