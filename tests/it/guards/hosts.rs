//! `Host`, and authorities in absolute form.

use super::{House, kind};
use crate::support::Raw;

/// Values of `Host` on a listener at a loopback address, and the status that they get. `PORT`
/// stands for the listener's own port.
const HOSTS: &[(&str, u16)] = &[
    ("localhost", 200),
    ("localhost:PORT", 200),
    ("localhost:1", 200),
    ("LocalHost:PORT", 200),
    ("api.localhost", 200),
    ("a.b.localhost:9", 200),
    ("127.0.0.1", 200),
    ("127.0.0.1:PORT", 200),
    ("127.255.255.254:3000", 200),
    ("[::1]", 200),
    ("[::1]:PORT", 200),
    ("allowed.example.no", 200),
    ("ALLOWED.example.no:443", 200),
    // A name of an attacker's that resolves to loopback, and what looks like a loopback name.
    ("evil.com", 403),
    ("evil.com:PORT", 403),
    ("localhost.evil.com", 403),
    ("localhost.evil.com:PORT", 403),
    ("127.0.0.1.evil.com", 403),
    ("127.0.0.1.nip.io:PORT", 403),
    ("127a0b0c1", 403),
    ("127-0-0-1", 403),
    ("localhost.", 403),
    ("localhost.:PORT", 403),
    ("api.localhost.", 403),
    ("127.0.0.1.", 403),
    ("xlocalhost", 403),
    ("localhostx", 403),
    ("localhost.localdomain", 403),
    ("0.0.0.0", 403),
    ("0.0.0.0:PORT", 403),
    ("0", 403),
    ("127.1", 403),
    ("127.0.1:PORT", 403),
    ("127.0.0.01", 403),
    ("0177.0.0.1", 403),
    ("0x7f.1", 403),
    ("0x7f000001", 403),
    ("2130706433", 403),
    ("127.0.0.256", 403),
    ("169.254.169.254", 403),
    ("10.0.0.1", 403),
    ("[::ffff:127.0.0.1]", 403),
    ("[::ffff:7f00:1]:PORT", 403),
    ("[::127.0.0.1]", 403),
    ("[::]", 403),
    ("[fe80::1]", 403),
    ("sub.allowed.example.no", 403),
    ("allowed.example.no.", 403),
    ("allowed.example.no.evil.com", 403),
    ("example.no", 403),
    // What is no authority.
    ("", 400),
    (":PORT", 400),
    ("localhost:", 400),
    ("localhost:PORT@evil", 400),
    ("localhost@evil.com", 400),
    ("user:word@localhost", 400),
    ("@localhost", 400),
    ("localhost:80:80", 400),
    ("localhost:99999", 400),
    ("localhost:0", 400),
    ("localhost:+80", 400),
    ("localhost, evil.com", 400),
    ("localhost evil.com", 400),
    ("localhost\tevil.com", 400),
    ("localhost/evil.com", 400),
    ("localhost#@evil.com", 400),
    ("localhost\\evil.com", 400),
    ("http://localhost", 400),
    ("%6cocalhost", 400),
    ("localhost%00.evil.com", 400),
    ("l\u{f6}calhost", 400),
    ("localhost\u{ff0e}evil.com", 400),
    ("local\u{1}host", 400),
    ("*", 400),
    (".localhost", 400),
    ("a..localhost", 400),
    ("::1", 400),
    ("[::1", 400),
    ("::1]", 400),
    ("[::1]evil.com", 400),
    ("[::1]:PORT@evil.com", 400),
    ("[[::1]]", 400),
    ("[localhost]", 400),
    ("[127.0.0.1]", 400),
    ("[::1%lo]", 400),
    ("[::1%25lo]:PORT", 400),
    ("[]", 400),
];

const ALLOWED: &str = "[inbound]\nallowed_hosts = [\"allowed.example.no\"]\n";

#[tokio::test]
async fn hosts_on_the_proxy_and_what_is_seen_behind_it() {
    let house = House::with(ALLOWED, "").await;
    let port = house.app.proxy.port().to_string();
    // The refused first: nothing may have been seen or asked for by then.
    let mut refused = 0;
    for (host, status) in HOSTS.iter().filter(|(_, status)| *status != 200) {
        for method in ["GET", "POST"] {
            let host = host.replace("PORT", &port);
            let response = house.send(&format!("{method} /x HTTP/1.1"), &format!("Host: {host}\r\n")).await;
            house.assert_unseen(&response, *status, &format!("{method} {host:?}"));
            if *status == 403 {
                assert_eq!(kind(&response), "host-not-allowed", "{host}");
                assert!(response.text().contains("allowed_hosts"), "{host}: {}", response.text());
            }
            refused += 1;
        }
    }
    assert!(refused > 100);
    for (times, (host, _)) in HOSTS.iter().filter(|(_, status)| *status == 200).enumerate() {
        let host = host.replace("PORT", &port);
        let response = house.send("GET /x HTTP/1.1", &format!("Host: {host}\r\n")).await;
        house.assert_seen(&response, times + 1, &host);
    }
    assert_eq!(house.sandbox.control().counts().token_requests - house.at_start, 1, "one token for all");
}

#[tokio::test]
async fn hosts_on_the_admin_listener() {
    let house = House::with(ALLOWED, "").await;
    let port = house.app.admin.port().to_string();
    for (host, status) in HOSTS {
        for path in ["/", "/api/status", "/metrics", "/healthz"] {
            let host = host.replace("PORT", &port);
            let response = house.admin(&format!("GET {path} HTTP/1.1"), &format!("Host: {host}\r\n")).await;
            assert_eq!(response.status, *status, "{path} {host:?}");
            if *status != 200 {
                assert!(!response.text().contains("person"), "{host:?}: {}", response.text());
            }
        }
    }
}

