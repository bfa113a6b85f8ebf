//! HTTP/2: from clients, by prior knowledge or ALPN, and to upstreams that offer it.

use http::{HeaderMap, Request};
use maskinporten_proxy::sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    Answer, App, Authority, H2Client, H2Upstream, Scripted, Setup, Upstream, private, sandbox,
};

async fn before(upstream: &str) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox).route("api", "/", upstream).start().await;
    (app, sandbox)
}

/// A proxy that trusts `authority` in front of these upstreams, at `/0`, `/1`, …
async fn trusting(authority: &Authority, upstreams: &[String]) -> (App, Sandbox) {
    let sandbox = sandbox().await;
    let mut setup = Setup::new(&sandbox).replace("threads = 2", "threads = 1");
    authority.write(setup.dir());
    for (number, upstream) in upstreams.iter().enumerate() {
        setup = setup.route(&format!("api{number}"), &format!("/{number}"), upstream);
    }
    let app = setup.with("\n[upstream]\nca_file = \"ca.pem\"\n").start().await;
    (app, sandbox)
}

#[tokio::test]
async fn a_client_with_prior_knowledge_is_served_on_one_connection() {
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    let requests = (0..50).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { (number, client.get(&format!("http://localhost/{number}")).await) })
    });
    for request in requests.collect::<Vec<_>>() {
        let (number, response) = request.await.expect("no panic");
        let response = response.expect("an answer");
        assert_eq!((response.status, response.text()), (200, format!("GET /{number} HTTP/1.1")));
        assert!(response.header("via").expect("Via").starts_with("1.1 maskinporten-proxy"));
        assert!(response.headers.get("connection").is_none());
    }
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.header("host"), Some(upstream.address.to_string().as_str()));
    assert!(seen.header("via").expect("Via").starts_with("2 maskinporten-proxy"));
    assert!(seen.header("authorization").expect("one").starts_with("Bearer ey"));
}

#[tokio::test]
async fn cookies_of_http2_are_joined_for_an_http1_upstream() {
    let upstream = Upstream::always(Answer::ok("")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let request = Request::get("http://localhost/")
        .header("cookie", "a=1")
        .header("cookie", "b=2; c=3")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    H2Client::connect(app.proxy).await.exchange(request, &[], None).await.expect("an answer");
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.header("cookie"), Some("a=1; b=2; c=3"));
    assert_eq!(seen.header("te"), Some("trailers"));
    assert_eq!(seen.header("transfer-encoding"), None);
}

