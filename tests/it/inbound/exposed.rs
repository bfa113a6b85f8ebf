//! Listeners that other machines can reach.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::{PASSWORD, basic, write_config};
use crate::support::program::{Program, run};
use crate::support::{Answer, Raw, RawResponse, Setup, Upstream, sandbox};

/// An address of this machine that is not a loopback one, where it has one. Nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("203.0.113.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

fn at_loopback(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], address.port()))
}

async fn request(address: SocketAddr, line: &str, fields: &str) -> RawResponse {
    let mut raw = Raw::connect(address).await;
    raw.exchange(format!("{line} HTTP/1.1\r\n{fields}\r\n")).await
}

#[tokio::test]
async fn a_start_that_would_lend_the_identity_to_the_network_is_refused() {
    let sandbox = sandbox().await;
    for (top, more, key) in [
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "", "listen"),
        ("listen = \"[::]:0\"\nadmin = \"off\"", "", "listen"),
        ("listen = \"192.0.2.1:0\"\nadmin = \"off\"", "", "listen"),
        ("listen = \"127.0.0.1:0\"\nadmin = \"0.0.0.0:0\"", "", "admin"),
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "[inbound]\npassword = \"\"", "listen"),
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "[inbound]\npassword = { env = \"EMPTY\" }", "listen"),
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "[inbound]\npassword = { env = \"UNSET\" }", "listen"),
        // Known to be empty only once it has run.
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "[inbound]\npassword = { command = \"echo\" }", "listen"),
        ("listen = \"0.0.0.0:0\"\nadmin = \"off\"", "[inbound]\nallowed_hosts = [\"a.no\"]", "listen"),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        write_config(dir.path(), &sandbox, top, more);
        let ended = run(dir.path(), &[("EMPTY", "")], &["serve"]);
        assert_eq!(ended.code, Some(2), "{top} {more}: {}", ended.stderr);
        assert!(ended.stderr.contains(key), "{top} {more}: {}", ended.stderr);
        assert!(ended.stderr.contains("other machines"), "{top} {more}: {}", ended.stderr);
        assert!(ended.stderr.contains("hint:"), "{top} {more}: {}", ended.stderr);
        assert!(ended.stderr.contains("password"), "{top} {more}: {}", ended.stderr);
    }
    assert_eq!(sandbox.control().counts().token_requests, 0);
}

#[tokio::test]
async fn a_password_from_the_environment_guards_an_exposed_listener() {
    let sandbox = sandbox().await;
    let dir = tempfile::tempdir().expect("a folder");
    let more = "[inbound]\npassword = { env = \"PROXY_PASSWORD\" }\n";
    write_config(dir.path(), &sandbox, "listen = \"0.0.0.0:0\"\nadmin = \"127.0.0.1:0\"", more);
    let program = Program::serve(dir.path(), &[("PROXY_PASSWORD", PASSWORD)], &[]).await;
    let address = at_loopback(program.proxy_address());
    let host = format!("Host: {address}\r\n");
    assert_eq!(request(address, "GET /x", &host).await.status, 407);
    let right = format!("{host}Proxy-Authorization: {}\r\n", basic("postman", PASSWORD));
    assert_eq!(request(address, "GET /x", &right).await.status, 200);
    let ended = program.stop().await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stderr.contains("hemmelig"));
}

#[tokio::test]
async fn a_listener_on_every_address_knows_the_one_that_was_reached() {
    let sandbox = sandbox().await;
    let upstream = Upstream::always(Answer::ok("ok")).await;
    let app = Setup::new(&sandbox)
        .replace(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"",
            "listen = \"0.0.0.0:0\"\nadmin = \"0.0.0.0:0\"",
        )
        .route("api", "/", &upstream.url())
        .with("[inbound]\npassword = \"pw\"\n")
        .start()
        .await;
    let reach = |address: SocketAddr, host: String| async move {
        request(address, "GET /x", &format!("Host: {host}\r\nProxy-Authorization: Bearer pw\r\n"))
            .await
            .status
    };
    let loopback = at_loopback(app.proxy);
    assert_eq!(reach(loopback, "127.0.0.1".into()).await, 200);
    assert_eq!(reach(loopback, "evil.com".into()).await, 403);
    // By loopback it was not reached at another address, whichever that is.
    assert_eq!(reach(loopback, "203.0.113.7".into()).await, 403);
    if let Some(ip) = own_address() {
        let outside = SocketAddr::new(ip, app.proxy.port());
        assert_eq!(reach(outside, outside.to_string()).await, 200);
        assert_eq!(reach(outside, ip.to_string()).await, 200);
        assert_eq!(reach(outside, "203.0.113.7".into()).await, 403);
        assert_eq!(reach(loopback, ip.to_string()).await, 403, "not the address that was reached");
        let admin = SocketAddr::new(ip, app.admin.port());
        let fields = format!("Host: {admin}\r\nAuthorization: {}\r\n", basic("x", "pw"));
        assert_eq!(request(admin, "GET /", &fields).await.status, 200);
    }
}

#[tokio::test]
async fn the_admin_listener_beyond_loopback_is_open_to_probes_alone() {
    let sandbox = sandbox().await;
    let app = Setup::new(&sandbox)
        .replace("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"")
        .route("api", "/", &sandbox.echo_url())
        .with("[inbound]\npassword = \"pw\"\n")
        .start()
        .await;
    let admin = at_loopback(app.admin);
    for path in ["/healthz", "/readyz", "/metrics"] {
        for host in ["some.service:8081", "10.0.0.5", "localhost", "evil.com"] {
            let response = request(admin, &format!("GET {path}"), &format!("Host: {host}\r\n")).await;
            assert_eq!(response.status, 200, "{path} {host}: {}", response.text());
        }
        let page = "Host: some.service\r\nOrigin: http://evil.com\r\n";
        assert_eq!(request(admin, &format!("GET {path}"), page).await.status, 403, "{path}");
    }
    for (line, more) in [
        ("GET /", ""),
        ("GET /api/status", ""),
        ("GET /api/requests", ""),
        ("GET /api/events", ""),
        ("GET /healthz/", ""),
        ("GET /nothing", ""),
        ("POST /healthz", "Content-Length: 0\r\n"),
        ("POST /api/tokens/refresh", "X-Maskinporten-Proxy: 1\r\nContent-Length: 0\r\n"),
    ] {
        let fields = format!("Host: localhost\r\n{more}");
        let response = request(admin, line, &fields).await;
        assert_eq!(response.status, 401, "{line}");
        let asked = response.header("www-authenticate").expect("a challenge");
        assert!(asked.starts_with("Basic realm="), "{asked}");
        for wrong in [
            format!("Authorization: {}", basic("x", "pW")),
            "Authorization: Bearer pw".to_owned(),
            format!("Proxy-Authorization: {}", basic("x", "pw")),
        ] {
            assert_eq!(
                request(admin, line, &format!("{fields}{wrong}\r\n")).await.status,
                401,
                "{line} {wrong}"
            );
        }
        let right = format!("Authorization: {}\r\n", basic("x", "pw"));
        // A stream that does not end is not waited for.
        if line != "GET /api/events" {
            assert_ne!(request(admin, line, &format!("{fields}{right}")).await.status, 401, "{line}");
        }
        let foreign = format!("Host: some.service\r\n{more}{right}");
        assert_eq!(request(admin, line, &foreign).await.status, 403, "{line}: a foreign Host");
    }
}
