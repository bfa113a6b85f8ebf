//! `GET http://host/path`: the way that needs no CA.

use super::{API, World, get, slug};
use crate::support::{Answer, Setup, Upstream, sandbox};

#[tokio::test]
async fn an_http_url_of_a_routed_host_goes_out_over_tls_with_the_token() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let response = get(&app, "http://api.example.test/v1/a%2Fb//c:d+e?q=%C3%B8&x=%20").await;
    assert_eq!((response.status, response.text().as_str()), (200, "from the API"));
    assert_eq!(world.outbound.asked(), ["api.example.test:443"], "TLS's own port, whatever the client's");
    let seen = world.api.seen();
    assert_eq!(seen[0].line(), "GET /v1/a%2Fb//c:d+e?q=%C3%B8&x=%20 HTTP/1.1");
    assert_eq!(seen[0].header("host"), Some(API));
    let authorization = seen[0].header("authorization").expect("a token");
    assert!(authorization.starts_with("Bearer ey"), "{authorization}");
}

#[tokio::test]
async fn an_https_url_in_absolute_form_is_a_routes_too() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let response = get(&app, "https://api.example.test/v1/x").await;
    assert_eq!((response.status, response.text().as_str()), (200, "from the API"));
    assert!(world.api.seen()[0].header("authorization").is_some());
}

#[tokio::test]
async fn an_https_url_of_another_host_was_passed_on_as_plain_http() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    // The certificate is the API's, so this must fail; and no byte of it may go out in the clear.
    let response = get(&app, "https://other.example.test/secret").await;
    assert_eq!((response.status, slug(&response).as_str()), (502, "upstream-certificate"));
    assert_eq!(world.outbound.asked(), ["other.example.test:443"]);
    assert!(world.other.seen().is_empty() && world.api.seen().is_empty());
}

#[tokio::test]
async fn the_route_with_the_longest_upstream_path_takes_the_request() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world
        .setup(&sandbox)
        .route("wide", "/wide", "https://api.example.test/v1")
        .route_with("narrow", "/narrow", "https://api.example.test/v1/keys", "access = \"read-only\"")
        .start()
        .await;
    let post = async |path: &str| {
        let head = format!("POST http://{API}{path} HTTP/1.1\r\nHost: {API}\r\nContent-Length: 0\r\n\r\n");
        app.raw(&head).await
    };
    let refused = post("/v1/keys/1").await;
    assert_eq!((refused.status, slug(&refused).as_str()), (403, "read-only"));
    assert!(refused.text().contains("narrow"), "{}", refused.text());
    for path in ["/v1/keysx", "/v1/other", "/v1"] {
        assert_eq!(post(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn paths_of_a_routed_host_that_no_route_covers_are_404() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    // `/api` is the route's path, which means nothing here.
    for path in ["", "/", "/other", "/v1x", "/api", "/api/v1", "/V1/x"] {
        let response = get(&app, &format!("http://{API}{path}")).await;
        assert_eq!((response.status, slug(&response).as_str()), (404, "no-route"), "{path}");
    }
    let climbs = get(&app, &format!("http://{API}/v1/%2e%2e/admin")).await;
    assert_eq!((climbs.status, slug(&climbs).as_str()), (400, "path-climbs"));
    assert!(world.outbound.asked().is_empty(), "{:?}", world.outbound.asked());
}

#[tokio::test]
async fn a_port_that_is_given_must_be_the_upstreams() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    let response = get(&app, "http://api.example.test:443/v1/x").await;
    assert_eq!(response.text(), "from the API");
    for other in ["http://api.example.test:8443/v1/x", "http://api.example.test:80/v1/x"] {
        let response = get(&app, other).await;
        assert_eq!(response.text(), "from another host", "{other}");
    }
    let seen = world.other.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none()), "{seen:?}");
}

