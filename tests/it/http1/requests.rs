//! Heads on their way to the upstream.

use maskinporten_proxy::sandbox::{ORGANISATION, Sandbox};

use crate::support::{Answer, App, Seen, Setup, Upstream, sandbox};

async fn relay(more: &str) -> (App, Upstream, Sandbox) {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app =
        Setup::new(&sandbox).route_with("api", "/api", &format!("{}/v1", upstream.url()), more).start().await;
    (app, upstream, sandbox)
}

/// The names and values of a head, without those that the proxy makes itself.
fn fields(seen: &Seen) -> Vec<String> {
    let own = ["host:", "authorization:", "via:"];
    seen.head
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.is_empty())
        .filter(|line| !own.iter().any(|name| line.to_ascii_lowercase().starts_with(name)))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn method_fields_and_body_reach_the_upstream_unchanged() {
    let (app, upstream, _sandbox) = relay("").await;
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let head = format!(
        "PATCH /api/x HTTP/1.1\r\nHost: localhost\r\nAccept: a/b;q=0.1,  c/d\r\nX-Twice: 1\r\nx-TWICE: 2\r\n\
         X-Empty:\r\nX-Latin: s\u{f8}k\r\nUser-Agent: \"odd\" (agent)\r\nIf-None-Match: W/\"x\"\r\n\
         Accept-Encoding: gzip\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut raw = app.connect().await;
    raw.write(head.as_bytes()).await;
    raw.write(&body).await;
    assert_eq!(raw.response().await.status, 200);
    let seen = upstream.seen().remove(0);
    assert_eq!(seen.line(), "PATCH /v1/x HTTP/1.1");
    assert_eq!(seen.header("host"), Some(upstream.address.to_string().as_str()));
    assert_eq!(seen.headers("authorization").len(), 1);
    assert_eq!(seen.body, body);
    let lowered: Vec<String> = fields(&seen)
        .iter()
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| format!("{}:{}", name.to_ascii_lowercase(), value.trim()))
        .collect();
    let mut expected: Vec<&str> = vec![
        "accept:a/b;q=0.1,  c/d",
        "x-twice:1",
        "x-twice:2",
        "x-empty:",
        "x-latin:s\u{f8}k",
        "user-agent:\"odd\" (agent)",
        "if-none-match:W/\"x\"",
        "accept-encoding:gzip",
        "forwarded:for=1.2.3.4",
        "x-forwarded-for:1.2.3.4",
        "traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "content-type:application/json",
        "content-length:70000",
    ];
    let mut lowered: Vec<&str> = lowered.iter().map(String::as_str).collect();
    lowered.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lowered, expected);
}

#[tokio::test]
async fn any_method_passes() {
    let (app, upstream, _sandbox) = relay("").await;
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "M-SEARCH", "get", "X!#$%"]
    {
        let request = format!("{method} /api HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(app.raw(&request).await.status, 200, "{method}");
        let seen = upstream.seen();
        assert_eq!(seen.last().expect("a request").line(), format!("{method} /v1 HTTP/1.1"));
    }
}