#[tokio::test]
async fn bodies_trailers_and_lengths_cross_the_versions() {
    let upstream = Upstream::start(|_, seen| match seen.line().split(' ').next() {
        Some("HEAD") => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        Some("GET") => Answer::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
        _ => Answer::raw(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n",
        ),
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    let trailers: HeaderMap = [("x-in", "1"), ("authorization", "evil")]
        .map(|(n, v)| (n.parse().expect("n"), v.parse().expect("v")))
        .into_iter()
        .collect();
    let request = Request::post("http://localhost/x").header("trailer", "x-in, authorization").body(());
    let response =
        client.exchange(request.expect("a request"), &[7; 300_000], Some(trailers)).await.expect("an answer");
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers.expect("trailers").get("x-sum").expect("one"), "7");
    let seen = upstream.seen().remove(0);
    assert_eq!((seen.body.len(), seen.header("transfer-encoding")), (300_000, Some("chunked")));
    assert_eq!(seen.trailers.to_ascii_lowercase(), "x-in: 1\r\n");

    let head = Request::head("http://localhost/x").body(()).expect("a request");
    let response = client.exchange(head, &[], None).await.expect("an answer");
    assert_eq!((response.header("content-length"), response.body.len()), (Some("1234"), 0));
    let response = client.get("http://localhost/x").await.expect("an answer");
    assert_eq!((response.status, response.header("content-length")), (304, Some("99")));

    let empty = Request::post("http://localhost/x").body(()).expect("a request");
    client.exchange(empty, &[], None).await.expect("an answer");
    let seen = upstream.seen().pop().expect("a request");
    assert_eq!(seen.header("content-length"), Some("0"), "HTTP/1.1 has no other way to say so");
}

/// A HEADERS frame for stream 1 that ends it, its fields as literals (RFC 7541 §6.2.2).
fn headers_frame(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let length = u8::try_from(block.len()).expect("a short block");
    [&[0, 0, length, 1, 0b101, 0, 0, 0, 1][..], &block].concat()
}

/// The status that a head begins with, or `None` where the stream or connection was ended.
async fn verdict(app: &App, fields: &[(&str, &str)]) -> Option<u16> {
    let mut tcp = TcpStream::connect(app.proxy).await.expect("a connection");
    let opening =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0][..], &headers_frame(fields)];
    tcp.write_all(&opening.concat()).await.expect("written");
    loop {
        let mut head = [0; 9];
        if tcp.read_exact(&mut head).await.is_err() {
            return None;
        }
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        tcp.read_exact(&mut payload).await.expect("a whole frame");
        match (head[3], payload.first()) {
            // Of the static table.
            (1, Some(0x88)) => return Some(200),
            (1, Some(0x8c)) => return Some(400),
            (1, other) => panic!("another status: {other:?}"),
            // RST_STREAM and GOAWAY.
            (3 | 7, _) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_http2_forbids_reaches_nobody() {
    let upstream = Upstream::always(Answer::ok("")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let good = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")];
    assert_eq!(verdict(&app, &good).await, Some(200), "the frames are right");
    for bad in [
        ("connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("content-length", "7"),
        ("host", "other.example"),
        ("X-Upper", "case"),
        ("x-line", "a\r\nb: c"),
        ("x-nul", "a\0b"),
        ("x y", "z"),
        (":path", "/twice"),
        (":status", "200"),
    ] {
        let answer = verdict(&app, &[&good[..], &[bad]].concat()).await;
        assert!(answer.is_none_or(|status| status == 400), "{bad:?}: {answer:?}");
    }
    for left_out in 0..good.len() {
        let fields: Vec<_> =
            good.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, f)| *f).collect();
        let answer = verdict(&app, &fields).await;
        assert!(answer.is_none_or(|status| status == 400), "without {:?}: {answer:?}", good[left_out]);
    }
    assert_eq!(upstream.seen().len(), 1, "{:?}", upstream.seen());
}

#[tokio::test]
async fn a_host_beside_authority_that_agrees_is_fine() {
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let request = Request::get("http://localhost/").header("host", "localhost").body(()).expect("a request");
    let response = H2Client::connect(app.proxy).await.exchange(request, &[], None).await.expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(upstream.seen()[0].headers("host").len(), 1);
}

#[tokio::test]
async fn guards_and_errors_are_those_of_http1() {
    let upstream = Upstream::always(Answer::ok("")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    for (url, status, slug) in
        [("http://evil.example/", 403, "host-not-allowed"), ("http://localhost/%2e%2e/x", 400, "path-climbs")]
    {
        let response = client.get(url).await.expect("an answer");
        assert_eq!(response.status, status, "{url}");
        assert!(response.text().contains(slug), "{}", response.text());
        assert!(response.header("proxy-status").expect("Proxy-Status").contains("error="));
    }
    let trace = Request::builder().method("TRACE").uri("http://localhost/").body(()).expect("a request");
    assert_eq!(client.exchange(trace, &[], None).await.expect("an answer").status, 405);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_upstream_that_dies_in_the_body_resets_the_stream() {
    let upstream =
        Upstream::always(Answer::last("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")).await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    let error = client.get("http://localhost/").await.expect_err("a part is not the whole");
    assert!(error.is_reset(), "{error}");
    // Its neighbours on the connection are not harmed.
    let response = client.get("http://evil.example/").await.expect("an answer");
    assert_eq!(response.status, 403);
}

#[tokio::test]
async fn a_stream_that_the_client_resets_cancels_the_upstream() {
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Scripted::start(move |mut peer, _| {
        let gone = gone.clone();
        async move {
            peer.head().await.expect("a head");
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
            peer.hung_up().await;
            gone.send(()).expect("a test");
        }
    })
    .await;
    let (app, _sandbox) = before(&upstream.url()).await;
    let client = H2Client::connect(app.proxy).await;
    let mut send = client.0.clone().ready().await.expect("room");
    let request = Request::get("http://localhost/").body(()).expect("a request");
    let (response, mut stream) = send.send_request(request, true).expect("a stream");
    let mut body = response.await.expect("a head").into_body();
    body.data().await.expect("a chunk").expect("data");
    stream.send_reset(h2::Reason::CANCEL);
    is_gone.recv().await.expect("the upstream was hung up on");
}

#[tokio::test]
async fn alpn_decides_behind_inbound_tls() {
    let (sandbox, authority) = (sandbox().await, Authority::new());
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let setup = Setup::new(&sandbox)
        .route("api", "/", &upstream.url())
        .with("\n[inbound]\ntls = { cert = \"cert.pem\", key = \"tls-key.pem\" }\n");
    let leaf = authority.leaf("localhost", |_| {});
    std::fs::write(setup.dir().join("cert.pem"), leaf.certificate).expect("a certificate");
    std::fs::write(setup.dir().join("tls-key.pem"), leaf.key).expect("a key");
    private(&setup.dir().join("tls-key.pem"));
    let app = setup.start().await;
    for (alpn, expected) in
        [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let tcp = TcpStream::connect(app.proxy).await.expect("a connection");
        let name = "localhost".try_into().expect("a name");
        let tls = authority.connector(alpn).connect(name, tcp).await.expect("a handshake");
        assert_eq!(tls.get_ref().1.alpn_protocol(), expected);
        if expected == Some(b"h2") {
            let response = H2Client::on(tls).await.get("https://localhost/h2").await.expect("an answer");
            assert_eq!(response.text(), "GET /h2 HTTP/1.1");
        } else {
            let text =
                crate::relay::over(tls, "GET /h1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .await;
            assert!(text.0.ends_with("GET /h1 HTTP/1.1"), "{}", text.0);
            assert!(text.1.is_ok(), "a whole answer ends in close_notify");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_offers_http2_gets_it_on_one_connection() {
    let authority = Authority::new();
    let upstream = H2Upstream::start(authority.acceptor("localhost", &["h2", "http/1.1"], |_| {})).await;
    let (app, _sandbox) = trusting(&authority, &[format!("{}/v1", upstream.url())]).await;
    let request = "PUT /0/x%2Fy?q=%C3%B8 HTTP/1.1\r\nHost: localhost\r\nConnection: X-Hop, TE\r\nX-Hop: 1\r\n\
                   TE: trailers\r\nCookie: a=1; b=2\r\nExpect: 100-continue\r\nTrailer: X-In\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-In: 1\r\n\r\n";
    let response = app.raw(request).await;
    assert_eq!((response.status, response.text().as_str()), (200, "/v1/x%2Fy?q=%C3%B8"));
    assert_eq!(response.header("x-upstream"), Some("h2"));
    let seen = upstream.seen().remove(0);
    let port = upstream.server.address.port();
    assert_eq!(seen.head.uri.authority().expect("one").as_str(), format!("localhost:{port}"));
    assert_eq!(seen.head.uri.scheme_str(), Some("https"));
    for gone in ["host", "connection", "x-hop", "transfer-encoding", "expect"] {
        assert!(seen.head.headers.get(gone).is_none(), "{gone}");
    }
    assert_eq!(seen.head.headers.get_all("authorization").iter().count(), 1);
    assert_eq!(seen.head.headers.get("te").expect("one"), "trailers");
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.trailers.expect("trailers").get("x-in").expect("one"), "1");

    let response = app.get("/0").await;
    assert_eq!(response.text(), "/v1");
    let head = app.raw("HEAD /0/abc HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(head.header("content-length"), Some("7"));
    // Version 2 on both sides.
    let client = H2Client::connect(app.proxy).await;
    let response = client.get("http://localhost/0/2").await.expect("an answer");
    assert_eq!(response.text(), "/v1/2");
    assert_eq!(response.trailers.expect("trailers").get("x-sum").expect("one"), "7");
    assert_eq!(upstream.server.accepted(), 1, "all on one connection");
    assert!(upstream.seen().iter().all(|seen| seen.connection == 0));
}

#[tokio::test]
async fn an_http2_upstream_that_dies_in_the_body_breaks_the_answer_off() {
    let authority = Authority::new();
    let upstream = H2Upstream::start(authority.acceptor("localhost", &["h2"], |_| {})).await;
    let (app, _sandbox) = trusting(&authority, &[upstream.url()]).await;
    let response = app.get("/0/broken").await;
    assert_eq!((response.status, response.complete), (200, false));
    assert_eq!(response.text(), "part");
    assert_eq!(app.get("/0/next").await.text(), "/next", "its neighbours are not harmed");
    assert_eq!(upstream.server.accepted(), 1);
}

#[tokio::test]
async fn upstreams_of_both_versions_stand_side_by_side() {
    let authority = Authority::new();
    let two = H2Upstream::start(authority.acceptor("localhost", &["h2"], |_| {})).await;
    let one = Scripted::start_tls(
        authority.acceptor("localhost", &["http/1.1"], |_| {}),
        |mut peer, _| async move {
            while let Some(head) = peer.head().await {
                assert!(!head.contains("localhost/1"), "{head}");
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
            }
        },
    )
    .await;
    let silent =
        Scripted::start_tls(authority.acceptor("localhost", &[], |_| {}), |mut peer, _| async move {
            while peer.head().await.is_some() {
                peer.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsilent").await;
            }
        })
        .await;
    let https = |server: &Scripted| format!("https://localhost:{}", server.address.port());
    let (app, _sandbox) = trusting(&authority, &[two.url(), https(&one), https(&silent)]).await;
    for _ in 0..3 {
        assert_eq!(app.get("/0/x").await.text(), "/x");
        assert_eq!(app.get("/1/x").await.text(), "one");
        assert_eq!(app.get("/2/x").await.text(), "silent", "no ALPN means HTTP/1.1");
    }
    assert_eq!((two.server.accepted(), one.accepted(), silent.accepted()), (1, 1, 1));
}