#[tokio::test]
async fn other_hosts_get_the_request_as_it_is_and_no_token() {
    let sandbox = sandbox().await;
    let upstream =
        Upstream::always(Answer::raw("HTTP/1.1 418 I'm a teapot\r\nX-Odd:  a,b \r\nLocation: http://other/\r\nContent-Length: 3\r\n\r\n\0\u{1}\u{2}")).await;
    let api = Upstream::always(Answer::ok("never asked")).await;
    let app = Setup::new(&sandbox).route("api", "/api", &api.url()).start().await;
    let host = upstream.address;
    let mut raw = app.connect().await;
    let mut request = format!(
        "PUT http://{host}/a%2f..%2F//b/../c;d=%zz?x=%20&&y HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Basic bWluZTptaW5l\r\nX-Twice: one\r\nX-Twice: two\r\nX-Empty:\r\n\
         X-Bytes: caf\u{e9}\r\nProxy-Connection: keep-alive\r\nContent-Length: 5\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(b"\0\x01\xff\r\n");
    raw.write(request).await;
    let response = raw.response_to("PUT").await;

    let seen = &upstream.seen()[0];
    assert_eq!(seen.line(), "PUT /a%2f..%2F//b/../c;d=%zz?x=%20&&y HTTP/1.1");
    assert_eq!(seen.body, b"\0\x01\xff\r\n");
    let mut fields: Vec<String> = seen.head.trim_end().split("\r\n").skip(1).map(str::to_lowercase).collect();
    fields.retain(|field| !field.starts_with("via: 1.1 maskinporten-proxy-"));
    fields.sort();
    assert_eq!(
        fields,
        [
            "authorization: basic bwluztptaw5l",
            "content-length: 5",
            &format!("host: {host}"),
            "x-bytes: caf\u{e9}",
            "x-empty: ",
            "x-twice: one",
            "x-twice: two"
        ]
    );
    assert_eq!(seen.header("authorization"), Some("Basic bWluZTptaW5l"));

    assert_eq!((response.status, response.body.as_slice()), (418, &b"\0\x01\x02"[..]));
    assert_eq!((response.header("x-odd"), response.header("location")), (Some("a,b"), Some("http://other/")));
    assert_eq!(response.header("proxy-status"), None);
    assert!(api.seen().is_empty());
}

#[tokio::test]
async fn a_query_without_a_path_was_sent_with_two_slashes() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.setup(&sandbox).route("api", "/api", "https://api.example.test").start().await;
    for (target, expected) in [("", "/"), ("?a=b", "/?a=b"), ("/?a=b", "/?a=b"), ("//?a=b", "//?a=b")] {
        for (host, upstream) in [("other.example.test", &world.other), (API, &world.api)] {
            let request = format!("GET http://{host}{target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(app.raw(&request).await.status, 200, "{request}");
            let line = upstream.seen().last().expect("a request").line().to_owned();
            assert_eq!(line, format!("GET {expected} HTTP/1.1"), "{host}");
        }
    }
}

#[tokio::test]
async fn other_hosts_can_be_denied() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).with("\n[forward]\nother_hosts = \"deny\"\n").start().await;
    let absolute = get(&app, "http://other.example.test/").await;
    let (connect, _) = super::connect(&app, "other.example.test:443").await;
    for response in [absolute, connect] {
        assert_eq!((response.status, slug(&response).as_str()), (403, "other-host-denied"));
        assert!(response.text().contains("other_hosts"), "{}", response.text());
    }
    assert!(world.outbound.asked().is_empty());
    assert_eq!(get(&app, "http://api.example.test/v1/x").await.status, 200);
}

#[tokio::test]
async fn the_proxys_own_address_in_absolute_form_is_served_as_a_path() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("hei")).await;
    let app = Setup::new(&sandbox).route("api", "/api", &upstream.url()).start().await;
    for host in ["127.0.0.1", "localhost", "anything.localhost"] {
        let url = format!("http://{host}:{}/api/x", app.proxy.port());
        assert_eq!(get(&app, &url).await.status, 200, "{url}");
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.line() == "GET /x HTTP/1.1"), "{seen:?}");
    let none = get(&app, &format!("http://{}/other", app.proxy)).await;
    assert_eq!((none.status, slug(&none).as_str()), (404, "no-route"));
}