#[tokio::test]
async fn there_is_exactly_one_authorization_whatever_the_client_sends() {
    let (app, upstream, _sandbox) = relay("").await;
    for lines in [
        "",
        "Authorization: Bearer mine\r\n",
        "authorization: Basic eA==\r\nAUTHORIZATION: Bearer two\r\n",
        "Connection: Authorization\r\n",
        "Authorization: Bearer mine\r\nConnection: close, authorization\r\n",
        "Connection: keep-alive\r\nConnection: AUTHORIZATION , host, via\r\n",
        "Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n",
    ] {
        let request = format!("GET /api HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        assert_eq!(app.raw(&request).await.status, 200, "{lines}");
        let seen = upstream.seen();
        let seen = seen.last().expect("a request");
        let token = seen.header("authorization").expect("one Authorization");
        assert!(token.starts_with("Bearer ey"), "{token}");
        assert_eq!(seen.header("host"), Some(upstream.address.to_string().as_str()), "{lines}");
        assert_eq!(seen.headers("via").len(), 1, "{lines}");
        assert!(fields(seen).is_empty(), "{lines}: {:?}", fields(seen));
    }
}

#[tokio::test]
async fn what_any_connection_line_names_stays_here() {
    let (app, upstream, _sandbox) = relay("").await;
    let request = "POST /api HTTP/1.1\r\nHost: localhost\r\nConnection: X-One,,  x-TWO ,\r\n\
                   X-One: 1\r\nx-two: 2\r\nX-TWO: 3\r\nCONNECTION: Keep-Alive, x-three\r\nX-Three: 4\r\n\
                   Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Foo: 1\r\nTE: gzip, trailers;q=0.5\r\n\
                   Upgrade: foo\r\nconnection: Content-Length\r\nX-Four: stays\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(app.raw(request).await.status, 200);
    let seen = upstream.seen().remove(0);
    let mut left: Vec<String> = fields(&seen).iter().map(|line| line.to_ascii_lowercase()).collect();
    left.sort_unstable();
    assert_eq!(left, ["content-length: 3", "x-four: stays"]);
    assert_eq!(seen.body, b"abc");
}

#[tokio::test]
async fn te_passes_for_trailers_alone() {
    let (app, upstream, _sandbox) = relay("").await;
    for (sent, expected) in
        [("trailers", Some("trailers")), ("deflate, trailers", Some("trailers")), ("gzip;q=0.3", None)]
    {
        let request = format!("GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: TE\r\nTE: {sent}\r\n\r\n");
        assert_eq!(app.raw(&request).await.status, 200);
        let seen = upstream.seen();
        assert_eq!(seen.last().expect("a request").header("te"), expected, "{sent}");
    }
}

#[tokio::test]
async fn fields_that_feed_claims_are_read_and_not_forwarded_even_if_connection_names_them() {
    let more = "consumer_org = { header = \"X-Consumer-Org\", allow = [\"910753614\"] }";
    let (app, upstream, sandbox) = relay(more).await;
    sandbox.control().delegate("910753614", ORGANISATION, "demo:api");
    let send =
        async |lines: &str| app.raw(&format!("GET /api HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")).await;

    let named = send("X-Consumer-Org: 910753614\r\nConnection: x-consumer-org\r\n").await;
    assert_eq!(named.status, 200, "{}", named.text());
    let asked = sandbox.control().token_requests();
    let claims = &asked.last().expect("a grant").claims;
    assert_eq!(claims.text("consumer_org"), Some("910753614"));
    assert!(upstream.seen()[0].headers("x-consumer-org").is_empty());

    let (asked, reached) = (asked.len(), upstream.seen().len());
    for (lines, status) in [
        ("", 400),
        ("X-Consumer-Org:\r\n", 400),
        ("X-Consumer-Org: 910753614\r\nX-Consumer-Org: 910753614\r\n", 400),
        ("Connection: X-Consumer-Org\r\n", 400),
        ("X-Consumer-Org: 999999999\r\n", 403),
    ] {
        assert_eq!(send(lines).await.status, status, "{lines}");
    }
    assert_eq!(sandbox.control().token_requests().len(), asked, "nothing was fetched for what is refused");
    assert_eq!(upstream.seen().len(), reached);
}

#[tokio::test]
async fn trailers_cannot_smuggle_in_what_fields_may_not_say() {
    let more = "consumer_org = { header = \"X-Consumer-Org\", allow = [\"910753614\"] }";
    let sandbox = sandbox().await;
    sandbox.control().delegate("910753614", ORGANISATION, "demo:api");
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox)
        .route("api", "/api", &upstream.url())
        .route_with("claims", "/claims", &upstream.url(), more)
        .start()
        .await;
    let names = "Authorization, X-Consumer-Org, Connection, Proxy-Authorization, Keep-Alive, X-Checksum";
    let trailers = "Authorization: Bearer evil\r\nX-Consumer-Org: 1\r\nConnection: x\r\n\
                    Proxy-Authorization: y\r\nKeep-Alive: z\r\nX-Checksum: 42\r\n";
    for path in ["/api", "/claims"] {
        let claim = if path == "/claims" { "X-Consumer-Org: 910753614\r\n" } else { "" };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{claim}Trailer: {names}\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n{trailers}\r\n"
        );
        let response = app.raw(&request).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for seen in seen {
        let trailers = seen.trailers.to_ascii_lowercase();
        for forbidden in ["authorization", "connection", "keep-alive"] {
            assert!(!trailers.contains(forbidden), "{trailers}");
        }
        assert!(trailers.contains("x-checksum: 42"), "{trailers}");
        assert_eq!(seen.headers("authorization").len(), 1);
        assert!(seen.headers("x-checksum").is_empty(), "a trailer is no field of the head");
        if seen.line().contains("claims") {
            assert!(!trailers.contains("x-consumer-org"), "{trailers}");
        }
    }
}