#[tokio::test]
async fn requests_with_several_hosts_or_none() {
    let house = House::new().await;
    for fields in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil.com\r\n",
        "Host: evil.com\r\nHOST: localhost\r\n",
        "Host: localhost\r\n evil.com\r\n",
        "Host : localhost\r\n",
    ] {
        let response = house.send("GET /x HTTP/1.1", fields).await;
        house.assert_unseen(&response, 400, fields);
        assert_eq!(house.admin("GET / HTTP/1.1", fields).await.status, 400, "{fields}");
    }
    let old = house.send("GET /x HTTP/1.0", "Host: evil.com\r\n").await;
    house.assert_unseen(&old, 403, "HTTP/1.0 with a foreign Host");
    let old = house.send("GET /x HTTP/1.0", "").await;
    house.assert_seen(&old, 1, "HTTP/1.0 without Host is taken as the listener's own");
    assert_eq!(house.admin("GET /healthz HTTP/1.0", "").await.status, 200);
}

/// Authorities in absolute form that do not agree with `Host`, or are none. `UP` stands for the
/// upstream's authority, `OWN` for the listener's.
#[tokio::test]
async fn absolute_forms_that_say_two_things_are_refused() {
    let house = House::with("[forward]\nother_hosts = \"deny\"\n", "").await;
    let (own, upstream) = (house.app.proxy.to_string(), house.upstream.address.to_string());
    let fill = |text: &str| text.replace("UP", &upstream).replace("OWN", &own);
    for (target, fields, status) in [
        ("http://UP/x", "Host: OWN\r\n", 400),
        ("http://UP/x", "Host: evil.com\r\n", 400),
        ("http://UP/x", "Host: localhost\r\n", 400),
        ("http://UP/x", "Host: UP.\r\n", 400),
        ("http://UP/x", "Host: UP\r\nHost: UP\r\n", 400),
        ("http://UP/x", "Host: \r\n", 400),
        ("http://UP/x", "", 400),
        ("http://evil.com/x", "Host: UP\r\n", 400),
        ("http://evil.com/x", "Host: OWN\r\n", 400),
        ("http://OWN/x", "Host: evil.com\r\n", 400),
        ("http://user@UP/x", "Host: UP\r\n", 400),
        ("http://user:word@UP/x", "Host: UP\r\n", 400),
        ("http://UP@evil.com/x", "Host: UP\r\n", 400),
        ("http://evil.com@UP/x", "Host: evil.com\r\n", 400),
        ("http://127.1/x", "Host: 127.1\r\n", 400),
        ("http://[::1%25lo]/x", "Host: [::1%25lo]\r\n", 400),
        ("ftp://UP/x", "Host: UP\r\n", 400),
        // Another host gets no token, and here nothing at all.
        ("http://evil.com/x", "Host: evil.com\r\n", 403),
        ("http://localhost.evil.com/x", "Host: localhost.evil.com\r\n", 403),
        ("http://UP.evil.com/x", "Host: UP.evil.com\r\n", 400),
    ] {
        let response = house.send(&format!("GET {} HTTP/1.1", fill(target)), &fill(fields)).await;
        house.assert_unseen(&response, status, &format!("{target} {fields}"));
    }
    let routed = house.send(&fill("GET http://UP/x HTTP/1.1"), &fill("Host: UP\r\n")).await;
    house.assert_seen(&routed, 1, "the routed host");
    let own_form = house.send(&fill("GET http://OWN/x HTTP/1.1"), &fill("Host: OWN\r\n")).await;
    house.assert_seen(&own_form, 2, "the proxy's own address");
}

#[tokio::test]
async fn connects_that_say_two_things_are_refused() {
    let house = House::new().await;
    let upstream = house.upstream.address.to_string();
    for (target, host) in [
        (upstream.as_str(), "evil.com:443"),
        ("evil.com:443", upstream.as_str()),
        ("evil.com", "evil.com"),
        ("user@evil.com:443", "evil.com:443"),
        ("127.1:443", "127.1:443"),
    ] {
        let mut raw = Raw::connect(house.app.proxy).await;
        let response = raw.exchange(format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        house.assert_unseen(&response, 400, target);
    }
}

/// On HTTP/2 the authority stands in `:authority`, and a `Host` beside it must agree.
#[tokio::test]
async fn hosts_on_http_2() {
    let house = House::with(ALLOWED, "").await;
    let stream = tokio::net::TcpStream::connect(house.app.proxy).await.expect("a connection");
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let mut send = async |authority: &str, host: Option<&str>| {
        let mut request = http::Request::get(format!("http://{authority}/x")).header("x-pid", super::PERSON);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
        client.send_request(request).await.expect("a response").status().as_u16()
    };
    for (authority, host, status) in [
        ("evil.com", None, 403),
        ("localhost.evil.com", None, 403),
        ("localhost.", None, 403),
        ("127.1", None, 403),
        ("[::ffff:127.0.0.1]", None, 403),
        ("localhost", Some("evil.com"), 400),
        ("evil.com", Some("localhost"), 400),
        ("user@localhost", None, 400),
    ] {
        assert_eq!(send(authority, host).await, status, "{authority} {host:?}");
    }
    assert!(house.upstream.seen().is_empty());
    assert_eq!(house.sandbox.control().counts().token_requests, house.at_start);
    assert_eq!(send("localhost", None).await, 200);
    assert_eq!(send("allowed.example.no", Some("allowed.example.no")).await, 200);
    driver.abort();
}