#[tokio::test]
async fn a_location_stays_with_the_scheme_that_the_client_uses() {
    let sandbox = sandbox().await;
    let world = World::answering(Answer::raw(
        "HTTP/1.1 201 Created\r\nLocation: https://api.example.test/v1/7?a\r\nContent-Length: 0\r\n\r\n",
    ))
    .await;
    let app = world.routed(&sandbox).start().await;
    let response = get(&app, "http://api.example.test/v1/x").await;
    assert_eq!(response.header("location"), Some("http://api.example.test/v1/7?a"));
}

#[tokio::test]
async fn a_request_that_names_two_places_or_none_is_malformed() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    for request in [
        "GET http://api.example.test/v1 HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "GET http://other.example.test/ HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
        "GET http://api.example.test/v1 HTTP/1.1\r\nHost: api.example.test:8443\r\n\r\n",
        "GET http://api.example.test/v1 HTTP/1.1\r\nHost: api.example.test\r\nHost: api.example.test\r\n\r\n",
        "GET http://api.example.test/v1 HTTP/1.1\r\n\r\n",
        "GET http://api.example.test/v1 HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://user@api.example.test/v1 HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
        "GET http://api.example.test/v1 HTTP/1.1\r\nHost: user@api.example.test\r\n\r\n",
        "GET http://api.example.test@other.example.test/ HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "GET http://api.example.test:99999/v1 HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
        "GET ftp://api.example.test/v1 HTTP/1.1\r\nHost: api.example.test\r\n\r\n",
        "GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n",
        "GET http://127.1/ HTTP/1.1\r\nHost: 127.1\r\n\r\n",
        "CONNECT api.example.test:443 HTTP/1.1\r\nHost: other.example.test:443\r\n\r\n",
        "CONNECT other.example.test:443 HTTP/1.1\r\nHost: api.example.test:443\r\n\r\n",
        "CONNECT other.example.test:443 HTTP/1.1\r\nHost: other.example.test:8443\r\n\r\n",
        "CONNECT other.example.test:443 HTTP/1.1\r\n\r\n",
        "CONNECT other.example.test HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
        "CONNECT user@other.example.test:443 HTTP/1.1\r\nHost: other.example.test:443\r\n\r\n",
        "CONNECT http://other.example.test:443/ HTTP/1.1\r\nHost: other.example.test:443\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: other.example.test\r\n\r\n",
    ] {
        assert_eq!(app.raw(request).await.status, 400, "{request:?}");
    }
    assert!(world.outbound.asked().is_empty(), "{:?}", world.outbound.asked());
}

#[tokio::test]
async fn a_browser_gets_no_token_by_absolute_form_unless_it_is_allowed_to() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/137.0.0.0 Safari/537.36";
    let power_shell = "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0; en-US) PowerShell/7.4.1";
    let ask = async |app: &crate::support::App, host: &str, agent: &str| {
        app.raw(&format!("GET http://{host}/v1/x HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\n\r\n"))
            .await
    };
    let app = world.routed(&sandbox).start().await;
    let refused = ask(&app, API, browser).await;
    assert_eq!((refused.status, slug(&refused).as_str()), (403, "browser-not-allowed"));
    assert!(refused.text().contains("browsers = true"), "{}", refused.text());
    assert!(world.api.seen().is_empty());
    assert_eq!(ask(&app, API, power_shell).await.status, 200);
    assert_eq!(ask(&app, "other.example.test", browser).await.status, 200, "another host gets no token");
    drop(app);

    let app = world.routed(&sandbox).with("\n[forward]\nbrowsers = true\n").start().await;
    assert_eq!(ask(&app, API, browser).await.status, 200);
}

#[tokio::test]
async fn a_request_for_another_host_that_comes_back_is_a_loop() {
    let sandbox = sandbox().await;
    let world = World::new().await;
    let app = world.routed(&sandbox).start().await;
    get(&app, "http://other.example.test/").await;
    let via = world.other.seen()[0].header("via").expect("a Via").to_owned();
    let again = app
        .raw(&format!(
            "GET http://other.example.test/ HTTP/1.1\r\nHost: other.example.test\r\nVia: {via}\r\n\r\n"
        ))
        .await;
    assert_eq!((again.status, slug(&again).as_str()), (508, "loop"));
    assert_eq!(world.other.seen().len(), 1);
}