#[tokio::test]
async fn via_is_appended_and_a_loop_ends_in_508() {
    let (app, upstream, sandbox) = relay("").await;
    let request = "GET /api HTTP/1.1\r\nHost: localhost\r\nVia: 1.0 fred, 1.1 p.example\r\n\r\n";
    let response = app.raw(request).await;
    let seen = upstream.seen().remove(0);
    let via = seen.headers("via").join(", ");
    let own =
        via.strip_prefix("1.0 fred, 1.1 p.example, 1.1 maskinporten-proxy").expect("appended at the end");
    assert!(own.starts_with('-'), "with a name of the process: {via}");
    assert!(response.headers("via").join(", ").starts_with("1.1 maskinporten-proxy-"), "{}", response.head);

    // Round in a circle: the route's upstream is the proxy itself.
    let text = std::fs::read_to_string(&app.config).expect("the configuration");
    let circle = format!(
        "{text}\n[[routes]]\nname = \"circle\"\npath = \"/circle\"\nupstream = \"http://{}/circle\"\nscopes = [\"demo:api\"]\n",
        app.proxy
    );
    std::fs::write(&app.config, circle).expect("a written configuration");
    crate::support::until("the new route serves", async || app.get("/circle").await.status != 404).await;
    let response = app.get("/circle/x").await;
    assert_eq!(response.status, 508, "{}", response.text());
    drop(sandbox);
}

#[tokio::test]
async fn http_10_is_served_with_and_without_keep_alive() {
    let (app, upstream, _sandbox) = relay("").await;
    let mut raw = app.connect().await;
    let response = raw.exchange("GET /api/1 HTTP/1.0\r\n\r\n").await;
    assert_eq!((response.status, response.text().as_str()), (200, "hei"));
    assert!(raw.is_closed().await);
    assert_eq!(upstream.seen()[0].line(), "GET /v1/1 HTTP/1.1", "the proxy speaks its own version");
    assert!(upstream.seen()[0].header("via").expect("Via").starts_with("1.0 "));

    let mut raw = app.connect().await;
    for number in 2..4 {
        let request =
            format!("GET /api/{number} HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
        let response = raw.exchange(request).await;
        assert_eq!((response.status, response.text().as_str()), (200, "hei"));
        assert!(response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive")));
    }
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn http_10_cannot_ask_for_an_upgrade() {
    let (app, upstream, _sandbox) = relay("").await;
    let request =
        "GET /api HTTP/1.0\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly";
    assert_eq!(app.raw(request).await.status, 200);
    assert!(fields(&upstream.seen()[0]).is_empty(), "{:?}", fields(&upstream.seen()[0]));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let sandbox = sandbox().await;
    let upstream = Upstream::start(|_, seen| Answer::ok(seen.line())).await;
    let app = Setup::new(&sandbox).route("api", "/", &upstream.url()).start().await;
    let mut raw = app.connect().await;
    let requests: String = (0..20)
        .map(|number| match number % 2 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ => format!("POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nGET "),
        })
        .collect();
    raw.write(requests).await;
    for number in 0..20 {
        let response = raw.response().await;
        assert!(response.text().contains(&format!(" /{number} ")), "{number}: {}", response.text());
    }
}
