//! `/api/requests` and `/api/events`: each request as it happened, and whose fault it was.

use std::collections::{BTreeMap, BTreeSet};

use maskinporten_proxy::sandbox::Service;
use serde_json::Value;

use super::requests;
use crate::support::{Answer, Raw, Setup, Upstream, sandbox};

#[tokio::test]
async fn a_request_is_listed_with_the_promised_members() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/api", &upstream.url()).start().await;
    assert_eq!(app.get("/api/a%2Fb?x=1&access_token=hemmelig").await.status, 200);
    let entry = requests(&app, 1).await.remove(0);
    for (member, value) in [("method", "GET"), ("route", "api"), ("form", "origin")] {
        assert_eq!(entry[member], value, "{entry}");
    }
    assert_eq!(entry["path"], "/api/a%2Fb?x=1&access_token=***");
    assert_eq!(entry["host"], app.proxy.to_string());
    assert_eq!(
        (&entry["status"], &entry["failed"], &entry["detail"]),
        (&200.into(), &Value::Null, &Value::Null)
    );
    assert_eq!((&entry["bytes_in"], &entry["bytes_out"]), (&0.into(), &3.into()));
    assert!(entry["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{entry}");
    assert!(entry["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{entry}");
    assert!(entry["id"].as_str().is_some_and(|id| id.len() == 13), "{entry}");
}

#[tokio::test]
async fn failures_are_told_apart_by_whose_they_are() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| match seen.line().contains("/broken") {
        true => Answer::raw("HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"),
        false => Answer::Silence,
    })
    .await;
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let app = Setup::new(&sandbox)
        .route("api", "/api", &upstream.url())
        .route("down", "/down", &format!("http://{closed}"))
        .route_with("wrong", "/wrong", &upstream.url(), "scopes = [\"demo:vaer.read\"]")
        .start_cold()
        .await;
    let host = format!("Host: {}\r\n", app.proxy);
    let cases = [
        ("client", format!("GET /api/../../x HTTP/1.1\r\n{host}\r\n"), 400),
        ("client", format!("GET /nowhere HTTP/1.1\r\n{host}\r\n"), 404),
        ("guard", "GET /api/x HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 403),
        ("guard", format!("GET /api/x HTTP/1.1\r\n{host}Origin: https://evil.example\r\n\r\n"), 403),
        ("token", format!("GET /wrong/x HTTP/1.1\r\n{host}\r\n"), 502),
        ("upstream", format!("GET /down/x HTTP/1.1\r\n{host}\r\n"), 502),
        ("upstream", format!("GET /api/broken HTTP/1.1\r\n{host}\r\n"), 503),
    ];
    let mut instances = BTreeMap::new();
    for (number, (failed, request, status)) in cases.iter().enumerate() {
        let answer = app.raw(request).await;
        assert_eq!(answer.status, *status, "{request}: {}", answer.text());
        let entry = requests(&app, number + 1).await.remove(0);
        assert_eq!(entry["failed"], *failed, "{request}: {entry}");
        assert_eq!(entry["status"], *status);
        let own = answer.header("content-type") == Some("application/problem+json");
        if own {
            let problem = answer.json();
            assert_eq!(problem["instance"], entry["id"], "{problem}");
            assert_eq!(problem["detail"], entry["detail"]);
            instances.insert(entry["id"].to_string(), number);
        }
    }
    assert_eq!(instances.len(), cases.len() - 1, "every answer of the proxy's own has an id of its own");

    // One that leaves before there is an answer.
    let mut client = Raw::connect(app.proxy).await;
    client.write(format!("GET /api/silence HTTP/1.1\r\n{host}\r\n")).await;
    upstream.wait_for(2).await;
    drop(client);
    let entry = requests(&app, cases.len() + 1).await.remove(0);
    assert_eq!((&entry["failed"], &entry["status"]), (&"client".into(), &Value::Null), "{entry}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_is_told_from_an_upstream_that_does() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";
        match seen.line().contains("/breaks") {
            true => Answer::last(head),
            false => Answer::raw(head),
        }
    })
    .await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let broken = app.get("/breaks").await;
    assert!(!broken.complete);
    let entry = requests(&app, 1).await.remove(0);
    assert_eq!((&entry["failed"], &entry["status"]), (&"upstream".into(), &200.into()), "{entry}");

    let mut client = Raw::connect(app.proxy).await;
    client.write(format!("GET /hangs HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
    client.until(b"12345").await.expect("the first half");
    drop(client);
    let entry = requests(&app, 2).await.remove(0);
    assert_eq!((&entry["failed"], &entry["status"]), (&"client".into(), &200.into()), "{entry}");
    assert_eq!(entry["bytes_out"], 5);
}

#[tokio::test]
async fn answers_without_a_body_are_no_failures() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| match seen.line().split(' ').nth(1) {
        Some("/304") => Answer::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"),
        Some("/204") => Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        Some("/head") => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        Some("/chunked") => {
            Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhei\r\n0\r\n\r\n")
        }
        _ => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    })
    .await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let mut client = app.connect().await;
    for request in ["GET /304", "GET /204", "HEAD /head", "GET /chunked", "GET /empty"] {
        client.write(format!("{request} HTTP/1.1\r\nHost: {}\r\n\r\n", app.proxy)).await;
        client.response_to(request.split(' ').next().expect("a method")).await;
    }
    for entry in requests(&app, 5).await {
        assert_eq!(entry["failed"], Value::Null, "{entry}");
    }
}

#[tokio::test]
async fn bodies_are_counted_in_both_directions() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| Answer::ok(&"x".repeat(seen.body.len() / 2))).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let host = app.proxy;
    let big = "a".repeat(200_000);
    let whole = format!("POST /big HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{big}", big.len());
    let pieces = format!(
        "PUT /pieces HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"
    );
    for (number, (request, bytes_in)) in [(whole, 200_000), (pieces, 8)].into_iter().enumerate() {
        assert_eq!(app.raw(&request).await.body.len(), bytes_in / 2);
        let entry = requests(&app, number + 1).await.remove(0);
        assert_eq!(
            (&entry["bytes_in"], &entry["bytes_out"]),
            (&bytes_in.into(), &(bytes_in / 2).into()),
            "{entry}"
        );
    }
}

/// The body is held and sent twice; it came once.
#[tokio::test]
async fn a_body_that_is_sent_again_counts_once() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    sandbox.control().revoke_tokens();
    let request = format!("POST /echo/x HTTP/1.1\r\nHost: {}\r\nContent-Length: 4\r\n\r\nabcd", app.proxy);
    let answer = app.raw(&request).await;
    assert_eq!((answer.status, &answer.json()["body"]["length"]), (200, &4.into()));
    assert_eq!(sandbox.control().counts().api_requests, 2);
    let entry = requests(&app, 1).await.remove(0);
    assert_eq!((&entry["bytes_in"], &entry["failed"]), (&4.into(), &Value::Null), "{entry}");
}

#[tokio::test]
async fn a_trace_goes_through_unchanged_and_is_listed() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("")).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let (trace, state) =
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE,rojo=1");
    app.raw(&format!(
        "GET / HTTP/1.1\r\nHost: {}\r\ntraceparent: {trace}\r\ntracestate: {state}\r\n\r\n",
        app.proxy
    ))
    .await;
    app.raw(&format!("GET / HTTP/1.1\r\nHost: {}\r\ntraceparent: 00-zz-01\r\n\r\n", app.proxy)).await;
    app.get("/").await;
    let seen = upstream.seen();
    assert_eq!((seen[0].header("traceparent"), seen[0].header("tracestate")), (Some(trace), Some(state)));
    // What is malformed is the next reader's to judge, and none is made up.
    assert_eq!((seen[1].header("traceparent"), seen[2].header("traceparent")), (Some("00-zz-01"), None));
    let ids: Vec<Value> =
        requests(&app, 3).await.iter().rev().map(|entry| entry["trace_id"].clone()).collect();
    assert_eq!(ids, ["4bf92f3577b34da6a3ce929d0e0e4736".into(), Value::Null, Value::Null]);
}

#[tokio::test]
async fn requests_are_told_live() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    let mut events = Raw::connect(app.admin).await;
    events.write(format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", app.admin)).await;
    let head = String::from_utf8(events.until(b"\r\n\r\n").await.expect("a head")).expect("ASCII");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    events.until(b": live\n\n").await.expect("a sign of life");

    let mut ids = BTreeSet::new();
    for number in 0..3 {
        assert_eq!(app.get(&format!("/echo/{number}")).await.status, 200);
        events.until(b"data: ").await.expect("an event");
        let data = events.until(b"\n\n").await.expect("its end");
        let entry: Value = serde_json::from_slice(&data).expect("JSON");
        assert_eq!((&entry["path"], &entry["status"]), (&format!("/echo/{number}").into(), &200.into()));
        assert!(ids.insert(entry["id"].to_string()));
    }
    let listed: BTreeSet<String> =
        requests(&app, 3).await.iter().map(|entry| entry["id"].to_string()).collect();
    assert_eq!(ids, listed);
    assert_eq!(sandbox.control().counts().api_requests, 3);
    sandbox.control().faults().clear(Service::Api);
}

/// A browser that leaves makes room for others.
#[tokio::test]
async fn closed_streams_do_not_use_up_the_places() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("echo", "/echo", &sandbox.echo_url()).start().await;
    for round in 0..4 {
        let mut streams = Vec::new();
        for _ in 0..16 {
            let mut stream = Raw::connect(app.admin).await;
            stream.write(format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", app.admin)).await;
            let head = stream.until(b"\r\n\r\n").await.expect("a head");
            assert!(head.starts_with(b"HTTP/1.1 200 "), "round {round}: {}", String::from_utf8_lossy(&head));
            streams.push(stream);
        }
        drop(streams);
        // The listener learns of it when it next writes.
        app.get("/echo/x").await;
        requests(&app, round + 1).await;
    }
}
